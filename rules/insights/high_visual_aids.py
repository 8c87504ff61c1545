"""high_visual_aids: the tutor uses visual aids."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Compared, InsightKind, InsightRule, Session, Share, Statistics
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, share_verdict

SHARE = Threshold("insight_high_visual_aids_share", Decimal("0.70"), Unit.SHARE, "high_visual_aids: share of sessions")
VISUAL_AIDS = Share("visual_aids", COMPLETED, where="tutor_uses_visual_aids", among="tutor_uses_visual_aids")


def shows(session: Session, _thresholds: Compared) -> object:
    """Return whether the tutor uses visual aids in the session."""
    return session.tutor_uses_visual_aids


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """`tutor_uses_visual_aids` in >= 70% of the sessions with video."""
    return share_verdict(tutor[VISUAL_AIDS], thresholds, SHARE, holds=Ratio.at_least, text="Uses visual aids in")


RULE = InsightRule(
    name="high_visual_aids",
    label="High visual aids",
    kind=InsightKind.STRENGTH,
    compares_with=SHARE,
    thresholds=(SHARE,),
    statistics=(VISUAL_AIDS,),
    shows=shows,
    decide=decide,
)
