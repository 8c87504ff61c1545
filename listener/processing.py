"""Changes processed: claimed, their tutors generated, committed; and failing tutors tried again, each alone."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.errors import CannotEvaluateError, TransientError, translating_errors
from database.transactions import in_transaction
from listener import failures, outbox
from listener.batch import Batch, BatchLog, Metrics, log_last_attempt
from listener.canary import Markers
from listener.failures import Failure, Patience
from listener.outbox import Claim
from listener.schedule import Schedule
from listener.settings import ListenerSettings
from listener.signals import Signals
from listener.watch import PlatformWatch, raise_if_common, raise_if_curable
from rules.generation import Generated, generate, generate_each
from rules.thresholds import Thresholds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all batches of a listener."""

    engine: AsyncEngine
    settings: ListenerSettings
    thresholds: Thresholds
    watch: PlatformWatch
    markers: Markers
    schedule: Schedule
    signals: Signals
    on_batch: Callable[[Batch], None] = lambda _batch: None
    metrics: Metrics = field(default_factory=Metrics)
    log: BatchLog = field(default_factory=BatchLog)
    claims: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    """The latest transactions that claimed something: what one of them gave up isn't set apart for that."""

    @property
    def patience(self) -> Patience:
        """The patience with failing tutors."""
        return Patience(self.settings.failure_attempts, self.settings.failure_delay_seconds)

    async def commit(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Return the result of `work(connection)`, committed; transient errors are retried."""
        return await self.in_transaction(lambda conn, _is_last_attempt: work(conn))

    async def in_transaction(self, work: Callable[[AsyncConnection, bool], Awaitable[T]]) -> T:
        """Return the result of `work(connection, is_last_attempt)`, as `commit` does."""
        attempts = 0

        async def counted(conn: AsyncConnection, is_last_attempt: bool) -> T:
            nonlocal attempts
            attempts += 1
            return await work(conn, is_last_attempt)

        try:
            return await in_transaction(self.engine, counted, attempts=self.settings.transient_attempts)
        finally:
            self.metrics.retries += max(attempts - 1, 0)

    def report(self, batch: Batch) -> None:
        """Counts and logs a committed batch, and hands it on."""
        self.metrics.add(batch)
        self.schedule.processed(batch)
        self.log.add(batch)
        self.on_batch(batch)


async def process(context: Context, *, newest: bool = False) -> tuple[Claim, Batch | None]:
    """Return a claim, of the oldest changes or the newest few, and the batch made of it; None for an empty claim.

    If a tutor fails, it begins anew to find out who. Raises TransientError, and CannotEvaluateError if the failure
    isn't about single tutors; then nothing stays claimed, and nobody is booked a failure.
    """
    work = partial(_claim_and_generate, context, newest=newest)
    try:
        claim, batch = await context.in_transaction(partial(work, one_by_one=False))
    except (TransientError, CannotEvaluateError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a rule raises
        await context.watch.compare(error)
        async with context.watch.explaining():
            claim, batch = await context.in_transaction(partial(work, one_by_one=True))
    if batch:
        context.report(batch)
    return claim, batch


async def _claim_and_generate(
    context: Context, conn: AsyncConnection, is_last_attempt: bool, *, newest: bool, one_by_one: bool
) -> tuple[Claim, Batch | None]:
    """One transaction: the lease on the claimed changes and all that comes of them."""
    started = time.perf_counter()
    claim = await (_claim_newest if newest else _claim_oldest)(context, conn)
    if claim.transaction is None:
        return claim, None
    context.claims.append(claim.transaction)
    if claim.alerts_are_gone:
        await outbox.forget_consumed(conn)
    if claim.concerns_every_tutor:
        await outbox.add_every_tutor(conn)
    if claim.apart:
        await context.watch.compare()  # whoever gave them back may have found that nothing can be evaluated
        await failures.set_aside(conn, claim.apart)
    generated, failed = Generated(), list[Failure]()
    if claim.tutor_ids:
        generated, errors = await _generate(
            context, conn, claim, is_last_attempt=is_last_attempt, one_by_one=one_by_one or is_last_attempt
        )
        failed = await failures.record(conn, await failures.naming_holders(conn, errors), context.patience)
    await context.markers.answer(conn, claim.markers)  # when all else is done: then it takes what a change takes
    if claim.changes == len(claim.markers):
        return claim, None
    return claim, Batch(
        changes=claim.changes - len(claim.markers),
        tutors=len(claim.tutor_ids),
        generated=generated,
        failed=failed,
        set_aside=len(claim.apart),
        seconds=time.perf_counter() - started,
        oldest_seconds=claim.age_seconds,
    )


async def _claim_oldest(context: Context, conn: AsyncConnection) -> Claim:
    started = time.monotonic()
    claim = await outbox.claim(conn, context.settings.batch_size, own=context.claims)
    context.schedule.claimed(claim, started)
    if context.schedule.is_full(claim):
        context.signals.backlog.set()
    return claim


async def _claim_newest(context: Context, conn: AsyncConnection) -> Claim:
    return await outbox.claim_newest(conn, own=context.claims)


async def _generate(
    context: Context, conn: AsyncConnection, claim: Claim, *, is_last_attempt: bool, one_by_one: bool
) -> tuple[Generated, dict[str, Exception]]:
    """Return what was generated, and the errors by tutor; without the savepoints that tell who failed unless asked to.

    Raises CannotEvaluateError, or TransientError, for errors that aren't these tutors' own.
    """
    off = context.watch.comparison.off
    if not one_by_one:
        with translating_errors():
            return await generate(conn, claim.tutor_ids, claim.now, context.thresholds, off=off), {}
    generated, errors = await generate_each(
        conn, claim.tutor_ids, claim.now, context.thresholds, last_attempt=is_last_attempt, off=off
    )
    raise_if_common(errors, len(claim.tutor_ids))
    if not is_last_attempt:
        raise_if_curable(errors)
    return generated, errors


async def attempt_failing(context: Context) -> None:
    """Generates the failing tutors that are due, each alone; its attempt is booked before it is made.

    Raises TransientError, and CannotEvaluateError, with the attempt taken back.
    """
    while not context.signals.is_stopping:
        async with context.watch.explaining():
            begun = await context.commit(lambda conn: failures.begin_attempt(conn, context.patience))
        if begun is None:
            return
        if begun.next_attempt_at is None:
            log_last_attempt(begun)
        try:
            async with context.watch.explaining():
                batch = await context.in_transaction(partial(_attempt, context, begun))
        except CannotEvaluateError as error:
            await context.commit(partial(failures.take_back, begun=begun, error=error))
            raise
        context.report(batch)


async def _attempt(context: Context, begun: Failure, conn: AsyncConnection, is_last_attempt: bool) -> Batch:
    """The clock is that of the booking, which is the database's."""
    started = time.perf_counter()
    tutor_id, off = begun.tutor_id, context.watch.comparison.off
    generated, errors = await generate_each(
        conn, [tutor_id], begun.last_failed_at, context.thresholds, last_attempt=is_last_attempt, off=off
    )
    failed: list[Failure] = []
    if error := errors.get(tutor_id):
        if not isinstance(error, TransientError):
            await context.watch.compare(error)
        named = await failures.naming_holders(conn, errors)
        failed = await failures.attempt_failed(conn, begun, named[tutor_id], context.patience)
    else:
        await failures.succeeded(conn, [tutor_id])
    return Batch(tutors=1, generated=generated, failed=failed, seconds=time.perf_counter() - started)
