"""balanced_talk_ratio: tutor and student both have their say."""

from decimal import Decimal

from rules.measures import Ratio
from rules.rule import COMPLETED, Compared, InsightKind, InsightRule, Session, Share, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit
from rules.verdicts import Verdict, share_verdict

FROM = Threshold("insight_balanced_talk_from", Decimal("0.35"), Unit.SHARE, "balanced_talk_ratio: from (included)")
TO = Threshold("insight_balanced_talk_to", Decimal("0.50"), Unit.SHARE, "balanced_talk_ratio: to (included)")
SHARE = Threshold("insight_balanced_talk_share", Decimal("0.70"), Unit.SHARE, "balanced_talk_ratio: share of sessions")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether the session's talk ratio is balanced."""
    return (session.tutor_talk_ratio >= thresholds[FROM]) & (session.tutor_talk_ratio <= thresholds[TO])


TALK = Share("balanced_talk", COMPLETED, where=shows, among="tutor_talk_ratio")


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """`tutor_talk_ratio` from 0.35 to 0.50 (both included) in >= 70%."""
    return share_verdict(tutor[TALK], thresholds, SHARE, holds=Ratio.at_least, text="Talk time is well balanced in")


RULE = InsightRule(
    name="balanced_talk_ratio",
    label="Balanced talk ratio",
    kind=InsightKind.STRENGTH,
    compares_with=SHARE,
    thresholds=(FROM, TO, SHARE),
    statistics=(TALK,),
    shows=shows,
    tells=Tells.TALK_RATIO,
    decide=decide,
)
