"""The six alert rules. Each reads like its row in the specification."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rules.decisions.statistics import Counted, Ratio, TutorStatistics, round_half_up
from rules.settings import Thresholds


class AlertType(StrEnum):
    """The alert types that Tutorwatch opens; other clients of the platform have others."""

    POOR_FIRST_SESSION = "poor_first_session"
    NO_SHOW_PATTERN = "no_show_pattern"
    HIGH_TALK_RATIO = "high_talk_ratio"
    LOW_UNDERSTANDING_CHECKS = "low_understanding_checks"
    HIGH_RESCHEDULE_RATE = "high_reschedule_rate"
    DECLINING_PERFORMANCE = "declining_performance"


OUR_ALERT_TYPES = tuple(AlertType)


class Severity(StrEnum):
    """How soon an admin should look."""

    CRITICAL = "critical"
    WARNING = "warning"


SEVERITIES = {
    AlertType.POOR_FIRST_SESSION: Severity.CRITICAL,
    AlertType.NO_SHOW_PATTERN: Severity.CRITICAL,
    AlertType.HIGH_TALK_RATIO: Severity.WARNING,
    AlertType.LOW_UNDERSTANDING_CHECKS: Severity.WARNING,
    AlertType.HIGH_RESCHEDULE_RATE: Severity.WARNING,
    AlertType.DECLINING_PERFORMANCE: Severity.WARNING,
}


class Verdict(StrEnum):
    """Why a rule speaks or stays silent."""

    HOLDS = "holds"
    ALREADY_COUNTED = "holds, but only by sessions that a resolved alert has counted"
    WITHIN_LIMITS = "within limits"
    TOO_FEW_SESSIONS = "too few sessions"


@dataclass(frozen=True, slots=True)
class AlertFinding:
    """What an alert says: the measured value, the threshold it was held against, and the words for both."""

    title: str
    description: str
    value: Decimal
    threshold: Decimal


@dataclass(frozen=True, slots=True)
class AlertDecision:
    """A rule's verdict on a tutor; the finding is there for HOLDS and ALREADY_COUNTED."""

    alert_type: AlertType
    verdict: Verdict
    finding: AlertFinding | None = None


def poor_first_session(tutor: TutorStatistics, limits: Thresholds) -> AlertDecision:
    """A first session with a student, completed within 7 days, scored < 6.5."""

    def finding() -> AlertFinding:
        lowest = tutor.lowest_first_session_score
        score = Decimal(0) if lowest is None else lowest
        limit, days = limits.poor_first_session_below, limits.poor_first_session_days
        return AlertFinding(
            title="Poor first session",
            description=(
                f"First session with a student scored {score} in the last {days} days (limit {limit})"
                if tutor.poor_first_sessions.count == 1
                else f"{tutor.poor_first_sessions.count} first sessions with students scored below {limit} "
                f"in the last {days} days (lowest {score})"
            ),
            value=score,
            threshold=limit,
        )

    least = limits.poor_first_session_least
    return _count_rule(AlertType.POOR_FIRST_SESSION, tutor.poor_first_sessions, least, finding)


def no_show_pattern(tutor: TutorStatistics, limits: Thresholds) -> AlertDecision:
    """At least 2 sessions that the tutor didn't come to, scheduled no longer than 30 days ago."""

    def finding() -> AlertFinding:
        count, limit = tutor.no_shows.count, limits.no_show_pattern_count
        return AlertFinding(
            title="Tutor no-shows",
            description=f"{count} no-shows in {limits.no_show_pattern_days} days (limit {limit})",
            value=Decimal(count),
            threshold=Decimal(limit),
        )

    return _count_rule(AlertType.NO_SHOW_PATTERN, tutor.no_shows, limits.no_show_pattern_count, finding)


def high_reschedule_rate(tutor: TutorStatistics, limits: Thresholds) -> AlertDecision:
    """At least 5 sessions that the tutor rescheduled, scheduled no longer than 30 days ago."""

    def finding() -> AlertFinding:
        count, limit = tutor.reschedules.count, limits.high_reschedule_count
        return AlertFinding(
            title="Many reschedules by the tutor",
            description=(
                f"{count} sessions rescheduled by the tutor in {limits.high_reschedule_days} days (limit {limit})"
            ),
            value=Decimal(count),
            threshold=Decimal(limit),
        )

    return _count_rule(AlertType.HIGH_RESCHEDULE_RATE, tutor.reschedules, limits.high_reschedule_count, finding)


def high_talk_ratio(tutor: TutorStatistics, limits: Thresholds) -> AlertDecision:
    """`tutor_talk_ratio` > 0.65 in >= 70% of the recent ten; at least 5 of them."""
    recent, share = tutor.recent_high_talk, limits.high_talk_ratio_share

    def finding() -> AlertFinding:
        return AlertFinding(
            title="Tutor talks too much",
            description=(
                f"Talk ratio above {_percent(limits.high_talk_ratio_above)} in {recent.total} of the {recent.count} "
                f"latest sessions of {limits.window_days} days: {recent.percent()}% (limit {_percent(share)})"
            ),
            value=recent.rounded(4),
            threshold=share,
        )

    holds = recent.at_least(share)
    return _average_rule(AlertType.HIGH_TALK_RATIO, recent, limits.high_talk_ratio_least, holds, finding)


def low_understanding_checks(tutor: TutorStatistics, limits: Thresholds) -> AlertDecision:
    """Average `tutor_checks_understanding_count` < 4 over the recent ten; at least 5 of them."""
    recent, limit = tutor.recent_checks, limits.low_checks_below

    def finding() -> AlertFinding:
        return AlertFinding(
            title="Few understanding checks",
            description=(
                f"{recent.rounded(1)} understanding checks a session on average over the {recent.count} "
                f"latest sessions of {limits.window_days} days (limit {limit})"
            ),
            value=recent.rounded(4),
            threshold=limit,
        )

    holds = recent.below(limit)
    return _average_rule(AlertType.LOW_UNDERSTANDING_CHECKS, recent, limits.low_checks_least, holds, finding)


def declining_performance(tutor: TutorStatistics, limits: Thresholds) -> AlertDecision:
    """Average score of the last 30 days > 15% below that of the 30 days before; at least 3 in each half."""
    recent, earlier, limit = tutor.recent_score, tutor.earlier_score, limits.declining_more_than

    def finding() -> AlertFinding:
        fall = 1 - (recent.total * earlier.count) / (earlier.total * recent.count)
        return AlertFinding(
            title="Declining performance",
            description=(
                f"Average score {recent.rounded(1)} in the last {limits.declining_days} days, "
                f"{round_half_up(fall * 100, 0)}% below the {earlier.rounded(1)} of the "
                f"{limits.declining_days} days before (limit {_percent(limit)})"
            ),
            value=round_half_up(fall, 4),
            threshold=limit,
        )

    fewest = recent if recent.count < earlier.count else earlier
    holds = recent.total * earlier.count < (1 - limit) * earlier.total * recent.count
    return _average_rule(AlertType.DECLINING_PERFORMANCE, fewest, limits.declining_least, holds, finding)


ALERT_RULES = (
    poor_first_session,
    no_show_pattern,
    high_talk_ratio,
    low_understanding_checks,
    high_reschedule_rate,
    declining_performance,
)


def decide_alerts(tutor: TutorStatistics, limits: Thresholds) -> list[AlertDecision]:
    """Every alert rule's verdict on the tutor, in the order of ALERT_RULES."""
    return [rule(tutor, limits) for rule in ALERT_RULES]


def _count_rule(
    alert_type: AlertType, sessions: Counted, least: int, finding: Callable[[], AlertFinding]
) -> AlertDecision:
    if sessions.count < least:
        return AlertDecision(alert_type, Verdict.WITHIN_LIMITS)
    verdict = Verdict.HOLDS if sessions.uncounted > 0 else Verdict.ALREADY_COUNTED
    return AlertDecision(alert_type, verdict, finding())


def _average_rule(
    alert_type: AlertType, sessions: Ratio, least: int, holds: bool, finding: Callable[[], AlertFinding]
) -> AlertDecision:
    if sessions.count < least:
        return AlertDecision(alert_type, Verdict.TOO_FEW_SESSIONS)
    if not holds:
        return AlertDecision(alert_type, Verdict.WITHIN_LIMITS)
    return AlertDecision(alert_type, Verdict.HOLDS, finding())


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"
