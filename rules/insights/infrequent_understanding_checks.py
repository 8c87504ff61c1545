"""infrequent_understanding_checks: the tutor seldom checks understanding."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Average, Compared, InsightKind, InsightRule, Session, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, average_verdict

BELOW = Threshold("insight_infrequent_checks_below", Decimal(4), Unit.AVERAGE, "infrequent_understanding_checks: below")
CHECKS = Average("checks", COMPLETED, of="tutor_checks_understanding_count")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether the session has few checks by itself."""
    return session.tutor_checks_understanding_count < thresholds[BELOW]


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Average checks < 4."""
    return average_verdict(tutor[CHECKS], thresholds, BELOW, holds=Ratio.below, text="Seldom checks understanding")


RULE = InsightRule(
    name="infrequent_understanding_checks",
    label="Infrequent understanding checks",
    kind=InsightKind.GROWTH_AREA,
    compares_with=BELOW,
    thresholds=(BELOW,),
    statistics=(CHECKS,),
    shows=shows,
    tells=Tells.CHECKS,
    decide=decide,
)
