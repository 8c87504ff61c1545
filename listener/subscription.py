"""The listener's side of its LISTEN connection: wake-ups, and heartbeats that show that it is alive."""

import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from database.subscription import Connection, NotificationHandler
from listener.canary import Markers
from listener.signals import Signals

logger = logging.getLogger(__name__)


class Subscription(NotificationHandler):
    """Wakes the worker for every notification, and after each (re)connect, when some may have been missed.

    With every heartbeat it notes in `tutorwatch.listeners` that this listener is alive, and its `state`.
    """

    def __init__(
        self,
        signals: Signals,
        markers: Markers,
        *,
        version: str,
        check: Callable[[], Awaitable[None]],
        give_up: Callable[[], None],
        state: Callable[[], dict[str, Any]],
    ) -> None:
        self._signals = signals
        self._markers = markers
        self._version = version
        self._check = check
        self._give_up = give_up
        self._state = state
        self._listener_id = uuid4()

    async def prepare(self, conn: Connection) -> None:
        """Raises SchemaMismatchError where the schema has become another one."""
        del conn
        await self._check()

    def connected(self) -> None:
        """Has the outbox polled, because notifications may have been missed."""
        logger.info("Listening for changes", extra={"action": "listening"})
        self._signals.is_connected = True
        self._signals.wake()
        self._signals.deliveries.set()

    def notified(self, payload: str) -> None:
        """Wakes the worker; the outbox says which tutors are concerned."""
        self._markers.announced(payload)
        self._signals.wake_for_newest()

    def notified_of_other(self, channel: str) -> None:
        """Wakes the sender."""
        del channel
        self._signals.deliveries.set()

    def lost(self) -> None:
        """Takes note that from now on only polling finds changes."""
        self._signals.is_connected = False
        self._signals.times_lost += 1
        self._signals.wake()

    def silent(self) -> None:
        """Gives up all connections, so that whoever waits for an answer tries again."""
        self._give_up()

    async def heartbeat(self, conn: Connection, channel: str) -> None:
        """Notes that this listener is alive, and notifies itself."""
        await conn.execute(
            "INSERT INTO tutorwatch.listeners"
            " (listener_id, host, process_id, version, started_at, seen_at, figures)"
            " VALUES (%(id)s, %(host)s, %(process)s, %(version)s, clock_timestamp(), clock_timestamp(), %(state)s)"
            " ON CONFLICT (listener_id) DO UPDATE SET seen_at = excluded.seen_at, figures = excluded.figures"
            " RETURNING pg_notify(%(channel)s, '')",
            {
                "channel": channel,
                "id": self._listener_id,
                "host": socket.gethostname(),
                "process": os.getpid(),
                "version": self._version,
                "state": json.dumps(self._state() | {"reconnects": self._signals.times_lost}),
            },
        )

    async def leaving(self, conn: Connection) -> None:
        """Removes this listener's row, because it has stopped."""
        await conn.execute("DELETE FROM tutorwatch.listeners WHERE listener_id = %s", [self._listener_id])
