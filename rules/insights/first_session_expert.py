"""first_session_expert: students come back after their first session."""

from decimal import Decimal

from rules.rule import FIRST_SESSIONS, Compared, InsightKind, InsightRule, Session, Share, Statistics
from rules.thresholds import WINDOW_DAYS, Threshold, Thresholds, Unit
from rules.verdicts import Verdict, comparing, rounded

SHARE = Threshold("insight_conversion_share", Decimal("0.85"), Unit.SHARE, "first_session_expert: share converted")
LEAST = Threshold("insight_conversion_least", 3, Unit.COUNT, "first_session_expert: least first sessions")


CONVERSIONS = Share("conversions", FIRST_SESSIONS, where="converted")


def shows(session: Session, _thresholds: Compared) -> object:
    """Return whether it is a first session, and converted."""
    return (session.session_number == 1) & session.converted


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """At least 85% of first sessions converted; at least 3 first sessions."""
    conversions, days = tutor[CONVERSIONS], thresholds[WINDOW_DAYS]
    measured = f"{conversions.total} of {conversions.count} first sessions"
    if conversions.count:
        measured += f" ({conversions.percent()}%)"
    measured += f" in {days} days"
    return comparing(
        rounded(conversions),
        thresholds[SHARE],
        holds=conversions.at_least(thresholds[SHARE]),
        sessions=conversions.count,
        least=thresholds[LEAST],
        measured=measured,
        text=f"Students come back after {measured}",
    )


RULE = InsightRule(
    name="first_session_expert",
    label="First session expert",
    kind=InsightKind.STRENGTH,
    compares_with=SHARE,
    thresholds=(SHARE, LEAST),
    statistics=(CONVERSIONS,),
    shows=shows,
    decide=decide,
)
