"""A subscription to PostgreSQL's notifications: a connection that does nothing but LISTEN, and notices when it is lost.

Heartbeats go over a second one: the driver keeps all notifications that arrive before the answer to a statement, and
anybody may send any number of them.
"""

import asyncio
import logging
import secrets
from collections.abc import Collection
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.abc import RV, PQGen
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from database.connections import ListeningConnection, connect_to_listen
from database.errors import PooledError, TransientError, first_line
from database.outages import Outage

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 5.0
LEAVING_SECONDS = 2.0
"""How long a stop waits for the last statement."""
CANCEL_SECONDS = 0.1

LONGEST_SLEEP_SECONDS = 60.0
"""How often a connection on which nothing arrives wakes up all the same: more seldom than the heartbeat."""

Connection = psycopg.AsyncConnection[Any]


class _SleepingConnection(ListeningConnection):
    """Sleeps until there is something to read, or the time is up.

    The driver would wake up ten times a second for an interrupt, which asyncio delivers by itself: most of what a
    service at rest did.
    """

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109
        """As the driver's."""
        return await super().wait(gen, max(interval, LONGEST_SLEEP_SECONDS), timeout)


class NotificationHandler:
    """Called by `listen`, with the second connection where it may be used. What isn't overridden does nothing."""

    async def prepare(self, conn: Connection) -> None:
        """Before LISTEN, on new connections; what is raised but database errors ends the subscription."""

    async def heartbeat(self, conn: Connection, channel: str) -> None:
        """Notifies the channel, which proves that notifications arrive; may do more in the same statement."""
        await conn.execute("SELECT pg_notify(%s, '')", [channel])

    async def leaving(self, conn: Connection) -> None:
        """The subscription is about to end because it was cancelled."""

    def connected(self) -> None:
        """Notifications arrive from now on; some from before may have been missed."""

    def notified(self, payload: str) -> None:
        """A notification has arrived."""

    def notified_of_other(self, channel: str) -> None:
        """A notification has arrived on one of the other channels."""

    def lost(self) -> None:
        """Notifications are missed from now on."""

    def silent(self) -> None:
        """They are missed because a connection that isn't lost carries nothing: nor may others to the same server."""


class SubscriptionLostError(Exception):
    """Notifications no longer arrive on this connection: connect again."""


_TRIED_AGAIN = (psycopg.Error, OSError, TransientError, SubscriptionLostError, PooledError)
"""For ever: what is permanent may be fixed while we run."""


async def listen(
    url: str,
    channel: str,
    handler: NotificationHandler,
    *,
    application_name: str,
    heartbeat_seconds: float,
    others: Collection[str] = (),
) -> None:
    """Listens until cancelled, connecting again whenever the connection is lost or carries nothing any more.

    A notification to itself every so many seconds, on a channel of its own, proves that notifications arrive. `others`
    are further channels on the same connection.
    """
    own_channel = f"{channel}_{secrets.token_hex(8)}"
    subscription = _Subscription(url, channel, own_channel, handler, application_name, heartbeat_seconds, others)
    is_lost = False
    while True:
        connections = await subscription.open(again=is_lost)
        try:
            await subscription.receive(connections)
        except (psycopg.Error, OSError, SubscriptionLostError) as error:
            if isinstance(error, SubscriptionLostError):
                handler.silent()
            handler.lost()
            is_lost = True
            logger.log(
                subscription.outage.level(error),
                "Lost the subscription to notifications (%s); connecting again",
                first_line(error),
                extra={"action": "subscription_lost"},
            )
            await asyncio.sleep(FIRST_DELAY_SECONDS)
        except asyncio.CancelledError:
            with suppress(psycopg.Error, OSError, TimeoutError):
                async with asyncio.timeout(LEAVING_SECONDS):
                    await handler.leaving(connections.heartbeat)
            raise
        finally:
            await connections.closing.aclose()


@dataclass(frozen=True, slots=True)
class _Connections:
    listen: Connection
    heartbeat: Connection
    closing: AsyncExitStack


@dataclass(slots=True)
class _Subscription:
    url: str
    channel: str
    own_channel: str
    handler: NotificationHandler
    application_name: str
    heartbeat_seconds: float
    others: Collection[str]
    outage: Outage = field(default_factory=Outage)
    has_received: bool = False
    """Anything since the latest heartbeat, if only that."""

    async def open(self, *, again: bool) -> _Connections:
        """Return connections of which one listens; tried for ever, ever less often. Logs that it has recovered, if it
        had to try again.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_TRIED_AGAIN),
            wait=wait_exponential_jitter(
                multiplier=FIRST_DELAY_SECONDS, max=LONGEST_DELAY_SECONDS, jitter=FIRST_DELAY_SECONDS
            ),
            before_sleep=self._log_unreachable,
        ):
            with attempt:
                connections = await self._open_once()
        if again or attempt.retry_state.attempt_number > 1:
            logger.info("The database is reached again, and notifications arrive", extra={"action": "reached"})
        return connections

    def _log_unreachable(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        delay = state.next_action.sleep if state.next_action else 0.0
        logger.log(
            self.outage.level(error) if error else logging.WARNING,
            "The database can't be reached (%s); trying again, next in %.1f s",
            first_line(error) if error else "unknown",
            delay,
            extra={"action": "unreachable", "attempt": state.attempt_number, "delay_seconds": round(delay, 1)},
        )

    async def _open_once(self) -> _Connections:
        async with AsyncExitStack() as stack:
            listening = await self._connect(stack, self.application_name)
            heartbeat = await self._connect(stack, f"{self.application_name}-beat")
            await self.handler.prepare(heartbeat)
            for channel in (self.own_channel, *self.others, self.channel):
                await listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            await self._beat(heartbeat)
            return _Connections(listening, heartbeat, stack.pop_all())

    async def _connect(self, stack: AsyncExitStack, application_name: str) -> Connection:
        conn = await connect_to_listen(self.url, _SleepingConnection, application_name=application_name)
        stack.push_async_callback(conn.close)
        return conn

    async def receive(self, connections: _Connections) -> None:
        """Hands notifications to the handler until a connection is lost."""
        logger.debug("Listening on %s", self.channel)
        self.handler.connected()
        while True:
            await self._receive_until_next_beat(connections.listen)
            await self._beat(connections.heartbeat)

    async def _beat(self, conn: Connection) -> None:
        self.has_received = False
        beating = asyncio.create_task(self.handler.heartbeat(conn, self.own_channel))
        try:
            await asyncio.wait({beating}, timeout=self.heartbeat_seconds)
        finally:
            is_late = not beating.done()
            if is_late:
                await _end(beating)
        if is_late:
            raise SubscriptionLostError("the connection doesn't answer")
        beating.result()

    async def _receive_until_next_beat(self, conn: Connection) -> None:
        """Raises SubscriptionLostError if not even the heartbeat before it came."""
        async for notification in conn.notifies(timeout=self.heartbeat_seconds):
            self.has_received = True
            if notification.channel == self.channel:
                self.handler.notified(notification.payload)
            elif notification.channel in self.others:
                self.handler.notified_of_other(notification.channel)
        if not self.has_received:
            raise SubscriptionLostError("the connection carries no notifications")


async def _end(task: asyncio.Task[None]) -> None:
    """Cancelled once, psycopg asks the silent server to end the query, for ten seconds; twice, it gives up."""
    task.cancel()
    await asyncio.wait({task}, timeout=CANCEL_SECONDS)
    task.cancel()
    await asyncio.wait({task})
