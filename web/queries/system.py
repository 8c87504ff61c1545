"""Reads how Tutorwatch itself is doing: its listeners, what waits for them, and what they gave up on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, ScalarSelect, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.canary import IS_CHANGE
from database.condition import LONGEST_WAIT
from database.liveness import IS_FRESH
from database.subscription import Connection
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
    """A tutor whose generation fails; dead-lettered ones wait for a change or for "try again"."""

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


MOST_CHANGES = 10_000
"""How many waiting changes are looked at for one tutor's sake; while there are more, every page says that some wait."""

_NOT_EVALUATED_SINCE = text(f"""
    WITH waiting AS MATERIALIZED (
        SELECT tutor_id, session_ids, recorded_at FROM tutorwatch.outbox
        WHERE {IS_CHANGE} AND recorded_at < clock_timestamp() - CAST(:longest_wait AS interval)
        LIMIT {MOST_CHANGES}
    )
    SELECT least(
        (SELECT first_failed_at FROM tutorwatch.failures WHERE tutor_id = :failing_tutor AND attempts > 0),
        (SELECT min(recorded_at) FROM waiting
         WHERE tutor_id = :failing_tutor OR tutor_id IS NULL AND coalesce(cardinality(session_ids), 0) = 0),
        (SELECT min(waiting.recorded_at) FROM waiting CROSS JOIN unnest(waiting.session_ids) AS changed (session_id)
         JOIN public.sessions ON sessions.id = changed.session_id AND sessions.tutor_id = :failing_tutor
         WHERE waiting.tutor_id IS NULL)
    ) AS since
""")  # noqa: S608 - constants of ours


def not_evaluated_since(tutor_id: str) -> ScalarSelect[datetime | None]:
    """Since when a tutor isn't evaluated, by the database's own clock; NULL: they are.

    Their generation fails, or was given up on; or a change that concerns them, or everybody, waits for too long.
    """
    query = _NOT_EVALUATED_SINCE.bindparams(failing_tutor=tutor_id, longest_wait=LONGEST_WAIT)
    return query.columns(since=DateTime(timezone=True)).scalar_subquery()


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


@dataclass(frozen=True, slots=True)
class ListenerTotals:
    """What a live listener notes with its heartbeats, by name; some again by name, such as the alert type."""

    host: str
    totals: Mapping[str, Any]


# By host, not by process: else each restart would begin new series.
_TOTALS = text(f"""
    SELECT host, figures FROM tutorwatch.listeners WHERE {IS_FRESH} ORDER BY host
""")  # noqa: S608 - a constant of ours


async def listener_totals(conn: AsyncConnection) -> list[ListenerTotals]:
    """The totals of every listener that is alive."""
    return [ListenerTotals(row.host, row.figures) for row in await conn.execute(_TOTALS)]


_POSITION = text("SELECT CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_insert_lsn() - '0/0')::int8 END")
_REPLAYED = text("SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::int8 END")


async def position_of_primary(conn: AsyncConnection) -> int | None:
    """How far the primary's log reaches, in bytes; None on what is no primary."""
    position: int | None = (await conn.execute(_POSITION)).scalar_one()
    return position


async def position_of_replica(conn: AsyncConnection) -> int | None:
    """How far the replica has followed the primary's log, in bytes; None on what is no replica."""
    position: int | None = (await conn.execute(_REPLAYED)).scalar_one()
    return position


async def ping(conn: AsyncConnection) -> None:
    """Asks for nothing: an answer says that the database is there."""
    await conn.execute(text("SELECT"))


async def is_announcing(conn: Connection) -> bool:
    """Whether this server's triggers can notify at all; by a connection that listens."""
    cursor = await conn.execute("SELECT current_setting('max_prepared_transactions') = '0'")
    return await cursor.fetchone() == (True,)


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
