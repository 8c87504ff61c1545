"""Alerts as a client of the platform, or the listener, writes them."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from tests.support.platform import Platform, naive


async def insert_alert(
    platform: Platform,
    tutor: str = "tutor",
    *,
    at: datetime | None = None,
    alert_id: UUID | None = None,
    evidence: list[UUID] | None = None,
    **columns: Any,
) -> UUID:
    """The id of a new alert: a critical one for no-shows, open and triggered now, unless told otherwise."""
    await platform.user(tutor)
    alert_id = alert_id or uuid4()
    values: dict[str, Any] = {
        "alert_type": "no_show_pattern",
        "severity": "critical",
        "title": "Tutor no-shows",
        "description": "2 no-shows in 30 days (alert from 2)",
    }
    if at:
        values |= {"triggered_date": naive(at), "created_at": naive(at)}
    await platform.insert("alerts", id=alert_id, tutor_id=tutor, **(values | columns))
    if evidence is not None:
        await platform.connection.execute(
            "INSERT INTO tutorwatch.alert_evidence VALUES (%s, %s, 2, 1, %s, now())", [alert_id, tutor, evidence]
        )
        await platform.connection.execute(
            "INSERT INTO tutorwatch.consumed_sessions SELECT unnest(%s::uuid[]), alert_type, id FROM alerts"
            " WHERE id = %s",
            [evidence, alert_id],
        )
    return alert_id
