"""Indexes on the platform's tables, built without stopping a single write.

An index that was interrupted half-way stays behind as invalid: it is dropped and built again.
"""

import logging

from alembic import context, op
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from migrations.sql import execute, read_sql

logger = logging.getLogger(__name__)

LOCK_WAIT = "500ms"
"""How long a change of a busy table waits for its lock. While it waits, clients queue behind it; below
`deadlock_timeout` (1 s by default), so that it is never a client that a deadlock ends."""

SETTLING_ROUNDS = 5
"""How often duplicates are settled again when clients add new ones while the unique index is built."""


def create_concurrently(name: str, definition: str, *, unique: bool = False) -> None:
    """Creates the index `public.name`, unless it stands already; `definition` is what follows ON.

    Commits what the revision has done so far: a concurrent build can't run in a transaction.
    """
    kind = "UNIQUE INDEX" if unique else "INDEX"
    with op.get_context().autocommit_block():
        execute("SET lock_timeout = 0")  # a concurrent build waits for old transactions, blocking nobody
        if _is_invalid(name):
            logger.info("Dropping index %s, left invalid by an interrupted build", name)
            execute(f"DROP INDEX CONCURRENTLY IF EXISTS public.{name}")
        if not op.get_context().as_sql:  # a script is only written
            logger.info("Building index %s", name)
        execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {definition}")
        execute(f"SET lock_timeout = '{LOCK_WAIT}'")


def create_unique_after_settling(name: str, definition: str, *, settle_file: str) -> None:
    """Settles duplicates with the statement in `settle_file`, then creates the unique index.

    Clients go on writing meanwhile and may add new duplicates before the index stands; then both are
    done again.
    """
    for round_number in range(1, SETTLING_ROUNDS + 1):
        execute(read_sql(settle_file))
        try:
            create_concurrently(name, definition, unique=True)
        except IntegrityError:
            if round_number == SETTLING_ROUNDS:
                raise
            logger.warning("New duplicates came in while %s was built; settling them too", name)
        else:
            return


def find_invalid(connection: Connection) -> set[str]:
    """Our indexes that an interrupted build has left behind."""
    return set(
        connection.scalars(
            text(
                "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
                " WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace"
                " AND starts_with(c.relname, 'tutorwatch_')"
            )
        )
    )


def _is_invalid(name: str) -> bool:
    if op.get_context().as_sql:
        return name in context.config.attributes["invalid_indexes"]
    return name in find_invalid(op.get_bind())
