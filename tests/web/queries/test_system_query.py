"""How Tutorwatch itself is doing, as its page reads it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.platform import Platform
from web.queries import system_state


async def test_listeners_are_fresh_for_twelve_seconds(conn: AsyncConnection, platform: Platform) -> None:
    for seconds in (1, 13):
        await platform.rows(
            "INSERT INTO tutorwatch.listeners VALUES"
            " (gen_random_uuid(), 'host', %s, '1', now(), now() - make_interval(secs => %s)) RETURNING 1",
            seconds,
            seconds,
        )
    state = await system_state(conn)
    assert [(listener.process_id, listener.is_fresh) for listener in state.listeners] == [(1, True), (13, False)]


async def test_what_fails(conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("ann")
    for tutor, parked in (("ann", "now()"), ("gone", "NULL")):
        await platform.rows(
            "INSERT INTO tutorwatch.failures"
            " (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
            f" VALUES (%s, 2, 'E', now(), now(), {parked}) RETURNING 1",
            tutor,
        )
    state = await system_state(conn)
    assert [(tutor.tutor_id, tutor.name) for tutor in state.failing] == [("ann", "Ann"), ("gone", None)]
    assert state.schema_revision is not None
