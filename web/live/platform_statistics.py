"""The platform's statistics and who stands out: costly to read, so they are read aside, and kept for a moment."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from rules.thresholds import Thresholds
from web import queries
from web.database import past_stale_plans
from web.keys import THRESHOLDS
from web.live.hub import HUB, Event, EventName
from web.reading import READS, Reads

logger = logging.getLogger(__name__)

STATISTICS_KEPT = timedelta(seconds=3)
"""How long the statistics are shown before they are read again; longer where reading them takes long."""
LARGEST_PART = 0.05
"""The largest part of the time that may be spent on reading them."""
STATISTICS_SHOWN = timedelta(minutes=10)
"""Older statistics are not shown any more: nobody has looked for so long, and they may be yesterday's."""
PATIENCE_SECONDS = 1.0
"""How long a page waits for statistics that are being read; then it shows those before, or none yet."""


@dataclass(frozen=True, slots=True)
class KeptStatistics:
    """What is costly to read: it covers sixty days of everybody's sessions. `took` is how long that was."""

    known: queries.KnownOfTutors
    read_at: datetime
    took: timedelta

    @property
    def kept_for(self) -> timedelta:
        """How long until they are read again."""
        return max(STATISTICS_KEPT, self.took / LARGEST_PART)


class StatisticsKeeper:
    """Reads the statistics once for all who ask. Calls `when_late` when they come after somebody has gone without."""

    def __init__(self, reads: Reads, thresholds: Thresholds, when_late: Callable[[], None] = lambda: None) -> None:
        self._reads, self._thresholds, self._when_late = reads, thresholds, when_late
        self._latest: KeptStatistics | None = None
        self._reading: asyncio.Task[KeptStatistics] | None = None
        self._has_sent_away = False

    async def get(self, now: datetime) -> KeptStatistics | None:
        """The statistics, or None if they are still being read. Raises what reading them raised, in time."""
        if self._reading is None:
            if self._latest and now - self._latest.read_at < self._latest.kept_for:
                return self._latest
            self._reading = asyncio.create_task(self._read_past_stale_plans(now), name="statistics")
            self._reading.add_done_callback(self._note)
        done, _ = await asyncio.wait({self._reading}, timeout=PATIENCE_SECONDS)
        if done:
            return done.pop().result()
        self._has_sent_away = True
        is_recent = self._latest is not None and now - self._latest.read_at < STATISTICS_SHOWN
        return self._latest if is_recent else None

    async def close(self) -> None:
        """Ends a reading that is under way."""
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read_past_stale_plans(self, now: datetime) -> KeptStatistics:
        return await past_stale_plans(lambda: self._read(now))

    async def _read(self, now: datetime) -> KeptStatistics:
        started = time.monotonic()
        async with self._reads.connect() as source:
            conn = source.conn
            await queries.allow_for_long_reading(conn)
            months = await queries.tutor_months(conn, now)
        took = timedelta(seconds=time.monotonic() - started)
        statistics = queries.platform_statistics(months, self._thresholds)
        known = queries.KnownOfTutors(months.recent, statistics, queries.rank(months.recent))
        return KeptStatistics(known, now, took)

    def _note(self, reading: asyncio.Task[KeptStatistics]) -> None:
        self._reading = None
        if reading.cancelled():
            return
        if error := reading.exception():
            logger.warning("The platform's statistics could not be read: %s", type(error).__name__)
            return
        self._latest = reading.result()
        if self._has_sent_away:
            self._has_sent_away = False
            self._when_late()


PLATFORM_STATISTICS = web.AppKey("platform_statistics", StatisticsKeeper)


async def statistics_context(app: web.Application) -> AsyncIterator[None]:
    """Keeps the statistics from the application's start to its end; open pages are told when they come late."""
    app[PLATFORM_STATISTICS] = StatisticsKeeper(
        app[READS], app[THRESHOLDS], lambda: app[HUB].publish(Event(EventName.RESYNC))
    )
    yield
    await app[PLATFORM_STATISTICS].close()
