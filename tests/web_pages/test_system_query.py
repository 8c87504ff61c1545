"""How Tutorwatch itself is doing, as its page reads it."""

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from migrations import automation
from tests.platform import Platform
from web.queries import system_state
from web.queries.system import Automation


async def test_listeners_are_fresh_for_thirty_seconds(conn: AsyncConnection, platform: Platform) -> None:
    for seconds in (1, 31):
        await platform.rows(
            "INSERT INTO tutorwatch.listeners VALUES"
            " (gen_random_uuid(), 'host', %s, '1', now(), now() - make_interval(secs => %s)) RETURNING 1",
            seconds,
            seconds,
        )
    state = await system_state(conn)
    assert [(listener.process_id, listener.is_fresh) for listener in state.listeners] == [(1, True), (31, False)]
    assert state.is_listening


async def test_what_waits_and_what_fails(conn: AsyncConnection, platform: Platform) -> None:
    await platform.session("ann")
    for tutor, parked in (("ann", "now()"), ("gone", "NULL")):
        await platform.rows(
            "INSERT INTO tutorwatch.failures"
            " (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
            f" VALUES (%s, 2, 'E', now(), now(), {parked}) RETURNING 1",
            tutor,
        )
    state = await system_state(conn)
    assert state.waiting == len(await platform.rows("SELECT id FROM tutorwatch.outbox"))
    assert state.oldest_at is not None
    assert [(tutor.tutor_id, tutor.name) for tutor in state.failing] == [("ann", "Ann"), ("gone", None)]
    assert (state.failing_count, state.parked_count) == (2, 1)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param("SELECT", Automation.ON, id="as migrated"),
        pytest.param("ALTER TABLE alerts DISABLE TRIGGER tutorwatch_update", Automation.PARTLY, id="one off"),
        pytest.param("DROP TRIGGER tutorwatch_update ON alerts", Automation.PARTLY, id="one missing"),
    ],
)
async def test_automation_by_its_triggers(
    conn: AsyncConnection, platform: Platform, statement: str, expected: Automation
) -> None:
    await platform.connection.execute(statement.encode())
    assert (await system_state(conn)).automation is expected


async def test_automation_switched_off(conn: AsyncConnection, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        automation.switch(connection, on=False)
    assert (await system_state(conn)).automation is Automation.OFF
