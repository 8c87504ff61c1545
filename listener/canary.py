"""Tests whether recording and waking work, with a session that is never committed and a change that concerns nobody."""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.canary import MARKER, Outcome
from database.errors import TransientError, first_line, sqlstate_of, translating_errors

logger = logging.getLogger(__name__)

TRY_SECONDS = 3
"""How long a test of recording may take, so that it never keeps the platform waiting for long."""
AGAIN_SECONDS = 30.0
"""When to try again after a test that failed: once recording is repaired, that is soon seen."""
KEPT_MARKERS = 20
"""How many of the latest markers stay on record."""
ANNOUNCED_MARKERS = 20
"""How many announced markers a listener remembers."""
PAYLOAD = "canary "
"""The beginning of the payload of a marker's notification; its id follows."""
CANCELLED = "57014"


@dataclass(frozen=True, slots=True)
class Tried:
    """The outcome of a test of recording; `problem` is empty where there is none."""

    outcome: Outcome
    problem: str
    seconds: float


async def try_recording(engine: AsyncEngine) -> Tried:
    """Writes a session and its metrics as a client would, and says whether the outbox showed them; nothing stays.

    Raises DBAPIError where our role may not try, or the database is away.
    """
    warnings: list[str] = []
    async with engine.connect() as conn:
        await _take_warnings(conn, warnings)
        await conn.exec_driver_sql(f"SET LOCAL statement_timeout = '{TRY_SECONDS}s'")
        try:
            found = (await conn.exec_driver_sql("SELECT tutorwatch.try_recording()")).scalar_one()
        except DBAPIError as error:
            if sqlstate_of(error) != CANCELLED:
                raise
            return Tried(Outcome.UNTRIED, f"it took longer than {TRY_SECONDS} s", float(TRY_SECONDS))
        finally:
            await conn.rollback()  # the function has taken back what it wrote; the settings go, too
    problem = found["problem"] or ""
    outcome = Outcome(found["outcome"])
    if outcome is Outcome.UNRECORDED and warnings:
        problem = f"{problem}; {warnings[-1]}"
    return Tried(outcome, problem, float(found["seconds"]))


async def _take_warnings(conn: AsyncConnection, warnings: list[str]) -> None:
    """Collects the warnings that triggers give a client whose change they couldn't record."""
    driver: Any = (await conn.get_raw_connection()).driver_connection

    def take(notice: psycopg.errors.Diagnostic) -> None:
        told = notice.message_primary or ""
        if notice.severity_nonlocalized == "WARNING" and told.startswith("tutorwatch could not record"):
            warnings.append(told)

    driver.add_notice_handler(take)


_TAKE_IF_DUE = text("""
    WITH due AS MATERIALIZED (
        SELECT only_row FROM tutorwatch.canary
        WHERE due_at <= clock_timestamp()
           OR tried_at > clock_timestamp() + interval '5 s'  -- the clock was set back
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tutorwatch.canary SET due_at = clock_timestamp() + make_interval(secs => :every)
        FROM due WHERE canary.only_row = due.only_row
        RETURNING canary.due_at
    )
    SELECT EXISTS (SELECT FROM taken) AS is_ours,
           (SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM tutorwatch.canary) AS seconds
""")
_STORE = text("""
    UPDATE tutorwatch.canary
    SET tried_at = clock_timestamp(), outcome = :outcome, problem = nullif(:problem, ''), seconds = :seconds,
        due_at = CASE :outcome WHEN 'unrecorded' THEN least(due_at, clock_timestamp() + make_interval(secs => :again))
                               ELSE due_at END,
        -- A test that couldn't be made ends nothing.
        unrecorded_since = CASE :outcome WHEN 'unrecorded' THEN coalesce(unrecorded_since, clock_timestamp())
                                         WHEN 'untried' THEN unrecorded_since END
""")


async def take_if_due(conn: AsyncConnection, *, every_seconds: float) -> float | None:
    """Return None if a test is due; then it is ours: the first listener that sees it takes it. Otherwise return the
    seconds until it is due.
    """
    found = (await conn.execute(_TAKE_IF_DUE, {"every": every_seconds})).one()
    return None if found.is_ours else min(max(found.seconds or every_seconds, 1.0), every_seconds)


async def store(conn: AsyncConnection, tried: Tried) -> None:
    """Puts on record what came of a test of recording; one that failed is due again soon."""
    values = {"outcome": tried.outcome.value, "problem": tried.problem, "seconds": tried.seconds}
    await conn.execute(_STORE, values | {"again": AGAIN_SECONDS})


# A marker that still waits stays: another one behind it would show nothing more. One that is neither answered nor in
# the outbox has been deleted there.
_FORGET_MARKERS = text(f"""
    DELETE FROM tutorwatch.canary_markers AS marker
    WHERE marker.answered_at IS NULL AND NOT EXISTS (
              SELECT FROM tutorwatch.outbox WHERE outbox.session_ids = ARRAY['{MARKER}', marker.id])
       OR marker.id NOT IN (SELECT id FROM tutorwatch.canary_markers ORDER BY sent_at DESC LIMIT {KEPT_MARKERS})
""")  # noqa: S608 - constants of ours
_ONE_WAITS = text("SELECT EXISTS (SELECT FROM tutorwatch.canary_markers WHERE answered_at IS NULL)")
_SEND = text(f"""
    WITH marker AS (INSERT INTO tutorwatch.canary_markers (id) VALUES (:id))
    INSERT INTO tutorwatch.outbox (session_ids, wakes) VALUES (ARRAY['{MARKER}', :id], :payload)
""").bindparams(bindparam("id", type_=Uuid))  # noqa: S608 - a constant of ours
_WITHDRAW = text(f"""
    WITH waiting AS MATERIALIZED (
        SELECT id FROM tutorwatch.outbox WHERE session_ids = ARRAY['{MARKER}', :id] FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM tutorwatch.canary_markers WHERE id = :id AND EXISTS (SELECT FROM waiting)
    )
    DELETE FROM tutorwatch.outbox WHERE id IN (SELECT id FROM waiting)
""").bindparams(bindparam("id", type_=Uuid))  # noqa: S608 - a constant of ours
_ANSWER = text("""
    UPDATE tutorwatch.canary_markers
    SET answered_at = clock_timestamp(), answered_by = :by, was_woken = id = ANY(:told)
    WHERE id = ANY(:ids)
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)), bindparam("told", type_=ARRAY(Uuid)))


async def send_marker(conn: AsyncConnection) -> UUID:
    """Adds a marker to the outbox, where it wakes the listeners as any change does; once committed, one answers it."""
    marker = uuid4()
    await conn.execute(_FORGET_MARKERS)
    await conn.execute(_SEND, {"id": marker, "payload": f"{PAYLOAD}{marker}"})
    return marker


async def send_marker_unless_one_waits(conn: AsyncConnection) -> None:
    """Adds a marker, for a caller that doesn't wait for its answer, unless one is waiting already."""
    await conn.execute(_FORGET_MARKERS)
    if not (await conn.execute(_ONE_WAITS)).scalar_one():
        await send_marker(conn)


async def withdraw_marker(conn: AsyncConnection, marker: UUID) -> None:
    """Takes back a marker that no listener is answering."""
    await conn.execute(_WITHDRAW, {"id": marker})


class Markers:
    """Answers markers, and remembers which ones a notification announced."""

    def __init__(self) -> None:
        self._announced: deque[UUID] = deque(maxlen=ANNOUNCED_MARKERS)
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def announced(self, payload: str) -> None:
        """Takes note of a notification, which anybody may send."""
        if payload.startswith(PAYLOAD):
            try:
                self._announced.append(UUID(payload.removeprefix(PAYLOAD)))
            except ValueError:
                return

    async def answer(self, conn: AsyncConnection, markers: Sequence[UUID]) -> None:
        """Answers markers that were claimed, in the transaction of the claim: should that fail, they are back."""
        if markers:
            await conn.execute(_ANSWER, {"ids": list(markers), "told": list(self._announced), "by": self._name})


class Canary:
    """Tests recording at intervals, and sends a marker; of several listeners the first one does it."""

    def __init__(self, engine: AsyncEngine, *, every_seconds: float, is_blocked: Callable[[], bool]) -> None:
        self._engine = engine
        self._every_seconds = every_seconds
        self._is_blocked = is_blocked
        self._latest: Outcome | None = None
        self._has_failed = False

    async def run(self) -> None:
        """Runs until cancelled. A failure stops nothing else, and is tried again."""
        while True:
            pause = await self._try_if_due()
            await asyncio.sleep(pause)

    async def _try_if_due(self) -> float:
        """Return the seconds until the next try."""
        soon = min(self._every_seconds, AGAIN_SECONDS)
        if self._is_blocked():  # which is logged, and explains whatever a test would find
            return soon
        try:
            with translating_errors():
                pause = await self._try_if_ours()
        except TransientError as error:
            logger.debug("The canary couldn't try (%s)", first_line(error), extra={"action": "canary_unreachable"})
            return soon
        except Exception as error:  # noqa: BLE001 - a right that is missing, or whatever else: listening goes on
            self._tell_failure(error)
            return soon
        self._has_failed = False
        return pause

    def _tell_failure(self, error: Exception) -> None:
        """Logs it once, until a test succeeds again."""
        level = logging.DEBUG if self._has_failed else logging.ERROR
        logger.log(
            level, "The canary failed; nothing else is affected", exc_info=error, extra={"action": "canary_failed"}
        )
        self._has_failed = True

    async def _try_if_ours(self) -> float:
        async with self._engine.begin() as conn:
            seconds = await take_if_due(conn, every_seconds=self._every_seconds)
        if seconds is not None:
            return seconds
        tried = await try_recording(self._engine)
        async with self._engine.begin() as conn:
            await store(conn, tried)
            await send_marker_unless_one_waits(conn)
        self._tell(tried)
        return min(self._every_seconds, AGAIN_SECONDS) if tried.outcome is Outcome.UNRECORDED else self._every_seconds

    def _tell(self, tried: Tried) -> None:
        """Logs each change of the outcome once."""
        before, self._latest = self._latest, tried.outcome
        is_new = before is not tried.outcome
        extra = {"action": f"canary_{tried.outcome}", "duration_ms": round(tried.seconds * 1000)}
        if tried.outcome is Outcome.UNRECORDED:
            level = logging.ERROR if is_new else logging.DEBUG
            logger.log(level, "A test change was not recorded: %s", tried.problem, extra=extra)
        elif tried.outcome is Outcome.UNTRIED:
            level = logging.INFO if is_new else logging.DEBUG
            logger.log(level, "Recording can't be tried: %s", tried.problem, extra=extra)
        else:
            level = logging.INFO if before is Outcome.UNRECORDED else logging.DEBUG
            told = "recorded" if tried.outcome is Outcome.RECORDED else "left out, because automation is off"
            logger.log(level, "Test changes are %s", told, extra=extra)
