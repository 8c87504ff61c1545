"""high_reschedule_rate: the tutor moves sessions often."""

from rules.measures import plural
from rules.rule import MISSED, AlertRule, Compared, Count, Session, Severity, Statistics
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, counting

COUNT = Threshold("high_reschedule_count", 5, Unit.COUNT, "Reschedules by the tutor that open the alert")
DAYS = Threshold("high_reschedule_days", 30, Unit.DAYS, "Window of high_reschedule_rate")


def rescheduled_by_tutor(session: Session, _thresholds: Compared) -> object:
    """Return whether it is the tutor who moved the session."""
    return (session.status == "rescheduled") & (session.rescheduled_by == "tutor")


RESCHEDULES = Count("reschedules", MISSED, DAYS, where=rescheduled_by_tutor)


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """At least 5 sessions that the tutor rescheduled, scheduled no longer than 30 days ago."""
    reschedules, least = tutor[RESCHEDULES], thresholds[COUNT]
    measured = f"{plural(reschedules.count, 'session')} rescheduled by the tutor in {thresholds[DAYS]} days"
    return counting(reschedules, least, measured=measured, text=f"{measured} (alert from {least})")


RULE = AlertRule(
    name="high_reschedule_rate",
    label="Tutor reschedules",
    severity=Severity.WARNING,
    compares_with=COUNT,
    thresholds=(COUNT, DAYS),
    statistics=(RESCHEDULES,),
    evidence=RESCHEDULES,
    decide=decide,
)
