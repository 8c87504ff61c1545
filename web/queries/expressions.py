"""Expressions over the platform's columns that several pages use."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Numeric,
    case,
    func,
    literal_column,
)

from database.tables import NaiveUtc


def at_most(rows: int) -> ColumnElement[int]:
    """A LIMIT that the server knows when it plans, for queries whose values hardly matter for their plan.

    With a parameter it would expect a tenth of all rows, take any plan made for all values for a bad one, and plan anew
    each time: for sessions with all that is joined to them that took six times as long as reading them.
    """
    return literal_column(str(rows), Integer)


def held_at(session: FromClause) -> ColumnElement[datetime]:
    """When a session took place, or was to take place: what sessions are sorted by.

    The same expression as the rules' date of a completed session, so that it finds the same index.
    """
    return func.coalesce(session.c.completed_at, session.c.scheduled_start, type_=NaiveUtc)


_EARLIEST = literal_column("timestamp '0001-01-01'", DateTime)
_LATEST = literal_column("timestamp '9999-12-31'", DateTime)


def shown_at(instant: ColumnElement[Any]) -> ColumnElement[datetime]:
    """An instant within what Python can hold; a client may have written 'infinity'."""
    bounded = func.least(func.greatest(instant, _EARLIEST), _LATEST, type_=NaiveUtc)
    return case((instant.is_not(None), bounded))


_FIRST_DAY = literal_column("date '0001-01-01'", Date)
_LAST_DAY = literal_column("date '9999-12-31'", Date)


def shown_on(day: ColumnElement[Any]) -> ColumnElement[date]:
    """A day within what Python can hold, in the same way."""
    bounded = func.least(func.greatest(day, _FIRST_DAY), _LAST_DAY, type_=Date)
    return case((day.is_not(None), bounded))


def number(figure: ColumnElement[Any]) -> ColumnElement[Any]:
    """A figure; none where a client wrote NaN into a numeric column."""
    if not isinstance(figure.type, Numeric):
        return figure
    return func.nullif(figure, literal_column("'NaN'", Numeric), type_=Numeric)
