"""Alerts as tests of reading need them."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from tests.support.platform import NOW, Platform, naive


async def insert_alert(
    platform: Platform, tutor: str = "ann", *, at: datetime = NOW, evidence: list[UUID] | None = None, **more: Any
) -> UUID:
    """A critical alert that is open unless told otherwise; of a type that may be open several times."""
    await platform.user(tutor)
    alert_id = uuid4()
    values: dict[str, Any] = {
        "alert_type": "student_churn_risk",
        "severity": "critical",
        "title": "Churn",
        "description": "Likely",
    }
    await platform.insert(
        "alerts", id=alert_id, tutor_id=tutor, triggered_date=naive(at), created_at=naive(at), **(values | more)
    )
    if evidence is not None:
        await platform.rows(
            "INSERT INTO tutorwatch.alert_evidence VALUES (%s, %s, 2, 1, %s, now()) RETURNING 1",
            alert_id,
            tutor,
            evidence,
        )
        await platform.rows(
            "INSERT INTO tutorwatch.consumed_sessions SELECT unnest(%s::uuid[]), alert_type, id FROM alerts"
            " WHERE id = %s RETURNING 1",
            evidence,
            alert_id,
        )
    return alert_id
