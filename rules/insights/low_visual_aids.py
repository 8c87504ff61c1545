"""low_visual_aids: the tutor seldom uses visual aids."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Compared, InsightKind, InsightRule, Session, Share, Statistics
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, share_verdict

BELOW = Threshold("insight_low_visual_aids_share", Decimal("0.30"), Unit.SHARE, "low_visual_aids: share below")
VISUAL_AIDS = Share("visual_aids", COMPLETED, where="tutor_uses_visual_aids", among="tutor_uses_visual_aids")


def shows(session: Session, _thresholds: Compared) -> object:
    """Return whether the tutor uses no visual aids in the session."""
    return ~session.tutor_uses_visual_aids


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Visual aids in < 30% of the sessions with video."""
    return share_verdict(tutor[VISUAL_AIDS], thresholds, BELOW, holds=Ratio.below, text="Uses visual aids in only")


RULE = InsightRule(
    name="low_visual_aids",
    label="Low visual aids",
    kind=InsightKind.GROWTH_AREA,
    compares_with=BELOW,
    thresholds=(BELOW,),
    statistics=(VISUAL_AIDS,),
    shows=shows,
    decide=decide,
)
