"""Sends what waits: a task for each channel, so that a dead target delays no other, and no generation."""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.errors import TransientError, first_line
from database.transactions import in_transaction
from telling import deliveries
from telling.deliveries import Claimed
from telling.kinds import KINDS
from telling.result import Outcome, Result, ambiguous, given_up, retry
from telling.settings import TellingSettings

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""Attempts at a transaction that meets a transient error."""
POLL_SECONDS = 30.0
"""Longest time between two looks for what nobody announced."""
LONGEST_SEND_SECONDS = 60.0
"""When an attempt is ended that its channel hasn't ended: well within the lease."""

Counts = Counter[tuple[str, str]]
"""How many attempts, by kind and result."""


@dataclass(frozen=True, slots=True)
class Telling:
    """How a listener tells people."""

    settings: TellingSettings
    dashboard_url: str
    """Where the links of messages lead."""
    poll_seconds: float = POLL_SECONDS
    counts: Counts = field(default_factory=Counter)


class Sender:
    """Sends until it is cancelled. Any number of senders, in any number of processes, share the work."""

    def __init__(self, engine: AsyncEngine, telling: Telling, woken: asyncio.Event) -> None:
        self._engine = engine
        self._telling = telling
        self._woken = woken
        self._sending: dict[UUID, asyncio.Task[None]] = {}
        self._is_stopping = False
        self._outage_is_logged = False

    def stop(self) -> None:
        """Ends it after the attempts in flight."""
        self._is_stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Sends what waits, whenever it is woken and as it becomes due. A database that is away is waited for."""
        async with asyncio.TaskGroup() as tasks:
            while not self._is_stopping:
                self._woken.clear()
                pause = await self._begin(tasks)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()

    async def _begin(self, tasks: asyncio.TaskGroup) -> float:
        """Begins with the channels that have something to send; returns the seconds until the next look, unless one of
        them has ended before.
        """
        try:
            due, next_in = await in_transaction(self._engine, lambda conn, _last: _look(conn), attempts=ATTEMPTS)
        except (TransientError, DBAPIError, psycopg.Error) as error:
            self._log_outage(error)
            return min(self._telling.poll_seconds, 5.0)
        self._outage_is_logged = False
        for channel_id in due:
            if channel_id not in self._sending:
                task = tasks.create_task(self._serve(channel_id), name=f"channel {channel_id}")
                self._sending[channel_id] = task
                task.add_done_callback(partial(self._served, channel_id))
        if next_in is None:
            return self._telling.poll_seconds
        return min(next_in if next_in > 0 else 1.0, self._telling.poll_seconds)

    def _served(self, channel_id: UUID, _done: asyncio.Task[None]) -> None:
        del self._sending[channel_id]
        self._woken.set()  # for what came while it ended

    async def _serve(self, channel_id: UUID) -> None:
        """Sends what is due by a channel, one after the other."""
        try:
            while not self._is_stopping and (claimed := await self._claim(channel_id)):
                result = deliveries.settled(claimed, await self._attempt(claimed))
                await self._record(claimed, result)
                self._telling.counts[claimed.kind, result.outcome.value] += 1
                _log(claimed, result)
        except (TransientError, DBAPIError, psycopg.Error) as error:
            self._log_outage(error)
            await asyncio.sleep(1)

    async def _claim(self, channel_id: UUID) -> Claimed | None:
        async def work(conn: AsyncConnection, _is_last_attempt: bool) -> Claimed | None:
            return await deliveries.claim(conn, channel_id, self._telling.dashboard_url)

        return await in_transaction(self._engine, work, attempts=ATTEMPTS)

    async def _record(self, claimed: Claimed, result: Result) -> None:
        async def work(conn: AsyncConnection, _is_last_attempt: bool) -> None:
            await deliveries.record(conn, claimed, result)

        await in_transaction(self._engine, work, attempts=ATTEMPTS)

    async def _attempt(self, claimed: Claimed) -> Result:
        """Return what came of sending it, or why it isn't sent."""
        kind = KINDS.get(claimed.kind)
        if kind is None:
            return retry(f"This version knows no channels of kind {claimed.kind}")
        if claimed.was_claimed and not kind.can_deduplicate:
            return ambiguous("The process that sent it ended before it knew what came of it")
        if why := _not_worth_it(claimed):
            return given_up(why)
        try:
            async with asyncio.timeout(LONGEST_SEND_SECONDS):
                return await kind.send(claimed.target, claimed.message, self._telling.settings)
        except Exception as error:
            logger.exception("A delivery failed unexpectedly", extra={"action": "delivery_failed"})
            return (retry if kind.can_deduplicate else ambiguous)(f"{type(error).__name__}: {error}")

    def _log_outage(self, error: Exception) -> None:
        logger.log(
            logging.DEBUG if self._outage_is_logged else logging.WARNING,
            "Nobody can be told for now (%s); deliveries wait",
            first_line(error),
            extra={"action": "deliveries_unreachable"},
        )
        self._outage_is_logged = True


async def _look(conn: AsyncConnection) -> tuple[list[UUID], float | None]:
    return await deliveries.load_due(conn), await deliveries.seconds_to_next(conn)


def _not_worth_it(claimed: Claimed) -> str:
    if claimed.is_gone:
        return "The alert is gone"
    if claimed.is_too_old:
        return "Too old: it had waited for more than a day when it was first tried"
    if claimed.is_over:
        return "The alert was resolved before this could be told"
    return ""


_LEVELS = {
    Outcome.DELIVERED: logging.INFO,
    Outcome.RETRY: logging.WARNING,
    Outcome.PERMANENT: logging.ERROR,
    Outcome.AMBIGUOUS: logging.WARNING,
    Outcome.GIVEN_UP: logging.WARNING,
}
_WORDS = {
    Outcome.DELIVERED: "delivered",
    Outcome.RETRY: "not delivered, will be tried again",
    Outcome.PERMANENT: "given up, and the channel is switched off",
    Outcome.AMBIGUOUS: "perhaps delivered, and not repeated",
    Outcome.GIVEN_UP: "given up",
}


def _log(claimed: Claimed, result: Result) -> None:
    logger.log(
        _LEVELS[result.outcome],
        "Delivery %s by %s (attempt %d): %s%s",
        claimed.id,
        claimed.kind,
        claimed.attempts,
        _WORDS[result.outcome],
        f": {result.error}" if result.error else "",
        extra={
            "action": "delivery",
            "delivery_id": str(claimed.id),
            "alert_id": str(claimed.message.alert_id),
            "kind": claimed.kind,
            "result": result.outcome.value,
            "attempt": claimed.attempts,
        },
    )
