"""One alert, and the alerts of one tutor or session."""

from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import alerts, consumed_sessions
from web.auth.identity import Viewer
from web.queries.alerts.rows import AlertRow, is_no_longer_met, newest_first, select_alerts, to_alert
from web.queries.expressions import at_most


async def alert_by_id(conn: AsyncConnection, alert_id: UUID) -> AlertRow | None:
    """The alert as admins see it; None if there is none."""
    row = (await conn.execute(select_alerts(Viewer.ADMIN).where(alerts.c.id == alert_id))).one_or_none()
    return None if row is None else to_alert(row)


async def open_alerts_of(conn: AsyncConnection, tutor_id: str, *, viewer: Viewer, limit: int) -> tuple[AlertRow, ...]:
    """A tutor's open alerts: those that are no longer met last, critical ones first, then newest."""
    query = (
        select_alerts(viewer)
        .where(alerts.c.tutor_id == tutor_id, ~alerts.c.resolved)
        .order_by(is_no_longer_met(), alerts.c.severity.desc(), *newest_first())
        .limit(at_most(limit))
    )
    return tuple(to_alert(row) for row in await conn.execute(query))


async def resolved_alerts_of(
    conn: AsyncConnection, tutor_id: str, *, viewer: Viewer, limit: int
) -> tuple[AlertRow, ...]:
    """A tutor's resolved alerts, latest resolved first."""
    resolved_at = func.coalesce(alerts.c.resolved_at, alerts.c.triggered_date)
    query = (
        select_alerts(viewer)
        .where(alerts.c.tutor_id == tutor_id, alerts.c.resolved)
        .order_by(resolved_at.desc(), alerts.c.id.desc())
        .limit(at_most(limit))
    )
    return tuple(to_alert(row) for row in await conn.execute(query))


async def alerts_resting_on(
    conn: AsyncConnection, tutor_id: str, session_id: UUID, *, viewer: Viewer
) -> tuple[AlertRow, ...]:
    """The tutor's alerts, of whatever status, that the session was ever evidence of, newest first."""
    counted = select(consumed_sessions.c.alert_id).where(consumed_sessions.c.session_id == session_id).scalar_subquery()
    query = (
        select_alerts(viewer)
        .where(alerts.c.tutor_id == tutor_id, or_(alerts.c.session_id == session_id, alerts.c.id.in_(counted)))
        .order_by(*newest_first())
        .limit(at_most(50))
    )
    return tuple(to_alert(row) for row in await conn.execute(query))
