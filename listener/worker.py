"""Takes changes from the outbox and processes them, until there are none left; then waits to be woken."""

import asyncio
import logging
import time
from contextlib import suppress

from database.errors import CannotEvaluateError, TransientError, UnreachableError, first_line
from listener import outbox
from listener.fast_lane import FastLane
from listener.processing import Context, attempt_failing, process
from listener.sweep import Upkeep

logger = logging.getLogger(__name__)


class Worker:
    """The loops over the outbox. Any number of workers, in any number of processes, share the work."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._schedule, self._signals, self._watch = context.schedule, context.signals, context.watch
        self._upkeep = Upkeep(context)
        self._outage_is_logged = False

    async def run(self) -> None:
        """Works until stopped. A database that is away is waited for, however long it takes."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._poll_until_stopped(), name="oldest first")
            loops.create_task(self._process_backlog(), name="second batch")
            loops.create_task(FastLane(self._context).run(), name="newest first")

    async def _poll_until_stopped(self) -> None:
        while not self._signals.is_stopping:
            await asyncio.sleep(self._schedule.gap(time.monotonic()))
            self._signals.changed.clear()  # before the claim: a wake-up during it means to poll once more
            try:
                pause = await self._poll_if_possible()
                self._outage_is_logged = False
            except TransientError as error:
                pause = self._context.settings.fallback_poll_seconds
                self._log_outage(error)
            self._context.log.log_if_due()
            if pause:
                self._schedule.rests()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._signals.changed.wait()

    async def _poll_if_possible(self) -> float:
        """Polls, unless nothing can be evaluated; returns the seconds to wait for a wake-up."""
        await self._watch.compare_if_due()
        if self._watch.allows_claims:
            try:
                return min(await self._poll(), self._watch.pause)
            except CannotEvaluateError as error:
                self._watch.hold(error)
                await self._context.commit(lambda conn: outbox.give_back(conn, self._context.claims))
        return self._watch.pause

    async def _poll(self) -> float:
        self._schedule.poll_begins(time.monotonic())
        await self._upkeep.run()
        if self._schedule.attempts_are_due:
            await attempt_failing(self._context)
        claim, batch = await process(self._context)
        if batch is None or batch.tutors > len(batch.failed):
            await self._watch.has_evaluated()
        return self._schedule.polled(claim, batch, time.monotonic(), is_connected=self._signals.is_connected)

    async def _process_backlog(self) -> None:
        """Has a second batch in flight while there are more changes than one takes: the server reads for one while the
        rules decide about the other.
        """
        while await self._signals.backlog_comes():
            has_more = False
            with suppress(TransientError, CannotEvaluateError):  # the first loop meets them as well, and says so
                claim, _ = await process(self._context)
                has_more = self._schedule.is_full(claim)
            if not has_more:
                self._signals.backlog.clear()
            self._signals.wake()  # for failing tutors, and whatever else it left

    def _log_outage(self, error: TransientError) -> None:
        """Logs an outage once, and not at all where the lost subscription logs it already."""
        is_logged = self._outage_is_logged or (isinstance(error, UnreachableError) and not self._signals.is_connected)
        logger.log(
            logging.DEBUG if is_logged else logging.WARNING,
            "Changes can't be processed for now (%s); they wait in the outbox",
            first_line(error),
            extra={"action": "outbox_unreachable"},
        )
        self._outage_is_logged = True
