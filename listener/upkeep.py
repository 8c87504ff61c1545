"""Now and then, before a listener claims: the sweep, and the removal of old entries of the audit trail."""

import logging
import time

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from database.errors import first_line
from listener.processing import Context
from listener.sweep import keep_audit_trail, sweep

logger = logging.getLogger(__name__)

MOST_AUDIT_BATCHES = 100
"""After a daily sweep old entries of the audit trail are removed so many times 10,000 at most, one time before each
claim: changes are more urgent."""


class Upkeep:
    """Sweeps where that is due, once for all listeners."""

    def __init__(self, context: Context, *, sweep_hours: float, audit_days: int) -> None:
        self._context = context
        self._sweep_hours = sweep_hours
        self._audit_days = audit_days
        self._audit_batches = 0

    async def run(self) -> None:
        """Does what is due. Raises TransientError and CannotEvaluateError."""
        if self._context.schedule.sweep_is_due(time.monotonic()):
            async with self._context.watch.explaining():
                is_daily = await self._context.in_transaction(self._sweep)
            if is_daily:
                self._audit_batches = MOST_AUDIT_BATCHES
            self._context.schedule.swept(time.monotonic())
        if self._audit_batches:
            await self._remove_audit_batch()

    async def _sweep(self, conn: AsyncConnection, _is_last_attempt: bool) -> bool:
        return await sweep(conn, every_hours=self._sweep_hours)

    async def _keep(self, conn: AsyncConnection, _is_last_attempt: bool) -> bool:
        return await keep_audit_trail(conn, days=self._audit_days)

    async def _remove_audit_batch(self) -> None:
        """Whatever stands in its way, tutors are evaluated all the same."""
        try:
            has_more = await self._context.in_transaction(self._keep)
        except (DBAPIError, psycopg.Error) as error:
            logger.warning(
                "Old entries of the audit trail can't be removed (%s): tried again after the next sweep",
                first_line(error),
                extra={"action": "audit_trail_not_kept"},
            )
            has_more = False
        self._audit_batches = self._audit_batches - 1 if has_more else 0
