"""positive_reinforcement: the tutor encourages students."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Average, Compared, InsightKind, InsightRule, Session, Statistics
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, average_verdict

ABOVE = Threshold("insight_reinforcement_above", Decimal(10), Unit.AVERAGE, "positive_reinforcement: average above")
REINFORCEMENT = Average("reinforcement", COMPLETED, of="tutor_positive_reinforcement_count")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether the session has much encouragement by itself."""
    return session.tutor_positive_reinforcement_count > thresholds[ABOVE]


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Average `tutor_positive_reinforcement_count` > 10."""
    return average_verdict(tutor[REINFORCEMENT], thresholds, ABOVE, holds=Ratio.above, text="Encourages students")


RULE = InsightRule(
    name="positive_reinforcement",
    label="Positive reinforcement",
    kind=InsightKind.STRENGTH,
    compares_with=ABOVE,
    thresholds=(ABOVE,),
    statistics=(REINFORCEMENT,),
    shows=shows,
    decide=decide,
)
