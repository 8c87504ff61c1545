"""The fast lane: the newest changes don't wait for a long batch (an import, a tutor with very many sessions)."""

import asyncio
import time
from contextlib import suppress

from database.errors import CannotEvaluateError, TransientError
from listener.processing import Context, process
from listener.schedule import FOLLOW_UP_SECONDS


class FastLane:
    """Processes the newest changes while a long batch is in flight; at other times the next batch has them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._schedule, self._signals = context.schedule, context.signals

    async def run(self) -> None:
        """Polls when there are new changes, and once more for those that were committed at the same moment."""
        while not self._signals.is_stopping:
            await self._signals.newest.wait()
            self._signals.newest.clear()
            for pause in (0.0, FOLLOW_UP_SECONDS[0]):
                await asyncio.sleep(pause)
                if not await self._batch_becomes_long():
                    break
                # What fails stays in the outbox, or on record: the batch in flight isn't the last.
                with suppress(TransientError, CannotEvaluateError):
                    await process(self._context, newest=True)

    async def _batch_becomes_long(self) -> bool:
        """Waits until a batch in flight is a long one; False once there is none."""
        while not self._signals.is_stopping and (pause := self._schedule.long_in(time.monotonic())) is not None:
            if pause == 0.0:
                return True
            await asyncio.sleep(pause)
        return False
