"""The platform's statistics and the scoreboard."""

from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from rules.measures import Ratio
from rules.thresholds import Thresholds
from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform
from web.queries import (
    SessionsShown,
    critical_count,
    open_alert_counts,
    platform_statistics,
    rank,
    recent_sessions,
    scoreboard,
    tutor_months,
)
from web.queries.dashboard import AlertCounts
from web.queries.platform import TutorMonth


async def test_figures_compare_thirty_days_with_the_thirty_before(
    conn: AsyncConnection, platform: Platform, thresholds: Thresholds
) -> None:
    await platform.session("ann", days_ago=1, score="8.0", number=1, student="leo")
    await platform.session("ann", days_ago=29, score="7.0", number=2, student="leo")
    await platform.session("ann", days_ago=2, number=1, student="mia")
    await platform.session("ann", days_ago=31, score="6.0")
    await platform.session("ann", days_ago=59, score="5.0")
    await platform.session("ann", days_ago=61, score="1.0")

    metrics = platform_statistics(await tutor_months(conn, NOW), thresholds)

    assert metrics.score.recent == Ratio(Decimal("15.0"), 2)
    assert metrics.score.earlier == Ratio(Decimal("11.0"), 2)
    assert metrics.conversion.recent == Ratio(Decimal(1), 2)
    assert metrics.conversion.earlier == Ratio(Decimal(0), 0)


async def test_no_show_rate_is_of_the_sessions_that_were_due(
    conn: AsyncConnection, platform: Platform, thresholds: Thresholds
) -> None:
    for status in ("completed", "no_show_tutor", "no_show_student", "rescheduled", "cancelled", "scheduled"):
        await platform.session("ann", status=status)
    assert platform_statistics(await tutor_months(conn, NOW), thresholds).no_shows.recent == Ratio(Decimal(1), 3)


async def test_tutors_at_churn_risk(conn: AsyncConnection, platform: Platform, thresholds: Thresholds) -> None:
    for _ in range(2):
        await platform.session("two-no-shows", status="no_show_tutor")
        await platform.session("long-ago", status="no_show_tutor", days_ago=40)
    for number in range(5):
        await platform.session("five-moves", status="rescheduled", rescheduled_by="tutor")
        by = "tutor" if number else "student"
        await platform.session("four-moves", status="rescheduled", rescheduled_by=by)
    await platform.session("one-no-show", status="no_show_tutor")
    metrics = platform_statistics(await tutor_months(conn, NOW), thresholds)
    assert (metrics.churn_risk, metrics.at_risk_earlier) == (2, 1)


async def test_figures_of_an_empty_platform(conn: AsyncConnection, thresholds: Thresholds) -> None:
    metrics = platform_statistics(await tutor_months(conn, NOW), thresholds)
    assert metrics.score.recent == metrics.no_shows.recent == Ratio(Decimal(0), 0)
    assert (metrics.churn_risk, metrics.at_risk_earlier) == (0, 0)


async def test_averages_leave_out_what_has_no_score(conn: AsyncConnection, platform: Platform) -> None:
    await platform.session("ann", score="7.0")
    await platform.session("ann", score="8.0")
    await platform.session("ann")
    await platform.session("ann", score="1.0", days_ago=31)
    await platform.session("bob")
    months = (await tutor_months(conn, NOW)).recent
    assert {tutor_id: month.score for tutor_id, month in months.items() if month.score.count} == {
        "ann": Ratio(Decimal("15.0"), 2)
    }


async def test_open_alerts_are_counted_by_severity(conn: AsyncConnection, platform: Platform) -> None:
    await insert_alert(platform, "ann", at=NOW)
    await insert_alert(platform, "ann", acknowledged=True, at=NOW)
    await insert_alert(platform, "ann", severity="warning", at=NOW)
    await insert_alert(platform, "ann", severity="info", at=NOW)
    await insert_alert(platform, "bob", resolved=True, at=NOW)
    assert await open_alert_counts(conn) == {"ann": AlertCounts(critical=2, warning=1, info=1)}
    assert await open_alert_counts(conn, ["bob"]) == {}
    assert await critical_count(conn) == 2


def average(score: str, count: int = 5) -> TutorMonth:
    return TutorMonth(score=Ratio(Decimal(score) * count, count))


def test_attention_goes_to_critical_alerts_then_to_the_lowest_scores() -> None:
    averages = {
        "low": average("6.4"),
        "limit": average("6.5"),
        "warned": average("6.0"),
        "critical": average("9.0"),
        "worse": average("5.0"),
    }
    counts = {"warned": AlertCounts(warning=1), "critical": AlertCounts(critical=1), "new": AlertCounts(warning=1)}
    board = scoreboard(rank(averages), counts)
    assert [tutor.tutor_id for tutor in board.attention] == ["critical", "worse", "warned", "low", "new"]
    assert board.attention[-1].average is None


def test_top_performers_have_five_sessions_and_no_flagged_average() -> None:
    averages = {
        "best": average("9.1"),
        "more": average("9.0", 7),
        "same": average("9.0", 6),
        "four": average("10", 4),
        "low": average("6.4"),
    }
    assert [tutor.tutor_id for tutor in scoreboard(rank(averages), {}).top] == ["best", "more", "same"]


def test_scoreboard_shows_ten_and_counts_all() -> None:
    averages = {f"tutor-{number:02}": average("5.0") for number in range(12)}
    averages |= {f"top-{number:02}": average("9.0") for number in range(12)}
    board = scoreboard(rank(averages), {})
    assert (len(board.top), len(board.attention), board.attention_count) == (10, 10, 12)


def test_nobody_with_an_open_alert_is_a_top_performer() -> None:
    averages = {f"top-{number:02}": average("9.0") for number in range(12)}
    board = scoreboard(rank(averages), {"top-00": AlertCounts(info=1), "top-07": AlertCounts(critical=1)})
    without = [f"top-{number:02}" for number in range(12) if number not in (0, 7)]
    assert ([tutor.tutor_id for tutor in board.top], board.top_count) == (without, 10)


async def test_alerts_of_people_who_are_no_tutors_any_more_are_not_counted(
    conn: AsyncConnection, platform: Platform
) -> None:
    await insert_alert(platform, "ann", at=NOW)
    await insert_alert(platform, "left", at=NOW)
    await platform.connection.execute("DELETE FROM tutors WHERE user_id = 'left'")
    await platform.connection.execute("UPDATE users SET role = 'student' WHERE id = 'left'")
    assert await open_alert_counts(conn) == {"ann": AlertCounts(critical=1)}


async def test_recent_sessions_by_kind(conn: AsyncConnection, platform: Platform) -> None:
    flagged = await platform.session("ann", days_ago=1, score="6.4")
    middle = await platform.session("ann", days_ago=2, score="6.5")
    high = await platform.session("ann", days_ago=3, score="8.5")
    missed = await platform.session("ann", days_ago=4, status="no_show_student")
    await platform.session("ann", days_ago=1, status="scheduled")
    await platform.session("ann", days_ago=-5, status="cancelled")

    async def shown(which: SessionsShown) -> list[object]:
        return [session.id for session in await recent_sessions(conn, NOW, which)]

    assert await shown(SessionsShown.ALL) == [flagged, middle, high, missed]
    assert await shown(SessionsShown.FLAGGED) == [flagged]
    assert await shown(SessionsShown.HIGH) == [high]
