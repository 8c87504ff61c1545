"""Reads the list of all tutors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Row,
    String,
    any_,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import sessions, tutors, users
from rules.measures import Ratio
from web.queries.dashboard import NO_ALERTS, AlertCounts, open_alert_counts
from web.queries.expressions import (
    LONGEST_LINE,
    cut,
)
from web.queries.paging import Cursor, Page, read_from, read_page
from web.queries.platform import tutor_averages


@dataclass(frozen=True, slots=True)
class TutorListRow:
    """A tutor in the list of all; the average is of the last 30 days, None without a scored session."""

    tutor_id: str
    name: str
    average: Decimal | None
    session_count: int
    alerts: AlertCounts


TutorPosition = tuple[str, str]
"""A tutor's name, and their id."""
TutorsPage = Page[TutorListRow, TutorPosition]
"""Some tutors by name."""


async def tutors_page(
    conn: AsyncConnection,
    now: datetime,
    cursor: Cursor[TutorPosition] | None = None,
    *,
    name: str = "",
    limit: int = 50,
) -> TutorsPage:
    """Tutors in the order of their names, those whose name contains `name`: the first ones, or those beside the cursor.

    Three statements; four where going backwards has reached the beginning.
    """

    async def read(cursor: Cursor[TutorPosition] | None, most: int) -> Sequence[Row[Any]]:
        query = select(users.c.id, _BEGINNING.label("beginning"), cut(users.c.name, LONGEST_LINE).label("name"))
        query = query.where(_is_tutor()).limit(most)
        if name:
            query = query.where(users.c.name.icontains(name, autoescape=True))
        return list(await conn.execute(read_from(query, cursor, _BEGINNING, users.c.id)))

    found = await read_page(read, cursor, limit, lambda row: (row.beginning, row.id))
    ids = [row.id for row in found.rows]
    averages, counts = await _averages_of(conn, ids, now), await open_alert_counts(conn, ids)
    rows = tuple(
        TutorListRow(
            tutor_id=row.id,
            name=row.name,
            average=averages[row.id].total / averages[row.id].count if row.id in averages else None,
            session_count=averages[row.id].count if row.id in averages else 0,
            alerts=counts.get(row.id, NO_ALERTS),
        )
        for row in found.rows
    )
    return TutorsPage(rows, found.next, found.previous)


_BEGINNING = func.left(users.c.name, literal_column(str(LONGEST_LINE), Integer), type_=String)
"""What tutors are listed by: it goes into addresses, where a whole name may be too long."""


def _is_tutor() -> ColumnElement[bool]:
    """Whether a user is one of `every_tutor`, for a list of them: most users are students.

    Who teaches is read from tutor to tutor along an index of the sessions, instead of looking for each student's.
    """
    taught = select(func.min(sessions.c.tutor_id).label("id")).cte("taught", recursive=True)
    following = select(func.min(sessions.c.tutor_id)).where(sessions.c.tutor_id > taught.c.id).scalar_subquery()
    taught = taught.union_all(select(following).where(taught.c.id.is_not(None)))
    return or_(
        users.c.role == "tutor",
        users.c.id.in_(select(tutors.c.user_id)),
        users.c.id.in_(select(taught.c.id)),
    )


async def _averages_of(conn: AsyncConnection, tutor_ids: Sequence[str], now: datetime) -> Mapping[str, Ratio]:
    return await tutor_averages(conn, now, sessions.c.tutor_id == any_(literal(list(tutor_ids), ARRAY(String))))
