"""The registry checks what the rules' files say."""

from dataclasses import replace
from decimal import Decimal

import pytest

from rules.alerts import high_talk_ratio, no_show_pattern
from rules.insights import high_engagement
from rules.registry import ALERT_RULES, INSIGHT_RULES, RuleError, check
from rules.rule import AlertRule, InsightRule
from rules.thresholds import Threshold, Unit

ANOTHER = Threshold("another", Decimal(1), Unit.SCORE, "Another")


@pytest.mark.parametrize(
    ("alert", "insight", "complaint"),
    [
        pytest.param(
            replace(no_show_pattern.RULE, compares_with=ANOTHER), None, "isn't among its thresholds", id="threshold"
        ),
        pytest.param(replace(no_show_pattern.RULE, statistics=()), None, "isn't among its statistics", id="evidence"),
        pytest.param(
            replace(no_show_pattern.RULE, thresholds=(*no_show_pattern.RULE.thresholds, high_talk_ratio.ABOVE)),
            None,
            "which another one has already",
            id="a threshold of another rule",
        ),
        pytest.param(
            None,
            replace(high_engagement.RULE, statistics=(replace(high_engagement.ENGAGEMENT, of="other"),)),
            "which means something else elsewhere",
            id="a statistic of the same name",
        ),
        pytest.param(
            None,
            replace(high_engagement.RULE, statistics=(high_engagement.ENGAGEMENT, no_show_pattern.NO_SHOWS)),
            "give it a statistic of its own",
            id="another alert's evidence",
        ),
    ],
)
def test_incomplete_or_contradictory_rule_is_refused(
    alert: AlertRule | None, insight: InsightRule | None, complaint: str
) -> None:
    alerts = {**ALERT_RULES, **({alert.name: alert} if alert else {})}
    insights = {**INSIGHT_RULES, **({insight.name: insight} if insight else {})}

    with pytest.raises(RuleError, match=complaint):
        check(alerts.values(), insights.values())


def test_rules_that_are_there_pass() -> None:
    check(ALERT_RULES.values(), INSIGHT_RULES.values())
