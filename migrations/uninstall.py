"""Removes everything of ours from a database, or only what is on the platform's tables."""

import logging

import psycopg

from migrations import indexes, rights
from migrations.installed import find_ours
from migrations.locks import change_briefly
from migrations.repair import run

logger = logging.getLogger(__name__)


def step_aside(connection: psycopg.Connection) -> None:
    """Drops our triggers and indexes on the platform's tables; on a connection in autocommit mode.

    Everything else stays: evidence, history, accounts. `migrate` brings them back and has all tutors re-evaluated.
    Can be interrupted and run again; a database without Tutorwatch is left as it is.
    """
    triggers, ours = find_ours(connection)
    for table in sorted({table for table, _ in triggers}):
        drops = [f"DROP TRIGGER IF EXISTS {name} ON {table};" for on, name in triggers if on == table]
        change_briefly(connection, drops, table=table)
    for index, table, has_parts in ours:
        logger.info("Dropping index %s", index)
        run(connection, indexes.drop(index, table, has_parts=has_parts))


def uninstall(connection: psycopg.Connection) -> None:
    """Drops our triggers, indexes, the services' rights and the schema tutorwatch; on a connection in autocommit mode.

    The platform's tables and all their rows stay, the alerts and insights that we wrote included.
    Can be interrupted and run again; a database without Tutorwatch is left as it is.
    """
    step_aside(connection)
    connection.execute("SET client_min_messages = warning")  # not a NOTICE per dropped table
    with connection.transaction():  # a service sees that it is uninstalled, not that a right is missing
        rights.take_back(connection)
        connection.execute("DROP SCHEMA IF EXISTS tutorwatch CASCADE")
