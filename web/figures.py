"""The platform's figures and averages: costly to read, so they are kept for a minute."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncEngine

from rules.decisions.statistics import Ratio
from rules.settings import Thresholds
from web import queries

FIGURES_KEPT = timedelta(minutes=1)
"""How long the figures are shown before they are read again."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is costly to read: it covers sixty days of everybody's sessions."""

    metrics: queries.PlatformMetrics
    averages: Mapping[str, Ratio]
    read_at: datetime


@dataclass
class FiguresKeeper:
    """Reads the figures at most once a minute, however many ask at the same time."""

    latest: Figures | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, engine: AsyncEngine, now: datetime, limits: Thresholds) -> Figures:
        """The figures, no older than a minute; while somebody renews them, the others get those before."""
        if self.latest and (self.reading.locked() or now - self.latest.read_at < FIGURES_KEPT):
            return self.latest
        async with self.reading:
            if self.latest is None or now - self.latest.read_at >= FIGURES_KEPT:
                self.latest = await _read_figures(engine, now, limits)
            return self.latest


async def _read_figures(engine: AsyncEngine, now: datetime, limits: Thresholds) -> Figures:
    async with engine.connect() as conn:
        metrics = await queries.platform_metrics(conn, now, limits)
        return Figures(metrics, await queries.tutor_averages(conn, now), now)


_keepers: WeakKeyDictionary[AsyncEngine, FiguresKeeper] = WeakKeyDictionary()


def figures_of(engine: AsyncEngine) -> FiguresKeeper:
    """The keeper of the figures of one database."""
    return _keepers.setdefault(engine, FiguresKeeper())
