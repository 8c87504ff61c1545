"""The audit trail is read along an index, whatever is asked for."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.platform import Platform
from tests.support.statements import explained, nodes, watched
from web.auth.audit import Action
from web.queries import audit_page
from web.queries.audit import AuditCursor, AuditFilter, AuditOutcome

_FILL = b"""
    INSERT INTO users (id, email, name, role)
    SELECT 'user-' || n, 'user-' || n || '@example.test', 'User ' || n, 'tutor' FROM generate_series(1, 2000) AS n;
    INSERT INTO tutorwatch.audit_trail (at, action, outcome, actor, user_id)
    SELECT timestamptz '2026-11-29 12:00Z' - n * interval '10 minutes',
           (ARRAY['sign_in', 'sign_out', 'alert_resolved', 'note_added'])[1 + n % 4],
           CASE WHEN n % 50 = 0 THEN 'refused' ELSE 'done' END, 'user-' || n % 500, 'user-' || n % 2000
    FROM generate_series(1, 40000) AS n;
    ANALYZE users, tutorwatch.audit_trail;
"""
LATER = AuditCursor((datetime(2026, 8, 1, tzinfo=UTC), 20_000))


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        pytest.param(AuditFilter(), {"audit_trail_at"}, id="all"),
        pytest.param(AuditFilter(action=Action.NOTE_ADDED), {"audit_trail_action"}, id="action"),
        pytest.param(AuditFilter(action=Action.AUDIT_EXPORTED), {"audit_trail_action"}, id="action that is rare"),
        pytest.param(AuditFilter(outcome=AuditOutcome.REFUSED), {"audit_trail_refused"}, id="refused"),
        pytest.param(AuditFilter(outcome=AuditOutcome.DONE), {"audit_trail_at"}, id="done"),
        pytest.param(AuditFilter(person="user-77"), {"audit_trail_actor", "audit_trail_user"}, id="person"),
        pytest.param(AuditFilter(first_day=date(2026, 6, 1), last_day=date(2026, 6, 2)), {"audit_trail_at"}, id="days"),
    ],
)
@pytest.mark.parametrize("place", [pytest.param(None, id="first page"), pytest.param(LATER, id="later page")])
async def test_each_filter_follows_an_index(
    wanted: AuditFilter,
    indexes: set[str],
    place: AuditCursor | None,
    conn: AsyncConnection,
    engine: AsyncEngine,
    platform: Platform,
) -> None:
    await platform.connection.execute(_FILL)
    with watched(engine) as statements:
        await audit_page(conn, wanted, place)
    [statement] = statements

    plan = await explained(conn, statement)

    assert "audit_trail" not in {node["Relation Name"] for node in nodes(plan, "Seq Scan")}
    scans = [node for kind in ("Index Scan", "Index Only Scan", "Bitmap Index Scan") for node in nodes(plan, kind)]
    assert indexes <= {node["Index Name"] for node in scans}
