"""Hearing of changes: one connection that only listens, and knows when it is deaf."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from rules.database import connection_options
from rules.errors import TransientError

logger = logging.getLogger(__name__)

CHANGES = "tutorwatch_changes"
"""The channel the triggers notify; the payload is a tutor's id, or empty for several."""

HEARTBEATS = "tutorwatch_heartbeat"
"""The channel on which each listener hears itself: proof that notifications arrive."""

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 15.0
FAREWELL_SECONDS = 2.0
"""How long a stop waits for the database to note that this listener has left."""


class DeafError(Exception):
    """Notifications no longer arrive on this connection: connect again."""


class Subscription:
    """Calls `wake` for every notification, and after each (re)connect, when some may have been missed."""

    def __init__(
        self,
        url: str,
        *,
        listener_id: UUID,
        version: str,
        heartbeat_seconds: float,
        wake: Callable[[], None],
        on_connect: Callable[[], Awaitable[None]],
    ) -> None:
        self._url = url
        self._listener_id = listener_id
        self._version = version
        self._heartbeat_seconds = heartbeat_seconds
        self._wake = wake
        self._on_connect = on_connect
        self._last_heard = 0.0
        self.hears = False
        self.reconnects = 0

    async def run(self) -> None:
        """Listens until cancelled, connecting again whenever the connection is lost.

        What `on_connect` raises goes through, passing database errors aside.
        """
        while True:
            conn = await self._connect()
            try:
                await self._listen(conn)
            except (psycopg.Error, OSError, DeafError) as error:
                self.hears = False
                self.reconnects += 1
                logger.warning(
                    "Lost the connection that hears notifications (%s); polling until it is back",
                    first_line(error),
                    extra={"action": "deaf"},
                )
                self._wake()
                await asyncio.sleep(FIRST_DELAY_SECONDS)
            except asyncio.CancelledError:
                await self._unregister(conn)
                raise
            finally:
                await conn.close()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((psycopg.Error, OSError, TransientError)),
            wait=wait_exponential_jitter(
                multiplier=FIRST_DELAY_SECONDS, max=LONGEST_DELAY_SECONDS, jitter=FIRST_DELAY_SECONDS
            ),
            before_sleep=_log_unreachable,
        ):
            with attempt:
                await self._on_connect()
                options = connection_options("tutorwatch-listen")
                return await psycopg.AsyncConnection.connect(self._url, autocommit=True, **options)
        raise AssertionError("retried for ever")

    async def _listen(self, conn: psycopg.AsyncConnection[Any]) -> None:
        await self._register(conn)
        for channel in (CHANGES, HEARTBEATS):
            await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        await self._beat(conn)
        logger.info("Listening for changes", extra={"action": "listening"})
        self.hears = True
        self._wake()
        while True:
            await self._hear(conn)
            await self._beat(conn)

    async def _hear(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Passes notifications on until the next heartbeat is due. Raises DeafError if the last never came."""
        beat_at = time.monotonic()
        async for notification in conn.notifies(timeout=self._heartbeat_seconds):
            if notification.channel == CHANGES:
                self._wake()
            elif notification.payload == str(self._listener_id):
                self._last_heard = time.monotonic()
        if self._last_heard < beat_at:
            raise DeafError("the connection carries no notifications")

    async def _beat(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Notifies itself, and says in `tutorwatch.listeners` that this listener is alive."""
        try:
            async with asyncio.timeout(self._heartbeat_seconds):
                await conn.execute(
                    "WITH alive AS (UPDATE tutorwatch.listeners SET seen_at = clock_timestamp() WHERE listener_id = %s)"
                    " SELECT pg_notify(%s, %s)",
                    [self._listener_id, HEARTBEATS, str(self._listener_id)],
                )
        except TimeoutError:
            raise DeafError("the connection doesn't answer") from None

    async def _register(self, conn: psycopg.AsyncConnection[Any]) -> None:
        await conn.execute(
            "INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at)"
            " VALUES (%s, %s, %s, %s, clock_timestamp(), clock_timestamp())"
            " ON CONFLICT (listener_id) DO UPDATE SET seen_at = excluded.seen_at",
            [self._listener_id, socket.gethostname(), os.getpid(), self._version],
        )

    async def _unregister(self, conn: psycopg.AsyncConnection[Any]) -> None:
        with suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await conn.execute("DELETE FROM tutorwatch.listeners WHERE listener_id = %s", [self._listener_id])


def first_line(error: BaseException) -> str:
    """An error's first line, for a log line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _log_unreachable(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    delay = state.next_action.sleep if state.next_action else 0.0
    logger.warning(
        "The database can't be reached (%s); trying again in %.1f s",
        first_line(error) if error else "unknown",
        delay,
        extra={"action": "unreachable", "attempt": state.attempt_number, "delay_seconds": round(delay, 1)},
    )
