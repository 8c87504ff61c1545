"""A message as tests send it."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from telling.message import Message

MESSAGE = Message(
    id=UUID("00000000-0000-4000-8000-000000000001"),
    alert_id=UUID("00000000-0000-4000-8000-0000000000a1"),
    tutor_id="ann",
    tutor_name="Ann Lee",
    type="no_show_pattern",
    label="Tutor no-shows",
    severity="critical",
    event="opened",
    at=datetime(2026, 6, 15, 12, 0, tzinfo=UTC),
    sentence="3 no-shows in 30 days (alert from 2)",
    details="3 no-shows in 30 days (alert from 2)",
    value=Decimal(3),
    threshold=Decimal(2),
    link="https://tutorwatch.example.org/alerts/00000000-0000-4000-8000-0000000000a1",
)


def message(**changes: Any) -> Message:
    """The message, but for these."""
    return replace(MESSAGE, **changes)
