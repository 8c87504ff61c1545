"""Tutors whose generation failed: on record, tried again later, at last parked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, JSON, String, any_, bindparam, delete, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from listener import outbox
from rules.tables import failures, users

LONGEST_DELAY_SECONDS = 3600.0
LONGEST_ERROR = 2000
"""Characters of an error message that are kept."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failing tutor, as it stands after the latest attempt."""

    tutor_id: str
    attempts: int
    last_error: str
    last_failed_at: datetime
    next_attempt_at: datetime | None
    parked_at: datetime | None
    name: str | None = None


# The delay doubles with each attempt and is spread over its upper half, so that tutors that failed together
# don't come back together. A parked tutor that fails again (it had a new change) stays parked.
_RECORD = text("""
    INSERT INTO tutorwatch.failures AS failure
        (tutor_id, attempts, last_error, first_failed_at, last_failed_at, next_attempt_at, parked_at)
    SELECT error.key, 1, error.value, clock_timestamp(), clock_timestamp(),
           CASE WHEN :most_attempts > 1 THEN clock_timestamp()
               + make_interval(secs => least(:longest_delay, :delay) * (0.5 + random() / 2)) END,
           CASE WHEN :most_attempts <= 1 THEN clock_timestamp() END
    FROM json_each_text(:errors) AS error
    ON CONFLICT (tutor_id) DO UPDATE SET
        attempts = failure.attempts + 1,
        last_error = excluded.last_error,
        last_failed_at = excluded.last_failed_at,
        next_attempt_at = CASE WHEN failure.attempts + 1 < :most_attempts THEN clock_timestamp() + make_interval(
            secs => least(:longest_delay, :delay * power(2, least(failure.attempts, 30))) * (0.5 + random() / 2)) END,
        parked_at = CASE WHEN failure.attempts + 1 >= :most_attempts
                         THEN coalesce(failure.parked_at, clock_timestamp()) END
    RETURNING tutor_id, attempts, last_error, last_failed_at, next_attempt_at, parked_at
""").bindparams(bindparam("errors", type_=JSON))


async def record(
    conn: AsyncConnection, errors: Mapping[str, BaseException], *, most_attempts: int, delay_seconds: float
) -> list[Failure]:
    """Counts an attempt for each failing tutor and says when the next one is due, or parks it."""
    values = {
        "errors": {tutor_id: describe(error) for tutor_id, error in errors.items()},
        "most_attempts": most_attempts,
        "delay": delay_seconds,
        "longest_delay": LONGEST_DELAY_SECONDS,
    }
    return [Failure(**row._mapping) for row in await conn.execute(_RECORD, values)]  # noqa: SLF001 - Row's API


async def clear(conn: AsyncConnection, tutor_ids: Sequence[str]) -> None:
    """Forgets the failures of tutors whose generation succeeded."""
    await conn.execute(delete(failures).where(failures.c.tutor_id == any_(literal(list(tutor_ids), ARRAY(String)))))


_RELEASE_DUE = text("""
    WITH due AS (
        UPDATE tutorwatch.failures SET next_attempt_at = NULL
        WHERE next_attempt_at <= clock_timestamp()
        RETURNING tutor_id
    )
    INSERT INTO tutorwatch.outbox (tutor_id) SELECT tutor_id FROM due
""")


async def release_due(conn: AsyncConnection) -> int:
    """Puts the tutors whose next attempt is due back into the outbox; returns how many."""
    return (await conn.execute(_RELEASE_DUE)).rowcount


async def load(conn: AsyncConnection) -> list[Failure]:
    """All failing tutors with their names, the longest parked first."""
    query = (
        select(
            failures.c.tutor_id,
            failures.c.attempts,
            failures.c.last_error,
            failures.c.last_failed_at,
            failures.c.next_attempt_at,
            failures.c.parked_at,
            users.c.name,
        )
        .select_from(failures.outerjoin(users, users.c.id == failures.c.tutor_id))
        .order_by(failures.c.parked_at, failures.c.next_attempt_at, failures.c.tutor_id)
    )
    return [Failure(**row._mapping) for row in await conn.execute(query)]  # noqa: SLF001 - Row's API


_RESET = text("""
    UPDATE tutorwatch.failures SET attempts = 0, next_attempt_at = NULL, parked_at = NULL
    WHERE tutor_id = ANY(:tutor_ids)
""").bindparams(bindparam("tutor_ids", type_=ARRAY(String)))


async def retry(conn: AsyncConnection, tutor_ids: Sequence[str]) -> None:
    """Gives these tutors all their attempts again, beginning at once."""
    await conn.execute(_RESET, {"tutor_ids": list(tutor_ids)})
    await outbox.add(conn, tutor_ids)


def describe(error: BaseException) -> str:
    """An error as it is kept: its kind and message, without the statement that the driver's wrapper adds."""
    original: Any = getattr(error, "orig", None) or error
    text_of = f"{type(original).__name__}: {original}".replace("\x00", "").encode(errors="replace").decode()
    return text_of[:LONGEST_ERROR]
