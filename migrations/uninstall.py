"""Removes everything of ours from a database."""

import logging

import psycopg
from psycopg import sql

from migrations.automation import TRIGGERS, switch

logger = logging.getLogger(__name__)

_OUR_INDEXES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('i', 'I')"
    " AND starts_with(relname, 'tutorwatch_') ORDER BY relname"
)


def uninstall(connection: psycopg.Connection) -> None:
    """Drops our triggers, indexes and the schema tutorwatch; on a connection in autocommit mode.

    The platform's tables and all their rows stay, the alerts and insights that we wrote included.
    Can be interrupted and run again; a database without Tutorwatch is left as it is.
    """
    if _is_installed(connection):
        switch(connection, on=False)
    for table, triggers in TRIGGERS.items():
        for trigger in triggers:
            connection.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                    sql.Identifier(trigger), sql.Identifier("public", table)
                )
            )
    for (index,) in connection.execute(_OUR_INDEXES).fetchall():
        logger.info("Dropping index %s", index)
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("public", index)))
    connection.execute("SET client_min_messages = warning")  # not a NOTICE per dropped table
    connection.execute("DROP SCHEMA IF EXISTS tutorwatch CASCADE")


def _is_installed(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT to_regnamespace('tutorwatch') IS NOT NULL").fetchone() == (True,)
