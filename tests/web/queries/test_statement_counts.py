"""No page's number of statements grows with its content."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform
from web import queries
from web.auth.identity import Viewer
from web.queries.alerts.lists import AlertFilter
from web.queries.tutors import TutorFilter

Read = Callable[[AsyncConnection], Awaitable[object]]


async def some_of_everything(platform: Platform) -> None:
    for number in range(8):
        sessions = [await platform.session(f"tutor-{number}", score="5.0", audio={}) for _ in range(3)]
        await insert_alert(platform, f"tutor-{number}", evidence=sessions, at=NOW)
        await platform.insert(
            "tutor_insights",
            tutor_id="tutor-0",
            insight_type="strength",
            category="high_engagement",
            display_text="Good",
            is_active=number == 0,
            sample_sessions=sessions,
        )


async def read_alerts(conn: AsyncConnection) -> None:
    page = await queries.alerts_page(conn, AlertFilter())
    await queries.evidence_of(conn, [alert.id for alert in page.rows], sessions_each=3)
    await queries.count_alerts(conn, AlertFilter())


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        pytest.param(lambda conn: queries.critical_summary(conn, NOW), 1, id="critical alerts"),
        pytest.param(read_alerts, 3, id="alerts"),
        pytest.param(lambda conn: queries.tutor_overview(conn, "tutor-0", NOW, viewer=Viewer.ADMIN), 10, id="tutor"),
        pytest.param(queries.every_tutor_by_name, 1, id="tutors by name"),
        pytest.param(lambda conn: queries.tutor_facts(conn, TutorFilter.UNATTENDED, None), 2, id="tutors' alerts"),
        pytest.param(lambda conn: queries.tutor_months(conn, NOW), 1, id="metrics"),
        pytest.param(lambda conn: queries.recent_sessions(conn, NOW), 1, id="recent sessions"),
        pytest.param(queries.system_state, 3, id="system"),
    ],
)
async def test_number_of_statements_is_constant(
    conn: AsyncConnection, platform: Platform, statements: list[str], read: Read, expected: int
) -> None:
    await platform.user("tutor-0")
    await read(conn)
    assert len(statements) == expected
    await some_of_everything(platform)
    statements.clear()
    await read(conn)
    assert len(statements) == expected
