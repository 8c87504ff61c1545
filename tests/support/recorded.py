"""What the triggers have recorded, and clients that listen or write many rows."""

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from tests.support.platform import Platform

CHANNEL = "tutorwatch_changes"

EVERY_TUTOR: tuple[str | None, list[UUID]] = (None, [])
"""The row that stands for all tutors."""


async def take(platform: Platform) -> list[tuple[str | None, list[UUID]]]:
    """Empties the outbox: its rows as (tutor, sessions whose metrics changed), in a fixed order."""
    rows = await platform.rows("DELETE FROM tutorwatch.outbox RETURNING tutor_id, session_ids")
    return sorted(((tutor, sorted(ids or [])) for tutor, ids in rows), key=lambda row: (row[0] or "", row[1]))


def tutors(*names: str) -> list[tuple[str | None, list[UUID]]]:
    """A row for each of these tutors, as `take` returns them."""
    return [(name, []) for name in sorted(names)]


async def insert_sessions(
    platform: Platform, tutor_ids: Iterable[str], *, per_tutor: int = 1, status: str = "completed"
) -> None:
    """Many sessions in one statement, in the order of the tutors."""
    tutor_ids = list(tutor_ids)
    for tutor in tutor_ids:
        await platform.user(tutor)
    await platform.user("student", role="student")
    subject = await platform.subject()
    await platform.connection.execute(INSERT_SESSIONS, [subject, status, tutor_ids, per_tutor])


async def update(platform: Platform, table: str, column: str, value: Any) -> None:
    """Sets the column in every row of the table."""
    await platform.connection.execute(
        sql.SQL("UPDATE {} SET {} = {}").format(
            sql.Identifier("public", table), sql.Identifier(column), sql.Placeholder()
        ),
        [value],
    )


INSERT_SESSIONS = """
    INSERT INTO public.sessions
        (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number, status)
    SELECT tutor, 'student', '2026-06-14', 60, %s, 2, %s
    FROM unnest(%s::text[]) WITH ORDINALITY AS t (tutor, place), generate_series(1, %s) ORDER BY place
"""


@asynccontextmanager
async def client_of(database_url: str, **options: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """One more client, in autocommit mode."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, **options) as connection:
        yield connection


class Listening:
    """A connection that hears the triggers' notifications."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.received: deque[str] = deque()

    async def next(self) -> str:
        """The payload of the next notification; fails when none comes."""
        if not self.received:
            self.received.extend([n.payload async for n in self.connection.notifies(timeout=10, stop_after=1)])
        assert self.received, "no notification came"
        return self.received.popleft()

    async def hears_only(self, client: psycopg.AsyncConnection[Any], *expected: str) -> None:
        """These notifications have come and no other: a last one, sent now by the client, comes right after."""
        await client.execute("SELECT pg_notify(%s, 'the last one')", [CHANNEL])
        assert [await self.next() for _ in range(len(expected) + 1)] == [*expected, "the last one"]


@asynccontextmanager
async def listening(database_url: str) -> AsyncIterator[Listening]:
    """Listens from now on."""
    async with client_of(database_url) as connection:
        await connection.execute(f"LISTEN {CHANNEL}".encode())
        yield Listening(connection)
