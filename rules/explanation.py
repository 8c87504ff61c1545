"""Every rule's present verdict on a tutor, with its measured value and the threshold it was compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform import NO_RULES, RuleNames
from rules.decisions import Decided, decide_alerts, decide_insights
from rules.evidence import SessionsByRule, load_alert_sessions, load_insight_samples
from rules.rule import AlertRule, Rule
from rules.statistics import load_statistics
from rules.thresholds import Origin, Thresholds
from rules.verdicts import Decision, Verdict

OFF = "off: the platform has no such label"


@dataclass(frozen=True, slots=True)
class Explained:
    """A rule's verdict on a tutor, and what it rests on."""

    rule: Rule
    verdict: Verdict
    origin: Origin
    """Where the threshold comes from."""
    is_off: bool
    sessions: tuple[UUID, ...]
    """If asked for, of a rule whose condition is met: an alert's evidence or an insight's examples, latest first."""

    @property
    def is_alert(self) -> bool:
        """Return whether it is an alert's rule, not an insight's."""
        return isinstance(self.rule, AlertRule)

    @property
    def value(self) -> str | None:
        """The measured value in words; None without any session."""
        unit = self.rule.compares_with
        return None if self.verdict.value is None else unit.in_words(self.verdict.value.normalize())

    @property
    def threshold(self) -> str:
        """The threshold in words."""
        return self.rule.compares_with.in_words(self.verdict.threshold)

    @property
    def reason(self) -> str:
        """The decision in words."""
        return OFF if self.is_off else str(self.verdict.decision)

    @property
    def holds(self) -> bool:
        """Return whether the rule holds, and speaks."""
        return self.verdict.decision is Decision.HOLDS and not self.is_off


async def explain_tutor(
    conn: AsyncConnection,
    tutor_id: str,
    now: datetime,
    thresholds: Thresholds,
    off: RuleNames = NO_RULES,
    *,
    with_sessions: bool = False,
) -> Sequence[Explained]:
    """Every rule's verdict on the tutor at `now`, alerts first: what a generation of that moment works with.

    Reads only: one statement, three with the sessions behind what is met. Rules that are `off` decide, and say so.
    """
    [tutor] = await load_statistics(conn, [tutor_id], now, thresholds)
    alerts, insights = decide_alerts(tutor, thresholds), decide_insights(tutor, thresholds)
    evidence: SessionsByRule = {}
    samples: SessionsByRule = {}
    if with_sessions:
        evidence = await load_alert_sessions(conn, _met(alerts), now, thresholds)
        samples = await load_insight_samples(conn, _met(insights), now, thresholds)
    own = thresholds.of(tutor_id)

    def explained(decided: Decided[Any], off: frozenset[str], behind: SessionsByRule) -> Explained:
        rule, sessions = decided.rule, behind.get(decided.key, [])
        return Explained(rule, decided.verdict, own.origin(rule.compares_with), rule.name in off, tuple(sessions))

    return [
        *(explained(each, off.alerts, evidence) for each in alerts),
        *(explained(each, off.insights, samples) for each in insights),
    ]


def _met(decided: Sequence[Decided[Any]]) -> list[tuple[str, str]]:
    return [each.key for each in decided if each.verdict.is_met]
