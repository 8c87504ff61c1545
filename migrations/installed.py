"""The comparison of a database with the manifest: what it lacks, and what it has that is no longer in it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg

from database.recording import MARK_TRIGGER, STATEMENT_TRIGGERS
from database.tables import own
from migrations.manifest import FUNCTIONS, INDEXES, SEQUENCES, VIEWS, Function, Trigger, triggers
from migrations.partitions import Partition, find_partitions
from migrations.sql import read_sql


class Kind(StrEnum):
    """The kinds of parts, as an operator calls them."""

    TABLE = "table"
    SEQUENCE = "sequence"
    VIEW = "view"
    FUNCTION = "function"
    TRIGGER = "trigger"
    INDEX = "index"


MISSING = "is missing"
DIFFERENT = "is not as it was installed"
LEFT_OVER = "is no longer needed"


@dataclass(frozen=True, slots=True)
class Damage:
    """A part that isn't as it should be; `problem` continues its name: `is missing`."""

    kind: Kind
    name: str
    """Of an index or trigger without its table."""
    problem: str
    table: str = ""
    """What a trigger or an index is on, with its schema."""
    trigger: Trigger | None = None
    has_parts: bool = False
    """Of an index that is left over: whether it is a partitioned table's."""

    @property
    def may_have_hidden_changes(self) -> bool:
        """Return whether changes may have gone unrecorded for it."""
        return self.problem != LEFT_OVER and self.kind in (Kind.SEQUENCE, Kind.FUNCTION, Kind.TRIGGER)

    def __str__(self) -> str:
        on = f" on {self.table.removeprefix('public.')}" if self.kind is Kind.TRIGGER else ""
        return f"{self.kind} {self.name}{on} {self.problem}"


_RELATIONS = """
    SELECT relname, relkind::text FROM pg_class
    WHERE relnamespace = to_regnamespace('tutorwatch') AND relkind IN ('r', 'S', 'v')
"""
_FUNCTIONS = """
    SELECT proname, prosrc, prosecdef, ARRAY(SELECT unnest(proconfig) ORDER BY 1) FROM pg_proc
    WHERE pronamespace = to_regnamespace('tutorwatch')
"""
_TRIGGERS = """
    SELECT format('%I.%I', nspname, relname), tgname, pg_get_triggerdef(t.oid), tgenabled
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = tgrelid JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE NOT tgisinternal AND tgparentid = 0
      AND tgfoid IN (SELECT oid FROM pg_proc WHERE pronamespace = to_regnamespace('tutorwatch'))
"""
_INDEXES = read_sql("our_indexes").encode()


def find_damage(connection: psycopg.Connection) -> list[Damage]:
    """Return what is missing, not as in the manifest, or left over from an older version. Reads the catalogs only."""
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")  # then catalogs name each table's schema
        partitions = find_partitions(connection)
        return [
            *_relations(connection),
            *_functions(connection),
            *_triggers(connection, partitions),
            *_indexes(connection),
        ]


def find_ours(connection: psycopg.Connection) -> tuple[list[tuple[str, str]], list[tuple[str, str, bool]]]:
    """Return our triggers (table, name) and indexes (name, table, whether it has parts) on the platform's tables.

    All names have their schemas. An index's parts go with it.
    """
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        triggers = [(table, name) for table, name, *_ in connection.execute(_TRIGGERS)]
        found = [(name, table, has_parts) for _, table, _, _, _, has_parts, name in connection.execute(_INDEXES)]
    return [each for each in triggers if not each[0].startswith("tutorwatch.")], found


def _relations(connection: psycopg.Connection) -> Iterator[Damage]:
    found = set(connection.execute(_RELATIONS))
    tables = [table.name for table in own.sorted_tables]
    for kind, relkind, names in ((Kind.TABLE, "r", tables), (Kind.SEQUENCE, "S", SEQUENCES), (Kind.VIEW, "v", VIEWS)):
        yield from (Damage(kind, name, MISSING) for name in names if (name, relkind) not in found)


def _functions(connection: psycopg.Connection) -> Iterator[Damage]:
    found = {name: tuple(rest) for name, *rest in connection.execute(_FUNCTIONS)}
    for name, function in FUNCTIONS.items():
        if name not in found:
            yield Damage(Kind.FUNCTION, name, MISSING)
        elif found[name] != _as_catalogued(function):
            yield Damage(Kind.FUNCTION, name, DIFFERENT)
    yield from (Damage(Kind.FUNCTION, name, LEFT_OVER) for name in sorted(found.keys() - FUNCTIONS.keys()))


def _as_catalogued(function: Function) -> tuple[Any, ...]:
    """Return the function as the catalogs have it: body, SECURITY DEFINER, settings."""
    settings = sorted(f"{name}={value.strip(chr(39))}" for name, value in function.settings.items())
    return function.body, function.is_definer, settings


def wanted_triggers(partitions: Iterable[Partition]) -> list[Trigger]:
    """Every trigger, those on partitions included: a statement fires those of the table that it names."""
    on_partitions = {*STATEMENT_TRIGGERS, MARK_TRIGGER}
    return [
        *triggers(),
        *(
            trigger.on(partition.name)
            for partition in partitions
            for trigger in triggers()
            if trigger.table == f"public.{partition.of}" and trigger.name in on_partitions
        ),
    ]


def _triggers(connection: psycopg.Connection, partitions: Iterable[Partition]) -> Iterator[Damage]:
    found = {(table, name): (definition, fires) for table, name, definition, fires in connection.execute(_TRIGGERS)}
    wanted = {(trigger.table, trigger.name): trigger for trigger in wanted_triggers(partitions)}
    for (table, name), trigger in wanted.items():
        if (table, name) not in found:
            yield Damage(Kind.TRIGGER, name, MISSING, table, trigger)
        elif found[table, name] != (trigger.definition, trigger.fires[0]):
            only_off = found[table, name][0] == trigger.definition
            yield Damage(Kind.TRIGGER, name, "is switched off" if only_off else DIFFERENT, table, trigger)
    yield from (Damage(Kind.TRIGGER, name, LEFT_OVER, table) for table, name in sorted(found.keys() - wanted.keys()))


def _indexes(connection: psycopg.Connection) -> Iterator[Damage]:
    found = {name: rest for name, *rest in connection.execute(_INDEXES)}
    for name, index in INDEXES.items():
        if name not in found or found[name][0] != index.table:
            yield Damage(Kind.INDEX, name, MISSING, index.table)
            continue
        _, as_found, is_plain, is_valid, *_ = found[name]
        if not is_valid:
            yield Damage(Kind.INDEX, name, "is invalid", index.table)
        elif not is_plain or as_found != index.columns:
            yield Damage(Kind.INDEX, name, DIFFERENT, index.table)
    for name, (table, _, _, _, has_parts, qualified) in sorted(found.items()):
        if name not in INDEXES:
            yield Damage(Kind.INDEX, qualified, LEFT_OVER, table, has_parts=has_parts)
