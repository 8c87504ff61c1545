"""Each insight rule on both sides of its thresholds and exactly on them."""

from decimal import Decimal
from typing import Any

import pytest

from rules import settings
from rules.decisions import Decided, decide_insights
from rules.registry import INSIGHT_RULES
from rules.rule import InsightKind, InsightRule, Statistics
from rules.store import metric_value
from rules.thresholds import Thresholds
from tests.rules.decisions.measured import of, tutor


def holding(figures: Statistics, thresholds: Thresholds) -> list[Decided[InsightRule]]:
    return [decided for decided in decide_insights(figures, thresholds) if decided.verdict.is_met]


def found(figures: Statistics, thresholds: Thresholds) -> list[str]:
    return [decided.rule.name for decided in holding(figures, thresholds)]


@pytest.mark.parametrize(
    ("engagement", "insights"),
    [
        pytest.param(of(0, 0), [], id="no session"),
        pytest.param(of(40, 4), [], id="four are too few to praise"),
        pytest.param(of(4, 4), [], id="four are too few to coach"),
        pytest.param(of("40.0", 5), [], id="exactly 8.0"),
        pytest.param(of("80.0", 10), [], id="exactly 8.0 over ten"),
        pytest.param(of("40.1", 5), ["high_engagement"], id="8.02"),
        pytest.param(of("48.1", 6), ["high_engagement"], id="8.0 and a sixtieth"),
        pytest.param(of("39.9", 5), [], id="7.98"),
        pytest.param(of("30.0", 5), [], id="exactly 6.0"),
        pytest.param(of("29.9", 5), ["low_engagement"], id="5.98"),
        pytest.param(of("35.9", 6), ["low_engagement"], id="6.0 less a sixtieth"),
        pytest.param(of("30.1", 5), [], id="6.02"),
        pytest.param(of(0, 5), ["low_engagement"], id="zero"),
    ],
)
def test_engagement_is_high_above_8_and_low_below_6(
    engagement: Any, insights: list[str], thresholds: Thresholds
) -> None:
    assert found(tutor(engagement=engagement), thresholds) == insights


@pytest.mark.parametrize(
    ("balanced", "sessions", "insights"),
    [
        pytest.param(0, 0, [], id="no session"),
        pytest.param(4, 4, [], id="four are too few"),
        pytest.param(5, 5, ["balanced_talk_ratio"], id="five"),
        pytest.param(6, 9, [], id="two thirds"),
        pytest.param(69, 100, [], id="69%"),
        pytest.param(7, 10, ["balanced_talk_ratio"], id="exactly 70%"),
        pytest.param(5, 7, ["balanced_talk_ratio"], id="five sevenths"),
    ],
)
def test_talk_is_balanced_from_70_percent(
    balanced: int, sessions: int, insights: list[str], thresholds: Thresholds
) -> None:
    assert found(tutor(balanced_talk=of(balanced, sessions)), thresholds) == insights


@pytest.mark.parametrize(
    ("high", "sessions", "insights"),
    [
        pytest.param(0, 0, [], id="no session"),
        pytest.param(4, 4, [], id="four are too few"),
        pytest.param(5, 5, ["high_talk_ratio"], id="five"),
        pytest.param(6, 9, [], id="two thirds"),
        pytest.param(69, 100, [], id="69%"),
        pytest.param(7, 10, ["high_talk_ratio"], id="exactly 70%"),
        pytest.param(71, 100, ["high_talk_ratio"], id="71%"),
    ],
)
def test_talk_is_too_much_from_70_percent(
    high: int, sessions: int, insights: list[str], thresholds: Thresholds
) -> None:
    assert found(tutor(high_talk=of(high, sessions)), thresholds) == insights


@pytest.mark.parametrize(
    ("checks", "sessions", "insights"),
    [
        pytest.param(0, 0, [], id="no session"),
        pytest.param(0, 4, [], id="four are too few to coach"),
        pytest.param(40, 4, [], id="four are too few to praise"),
        pytest.param(0, 5, ["infrequent_understanding_checks"], id="never"),
        pytest.param(19, 5, ["infrequent_understanding_checks"], id="3.8"),
        pytest.param(27, 7, ["infrequent_understanding_checks"], id="4 less a seventh"),
        pytest.param(20, 5, [], id="exactly 4"),
        pytest.param(21, 5, [], id="4.2"),
        pytest.param(40, 5, [], id="exactly 8"),
        pytest.param(41, 5, ["frequent_understanding_checks"], id="8.2"),
        pytest.param(57, 7, ["frequent_understanding_checks"], id="8 and a seventh"),
    ],
)
def test_checks_are_frequent_above_8_and_infrequent_below_4(
    checks: int, sessions: int, insights: list[str], thresholds: Thresholds
) -> None:
    assert found(tutor(checks=of(checks, sessions)), thresholds) == insights


@pytest.mark.parametrize(
    ("open_questions", "asked", "sessions", "insights"),
    [
        pytest.param(0, 0, 0, [], id="no session"),
        pytest.param(0, 0, 5, [], id="no question asked"),
        pytest.param(1, 1, 4, [], id="four sessions are too few"),
        pytest.param(1, 1, 5, ["strong_questioning"], id="one open question in five sessions"),
        pytest.param(0, 1, 5, [], id="one closed question"),
        pytest.param(6, 10, 5, [], id="exactly 60%"),
        pytest.param(601, 1000, 5, ["strong_questioning"], id="60.1%"),
        pytest.param(2, 3, 5, ["strong_questioning"], id="two thirds"),
        pytest.param(599, 1000, 5, [], id="59.9%"),
    ],
)
def test_questioning_is_strong_above_60_percent_open(
    open_questions: int, asked: int, sessions: int, insights: list[str], thresholds: Thresholds
) -> None:
    figures = tutor(open_questions=of(open_questions, asked), questioned_sessions=sessions)
    assert found(figures, thresholds) == insights


@pytest.mark.parametrize(
    ("used", "sessions", "insights"),
    [
        pytest.param(0, 0, [], id="no video"),
        pytest.param(0, 4, [], id="four are too few to coach"),
        pytest.param(4, 4, [], id="four are too few to praise"),
        pytest.param(5, 5, ["high_visual_aids"], id="always"),
        pytest.param(7, 10, ["high_visual_aids"], id="exactly 70%"),
        pytest.param(69, 100, [], id="69%"),
        pytest.param(4, 6, [], id="two thirds"),
        pytest.param(3, 10, [], id="exactly 30%"),
        pytest.param(2, 6, [], id="one third"),
        pytest.param(29, 100, ["low_visual_aids"], id="29%"),
        pytest.param(2, 7, ["low_visual_aids"], id="two sevenths"),
        pytest.param(0, 5, ["low_visual_aids"], id="never"),
    ],
)
def test_visual_aids_are_high_from_70_and_low_below_30_percent(
    used: int, sessions: int, insights: list[str], thresholds: Thresholds
) -> None:
    assert found(tutor(visual_aids=of(used, sessions)), thresholds) == insights


@pytest.mark.parametrize(
    ("total", "sessions", "insights"),
    [
        pytest.param(0, 0, [], id="no session"),
        pytest.param(80, 4, [], id="four are too few"),
        pytest.param(50, 5, [], id="exactly 10"),
        pytest.param(51, 5, ["positive_reinforcement"], id="10.2"),
        pytest.param(71, 7, ["positive_reinforcement"], id="10 and a seventh"),
        pytest.param(49, 5, [], id="9.8"),
    ],
)
def test_reinforcement_is_positive_above_10(
    total: int, sessions: int, insights: list[str], thresholds: Thresholds
) -> None:
    assert found(tutor(reinforcement=of(total, sessions)), thresholds) == insights


@pytest.mark.parametrize(
    ("converted", "first_sessions", "insights"),
    [
        pytest.param(0, 0, [], id="no first session"),
        pytest.param(2, 2, [], id="two are too few"),
        pytest.param(3, 3, ["first_session_expert"], id="three of three"),
        pytest.param(2, 3, [], id="two of three"),
        pytest.param(5, 6, [], id="five sixths: 83.3%"),
        pytest.param(17, 20, ["first_session_expert"], id="exactly 85%"),
        pytest.param(16, 20, [], id="80%"),
        pytest.param(6, 7, ["first_session_expert"], id="six sevenths: 85.7%"),
        pytest.param(0, 3, [], id="none of three"),
    ],
)
def test_first_sessions_are_expert_from_85_percent_converted(
    converted: int, first_sessions: int, insights: list[str], thresholds: Thresholds
) -> None:
    assert found(tutor(conversions=of(converted, first_sessions)), thresholds) == insights


STRENGTH, GROWTH_AREA = InsightKind.STRENGTH, InsightKind.GROWTH_AREA


@pytest.mark.parametrize(
    ("figures", "kind", "text", "value"),
    [
        pytest.param(
            tutor(engagement=of("49.5", 6)),
            STRENGTH,
            "Students are highly engaged: 8.3 on average over 6 sessions in 30 days",
            "8.25",
            id="high_engagement",
        ),
        pytest.param(
            tutor(engagement=of("33.3", 6)),
            GROWTH_AREA,
            "Low student engagement: 5.6 on average over 6 sessions in 30 days",
            "5.55",
            id="low_engagement",
        ),
        pytest.param(
            tutor(balanced_talk=of(29, 40)),
            STRENGTH,
            "Talk time is well balanced in 73% of 40 sessions in 30 days",
            "72.50",
            id="balanced_talk_ratio",
        ),
        pytest.param(
            tutor(high_talk=of(5, 7)),
            GROWTH_AREA,
            "Talks more than 65% of the time in 71% of 7 sessions in 30 days",
            "71.43",
            id="high_talk_ratio",
        ),
        pytest.param(
            tutor(checks=of(66, 8)),
            STRENGTH,
            "Checks understanding often: 8.3 on average over 8 sessions in 30 days",
            "8.25",
            id="frequent_understanding_checks",
        ),
        pytest.param(
            tutor(checks=of(23, 6)),
            GROWTH_AREA,
            "Seldom checks understanding: 3.8 on average over 6 sessions in 30 days",
            "3.83",
            id="infrequent_understanding_checks",
        ),
        pytest.param(
            tutor(open_questions=of(5, 8), questioned_sessions=5),
            STRENGTH,
            "Asks open questions: 63% of 8 over 5 sessions in 30 days",
            "62.50",
            id="strong_questioning",
        ),
        pytest.param(
            tutor(visual_aids=of(5, 6)),
            STRENGTH,
            "Uses visual aids in 83% of 6 sessions in 30 days",
            "83.33",
            id="high_visual_aids",
        ),
        pytest.param(
            tutor(visual_aids=of(2, 16)),
            GROWTH_AREA,
            "Uses visual aids in only 13% of 16 sessions in 30 days",
            "12.50",
            id="low_visual_aids",
        ),
        pytest.param(
            tutor(reinforcement=of(2049, 200)),
            STRENGTH,
            "Encourages students: 10.2 on average over 200 sessions in 30 days",
            "10.25",
            id="positive_reinforcement",
        ),
        pytest.param(
            tutor(conversions=of(6, 7)),
            STRENGTH,
            "Students come back after 6 of 7 first sessions (86%) in 30 days",
            "85.71",
            id="first_session_expert",
        ),
    ],
)
def test_insight_says_value_and_window_rounded_half_up(
    figures: Statistics, kind: InsightKind, text: str, value: str, thresholds: Thresholds
) -> None:
    [insight] = holding(figures, thresholds)
    assert (insight.rule.kind, insight.verdict.text, str(metric_value(insight))) == (kind, text, value)


@pytest.mark.parametrize(
    ("figures", "setting", "insights"),
    [
        pytest.param(tutor(engagement=of(36, 4)), {"insight_least_sessions": 4}, ["high_engagement"], id="fewer"),
        pytest.param(tutor(engagement=of(45, 5)), {"insight_least_sessions": 6}, [], id="more"),
        pytest.param(
            tutor(open_questions=of(1, 1), questioned_sessions=5), {"insight_least_sessions": 6}, [], id="questioned"
        ),
        pytest.param(tutor(engagement=of(45, 5)), {"insight_high_engagement_above": 9}, [], id="engagement above"),
        pytest.param(tutor(engagement=of(25, 5)), {"insight_low_engagement_below": 5}, [], id="engagement below"),
        pytest.param(tutor(balanced_talk=of(8, 10)), {"insight_balanced_talk_share": "0.81"}, [], id="balanced share"),
        pytest.param(tutor(high_talk=of(8, 10)), {"insight_high_talk_share": "0.81"}, [], id="high talk share"),
        pytest.param(tutor(checks=of(50, 5)), {"insight_frequent_checks_above": 10}, [], id="checks above"),
        pytest.param(tutor(checks=of(15, 5)), {"insight_infrequent_checks_below": 3}, [], id="checks below"),
        pytest.param(
            tutor(open_questions=of(7, 10), questioned_sessions=5),
            {"insight_open_questions_share": "0.7"},
            [],
            id="open questions",
        ),
        pytest.param(tutor(visual_aids=of(8, 10)), {"insight_high_visual_aids_share": "0.81"}, [], id="aids high"),
        pytest.param(tutor(visual_aids=of(2, 10)), {"insight_low_visual_aids_share": "0.2"}, [], id="aids low"),
        pytest.param(tutor(reinforcement=of(60, 5)), {"insight_reinforcement_above": 12}, [], id="reinforcement"),
        pytest.param(tutor(conversions=of(9, 10)), {"insight_conversion_share": "0.91"}, [], id="conversion share"),
        pytest.param(tutor(conversions=of(3, 3)), {"insight_conversion_least": 4}, [], id="conversion least"),
    ],
)
def test_insight_follows_the_settings(
    figures: Statistics, setting: dict[str, Any], insights: list[str], thresholds: Thresholds
) -> None:
    assert found(figures, thresholds) != insights
    assert found(figures, settings.thresholds(**setting)) == insights


def test_text_names_the_window_of_the_settings() -> None:
    [insight] = holding(tutor(engagement=of(45, 5)), settings.thresholds(window_days=14))
    assert insight.verdict.text.endswith("over 5 sessions in 14 days")


def test_value_beyond_the_platforms_column_is_stored_as_its_largest(thresholds: Thresholds) -> None:
    [insight] = holding(tutor(reinforcement=of(500_000, 5)), thresholds)
    assert metric_value(insight) == Decimal("999.99")
    assert insight.verdict.text == "Encourages students: 100000.0 on average over 5 sessions in 30 days"


def test_tutor_without_sessions_has_no_insight(thresholds: Thresholds) -> None:
    assert holding(tutor(), thresholds) == []


def test_every_category_has_one_rule(thresholds: Thresholds) -> None:
    praised = tutor(
        engagement=of(50, 5),
        balanced_talk=of(5, 5),
        checks=of(50, 5),
        open_questions=of(5, 5),
        questioned_sessions=5,
        visual_aids=of(5, 5),
        reinforcement=of(100, 5),
        conversions=of(3, 3),
    )
    coached = tutor(engagement=of(5, 5), high_talk=of(5, 5), checks=of(5, 5), visual_aids=of(0, 5))
    assert sorted(found(praised, thresholds) + found(coached, thresholds)) == sorted(INSIGHT_RULES)
    assert len(INSIGHT_RULES) == 11
