"""The switch: enables and disables the triggers that record changes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import sql
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from migrations.indexes import LOCK_WAIT

ROW_EVENTS = ("tutorwatch_insert", "tutorwatch_update", "tutorwatch_delete", "tutorwatch_truncate")
TRIGGERS = {
    "sessions": ROW_EVENTS,
    "session_audio_metrics": ROW_EVENTS,
    "session_video_metrics": ROW_EVENTS,
    "alerts": ("tutorwatch_update", "tutorwatch_delete", "tutorwatch_truncate"),
}
"""Our triggers, by the platform's table they are on."""


class Automation(StrEnum):
    """Whether changes are recorded; `partly` after an interrupted switch, `missing` before `migrate`."""

    ON = "on"
    OFF = "off"
    PARTLY = "partly on"
    MISSING = "missing"


FIND_TRIGGERS = f"""
    SELECT root.relname, format('%I.%I', nspname, c.relname), tgname, tgenabled IN ('O', 'A')
    FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_class AS root ON root.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid) ELSE c.oid END
    WHERE root.relnamespace = to_regnamespace('public')
      AND root.relname = ANY('{{{",".join(TRIGGERS)}}}') AND tgname = ANY('{{{",".join(ROW_EVENTS)}}}')
"""  # noqa: S608 - constants of ours
"""Reads what `found` takes; to be run without parameters, on any kind of connection."""


def found(rows: Iterable[Sequence[Any]]) -> dict[tuple[str, str], bool]:
    """Of each of our triggers that exists: whether it fires (for clients, not only for replicas).

    By table or partition, as SQL has it (`public.sessions`), and by the trigger's name.
    """
    return {(table, name): is_on for root, table, name, is_on in rows if name in TRIGGERS[root]}


def triggers(connection: psycopg.Connection) -> dict[tuple[str, str], bool]:
    """The same, read from the catalogs."""
    return found(connection.execute(FIND_TRIGGERS.encode()))


def state_of(are_on: Collection[bool]) -> Automation:
    """What these triggers amount to."""
    if not are_on:
        return Automation.MISSING
    if all(are_on):
        return Automation.ON
    return Automation.PARTLY if any(are_on) else Automation.OFF


def status_of(triggers: Mapping[tuple[str, str], bool]) -> Automation:
    """The same, but `missing` where one of a table's own is."""
    if any((f"public.{table}", name) not in triggers for table, names in TRIGGERS.items() for name in names):
        return Automation.MISSING
    return state_of(triggers.values())


def status(connection: psycopg.Connection) -> Automation:
    """Reads the triggers' state from the catalogs."""
    return status_of(triggers(connection))


def switch(connection: psycopg.Connection, *, on: bool) -> None:
    """Enables or disables all triggers; on a connection in autocommit mode.

    Switching on puts every tutor in the outbox, together with the last table, because nothing was recorded before. Each
    table is a short transaction of its own (two locks at once could deadlock with a client) that is
    tried again when the table is busy, for up to a minute: then psycopg's LockNotAvailable is raised.
    """
    *tables, last = [f"public.{table}" for table in TRIGGERS]
    present = triggers(connection)
    partitions = {table for table, _ in present}.difference(tables, [last])
    for table in [*tables, *sorted(partitions), last]:
        names = [name for on_table, name in present if on_table == table]
        _switch_table(connection, table, names, on=on, then_look_at_everyone=on and table == last)


when_not_busy = retry(
    retry=retry_if_exception_type(psycopg.errors.LockNotAvailable),
    wait=wait_random_exponential(multiplier=0.2, max=2),
    stop=stop_after_delay(60),
    reraise=True,
)
"""Tries a short change of a busy table again, for up to a minute."""


@when_not_busy
def _switch_table(
    connection: psycopg.Connection, table: str, names: Iterable[str], *, on: bool, then_look_at_everyone: bool
) -> None:
    action = "ENABLE" if on else "DISABLE"
    with connection.transaction():
        wait_briefly(connection)
        for name in names:
            connection.execute(f"ALTER TABLE {table} {action} TRIGGER {name}".encode())
        if then_look_at_everyone:
            connection.execute("INSERT INTO tutorwatch.outbox DEFAULT VALUES")
            connection.execute("SELECT pg_notify('tutorwatch_changes', '')")


def wait_briefly(connection: psycopg.Connection) -> None:
    """Bounds how long the transaction waits for a table, since clients queue up behind it meanwhile."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT))
