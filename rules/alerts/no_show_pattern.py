"""no_show_pattern: the tutor misses sessions."""

from rules.measures import plural
from rules.rule import MISSED, AlertRule, Compared, Count, Session, Severity, Statistics
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, counting

COUNT = Threshold("no_show_pattern_count", 2, Unit.COUNT, "No-shows of the tutor that open the alert")
DAYS = Threshold("no_show_pattern_days", 30, Unit.DAYS, "Window of no_show_pattern")


def missed_by_tutor(session: Session, _thresholds: Compared) -> object:
    """Return whether it is the tutor who didn't come."""
    return session.status == "no_show_tutor"


NO_SHOWS = Count("no_shows", MISSED, DAYS, where=missed_by_tutor)


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """At least 2 sessions that the tutor didn't come to, scheduled no longer than 30 days ago."""
    no_shows, least = tutor[NO_SHOWS], thresholds[COUNT]
    measured = f"{plural(no_shows.count, 'no-show')} in {thresholds[DAYS]} days"
    return counting(no_shows, least, measured=measured, text=f"{measured} (alert from {least})")


RULE = AlertRule(
    name="no_show_pattern",
    label="Tutor no-shows",
    severity=Severity.CRITICAL,
    compares_with=COUNT,
    thresholds=(COUNT, DAYS),
    statistics=(NO_SHOWS,),
    evidence=NO_SHOWS,
    decide=decide,
)
