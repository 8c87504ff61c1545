"""One alert, and the alerts of one tutor or session."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.column_types import NaiveUtc
from database.platform import NOTHING_MISSING, Missing
from database.tables import alerts, consumed_sessions
from web.auth.identity import Viewer
from web.queries.alerts.rows import (
    AlertRow,
    is_no_longer_met,
    newest_first,
    resolved_when,
    select_alerts,
    to_alert,
)
from web.queries.expressions import at_most
from web.queries.paging import Cursor, Page, read_from, read_page


async def alert_by_id(conn: AsyncConnection, alert_id: UUID, *, missing: Missing = NOTHING_MISSING) -> AlertRow | None:
    """The alert as admins see it; None if there is none."""
    row = (await conn.execute(select_alerts(Viewer.ADMIN, missing).where(alerts.c.id == alert_id))).one_or_none()
    return None if row is None else to_alert(row)


async def open_alerts_of(
    conn: AsyncConnection, tutor_id: str, *, viewer: Viewer, limit: int, missing: Missing = NOTHING_MISSING
) -> tuple[AlertRow, ...]:
    """A tutor's open alerts: those that are no longer met last, critical ones first, then newest."""
    query = (
        select_alerts(viewer, missing)
        .where(alerts.c.tutor_id == tutor_id, ~alerts.c.resolved)
        .order_by(is_no_longer_met(), alerts.c.severity.desc(), *newest_first())
        .limit(at_most(limit))
    )
    return tuple(to_alert(row) for row in await conn.execute(query))


ResolvedPosition = tuple[datetime, UUID]
"""When an alert was resolved, and its id."""
ResolvedPage = Page[AlertRow, ResolvedPosition]


async def resolved_alerts_of(
    conn: AsyncConnection,
    tutor_id: str,
    cursor: Cursor[ResolvedPosition] | None = None,
    *,
    viewer: Viewer,
    limit: int,
    missing: Missing = NOTHING_MISSING,
) -> ResolvedPage:
    """A tutor's resolved alerts, latest resolved first: the first ones, or those beside the cursor.

    One statement; two where going backwards has reached the beginning.
    """

    async def read(cursor: Cursor[ResolvedPosition] | None, most: int) -> Sequence[AlertRow]:
        query = (
            select_alerts(viewer, missing).where(alerts.c.tutor_id == tutor_id, alerts.c.resolved).limit(at_most(most))
        )
        query = read_from(query, cursor, resolved_when(), alerts.c.id, is_descending=True)
        return [to_alert(row) for row in await conn.execute(query)]

    return await read_page(read, cursor, limit, lambda row: (row.resolved_at or row.triggered_at, row.id))


async def alerts_triggered_since(
    conn: AsyncConnection,
    tutor_id: str,
    start: datetime,
    *,
    viewer: Viewer,
    limit: int,
    missing: Missing = NOTHING_MISSING,
) -> tuple[AlertRow, ...]:
    """A tutor's alerts, resolved ones included, that were triggered since then, newest first."""
    query = (
        select_alerts(viewer, missing)
        .where(alerts.c.tutor_id == tutor_id, alerts.c.triggered_date >= literal(start, NaiveUtc))
        .order_by(*newest_first())
        .limit(at_most(limit))
    )
    return tuple(to_alert(row) for row in await conn.execute(query))


async def alerts_resting_on(
    conn: AsyncConnection, tutor_id: str, session_id: UUID, *, viewer: Viewer, missing: Missing = NOTHING_MISSING
) -> tuple[AlertRow, ...]:
    """The tutor's alerts, of whatever status, that the session was ever evidence of, newest first."""
    counted = select(consumed_sessions.c.alert_id).where(consumed_sessions.c.session_id == session_id).scalar_subquery()
    query = (
        select_alerts(viewer, missing)
        .where(alerts.c.tutor_id == tutor_id, or_(alerts.c.session_id == session_id, alerts.c.id.in_(counted)))
        .order_by(*newest_first())
        .limit(at_most(50))
    )
    return tuple(to_alert(row) for row in await conn.execute(query))
