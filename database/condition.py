"""The condition of the system: what can't be evaluated right now, why, and since when.

`/readyz`, `/metrics`, `tutorwatch status`, `/system` and the bar on every page all show this, and nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Check(StrEnum):
    """What is looked at, in the order in which it is told."""

    SCHEMA = "schema"
    """Our own schema is at this program's revision."""
    PLATFORM = "platform"
    """The platform's tables are as the rules, pages and triggers need them."""
    ROWS = "rows"
    """No row-level security hides rows from the services."""
    RECORDING = "recording"
    """Changes are recorded: the switch is on, and every trigger and function is in place."""
    LISTENERS = "listeners"
    """A listener is alive, and evaluates."""
    WAITING = "waiting"
    """No change has been waiting for longer than a minute."""
    DEAD_LETTERED = "dead_lettered"
    """No tutor has been given up on."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that isn't evaluated."""

    check: Check
    message: str
    """One sentence, without a full stop: what is wrong; what to do about it follows a colon."""
    since: datetime | None = None
    """None where it isn't known."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How things stand. No problems: everything is evaluated."""

    problems: tuple[Problem, ...]
    listeners: int
    """Alive ones."""
    waiting: int
    """Changes in the outbox."""
    oldest_waiting_at: datetime | None
    failing: int
    """Tutors whose generation will be tried again."""
    dead_lettered: int
    swept_at: datetime | None
    """When all tutors were last re-evaluated."""

    @property
    def is_well(self) -> bool:
        """Whether pages may say that all is well."""
        return not self.problems
