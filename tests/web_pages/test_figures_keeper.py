"""The platform's figures are read once a minute, not once a visitor."""

import asyncio
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from rules.settings import Thresholds
from tests.platform import NOW
from web.figures import FiguresKeeper


async def test_figures_are_read_once_however_many_ask(
    engine: AsyncEngine, limits: Thresholds, statements: list[str]
) -> None:
    keeper = FiguresKeeper()
    await asyncio.gather(*(keeper.read(engine, NOW, limits) for _ in range(5)))
    assert len(statements) == 2


async def test_figures_are_read_again_after_a_minute(
    engine: AsyncEngine, limits: Thresholds, statements: list[str]
) -> None:
    keeper = FiguresKeeper()
    for seconds, expected in ((0, 2), (59, 2), (60, 4)):
        await keeper.read(engine, NOW + timedelta(seconds=seconds), limits)
        assert len(statements) == expected


async def test_those_who_come_while_figures_are_renewed_get_the_ones_before(
    engine: AsyncEngine, limits: Thresholds
) -> None:
    keeper = FiguresKeeper()
    before = await keeper.read(engine, NOW, limits)
    async with keeper.reading:
        assert await keeper.read(engine, NOW + timedelta(hours=1), limits) is before
