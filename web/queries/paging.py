"""Lists page by page, there and back. A page is found by the cursor where it begins or ends, not by its number:
what is added or gone meanwhile moves nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal, tuple_

Row = TypeVar("Row")
Position = TypeVar("Position", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Cursor(Generic[Position]):
    """A cursor in a list: a page begins after it; one that is reached backwards ends before it."""

    at: Position
    """The values by which the list is ordered, of the row that stands there, or stood."""
    is_backwards: bool = False


@dataclass(frozen=True)
class Page(Generic[Row, Position]):
    """Some rows of a list; `next` is None on the last page, `previous` on the first."""

    rows: tuple[Row, ...]
    next: Cursor[Position] | None
    previous: Cursor[Position] | None = None


async def read_page(
    read: Callable[[Cursor[Position] | None, int], Awaitable[Sequence[Row]]],
    cursor: Cursor[Position] | None,
    limit: int,
    position_of: Callable[[Row], Position],
) -> Page[Row, Position]:
    """The first page, or the one at the cursor; `read` reads so many rows from there, in the cursor's direction.

    Reads once; twice where going backwards has reached the beginning, which is then shown as a whole page.
    """
    if cursor and cursor.is_backwards:
        found = await read(cursor, limit + 1)
        if len(found) > limit:
            rows = tuple(reversed(found[:limit]))
            return Page(rows, Cursor(position_of(rows[-1])), Cursor(position_of(rows[0]), is_backwards=True))
        cursor = None
    found = await read(cursor, limit + 1)
    rows = tuple(found[:limit])
    following = Cursor(position_of(rows[-1])) if len(found) > limit else None
    if cursor is None:
        return Page(rows, following)
    return Page(rows, following, Cursor(position_of(rows[0]) if rows else cursor.at, is_backwards=True))


def read_from(
    query: Select[Any],
    cursor: Cursor[Any] | None,
    *columns: ColumnElement[Any],
    is_descending: bool = False,
    is_first_nullable: bool = False,
) -> Select[Any]:
    """The query from the cursor on, in its direction, for a list in the order of these columns.

    Rows whose first column is null, where it may be, count as lower than all others.
    """
    is_upwards = is_descending == (cursor is not None and cursor.is_backwards)
    order = [column.asc() if is_upwards else column.desc() for column in columns]
    if is_first_nullable:
        order[0] = order[0].nulls_first() if is_upwards else order[0].nulls_last()
    query = query.order_by(*order)
    if cursor is None:
        return query
    return query.where(_lies_beyond(cursor, columns, is_upwards, is_first_nullable))


def _lies_beyond(
    cursor: Cursor[Any], columns: Sequence[ColumnElement[Any]], is_upwards: bool, is_first_nullable: bool
) -> ColumnElement[bool]:
    first, *others = columns
    if is_first_nullable and cursor.at[0] is None:
        among_nulls = first.is_(None) & _compared(others, cursor.at[1:], is_upwards)
        return first.is_not(None) | among_nulls if is_upwards else among_nulls
    beyond = _compared(columns, cursor.at, is_upwards)
    return beyond | first.is_(None) if is_first_nullable and not is_upwards else beyond


def _compared(columns: Sequence[ColumnElement[Any]], at: Sequence[Any], is_upwards: bool) -> ColumnElement[bool]:
    row = tuple_(*columns)
    here = tuple_(*(literal(value, column.type) for value, column in zip(at, columns, strict=True)))
    return row > here if is_upwards else row < here
