"""Removes everything of ours from a database."""

import logging

import psycopg
from psycopg import sql

from migrations import rights
from migrations.automation import TRIGGERS, wait_briefly, when_not_busy

logger = logging.getLogger(__name__)

ANNOUNCING = (
    "tutorwatch_announce_insert",
    "tutorwatch_announce_update",
    "tutorwatch_announce_delete",
    "tutorwatch_announce_truncate",
)
"""The triggers on alerts that no switch concerns: they tell the dashboards."""

_OUR_INDEXES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('i', 'I')"
    " AND starts_with(relname, 'tutorwatch_') ORDER BY relname"
)


def uninstall(connection: psycopg.Connection) -> None:
    """Drops our triggers, indexes, the services' rights and the schema tutorwatch; on a connection in autocommit mode.

    The platform's tables and all their rows stay, the alerts and insights that we wrote included.
    Can be interrupted and run again; a database without Tutorwatch is left as it is.
    """
    for table, triggers in [*TRIGGERS.items(), ("alerts", ANNOUNCING)]:
        _drop_triggers(connection, table, triggers)
    for (index,) in connection.execute(_OUR_INDEXES).fetchall():
        logger.info("Dropping index %s", index)
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("public", index)))
    connection.execute("SET client_min_messages = warning")  # not a NOTICE per dropped table
    with connection.transaction():  # a service sees that it is uninstalled, not that a right is missing
        rights.take_back(connection)
        connection.execute("DROP SCHEMA IF EXISTS tutorwatch CASCADE")


@when_not_busy
def _drop_triggers(connection: psycopg.Connection, table: str, triggers: tuple[str, ...]) -> None:
    with connection.transaction():
        wait_briefly(connection)
        for trigger in triggers:
            connection.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                    sql.Identifier(trigger), sql.Identifier("public", table)
                )
            )
