"""Short changes of the platform's tables, beside clients that write to them."""

import logging
import random
import time
from collections.abc import Sequence

import psycopg

logger = logging.getLogger(__name__)

TRY_LOCK_WAIT = "50ms"
"""How long one try waits for a table's lock: while it waits, clients queue behind it."""
PATIENCE_SECONDS = 300.0
"""How long it is tried again before giving up."""
LONGEST_PAUSE_SECONDS = 0.5
LOG_SECONDS = 5.0
"""Time between two lines about the session that is waited for."""

_HOLDER = """
    SELECT format('pid %%s (%%s, %%s)', activity.pid, usename, coalesce(nullif(application_name, ''), 'without a name'))
        || coalesce(', in a transaction since ' || to_char(xact_start, 'HH24:MI:SS TZ'), '')
    FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
    WHERE locktype = 'relation' AND relation = to_regclass(%s) AND granted AND pid <> pg_backend_pid()
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY mode = 'AccessShareLock', xact_start LIMIT 1
"""
"""Readers block only the dropping of a trigger. Other roles than the holder's can't see since when a lock is held."""


def change_briefly(connection: psycopg.Connection, statements: Sequence[str], *, table: str) -> None:
    """Runs the statements in one transaction that waits for the table's lock only briefly, again and again.

    On a connection in autocommit mode. Logs whom it waits for. Raises psycopg's LockNotAvailable after five minutes.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    log_at = time.monotonic() + 1.0
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{TRY_LOCK_WAIT}'".encode())
                for statement in statements:
                    connection.execute(statement.encode())
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() >= give_up_at:
                raise
        else:
            return
        if time.monotonic() >= log_at:
            logger.warning("Waiting for %s: %s", table, _holder_of(connection, table), extra={"action": "waiting"})
            log_at = time.monotonic() + LOG_SECONDS
        time.sleep(random.uniform(0.05, LONGEST_PAUSE_SECONDS))  # noqa: S311  # nosec B311


def _holder_of(connection: psycopg.Connection, table: str) -> str:
    found = connection.execute(_HOLDER, [table]).fetchone()
    return str(found[0]) if found else "held by somebody who is gone by now"
