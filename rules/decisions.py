"""Every rule's verdict on a tutor, from the tutor's statistics and thresholds alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from rules.registry import ALERT_RULES, INSIGHT_RULES
from rules.rule import AlertRule, InsightRule, Rule, Statistics
from rules.thresholds import Thresholds
from rules.verdicts import Verdict

AnyRule = TypeVar("AnyRule", bound=Rule, covariant=True)


@dataclass(frozen=True, slots=True)
class Decided(Generic[AnyRule]):
    """A rule's verdict on a tutor."""

    tutor: Statistics
    rule: AnyRule
    verdict: Verdict

    @property
    def key(self) -> tuple[str, str]:
        """Tutor id and the rule's name."""
        return self.tutor.tutor_id, self.rule.name


def decide_alerts(tutor: Statistics, thresholds: Thresholds) -> list[Decided[AlertRule]]:
    """Every alert rule's verdict on the tutor, under the tutor's own thresholds."""
    return _decide(tutor, thresholds, ALERT_RULES)


def decide_insights(tutor: Statistics, thresholds: Thresholds) -> list[Decided[InsightRule]]:
    """Every insight rule's verdict on the tutor, under the tutor's own thresholds."""
    return _decide(tutor, thresholds, INSIGHT_RULES)


def _decide(tutor: Statistics, thresholds: Thresholds, rules: Mapping[str, AnyRule]) -> list[Decided[AnyRule]]:
    own = thresholds.of(tutor.tutor_id)
    return [Decided(tutor, rule, rule.decide(tutor, own)) for rule in rules.values()]
