"""All rules: what is found in `rules.alerts` and `rules.insights`, checked. Nothing else names them one by one."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, TypeVar

from database.errors import TutorwatchError
from database.platform import RuleNames
from rules import alerts, insights
from rules.rule import AlertRule, InsightRule, Rule, Severity, Statistic
from rules.thresholds import SHARED, Threshold

AnyRule = TypeVar("AnyRule", bound=Rule)


class RuleError(TutorwatchError):
    """A rule's file is incomplete or contradicts another's: correct the file that the message names."""


def find_rules(package: ModuleType, kind: type[AnyRule]) -> Mapping[str, AnyRule]:
    """The rules of a package by name, critical ones first. Raises RuleError for a file without a RULE of that kind."""
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        rule = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "RULE", None)
        if not isinstance(rule, kind) or rule.name != module.name:
            raise RuleError(f"{package.__name__}.{module.name} needs a RULE, an {kind.__name__} of the file's name")
        found.append(rule)
    return {rule.name: rule for rule in sorted(found, key=_order)}


def _order(rule: Rule) -> tuple[bool, str]:
    return getattr(rule, "severity", None) is not Severity.CRITICAL, rule.name


def check(alert_rules: Iterable[AlertRule], insight_rules: Iterable[InsightRule]) -> None:
    """Raises RuleError if a rule isn't complete, or two of them call different things by one name."""
    rules: list[Rule] = [*alert_rules, *insight_rules]
    thresholds: dict[str, Threshold[Any]] = {threshold.name: threshold for threshold in SHARED}
    statistics: dict[str, Statistic[Any]] = {}
    for rule in rules:
        if rule.compares_with not in rule.thresholds:
            raise RuleError(f"{rule.name} compares with a threshold that isn't among its thresholds")
        for threshold in rule.thresholds:
            if threshold.name in thresholds:
                raise RuleError(f"{rule.name} has a threshold {threshold.name}, which another one has already")
            thresholds[threshold.name] = threshold
        for statistic in rule.statistics:
            if statistics.setdefault(statistic.name, statistic) != statistic:
                raise RuleError(f"{rule.name} has a statistic {statistic.name}, which means something else elsewhere")
    evidence = [rule.evidence for rule in rules if isinstance(rule, AlertRule)]
    for rule in rules:
        mine = rule.evidence if isinstance(rule, AlertRule) else None
        if mine is not None and mine not in rule.statistics:
            raise RuleError(f"{rule.name} has evidence that isn't among its statistics")
        if any(statistic in evidence and statistic is not mine for statistic in rule.statistics):
            raise RuleError(f"{rule.name} measures what is another alert's evidence: give it a statistic of its own")


ALERT_RULES = find_rules(alerts, AlertRule)
"""By alert type."""
INSIGHT_RULES = find_rules(insights, InsightRule)
"""By category."""
RULES: tuple[Rule, ...] = (*ALERT_RULES.values(), *INSIGHT_RULES.values())
check(ALERT_RULES.values(), INSIGHT_RULES.values())

THRESHOLDS: tuple[Threshold[Any], ...] = (*SHARED, *(each for rule in RULES for each in rule.thresholds))
"""All of them, the shared ones first."""
NAMES = RuleNames(frozenset(ALERT_RULES), frozenset(INSIGHT_RULES))
"""What the platform's enums need labels for."""
STATISTICS: tuple[Statistic[Any], ...] = tuple(
    {statistic.name: statistic for rule in RULES for statistic in rule.statistics}.values()
)
"""All that they measure."""
