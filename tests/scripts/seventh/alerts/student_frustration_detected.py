"""student_frustration_detected: students were frustrated in several sessions. The rule that CONTRIBUTING.md adds."""

from rules.measures import plural
from rules.rule import COMPLETED, AlertRule, Compared, Count, Session, Severity, Statistics
from rules.thresholds import WINDOW_DAYS, Threshold, Thresholds, Unit
from rules.verdicts import Verdict, counting

COUNT = Threshold("student_frustration_count", 3, Unit.COUNT, "Sessions with a frustrated student that open the alert")
SIGNS = Threshold("student_frustration_signs", 2, Unit.COUNT, "Signs of frustration from which on a session counts")


def is_frustrated(session: Session, thresholds: Compared) -> object:
    """Whether the student showed signs of frustration."""
    return session.student_frustration_count >= thresholds[SIGNS]


FRUSTRATED = Count("frustrated_sessions", COMPLETED, where=is_frustrated)


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """At least 3 sessions with 2 or more signs of frustration."""
    frustrated, least = tutor[FRUSTRATED], thresholds[COUNT]
    measured = f"{plural(frustrated.count, 'session')} with a frustrated student in {thresholds[WINDOW_DAYS]} days"
    return counting(frustrated, least, measured=measured, text=f"{measured} (alert from {least})")


RULE = AlertRule(
    name="student_frustration_detected",
    label="Frustrated students",
    severity=Severity.WARNING,
    compares_with=COUNT,
    thresholds=(COUNT, SIGNS),
    statistics=(FRUSTRATED,),
    evidence=FRUSTRATED,
    decide=decide,
)
