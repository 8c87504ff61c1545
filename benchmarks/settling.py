"""Lets a server come to rest, so that what was written before doesn't disturb what is measured next."""

import time
from contextlib import suppress

import psycopg

LONGEST_SECONDS = 60.0
"""Of waiting for autovacuum: then it is measured all the same."""
_VACUUMING = """
    SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = current_database() LIMIT 1
"""


def settle(url: str) -> None:
    """Does now what the server would do later: vacuums, analyzes, and writes what has changed to the disk."""
    give_up_at = time.monotonic() + LONGEST_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        while connection.execute(_VACUUMING).fetchone() is not None and time.monotonic() < give_up_at:
            time.sleep(0.05)
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("CHECKPOINT")
