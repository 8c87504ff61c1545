"""The switch: whether changes are recorded. It takes no lock on the platform's tables."""

from datetime import datetime

import psycopg

from database.recording import (
    BROKEN_TRIGGERS,
    OFF_SINCE,
    REEVALUATE_ALL,
    SWITCH_OFF,
    SWITCH_ON,
    Automation,
    automation_of,
)


def off_since(connection: psycopg.Connection) -> datetime | None:
    """Return when the switch was turned off; None if it is on. Raises psycopg's UndefinedTable before `migrate`."""
    row = connection.execute(OFF_SINCE.encode()).fetchone()
    return row[0] if row else None


def status(connection: psycopg.Connection) -> Automation:
    """The state of automation: by the switch, and by whether every trigger records what it should."""
    try:
        since = off_since(connection)
    except psycopg.errors.UndefinedTable:
        return Automation.MISSING
    broken = connection.execute(BROKEN_TRIGGERS.encode()).fetchall()
    return automation_of(since, is_all_recorded=not broken)


def switch(connection: psycopg.Connection, *, on: bool) -> None:
    """Turns it on or off for every statement that fires a trigger from now on; on a connection in autocommit mode.

    Turning it on has all tutors re-evaluated: at once, because nothing was recorded before, and again when all
    transactions that run now have ended, because they may have written before it was on.
    """
    connection.execute((SWITCH_ON if on else SWITCH_OFF).encode())
    if on:
        reevaluate_all(connection)


def reevaluate_all(connection: psycopg.Connection) -> None:
    """Have all tutors re-evaluated, for what may have gone unrecorded."""
    connection.execute(REEVALUATE_ALL.encode())
