"""high_talk_ratio: the tutor talks too much."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Compared, InsightKind, InsightRule, Session, Share, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit, percent
from rules.verdicts import Verdict, share_verdict

ABOVE = Threshold("insight_high_talk_above", Decimal("0.65"), Unit.SHARE, "high_talk_ratio: talk ratio above")
SHARE = Threshold("insight_high_talk_share", Decimal("0.70"), Unit.SHARE, "high_talk_ratio: share of sessions")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether the tutor talks too much in the session."""
    return session.tutor_talk_ratio > thresholds[ABOVE]


TALK = Share("high_talk", COMPLETED, where=shows, among="tutor_talk_ratio")


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Talk ratio > 0.65 in >= 70%."""
    text = f"Talks more than {percent(thresholds[ABOVE])} of the time in"
    return share_verdict(tutor[TALK], thresholds, SHARE, holds=Ratio.at_least, text=text)


RULE = InsightRule(
    name="high_talk_ratio",
    label="High talk ratio",
    kind=InsightKind.GROWTH_AREA,
    compares_with=SHARE,
    thresholds=(ABOVE, SHARE),
    statistics=(TALK,),
    shows=shows,
    tells=Tells.TALK_RATIO,
    decide=decide,
)
