"""high_talk_ratio: the tutor talks too much in most of the recent ten sessions."""

from decimal import Decimal

from rules.rule import AlertRule, Compared, Session, Severity, Share, Statistics, Tells, recent
from rules.thresholds import WINDOW_DAYS, Threshold, Thresholds, Unit, percent
from rules.verdicts import Verdict, comparing, rounded

ABOVE = Threshold("high_talk_ratio_above", Decimal("0.65"), Unit.SHARE, "Talk ratio that is too high, for the alert")
SHARE = Threshold("high_talk_ratio_share", Decimal("0.70"), Unit.SHARE, "Share of such sessions that opens the alert")
LEAST = Threshold("high_talk_ratio_least", 5, Unit.COUNT, "Least sessions for high_talk_ratio")


def talks_too_much(session: Session, thresholds: Compared) -> object:
    """Return whether the tutor's share of the talking is too large."""
    return session.tutor_talk_ratio > thresholds[ABOVE]


TALK = Share("recent_high_talk", recent("tutor_talk_ratio"), where=talks_too_much)


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """`tutor_talk_ratio` > 0.65 in >= 70% of the recent ten; at least 5 of them."""
    talk, share = tutor[TALK], thresholds[SHARE]
    measured = (
        f"Talk ratio above {percent(thresholds[ABOVE])} in {talk.total} of the {talk.count} latest sessions "
        f"of {thresholds[WINDOW_DAYS]} days"
    ) + (f": {talk.percent()}%" if talk.count else "")
    return comparing(
        rounded(talk),
        share,
        holds=talk.at_least(share),
        sessions=talk.count,
        least=thresholds[LEAST],
        measured=measured,
        text=f"{measured} (alert from {percent(share)})",
        shown=talk.percent() if talk.count else None,
    )


RULE = AlertRule(
    name="high_talk_ratio",
    label="High talk ratio",
    severity=Severity.WARNING,
    compares_with=SHARE,
    thresholds=(ABOVE, SHARE, LEAST),
    statistics=(TALK,),
    evidence=TALK,
    tells=Tells.TALK_RATIO,
    decide=decide,
)
