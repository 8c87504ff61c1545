"""high_engagement: students are highly engaged."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Average, Compared, InsightKind, InsightRule, Session, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, average_verdict

ABOVE = Threshold("insight_high_engagement_above", Decimal("8.0"), Unit.SCORE, "high_engagement: average above")
ENGAGEMENT = Average("engagement", COMPLETED, of="engagement")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether the session's engagement is high by itself."""
    return session.engagement > thresholds[ABOVE]


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Average `student_engagement_score` > 8.0."""
    return average_verdict(tutor[ENGAGEMENT], thresholds, ABOVE, holds=Ratio.above, text="Students are highly engaged")


RULE = InsightRule(
    name="high_engagement",
    label="High engagement",
    kind=InsightKind.STRENGTH,
    compares_with=ABOVE,
    thresholds=(ABOVE,),
    statistics=(ENGAGEMENT,),
    shows=shows,
    tells=Tells.ENGAGEMENT,
    decide=decide,
)
