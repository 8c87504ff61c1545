"""The condition of the system as a process last read it: shared by all who ask, and kept with its age."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from database.condition import Check, Condition, Problem
from database.platform import NOTHING_MISSING, Missing

logger = logging.getLogger(__name__)

READ_AGAIN_SECONDS = 3.0
"""How old a kept condition may be. With twelve seconds until a silent listener counts as dead, that is noticed within
fifteen."""
LARGEST_PART = 0.05
"""The largest part of the time that may be spent on reading it: of a long outbox that takes a while."""
LONGEST_PAUSE_SECONDS = 12.0
KNOWN_SECONDS = 30.0
"""From this age on what was read says nothing of how things stand: better say that it isn't known."""


@dataclass(frozen=True, slots=True)
class KnownCondition:
    """The condition as a process knows it; `condition` is None where it can't tell."""

    condition: Condition | None
    read_at: datetime | None
    """When it was last read; None: never."""

    @property
    def is_well(self) -> bool:
        """Return whether pages may say that all is well."""
        return self.condition is not None and self.condition.is_well

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems, as far as they are known."""
        return self.condition.problems if self.condition else ()

    @property
    def checks(self) -> frozenset[Check] | None:
        """The checks that find something; None where it can't be told."""
        return frozenset(problem.check for problem in self.problems) if self.condition else None

    def as_json(self) -> dict[str, object]:
        """Return the JSON for programs; `is_well` is null where it can't be told."""
        return {
            "is_well": self.is_well if self.condition else None,
            "problems": [problem_as_json(problem) for problem in self.problems],
            "read_at": self.read_at.isoformat() if self.read_at else None,
        }


def problem_as_json(problem: Problem) -> dict[str, str | None]:
    """For programs."""
    since = problem.since.isoformat() if problem.since else None
    return {"check": problem.check.value, "message": problem.message, "since": since}


class ConditionKeeper:
    """Reads the condition once for all who ask, and again for who asks after READ_AGAIN_SECONDS."""

    def __init__(self, load: Callable[[], Awaitable[Condition]]) -> None:
        self._load = load
        self._condition: Condition | None = None
        self._read_at: datetime | None = None
        self._asked_monotonic: float | None = None
        self._read_monotonic = 0.0
        self._took = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._has_failed = False

    @property
    def known(self) -> KnownCondition:
        """The condition as it was last read, or that this was too long ago."""
        is_known = time.monotonic() - self._read_monotonic < KNOWN_SECONDS
        return KnownCondition(self._condition if is_known else None, self._read_at)

    @property
    def missing(self) -> Missing:
        """The optional tables and columns that the platform lacked when it was last read, however long ago."""
        return self._condition.missing if self._condition else NOTHING_MISSING

    async def get(self, patience_seconds: float) -> KnownCondition:
        """Return the condition as it is now or, after so many seconds, as it was known before."""
        if self._reading or self._is_due():
            await self._read_once(patience_seconds)
        return self.known

    async def get_anew(self, patience_seconds: float) -> KnownCondition:
        """Return a condition that is read from now on, for a caller that saw a change; reads half the time at most."""
        if self._reading:  # which may have begun before
            await asyncio.wait({self._reading}, timeout=patience_seconds)
        await asyncio.sleep(min(self._took, patience_seconds))
        await self._read_once(patience_seconds)
        return self.known

    async def close(self) -> None:
        """Ends a reading that is under way."""
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read_once(self, patience_seconds: float) -> None:
        """Waits for the reading that is under way, or begins one."""
        if self._reading is None:
            self._asked_monotonic = time.monotonic()
            self._reading = asyncio.create_task(self._read(), name="condition")
        await asyncio.wait({self._reading}, timeout=patience_seconds)

    def _is_due(self) -> bool:
        asked = self._asked_monotonic
        pause = min(max(READ_AGAIN_SECONDS, self._took / LARGEST_PART), LONGEST_PAUSE_SECONDS)
        return asked is None or time.monotonic() - asked >= pause

    async def _read(self) -> None:
        started = time.monotonic()
        try:
            condition = await self._load()
        except Exception as error:  # noqa: BLE001 - whatever it is: the condition isn't known then, and that is shown
            self._log_failure(error)
        else:
            self._condition, self._read_at, self._read_monotonic = condition, datetime.now(UTC), started
            self._has_failed = False
        finally:
            self._took = time.monotonic() - started
            self._reading = None

    def _log_failure(self, error: Exception) -> None:
        logger.log(
            logging.DEBUG if self._has_failed else logging.WARNING,
            "The condition of the system can't be read (%s); until it can, nothing is claimed of it",
            type(error).__name__,
            extra={"action": "condition_unknown"},
        )
        self._has_failed = True
