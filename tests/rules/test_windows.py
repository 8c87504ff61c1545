"""Which sessions count: windows, dates, states, missing metrics, the recent ten; and what follows as time passes."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from rules.generation import Generated
from tests.rules.generating import Generation
from tests.rules.just_enough import ALERTS, INSIGHTS, Kind
from tests.support.platform import NOW, Platform, naive

MICROSECOND = timedelta(microseconds=1)

every_alert = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.rule) for kind in ALERTS])
every_insight = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.rule) for kind in INSIGHTS])

TALKS_TOO_MUCH = {"tutor_talk_ratio": "0.651", "tutor_checks_understanding_count": 5}


def _just_enough(kind: Kind, oldest: datetime) -> list[datetime]:
    return [NOW - timedelta(hours=hours) for hours in range(1, kind.least)] + [oldest]


@every_alert
async def test_alert_counts_a_session_at_its_windows_start_and_none_before(
    kind: Kind, platform: Platform, generation: Generation
) -> None:
    start = NOW - kind.window
    inside = await kind.write(platform, "inside", _just_enough(kind, start))
    await kind.write(platform, "microsecond", _just_enough(kind, start - MICROSECOND))
    await kind.write(platform, "second", _just_enough(kind, start - timedelta(seconds=1)))

    await generation("inside", "microsecond", "second")

    assert await generation.evidence(kind.rule, tutor="inside") == inside
    assert kind.rule not in await platform.open_alerts("microsecond")
    assert kind.rule not in await platform.open_alerts("second")


@every_alert
async def test_alert_needs_its_least_data(kind: Kind, platform: Platform, generation: Generation) -> None:
    await kind.write(platform, "tutor", _just_enough(kind, NOW)[1:])
    await generation()
    assert kind.rule not in await platform.open_alerts()


@every_alert
async def test_alert_counts_sessions_dated_later_than_now(
    kind: Kind, platform: Platform, generation: Generation
) -> None:
    await kind.write(platform, "tutor", [NOW + timedelta(days=days) for days in range(40, 40 + kind.least)])
    await generation()
    assert kind.rule in await platform.open_alerts()


@every_insight
async def test_insight_counts_a_session_at_its_windows_start_and_none_before(
    kind: Kind, platform: Platform, generation: Generation
) -> None:
    start = NOW - kind.window
    await kind.write(platform, "inside", _just_enough(kind, start))
    await kind.write(platform, "microsecond", _just_enough(kind, start - MICROSECOND))
    await kind.write(platform, "second", _just_enough(kind, start - timedelta(seconds=1)))

    await generation("inside", "microsecond", "second")

    assert kind.rule in await platform.active_insights("inside")
    assert kind.rule not in await platform.active_insights("microsecond")
    assert kind.rule not in await platform.active_insights("second")


@every_insight
async def test_insight_counts_sessions_dated_later_than_now(
    kind: Kind, platform: Platform, generation: Generation
) -> None:
    await kind.write(platform, "tutor", [NOW + timedelta(days=days) for days in range(40, 40 + kind.least)])
    await generation()
    assert kind.rule in await platform.active_insights()


@every_insight
async def test_insight_shows_the_latest_three_sessions_and_is_confirmed(
    kind: Kind, platform: Platform, generation: Generation
) -> None:
    moments = [NOW - timedelta(days=days) for days in range(1, 9)]
    ids = await kind.write(platform, "tutor", moments)
    found = (
        "SELECT sample_sessions, detected_at, last_confirmed_at, is_active, resolved_at FROM tutor_insights"
        " WHERE category = %s::insight_category"
    )

    await generation()
    assert await platform.rows(found, kind.rule) == [(ids[:3], naive(NOW), None, True, None)]

    later = NOW + timedelta(hours=1)
    await generation(now=later)
    assert await platform.rows(found, kind.rule) == [(ids[:3], naive(NOW), naive(later), True, None)]


@every_insight
async def test_insight_ends_as_its_window_moves_on_and_comes_back_as_a_new_row(
    kind: Kind, platform: Platform, generation: Generation
) -> None:
    await kind.write(platform, "tutor", [NOW - timedelta(hours=hours) for hours in range(kind.least)])
    await generation()

    much_later = NOW + kind.window
    later = await generation(now=much_later)
    assert kind.rule in [insight.category for insight in later.ended]
    assert kind.rule not in await platform.active_insights()

    moments = [much_later - timedelta(hours=hours) for hours in range(kind.least)]
    await kind.write(platform, "tutor", moments)
    again = await generation(now=much_later)
    assert kind.rule in [insight.category for insight in again.insights]
    rows = await platform.rows(
        "SELECT detected_at, is_active, resolved_at FROM tutor_insights"
        " WHERE category = %s::insight_category ORDER BY detected_at",
        kind.rule,
    )
    assert rows == [(naive(NOW), False, naive(much_later)), (naive(much_later), True, None)]


async def test_setting_moves_every_window(platform: Platform, generation: Generation) -> None:
    windows: dict[str, Any] = {
        "window_days": 3,
        "poor_first_session_days": 3,
        "no_show_pattern_days": 3,
        "high_reschedule_days": 3,
        "declining_days": 3,
    }
    start = NOW - timedelta(days=3)
    kinds = {f"tutor-{number}": kind for number, kind in enumerate(ALERTS + INSIGHTS)}
    for tutor, kind in kinds.items():
        shorter = replace(kind, before={})
        await shorter.write(platform, f"{tutor}-in", _just_enough(kind, start))
        await shorter.write(platform, f"{tutor}-out", _just_enough(kind, start - MICROSECOND))
        if kind.before:
            for _ in range(3):
                await platform.session(f"{tutor}-in", at=start - timedelta(days=3), **kind.before)
                await platform.session(f"{tutor}-out", at=start - timedelta(days=1), **kind.before)

    await generation(*(f"{tutor}-{side}" for tutor in kinds for side in ("in", "out")), **windows)

    for tutor, kind in kinds.items():
        has = platform.open_alerts if kind in ALERTS else platform.active_insights
        assert kind.rule in await has(f"{tutor}-in")
        assert kind.rule not in await has(f"{tutor}-out")


# Dates


async def test_completed_session_is_dated_by_its_completion(platform: Platform, generation: Generation) -> None:
    old, new = NOW - timedelta(days=31), NOW - timedelta(days=1)
    for tutor, scheduled, completed in (("new", old, new), ("old", new, old)):
        for _ in range(5):
            await platform.session(tutor, at=scheduled, completed_at=completed, audio=TALKS_TOO_MUCH)

    await generation("new", "old")

    assert await platform.open_alerts("new") == ["high_talk_ratio"]
    assert await platform.active_insights("new") == ["high_talk_ratio"]
    assert await platform.open_alerts("old") == []
    assert await platform.active_insights("old") == []


@pytest.mark.parametrize(
    ("alert_type", "values"),
    [
        pytest.param("no_show_pattern", {"status": "no_show_tutor"}, id="no-shows"),
        pytest.param("high_reschedule_rate", {"status": "rescheduled", "rescheduled_by": "tutor"}, id="reschedules"),
    ],
)
async def test_missed_session_is_dated_by_its_scheduled_start(
    alert_type: str, values: dict[str, Any], platform: Platform, generation: Generation
) -> None:
    old, new = NOW - timedelta(days=31), NOW - timedelta(days=1)
    for tutor, scheduled, completed in (("new", new, old), ("old", old, new)):
        for _ in range(5):
            await platform.session(tutor, at=scheduled, completed_at=completed, **values)

    await generation("new", "old")

    assert await platform.open_alerts("new") == [alert_type]
    assert await platform.open_alerts("old") == []


async def test_poor_first_session_names_the_latest_by_completion(platform: Platform, generation: Generation) -> None:
    values: dict[str, Any] = {"number": 1, "score": "5.0"}
    latest = await platform.session(days_ago=6, completed_at=NOW - timedelta(hours=1), **values)
    earlier = await platform.session(days_ago=1, completed_at=NOW - timedelta(days=5), **values)

    await generation()

    assert await platform.rows("SELECT session_id FROM alerts") == [latest]
    assert await generation.evidence("poor_first_session") == [latest, earlier]


async def test_declining_performance_compares_30_days_with_the_30_before(
    platform: Platform, generation: Generation
) -> None:
    edge, oldest = NOW - timedelta(days=30), NOW - timedelta(days=60)
    for tutor, start_of_earlier in (("inside", oldest), ("outside", oldest - MICROSECOND)):
        for at in (NOW, NOW, edge):
            await platform.session(tutor, at=at, score="5.0")
        for at in (edge - MICROSECOND, edge - timedelta(days=1), start_of_earlier):
            await platform.session(tutor, at=at, score="9.0")

    await generation("inside", "outside")

    assert await platform.open_alerts("inside") == ["declining_performance"]
    assert await platform.open_alerts("outside") == []


# Which sessions


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"number": 1, "score": "6.5"}, id="scored exactly 6.5"),
        pytest.param({"number": 1, "score": None}, id="not scored"),
        pytest.param({"number": 2, "score": "2.0"}, id="second session"),
        pytest.param({"number": 0, "score": "2.0"}, id="trial session"),
        pytest.param({"number": 1, "score": "2.0", "status": "in_progress"}, id="not completed"),
        pytest.param({"number": 1, "score": "2.0", "status": "no_show_student"}, id="student absent"),
    ],
)
async def test_session_is_no_poor_first_session(
    values: dict[str, Any], platform: Platform, generation: Generation
) -> None:
    await platform.session(**values)
    await generation()
    assert await platform.open_alerts() == []


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"status": "no_show_student"}, id="the student's no-show"),
        pytest.param({"status": "cancelled"}, id="cancelled"),
        pytest.param({"status": "rescheduled", "rescheduled_by": "student"}, id="rescheduled by the student"),
        pytest.param({"status": "rescheduled", "rescheduled_by": None}, id="rescheduled by nobody known"),
        pytest.param({"status": "completed", "rescheduled_by": "tutor"}, id="rescheduled before, now completed"),
        pytest.param({"status": "scheduled", "rescheduled_by": "tutor"}, id="rescheduled and to come"),
    ],
)
async def test_session_is_no_fault_of_the_tutor(
    values: dict[str, Any], platform: Platform, generation: Generation
) -> None:
    for _ in range(5):
        await platform.session(**values)
    await generation()
    assert await platform.open_alerts() == []


@pytest.mark.parametrize(
    "status", ["scheduled", "in_progress", "no_show_tutor", "no_show_student", "cancelled", "rescheduled"]
)
async def test_only_completed_sessions_are_measured(status: str, platform: Platform, generation: Generation) -> None:
    for days in (1, 2, 3, 4, 5):
        await platform.session(
            days_ago=days,
            status=status,
            score="2.0",
            audio={"tutor_talk_ratio": "0.9", "student_engagement_score": "9.9", "open_ended_questions": 5},
            video={"tutor_uses_visual_aids": True},
        )
        await platform.session(days_ago=30 + days, score="9.0")

    await generation()

    assert await platform.active_insights() == []
    assert set(await platform.open_alerts()) <= {"no_show_pattern"}


async def test_session_of_another_tutor_does_not_count(platform: Platform, generation: Generation) -> None:
    await platform.session(status="no_show_tutor")
    await platform.session("other", status="no_show_tutor")
    await generation("tutor", "other")
    assert await platform.open_alerts() == []
    assert await platform.open_alerts("other") == []


# Missing metrics


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param({"audio": {"tutor_talk_ratio": None}}, id="null"),
        pytest.param({"audio": None}, id="no audio row"),
    ],
)
async def test_session_without_talk_ratio_is_neither_above_nor_below(
    missing: dict[str, Any], platform: Platform, generation: Generation
) -> None:
    talking = [await platform.session("enough", days_ago=days, audio=TALKS_TOO_MUCH) for days in range(10, 15)]
    for days in range(10, 14):
        await platform.session("too_few", days_ago=days, audio=TALKS_TOO_MUCH)
    for tutor in ("enough", "too_few"):
        for days in range(1, 10):
            await platform.session(tutor, days_ago=days, **missing)

    await generation("enough", "too_few")

    assert await generation.evidence("high_talk_ratio", tutor="enough") == talking
    assert await generation.description("high_talk_ratio", tutor="enough") == (
        "Talk ratio above 65% in 5 of the 5 latest sessions of 30 days: 100% (alert from 70%)"
    )
    assert "high_talk_ratio" in await platform.active_insights("enough")
    assert "high_talk_ratio" not in await platform.open_alerts("too_few")
    assert "high_talk_ratio" not in await platform.active_insights("too_few")


@pytest.mark.parametrize("missing", [pytest.param(None, id="null"), pytest.param("NaN", id="not a number")])
async def test_session_without_engagement_is_neither_above_nor_below(
    missing: str | None, platform: Platform, generation: Generation
) -> None:
    for tutor, score, sessions in (("high", "8.1", 5), ("low", "5.9", 5), ("too_few", "9.0", 4)):
        for days in range(6, 6 + sessions):
            await platform.session(tutor, days_ago=days, audio=_audio(student_engagement_score=score))
        for days in (1, 2, 3, 4, 5):
            await platform.session(tutor, days_ago=days, audio=_audio(student_engagement_score=missing))

    await generation("high", "low", "too_few")

    assert await platform.rows(
        "SELECT tutor_id, category::text, metric_value, cardinality(sample_sessions) FROM tutor_insights ORDER BY 1"
    ) == [("high", "high_engagement", Decimal("8.10"), 3), ("low", "low_engagement", Decimal("5.90"), 3)]


async def test_not_a_number_shows_no_engagement(platform: Platform, generation: Generation) -> None:
    good = [await platform.session(days_ago=days, audio=_audio(student_engagement_score="9.0")) for days in range(2, 7)]
    await platform.session(days_ago=1, audio=_audio(student_engagement_score="NaN"))

    await generation()

    assert await platform.rows("SELECT sample_sessions FROM tutor_insights") == [good[:3]]


async def test_sessions_without_video_are_no_share_of_visual_aids(platform: Platform, generation: Generation) -> None:
    for tutor, used in (("always", True), ("never", False)):
        for days in range(1, 6):
            await platform.session(tutor, days_ago=days, video={"tutor_uses_visual_aids": used})
            await platform.session(tutor, days_ago=days)

    await generation("always", "never")

    assert await platform.rows("SELECT category::text, metric_value FROM tutor_insights ORDER BY 1") == [
        ("high_visual_aids", Decimal("100.00")),
        ("low_visual_aids", Decimal("0.00")),
    ]


async def test_session_without_score_is_neither_above_nor_below(platform: Platform, generation: Generation) -> None:
    scored = [await platform.session(days_ago=days, score="6.0") for days in (10, 11, 12)]
    for days in (40, 41, 42):
        await platform.session(days_ago=days, score="9.0")
    for days in (1, 2, 3, 43, 44, 45):
        await platform.session(days_ago=days)

    await generation()

    assert await generation.evidence("declining_performance") == scored


async def test_questions_are_summed_over_sessions_and_none_is_asked_in_silence(
    platform: Platform, generation: Generation
) -> None:
    for days in range(1, 6):
        await platform.session("asking", days_ago=days, audio=_audio(open_ended_questions=7, closed_ended_questions=4))
        await platform.session(
            "exactly_60", days_ago=days, audio=_audio(open_ended_questions=6, closed_ended_questions=4)
        )
        await platform.session("silent", days_ago=days, audio=_audio())
    await platform.session("asking", days_ago=6, audio=_audio())

    await generation("asking", "exactly_60", "silent")

    assert await platform.rows("SELECT tutor_id, category::text, metric_value FROM tutor_insights") == [
        ("asking", "strong_questioning", Decimal("63.64"))
    ]


async def test_engagement_averaging_exactly_8_is_not_high(platform: Platform, generation: Generation) -> None:
    for tutor, last in (("exactly", "7.6"), ("above", "7.7")):
        for days, score in enumerate(("7.3", "7.9", "8.9", "8.3", last)):
            await platform.session(tutor, days_ago=days, audio=_audio(student_engagement_score=score))

    await generation("exactly", "above")

    assert await platform.active_insights("exactly") == []
    assert await platform.active_insights("above") == ["high_engagement"]


@pytest.mark.parametrize(
    ("talk_ratio", "insights", "alerts"),
    [
        pytest.param("0.349", [], [], id="under 0.35"),
        pytest.param("0.350", ["balanced_talk_ratio"], [], id="0.35"),
        pytest.param("0.500", ["balanced_talk_ratio"], [], id="0.50"),
        pytest.param("0.501", [], [], id="over 0.50"),
        pytest.param("0.650", [], [], id="0.65"),
        pytest.param("0.651", ["high_talk_ratio"], ["high_talk_ratio"], id="over 0.65"),
    ],
)
async def test_talk_ratio_on_its_limits(
    talk_ratio: str, insights: list[str], alerts: list[str], platform: Platform, generation: Generation
) -> None:
    for days in range(1, 6):
        await platform.session(days_ago=days, audio=_audio(tutor_talk_ratio=talk_ratio))
    await generation()
    assert await platform.active_insights() == insights
    assert await platform.open_alerts() == alerts


async def test_limits_on_single_sessions_follow_the_settings(platform: Platform, generation: Generation) -> None:
    for days in range(1, 6):
        await platform.session("talks", days_ago=days, audio=_audio(tutor_talk_ratio="0.550"))
    await platform.session("starts", number=1, score="7.0")

    await generation(
        "talks",
        "starts",
        high_talk_ratio_above="0.54",
        insight_high_talk_above="0.55",
        insight_balanced_talk_from="0.55",
        insight_balanced_talk_to="0.55",
        poor_first_session_below="7.1",
    )

    assert await platform.open_alerts("talks") == ["high_talk_ratio"]
    assert await platform.active_insights("talks") == ["balanced_talk_ratio"]
    assert await platform.open_alerts("starts") == ["poor_first_session"]


# Values that nobody expects, in columns without a check


async def test_questions_beyond_counting_fail_no_generation(platform: Platform, generation: Generation) -> None:
    many = 2**30
    for days in range(1, 6):
        await platform.session(days_ago=days, audio=_audio(open_ended_questions=many, closed_ended_questions=many))
    await generation()
    assert await platform.active_insights() == []


async def test_counts_far_below_zero_fail_no_generation(platform: Platform, generation: Generation) -> None:
    for days in range(1, 6):
        await platform.session(days_ago=days, audio={"tutor_checks_understanding_count": -2000})
    await generation()
    assert await platform.active_insights() == ["infrequent_understanding_checks"]


async def test_counts_far_above_a_thousand_fail_no_generation(platform: Platform, generation: Generation) -> None:
    for days in range(1, 6):
        await platform.session(days_ago=days, audio={"tutor_checks_understanding_count": 2000})
    await generation()
    assert await platform.rows("SELECT category::text, metric_value FROM tutor_insights") == [
        ("frequent_understanding_checks", Decimal("999.99"))
    ]


# The recent ten


async def test_eleventh_latest_session_is_not_recent(platform: Platform, generation: Generation) -> None:
    talks, listens = _audio(tutor_talk_ratio="0.9"), _audio(tutor_talk_ratio="0.4")
    # Of the ten latest, seven are high; the eleventh would make it seven of eleven, 64%.
    seven = [await platform.session("opens", days_ago=days, audio=talks) for days in range(1, 8)]
    three = [await platform.session("opens", days_ago=days, audio=listens) for days in (8, 9, 10)]
    await platform.session("opens", days_ago=11, audio=listens)
    # Of the ten latest, six are high; the eleventh would make it seven of ten with any one left out.
    for days in (1, 2, 3, 4, *range(5, 11)):
        await platform.session("stays", days_ago=days, audio=listens if days <= 4 else talks)
    for days in (11, 12, 13, 14):
        await platform.session("stays", days_ago=days, audio=talks)

    await generation("opens", "stays")

    assert await generation.evidence("high_talk_ratio", tutor="opens") == seven + three
    assert await platform.open_alerts("stays") == []


async def test_eleventh_latest_session_counts_for_no_average_of_checks(
    platform: Platform, generation: Generation
) -> None:
    ids = [
        await platform.session(days_ago=days, audio={"tutor_checks_understanding_count": 3}) for days in range(1, 11)
    ]
    await platform.session(days_ago=11, audio={"tutor_checks_understanding_count": 100})

    await generation()

    assert await generation.evidence("low_understanding_checks") == ids
    assert await platform.active_insights() == ["frequent_understanding_checks"]


async def test_of_sessions_at_the_same_moment_the_higher_ids_are_recent(
    platform: Platform, generation: Generation
) -> None:
    ids = [UUID(int=number) for number in range(1, 13)]
    for session_id in (*ids[6:], *ids[:6]):
        await platform.session(session_id=session_id, audio=TALKS_TOO_MUCH)

    for _ in range(2):
        await generation()
        assert await generation.evidence("high_talk_ratio") == ids[:1:-1]
        assert await platform.rows("SELECT sample_sessions FROM tutor_insights") == [ids[:-4:-1]]


async def test_setting_says_how_many_sessions_are_recent(platform: Platform, generation: Generation) -> None:
    ids = [await platform.session(days_ago=days, audio=TALKS_TOO_MUCH) for days in range(1, 9)]
    await generation(recent_sessions=6)
    assert await generation.evidence("high_talk_ratio") == ids[:6]


# First sessions


@pytest.mark.parametrize(
    ("later", "converted"),
    [
        pytest.param({"number": 2, "status": "completed"}, True, id="completed"),
        pytest.param({"number": 2, "status": "scheduled", "days_ago": -9}, True, id="scheduled"),
        pytest.param({"number": 7, "status": "in_progress"}, True, id="seventh"),
        pytest.param({"number": 2, "status": "no_show_tutor"}, True, id="no-show"),
        pytest.param({"number": 2, "status": "completed", "days_ago": 400}, True, id="dated before the first"),
        pytest.param({"number": 2, "status": "cancelled"}, False, id="cancelled"),
        pytest.param({"number": 1, "status": "completed", "days_ago": 40}, False, id="another first session"),
        pytest.param({"number": 2, "tutor": "another"}, False, id="with another tutor"),
        pytest.param({"number": 2, "student": "another_student"}, False, id="another student's"),
    ],
)
async def test_first_session_is_converted_by_a_later_one(
    later: dict[str, Any], converted: bool, platform: Platform, generation: Generation
) -> None:
    for student in ("ann", "ben", "cleo"):
        await platform.session(student=student, number=1, score="9.0")
        await platform.session(**{"student": student, **later})
    await generation()
    assert ("first_session_expert" in await platform.active_insights()) is converted


async def test_unconverted_first_sessions_are_no_samples(platform: Platform, generation: Generation) -> None:
    first = [
        await platform.session(student=f"student-{days}", days_ago=days, number=1, score="9.0") for days in range(1, 8)
    ]
    for days in range(2, 8):
        await platform.session(student=f"student-{days}", number=2, status="scheduled")

    await generation()

    assert await platform.rows("SELECT category::text, metric_value, sample_sessions FROM tutor_insights") == [
        ("first_session_expert", Decimal("85.71"), first[1:4])
    ]


# As time passes


async def test_confirmed_insight_gets_new_text_value_and_samples(platform: Platform, generation: Generation) -> None:
    for days in range(5, 10):
        await platform.session(days_ago=days, audio=_audio(student_engagement_score="8.1"))
    await generation()
    [insight_id] = await platform.rows("SELECT id FROM tutor_insights")
    late = [await platform.session(days_ago=days, audio=_audio(student_engagement_score="9.0")) for days in (1, 2, 3)]
    await platform.session(days_ago=0, audio=_audio(student_engagement_score="8.0"))
    later = NOW + timedelta(hours=1)

    generated = await generation(now=later)

    assert generated == Generated()
    assert await platform.rows(
        "SELECT id, display_text, metric_value, sample_sessions, detected_at, last_confirmed_at FROM tutor_insights"
    ) == [
        (
            insight_id,
            "Students are highly engaged: 8.4 on average over 9 sessions in 30 days",
            Decimal("8.39"),
            late,
            naive(NOW),
            naive(later),
        )
    ]


async def test_insight_ends_when_its_least_data_is_gone(platform: Platform, generation: Generation) -> None:
    ids = [await platform.session(days_ago=days, audio=_audio(student_engagement_score="9.0")) for days in range(1, 6)]
    await generation()
    await platform.rows("DELETE FROM sessions WHERE id = %s RETURNING id", ids[0])
    later = NOW + timedelta(hours=1)

    generated = await generation(now=later)

    assert [(insight.tutor_id, insight.category) for insight in generated.ended] == [("tutor", "high_engagement")]
    assert await platform.rows("SELECT is_active, resolved_at, sample_sessions FROM tutor_insights") == [
        (False, naive(later), ids[:3])
    ]


async def test_insight_turns_into_its_opposite(platform: Platform, generation: Generation) -> None:
    for days in range(20, 25):
        await platform.session(days_ago=days, video={"tutor_uses_visual_aids": True})
    await generation()
    for days in range(1, 16):
        await platform.session(days_ago=days, video={"tutor_uses_visual_aids": False})

    generated = await generation()

    assert [insight.category for insight in generated.ended] == ["high_visual_aids"]
    assert [insight.category for insight in generated.insights] == ["low_visual_aids"]
    assert await platform.active_insights() == ["low_visual_aids"]


async def test_insight_of_another_tutor_is_left_alone(platform: Platform, generation: Generation) -> None:
    await platform.user("other")
    await platform.user("tutor")
    await platform.insert(
        "tutor_insights",
        tutor_id="other",
        insight_type="strength",
        category="high_engagement",
        display_text="Found by somebody else",
    )
    await generation("tutor")
    assert await platform.active_insights("other") == ["high_engagement"]


async def test_open_alert_stays_open_when_its_window_has_moved_on(platform: Platform, generation: Generation) -> None:
    ids = [await platform.session(status="no_show_tutor", days_ago=days) for days in (1, 2)]
    await generation()
    await generation(now=NOW + timedelta(days=60))
    assert await platform.open_alerts() == ["no_show_pattern"]
    assert await generation.evidence("no_show_pattern") == ids


# Batches


async def test_each_tutor_of_a_batch_gets_their_own(platform: Platform, generation: Generation) -> None:
    kinds = {f"tutor-{number}": kind for number, kind in enumerate(ALERTS + INSIGHTS)}
    ids = {
        tutor: await kind.write(platform, tutor, [NOW - timedelta(hours=hours) for hours in range(kind.least)])
        for tutor, kind in kinds.items()
    }

    generated = await generation(*reversed(kinds))

    behind = dict(
        await platform.rows(
            "SELECT a.tutor_id, e.session_ids FROM alerts AS a JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id"
            " JOIN (SELECT unnest(%s::text[]) AS tutor_id, unnest(%s::text[]) AS rule) AS kind"
            " ON kind.tutor_id = a.tutor_id AND kind.rule = a.alert_type::text",
            list(kinds),
            [kind.rule for kind in kinds.values()],
        )
    )
    samples = {
        (row[0], row[1]): row[2]
        for row in await platform.rows("SELECT tutor_id, category::text, sample_sessions FROM tutor_insights")
    }
    for tutor, kind in kinds.items():
        if kind in ALERTS:
            assert behind[tutor] == ids[tutor]
        else:
            assert samples[tutor, kind.rule] == ids[tutor][:3]
    assert {found.tutor_id for found in generated.insights} >= {f"tutor-{number}" for number in range(6, 17)}
    assert len(generated.alerts) == len(await platform.rows("SELECT id FROM alerts"))


async def test_unknown_tutors_are_left_out(platform: Platform, generation: Generation) -> None:
    for _ in range(2):
        await platform.session(status="no_show_tutor")
    generated = await generation("nobody", "tutor", "", "tutor", "o'neil \\ 100%")
    assert [alert.tutor_id for alert in generated.alerts] == ["tutor"]


async def test_batch_of_strangers_or_of_nobody_changes_nothing(generation: Generation) -> None:
    assert await generation("nobody", "no one") == Generated()


async def test_empty_batch_changes_nothing(generation: Generation) -> None:
    assert await generation("") == Generated()


async def test_tutor_without_sessions_has_nothing(platform: Platform, generation: Generation) -> None:
    await platform.user("tutor")
    assert await generation() == Generated()
    assert await platform.rows("SELECT count(*) FROM alerts") == [0]
    assert await platform.rows("SELECT count(*) FROM tutor_insights") == [0]


async def test_user_who_is_no_longer_a_tutor_still_has_alerts(platform: Platform, generation: Generation) -> None:
    await platform.user("former", role="student")
    for _ in range(2):
        await platform.session("former", status="no_show_tutor")
    await generation("former")
    assert await platform.open_alerts("former") == ["no_show_pattern"]


def _audio(**values: Any) -> dict[str, Any]:
    """An audio row that no rule minds, but for these values."""
    return {"tutor_checks_understanding_count": 5, **values}
