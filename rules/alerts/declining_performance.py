"""declining_performance: the tutor's average score has fallen."""

from decimal import Decimal

from rules.measures import plural, round_half_up
from rules.rule import SCORED, AlertRule, Average, Severity, Statistics, Tells
from rules.thresholds import Threshold, Thresholds, Unit, percent
from rules.verdicts import Verdict, comparing

MORE_THAN = Threshold(
    "declining_more_than", Decimal("0.15"), Unit.SHARE, "Fall of the average score that opens the alert"
)
DAYS = Threshold("declining_days", 30, Unit.DAYS, "Each of the two windows of declining_performance")
LEAST = Threshold("declining_least", 3, Unit.COUNT, "Least scored sessions in each of the two windows")

RECENT = Average("recent_score", SCORED, DAYS, of="overall_session_score")
EARLIER = Average("earlier_score", SCORED, DAYS, of="overall_session_score", before=True)


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Average score of the last 30 days > 15% below that of the 30 days before; at least 3 in each half."""
    recent, earlier, more_than, days = tutor[RECENT], tutor[EARLIER], thresholds[MORE_THAN], thresholds[DAYS]
    fewest = min(recent.count, earlier.count)
    value = shown = None
    measured = f"{plural(recent.count, 'scored session')} in the last {days} days, {earlier.count} in those before"
    if fewest and earlier.total:
        fall = 1 - (recent.total * earlier.count) / (earlier.total * recent.count)
        value, shown = round_half_up(fall, 4), round_half_up(fall * 100, 0)
        measured = (
            f"Average score {recent.rounded(1)} in the last {days} days, {round_half_up(abs(fall) * 100, 0)}% "
            f"{'below' if fall >= 0 else 'above'} the {earlier.rounded(1)} of the {days} days before"
        )
    return comparing(
        value,
        more_than,
        # Multiplied, because a division would round: a fall of exactly 15% is not more than 15%.
        holds=recent.total * earlier.count < (1 - more_than) * earlier.total * recent.count,
        sessions=fewest,
        least=thresholds[LEAST],
        measured=measured,
        text=f"{measured} (alert above {percent(more_than)})",
        shown=shown,
    )


RULE = AlertRule(
    name="declining_performance",
    label="Declining performance",
    severity=Severity.WARNING,
    compares_with=MORE_THAN,
    thresholds=(MORE_THAN, DAYS, LEAST),
    statistics=(RECENT, EARLIER),
    evidence=RECENT,
    tells=Tells.SCORE,
    decide=decide,
)
