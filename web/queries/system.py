"""Reads how Tutorwatch itself is doing: its listeners, what waits for them, and what they gave up on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.liveness import IS_FRESH
from database.recording import BROKEN_TRIGGERS, OFF_SINCE


class Automation(StrEnum):
    """Whether changes are recorded; `partly` where a trigger is missing or switched off."""

    ON = "on"
    OFF = "off"
    PARTLY = "partly on"


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
    """Everything the system page says. `oldest_at` is when the longest waiting change was recorded."""

    listeners: tuple[Listener, ...]
    waiting: int
    oldest_at: datetime | None
    failing: tuple[FailingTutor, ...]
    failing_count: int
    parked_count: int
    automation: Automation
    database_version: str
    schema_revision: str | None
    swept_at: datetime | None

    @property
    def is_listening(self) -> bool:
        """Whether at least one listener is alive."""
        return any(listener.is_fresh for listener in self.listeners)


_LISTENERS = text(f"""
    SELECT host, process_id, version, started_at, seen_at, {IS_FRESH} AS is_fresh
    FROM tutorwatch.listeners
    ORDER BY seen_at DESC
    LIMIT 20
""")  # noqa: S608 - a constant of ours

_WAITING = text("""
    SELECT count(*) AS waiting, min(recorded_at) AS oldest_at,
           (SELECT max(swept_at) FROM tutorwatch.sweep) AS swept_at,
           current_setting('server_version') AS database_version,
           (SELECT max(version_num) FROM tutorwatch.alembic_version) AS schema_revision
    FROM tutorwatch.outbox
""")

_FAILING = text("""
    SELECT failure.tutor_id, tutor.name, failure.attempts, failure.last_error, failure.last_failed_at,
           failure.next_attempt_at, failure.parked_at,
           count(*) OVER () AS failing_count, count(failure.parked_at) OVER () AS parked_count
    FROM tutorwatch.failures AS failure
    LEFT JOIN public.users AS tutor ON tutor.id = failure.tutor_id
    WHERE failure.attempts > 0
    ORDER BY failure.parked_at, failure.next_attempt_at, failure.tutor_id
    LIMIT 100
""")

_RECORDING = text(f"""
    SELECT ({OFF_SINCE}) AS off_since, (SELECT count(*) FROM ({BROKEN_TRIGGERS}) AS broken) AS broken
""")  # noqa: S608 - constants of ours


async def system_state(conn: AsyncConnection) -> SystemState:
    """How things are now, by the database's own clock. Four statements."""
    listeners = [Listener(**row) for row in await _all(conn, _LISTENERS)]
    waiting = (await _all(conn, _WAITING))[0]
    failing = await _all(conn, _FAILING)
    recording = (await conn.execute(_RECORDING)).one()
    return SystemState(
        listeners=tuple(listeners),
        waiting=waiting["waiting"],
        oldest_at=waiting["oldest_at"],
        failing=tuple(_to_failing(row) for row in failing),
        failing_count=failing[0]["failing_count"] if failing else 0,
        parked_count=failing[0]["parked_count"] if failing else 0,
        automation=_automation(recording),
        database_version=waiting["database_version"],
        schema_revision=waiting["schema_revision"],
        swept_at=waiting["swept_at"],
    )


async def _all(conn: AsyncConnection, query: TextClause, **values: Any) -> list[Any]:
    return list((await conn.execute(query, values)).mappings())


def _to_failing(row: Any) -> FailingTutor:
    return FailingTutor(
        tutor_id=row["tutor_id"],
        name=row["name"],
        attempts=row["attempts"],
        last_error=row["last_error"],
        last_failed_at=row["last_failed_at"],
        next_attempt_at=row["next_attempt_at"],
        parked_at=row["parked_at"],
    )


def _automation(recording: Row[Any]) -> Automation:
    if recording.off_since:
        return Automation.OFF
    return Automation.PARTLY if recording.broken else Automation.ON
