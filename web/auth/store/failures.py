"""Failed attempts to sign in, by account and by address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ARRAY, LargeBinary, bindparam, delete, func, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.access_tables import sign_in_failures


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed attempts of an address or for an account, and the seconds since the latest."""

    count: int
    seconds_since: float


# In one order, so that two attempts never wait for each other. A row of ours, not an advisory lock: that could be held
# by any role.
_LOCK_SUBJECTS = text("""
    INSERT INTO tutorwatch.sign_in_locks (subject)
    SELECT subject FROM unnest(:subjects) AS given (subject) ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET locked_at = excluded.locked_at
""").bindparams(bindparam("subjects", type_=ARRAY(LargeBinary)))

_REMOVE_LOCKS = text("""
    DELETE FROM tutorwatch.sign_in_locks WHERE subject IN (
        SELECT subject FROM tutorwatch.sign_in_locks
        WHERE locked_at < clock_timestamp() - CAST(:unused AS interval)
        FOR UPDATE SKIP LOCKED
    )
""")

MOST_AHEAD = timedelta(seconds=5)
"""A time that lies further in the future isn't believed."""


async def load_failures(conn: AsyncConnection, subjects: Sequence[bytes], window: timedelta) -> list[Failures]:
    """The failed attempts of each subject inside the window, in the order of the subjects.

    Locks the subjects until the transaction ends, so that attempts made at once are counted one by one.
    """
    await conn.execute(_REMOVE_LOCKS, {"unused": window})
    await conn.execute(_LOCK_SUBJECTS, {"subjects": list(subjects)})
    now = func.clock_timestamp()
    is_over = sign_in_failures.c.failed_at < now - window
    is_ahead = sign_in_failures.c.failed_at > now + MOST_AHEAD  # of a clock that has been set back since
    await conn.execute(delete(sign_in_failures).where(or_(is_over, is_ahead)))
    rows = await conn.execute(
        select(
            sign_in_failures.c.subject,
            func.count().label("failures"),
            func.extract("epoch", func.clock_timestamp() - func.max(sign_in_failures.c.failed_at)).label("seconds"),
        )
        .where(sign_in_failures.c.subject.in_(subjects))
        .group_by(sign_in_failures.c.subject)
    )
    found = {bytes(row.subject): Failures(row.failures, float(row.seconds)) for row in rows}
    return [found.get(subject, Failures(0, 0.0)) for subject in subjects]


async def insert_failures(conn: AsyncConnection, subjects: Sequence[bytes]) -> list[int]:
    """Notes a failed attempt for each subject; returns the notes' ids."""
    rows = await conn.execute(
        insert(sign_in_failures).returning(sign_in_failures.c.id), [{"subject": subject} for subject in subjects]
    )
    return list(rows.scalars())


async def forget_failures(conn: AsyncConnection, note_ids: Sequence[int], *, of: bytes) -> None:
    """After a success: takes back these notes, and all of the account `of`."""
    await conn.execute(
        delete(sign_in_failures).where(sign_in_failures.c.id.in_(note_ids) | (sign_in_failures.c.subject == of))
    )
