"""Sign-ins are found together, and none is found that had ended before it was asked for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import AnsweredConnection
from tests.platform import Platform
from tests.roles import WEB
from web.auth import store
from web.auth.cookies import digest
from web.auth.sign_in_lookup import SignInLookup
from web.database import connections_for_pages

LIFETIME = store.Lifetime(timedelta(hours=1), timedelta(days=1))
DANA, OMAR = digest("dana"), digest("omar")
LOCKED = "LOCK TABLE tutorwatch.sign_ins IN ACCESS EXCLUSIVE MODE"


@pytest.fixture
async def lookup(people: None, engine: AsyncEngine, database_url: str) -> AsyncIterator[SignInLookup]:  # noqa: ARG001
    """Finds the sign-ins of Dana and of Omar."""
    async with engine.begin() as conn:
        for token_hash, user_id in ((DANA, "dana"), (OMAR, "omar")):
            await store.insert_sign_in(conn, token_hash, user_id)
    lookup = SignInLookup(connections_for_pages(WEB.url(database_url)), LIFETIME, when_lost=engine.dispose)
    yield lookup
    await lookup.close()


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries sent so far."""
    sent: list[str] = []
    execute = AnsweredConnection.execute

    async def note(self: AnsweredConnection, query: str, *arguments: Any) -> Any:
        if "sign_ins" in str(query):
            sent.append(query)
        return await execute(self, query, *arguments)

    monkeypatch.setattr(AnsweredConnection, "execute", note)
    return sent


async def name_of(lookup: SignInLookup, token_hash: bytes) -> str | None:
    found = await lookup.find(token_hash)
    return found.account.name if found else None


async def test_everybody_learns_of_their_own_by_one_query(lookup: SignInLookup, queries: list[str]) -> None:
    asked = [DANA, OMAR, digest("nobody"), DANA] * 10
    names = await asyncio.gather(*(name_of(lookup, token_hash) for token_hash in asked))
    assert names == ["Dana Whitfield", "Omar Haddad", None, "Dana Whitfield"] * 10
    assert len(queries) == 1


async def test_sign_in_that_ends_while_a_query_runs_is_not_found_by_who_asks_then(
    lookup: SignInLookup, platform: Platform, queries: list[str]
) -> None:
    connection = platform.connection
    async with connection.transaction():
        await connection.execute(LOCKED)
        first = asyncio.create_task(name_of(lookup, DANA))
        while not queries:  # noqa: ASYNC110 - nobody tells but the list
            await asyncio.sleep(0)
        await connection.execute("DELETE FROM tutorwatch.sign_ins WHERE user_id = 'dana'")
    second = asyncio.create_task(name_of(lookup, DANA))
    await first
    assert await second is None
    assert len(queries) == 2


async def test_query_that_hangs_does_not_hold_up_the_next(
    lookup: SignInLookup, platform: Platform, queries: list[str]
) -> None:
    async with platform.connection.transaction():
        await platform.connection.execute(LOCKED)
        first = asyncio.create_task(name_of(lookup, DANA))
        while not queries:  # noqa: ASYNC110
            await asyncio.sleep(0)
        second = asyncio.create_task(name_of(lookup, OMAR))
        async with asyncio.timeout(1):
            while len(queries) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not first.done()
    assert (await first, await second) == ("Dana Whitfield", "Omar Haddad")


async def test_error_reaches_everybody_who_asked_and_nobody_after(lookup: SignInLookup, platform: Platform) -> None:
    await platform.connection.execute("ALTER TABLE tutorwatch.sign_ins RENAME TO moved")
    failed = await asyncio.gather(*(name_of(lookup, DANA) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [psycopg.errors.UndefinedTable] * 3
    await platform.connection.execute("ALTER TABLE tutorwatch.moved RENAME TO sign_ins")
    assert await name_of(lookup, DANA) == "Dana Whitfield"


async def test_who_stops_waiting_takes_the_answer_from_nobody(lookup: SignInLookup) -> None:
    impatient, patient = (asyncio.create_task(name_of(lookup, DANA)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "Dana Whitfield"


async def test_lost_connection_is_replaced_and_said_to_be_lost(
    lookup: SignInLookup, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def tell() -> None:
        told.append("lost")

    monkeypatch.setattr(lookup, "_when_lost", tell)
    assert await name_of(lookup, DANA) == "Dana Whitfield"
    ended = await platform.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'tutorwatch-web' AND datname = current_database()"
    )
    assert (ended, told) == ([True], [])
    assert await name_of(lookup, DANA) == "Dana Whitfield"
    assert told == ["lost"]


async def test_role_of_now_is_found(lookup: SignInLookup, platform: Platform) -> None:
    """Whoever changed it: nothing announces changes of users."""
    for role in ("admin", "tutor", "student"):
        await platform.connection.execute("UPDATE users SET role = %s WHERE id = 'dana'", [role])
        found = await lookup.find(DANA)
        assert found
        assert found.account.role == role
