"""The condition of the system: what can't be evaluated right now, why, and since when.

`/readyz`, `/metrics`, `tutorwatch status`, `/system` and the bar on every page all show this, and nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.errors import SchemaMismatchError
from database.liveness import IS_FRESH
from database.recording import BROKEN_TRIGGERS, OFF_SINCE
from database.schema_version import check_schema


class Check(StrEnum):
    """What is looked at, in the order in which it is told."""

    SCHEMA = "schema"
    """Our own schema is at this program's revision."""
    PLATFORM = "platform"
    """The platform's tables are as the rules, pages and triggers need them."""
    ROWS = "rows"
    """No row-level security hides rows from the services."""
    RECORDING = "recording"
    """Changes are recorded: the switch is on, and every trigger and function is in place."""
    LISTENERS = "listeners"
    """A listener is alive, and evaluates."""
    WAITING = "waiting"
    """No change has been waiting for longer than a minute."""
    DEAD_LETTERED = "dead_lettered"
    """No tutor has been given up on."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that isn't evaluated."""

    check: Check
    message: str
    """One sentence, without a full stop: what is wrong; what to do about it follows a colon."""
    since: datetime | None = None
    """None where it isn't known."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How things stand. No problems: everything is evaluated."""

    problems: tuple[Problem, ...]
    listeners: int
    """Alive ones."""
    waiting: int
    """Changes in the outbox."""
    oldest_waiting_at: datetime | None
    failing: int
    """Tutors whose generation will be tried again."""
    dead_lettered: int
    swept_at: datetime | None
    """When all tutors were last re-evaluated."""

    @property
    def is_well(self) -> bool:
        """Whether pages may say that all is well."""
        return not self.problems


_STATE = text(f"""
    SELECT (SELECT count(*) FROM tutorwatch.listeners WHERE {IS_FRESH}) AS listeners,
           (SELECT max(seen_at) FROM tutorwatch.listeners) AS heard_at,
           (SELECT count(*) FROM tutorwatch.outbox) AS waiting,
           (SELECT min(recorded_at) FROM tutorwatch.outbox) AS oldest_waiting_at,
           (SELECT count(*) FROM tutorwatch.failures WHERE attempts > 0 AND parked_at IS NULL) AS failing,
           (SELECT count(*) FROM tutorwatch.failures WHERE parked_at IS NOT NULL) AS dead_lettered,
           (SELECT min(parked_at) FROM tutorwatch.failures) AS dead_lettered_at,
           (SELECT max(swept_at) FROM tutorwatch.sweep) AS swept_at,
           (SELECT min(recorded_at) < clock_timestamp() - interval '1 minute' FROM tutorwatch.outbox) AS waits_long,
           ({OFF_SINCE}) AS off_since,
           (SELECT min(trigger || ' of ' || table_name || ' ' || problem) FROM ({BROKEN_TRIGGERS}) AS b) AS broken,
           EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.sessions')
                   AND attname = 'overall_session_score') AS fits
""")  # noqa: S608 - a constant of ours


async def load_condition(conn: AsyncConnection) -> Condition:
    """The condition, by the database's own clock."""
    try:
        await check_schema(conn)
    except SchemaMismatchError as error:
        return Condition((Problem(Check.SCHEMA, str(error)),), 0, 0, None, 0, 0, None)
    row = (await conn.execute(_STATE)).one()
    found = (
        (not row.fits, Problem(Check.PLATFORM, "The platform's column sessions.overall_session_score is missing")),
        (
            row.off_since,
            Problem(Check.RECORDING, "Changes aren't recorded: run `tutorwatch automation on`", row.off_since),
        ),
        (row.broken, Problem(Check.RECORDING, f"Trigger {row.broken}: run `tutorwatch migrate`")),
        (not row.listeners, Problem(Check.LISTENERS, "No listener is alive: start `tutorwatch listen`", row.heard_at)),
        (row.waits_long, Problem(Check.WAITING, "Changes wait for longer than a minute", row.oldest_waiting_at)),
        (row.dead_lettered, Problem(Check.DEAD_LETTERED, "Tutors were given up on: see `tutorwatch failures`")),
    )
    return Condition(
        tuple(problem for holds, problem in found if holds),
        row.listeners,
        row.waiting,
        row.oldest_waiting_at,
        row.failing,
        row.dead_lettered,
        row.swept_at,
    )
