"""poor_first_session: a student's first session with the tutor went badly."""

from decimal import Decimal

from rules.rule import FIRST_SESSIONS, AlertRule, Compared, Count, Lowest, Session, Severity, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, counting

BELOW = Threshold("poor_first_session_below", Decimal("6.5"), Unit.SCORE, "A first session scored below is poor")
DAYS = Threshold("poor_first_session_days", 7, Unit.DAYS, "Window of poor_first_session")
LEAST = Threshold("poor_first_session_least", 1, Unit.COUNT, "Poor first sessions that open the alert")


def is_poor(session: Session, thresholds: Compared) -> object:
    """Return whether the session's score is too low."""
    return session.overall_session_score < thresholds[BELOW]


POOR = Count("poor_first_sessions", FIRST_SESSIONS, DAYS, where=is_poor)
LOWEST = Lowest("lowest_first_session_score", FIRST_SESSIONS, DAYS, of="overall_session_score", where=is_poor)


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """A first session with a student, completed within 7 days, scored < 6.5."""
    poor, lowest, below, days = tutor[POOR], tutor[LOWEST], thresholds[BELOW], thresholds[DAYS]
    if poor.count == 1:
        measured = f"First session with a student scored {lowest} in the last {days} days"
        text = f"{measured} (alert below {below})"
    else:
        measured = f"{poor.count or 'No'} first sessions with students scored below {below} in the last {days} days"
        text = f"{measured} (lowest {lowest})"
    return counting(poor, thresholds[LEAST], value=lowest, threshold=below, measured=measured, text=text)


RULE = AlertRule(
    name="poor_first_session",
    label="Poor first session",
    severity=Severity.CRITICAL,
    compares_with=BELOW,
    thresholds=(BELOW, DAYS, LEAST),
    statistics=(POOR, LOWEST),
    evidence=POOR,
    names_session=True,
    tells=Tells.SCORE,
    decide=decide,
)
