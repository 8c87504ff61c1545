"""Mends what was dropped, replaced or broken since the migrations installed it: functions, triggers, indexes."""

import logging
from collections.abc import Iterable
from dataclasses import replace

import psycopg

from migrations import automation
from migrations.automation import Automation, wait_briefly, when_not_busy
from migrations.indexes import LOCK_WAIT, SETTLING_ROUNDS, Step, steps_by_partition
from migrations.installed import Damage, Kind, find_damage
from migrations.partitions import Partition, find_partitions
from migrations.sql import read_sql

logger = logging.getLogger(__name__)

SETTLE_FILES = {
    "tutorwatch_one_open_alert": "settle_duplicate_alerts",
    "tutorwatch_one_active_insight": "settle_duplicate_insights",
}
"""What ends the duplicates that came while a unique index was away."""

LOOK_AT_EVERYONE = """
INSERT INTO tutorwatch.outbox DEFAULT VALUES;
UPDATE tutorwatch.sweep SET again_after = pg_current_xact_id();
SELECT pg_notify('tutorwatch_changes', '');
"""
"""What was not recorded meanwhile is found by looking at every tutor: at once, and again (see `listener.sweep`) when
whoever is writing now has ended, since replacing a function waits for nobody."""


def plan(connection: psycopg.Connection, damage: Iterable[Damage], *, automation_if_new: bool = True) -> list[Step]:
    """The steps that mend this damage; none for a table, whose rows nothing brings back.

    A trigger that is switched off stays off. One that is missing is created switched off where the others are, or
    where there are no others and `automation_if_new` is false.
    """
    damage = [each for each in damage if each.part.kind is not Kind.TABLE]
    firing = automation.triggers(connection)
    partitions = find_partitions(connection)
    is_off = automation.state_of(firing.values()) is Automation.OFF or not (firing or automation_if_new)
    steps = [
        step
        for each in damage
        for step in _steps(
            each, off=not firing.get((each.part.table, each.part.trigger), not is_off), partitions=partitions
        )
    ]
    if any(each.part.is_recording for each in damage) and not is_off:
        steps.append(Step((LOOK_AT_EVERYONE,)))
    return steps


def _steps(damage: Damage, *, off: bool, partitions: Iterable[Partition]) -> list[Step]:
    part = damage.part
    if part.kind is Kind.FUNCTION:
        revoke = f"REVOKE EXECUTE ON FUNCTION tutorwatch.{part.name} FROM PUBLIC;"
        return [Step((part.statement, revoke))]
    if part.kind is Kind.TRIGGER:
        disable = f"ALTER TABLE {part.table} DISABLE TRIGGER {part.trigger};"
        return [Step((part.statement, disable) if off and part.is_recording else (part.statement,))]
    if theirs := [each for each in partitions if f"public.{each.of}" == part.table]:
        # The parts go with the whole.
        theirs = [replace(each, indexes=frozenset()) for each in theirs]
        drop = Step((f"DROP INDEX IF EXISTS public.{part.name};",))
        return [drop, *steps_by_partition(part.name, part.statement, theirs)]
    settle = (read_sql(SETTLE_FILES[part.name]) + ";",) if part.name in SETTLE_FILES else ()
    drop_at_leisure = f"DROP INDEX CONCURRENTLY IF EXISTS public.{part.name};"
    return [Step((drop_at_leisure, *settle, part.statement), is_concurrent=True)]


def mend(connection: psycopg.Connection, *, automation_if_new: bool = True) -> list[str]:
    """Mends all that can be mended, beside running clients, and returns what was, a line each.

    On a connection in autocommit mode whose role owns the tables. Can be interrupted and run again. Where nothing
    is damaged, it only reads the catalogs.
    """
    damage = find_damage(connection)
    if not damage:
        return []
    for each in damage:
        logger.warning("Mending: %s", each, extra={"action": "mending"})
    for step in plan(connection, damage, automation_if_new=automation_if_new):
        _build_index(connection, step) if step.is_concurrent else _run(connection, step)
    return [str(each) for each in damage if each.part.kind is not Kind.TABLE]


@when_not_busy
def _run(connection: psycopg.Connection, step: Step) -> None:
    with connection.transaction():
        wait_briefly(connection)
        for statement in step.statements:
            connection.execute(statement.encode())


def _build_index(connection: psycopg.Connection, step: Step) -> None:
    connection.execute("SET lock_timeout = 0")  # a concurrent build waits for old transactions, blocking nobody
    for round_number in range(1, SETTLING_ROUNDS + 1):
        try:
            for statement in step.statements:
                connection.execute(statement.encode())
        except psycopg.errors.UniqueViolation:
            if round_number == SETTLING_ROUNDS:
                raise
            logger.warning("New duplicates came in while an index was built; settling them too")
        else:
            break
    connection.execute(f"SET lock_timeout = '{LOCK_WAIT}'".encode())
