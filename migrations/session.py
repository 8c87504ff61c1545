"""The sessions in which a migration works, and the lock that lets one of them migrate a database at a time."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from database.connections import connect
from database.session_settings import UNHURRIED
from migrations.waiting import holders

logger = logging.getLogger(__name__)

LOCK_KEY = 7_310_118_241
"""Advisory lock of the one migration that may run in a database at a time (an arbitrary number)."""
APPLICATION_NAME = "tutorwatch-migrate"
OWN_TABLES_LOCK_WAIT = "500ms"
"""How long a change of our own tables waits for its lock: half of `deadlock_timeout` (1 s by default), so that a
deadlock ends the change, which is tried again."""


def open_session(database_url: str) -> psycopg.Connection:
    """Return a connection in autocommit mode.

    Raises PooledError where a pooler is between: locks and settings must last from one transaction to the next.
    """
    settings = UNHURRIED | {"lock_timeout": OWN_TABLES_LOCK_WAIT}
    return connect(database_url, application_name=APPLICATION_NAME, settings=settings)


@contextmanager
def only_migration(database_url: str) -> Iterator[None]:
    """Holds the migration lock, on a connection of its own.

    Asks again and again instead of waiting in the database: a waiting statement holds a snapshot, and a
    concurrent index build waits for all older snapshots, so that the two would wait for each other.
    """
    with open_session(database_url) as connection:
        waiting = False
        while connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone() != (True,):
            if not waiting:
                whose = "; ".join(map(str, holders(connection, LOCK_KEY)))
                logger.info("Waiting for whoever has the lock of a migration of this database (%s)", whose)
                waiting = True
            time.sleep(0.2)
        yield
