"""Makes a database have what the manifest says: installs it, and repairs what was dropped, replaced or broken since."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import psycopg

from migrations import indexes
from migrations.indexes import Step
from migrations.installed import LEFT_OVER, Damage, Kind, find_damage
from migrations.locks import change_briefly
from migrations.manifest import FUNCTIONS, HISTORY, INDEXES, VIEWS
from migrations.partitions import Partition, find_partitions

logger = logging.getLogger(__name__)


def plan(connection: psycopg.Connection, *, with_removals: bool = True) -> tuple[list[Damage], list[Step]]:
    """The damage that can be repaired (a table's rows can't), and the steps that repair it.

    `with_removals`: also removes what an older version left behind, which its services may still need, and installs
    what needs the newest revision.
    """
    damage = [
        each
        for each in find_damage(connection)
        if each.kind is not Kind.TABLE
        and (with_removals or (each.problem != LEFT_OVER and not (each.kind is Kind.TRIGGER and each.table == HISTORY)))
    ]
    return damage, list(_steps(damage, find_partitions(connection)))


def _steps(damage: Sequence[Damage], partitions: Iterable[Partition]) -> Iterator[Step]:
    """Yield first what triggers use, then what records, then what only makes it fast; removals last."""
    wanted = [each for each in damage if each.problem != LEFT_OVER]
    sequences = [each.name for each in wanted if each.kind is Kind.SEQUENCE]
    if sequences:
        yield Step(tuple(f"CREATE SEQUENCE IF NOT EXISTS tutorwatch.{name};" for name in sequences))
    views = [each.name for each in wanted if each.kind is Kind.VIEW]
    if views:
        yield Step(tuple(VIEWS[name] for name in views))
    functions = [each.name for each in wanted if each.kind is Kind.FUNCTION]
    if functions:
        revoke = "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tutorwatch FROM PUBLIC;"
        yield Step((*(FUNCTIONS[name].sql for name in functions), revoke))
    on_tables = sorted((each for each in damage if each.kind is Kind.TRIGGER), key=lambda each: each.table)
    for table, group in groupby(on_tables, lambda each: each.table):
        on_table = list(group)
        removes = all(each.problem == LEFT_OVER for each in on_table)
        yield Step(tuple(_trigger_statements(on_table)), table, is_removal=removes)
    for index in (each.name for each in wanted if each.kind is Kind.INDEX):
        yield from indexes.build(INDEXES[index], partitions)
    left_over = [each for each in damage if each.problem == LEFT_OVER]
    for each in left_over:
        if each.kind is Kind.INDEX:
            yield indexes.drop(each.name, each.table, has_parts=each.has_parts)
    gone = [f"DROP FUNCTION IF EXISTS tutorwatch.{each.name};" for each in left_over if each.kind is Kind.FUNCTION]
    if gone:
        yield Step(tuple(gone), is_removal=True)


def _trigger_statements(damage: Iterable[Damage]) -> Iterator[str]:
    for each in damage:
        if each.trigger:
            yield from each.trigger.statements
        else:
            yield f"DROP TRIGGER IF EXISTS {each.name} ON {each.table};"


def repair(connection: psycopg.Connection, *, with_removals: bool = True) -> list[Damage]:
    """Installs and repairs all that can be, beside running clients, and returns what that was.

    On a connection in autocommit mode whose role owns the tables. Can be interrupted and run again. Where nothing
    is damaged, it only reads the catalogs.
    """
    damage, steps = plan(connection, with_removals=with_removals)
    for step in steps:
        run(connection, step)
    return damage


def run(connection: psycopg.Connection, step: Step) -> None:
    """Carries out a step."""
    if not step.is_concurrent:
        change_briefly(connection, step.statements, table=step.table)
        return
    connection.execute("SET lock_timeout = 0")  # a concurrent build waits for old transactions, blocking nobody
    for statement in step.statements:
        if statement.startswith("CREATE"):
            logger.info("Building an index: %s", statement, extra={"action": "building_index"})
        connection.execute(statement.encode())
