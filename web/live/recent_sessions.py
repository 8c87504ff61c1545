"""Tells open pages of sessions that ended, which no notification announces: most of them change no alert."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from aiohttp import web

from web import queries
from web.database import ANSWER_SECONDS, in_time, is_database_gone, past_stale_plans
from web.keys import CONDITION
from web.live.hub import HUB, MOST_NAMED, Event, EventName
from web.live.platform_statistics import PLATFORM_STATISTICS
from web.queries.sessions import SessionRow
from web.reading import READS

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often the latest sessions are read while anybody has a page open: one query for all of them."""


async def recent_sessions_context(app: web.Application) -> AsyncIterator[None]:
    """Watches from the application's start to its end."""
    watching = asyncio.create_task(_watch(app), name="recent sessions")
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def _watch(app: web.Application) -> None:
    """Pages are told of sessions that are new or other than before, then once more when the statistics include them."""
    seen: frozenset[SessionRow] = frozenset()  # so that whoever comes first is told: a page may be older than this look
    changed_at: datetime | None = None
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if not app[HUB].clients:
            continue
        try:
            now = datetime.now(UTC)
            latest = await in_time(past_stale_plans(lambda: _latest(app)), ANSWER_SECONDS)
            if latest != seen:
                changed_at = now
                _tell(app, latest ^ seen)
            seen = latest
            if changed_at and await _has_statistics_since(app, changed_at):
                changed_at = None
                app[HUB].publish(Event(EventName.RESYNC))
        except Exception as error:  # noqa: BLE001 - the top of the loop
            _note(error)


async def _latest(app: web.Application) -> frozenset[SessionRow]:
    async with app[READS].connect() as source:
        return frozenset(await queries.recent_sessions(source.conn, datetime.now(UTC), missing=app[CONDITION].missing))


def _tell(app: web.Application, changed: frozenset[SessionRow]) -> None:
    tutor_ids: set[str | None] = {session.tutor_id for session in changed}
    for tutor_id in (None,) if len(tutor_ids) > MOST_NAMED else tutor_ids:
        app[HUB].publish(Event(EventName.SESSIONS, tutor_id))


async def _has_statistics_since(app: web.Application, instant: datetime) -> bool:
    """Whether the statistics are newer; has them read where they are due."""
    statistics = await app[PLATFORM_STATISTICS].get(datetime.now(UTC))
    return statistics is not None and statistics.read_at >= instant


def _note(error: Exception) -> None:
    if is_database_gone(error):
        logger.debug("The latest sessions can't be read", extra={"action": "database_gone"})
    else:
        logger.error("The latest sessions can't be read", exc_info=error, extra={"action": "sessions_not_read"})
