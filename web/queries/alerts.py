"""Reads alerts: the critical ones that need somebody, pages of all of them, and those of one tutor or session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Row, Select, and_, cast, func, literal_column, null, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import alert_resolutions, alerts, consumed_sessions, users
from rules.life import is_its_resolution
from web.auth.identity import Viewer
from web.http.inputs import LONGEST_TEXT
from web.queries.expressions import LONGEST_LINE, LONGEST_PARAGRAPH, at_most, cut, shown_at
from web.queries.paging import Cursor, Page, read_from, read_page
from web.queries.texts import WholeTexts, whole_texts

CRITICAL_TUTORS = 5
"""How many tutors the summary of critical alerts shows (specification, "Dashboard")."""

MOST_COUNTED = 1000
"""Alerts are counted up to here: beyond, nobody needs to know how many more, and counting costs."""


class AlertStatus(StrEnum):
    """Where alerts are in their life, for filtering."""

    UNRESOLVED = "unresolved"
    """Open or acknowledged: what still needs somebody. The default."""
    OPEN = "open"
    """Nobody has acknowledged it yet."""
    ACKNOWLEDGED = "acknowledged"
    """Acknowledged, not resolved."""
    RESOLVED = "resolved"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are asked for. Alerts are listed newest first: by `triggered_date`, then by id."""

    status: AlertStatus = AlertStatus.UNRESOLVED
    severity: str | None = None
    type: str | None = None
    tutor: str | None = None
    """A part of the tutor's name, as typed; case doesn't matter."""
    tutor_id: str | None = None

    @property
    def parts(self) -> list[str | None]:
        """The filter in texts, in an order of its own."""
        return [self.status, self.severity, self.type, self.tutor, self.tutor_id]


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert with the names of those who acted on it; a name is None where that person is gone.

    For a tutor all names are None, and so are `action_taken` and `outcome`.
    """

    id: UUID
    tutor_id: str
    tutor_name: str
    alert_type: str
    severity: str
    title: str
    description: str
    triggered_at: datetime
    session_id: UUID | None
    acknowledged: bool
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    resolved: bool
    resolved_by: str | None
    resolved_at: datetime | None
    action_taken: str | None
    outcome: str | None
    message_to_tutor: str | None
    """What whoever resolved it wrote for the tutor."""

    @property
    def status(self) -> str:
        """Where the alert is in its life: open, acknowledged or resolved."""
        if self.resolved:
            return "resolved"
        return "acknowledged" if self.acknowledged else "open"

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        of_alert = ("title", "description", "acknowledged_by", "resolved_by", "action_taken", "message_to_tutor")
        return whole_texts(self, "alert", self.id, of_alert) | whole_texts(self, "user", self.tutor_id, ("tutor_name",))


AlertPosition = tuple[datetime, UUID]
"""When an alert was triggered, and its id."""
AlertCursor = Cursor[AlertPosition]
AlertsPage = Page[AlertRow, AlertPosition]
"""Some alerts, newest first."""


@dataclass(frozen=True, slots=True)
class AlertsCount:
    """So many alerts, or (`is_more`) more than that."""

    value: int
    is_more: bool


@dataclass(frozen=True, slots=True)
class CriticalTutor:
    """A tutor with open critical alerts: how many, and the newest."""

    tutor_id: str
    name: str
    alert: AlertRow
    critical_count: int

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "user", self.tutor_id, ("name",))


@dataclass(frozen=True, slots=True)
class CriticalSummary:
    """The critical alerts that aren't resolved as of `read_at`: all counted, some tutors shown, newest alert first."""

    total: int
    tutor_count: int
    tutors: tuple[CriticalTutor, ...]
    read_at: datetime


async def critical_summary(conn: AsyncConnection, now: datetime) -> CriticalSummary:
    """The tutors with unresolved critical alerts, at most five. One statement."""
    rows = list(await conn.execute(_critical_query()))
    tutors = tuple(CriticalTutor(row.tutor_id, row.tutor_name, _to_alert(row), row.critical_count) for row in rows)
    total, tutor_count = (rows[0].total, rows[0].tutor_count) if rows else (0, 0)
    return CriticalSummary(total=total, tutor_count=tutor_count, tutors=tutors, read_at=now)


async def alerts_page(
    conn: AsyncConnection, wanted: AlertFilter, cursor: AlertCursor | None = None, limit: int = 50
) -> AlertsPage:
    """The alerts that pass the filter, newest first: the first ones, or those after or before the cursor.

    One statement; two where going backwards has reached the beginning.
    """

    async def read(cursor: AlertCursor | None, most: int) -> Sequence[AlertRow]:
        query = _alerts(Viewer.ADMIN).where(*_conditions(wanted)).limit(most)
        query = read_from(query, cursor, alerts.c.triggered_date, alerts.c.id, is_descending=True)
        return [_to_alert(row) for row in await conn.execute(query)]

    return await read_page(read, cursor, limit, lambda row: (row.triggered_at, row.id))


async def alert_by_id(conn: AsyncConnection, alert_id: UUID) -> AlertRow | None:
    """The alert as admins see it; None if there is none."""
    row = (await conn.execute(_alerts(Viewer.ADMIN).where(alerts.c.id == alert_id))).one_or_none()
    return None if row is None else _to_alert(row)


async def count_alerts(conn: AsyncConnection, wanted: AlertFilter) -> AlertsCount:
    """How many alerts pass the filter, counted as far as a person would. One statement."""
    some = select(alerts.c.id).where(*_conditions(wanted)).limit(MOST_COUNTED + 1).subquery()
    found = await conn.scalar(select(func.count()).select_from(some)) or 0
    return AlertsCount(min(found, MOST_COUNTED), is_more=found > MOST_COUNTED)


async def tutors_with_alerts(conn: AsyncConnection, wanted: AlertFilter) -> frozenset[str]:
    """The ids of those who have an alert that passes the filter."""
    query = select(alerts.c.tutor_id).where(*_conditions(wanted)).distinct()
    return frozenset((await conn.scalars(query)).all())


async def open_alerts_of(conn: AsyncConnection, tutor_id: str, *, viewer: Viewer, limit: int) -> tuple[AlertRow, ...]:
    """A tutor's alerts that aren't resolved: critical first, then newest."""
    query = (
        _alerts(viewer)
        .where(alerts.c.tutor_id == tutor_id, ~alerts.c.resolved)
        .order_by(alerts.c.severity.desc(), *_newest_first())
        .limit(at_most(limit))
    )
    return tuple(_to_alert(row) for row in await conn.execute(query))


async def resolved_alerts_of(
    conn: AsyncConnection, tutor_id: str, *, viewer: Viewer, limit: int
) -> tuple[AlertRow, ...]:
    """A tutor's resolved alerts, latest resolved first."""
    resolved_at = func.coalesce(alerts.c.resolved_at, alerts.c.triggered_date)
    query = (
        _alerts(viewer)
        .where(alerts.c.tutor_id == tutor_id, alerts.c.resolved)
        .order_by(resolved_at.desc(), alerts.c.id.desc())
        .limit(at_most(limit))
    )
    return tuple(_to_alert(row) for row in await conn.execute(query))


async def alerts_resting_on(
    conn: AsyncConnection, tutor_id: str, session_id: UUID, *, viewer: Viewer
) -> tuple[AlertRow, ...]:
    """The tutor's alerts, of whatever status, that the session was ever evidence of, newest first."""
    counted = select(consumed_sessions.c.alert_id).where(consumed_sessions.c.session_id == session_id).scalar_subquery()
    query = (
        _alerts(viewer)
        .where(alerts.c.tutor_id == tutor_id, or_(alerts.c.session_id == session_id, alerts.c.id.in_(counted)))
        .order_by(*_newest_first())
        .limit(at_most(50))
    )
    return tuple(_to_alert(row) for row in await conn.execute(query))


_TUTOR = users.alias("tutor")
_ACKNOWLEDGER = users.alias("acknowledger")
_RESOLVER = users.alias("resolver")


def _alerts(viewer: Viewer, *more: ColumnElement[Any]) -> Select[Any]:
    """Every read of alerts begins here, so that it is decided in one place what a tutor may see of them."""
    joined = alerts.join(_TUTOR, _TUTOR.c.id == alerts.c.tutor_id).outerjoin(alert_resolutions, is_its_resolution())
    if viewer is Viewer.ADMIN:
        joined = joined.outerjoin(_ACKNOWLEDGER, _ACKNOWLEDGER.c.id == alerts.c.acknowledged_by)
        joined = joined.outerjoin(_RESOLVER, _RESOLVER.c.id == alert_resolutions.c.resolved_by)
    return select(
        alerts.c.id,
        alerts.c.tutor_id,
        cut(_TUTOR.c.name, LONGEST_LINE).label("tutor_name"),
        alerts.c.alert_type,
        alerts.c.severity,
        cut(alerts.c.title, LONGEST_LINE).label("title"),
        cut(alerts.c.description, LONGEST_PARAGRAPH).label("description"),
        shown_at(alerts.c.triggered_date).label("triggered_at"),
        alerts.c.session_id,
        alerts.c.acknowledged,
        _private(cut(_ACKNOWLEDGER.c.name, LONGEST_LINE), viewer).label("acknowledged_by"),
        shown_at(alerts.c.acknowledged_at).label("acknowledged_at"),
        alerts.c.resolved,
        _private(cut(_RESOLVER.c.name, LONGEST_LINE), viewer).label("resolved_by"),
        shown_at(alerts.c.resolved_at).label("resolved_at"),
        _private(cut(alerts.c.action_taken, LONGEST_TEXT), viewer).label("action_taken"),
        _private(alert_resolutions.c.outcome, viewer).label("outcome"),
        cut(alert_resolutions.c.message_to_tutor, LONGEST_TEXT).label("message_to_tutor"),
        *more,
    ).select_from(joined)


def _private(column: ColumnElement[Any], viewer: Viewer) -> ColumnElement[Any]:
    """What admins write for each other: the column for them, and for a tutor NULL in its place."""
    return column if viewer is Viewer.ADMIN else cast(null(), column.type)


@cache
def _critical_query() -> Select[Any]:
    """Each tutor's newest critical alert, of the five tutors whose newest is the newest.

    Without parameters, because the server plans anew each time what has some, if their values could make the plan a
    better one: planning took longer than all else.
    """
    is_critical = and_(~alerts.c.resolved, alerts.c.severity == literal_column("'critical'"))
    newest_at = func.max(alerts.c.triggered_date)
    newest = (
        select(
            alerts.c.tutor_id,
            newest_at.label("newest_at"),
            func.count().label("critical_count"),
            func.sum(func.count().cast(Integer)).over().label("total"),  # of bigint it would be numeric, and slower
            func.count().over().label("tutor_count"),
        )
        .where(is_critical)
        .group_by(alerts.c.tutor_id)
        .order_by(newest_at.desc(), alerts.c.tutor_id)
        .limit(at_most(CRITICAL_TUTORS))
        .subquery("newest")  # limited before anything is joined: all that comes so far from one index
    )
    return (
        _alerts(Viewer.ADMIN, newest.c.critical_count, newest.c.total, newest.c.tutor_count)
        .join(newest, and_(alerts.c.tutor_id == newest.c.tutor_id, alerts.c.triggered_date == newest.c.newest_at))
        .where(is_critical)
        .ext(distinct_on(newest.c.newest_at, newest.c.tutor_id))  # who may have two of the same instant
        .order_by(newest.c.newest_at.desc(), newest.c.tutor_id, alerts.c.id.desc())
    )


def _conditions(wanted: AlertFilter) -> list[ColumnElement[bool]]:
    conditions = list(_status_conditions(wanted.status))
    if wanted.severity:
        conditions.append(alerts.c.severity == wanted.severity)
    if wanted.type:
        conditions.append(alerts.c.alert_type == wanted.type)
    if wanted.tutor_id:
        conditions.append(alerts.c.tutor_id == wanted.tutor_id)
    if wanted.tutor:
        conditions.append(_is_of_tutor_named(wanted.tutor, is_of_few=wanted.status in _NOT_RESOLVED))
    return conditions


def _is_of_tutor_named(part: str, *, is_of_few: bool) -> ColumnElement[bool]:
    """The condition on the tutor's name: of few alerts each one's tutor is compared, else users are searched first."""
    is_named = users.c.name.icontains(part, autoescape=True)
    if is_of_few:
        return select(is_named).where(users.c.id == alerts.c.tutor_id).scalar_subquery()
    return alerts.c.tutor_id.in_(select(users.c.id).where(is_named))


_NOT_RESOLVED = {AlertStatus.UNRESOLVED, AlertStatus.OPEN, AlertStatus.ACKNOWLEDGED}
"""Few alerts of all have a status of these."""


def _status_conditions(status: AlertStatus) -> tuple[ColumnElement[bool], ...]:
    match status:
        case AlertStatus.UNRESOLVED:
            return (~alerts.c.resolved,)
        case AlertStatus.OPEN:
            return (~alerts.c.resolved, ~alerts.c.acknowledged)
        case AlertStatus.ACKNOWLEDGED:
            return (~alerts.c.resolved, alerts.c.acknowledged)
        case AlertStatus.RESOLVED:
            return (alerts.c.resolved,)
    return ()


def _newest_first() -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return alerts.c.triggered_date.desc(), alerts.c.id.desc()


def _to_alert(row: Row[Any]) -> AlertRow:
    return AlertRow(
        id=row.id,
        tutor_id=row.tutor_id,
        tutor_name=row.tutor_name,
        alert_type=row.alert_type,
        severity=row.severity,
        title=row.title,
        description=row.description,
        triggered_at=row.triggered_at,
        session_id=row.session_id,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=row.acknowledged_at,
        resolved=row.resolved,
        resolved_by=row.resolved_by,
        resolved_at=row.resolved_at,
        action_taken=row.action_taken,
        outcome=row.outcome,
        message_to_tutor=row.message_to_tutor,
    )
