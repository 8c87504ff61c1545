"""Runs a unit of work in a transaction of its own, and again if a transient error ended it."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from database.errors import StalePlanError, TransientError, UnreachableError, first_line, translating_errors

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 2.0


async def in_transaction(
    engine: AsyncEngine, work: Callable[[AsyncConnection, bool], Awaitable[T]], *, attempts: int
) -> T:
    """Runs `work(connection, is_last_attempt)` and commits.

    A TransientError (of the work, of connecting or of the commit itself) rolls back and tries again, at most
    `attempts` times in all, with exponential, jittered delays; then it is raised. Since an answer to COMMIT
    may be lost, the work must be safe to do twice.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_exponential_jitter(
            multiplier=FIRST_RETRY_SECONDS, max=LONGEST_RETRY_SECONDS, jitter=FIRST_RETRY_SECONDS
        ),
        stop=stop_after_attempt(attempts),
        before_sleep=_log_retry,
        reraise=True,
    ):
        with attempt, translating_errors():
            async with engine.begin() as conn:
                result = await work(conn, attempt.retry_state.attempt_number >= attempts)
    return result


def _log_retry(state: RetryCallState) -> None:
    """Log at DEBUG where the database is away: the subscription to it says so, and once is enough. Likewise for a stale
    plan, which is the platform's change and nobody's fault.
    """
    error = state.outcome.exception() if state.outcome else None
    delay = state.next_action.sleep if state.next_action else 0.0
    logger.log(
        logging.DEBUG if isinstance(error, UnreachableError | StalePlanError) else logging.WARNING,
        "A transaction failed (%s); trying again in %.2f s",
        first_line(error) if error else "unknown",
        delay,
        extra={"action": "retry", "attempt": state.attempt_number, "delay_seconds": round(delay, 2)},
    )
