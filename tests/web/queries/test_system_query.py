"""How Tutorwatch itself is doing, as its page reads it."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.canary import MARKER
from tests.support.platform import Platform
from web.queries import system_state
from web.queries.system import not_evaluated_since


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


@pytest.fixture
async def all_evaluated(platform: Platform) -> None:
    """Two tutors with a session each, and an empty outbox."""
    for tutor in ("ann", "bob"):
        await platform.session(tutor)
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")


ANNS = "ARRAY(SELECT id FROM sessions WHERE tutor_id = 'ann')"


@pytest.mark.usefixtures("all_evaluated")
@pytest.mark.parametrize(
    ("tutor", "session_ids", "seconds", "expected"),
    [
        pytest.param("'ann'", "NULL", 61, {"ann"}, id="a change of hers"),
        pytest.param("'ann'", "NULL", 50, set(), id="not for a minute yet"),
        pytest.param("NULL", ANNS, 61, {"ann"}, id="metrics of her session"),
        pytest.param("NULL", ANNS, 50, set(), id="metrics that arrived just now"),
        pytest.param("NULL", "NULL", 61, {"ann", "bob"}, id="everybody is to be evaluated"),
        pytest.param("NULL", "'{}'", 61, {"ann", "bob"}, id="alerts of nobody knows whom"),
        pytest.param("NULL", f"ARRAY['{MARKER}', gen_random_uuid()]", 61, set(), id="a canary's marker"),
    ],
)
async def test_who_waits_is_not_evaluated(
    conn: AsyncConnection, platform: Platform, tutor: str, session_ids: str, seconds: int, expected: set[str]
) -> None:
    [recorded_at] = await platform.rows(
        "INSERT INTO tutorwatch.outbox (tutor_id, session_ids, recorded_at)"
        f" SELECT {tutor}, {session_ids}, clock_timestamp() - make_interval(secs => %s) RETURNING recorded_at",
        seconds,
    )
    found = {each: await conn.scalar(select(not_evaluated_since(each))) for each in ("ann", "bob")}
    assert found == {each: recorded_at if each in expected else None for each in ("ann", "bob")}


@pytest.mark.usefixtures("all_evaluated")
@pytest.mark.parametrize(
    ("attempts", "given_up_at", "is_evaluated"),
    [
        pytest.param(1, "NULL", False, id="to be tried again"),
        pytest.param(5, "now()", False, id="given up on"),
        pytest.param(0, "NULL", True, id="freed by somebody"),
    ],
)
async def test_who_fails_is_not_evaluated_since_it_began(
    conn: AsyncConnection, platform: Platform, attempts: int, given_up_at: str, is_evaluated: bool
) -> None:
    [began_at] = await platform.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        f" SELECT 'ann', %s, 'E', now() - interval '1 hour', now(), {given_up_at} RETURNING first_failed_at",
        attempts,
    )
    assert await conn.scalar(select(not_evaluated_since("ann"))) == (None if is_evaluated else began_at)
    assert await conn.scalar(select(not_evaluated_since("bob"))) is None


@pytest.mark.usefixtures("all_evaluated")
async def test_the_longest_of_all_waits_is_told(conn: AsyncConnection, platform: Platform) -> None:
    recorded = await platform.rows(
        "INSERT INTO tutorwatch.outbox (tutor_id, recorded_at) SELECT tutor, now() - make_interval(mins => ago)"
        " FROM (VALUES ('ann', 2), (NULL, 9), ('ann', 5)) AS changes (tutor, ago) RETURNING recorded_at"
    )
    assert await conn.scalar(select(not_evaluated_since("ann"))) == min(recorded)
