"""The canary: what came of the latest test of recording, and of the latest test change that a listener had to answer.

Every few minutes a listener tries both (`listener.canary`), and so does `tutorwatch canary`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.sql_files import read_sql


class Part(StrEnum):
    """The parts of the canary."""

    RECORDING = "recording"
    """A session and its metrics, written and taken back, show in the outbox."""
    WAKING = "waking"
    """A listener answers a marker that is committed to the outbox."""


class Outcome(StrEnum):
    """The outcomes of a test of recording."""

    RECORDED = "recorded"
    UNRECORDED = "unrecorded"
    """A change took place, and the outbox doesn't show it."""
    UNTRIED = "untried"
    """The platform didn't take the test rows: that says nothing of recording."""
    OFF = "off"
    """The switch is off."""


MARKER = "7475746f-7277-6174-6368-63616e617279"
"""The first of the two `session_ids` of a row of the outbox that is a marker; the second is the marker's own id. No
session has it (it spells tutorwatchcanary), so that the row concerns no tutor, whoever claims it."""

IS_CHANGE = f"session_ids[1] IS DISTINCT FROM '{MARKER}'"
"""Condition over a row of `tutorwatch.outbox`: it is a change, and no marker."""

STALE_AFTER = timedelta(minutes=2)
"""So long after another test was due, the latest one says nothing any more."""
OVERDUE_AFTER = timedelta(seconds=60)
"""How long an answer may take: what is found late, by a poll, is answered within half a minute."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The state of both parts, as far as it is known."""

    outcome: Outcome | None = None
    """Of recording; None: it was never tried."""
    problem: str | None = None
    """Which change went unrecorded, or why it couldn't be tried."""
    recording_seconds: float | None = None
    tried_at: datetime | None = None
    due_at: datetime | None = None
    unrecorded_since: datetime | None = None
    sent_at: datetime | None = None
    """Of the latest marker that was answered."""
    waking_seconds: float | None = None
    """From sending it to its answer."""
    answered_by: str | None = None
    was_woken: bool | None = None
    """Whether a notification woke the listener for it."""
    unanswered_since: datetime | None = None
    """When the oldest marker was sent that still waits in the outbox."""
    now: datetime | None = None
    """The database's clock."""

    @property
    def is_stale(self) -> bool:
        """Return whether nobody tries recording any more."""
        return self.now is None or self.due_at is None or self.now > self.due_at + STALE_AFTER

    @property
    def is_overdue(self) -> bool:
        """Return whether a marker has been waiting for its answer for too long."""
        return bool(self.now and self.unanswered_since and self.now - self.unanswered_since > OVERDUE_AFTER)

    def is_ok(self, part: Part) -> bool | None:
        """Return whether the latest test of the part succeeded; None where that can't be told."""
        if part is Part.WAKING:
            return False if self.is_overdue else True if self.sent_at else None
        if self.is_stale or self.outcome not in (Outcome.RECORDED, Outcome.UNRECORDED):
            return None
        return self.outcome is Outcome.RECORDED

    def seconds(self, part: Part) -> float | None:
        """Return how long the part took when it last succeeded or, of recording, was last tried."""
        return self.recording_seconds if part is Part.RECORDING else self.waking_seconds

    def age_seconds(self, part: Part) -> float | None:
        """Return the seconds since the part was last tried, successfully or not; None: never."""
        at = self.tried_at if part is Part.RECORDING else self.unanswered_since or self.sent_at
        return (self.now - at).total_seconds() if at and self.now else None


NEVER_TRIED = Canary()

READ_CANARY = read_sql("database.sql", "canary", marker=MARKER)
"""One row, by the names of Canary's fields. Both services' roles may read it."""


def canary_from(values: dict[str, object]) -> Canary:
    """Return the canary that a row of READ_CANARY describes."""
    outcome = values["outcome"]
    return Canary(**values | {"outcome": Outcome(str(outcome)) if outcome else None})  # type: ignore[arg-type]


async def load_canary(conn: AsyncConnection) -> Canary:
    """Return what is known of both parts."""
    row = (await conn.execute(text(READ_CANARY))).one()
    return canary_from(dict(row._mapping))  # noqa: SLF001 - Row's API
