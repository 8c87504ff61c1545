"""Reads how Tutorwatch itself is doing: its listeners, what waits for them, and what they gave up on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.liveness import IS_FRESH
from web.queries.expressions import LONGEST_PARAGRAPH, marked


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener at work, or one that hasn't said so lately."""

    host: str
    process_id: int
    version: str
    started_at: datetime
    seen_at: datetime
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class FailingTutor:
    """A tutor whose generation fails; parked ones wait for a change or for "try again"."""

    tutor_id: str
    name: str | None
    attempts: int
    last_error: str
    last_failed_at: datetime
    next_attempt_at: datetime | None
    parked_at: datetime | None


@dataclass(frozen=True, slots=True)
class SystemState:
    """What the system page says beside the condition."""

    listeners: tuple[Listener, ...]
    failing: tuple[FailingTutor, ...]
    database_version: str
    schema_revision: str | None


_LISTENERS = text(f"""
    SELECT host, process_id, version, started_at, seen_at, {IS_FRESH} AS is_fresh
    FROM tutorwatch.listeners
    ORDER BY seen_at DESC
    LIMIT 20
""")  # noqa: S608 - a constant of ours

_VERSIONS = text("""
    SELECT current_setting('server_version') AS database_version,
           (SELECT max(version_num) FROM tutorwatch.alembic_version) AS schema_revision
""")

_FAILING = text("""
    SELECT failure.tutor_id, left(tutor.name, 301) AS name, failure.attempts,
           left(failure.last_error, 2001) AS last_error, failure.last_failed_at,
           failure.next_attempt_at, failure.parked_at
    FROM tutorwatch.failures AS failure
    LEFT JOIN public.users AS tutor ON tutor.id = failure.tutor_id
    WHERE failure.attempts > 0
    ORDER BY failure.parked_at, failure.next_attempt_at, failure.tutor_id
    LIMIT 100
""")


async def system_state(conn: AsyncConnection) -> SystemState:
    """How things are now, by the database's own clock. Three statements."""
    listeners = [Listener(**row) for row in await _all(conn, _LISTENERS)]
    versions = (await _all(conn, _VERSIONS))[0]
    failing = await _all(conn, _FAILING)
    return SystemState(
        listeners=tuple(listeners),
        failing=tuple(_to_failing(row) for row in failing),
        database_version=versions["database_version"],
        schema_revision=versions["schema_revision"],
    )


async def _all(conn: AsyncConnection, query: TextClause, **values: Any) -> list[Any]:
    return list((await conn.execute(query, values)).mappings())


def _to_failing(row: Any) -> FailingTutor:
    return FailingTutor(
        tutor_id=row["tutor_id"],
        name=row["name"] and marked(row["name"]),
        attempts=row["attempts"],
        last_error=marked(row["last_error"], LONGEST_PARAGRAPH),
        last_failed_at=row["last_failed_at"],
        next_attempt_at=row["next_attempt_at"],
        parked_at=row["parked_at"],
    )
