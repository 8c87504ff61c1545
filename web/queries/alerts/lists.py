"""Pages of all alerts, filtered."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import alerts, users
from rules.life import is_unattended
from web.auth.identity import Viewer
from web.queries.alerts.rows import AlertRow, is_no_longer_met, rank, select_alerts, to_alert
from web.queries.paging import Cursor, Page, read_from, read_page

MOST_COUNTED = 1000
"""Alerts are counted up to here: beyond, nobody needs to know how many more, and counting costs."""


class AlertStatus(StrEnum):
    """Where alerts are in their life, for filtering."""

    OPEN = "open"
    """Not resolved. The default."""
    UNATTENDED = "unattended"
    """Open, and nobody attends to it."""
    ACKNOWLEDGED = "acknowledged"
    """Open, and somebody attends to it."""
    NO_LONGER_MET = "no_longer_met"
    """Open, while its condition isn't met any more."""
    RESOLVED = "resolved"
    ALL = "all"

    @classmethod
    def _missing_(cls, value: object) -> "AlertStatus | None":
        return cls.OPEN if value == "unresolved" else None  # its name in 0.1


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are asked for.

    Open ones are listed by rank: unattended ones first, those that are no longer met last. Apart from that the newest
    come first: by `triggered_date`, then by id.
    """

    status: AlertStatus = AlertStatus.OPEN
    severity: str | None = None
    type: str | None = None
    tutor: str | None = None
    """A part of the tutor's name, as typed; case doesn't matter."""
    tutor_id: str | None = None

    @property
    def parts(self) -> list[str | None]:
        """The filter in texts, in an order of its own."""
        return [self.status, self.severity, self.type, self.tutor, self.tutor_id]

    @property
    def is_ranked(self) -> bool:
        """Whether the list is by rank first."""
        return self.status is AlertStatus.OPEN


AlertPosition = tuple[Any, ...]
"""An alert's rank, where the list is ranked; when it was triggered, and its id."""
AlertCursor = Cursor[AlertPosition]
AlertsPage = Page[AlertRow, AlertPosition]


@dataclass(frozen=True, slots=True)
class AlertsCount:
    """So many alerts, or (`is_more`) more than that."""

    value: int
    is_more: bool


async def alerts_page(
    conn: AsyncConnection, wanted: AlertFilter, cursor: AlertCursor | None = None, limit: int = 50
) -> AlertsPage:
    """The alerts that pass the filter: the first ones, or those after or before the cursor.

    One statement; two where going backwards has reached the beginning.
    """
    ranks = [rank()] if wanted.is_ranked else []

    async def read(cursor: AlertCursor | None, most: int) -> Sequence[Row[Any]]:
        labelled = [each.label("rank") for each in ranks]
        query = select_alerts(Viewer.ADMIN, *labelled).where(*_conditions(wanted)).limit(most)
        query = read_from(query, cursor, *ranks, alerts.c.triggered_date, alerts.c.id, is_descending=True)
        return list(await conn.execute(query))

    def position_of(row: Row[Any]) -> AlertPosition:
        return (*([row.rank] if ranks else []), row.triggered_at, row.id)

    page = await read_page(read, cursor, limit, position_of)
    return Page(tuple(map(to_alert, page.rows)), page.next, page.previous)


async def count_alerts(conn: AsyncConnection, wanted: AlertFilter) -> AlertsCount:
    """How many alerts pass the filter, counted as far as a person would. One statement."""
    some = select(alerts.c.id).where(*_conditions(wanted)).limit(MOST_COUNTED + 1).subquery()
    found = await conn.scalar(select(func.count()).select_from(some)) or 0
    return AlertsCount(min(found, MOST_COUNTED), is_more=found > MOST_COUNTED)


async def tutors_with_alerts(conn: AsyncConnection, wanted: AlertFilter) -> frozenset[str]:
    """The ids of those who have an alert that passes the filter."""
    query = select(alerts.c.tutor_id).where(*_conditions(wanted)).distinct()
    return frozenset((await conn.scalars(query)).all())


def _conditions(wanted: AlertFilter) -> list[ColumnElement[bool]]:
    conditions = list(_status_conditions(wanted.status))
    if wanted.severity:
        conditions.append(alerts.c.severity == wanted.severity)
    if wanted.type:
        conditions.append(alerts.c.alert_type == wanted.type)
    if wanted.tutor_id:
        conditions.append(alerts.c.tutor_id == wanted.tutor_id)
    if wanted.tutor:
        conditions.append(_is_of_tutor_named(wanted.tutor, is_of_few=wanted.status not in _MANY))
    return conditions


def _is_of_tutor_named(part: str, *, is_of_few: bool) -> ColumnElement[bool]:
    """The condition on the tutor's name: of few alerts each one's tutor is compared, else users are searched first."""
    is_named = users.c.name.icontains(part, autoescape=True)
    if is_of_few:
        return select(is_named).where(users.c.id == alerts.c.tutor_id).scalar_subquery()
    return alerts.c.tutor_id.in_(select(users.c.id).where(is_named))


_MANY = {AlertStatus.RESOLVED, AlertStatus.ALL}
"""Most alerts of all have a status of these."""


def _status_conditions(status: AlertStatus) -> tuple[ColumnElement[bool], ...]:
    match status:
        case AlertStatus.OPEN:
            return (~alerts.c.resolved,)
        case AlertStatus.UNATTENDED:
            return (is_unattended(),)
        case AlertStatus.ACKNOWLEDGED:
            return (~alerts.c.resolved, ~is_unattended())
        case AlertStatus.NO_LONGER_MET:
            return (is_no_longer_met(),)
        case AlertStatus.RESOLVED:
            return (alerts.c.resolved,)
    return ()
