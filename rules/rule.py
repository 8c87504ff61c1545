"""The parts of a rule. Each rule is one file of `rules.alerts` or `rules.insights`, pure: no database, no clock.

A rule says which sessions it measures by conditions over the columns of a source: `session.tutor_talk_ratio >
thresholds[ABOVE]`. `rules.sources` says what each source holds; the same conditions make the statistics, and find the
sessions that are the evidence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from rules.measures import Counted, Ratio
from rules.thresholds import WINDOW_DAYS, Number, Threshold, Thresholds, Unit
from rules.verdicts import Verdict

Measure = TypeVar("Measure")


class Session(Protocol):
    """The columns of a source's sessions, with the operators of SQL."""

    def __getattr__(self, name: str, /) -> Any: ...


class Compared(Protocol):
    """Thresholds, to compare a column with."""

    def __getitem__(self, threshold: Threshold[Number], /) -> Any: ...


Condition = Callable[[Session, Compared], Any]
"""Whether a session counts; of a session without the metric in question it is null, and the session doesn't."""


class Kind(StrEnum):
    """The kinds of sessions that a source holds."""

    COMPLETED = "completed"
    FIRST = "first"
    MISSED = "missed"
    SCORED = "scored"
    RECENT = "recent"


@dataclass(frozen=True, slots=True)
class Source:
    """Sessions of a tutor, of one kind. Each is read once for a whole batch of tutors."""

    kind: Kind
    metric: str = ""


COMPLETED = Source(Kind.COMPLETED)
"""Completed sessions with their audio and video metrics (of a session without them, null)."""
FIRST_SESSIONS = Source(Kind.FIRST)
"""Completed first sessions with a student, and whether the student `converted`."""
MISSED = Source(Kind.MISSED)
"""Sessions that the tutor didn't come to, and those that were rescheduled; `at` is when they were to begin."""

SCORED = Source(Kind.SCORED)
"""Completed sessions of the window and of the one before, with their score."""


def recent(metric: str) -> Source:
    """The "recent ten": the latest completed sessions of the window that have the audio metric."""
    return Source(Kind.RECENT, metric)


@dataclass(frozen=True, slots=True)
class Statistic(Generic[Measure]):
    """A measure over the sessions of a source that lie in the window; two of one name are the same.

    Of an averaging alert's evidence (`AlertRule.evidence`), sessions that another alert of the type has consumed are
    left out.
    """

    name: str
    source: Source
    window: Threshold[int] = WINDOW_DAYS


@dataclass(frozen=True, slots=True)
class Count(Statistic[Counted]):
    """The number of sessions that meet the condition; as an alert's evidence, also of those that are unconsumed."""

    where: Condition | None = None


@dataclass(frozen=True, slots=True)
class Average(Statistic[Ratio]):
    """A metric's average over the sessions that have it; `before`: over the window of the same length before."""

    of: str = ""
    before: bool = False


@dataclass(frozen=True, slots=True)
class Share(Statistic[Ratio]):
    """The share of sessions that meet the condition, `among` those that have the metric (all, if none is named)."""

    where: Condition | str = ""
    """A condition, or a column that is one."""
    among: str = ""


@dataclass(frozen=True, slots=True)
class Quotient(Statistic[Ratio]):
    """One column's total over another's, such as open questions over all questions."""

    of: str = ""
    over: str = ""


@dataclass(frozen=True, slots=True)
class Holding(Statistic[int]):
    """The number of sessions that have the metric."""

    metric: str = ""


@dataclass(frozen=True, slots=True)
class Lowest(Statistic[Decimal | None]):
    """A column's least value over the sessions that meet the condition; None without any."""

    of: str = ""
    where: Condition | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """One tutor's statistics at one moment: `tutor[NO_SHOWS]`. Of a tutor without sessions all are zero, or None."""

    tutor_id: str
    values: Mapping[str, Any]
    resolved_alerts: int = 0
    """How many alerts of ours were resolved when these were read (see `rules.store`)."""
    open_alerts: int = 0
    ended_alerts: int = 0
    """How many have ended since the latest generation."""

    def __getitem__(self, statistic: Statistic[Measure]) -> Measure:
        value: Measure = self.values[statistic.name]
        return value


class Severity(StrEnum):
    """The urgency of an alert."""

    CRITICAL = "critical"
    WARNING = "warning"


class InsightKind(StrEnum):
    """The kinds of insights: for praise, or for coaching."""

    STRENGTH = "strength"
    GROWTH_AREA = "growth_area"


class Tells(StrEnum):
    """The detail that a page shows of a session that is evidence."""

    NOTHING = "nothing"
    """The rule's text says it already, and the session's score would mislead."""
    SCORE = "score"
    TALK_RATIO = "talk_ratio"
    CHECKS = "checks"
    ENGAGEMENT = "engagement"


Decide = Callable[[Statistics, Thresholds], Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The parts that alert and insight rules have in common."""

    name: str
    """The platform's label: of its enum of alert types or insight categories."""
    label: str
    """The same in words: the title of an alert, and what pages call the rule."""
    compares_with: Threshold[Decimal] | Threshold[int]
    """The threshold that its measured value is held against."""
    thresholds: tuple[Threshold[Decimal] | Threshold[int], ...]
    """All of its own, that one included."""
    statistics: tuple[Statistic[Any], ...]
    """All that `decide` uses."""
    decide: Decide
    tells: Tells = Tells.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule(Rule):
    """A rule that opens an alert, with its words and its evidence."""

    severity: Severity
    evidence: Statistic[Counted] | Statistic[Ratio]
    """The statistic whose sessions are the evidence: of a counting alert all that count, of an averaging one those
    that no other alert of the type has consumed."""
    names_session: bool = False
    """Whether the alert itself names the latest of these sessions."""
    lower_is_worse: bool = False
    """Whether a lower value is the worse one; unused where the rule `counts`."""

    @property
    def counts(self) -> bool:
        """Whether every further session makes the alert worse, whatever its value."""
        return isinstance(self.evidence, Count)

    @property
    def unit(self) -> str:
        """What stands behind the value as texts show it."""
        return "%" if self.compares_with.unit is Unit.SHARE else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightRule(Rule):
    """A rule that makes an insight active, with its words and the sessions that show it."""

    kind: InsightKind
    shows: Condition
    """Whether a completed session (`FIRST_SESSIONS` has them, too) is an example of it."""
