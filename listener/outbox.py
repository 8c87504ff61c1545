"""The outbox: changes that have not been processed yet."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, String, bindparam, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.canary import MARKER
from database.tables import outbox
from rules.tutor_locks import LOCK_SEED
from rules.tutors import every_tutor

LOOK_AHEAD = 20
"""How far beyond its oldest changes a claim looks for more of the same tutors: so many batches."""

FEW_CHANGES = 10
"""How many changes the fast lane takes at a time: a generation of so few takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The tutors that the claimed changes concern. It lasts until the transaction ends, either way."""

    tutor_ids: list[str]
    apart: list[str]
    """Tutors not to be generated together with others: they are failing, or their last batch ended unfinished."""
    changes: int
    oldest_at: datetime | None
    concerns_every_tutor: bool
    alerts_are_gone: bool
    """Whether alerts were truncated."""
    others_hold_changes: bool
    """Whether an empty claim left changes to another listener, who may die."""
    attempt_in_seconds: float | None
    """When the next attempt at a failing tutor is due; negative: since when."""
    markers: list[UUID]
    """Ids of the canary's markers, which are among the changes and concern nobody."""
    transaction: str | None
    """The id of the transaction that the claim lasts for; None for an empty claim."""
    now: datetime
    """The database's clock at the claim: one clock for all listeners."""

    @property
    def age_seconds(self) -> float:
        """The age of its oldest change; 0 for an empty claim."""
        return max((self.now - self.oldest_at).total_seconds(), 0.0) if self.oldest_at else 0.0


# The rows are deleted at once: the transaction is the lease, and gives them back if it doesn't commit. On a row
# that was given back, xmax still names the transaction that had it: that one ended unfinished, perhaps because a
# tutor of its batch killed the listener. Where metrics changed, the session's tutor is read again (see
# migrations/sql/initial_tables.sql). What was recorded soon after about the same tutors comes along: of a long backlog
# each tutor is then generated once, not once a batch.
_OLDEST = """
    first AS MATERIALIZED (
        SELECT id, tutor_id, session_ids, recorded_at, xmax::text AS had_by
        FROM tutorwatch.outbox ORDER BY id LIMIT :batch_size FOR UPDATE SKIP LOCKED
    )
"""
# Without those whose tutor is being generated: a claim would wait for that generation.
_NEWEST = """
    newest AS MATERIALIZED (
        SELECT id, tutor_id FROM tutorwatch.outbox ORDER BY id DESC LIMIT :batch_size
    ), free AS MATERIALIZED (
        SELECT id FROM newest
        WHERE tutor_id IS NOT NULL AND pg_try_advisory_xact_lock(hashtextextended(tutor_id, :lock_seed))
    ), first AS MATERIALIZED (
        SELECT id, tutor_id, session_ids, recorded_at, xmax::text AS had_by
        FROM tutorwatch.outbox WHERE id IN (SELECT id FROM free) FOR UPDATE SKIP LOCKED
    )
"""
_CLAIM = """
    WITH {first}, more AS MATERIALIZED (
        SELECT id, tutor_id, session_ids, recorded_at, xmax::text AS had_by
        FROM tutorwatch.outbox
        WHERE id > (SELECT max(id) FROM first) AND id <= (SELECT max(id) + :look_ahead FROM first)
          AND tutor_id IN (SELECT tutor_id FROM first)
        FOR UPDATE SKIP LOCKED
    ), claimed AS MATERIALIZED (
        SELECT id, tutor_id, session_ids, recorded_at, had_by <> '0' AND had_by <> ALL(:own) AS unfinished
        FROM (SELECT * FROM first UNION ALL SELECT * FROM more) AS found
    ), removed AS (
        DELETE FROM tutorwatch.outbox WHERE id = ANY(ARRAY(SELECT id FROM claimed))
    ), concerned AS MATERIALIZED (
        SELECT changed.tutor_id,
               bool_or(changed.unfinished)
                   OR EXISTS (SELECT FROM tutorwatch.failures WHERE failures.tutor_id = changed.tutor_id) AS apart
        FROM (
            SELECT tutor_id, unfinished FROM claimed WHERE tutor_id IS NOT NULL
            UNION ALL
            SELECT sessions.tutor_id, claimed.unfinished
            FROM claimed CROSS JOIN unnest(claimed.session_ids) AS changed (session_id)
            JOIN public.sessions ON sessions.id = changed.session_id
        ) AS changed
        GROUP BY changed.tutor_id
    )
    SELECT ARRAY(SELECT tutor_id FROM concerned WHERE NOT apart) AS tutor_ids,
           ARRAY(SELECT tutor_id FROM concerned WHERE apart) AS apart,
           count(*) AS changes,
           min(recorded_at) AS oldest_at,
           coalesce(bool_or(tutor_id IS NULL AND coalesce(cardinality(session_ids), 0) = 0), false)
               AS concerns_every_tutor,
           coalesce(bool_or(tutor_id IS NULL AND session_ids = '{{}}'), false) AS alerts_are_gone,
           count(*) = 0 AND EXISTS (SELECT FROM tutorwatch.outbox) AS others_hold_changes,
           (SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float8
            FROM tutorwatch.failures) AS attempt_in_seconds,
           ARRAY(SELECT session_ids[2] FROM claimed WHERE session_ids[1] = '{marker}') AS markers,
           pg_current_xact_id_if_assigned()::xid::text AS transaction,
           clock_timestamp() AS now
    FROM claimed
"""
_CLAIM_OLDEST, _CLAIM_NEWEST = (
    text(_CLAIM.format(first=first, marker=MARKER)).bindparams(bindparam("own", type_=ARRAY(String)))
    for first in (_OLDEST, _NEWEST)
)


async def claim(conn: AsyncConnection, batch_size: int, *, own: Collection[str] = ()) -> Claim:
    """Claims the oldest changes that no other listener holds, with later ones of their tutors; empty if there are none.

    `own` are transactions that the caller itself rolled back: their changes aren't set apart for that.
    """
    values = {"batch_size": batch_size, "look_ahead": LOOK_AHEAD * batch_size, "own": list(own)}
    row = (await conn.execute(_CLAIM_OLDEST, values)).one()
    return Claim(**row._mapping)  # noqa: SLF001 - Row's API


async def claim_newest(conn: AsyncConnection, *, own: Collection[str] = ()) -> Claim:
    """Claims the few newest changes, however many are older; never waits for another generation."""
    values = {"batch_size": FEW_CHANGES, "look_ahead": 0, "lock_seed": LOCK_SEED, "own": list(own)}
    row = (await conn.execute(_CLAIM_NEWEST, values)).one()
    return Claim(**row._mapping)  # noqa: SLF001 - Row's API


async def forget_consumed(conn: AsyncConnection) -> None:
    """Forgets which sessions were evidence of alerts that no longer exist, as after a TRUNCATE of alerts."""
    await conn.execute(_FORGET_CONSUMED)


_FORGET_CONSUMED = text("""
    DELETE FROM tutorwatch.consumed_sessions AS c
    WHERE NOT EXISTS (SELECT FROM public.alerts WHERE alerts.id = c.alert_id)
""")


async def add_every_tutor(conn: AsyncConnection) -> int:
    """Puts all tutors into the outbox; returns how many there are."""
    every = insert(outbox).from_select(["tutor_id"], every_tutor())
    added = await conn.execute(every, execution_options={"preserve_rowcount": True})
    return added.rowcount


_GIVE_BACK = text("""
    UPDATE tutorwatch.outbox SET recorded_at = recorded_at WHERE xmax::text = ANY(:own)
""").bindparams(bindparam("own", type_=ARRAY(String)))


async def give_back(conn: AsyncConnection, own: Collection[str]) -> None:
    """Makes changes that these transactions gave back look as if they had never been claimed.

    Otherwise another listener would suspect that they killed this one, and set their tutors apart.
    """
    await conn.execute(_GIVE_BACK, {"own": list(own)})
