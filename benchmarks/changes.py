"""Changes for a listener to work off, and what generation left behind when it had worked them off."""

from typing import LiteralString

import psycopg

from database.channels import CHANGES
from migrations import automation

REMOVE_RESULTS: tuple[LiteralString, ...] = (
    "TRUNCATE public.alerts, public.tutor_insights, tutorwatch.alert_evidence, tutorwatch.consumed_sessions",
    "DELETE FROM tutorwatch.outbox",
)
"""Every alert, insight and piece of evidence; then the changes that our own triggers make of that."""


def switch_on(url: str) -> None:
    """The triggers on, and nothing to be generated."""
    with psycopg.connect(url, autocommit=True) as connection:
        automation.switch(connection, on=True)
        connection.execute("TRUNCATE tutorwatch.outbox")


def remove_results(connection: psycopg.Connection) -> None:
    """Every alert, insight and piece of evidence, in one transaction."""
    with connection.transaction():
        for statement in REMOVE_RESULTS:
            connection.execute(statement)


def record_anew(connection: psycopg.Connection, changes: int, tutors: int) -> None:
    """Removes all results, and commits so many changes of the first so many tutors, as the triggers record them.

    The changes of different tutors alternate, as those of a platform do, in an order that is the same each time.
    Listeners are woken when all of that is visible.
    """
    with connection.transaction():
        remove_results(connection)
        connection.execute(_RECORD, {"changes": changes, "tutors": tutors})
        connection.execute("SELECT pg_notify(%s, '')", [CHANGES])


_RECORD = """
    INSERT INTO tutorwatch.outbox (tutor_id)
    SELECT 'bench-tutor-' || 1 + n %% %(tutors)s::int FROM generate_series(1, %(changes)s::int) AS n
    ORDER BY hashint4extended(n, 7)
"""
