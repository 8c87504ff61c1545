"""The condition of the system, kept for all pages of a process: none of them waits for it, nor asks anew."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from database.condition import Check, Condition, load_condition
from database.condition_keeper import READ_AGAIN_SECONDS, ConditionKeeper, KnownCondition
from rules.registry import NAMES as RULE_NAMES
from web.database import ANSWER_SECONDS, FIRST_ANSWER_SECONDS, in_time
from web.keys import CONDITION, ENGINE
from web.live.hub import HUB, Event, EventName, Hub

logger = logging.getLogger(__name__)

LOGGED_AFTER_SECONDS = 15.0
"""How long something must last to be worth a line: a listener that is just being restarted is none."""


async def condition_context(app: web.Application) -> AsyncIterator[None]:
    """Keeps the condition from the application's start to its end; open pages are told when it changes."""
    keeper = ConditionKeeper(lambda: _load_in_time(app[ENGINE]))
    app[CONDITION] = keeper
    await keeper.get(FIRST_ANSWER_SECONDS)  # so that the very first page needn't say that it isn't known
    watching = asyncio.create_task(_watch(keeper, app[HUB]), name="condition")
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await keeper.close()


async def _load_in_time(engine: AsyncEngine) -> Condition:
    return await in_time(_load(engine), ANSWER_SECONDS)


async def _load(engine: AsyncEngine) -> Condition:
    async with engine.begin() as conn:
        return await load_condition(conn, RULE_NAMES)


async def _watch(keeper: ConditionKeeper, hub: Hub) -> None:
    """Reads it again and again. Pages are told of other checks than before; what the same ones say, they learn as they
    look again by themselves.
    """
    told, told_at = keeper.known.checks, time.monotonic()
    logged: frozenset[Check] | None = frozenset()
    while True:
        known = await keeper.get(ANSWER_SECONDS)
        if known.checks != told:
            told, told_at = known.checks, time.monotonic()
            hub.publish(Event(EventName.RESYNC))
        elif known.checks != logged and time.monotonic() - told_at >= LOGGED_AFTER_SECONDS:
            logged = known.checks
            _log(known)
        await asyncio.sleep(READ_AGAIN_SECONDS)


def _log(known: KnownCondition) -> None:
    if known.problems:
        logger.warning(
            "Not everything is evaluated: %s",
            "; ".join(problem.message for problem in known.problems),
            extra={"action": "condition", "checks": sorted(known.checks or ())},
        )
    elif known.condition:
        logger.info("Everything is evaluated", extra={"action": "condition", "checks": []})
