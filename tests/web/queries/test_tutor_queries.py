"""The list of tutors, one tutor, one session."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from rules.measures import Ratio
from rules.tutors import every_tutor
from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform, naive
from web.auth.identity import Viewer
from web.queries import (
    coaching_notes_of,
    every_tutor_by_name,
    insights_of,
    session_details,
    sessions_of,
    tutor_overview,
)
from web.queries.alerts.single import ResolvedPage, ResolvedPosition, resolved_alerts_of
from web.queries.paging import Cursor


async def test_list_holds_every_tutor_and_nobody_else(conn: AsyncConnection, platform: Platform) -> None:
    for user_id, role in (("role", "tutor"), ("profile", "admin"), ("taught", "student"), ("sam", "student")):
        await platform.user(user_id, role=role)
    await platform.insert("tutors", user_id="profile")

    async def listed() -> set[str]:
        return set(await every_tutor_by_name(conn))

    assert await listed() == {"role", "profile"}
    for tutor in ("taught", "role", "role", "a", "z"):
        await platform.session(tutor, student="sam")
    assert await listed() == {"role", "profile", "taught", "a", "z"}
    assert await listed() == set(await conn.scalars(every_tutor()))


async def test_nobody_and_students_have_no_tutor_page(conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("sam", role="student")
    assert await tutor_overview(conn, "sam", NOW, viewer=Viewer.ADMIN) is None
    assert await tutor_overview(conn, "nobody", NOW, viewer=Viewer.ADMIN) is None


async def test_overview_tells_a_tutors_figures(conn: AsyncConnection, platform: Platform) -> None:
    rated = await platform.session("ann", days_ago=1, score="8.0", number=1, audio={"student_engagement_score": "7.0"})
    await platform.insert("session_feedback", session_id=rated, student_satisfaction_rating=4)
    await platform.session("ann", days_ago=2, score="6.0", audio={"student_engagement_score": "NaN"})
    await platform.session("ann", days_ago=40, score="5.0")
    await platform.session("ann", status="no_show_tutor")
    await platform.session("ann", status="rescheduled", rescheduled_by="student")

    overview = await tutor_overview(conn, "ann", NOW, viewer=Viewer.ADMIN)

    assert overview is not None
    statistics = overview.statistics
    assert statistics.score.recent == Ratio(Decimal("14.0"), 2)
    assert statistics.score.earlier == Ratio(Decimal("5.0"), 1)
    assert statistics.engagement == Ratio(Decimal("7.0"), 1)
    assert statistics.rating == Ratio(Decimal(4), 1)
    assert statistics.conversion == Ratio(Decimal(1), 1)
    assert (statistics.completed, statistics.no_shows, statistics.reschedules) == (2, 1, 0)
    assert len(overview.sessions.rows) == 5


async def test_last_30_days_and_the_30_before_end_where_they_say(conn: AsyncConnection, platform: Platform) -> None:
    """Whatever the windows of the rules: those have statistics of their own, with each alert."""
    for days, score in ((29, "8.0"), (31, "6.0"), (59, "7.0"), (61, "1.0")):
        await platform.session("ann", score=score, at=NOW - timedelta(days=days))
    # Held long ago, of a client that dates it so: planned in the last 30 days, which makes it no part of them.
    await platform.session("ann", score="1.0", days_ago=1, completed_at=NOW - timedelta(days=100))
    for days in (29, 31, 75):
        at = NOW - timedelta(days=days)
        await platform.session("ann", status="no_show_tutor", at=at)
        await platform.session("ann", status="rescheduled", rescheduled_by="tutor", at=at)

    overview = await tutor_overview(conn, "ann", NOW, viewer=Viewer.ADMIN)

    assert overview
    statistics = overview.statistics
    assert (statistics.score.recent, statistics.score.earlier) == (Ratio(Decimal("8.0"), 1), Ratio(Decimal("13.0"), 2))
    assert (statistics.completed, statistics.no_shows, statistics.reschedules) == (1, 1, 1)


async def test_trend_has_a_gap_for_each_day_without_data(conn: AsyncConnection, platform: Platform) -> None:
    await platform.session("ann", at=NOW, score="8.0")
    await platform.session("ann", at=NOW - timedelta(hours=2), score="7.0")
    await platform.session("ann", at=NOW - timedelta(days=29), score="6.0")
    await platform.session("ann", at=NOW - timedelta(days=31), score="1.0")
    overview = await tutor_overview(conn, "ann", NOW, viewer=Viewer.ADMIN)
    assert overview is not None
    trend = overview.trend
    # From noon thirty days ago until noon: parts of 31 days.
    assert (len(trend), trend[-1].day) == (31, NOW.date())
    assert [(day.sessions, day.score) for day in (trend[1], trend[-1])] == [(1, Decimal(6)), (2, Decimal("7.5"))]
    assert all(day.score is None for day in (trend[0], *trend[2:-1]))


@pytest.mark.parametrize(
    ("zone", "midnight", "hours"),
    [
        pytest.param("Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), 23, id="clocks go forward"),
        pytest.param("Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 25, id="clocks go back"),
        pytest.param("Asia/Kathmandu", datetime(2026, 10, 24, 18, 15, tzinfo=UTC), 24, id="a quarter past"),
        pytest.param("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC), 23, id="a day without a midnight"),
    ],
)
async def test_days_of_the_trend_are_those_of_the_viewer(
    conn: AsyncConnection, platform: Platform, zone: str, midnight: datetime, hours: int
) -> None:
    second, end = timedelta(seconds=1), midnight + timedelta(hours=hours)
    for at in (midnight - second, midnight, end - second, end):
        await platform.session("ann", at=at, score="8.0")
    now = midnight + timedelta(days=4)
    overview = await tutor_overview(conn, "ann", now, viewer=Viewer.ADMIN, zone=ZoneInfo(zone))
    assert overview is not None
    day = midnight.astimezone(ZoneInfo(zone)).date()
    held = {each.day: each.sessions for each in overview.trend if each.sessions}
    assert held == {day - timedelta(days=1): 1, day: 2, day + timedelta(days=1): 1}


async def test_trend_and_statistics_are_of_the_same_sessions(conn: AsyncConnection, platform: Platform) -> None:
    """Also those that a client dates a little later than now."""
    a_minute = timedelta(minutes=1)
    since = NOW - timedelta(days=30)
    for at in (since - a_minute, since, since + a_minute, NOW - a_minute, NOW + timedelta(hours=20)):
        await platform.session("ann", at=at, score="8.0")
    overview = await tutor_overview(conn, "ann", NOW, viewer=Viewer.ADMIN, zone=ZoneInfo("Asia/Kathmandu"))
    assert overview is not None
    assert (sum(day.sessions for day in overview.trend), overview.statistics.completed) == (4, 4)
    assert overview.trend[-1].day == NOW.date() + timedelta(days=1)


async def test_open_and_resolved_alerts_stand_apart(conn: AsyncConnection, platform: Platform) -> None:
    await insert_alert(platform, "ann", severity="warning", title="newer", at=NOW)
    await insert_alert(platform, "ann", title="critical", at=NOW - timedelta(days=1))
    await insert_alert(platform, "ann", title="done", resolved=True, at=NOW)
    overview = await tutor_overview(conn, "ann", NOW, viewer=Viewer.ADMIN)
    assert overview is not None
    assert [found.alert.title for found in overview.open_alerts] == ["critical", "newer"]
    assert [alert.title for alert in overview.resolved_alerts.rows] == ["done"]


async def test_history_of_alerts_page_by_page(conn: AsyncConnection, platform: Platform) -> None:
    for number in range(45):
        resolved_at = naive(NOW - timedelta(hours=number // 2)) if number else None
        await insert_alert(platform, "ann", title=f"{number}", at=NOW, resolved=True, resolved_at=resolved_at)

    async def read(cursor: Cursor[ResolvedPosition] | None) -> ResolvedPage:
        return await resolved_alerts_of(conn, "ann", cursor, viewer=Viewer.ADMIN, limit=20)

    there = [await read(None)]
    while at := there[-1].next:
        there.append(await read(at))
    assert [len(page.rows) for page in there] == [20, 20, 5]
    assert len({row.id for page in there for row in page.rows}) == 45
    assert [page.rows for page in (await read(there[2].previous), await read(there[1].previous))] == [
        there[1].rows,
        there[0].rows,
    ]


async def test_insights_come_with_the_sessions_that_still_exist(conn: AsyncConnection, platform: Platform) -> None:
    session = await platform.session("ann")
    for category, is_active in (("high_engagement", True), ("strong_questioning", False)):
        await platform.insert(
            "tutor_insights",
            tutor_id="ann",
            insight_type="strength",
            category=category,
            display_text="Good",
            is_active=is_active,
            sample_sessions=[session, uuid4()],
        )
    (insight,) = await insights_of(conn, "ann")
    assert [sample.id for sample in insight.samples] == [session]
    assert len(await insights_of(conn, "ann", shown_by=session)) == 1
    assert await insights_of(conn, "ann", shown_by=uuid4()) == ()


async def test_sessions_page_by_page(conn: AsyncConnection, platform: Platform) -> None:
    sessions = [await platform.session("ann", days_ago=days) for days in (1, 2, 2, 2, 3)]
    there = [await sessions_of(conn, "ann", limit=2)]
    while place := there[-1].next:
        there.append(await sessions_of(conn, "ann", place, limit=2))
    assert [len(page.rows) for page in there] == [2, 2, 1]
    assert sorted(row.id for page in there for row in page.rows) == sorted(sessions)

    back = [there[-1]]
    while place := back[-1].previous:
        back.append(await sessions_of(conn, "ann", place, limit=2))
    assert [page.rows for page in reversed(back)] == [page.rows for page in there]


async def test_session_details(conn: AsyncConnection, platform: Platform) -> None:
    session = await platform.session(
        "ann", score="8.0", audio={"tutor_talk_ratio": "0.44", "avg_student_response_delay": "NaN"}
    )
    details = await session_details(conn, session)
    assert details is not None
    assert details.audio is not None
    assert details.audio["tutor_talk_ratio"] == Decimal("0.440")
    assert details.audio["avg_student_response_delay"] is None
    assert (details.video, details.screen) == (None, None)
    assert await session_details(conn, uuid4()) is None


async def test_notes_latest_first(conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("ann")
    await platform.user("dana", role="admin", name="Dana")
    for days, author in ((2, "dana"), (1, None)):
        created_at = naive(NOW - timedelta(days=days))
        await platform.insert(
            "coaching_notes",
            tutor_id="ann",
            note_type="manual",
            content=str(days),
            created_by=author,
            created_at=created_at,
        )
    notes = await coaching_notes_of(conn, "ann")
    assert [(note.content, note.author) for note in notes] == [("1", None), ("2", "Dana")]
