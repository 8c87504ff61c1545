"""Removes everything of ours from a database."""

import logging

import psycopg
from psycopg import sql

from migrations import rights
from migrations.automation import TRIGGERS, wait_briefly, when_not_busy
from migrations.partitions import find_partitions

logger = logging.getLogger(__name__)

ANNOUNCING = (
    "tutorwatch_announce_insert",
    "tutorwatch_announce_update",
    "tutorwatch_announce_delete",
    "tutorwatch_announce_truncate",
)
"""The triggers on alerts that no switch concerns: they tell the dashboards."""

_OUR_INDEXES = """
    SELECT nspname, c.relname, c.relkind = 'I'
    FROM pg_class AS c
    JOIN pg_index AS i ON i.indexrelid = c.oid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_class AS indexed ON indexed.oid = coalesce(pg_partition_root(i.indrelid), i.indrelid)
    WHERE indexed.relnamespace = 'public'::regnamespace AND starts_with(c.relname, 'tutorwatch_')
      AND NOT c.relispartition
    ORDER BY c.relname
"""
"""With their schemas, and whether each has parts, one per partition: those go with it."""


def uninstall(connection: psycopg.Connection) -> None:
    """Drops our triggers, indexes, the services' rights and the schema tutorwatch; on a connection in autocommit mode.

    The platform's tables and all their rows stay, the alerts and insights that we wrote included.
    Can be interrupted and run again; a database without Tutorwatch is left as it is.
    """
    for table, triggers in [*TRIGGERS.items(), ("alerts", ANNOUNCING)]:
        _drop_triggers(connection, f"public.{table}", triggers)
    for partition in find_partitions(connection):
        _drop_triggers(connection, partition.name, TRIGGERS.get(partition.of, ()))
    for schema, index, has_parts in connection.execute(_OUR_INDEXES.encode()).fetchall():
        logger.info("Dropping index %s", index)
        if has_parts:
            _drop_with_parts(connection, sql.Identifier(schema, index))
        else:
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(schema, index)))
    connection.execute("SET client_min_messages = warning")  # not a NOTICE per dropped table
    with connection.transaction():  # a service sees that it is uninstalled, not that a right is missing
        rights.take_back(connection)
        connection.execute("DROP SCHEMA IF EXISTS tutorwatch CASCADE")


@when_not_busy
def _drop_triggers(connection: psycopg.Connection, table: str, triggers: tuple[str, ...]) -> None:
    with connection.transaction():
        wait_briefly(connection)
        for trigger in triggers:
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger} ON {table}".encode())


@when_not_busy
def _drop_with_parts(connection: psycopg.Connection, index: sql.Identifier) -> None:
    """Not concurrently, as PostgreSQL would have it: but it takes no longer than its locks."""
    with connection.transaction():
        wait_briefly(connection)
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(index))
