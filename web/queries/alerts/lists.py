"""Pages of all alerts, filtered."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Row, Select, String, any_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform import NOTHING_MISSING, Missing
from database.tables import alerts
from rules.life import is_unattended
from web.auth.identity import Viewer
from web.queries.alerts.rows import AlertRow, is_no_longer_met, rank, select_alerts, to_alert
from web.queries.paging import Cursor, Page, read_from, read_page

MOST_COUNTED = 10_000
"""Alerts are counted up to here: to count two million resolved ones takes half a second, so many of them 15 ms."""
MOST_OPEN_COUNTED = 100_000
"""The same of open ones, which few of all are: 8,000 of them take 3 ms."""


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
    come first: by `triggered_date`, then by id. Of resolved ones those come first that were resolved last.
    """

    status: AlertStatus = AlertStatus.OPEN
    severity: str | None = None
    type: str | None = None
    tutor: str | None = None
    """What was typed to find tutors."""
    tutor_id: str | None = None
    found: tuple[str, ...] | None = None
    """The ids of those whom `tutor` finds, in the directory of tutors; None where nothing was typed."""

    @property
    def parts(self) -> list[str | None]:
        """The filter in texts, in an order of its own."""
        return [self.status, self.severity, self.type, self.tutor, self.tutor_id]

    @property
    def is_ranked(self) -> bool:
        """Whether the list is by rank first."""
        return self.status is AlertStatus.OPEN

    @property
    def is_by_resolution(self) -> bool:
        """Whether the latest resolved come first; those that another client didn't date come last."""
        return self.status is AlertStatus.RESOLVED


AlertPosition = tuple[Any, ...]
"""An alert's rank, where the list is ranked; when it was triggered, and its id."""
AlertCursor = Cursor[AlertPosition]
AlertsPage = Page[AlertRow, AlertPosition]


@dataclass(frozen=True, slots=True)
class AlertsCount:
    """So many alerts, or (`is_more`) more than that; `before` says how many come before the page in the list.

    `before` is None where they are too many to be counted.
    """

    value: int
    is_more: bool
    before: int | None = 0


async def alerts_page(
    conn: AsyncConnection,
    wanted: AlertFilter,
    cursor: AlertCursor | None = None,
    limit: int = 50,
    *,
    missing: Missing = NOTHING_MISSING,
) -> AlertsPage:
    """The alerts that pass the filter: the first ones, or those after or before the cursor.

    One statement; two where going backwards has reached the beginning.
    """

    async def read(cursor: AlertCursor | None, most: int) -> Sequence[Row[Any]]:
        found = select(alerts.c.id).where(*_conditions(wanted)).limit(most)
        # Limited before anything is joined: to rank them, all open alerts are read.
        listed = _from(found, cursor, wanted).subquery("listed")
        labelled = [rank().label("rank")] if wanted.is_ranked else []
        query = select_alerts(Viewer.ADMIN, missing, *labelled, among=listed)
        return list(await conn.execute(_from(query, cursor, wanted)))

    def position_of(row: Row[Any]) -> AlertPosition:
        at = row.resolved_at if wanted.is_by_resolution else row.triggered_at
        return (*([row.rank] if wanted.is_ranked else []), at, row.id)

    page = await read_page(read, cursor, limit, position_of)
    return Page(tuple(map(to_alert, page.rows)), page.next, page.previous)


async def count_alerts(conn: AsyncConnection, wanted: AlertFilter, previous: AlertCursor | None = None) -> AlertsCount:
    """How many alerts pass the filter, and how many of them lie before the page that has this `previous` cursor.

    Counted as far as that is quick. One statement.
    """
    most = MOST_COUNTED if wanted.status in _MANY else MOST_OPEN_COUNTED
    some = select(alerts.c.id).where(*_conditions(wanted)).limit(most + 1)
    counts = [select(func.count()).select_from(some.subquery()).scalar_subquery()]
    if previous:
        earlier = _from(some, Cursor(previous.at, is_backwards=True), wanted)
        counts.append(select(func.count()).select_from(earlier.order_by(None).subquery()).scalar_subquery())
    found, *before = (await conn.execute(select(*counts))).one()
    return AlertsCount(
        min(found, most), is_more=found > most, before=None if before and before[0] > most else sum(before)
    )


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
    if wanted.found is not None:
        conditions.append(alerts.c.tutor_id == any_(literal(list(wanted.found), ARRAY(String))))
    return conditions


def _from(query: Select[Any], cursor: AlertCursor | None, wanted: AlertFilter) -> Select[Any]:
    """The query in the order of the list, from the cursor on."""
    by = alerts.c.resolved_at if wanted.is_by_resolution else alerts.c.triggered_date
    order = (*([rank()] if wanted.is_ranked else []), by, alerts.c.id)
    return read_from(query, cursor, *order, is_descending=True, is_first_nullable=wanted.is_by_resolution)


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
