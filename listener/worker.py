"""Takes changes from the outbox and generates, until there are none left; then waits to be woken.

While a batch takes long (an import's tutors, a tutor with very many sessions), what is new goes past it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.errors import CannotEvaluateError, TransientError, UnreachableError, first_line, translating_errors
from database.platform import RulesOff
from database.transactions import in_transaction
from listener import failures, outbox
from listener.batch import Batch, BatchLog, Figures, log_last_attempt
from listener.canary import Markers
from listener.pace import Pace
from listener.settings import ListenerSettings
from listener.sweep import keep_audit_trail, sweep
from listener.watch import PlatformWatch, raise_if_common, raise_if_curable, raise_unexplained
from rules.generation import Generated, generate, generate_each
from rules.settings import Thresholds

logger = logging.getLogger(__name__)

T = TypeVar("T")

RECHECK_SECONDS = 1.0
"""When to look again at changes that another listener holds: should it die, they are free again."""

FOLLOW_UP_SECONDS = (0.025, 0.25, 1.0)
"""When to look again after changes were found: whoever committed at the same moment as their writer left the waking to
it (migrations/sql/recording_v3.sql)."""

LOOKS_AT_ONCE = 2
LONGEST_GAP_SECONDS = 0.25
"""After so many wake-ups in a row that brought nothing, looks keep a distance that doubles up to this: anybody may
send notifications, any number of them."""


MOST_AUDIT_BATCHES = 100
"""After a daily sweep old entries of the audit trail are removed so many times 10,000 at most, one time before each
look for changes: those are more urgent."""

_Take = Callable[..., Awaitable[outbox.Claim]]
_Generate = Callable[..., Awaitable[tuple[Generated, dict[str, Exception]]]]


async def _generate_together(
    conn: AsyncConnection,
    tutor_ids: Sequence[str],
    now: datetime,
    limits: Thresholds,
    *,
    last_attempt: bool,
    off: RulesOff,
) -> tuple[Generated, dict[str, Exception]]:
    """Like `generate_each`, but without the savepoints that tell who failed, unless it is the last attempt."""
    if last_attempt:
        return await generate_each(conn, tutor_ids, now, limits, last_attempt=True, off=off)
    with translating_errors():
        return await generate(conn, tutor_ids, now, limits, off=off), {}


class Worker:
    """One loop over the outbox. Any number of them, in any number of processes, share the work."""

    def __init__(
        self,
        engine: AsyncEngine,
        settings: ListenerSettings,
        limits: Thresholds,
        *,
        watch: PlatformWatch,
        hears: Callable[[], bool],
        markers: Markers | None = None,
        on_batch: Callable[[Batch], None] = lambda _batch: None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._limits = limits
        self._patience = failures.Patience(settings.failure_attempts, settings.failure_delay_seconds)
        self._watch = watch
        self._hears = hears
        self._markers = markers or Markers()
        self._on_batch = on_batch
        self._woken = asyncio.Event()
        self._newest_woken = asyncio.Event()
        self._pace = Pace()
        self._is_long_at: float | None = None
        self._stopping = False
        self._sweep_due_at = 0.0
        self._audit_batches = 0
        self._attempts_are_due = False
        self._is_cut_off = False
        self._claims: deque[str] = deque(maxlen=20)
        self._looked_at = 0.0
        self._vain_looks = 0
        self._follow_ups: list[float] = []
        self._batch_log = BatchLog()
        self.figures = Figures()

    def wake(self) -> None:
        """Something may have changed: look into the outbox, now or after the batch in flight."""
        self._woken.set()

    def wake_for_new(self) -> None:
        """Something has changed just now: it needn't wait for the end of a long batch in flight."""
        self._woken.set()
        self._newest_woken.set()

    def stop(self) -> None:
        """Ends `run` after the batches in flight. Stopping twice is fine."""
        self._stopping = True
        self.wake_for_new()

    async def run(self) -> None:
        """Works until stopped. A database that is away is waited for, however long it takes."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._work_off(), name="oldest first")
                loops.create_task(self._let_newest_pass(), name="newest first")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _work_off(self) -> None:
        while not self._stopping:
            await self._keep_distance()
            self._woken.clear()  # before the claim: a wake-up during it means to look once more
            try:
                pause = await self._drain_if_possible()
                self._is_cut_off = False
            except TransientError as error:
                pause = self._settings.fallback_poll_seconds
                self._log_cut_off(error)
            self._is_long_at = None
            self._batch_log.tell_if_due()
            await self._wait(pause)

    async def _drain_if_possible(self) -> float:
        """Drains the outbox, unless nothing can be evaluated; returns the seconds to wait for a wake-up."""
        await self._watch.look_if_due()
        if not self._watch.allows_claims:
            return self._watch.pause
        try:
            pause = await self._drain()
            await self._watch.has_evaluated()
        except CannotEvaluateError as error:
            self._watch.hold(error)
            await self._in_transaction(self._give_back)
            return self._watch.pause
        return min(pause, self._watch.pause)

    async def _give_back(self, conn: AsyncConnection, _is_last_attempt: bool) -> None:
        await outbox.give_back(conn, self._claims)

    async def _let_newest_pass(self) -> None:
        """Looks at the newest changes when there are new ones and a long batch is in flight; and once more, for
        whoever committed at the same moment.
        """
        while not self._stopping:
            await self._newest_woken.wait()
            self._newest_woken.clear()
            for pause in (0.0, FOLLOW_UP_SECONDS[0]):
                await asyncio.sleep(pause)
                if not await self._batch_becomes_long():
                    break
                # They stay in the outbox: the batch in flight isn't the last.
                with suppress(TransientError, CannotEvaluateError):
                    _, batch = await self._batch(outbox.claim_newest)
                    if batch:
                        self._report(batch)  # what it left to do, the other loop finds by looking again

    async def _batch_becomes_long(self) -> bool:
        """Waits until a batch in flight is a long one; False once there is none."""
        while self._is_long_at is not None and not self._stopping:
            pause = self._is_long_at - time.monotonic()
            if pause <= 0:
                return True
            await asyncio.sleep(pause)
        return False

    def _log_cut_off(self, error: TransientError) -> None:
        """Once for each outage: while it lasts, the subscription goes on saying so, if it is away for that, too."""
        is_told = self._is_cut_off or (isinstance(error, UnreachableError) and not self._hears())
        logger.log(
            logging.DEBUG if is_told else logging.WARNING,
            "Changes can't be worked off for now (%s); they wait in the outbox",
            first_line(error),
            extra={"action": "outbox_unreachable"},
        )
        self._is_cut_off = True

    async def _keep_distance(self) -> None:
        """Waits where the last looks brought nothing and came in quick succession."""
        doublings = self._vain_looks - LOOKS_AT_ONCE
        if doublings >= 0 and not self._stopping:
            gap = min(0.001 * 2 ** min(doublings, 10), LONGEST_GAP_SECONDS)
            await asyncio.sleep(max(self._looked_at + gap - time.monotonic(), 0.0))

    async def _wait(self, pause: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._woken.wait()

    async def _drain(self) -> float:
        """Claims and generates until nothing is left to claim; returns the seconds to wait for a wake-up.

        A claim that got less than it could have had is the last: what was committed since wakes the worker, or is
        found by the next look.
        """
        self._vain_looks += 1
        while not self._stopping:
            self._is_long_at = time.monotonic() + self._pace.long_after(0)
            if time.monotonic() >= self._sweep_due_at:
                await self._explaining(self._in_transaction(self._sweep))
            if self._audit_batches:
                await self._keep_audit_trail()
            has_attempted = self._attempts_are_due
            if has_attempted:
                await self._attempt_failing()
            claim, batch = await self._batch(self._claim_oldest)
            self._looked_at = time.monotonic()
            self._attempts_are_due = bool(claim.apart) or (
                claim.attempt_in_seconds is not None and claim.attempt_in_seconds <= 0
            )
            if batch:
                self._vain_looks = 0
                self._follow_ups = list(FOLLOW_UP_SECONDS)
                self._report(batch)
                if batch.tutors > len(batch.failed):
                    await self._watch.has_evaluated()
            # What is due although it was just asked for, another listener is about to begin.
            if not self._leaves_work(claim, batch) and (has_attempted or not self._attempts_are_due):
                return self._plan(claim)
        return 0.0

    def _leaves_work(self, claim: outbox.Claim, batch: Batch | None) -> bool:
        """Whether there may be more to do at once."""
        return self._is_full(claim) or claim.concerns_every_tutor or bool(claim.apart) or bool(batch and batch.failed)

    def _is_full(self, claim: outbox.Claim) -> bool:
        return claim.changes >= self._settings.batch_size

    async def _claim_oldest(self, conn: AsyncConnection, *, own: Sequence[str]) -> outbox.Claim:
        """A full batch is a long one from the start, another once it takes longer than its like. Not sooner: what
        passes a batch slows it down, and where there is just much to do, larger batches are the faster way.
        """
        started = time.monotonic()
        claim = await outbox.claim(conn, self._settings.batch_size, own=own)
        self._is_long_at = started
        if not self._is_full(claim):
            self._is_long_at += self._pace.long_after(len(claim.tutor_ids))
        return claim

    async def _sweep(self, conn: AsyncConnection, _is_last_attempt: bool) -> None:
        if await sweep(conn, every_hours=self._settings.sweep_hours):
            self._audit_batches = MOST_AUDIT_BATCHES
        self._sweep_due_at = time.monotonic() + self._settings.poll_seconds

    async def _keep_audit_trail(self) -> None:
        """One batch. Whatever stands in its way, tutors are evaluated all the same."""

        async def keep(conn: AsyncConnection, _is_last_attempt: bool) -> bool:
            return await keep_audit_trail(conn, days=self._settings.audit_days)

        try:
            has_more = await self._in_transaction(keep)
        except (DBAPIError, psycopg.Error) as error:
            logger.warning(
                "Old entries of the audit trail can't be removed (%s): tried again after the next sweep",
                first_line(error),
                extra={"action": "audit_trail_not_kept"},
            )
            has_more = False
        self._audit_batches = self._audit_batches - 1 if has_more else 0

    async def _batch(self, take: _Take) -> tuple[outbox.Claim, Batch | None]:
        """A claim and what came of it; no batch of an empty claim. If a tutor fails, begins anew to find out who.

        Raises CannotEvaluateError, with nothing claimed and nobody booked a failure, if it isn't about single tutors.
        """
        try:
            return await self._in_transaction(partial(self._claim_and_generate, take, _generate_together))
        except (TransientError, CannotEvaluateError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a rule raises
            await self._watch.explain(error)
            return await self._explaining(self._in_transaction(partial(self._claim_and_generate, take, generate_each)))

    async def _explaining(self, work: Awaitable[T]) -> T:
        """The work's result; a database's error that isn't about single tutors becomes a CannotEvaluateError."""
        try:
            return await work
        except (DBAPIError, psycopg.Error) as error:
            await self._watch.explain(error)
            raise_unexplained(error)

    async def _claim_and_generate(
        self, take: _Take, generate: _Generate, conn: AsyncConnection, is_last_attempt: bool
    ) -> tuple[outbox.Claim, Batch | None]:
        """One transaction: the lease on the claimed changes and all that comes of them."""
        started = time.perf_counter()
        claim = await take(conn, own=self._claims)
        if claim.transaction is None:
            return claim, None
        self._claims.append(claim.transaction)
        if claim.alerts_are_gone:
            await outbox.forget_consumed(conn)
        if claim.concerns_every_tutor:
            await outbox.add_every_tutor(conn)
        if claim.apart:
            await self._watch.look()  # whoever gave them back may have found that nothing can be evaluated
            await failures.set_aside(conn, claim.apart)
        generated, failed = Generated(), []
        if claim.tutor_ids:
            generated, errors = await generate(
                conn,
                claim.tutor_ids,
                claim.now,
                self._limits,
                last_attempt=is_last_attempt,
                off=self._watch.comparison.off,
            )
            raise_if_common(errors, len(claim.tutor_ids))
            if not is_last_attempt:
                raise_if_curable(errors)
            named = await failures.naming_holders(conn, errors)
            failed = await failures.record(conn, named, self._patience)
        await self._markers.answer(conn, claim.markers)  # when all else is done: then it takes what a change takes
        if claim.changes == len(claim.markers):
            return claim, None
        age = (claim.now - claim.oldest_at).total_seconds() if claim.oldest_at else 0.0
        batch = Batch(
            changes=claim.changes - len(claim.markers),
            tutors=len(claim.tutor_ids),
            generated=generated,
            failed=failed,
            set_aside=len(claim.apart),
            seconds=time.perf_counter() - started,
            oldest_seconds=max(age, 0.0),
        )
        return claim, batch

    async def _attempt_failing(self) -> None:
        """Generates the failing tutors that are due, each alone; its attempt is booked before it is made."""

        async def begin(conn: AsyncConnection, _is_last_attempt: bool) -> failures.Failure | None:
            return await failures.begin_attempt(conn, self._patience)

        while not self._stopping and (begun := await self._explaining(self._in_transaction(begin))):
            if begun.next_attempt_at is None:
                log_last_attempt(begun)
            try:
                batch = await self._explaining(self._in_transaction(partial(self._attempt, begun)))
            except CannotEvaluateError as error:
                await self._in_transaction(partial(self._take_back, begun, error))
                raise
            self._report(batch)

    async def _take_back(
        self, begun: failures.Failure, error: CannotEvaluateError, conn: AsyncConnection, _is_last_attempt: bool
    ) -> None:
        await failures.take_back(conn, begun, error)

    async def _attempt(self, begun: failures.Failure, conn: AsyncConnection, is_last_attempt: bool) -> Batch:
        started = time.perf_counter()
        tutor_id, now = begun.tutor_id, begun.last_failed_at
        generated, errors = await generate_each(
            conn, [tutor_id], now, self._limits, last_attempt=is_last_attempt, off=self._watch.comparison.off
        )
        if tutor_id in errors:
            if not isinstance(errors[tutor_id], TransientError):
                await self._watch.explain(errors[tutor_id])
            named = await failures.naming_holders(conn, errors)
            failed = await failures.attempt_failed(conn, begun, named[tutor_id], self._patience)
        else:
            failed = []
            await failures.succeeded(conn, [tutor_id])
        return Batch(tutors=1, generated=generated, failed=failed, seconds=time.perf_counter() - started)

    async def _in_transaction(self, work: Callable[[AsyncConnection, bool], Awaitable[T]]) -> T:
        attempts = 0

        async def counted(conn: AsyncConnection, is_last_attempt: bool) -> T:
            nonlocal attempts
            attempts += 1
            return await work(conn, is_last_attempt)

        try:
            return await in_transaction(self._engine, counted, attempts=self._settings.transient_attempts)
        finally:
            self.figures.retries += max(attempts - 1, 0)

    def _plan(self, claim: outbox.Claim) -> float:
        """When to look again without being woken."""
        pause = self._settings.poll_seconds if self._hears() else self._settings.fallback_poll_seconds
        pause = min(pause, max(self._sweep_due_at - time.monotonic(), 0.0))
        if claim.attempt_in_seconds is not None:
            pause = min(pause, max(claim.attempt_in_seconds, 0.0))
        if self._follow_ups:
            pause = min(pause, self._follow_ups.pop(0))
        return min(pause, RECHECK_SECONDS) if claim.others_hold_changes else pause

    def _report(self, batch: Batch) -> None:
        self.figures.add(batch)
        self._pace.note(batch.tutors, batch.seconds)
        self._batch_log.add(batch)
        self._on_batch(batch)
