"""The verdicts of rules on a tutor: holds or not, why, and the measured value in either case."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rules.measures import Counted, Ratio, plural
from rules.thresholds import INSIGHT_LEAST_SESSIONS, WINDOW_DAYS, Threshold, Thresholds

Holds = Callable[[Ratio, Decimal], bool]
"""A comparison with a threshold, such as `Ratio.above`."""


class Decision(StrEnum):
    """The decisions of a rule, with the reason."""

    HOLDS = "holds"
    CONSUMED = "holds, but only by sessions that another alert of the type has consumed"
    NOT_MET = "not met"
    TOO_FEW_SESSIONS = "too few sessions"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule's verdict on a tutor, with its measured value also where the rule doesn't hold."""

    decision: Decision
    value: Decimal | None
    """What was measured, to four decimal places; None without any session."""
    threshold: Decimal
    sessions: int
    """How many sessions the value rests on."""
    measured: str
    """The measured value and its window in words: `2 no-shows in 30 days`."""
    text: str
    """What the alert or the insight says, should the rule hold."""
    shown: Decimal | None = None
    """The value as an alert's text shows it: a count, a share in percent, a rounded average."""

    @property
    def is_met(self) -> bool:
        """Return whether the rule's condition is met, be it by consumed sessions only."""
        return self.decision in (Decision.HOLDS, Decision.CONSUMED)


def counting(
    sessions: Counted,
    least: int,
    *,
    measured: str,
    text: str,
    value: Decimal | None = None,
    threshold: Decimal | None = None,
) -> Verdict:
    """The verdict of a counting rule: from `least` sessions on it holds, unless all of them are consumed.

    Value and threshold are the two counts, unless given.
    """
    if sessions.count < least:
        decision = Decision.NOT_MET
    else:
        decision = Decision.HOLDS if sessions.unconsumed > 0 else Decision.CONSUMED
    if threshold is None:
        value, threshold = Decimal(sessions.count), Decimal(least)
    return Verdict(decision, value, threshold, sessions.count, measured, text, Decimal(sessions.count))


def comparing(
    value: Decimal | None,
    threshold: Decimal,
    *,
    holds: bool,
    sessions: int,
    least: int,
    measured: str,
    text: str,
    shown: Decimal | None = None,
) -> Verdict:
    """The verdict of a rule that compares an average or a share, which needs `least` sessions."""
    met = Decision.HOLDS if holds else Decision.NOT_MET
    decision = met if sessions >= least else Decision.TOO_FEW_SESSIONS
    return Verdict(decision, value, threshold, sessions, measured, text, shown)


def average_verdict(
    average: Ratio, thresholds: Thresholds, threshold: Threshold[Decimal], *, holds: Holds, text: str
) -> Verdict:
    """The verdict of an insight about an average; its value has two decimal places, as the platform keeps it."""
    days = thresholds[WINDOW_DAYS]
    measured = f"no sessions in {days} days"
    if average.count:
        measured = f"{average.rounded(1)} on average over {plural(average.count, 'session')} in {days} days"
    return comparing(
        rounded(average, 2),
        thresholds[threshold],
        holds=holds(average, thresholds[threshold]),
        sessions=average.count,
        least=thresholds[INSIGHT_LEAST_SESSIONS],
        measured=measured,
        text=f"{text}: {measured}",
    )


def share_verdict(
    share: Ratio, thresholds: Thresholds, threshold: Threshold[Decimal], *, holds: Holds, text: str
) -> Verdict:
    """The verdict of an insight about a share of sessions."""
    days = thresholds[WINDOW_DAYS]
    measured = f"no sessions in {days} days"
    if share.count:
        measured = f"{share.percent()}% of {plural(share.count, 'session')} in {days} days"
    return comparing(
        rounded(share),
        thresholds[threshold],
        holds=holds(share, thresholds[threshold]),
        sessions=share.count,
        least=thresholds[INSIGHT_LEAST_SESSIONS],
        measured=measured,
        text=f"{text} {measured}",
    )


def rounded(ratio: Ratio, places: int = 4) -> Decimal | None:
    """The quotient rounded half up; None without any session."""
    return ratio.rounded(places) if ratio.count else None
