"""Each alert rule on both sides of its thresholds and exactly on them."""

from decimal import Decimal
from typing import Any

import pytest

from rules import settings
from rules.alerts import (
    declining_performance,
    high_reschedule_rate,
    high_talk_ratio,
    low_understanding_checks,
    no_show_pattern,
    poor_first_session,
)
from rules.decisions import decide_alerts
from rules.measures import Counted
from rules.registry import ALERT_RULES
from rules.rule import Severity, Statistics
from rules.thresholds import Thresholds
from rules.verdicts import Decision
from tests.rules.decisions.measured import of, tutor


@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        pytest.param(Counted(0, 0), Decision.NOT_MET, id="none"),
        pytest.param(Counted(1, 1), Decision.HOLDS, id="one is enough"),
        pytest.param(Counted(3, 1), Decision.HOLDS, id="one of three is unconsumed"),
        pytest.param(Counted(1, 0), Decision.CONSUMED, id="the only one is counted"),
        pytest.param(Counted(3, 0), Decision.CONSUMED, id="all three are counted"),
    ],
)
def test_poor_first_session_opens_from_one_unconsumed(
    sessions: Counted, verdict: Decision, thresholds: Thresholds
) -> None:
    figures = tutor(poor_first_sessions=sessions, lowest_first_session_score=Decimal("6.4"))
    assert poor_first_session.decide(figures, thresholds).decision is verdict


@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        pytest.param(Counted(0, 0), Decision.NOT_MET, id="none"),
        pytest.param(Counted(1, 1), Decision.NOT_MET, id="one"),
        pytest.param(Counted(2, 2), Decision.HOLDS, id="two"),
        pytest.param(Counted(2, 1), Decision.HOLDS, id="two, one unconsumed"),
        pytest.param(Counted(2, 0), Decision.CONSUMED, id="two, both counted"),
        pytest.param(Counted(9, 1), Decision.HOLDS, id="nine, one unconsumed"),
    ],
)
def test_no_show_pattern_opens_from_two_no_shows(sessions: Counted, verdict: Decision, thresholds: Thresholds) -> None:
    assert no_show_pattern.decide(tutor(no_shows=sessions), thresholds).decision is verdict


@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        pytest.param(Counted(0, 0), Decision.NOT_MET, id="none"),
        pytest.param(Counted(4, 4), Decision.NOT_MET, id="four"),
        pytest.param(Counted(5, 5), Decision.HOLDS, id="five"),
        pytest.param(Counted(5, 1), Decision.HOLDS, id="five, one unconsumed"),
        pytest.param(Counted(5, 0), Decision.CONSUMED, id="five, all counted"),
    ],
)
def test_high_reschedule_rate_opens_from_five_reschedules(
    sessions: Counted, verdict: Decision, thresholds: Thresholds
) -> None:
    assert high_reschedule_rate.decide(tutor(reschedules=sessions), thresholds).decision is verdict


@pytest.mark.parametrize(
    ("high", "of_sessions", "verdict"),
    [
        pytest.param(0, 0, Decision.TOO_FEW_SESSIONS, id="no session"),
        pytest.param(4, 4, Decision.TOO_FEW_SESSIONS, id="four, all high"),
        pytest.param(5, 5, Decision.HOLDS, id="five, all high"),
        pytest.param(0, 5, Decision.NOT_MET, id="five, none high"),
        pytest.param(3, 5, Decision.NOT_MET, id="60%"),
        pytest.param(6, 9, Decision.NOT_MET, id="two thirds"),
        pytest.param(6, 10, Decision.NOT_MET, id="six of ten"),
        pytest.param(7, 10, Decision.HOLDS, id="exactly 70%"),
        pytest.param(5, 7, Decision.HOLDS, id="five sevenths"),
        pytest.param(8, 10, Decision.HOLDS, id="80%"),
        pytest.param(10, 10, Decision.HOLDS, id="all ten"),
    ],
)
def test_high_talk_ratio_opens_from_70_percent(
    high: int, of_sessions: int, verdict: Decision, thresholds: Thresholds
) -> None:
    assert high_talk_ratio.decide(tutor(recent_high_talk=of(high, of_sessions)), thresholds).decision is verdict


@pytest.mark.parametrize(
    ("checks", "sessions", "verdict"),
    [
        pytest.param(0, 0, Decision.TOO_FEW_SESSIONS, id="no session"),
        pytest.param(0, 4, Decision.TOO_FEW_SESSIONS, id="four without a check"),
        pytest.param(0, 5, Decision.HOLDS, id="five without a check"),
        pytest.param(19, 5, Decision.HOLDS, id="3.8"),
        pytest.param(39, 10, Decision.HOLDS, id="3.9"),
        pytest.param(23, 6, Decision.HOLDS, id="3 and five sixths"),
        pytest.param(20, 5, Decision.NOT_MET, id="exactly 4"),
        pytest.param(40, 10, Decision.NOT_MET, id="exactly 4 over ten"),
        pytest.param(25, 6, Decision.NOT_MET, id="4 and a sixth"),
        pytest.param(41, 10, Decision.NOT_MET, id="4.1"),
    ],
)
def test_low_understanding_checks_opens_below_4(
    checks: int, sessions: int, verdict: Decision, thresholds: Thresholds
) -> None:
    assert low_understanding_checks.decide(tutor(recent_checks=of(checks, sessions)), thresholds).decision is verdict


@pytest.mark.parametrize(
    ("recent", "earlier", "verdict"),
    [
        pytest.param(of(0, 0), of(0, 0), Decision.TOO_FEW_SESSIONS, id="no session"),
        pytest.param(of(0, 0), of(30, 3), Decision.TOO_FEW_SESSIONS, id="none lately"),
        pytest.param(of(3, 3), of(0, 0), Decision.TOO_FEW_SESSIONS, id="none before"),
        pytest.param(of(2, 2), of(30, 3), Decision.TOO_FEW_SESSIONS, id="two lately"),
        pytest.param(of(3, 3), of(20, 2), Decision.TOO_FEW_SESSIONS, id="two before"),
        pytest.param(of(3, 3), of(30, 3), Decision.HOLDS, id="three in each, fallen by 90%"),
        pytest.param(of("20.4", 3), of(24, 3), Decision.NOT_MET, id="8.0 to 6.8: exactly 15%"),
        pytest.param(of("20.3", 3), of(24, 3), Decision.HOLDS, id="8.0 to a little under 6.8"),
        pytest.param(of("20.5", 3), of(24, 3), Decision.NOT_MET, id="8.0 to a little over 6.8"),
        pytest.param(of(17, 3), of(20, 3), Decision.NOT_MET, id="thirds: exactly 15%"),
        pytest.param(of("16.9", 3), of(20, 3), Decision.HOLDS, id="thirds: a little more than 15%"),
        pytest.param(of("25.5", 5), of("18.0", 3), Decision.NOT_MET, id="6.0 to 5.1 over other counts: 15%"),
        pytest.param(of("25.4", 5), of("18.0", 3), Decision.HOLDS, id="6.0 to 5.08 over other counts"),
        pytest.param(of(24, 3), of(24, 3), Decision.NOT_MET, id="no fall"),
        pytest.param(of(30, 3), of(3, 3), Decision.NOT_MET, id="a rise"),
        pytest.param(of(0, 3), of(0, 3), Decision.NOT_MET, id="zero before and now"),
        pytest.param(of(0, 3), of("0.1", 3), Decision.HOLDS, id="to zero"),
    ],
)
def test_declining_performance_opens_for_more_than_15_percent(
    recent: Any, earlier: Any, verdict: Decision, thresholds: Thresholds
) -> None:
    figures = tutor(recent_score=recent, earlier_score=earlier)
    assert declining_performance.decide(figures, thresholds).decision is verdict


def _every_fall_of_15_percent() -> list[tuple[Decimal, Decimal]]:
    """Every pair of scores (one decimal) that lie exactly 15% apart."""
    tenths = [(before, before * 85) for before in range(1, 101) if before * 85 % 100 == 0]
    return [(Decimal(before) / 10, Decimal(after) / 1000) for before, after in tenths]


def test_fall_of_exactly_15_percent_is_not_more_whatever_the_scores(thresholds: Thresholds) -> None:
    pairs = _every_fall_of_15_percent()
    verdicts = {
        declining_performance.decide(
            tutor(recent_score=of(str(3 * after), 3), earlier_score=of(str(3 * before), 3)), thresholds
        )
        for before, after in pairs
    }
    assert len(pairs) == 5
    assert {verdict.decision for verdict in verdicts} == {Decision.NOT_MET}


@pytest.mark.parametrize(
    ("rule", "figures", "description", "value", "threshold"),
    [
        pytest.param(
            poor_first_session,
            tutor(poor_first_sessions=Counted(1, 1), lowest_first_session_score=Decimal("6.4")),
            "First session with a student scored 6.4 in the last 7 days (alert below 6.5)",
            "6.4",
            "6.5",
            id="one poor first session",
        ),
        pytest.param(
            poor_first_session,
            tutor(poor_first_sessions=Counted(3, 1), lowest_first_session_score=Decimal("5.9")),
            "3 first sessions with students scored below 6.5 in the last 7 days (lowest 5.9)",
            "5.9",
            "6.5",
            id="three poor first sessions",
        ),
        pytest.param(
            no_show_pattern,
            tutor(no_shows=Counted(3, 1)),
            "3 no-shows in 30 days (alert from 2)",
            "3",
            "2",
            id="no-shows, counted ones too",
        ),
        pytest.param(
            high_reschedule_rate,
            tutor(reschedules=Counted(6, 2)),
            "6 sessions rescheduled by the tutor in 30 days (alert from 5)",
            "6",
            "5",
            id="reschedules",
        ),
        pytest.param(
            high_talk_ratio,
            tutor(recent_high_talk=of(29, 40)),
            "Talk ratio above 65% in 29 of the 40 latest sessions of 30 days: 73% (alert from 70%)",
            "0.725",
            "0.70",
            id="72.5% reads 73%",
        ),
        pytest.param(
            high_talk_ratio,
            tutor(recent_high_talk=of(5, 7)),
            "Talk ratio above 65% in 5 of the 7 latest sessions of 30 days: 71% (alert from 70%)",
            "0.7143",
            "0.70",
            id="five sevenths read 71%",
        ),
        pytest.param(
            low_understanding_checks,
            tutor(recent_checks=of(26, 8)),
            "3.3 understanding checks a session on average over the 8 latest sessions of 30 days"
            " (should be at least 4)",
            "3.25",
            "4",
            id="3.25 reads 3.3",
        ),
        pytest.param(
            declining_performance,
            tutor(recent_score=of("33.4", 4), earlier_score=of(40, 4)),
            "Average score 8.4 in the last 30 days, 17% below the 10.0 of the 30 days before (alert above 15%)",
            "0.165",
            "0.15",
            id="16.5% reads 17%",
        ),
        pytest.param(
            declining_performance,
            tutor(recent_score=of(20, 3), earlier_score=of(33, 4)),
            "Average score 6.7 in the last 30 days, 19% below the 8.3 of the 30 days before (alert above 15%)",
            "0.1919",
            "0.15",
            id="two thirds read 6.7, 8.25 reads 8.3",
        ),
    ],
)
def test_finding_says_value_threshold_and_window_rounded_half_up(
    rule: Any, figures: Statistics, description: str, value: str, threshold: str, thresholds: Thresholds
) -> None:
    verdict = rule.decide(figures, thresholds)
    assert (verdict.text, verdict.value, verdict.threshold) == (description, Decimal(value), Decimal(threshold))


@pytest.mark.parametrize(
    ("rule", "figures", "limits_given", "description"),
    [
        pytest.param(
            poor_first_session,
            tutor(poor_first_sessions=Counted(2, 2), lowest_first_session_score=Decimal("4.9")),
            {
                "poor_first_session_below": Decimal("5.0"),
                "poor_first_session_days": 14,
                "poor_first_session_least": 2,
            },
            "2 first sessions with students scored below 5.0 in the last 14 days (lowest 4.9)",
            id="poor_first_session",
        ),
        pytest.param(
            no_show_pattern,
            tutor(no_shows=Counted(4, 4)),
            {"no_show_pattern_count": 4, "no_show_pattern_days": 60},
            "4 no-shows in 60 days (alert from 4)",
            id="no_show_pattern",
        ),
        pytest.param(
            high_reschedule_rate,
            tutor(reschedules=Counted(8, 8)),
            {"high_reschedule_count": 8, "high_reschedule_days": 90},
            "8 sessions rescheduled by the tutor in 90 days (alert from 8)",
            id="high_reschedule_rate",
        ),
        pytest.param(
            high_talk_ratio,
            tutor(recent_high_talk=of(2, 3)),
            {
                "window_days": 14,
                "high_talk_ratio_above": Decimal("0.625"),
                "high_talk_ratio_share": Decimal("0.60"),
                "high_talk_ratio_least": 3,
            },
            "Talk ratio above 62.5% in 2 of the 3 latest sessions of 14 days: 67% (alert from 60%)",
            id="high_talk_ratio",
        ),
        pytest.param(
            low_understanding_checks,
            tutor(recent_checks=of(9, 2)),
            {"window_days": 14, "low_checks_below": Decimal("5.5"), "low_checks_least": 2},
            "4.5 understanding checks a session on average over the 2 latest sessions of 14 days"
            " (should be at least 5.5)",
            id="low_understanding_checks",
        ),
        pytest.param(
            declining_performance,
            tutor(recent_score=of(9, 1), earlier_score=of(10, 1)),
            {"declining_more_than": Decimal("0.05"), "declining_days": 90, "declining_least": 1},
            "Average score 9.0 in the last 90 days, 10% below the 10.0 of the 90 days before (alert above 5%)",
            id="declining_performance",
        ),
    ],
)
def test_finding_follows_the_settings(
    rule: Any, figures: Statistics, limits_given: dict[str, Any], description: str
) -> None:
    verdict = rule.decide(figures, settings.thresholds(**limits_given))
    assert verdict.decision is Decision.HOLDS
    assert verdict.text == description


@pytest.mark.parametrize(
    ("rule", "figures", "stricter", "verdict"),
    [
        pytest.param(
            poor_first_session,
            tutor(poor_first_sessions=Counted(1, 1), lowest_first_session_score=Decimal(5)),
            {"poor_first_session_least": 2},
            Decision.NOT_MET,
            id="poor_first_session_least",
        ),
        pytest.param(
            no_show_pattern,
            tutor(no_shows=Counted(2, 2)),
            {"no_show_pattern_count": 3},
            Decision.NOT_MET,
            id="no_show_pattern_count",
        ),
        pytest.param(
            high_reschedule_rate,
            tutor(reschedules=Counted(5, 5)),
            {"high_reschedule_count": 6},
            Decision.NOT_MET,
            id="high_reschedule_count",
        ),
        pytest.param(
            high_talk_ratio,
            tutor(recent_high_talk=of(7, 10)),
            {"high_talk_ratio_share": Decimal("0.71")},
            Decision.NOT_MET,
            id="high_talk_ratio_share",
        ),
        pytest.param(
            high_talk_ratio,
            tutor(recent_high_talk=of(7, 10)),
            {"high_talk_ratio_least": 11},
            Decision.TOO_FEW_SESSIONS,
            id="high_talk_ratio_least",
        ),
        pytest.param(
            low_understanding_checks,
            tutor(recent_checks=of(19, 5)),
            {"low_checks_below": Decimal("3.8")},
            Decision.NOT_MET,
            id="low_checks_below",
        ),
        pytest.param(
            low_understanding_checks,
            tutor(recent_checks=of(19, 5)),
            {"low_checks_least": 6},
            Decision.TOO_FEW_SESSIONS,
            id="low_checks_least",
        ),
        pytest.param(
            declining_performance,
            tutor(recent_score=of(24, 4), earlier_score=of(40, 4)),
            {"declining_more_than": Decimal("0.40")},
            Decision.NOT_MET,
            id="declining_more_than",
        ),
        pytest.param(
            declining_performance,
            tutor(recent_score=of(24, 4), earlier_score=of(40, 4)),
            {"declining_least": 5},
            Decision.TOO_FEW_SESSIONS,
            id="declining_least",
        ),
    ],
)
def test_stricter_setting_silences_the_rule(
    rule: Any, figures: Statistics, stricter: dict[str, Any], verdict: Decision, thresholds: Thresholds
) -> None:
    assert rule.decide(figures, thresholds).decision is Decision.HOLDS
    assert rule.decide(figures, settings.thresholds(**({"recent_sessions": 20} | stricter))).decision is verdict


def test_consumed_alert_is_met_so_that_an_open_one_can_be_refreshed(thresholds: Thresholds) -> None:
    verdict = no_show_pattern.decide(tutor(no_shows=Counted(2, 0)), thresholds)
    assert verdict.is_met
    assert verdict.value == 2


@pytest.mark.parametrize(
    ("rule", "figures", "decision", "value", "sessions", "measured"),
    [
        pytest.param(
            no_show_pattern,
            tutor(no_shows=Counted(1, 1)),
            Decision.NOT_MET,
            Decimal(1),
            1,
            "1 no-show in 30 days",
            id="one no-show",
        ),
        pytest.param(
            poor_first_session,
            tutor(),
            Decision.NOT_MET,
            None,
            0,
            "No first sessions with students scored below 6.5 in the last 7 days",
            id="no poor first session",
        ),
        pytest.param(
            high_talk_ratio,
            tutor(recent_high_talk=of(1, 4)),
            Decision.TOO_FEW_SESSIONS,
            Decimal("0.25"),
            4,
            "Talk ratio above 65% in 1 of the 4 latest sessions of 30 days: 25%",
            id="four sessions with a talk ratio",
        ),
        pytest.param(
            low_understanding_checks,
            tutor(),
            Decision.TOO_FEW_SESSIONS,
            None,
            0,
            "no sessions with understanding checks counted in 30 days",
            id="no session with checks",
        ),
        pytest.param(
            declining_performance,
            tutor(recent_score=of(33, 4), earlier_score=of(30, 4)),
            Decision.NOT_MET,
            Decimal("-0.1"),
            4,
            "Average score 8.3 in the last 30 days, 10% above the 7.5 of the 30 days before",
            id="it rose",
        ),
        pytest.param(
            declining_performance,
            tutor(recent_score=of(33, 4)),
            Decision.TOO_FEW_SESSIONS,
            None,
            0,
            "4 scored sessions in the last 30 days, 0 in those before",
            id="nothing to compare with",
        ),
    ],
)
def test_rule_that_is_not_met_tells_its_value_all_the_same(
    rule: Any,
    figures: Statistics,
    decision: Decision,
    value: Decimal | None,
    sessions: int,
    measured: str,
    thresholds: Thresholds,
) -> None:
    verdict = rule.decide(figures, thresholds)
    assert (verdict.decision, verdict.value, verdict.sessions, verdict.measured) == (
        decision,
        value,
        sessions,
        measured,
    )
    assert not verdict.is_met


def test_every_alert_rule_decides_on_a_tutor_without_sessions(thresholds: Thresholds) -> None:
    decided = decide_alerts(tutor(), thresholds)
    assert [each.rule for each in decided] == list(ALERT_RULES.values())
    assert not any(each.verdict.is_met for each in decided)


def test_missing_tutor_and_poor_start_are_critical_the_rest_warnings() -> None:
    critical = {name for name, rule in ALERT_RULES.items() if rule.severity is Severity.CRITICAL}
    assert critical == {"poor_first_session", "no_show_pattern"}
    assert len(ALERT_RULES) == 6
