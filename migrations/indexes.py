"""Indexes on the platform's tables, built without stopping a single write.

An index that was interrupted half-way stays behind as invalid: it is dropped and built again.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alembic import context, op
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from migrations.partitions import Partition
from migrations.sql import execute, read_sql

logger = logging.getLogger(__name__)

LOCK_WAIT = "500ms"
"""How long a change of a busy table waits for its lock. While it waits, clients queue behind it; half of
`deadlock_timeout` (1 s by default), so that a deadlock ends the change, which is tried again; a client only if that has
waited for us for half a second already when we begin to wait (see `rules.generation`)."""

SETTLING_ROUNDS = 5
"""How often duplicates are settled again when clients add new ones while the unique index is built."""


@dataclass(frozen=True, slots=True)
class Step:
    """Statements that belong together: in a short transaction, or one by one where an index is built or
    dropped concurrently."""

    statements: tuple[str, ...]
    is_concurrent: bool = False

    def as_script(self) -> str:
        """The same for psql."""
        if self.is_concurrent:
            return "\n".join(["SET lock_timeout = 0;", *self.statements, f"SET lock_timeout = '{LOCK_WAIT}';"])
        return "\n".join(["BEGIN;", *self.statements, "COMMIT;"])


def create_concurrently(name: str, definition: str, *, unique: bool = False) -> None:
    """Creates the index `public.name`, unless it stands already; `definition` is what follows ON.

    Commits what the revision has done so far: a concurrent build can't run in a transaction.
    """
    kind = "UNIQUE INDEX" if unique else "INDEX"
    statement = f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {definition};"
    table = definition.split(" ")[0].removeprefix("public.")
    partitions = [each for each in context.config.attributes["partitions"] if each.of == table]
    with op.get_context().autocommit_block():
        if not op.get_context().as_sql:  # a script is only written
            logger.info("Building index %s", name)
        if partitions:
            for step in steps_by_partition(name, statement, partitions):
                _execute(step)
        else:
            if _is_invalid(name):
                logger.info("Dropping index %s, left invalid by an interrupted build", name)
                statement = f"DROP INDEX CONCURRENTLY IF EXISTS public.{name};\n{statement}"
            _execute(Step(tuple(statement.splitlines()), is_concurrent=True))


def drop_concurrently(name: str, *, of: str) -> None:
    """Drops the index of that table of the platform's, if it stands; commits what the revision has done so far."""
    is_partitioned = any(each.of == of for each in context.config.attributes["partitions"])
    with op.get_context().autocommit_block():
        # Of a partitioned table an index can't be dropped concurrently; it takes a moment all the same.
        concurrently = "" if is_partitioned else "CONCURRENTLY "
        drop = f"DROP INDEX {concurrently}IF EXISTS public.{name};"
        quietly = ("SET client_min_messages = warning;", drop, "RESET client_min_messages;")
        _execute(Step(quietly, is_concurrent=not is_partitioned))


def _execute(step: Step) -> None:
    if step.is_concurrent:
        execute("SET lock_timeout = 0")  # a concurrent build waits for old transactions, blocking nobody
    for statement in step.statements:
        execute(statement.rstrip(";"))
    if step.is_concurrent:
        execute(f"SET lock_timeout = '{LOCK_WAIT}'")


def steps_by_partition(name: str, statement: str, partitions: Iterable[Partition]) -> Iterator[Step]:
    """The steps that build an index of a partitioned table without stopping writes.

    `statement` is what would build it if the table weren't partitioned. First comes an index of the table that has no
    part yet, and which every partition that clients add meanwhile gets its part of; then each partition's,
    concurrently; the whole becomes valid with the last. A partition that has its part already is left alone.
    """
    whole_of: dict[str, str] = {}
    for partition in partitions:
        root = f"public.{partition.of}"
        if not whole_of:
            whole_of[root] = f"public.{name}"
            yield Step((_of_its_own(statement),))
        part_name = f"{name}_{_digest(partition.name)}"
        part, whole = f"{partition.schema}.{part_name}", whole_of[partition.parent]
        whole_of[partition.name] = part
        if name in partition.indexes:
            continue
        building = statement.replace(f"{name} ON {root} ", f"{part_name} ON {partition.name} ")
        if partition.is_leaf:
            yield Step((f"DROP INDEX CONCURRENTLY IF EXISTS {part};", building), is_concurrent=True)
        else:
            yield Step((_of_its_own(building),))
        yield Step((f"ALTER INDEX {whole} ATTACH PARTITION {part};",))


def _of_its_own(statement: str) -> str:
    """The same index on the table alone, without its partitions."""
    return statement.replace("INDEX CONCURRENTLY ", "INDEX ").replace(" ON ", " ON ONLY ", 1)


def _digest(name: str) -> str:
    """Keeps the names of a partition's indexes short enough, and apart."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


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
