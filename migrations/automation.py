"""The switch: enables and disables the triggers that record changes."""

from collections.abc import Collection
from enum import StrEnum

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


def triggers(connection: psycopg.Connection) -> dict[tuple[str, str], bool]:
    """Of each of our triggers that exists, by table and name: whether it fires (for clients, not only for replicas)."""
    rows = connection.execute(
        "SELECT c.relname, tgname, tgenabled IN ('O', 'A') FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid"
        " WHERE c.relnamespace = to_regnamespace('public') AND c.relname = ANY(%s) AND tgname = ANY(%s)",
        [list(TRIGGERS), list(ROW_EVENTS)],
    )
    return {(table, name): is_on for table, name, is_on in rows if name in TRIGGERS[table]}


def state_of(are_on: Collection[bool]) -> Automation:
    """What these triggers amount to."""
    if not are_on:
        return Automation.MISSING
    if all(are_on):
        return Automation.ON
    return Automation.PARTLY if any(are_on) else Automation.OFF


def status(connection: psycopg.Connection) -> Automation:
    """Reads the triggers' state from the catalogs."""
    found = triggers(connection)
    if len(found) < sum(map(len, TRIGGERS.values())):
        return Automation.MISSING
    return state_of(found.values())


def switch(connection: psycopg.Connection, *, on: bool) -> None:
    """Enables or disables all triggers; on a connection in autocommit mode.

    Switching on puts every tutor in the outbox, together with the last table, because nothing was recorded before. Each
    table is a short transaction of its own (two locks at once could deadlock with a client) that is
    tried again when the table is busy, for up to a minute: then psycopg's LockNotAvailable is raised.
    """
    *tables, last = TRIGGERS
    for table in tables:
        _switch_table(connection, table, on=on)
    _switch_table(connection, last, on=on, then_look_at_everyone=on)


when_not_busy = retry(
    retry=retry_if_exception_type(psycopg.errors.LockNotAvailable),
    wait=wait_random_exponential(multiplier=0.2, max=2),
    stop=stop_after_delay(60),
    reraise=True,
)
"""Tries a short change of a busy table again, for up to a minute."""


@when_not_busy
def _switch_table(connection: psycopg.Connection, table: str, *, on: bool, then_look_at_everyone: bool = False) -> None:
    action = sql.SQL("ENABLE" if on else "DISABLE")
    with connection.transaction():
        wait_briefly(connection)
        for trigger in TRIGGERS[table]:
            connection.execute(
                sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(
                    sql.Identifier("public", table), action, sql.Identifier(trigger)
                )
            )
        if then_look_at_everyone:
            connection.execute("INSERT INTO tutorwatch.outbox DEFAULT VALUES")
            connection.execute("SELECT pg_notify('tutorwatch_changes', '')")


def wait_briefly(connection: psycopg.Connection) -> None:
    """Bounds how long the transaction waits for a table, since clients queue up behind it meanwhile."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT))
