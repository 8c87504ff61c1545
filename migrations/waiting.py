"""The sessions that a migration waits for: they hold a lock, or a snapshot older than an index build."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from database.connections import connect

logger = logging.getLogger(__name__)

FIRST_CHECK_SECONDS = 2.0
"""A shorter wait isn't worth a line."""
CHECK_EVERY_SECONDS = 0.5
"""Tables are locked in short tries."""
LOG_AGAIN_SECONDS = 30.0
"""Time between two lines about a session that is still waited for."""

_BLOCKERS = """
    SELECT DISTINCT other.pid, coalesce(other.application_name, ''), coalesce(other.usename, ''), other.state,
           coalesce(other.xact_start, other.backend_start)
    FROM pg_stat_activity AS ours
    CROSS JOIN LATERAL unnest(pg_blocking_pids(ours.pid)) AS blocking (pid)
    JOIN pg_stat_activity AS other ON other.pid = blocking.pid
    WHERE ours.datname = current_database() AND ours.application_name = %s AND ours.wait_event_type = 'Lock'
      AND other.application_name IS DISTINCT FROM ours.application_name
      AND other.pid <> pg_backend_pid()  -- whoever asks has a snapshot, which an index build may wait for
    ORDER BY other.pid
"""
_HOLDERS = """
    SELECT pid, coalesce(application_name, ''), coalesce(usename, ''), state, coalesce(xact_start, backend_start)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND datname = current_database() AND datid = database
      AND classid = (%s::bigint >> 32)::oid AND objid = (%s::bigint & 4294967295)::oid AND objsubid = 1
    ORDER BY pid
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is waited for, as far as our role may know it."""

    pid: int
    application_name: str
    role: str
    state: str | None
    since: datetime | None

    def __str__(self) -> str:
        name = f" ({self.application_name})" if self.application_name else ""
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"pid {self.pid}{name} of {self.role or 'a role'}, {self.state or 'at work'}{since}"


def holders(connection: psycopg.Connection, key: int) -> list[Session]:
    """Return the sessions that hold this advisory lock."""
    return [Session(*row) for row in connection.execute(_HOLDERS.encode(), [key, key])]


def blockers(connection: psycopg.Connection, application_name: str) -> list[Session]:
    """Return the sessions that those of this name wait for, in this database."""
    return [Session(*row) for row in connection.execute(_BLOCKERS.encode(), [application_name])]


@contextmanager
def telling_whom_we_wait_for(database_url: str, application_name: str) -> Iterator[None]:
    """Meanwhile, logs each session that those of this name wait for for longer than a moment, and again as it lasts.

    Watches on a connection of its own, in a thread of its own. What it can't see it leaves unsaid: it never ends the
    work.
    """
    ended = threading.Event()
    watch = _Watch(database_url, application_name)
    thread = threading.Thread(target=watch.run, args=[ended], name="whom a migration waits for", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(FIRST_CHECK_SECONDS)


@dataclass(slots=True)
class _Watch:
    database_url: str
    application_name: str
    logged: dict[int, float] = field(default_factory=dict)

    def run(self, ended: threading.Event) -> None:
        if ended.wait(FIRST_CHECK_SECONDS):
            return
        try:
            with connect(self.database_url, application_name=f"{self.application_name}-watch") as connection:
                while not ended.wait(CHECK_EVERY_SECONDS):
                    for session in blockers(connection, self.application_name):
                        self._log(session)
        except psycopg.Error as error:
            logger.debug("Whom the migration may be waiting for can't be told (%s)", error)

    def _log(self, session: Session) -> None:
        now = time.monotonic()
        if now - self.logged.get(session.pid, -LOG_AGAIN_SECONDS) < LOG_AGAIN_SECONDS:
            return
        self.logged[session.pid] = now
        logger.warning(
            "Waiting for %s: it goes on once that transaction has ended (end it by pg_terminate_backend(%d))",
            session,
            session.pid,
            extra={"action": "waiting_for", "pid": session.pid},
        )
