"""low_understanding_checks: the tutor seldom checks understanding in the recent ten sessions."""

from decimal import Decimal

from rules.rule import AlertRule, Average, Severity, Statistics, Tells, recent
from rules.thresholds import WINDOW_DAYS, Threshold, Thresholds, Unit
from rules.verdicts import Verdict, comparing, rounded

BELOW = Threshold("low_checks_below", Decimal(4), Unit.AVERAGE, "Average understanding checks below which it opens")
LEAST = Threshold("low_checks_least", 5, Unit.COUNT, "Least sessions for low_understanding_checks")

CHECKS = Average("recent_checks", recent("tutor_checks_understanding_count"), of="tutor_checks_understanding_count")


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Average `tutor_checks_understanding_count` < 4 over the recent ten; at least 5 of them."""
    checks, below, days = tutor[CHECKS], thresholds[BELOW], thresholds[WINDOW_DAYS]
    measured = (
        f"{checks.rounded(1)} understanding checks a session on average over the {checks.count} latest sessions "
        f"of {days} days"
        if checks.count
        else f"no sessions with understanding checks counted in {days} days"
    )
    return comparing(
        rounded(checks),
        below,
        holds=checks.below(below),
        sessions=checks.count,
        least=thresholds[LEAST],
        measured=measured,
        text=f"{measured} (should be at least {below})",
        shown=rounded(checks, 1),
    )


RULE = AlertRule(
    name="low_understanding_checks",
    label="Few understanding checks",
    severity=Severity.WARNING,
    compares_with=BELOW,
    thresholds=(BELOW, LEAST),
    statistics=(CHECKS,),
    evidence=CHECKS,
    lower_is_worse=True,
    tells=Tells.CHECKS,
    decide=decide,
)
