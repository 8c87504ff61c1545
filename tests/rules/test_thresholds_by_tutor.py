"""Tutors of one batch under different thresholds: these reach statistics, verdicts, evidence and texts."""

from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from rules.explanation import explain_tutor
from rules.generation import generate
from rules.settings import thresholds
from rules.sources import parameters
from rules.thresholds import Origin, Thresholds
from tests.support.platform import NOW, Platform

STRICT: dict[str, Decimal | int] = {
    "no_show_pattern_count": 1,
    "poor_first_session_below": Decimal("8.0"),
    "high_talk_ratio_above": Decimal("0.5"),
}


def for_strict(**overrides: Decimal | int) -> Thresholds:
    """The defaults, but for the tutor `strict` these."""
    base = thresholds()
    own = Thresholds(dict(base.values) | overrides, dict.fromkeys(overrides, Origin.TUTOR))
    return Thresholds(base.values, base.origins, {"strict": own})


async def write_alike(platform: Platform, *tutors: str) -> None:
    """Each has a no-show, a first session of 7.0, and five sessions with a talk ratio of 0.6."""
    for tutor in tutors:
        await platform.session(tutor, status="no_show_tutor")
        await platform.session(tutor, number=1, score="7.0")
        for days in range(1, 6):
            await platform.session(
                tutor, days_ago=days, audio={"tutor_talk_ratio": "0.6", "tutor_checks_understanding_count": 5}
            )


async def test_each_tutor_of_a_batch_is_held_against_their_own(platform: Platform, engine: AsyncEngine) -> None:
    await write_alike(platform, "lenient", "strict", "usual")

    async with engine.begin() as conn:
        generated = await generate(conn, ["lenient", "strict", "usual"], NOW, for_strict(**STRICT))

    assert {(alert.tutor_id, alert.description) for alert in generated.alerts} == {
        ("strict", "1 no-show in 30 days (alert from 1)"),
        ("strict", "First session with a student scored 7.0 in the last 7 days (alert below 8.0)"),
        ("strict", "Talk ratio above 50% in 5 of the 5 latest sessions of 30 days: 100% (alert from 70%)"),
    }
    assert await platform.rows(
        "SELECT a.alert_type::text, e.threshold, cardinality(e.session_ids) FROM alerts AS a"
        " JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id ORDER BY 1"
    ) == [
        ("high_talk_ratio", Decimal("0.70"), 5),
        ("no_show_pattern", 1, 1),
        ("poor_first_session", Decimal("8.0"), 1),
    ]


async def test_alert_that_is_open_is_refreshed_under_the_tutors_own(platform: Platform, engine: AsyncEngine) -> None:
    await write_alike(platform, "strict")
    async with engine.begin() as conn:
        await generate(conn, ["strict"], NOW, for_strict(no_show_pattern_count=1))
    await platform.session("strict", status="no_show_tutor")

    async with engine.begin() as conn:
        await generate(conn, ["strict", "usual"], NOW, for_strict(no_show_pattern_count=2))

    assert await platform.rows("SELECT description FROM alerts") == ["2 no-shows in 30 days (alert from 2)"]


async def test_explanation_says_whose_thresholds_they_are(platform: Platform, engine: AsyncEngine) -> None:
    await write_alike(platform, "strict")
    async with engine.connect() as conn:
        told = {each.rule.name: each for each in await explain_tutor(conn, "strict", NOW, for_strict(**STRICT))}

    no_shows, reschedules = told["no_show_pattern"], told["high_reschedule_rate"]
    assert (no_shows.threshold, no_shows.origin, no_shows.holds) == ("1", Origin.TUTOR, True)
    assert (reschedules.threshold, reschedules.origin, reschedules.holds) == ("5", Origin.DEFAULT, False)


@pytest.mark.parametrize("name", ["no_show_pattern_days", "window_days", "recent_sessions"])
def test_windows_and_the_recent_ten_are_the_same_for_everybody(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be the same for all tutors"):
        parameters(["strict", "usual"], NOW, for_strict(**{name: 60}))
