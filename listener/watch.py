"""The watch over the platform's schema: claims are held up while it keeps tutors from being evaluated."""

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.condition import explain_differences
from database.errors import (
    SCHEMA_ERRORS,
    CannotEvaluateError,
    TransientError,
    first_line,
    is_about_schema,
    sqlstate_of,
    translating_errors,
)
from database.platform import Comparison, find_hidden_rows, load_comparison
from database.platform_needs import READ_BY_RULES
from database.schema_version import check_schema
from listener import failures, outbox
from rules.registry import NAMES as RULE_NAMES

logger = logging.getLogger(__name__)

COMPARE_SECONDS = 60.0
"""How often the platform's schema is compared while all is well."""
RECHECK_SECONDS = 5.0
"""How often while it doesn't fit."""
FIRST_TRIAL_SECONDS = 1.0
LONGEST_TRIAL_SECONDS = 60.0
"""When a batch is tried again after an error that the comparison doesn't explain: later each time."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The reason why nothing is evaluated. Unless it is the schema's, only another try shows that it is over."""

    message: str
    since: datetime
    is_explained: bool
    error_kinds: frozenset[str] = SCHEMA_ERRORS


async def explain(conn: AsyncConnection) -> tuple[str, Comparison]:
    """The reason why our role can evaluate no tutor, or an empty string; and the comparison of the platform's schema.

    Raises SchemaMismatchError if our own schema isn't this program's.
    """
    await check_schema(conn)
    comparison = await load_comparison(conn, RULE_NAMES)
    role = (await conn.exec_driver_sql("SELECT current_user::text")).scalar_one()
    hidden = await find_hidden_rows(conn, role, tables=READ_BY_RULES)
    reasons = [explain_differences(comparison)] if comparison.differences else []
    return "; ".join([*reasons, *map(str, hidden)]), comparison


def raise_if_common(errors: Mapping[str, Exception], tutors: int) -> None:
    """Raises CannotEvaluateError from the error that all of a batch failed with, if that is the database's.

    A rule's own error, or one that a tutor of the batch doesn't share, concerns those tutors alone.
    """
    if not errors or len(errors) < tutors:
        return
    found = list(errors.values())
    if any(isinstance(error, TransientError) or sqlstate_of(error) is None for error in found):
        return
    is_shared = len(found) > 1 and len({sqlstate_of(error) for error in found}) == 1
    if is_shared or all(map(is_about_schema, found)):
        raise_unexplained(found[0])


def raise_if_curable(errors: Mapping[str, Exception]) -> None:
    """Raises TransientError from an error about the schema that others of the batch don't share: it may just have been
    cured, between one tutor and the next.
    """
    for error in errors.values():
        if is_about_schema(error):
            raise TransientError(first_line(getattr(error, "orig", None) or error)) from error


def raise_unexplained(error: Exception) -> NoReturn:
    """Raises CannotEvaluateError from a database's error that concerns every tutor."""
    told = first_line(getattr(error, "orig", None) or error)
    raise CannotEvaluateError(f"Generation fails for every tutor ({told})") from error


class PlatformWatch:
    """Decides whether changes may be claimed; logs it once when that changes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._next_comparison = 0.0
        self._distance = FIRST_TRIAL_SECONDS
        self._has_compared = False
        self.comparison = Comparison()
        self.blocked: Blocked | None = None

    @property
    def pause(self) -> float:
        """Seconds until the next comparison or trial."""
        return max(self._next_comparison - time.monotonic(), 0.0)

    @property
    def allows_claims(self) -> bool:
        """Return whether anything may be evaluated: also as a trial, if only that can show that it works again."""
        return self.blocked is None or (not self.blocked.is_explained and self.pause == 0.0)

    def as_json(self) -> dict[str, Any]:
        """Return the part of a listener's heartbeat that says whether it is blocked."""
        if self.blocked is None:
            return {}
        return {"blocked": {"message": self.blocked.message, "since": self.blocked.since.isoformat()}}

    async def compare_if_due(self) -> None:
        """Compares the schema where that is due. Raises TransientError, SchemaMismatchError."""
        if self.pause == 0.0 and (self.blocked is None or self.blocked.is_explained):
            await self._compare()

    async def compare(self, error: Exception | None = None) -> None:
        """Raises CannotEvaluateError, from the error if there is one, where the platform's schema doesn't fit."""
        await self._compare()
        if self.blocked and self.blocked.is_explained:
            raise CannotEvaluateError(self.blocked.message) from error

    @asynccontextmanager
    async def explaining(self) -> AsyncIterator[None]:
        """Raises CannotEvaluateError from a database's error in the block that isn't about single tutors."""
        try:
            yield
        except (DBAPIError, psycopg.Error) as error:
            await self.compare(error)
            raise_unexplained(error)

    def hold(self, error: CannotEvaluateError) -> None:
        """Ends claims until the next trial, for an error that the schema doesn't explain; logged once."""
        if self.blocked and self.blocked.is_explained:
            return
        self._distance = min(self._distance * 2, LONGEST_TRIAL_SECONDS) if self.blocked else FIRST_TRIAL_SECONDS
        self._next_comparison = time.monotonic() + self._distance
        cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
        kinds = SCHEMA_ERRORS | {type(cause).__name__}
        self._block(Blocked(str(error), datetime.now(UTC), is_explained=False, error_kinds=kinds))

    async def has_evaluated(self) -> None:
        """Allows claims again: a tutor was evaluated, or none is left."""
        if self.blocked and not self.blocked.is_explained:
            await self._unblock(self.blocked)

    async def _compare(self) -> None:
        with translating_errors():
            async with self._engine.connect() as conn:
                reason, comparison = await explain(conn)
                await conn.commit()
        self._next_comparison = time.monotonic() + (RECHECK_SECONDS if reason else COMPARE_SECONDS)
        if reason:
            self._block(Blocked(reason, datetime.now(UTC), is_explained=True))
        elif self.blocked and self.blocked.is_explained:
            await self._unblock(self.blocked)
        elif not self._has_compared:
            await self._free(SCHEMA_ERRORS)
        await self._take(comparison)
        self._has_compared = True

    def _block(self, blocked: Blocked) -> None:
        before = self.blocked
        if before and before.message == blocked.message:
            return
        if before:
            blocked = replace(blocked, since=before.since)
        self.blocked = blocked
        logger.error("Nothing is evaluated, changes wait: %s", blocked.message, extra={"action": "blocked"})

    async def _unblock(self, blocked: Blocked) -> None:
        await self._free(blocked.error_kinds)
        self.blocked = None
        seconds = (datetime.now(UTC) - blocked.since).total_seconds()
        logger.info(
            "Changes are evaluated again, after %.0f s", seconds, extra={"action": "unblocked", "seconds": seconds}
        )

    async def _free(self, kinds: frozenset[str]) -> None:
        with translating_errors():
            async with self._engine.begin() as conn:
                freed = await failures.free(conn, kinds)
        if freed:
            logger.info("%d tutors that failed for that reason are tried again", freed, extra={"action": "freed"})

    async def _take(self, comparison: Comparison) -> None:
        """Has all tutors re-evaluated if a rule's label has come or gone."""
        before, self.comparison = self.comparison, comparison
        if self._has_compared and before.off != comparison.off:
            with translating_errors():
                async with self._engine.begin() as conn:
                    await outbox.add_every_tutor(conn)
        if before.off != comparison.off:
            logger.warning(
                "Rules are off because the platform has no label for them: %s",
                ", ".join(str(each) for each in comparison.missing_labels) or "none any more",
                extra={"action": "rules_off"},
            )
