"""What has changed and not been generated yet: claiming it, adding to it, and what is due soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, String, bindparam, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from rules.tables import outbox
from rules.tutors import every_tutor


@dataclass(frozen=True, slots=True)
class Claim:
    """The tutors that the claimed changes concern. It lasts until the transaction ends, either way."""

    tutor_ids: list[str]
    changes: int
    oldest_at: datetime | None
    concerns_every_tutor: bool
    now: datetime
    """The database's clock at the claim: one clock for all listeners."""


# The rows are deleted at once: the transaction is the lease, and gives them back if it doesn't commit. Where
# metrics changed, the session's tutor is looked up again (see migrations/sql/own_tables.sql).
_CLAIM = text("""
    WITH claimed AS (
        DELETE FROM tutorwatch.outbox
        WHERE id = ANY(ARRAY(
            SELECT id FROM tutorwatch.outbox ORDER BY id LIMIT :batch_size FOR UPDATE SKIP LOCKED
        ))
        RETURNING tutor_id, session_ids, recorded_at
    )
    SELECT ARRAY(
               SELECT tutor_id FROM claimed WHERE tutor_id IS NOT NULL
               UNION
               SELECT sessions.tutor_id
               FROM claimed CROSS JOIN unnest(claimed.session_ids) AS changed (session_id)
               JOIN public.sessions ON sessions.id = changed.session_id
           ) AS tutor_ids,
           count(*) AS changes,
           min(recorded_at) AS oldest_at,
           coalesce(bool_or(tutor_id IS NULL AND session_ids IS NULL), false) AS concerns_every_tutor,
           clock_timestamp() AS now
    FROM claimed
""")


async def claim(conn: AsyncConnection, batch_size: int) -> Claim:
    """Claims the oldest changes that no other listener holds; empty if there are none."""
    row = (await conn.execute(_CLAIM, {"batch_size": batch_size})).one()
    return Claim(list(row.tutor_ids), row.changes, row.oldest_at, row.concerns_every_tutor, row.now)


async def add_every_tutor(conn: AsyncConnection) -> int:
    """Puts all tutors into the outbox; returns how many there are."""
    every = insert(outbox).from_select(["tutor_id"], every_tutor())
    added = await conn.execute(every, execution_options={"preserve_rowcount": True})
    return added.rowcount


_ADD = text("INSERT INTO tutorwatch.outbox (tutor_id) SELECT unnest(:tutor_ids)").bindparams(
    bindparam("tutor_ids", type_=ARRAY(String))
)
_WAKE = text("SELECT pg_notify('tutorwatch_changes', '')")


async def add(conn: AsyncConnection, tutor_ids: Sequence[str]) -> None:
    """Puts these tutors into the outbox and wakes the listeners at commit."""
    await conn.execute(_ADD, {"tutor_ids": list(tutor_ids)})
    await conn.execute(_WAKE)


@dataclass(frozen=True, slots=True)
class Due:
    """What will need another look, though no notification may come for it."""

    changes_held_by_others: bool
    retry_in_seconds: float | None


_DUE = text("""
    SELECT EXISTS (SELECT FROM tutorwatch.outbox) AS changes_held_by_others,
           (SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float8
            FROM tutorwatch.failures) AS retry_in_seconds
""")


async def look_ahead(conn: AsyncConnection) -> Due:
    """After an empty claim: changes another listener holds (it may die), and the next retry of a failure."""
    row = (await conn.execute(_DUE)).one()
    return Due(row.changes_held_by_others, row.retry_in_seconds)
