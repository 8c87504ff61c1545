"""frequent_understanding_checks: the tutor often checks understanding."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Average, Compared, InsightKind, InsightRule, Session, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, average_verdict

ABOVE = Threshold("insight_frequent_checks_above", Decimal(8), Unit.AVERAGE, "frequent_understanding_checks: above")
CHECKS = Average("checks", COMPLETED, of="tutor_checks_understanding_count")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether the session has many checks by itself."""
    return session.tutor_checks_understanding_count > thresholds[ABOVE]


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Average checks > 8."""
    return average_verdict(tutor[CHECKS], thresholds, ABOVE, holds=Ratio.above, text="Checks understanding often")


RULE = InsightRule(
    name="frequent_understanding_checks",
    label="Frequent understanding checks",
    kind=InsightKind.STRENGTH,
    compares_with=ABOVE,
    thresholds=(ABOVE,),
    statistics=(CHECKS,),
    shows=shows,
    tells=Tells.CHECKS,
    decide=decide,
)
