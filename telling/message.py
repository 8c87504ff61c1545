"""What is told of an alert's event. No student's name is in it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from rules.life import Event

EVENTS = tuple(event.value for event in Event)
"""What can be told, as the history of an alert calls it."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event of an alert, for any channel."""

    id: UUID
    """The delivery's: the same at each attempt."""
    alert_id: UUID
    tutor_id: str
    tutor_name: str
    """For people only: programs look it up."""
    type: str
    label: str
    """The type in words, which never changes while the alert is open."""
    severity: str
    event: str
    at: datetime
    sentence: str
    """What the alert says of itself now."""
    details: str
    """What its history says of the event."""
    value: Decimal | None
    threshold: Decimal | None
    link: str

    @property
    def subject(self) -> str:
        """The same for all events of the alert: mailboxes keep them together."""
        return f"[{self.severity}] {self.label}: {self.tutor_name}"

    @property
    def headline(self) -> str:
        """The event in words."""
        return {"opened": "New alert", "value_changed": "New value"}.get(
            self.event, self.event.replace("_", " ").capitalize()
        )

    @property
    def lines(self) -> list[str]:
        """The sentences that tell it, the event's own last."""
        own = [self.details] if self.details and self.details not in self.sentence else []
        return [self.sentence, *own]
