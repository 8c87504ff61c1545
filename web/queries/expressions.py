"""Expressions over the platform's columns that several pages use."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Numeric,
    case,
    cast,
    func,
    literal_column,
    null,
)

from database.platform import Missing
from database.tables import NaiveUtc, feedback, sessions, subjects


def if_there(column: Column[Any], missing: Missing) -> ColumnElement[Any]:
    """The column; NULL where the platform hasn't got it."""
    return column if is_there(column, missing) else cast(null(), column.type)


def is_there(column: Column[Any], missing: Missing) -> bool:
    """Whether the platform has the column."""
    return not missing.lacks(column.table.name, column.name)


def with_subject(joined: FromClause, missing: Missing) -> FromClause:
    """Sessions with their subjects, where the platform has some."""
    if not is_there(subjects.c.id, missing):
        return joined
    return joined.outerjoin(subjects, subjects.c.id == sessions.c.subject_id)


def with_feedback(joined: FromClause, missing: Missing) -> FromClause:
    """Sessions with their students' ratings, where the platform keeps some."""
    if not is_there(feedback.c.session_id, missing):
        return joined
    return joined.outerjoin(feedback, feedback.c.session_id == sessions.c.id)


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
