"""Expressions over the platform's columns that several pages use."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    FromClause,
    Integer,
    Numeric,
    Text,
    TypeDecorator,
    and_,
    case,
    cast,
    func,
    literal_column,
    null,
)

from database.column_types import NaiveUtc
from database.platform import Missing
from database.tables import feedback, sessions, subjects, users

LONGEST_LINE = 300
"""Characters of a name, a title or a subject; the platform's columns hold 255."""
LONGEST_PARAGRAPH = 2000
"""Characters of a text of which lists show many; those that Tutorwatch writes have some hundred."""
CUT_MARK = "\N{HORIZONTAL ELLIPSIS}"


class Cut(str):
    """The beginning of a text, with the mark that says so."""

    __slots__ = ()


class CutText(TypeDecorator[str]):
    """A text of which no more than so many characters are shown, and one more read: it tells whether any is left."""

    impl = Text
    cache_ok = True

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def process_result_value(self, value: str | None, _dialect: Dialect) -> str | None:
        """The text, or its beginning."""
        return None if value is None else marked(value, self.most)


def cut(text: ColumnElement[Any], most: int) -> ColumnElement[str]:
    """A client's text as pages show it; every text that somebody else may have written is read by this.

    Clients write what they like: one description of 20 MB would make every list as large, and the process for good.
    The server reads no more of such a text than is asked for.
    """
    return func.left(text, literal_column(str(most + 1), Integer), type_=CutText(most))


def marked(text: str, most: int = LONGEST_LINE) -> str:
    """The text; of a longer one its beginning, as `Cut`."""
    return text if len(text) <= most else Cut(text[:most] + CUT_MARK)


def shown_name(person: FromClause, missing: Missing) -> ColumnElement[str]:
    """What people call somebody with what they are called officially, `Sally (Sarah Chen)`; mostly that is one name."""
    name, preferred = person.c.name, func.trim(person.c.preferred_name, type_=Text)
    if not is_there(users.c.preferred_name, missing):
        return cut(name, LONGEST_LINE)
    differs = and_(preferred != "", preferred != name)
    return cut(case((differs, preferred + " (" + name + ")"), else_=name), LONGEST_LINE)


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


def number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A value; none where a client wrote NaN into a numeric column."""
    if not isinstance(value.type, Numeric):
        return value
    return func.nullif(value, literal_column("'NaN'", Numeric), type_=Numeric)


def count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows meet the condition."""
    return func.count(literal_column("*")).filter(condition)
