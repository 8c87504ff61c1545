"""Tutors whose generation failed: on record, tried again one at a time, at last dead-lettered.

Each further attempt is booked and committed before it is made (`begin_attempt`), then reported (`succeeded`,
`attempt_failed`): one that kills its listener counts like any other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, JSON, Row, String, any_, bindparam, delete, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.errors import SCHEMA_ERRORS, TransientError, is_about_schema, sqlstate_of
from database.tables import failures, users
from rules.tutor_locks import holders

LONGEST_DELAY_SECONDS = 3600.0
FIRST_TRANSIENT_DELAY_SECONDS = 2.0
LONGEST_TRANSIENT_DELAY_SECONDS = 300.0
LOCK_NOT_AVAILABLE = "55P03"
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


@dataclass(frozen=True, slots=True)
class Patience:
    """The number of attempts before a failing tutor is dead-lettered, and the delay after its first failure."""

    most_attempts: int
    delay_seconds: float

    def after(self, attempts: int, *, transient: bool = False, cut_short: bool = False) -> dict[str, Any]:
        """Return what follows the attempt of this number: `gives_up`, or the full `delay` in seconds, of which it is
        spread over the upper half, so that tutors that failed together don't come back together.

        An error that may be cured without the tutor's changing (a client's lock, a column that is missing) never
        dead-letters a tutor, and the first attempts after it come soon. Nor does an attempt that is cut short, unless
        the one before it was, too: that its listener ended may have had another cause. After the very first the next
        one comes soon.
        """
        first, longest = self.delay_seconds, LONGEST_DELAY_SECONDS
        if transient or (cut_short and attempts == 1):
            first, longest = min(FIRST_TRANSIENT_DELAY_SECONDS, first), LONGEST_TRANSIENT_DELAY_SECONDS
        gives_up = attempts >= self.most_attempts and not (transient or cut_short)
        return {"gives_up": gives_up, "delay": min(first * 2.0 ** min(attempts - 1, 30), longest)}


_RECORD = text("""
    INSERT INTO tutorwatch.failures AS failure
        (tutor_id, attempts, last_error, first_failed_at, last_failed_at, next_attempt_at, parked_at)
    SELECT error.key, 1, error.value, clock_timestamp(), clock_timestamp(),
           CASE WHEN NOT :gives_up THEN clock_timestamp() + make_interval(secs => :delay * (0.5 + random() / 2)) END,
           CASE WHEN :gives_up THEN clock_timestamp() END
    FROM json_each_text(:errors) AS error
    ON CONFLICT (tutor_id) DO UPDATE SET
        last_error = excluded.last_error,
        last_failed_at = excluded.last_failed_at,
        wanted = true
    RETURNING tutor_id, attempts, last_error, last_failed_at, next_attempt_at, parked_at
""").bindparams(bindparam("errors", type_=JSON))


async def record(conn: AsyncConnection, errors: Mapping[str, Exception], patience: Patience) -> list[Failure]:
    """Puts tutors that failed in a batch on record, and says when the next attempt is due.

    One that another listener has put there meanwhile keeps its dates; should that one be at it right now, its success
    doesn't count for the changes of this batch.
    """
    recorded: list[Failure] = []
    for transient in (True, False):
        chosen = {tutor: describe(e) for tutor, e in errors.items() if _is_transient(e) is transient}
        if chosen:
            values = {"errors": chosen} | patience.after(1, transient=transient)
            recorded += map(_to_failure, await conn.execute(_RECORD, values))
    return recorded


# While an attempt that may kill its listener is under way (or did), changes don't hasten the next one.
_SET_ASIDE = text("""
    INSERT INTO tutorwatch.failures AS failure
        (tutor_id, attempts, last_error, first_failed_at, last_failed_at, next_attempt_at, wanted)
    SELECT tutor_id, 0, 'A batch with this tutor ended unfinished', clock_timestamp(), clock_timestamp(),
           clock_timestamp(), true
    FROM unnest(:tutor_ids) AS tutor_id
    ON CONFLICT (tutor_id) DO UPDATE SET
        wanted = true,
        next_attempt_at = CASE WHEN failure.unfinished THEN failure.next_attempt_at ELSE clock_timestamp() END
""").bindparams(bindparam("tutor_ids", type_=ARRAY(String)))


async def set_aside(conn: AsyncConnection, tutor_ids: Sequence[str]) -> None:
    """Puts these tutors on record as due now, each alone: they are failing, or their batch ended unfinished."""
    await conn.execute(_SET_ASIDE, {"tutor_ids": list(tutor_ids)})


_NEXT_DUE = text("""
    SELECT tutor_id, attempts, unfinished FROM tutorwatch.failures WHERE next_attempt_at <= clock_timestamp()
    ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")
_BOOK = text("""
    UPDATE tutorwatch.failures SET
        attempts = attempts + 1,
        last_error = :state,
        last_failed_at = clock_timestamp(),
        next_attempt_at = CASE WHEN NOT :gives_up
                               THEN clock_timestamp() + make_interval(secs => :delay * (0.5 + random() / 2)) END,
        parked_at = CASE WHEN :gives_up THEN coalesce(parked_at, clock_timestamp()) ELSE parked_at END,
        unfinished = true,
        wanted = false
    WHERE tutor_id = :tutor_id
    RETURNING tutor_id, attempts, last_error, last_failed_at, next_attempt_at, parked_at
""")


async def begin_attempt(conn: AsyncConnection, patience: Patience) -> Failure | None:
    """Books an attempt at the failing tutor that has been due longest, as if it failed; None if none is due.

    To be committed before the attempt is made: should that kill the process, no rollback erases it.
    """
    due = (await conn.execute(_NEXT_DUE)).one_or_none()
    if due is None:
        return None
    held_by = (await holders(conn, [due.tutor_id])).get(due.tutor_id)
    values = {"tutor_id": due.tutor_id, "state": _begun(due, held_by)[:LONGEST_ERROR]}
    values |= patience.after(due.attempts + 1, cut_short=not due.unfinished)
    return _to_failure((await conn.execute(_BOOK, values)).one())


def _begun(due: Row[*tuple[Any, ...]], held_by: str | None) -> str:
    """Return the text for an attempt whose outcome isn't known yet, and may never be."""
    if held_by:
        return f"No outcome yet: when the attempt began, somebody else had the tutor's lock: {held_by}"
    if due.unfinished:
        return "The listener ended in the middle of the attempt before; of this one there is no outcome yet"
    return "No outcome yet: the attempt is under way, or the listener ended in the middle of it"


_FAILED = text("""
    UPDATE tutorwatch.failures SET
        last_error = :error,
        last_failed_at = clock_timestamp(),
        next_attempt_at = CASE WHEN wanted THEN clock_timestamp() WHEN NOT :gives_up
                               THEN clock_timestamp() + make_interval(secs => :delay * (0.5 + random() / 2)) END,
        parked_at = CASE WHEN :gives_up THEN coalesce(parked_at, clock_timestamp()) END,
        unfinished = false
    WHERE tutor_id = :tutor_id
    RETURNING tutor_id, attempts, last_error, last_failed_at, next_attempt_at, parked_at
""")


async def attempt_failed(conn: AsyncConnection, begun: Failure, error: Exception, patience: Patience) -> list[Failure]:
    """Return the failure after the attempt that was begun failed; empty if the tutor is no longer on record."""
    outcome = patience.after(begun.attempts, transient=_is_transient(error))
    values = {"tutor_id": begun.tutor_id, "error": describe(error)} | outcome
    return [_to_failure(row) for row in await conn.execute(_FAILED, values)]


def _is_transient(error: Exception) -> bool:
    """Return whether something other than the tutor's changes may cure it: then no tutor is dead-lettered for it."""
    return isinstance(error, TransientError) or is_about_schema(error)


# Dead-lettered by the booking itself is who was dead-lettered after their last failure was dated.
_TAKE_BACK = text("""
    UPDATE tutorwatch.failures SET
        attempts = attempts - 1,
        last_error = :error,
        next_attempt_at = clock_timestamp(),
        parked_at = CASE WHEN parked_at < last_failed_at THEN parked_at END,
        unfinished = false
    WHERE tutor_id = :tutor_id
""")


async def take_back(conn: AsyncConnection, begun: Failure, error: Exception) -> None:
    """Undoes `begin_attempt`: the attempt came to nothing by an error that isn't the tutor's. It is due at once."""
    await conn.execute(_TAKE_BACK, {"tutor_id": begun.tutor_id, "error": describe(error)})


_FREE = text("""
    UPDATE tutorwatch.failures SET
        attempts = 0, next_attempt_at = clock_timestamp(), parked_at = NULL, unfinished = false, wanted = true
    WHERE split_part(last_error, ':', 1) = ANY(:kinds) AND NOT unfinished
""").bindparams(bindparam("kinds", type_=ARRAY(String)))


async def free(conn: AsyncConnection, kinds: Collection[str] = SCHEMA_ERRORS) -> int:
    """Gives tutors whose last error was of these kinds all their attempts again, at once; returns how many."""
    return (await conn.execute(_FREE, {"kinds": sorted(kinds)})).rowcount


_AGAIN = text("""
    UPDATE tutorwatch.failures SET
        attempts = 0, next_attempt_at = clock_timestamp(), parked_at = NULL, unfinished = false
    WHERE tutor_id = ANY(:tutor_ids) AND wanted
""").bindparams(bindparam("tutor_ids", type_=ARRAY(String)))


async def succeeded(conn: AsyncConnection, tutor_ids: Sequence[str]) -> None:
    """Forgets the failures of tutors whose generation succeeded; if one is wanted since then, it is due."""
    ids = list(tutor_ids)
    await conn.execute(
        delete(failures).where(failures.c.tutor_id == any_(literal(ids, ARRAY(String))), ~failures.c.wanted)
    )
    await conn.execute(_AGAIN, {"tutor_ids": ids})


class TutorLockedError(TransientError):
    """Somebody else has the tutor's lock: the message says who."""


async def naming_holders(conn: AsyncConnection, errors: Mapping[str, Exception]) -> dict[str, Exception]:
    """Return the errors by tutor; of one that waited in vain for the tutor's lock, who has it now, if anybody."""
    in_vain = [tutor for tutor, error in errors.items() if sqlstate_of(error.__cause__ or error) == LOCK_NOT_AVAILABLE]
    held = await holders(conn, in_vain) if in_vain else {}
    return {
        tutor: TutorLockedError(f"somebody else has the tutor's lock: {held[tutor]}") if tutor in held else error
        for tutor, error in errors.items()
    }


def _to_failure(row: Row[*tuple[Any, ...]]) -> Failure:
    return Failure(**row._mapping)  # noqa: SLF001 - Row's API


async def load(conn: AsyncConnection) -> list[Failure]:
    """All failing tutors with their names, the longest dead-lettered first."""
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
    return [_to_failure(row) for row in await conn.execute(query)]


def describe(error: BaseException) -> str:
    """An error as it is kept: its kind and message, without the statement that the driver's wrapper adds."""
    original: Any = getattr(error, "orig", None) or error
    text_of = f"{type(original).__name__}: {original}".replace("\x00", "").encode(errors="replace").decode()
    return text_of[:LONGEST_ERROR]
