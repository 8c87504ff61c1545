"""Hearing of changes, and being seen to hear: the listener's side of its LISTEN connection."""

import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from database.subscription import Connection, NotificationHandler

logger = logging.getLogger(__name__)


class Subscription(NotificationHandler):
    """Calls `wake_for_new` for every notification, and `wake` after each (re)connect, when some may have been missed.

    With every heartbeat it notes in `tutorwatch.listeners` that this listener is alive, and its figures.
    """

    def __init__(
        self,
        *,
        listener_id: UUID,
        version: str,
        wake: Callable[[], None],
        wake_for_new: Callable[[], None],
        check: Callable[[], Awaitable[None]],
        give_up: Callable[[], None],
        told: Callable[[str], None],
        figures: Callable[[], dict[str, Any]],
    ) -> None:
        self._listener_id = listener_id
        self._version = version
        self._wake = wake
        self._wake_for_new = wake_for_new
        self._check = check
        self._give_up = give_up
        self._told = told
        self._figures = figures
        self.hears = False
        self.reconnects = 0

    async def connected(self, conn: Connection) -> None:
        """Raises SchemaMismatchError where the schema has become another one."""
        del conn
        await self._check()

    def hearing(self) -> None:
        """Something may have been missed: look."""
        logger.info("Listening for changes", extra={"action": "listening"})
        self.hears = True
        self._wake()

    def heard(self, payload: str) -> None:
        """The outbox says which tutors are concerned; the notification is only the wake-up."""
        self._told(payload)
        self._wake_for_new()

    def deaf(self) -> None:
        """From now on only polling finds changes."""
        self.hears = False
        self.reconnects += 1
        self._wake()

    def silent(self) -> None:
        """Whoever waits for an answer begins anew."""
        self._give_up()

    async def beat(self, conn: Connection, channel: str) -> None:
        """Says to everybody that this listener is alive, and to itself that it hears."""
        await conn.execute(
            "INSERT INTO tutorwatch.listeners"
            " (listener_id, host, process_id, version, started_at, seen_at, figures)"
            " VALUES (%(id)s, %(host)s, %(process)s, %(version)s, clock_timestamp(), clock_timestamp(), %(figures)s)"
            " ON CONFLICT (listener_id) DO UPDATE SET seen_at = excluded.seen_at, figures = excluded.figures"
            " RETURNING pg_notify(%(channel)s, '')",
            {
                "channel": channel,
                "id": self._listener_id,
                "host": socket.gethostname(),
                "process": os.getpid(),
                "version": self._version,
                "figures": json.dumps(self._figures() | {"reconnects": self.reconnects}),
            },
        )

    async def leaving(self, conn: Connection) -> None:
        """Says that it has stopped."""
        await conn.execute("DELETE FROM tutorwatch.listeners WHERE listener_id = %s", [self._listener_id])
