"""Generation as a whole: what it writes, and that doing it again changes nothing."""

from sqlalchemy.ext.asyncio import AsyncEngine

from rules.generation import generate
from rules.thresholds import Thresholds
from tests.support.platform import NOW, Platform


async def test_second_tutor_no_show_opens_a_critical_alert(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    sessions = [await platform.session(status="no_show_tutor", days_ago=days) for days in (3, 20)]

    async with engine.begin() as conn:
        generated = await generate(conn, ["tutor"], NOW, thresholds)

    assert [(a.alert_type, a.severity, a.description) for a in generated.alerts] == [
        ("no_show_pattern", "critical", "2 no-shows in 30 days (alert from 2)")
    ]
    assert await platform.rows("SELECT session_ids FROM tutorwatch.alert_evidence") == [sessions]


async def test_generating_again_changes_nothing(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    for days in (3, 20):
        await platform.session(status="no_show_tutor", days_ago=days)
    async with engine.begin() as conn:
        await generate(conn, ["tutor"], NOW, thresholds)

    async with engine.begin() as conn:
        again = await generate(conn, ["tutor"], NOW, thresholds)

    assert (again.alerts, again.insights, again.ended) == ([], [], [])
    assert await platform.open_alerts() == ["no_show_pattern"]
