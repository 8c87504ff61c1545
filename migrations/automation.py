"""The switch: whether changes are recorded. It takes no lock on the platform's tables."""

from datetime import datetime
from enum import StrEnum

import psycopg

from database.recording import OFF_SINCE, REEVALUATE_ALL, SWITCH_OFF, SWITCH_ON


class Automation(StrEnum):
    """The states of the switch: changes are recorded or not; `missing` before `migrate`."""

    ON = "on"
    OFF = "off"
    MISSING = "missing"


def off_since(connection: psycopg.Connection) -> datetime | None:
    """Return when the switch was turned off; None if it is on. Raises psycopg's UndefinedTable before `migrate`."""
    row = connection.execute(OFF_SINCE.encode()).fetchone()
    return row[0] if row else None


def status(connection: psycopg.Connection) -> Automation:
    """The state of the switch."""
    try:
        return Automation.OFF if off_since(connection) else Automation.ON
    except psycopg.errors.UndefinedTable:
        return Automation.MISSING


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
