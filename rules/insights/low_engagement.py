"""low_engagement: students are not engaged enough."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Average, Compared, InsightKind, InsightRule, Session, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, average_verdict

BELOW = Threshold("insight_low_engagement_below", Decimal("6.0"), Unit.SCORE, "low_engagement: average below")
ENGAGEMENT = Average("engagement", COMPLETED, of="engagement")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether the session's engagement is low by itself."""
    return session.engagement < thresholds[BELOW]


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Average engagement < 6.0."""
    return average_verdict(tutor[ENGAGEMENT], thresholds, BELOW, holds=Ratio.below, text="Low student engagement")


RULE = InsightRule(
    name="low_engagement",
    label="Low engagement",
    kind=InsightKind.GROWTH_AREA,
    compares_with=BELOW,
    thresholds=(BELOW,),
    statistics=(ENGAGEMENT,),
    shows=shows,
    tells=Tells.ENGAGEMENT,
    decide=decide,
)
