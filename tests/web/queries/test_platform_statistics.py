"""The platform's statistics are read aside, and once for all who ask."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from rules.thresholds import Thresholds
from tests.support.platform import NOW
from web.live import platform_statistics
from web.live.platform_statistics import STATISTICS_KEPT, STATISTICS_SHOWN, KeptStatistics, StatisticsKeeper
from web.reading import Reads

ONE_READING = 2
"""Statements: the longer timeout, the tutors' statistics."""
SOON = 10.0


@pytest.fixture
async def late() -> asyncio.Event:
    """Set once statistics have come late."""
    return asyncio.Event()


@pytest.fixture
async def keeper(engine: AsyncEngine, thresholds: Thresholds, late: asyncio.Event) -> AsyncIterator[StatisticsKeeper]:
    keeper = StatisticsKeeper(Reads(engine, None, lambda: 0), thresholds, late.set)
    yield keeper
    await keeper.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for what isn't there at once."""
    monkeypatch.setattr(platform_statistics, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
async def locked(client: psycopg.AsyncConnection[Any]) -> psycopg.AsyncConnection[Any]:
    """Sessions can't be read before this connection rolls back."""
    await client.execute("BEGIN")
    await client.execute("LOCK TABLE sessions")
    return client


async def test_figures_are_read_once_however_many_ask(keeper: StatisticsKeeper, statements: list[str]) -> None:
    found = await asyncio.gather(*(keeper.get(NOW) for _ in range(5)))
    assert len(statements) == ONE_READING
    assert len({id(each) for each in found}) == 1
    assert isinstance(found[0], KeptStatistics)


async def test_figures_are_read_again_after_a_moment(keeper: StatisticsKeeper, statements: list[str]) -> None:
    for since, readings in ((timedelta(), 1), (STATISTICS_KEPT * 0.9, 1), (STATISTICS_KEPT, 2)):
        await keeper.get(NOW + since)
        assert len(statements) == readings * ONE_READING


async def test_what_takes_long_is_read_less_often(keeper: StatisticsKeeper) -> None:
    found = await keeper.get(NOW)
    assert found
    assert found.kept_for == STATISTICS_KEPT
    assert replace(found, took=timedelta(seconds=9)).kept_for == timedelta(minutes=3)


async def test_nobody_waits_for_figures_that_take_long(
    keeper: StatisticsKeeper,
    impatient: None,  # noqa: ARG001
    locked: psycopg.AsyncConnection[Any],
    late: asyncio.Event,
) -> None:
    assert await keeper.get(NOW) is None
    await locked.execute("ROLLBACK")
    await asyncio.wait_for(late.wait(), SOON)
    assert isinstance(await keeper.get(NOW), KeptStatistics)


async def test_those_before_are_shown_while_figures_are_renewed_but_not_yesterdays(
    keeper: StatisticsKeeper, client: psycopg.AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await keeper.get(NOW)
    monkeypatch.setattr(platform_statistics, "PATIENCE_SECONDS", 0.0)
    await client.execute("BEGIN")
    await client.execute("LOCK TABLE sessions")
    assert await keeper.get(NOW + STATISTICS_KEPT) is before
    assert await keeper.get(NOW + STATISTICS_SHOWN) is None
    await client.execute("ROLLBACK")


async def test_failure_is_told_to_those_who_wait_and_tried_again(
    keeper: StatisticsKeeper, client: psycopg.AsyncConnection[Any]
) -> None:
    await client.execute("ALTER TABLE sessions RENAME TO away")
    with pytest.raises(DBAPIError):
        await keeper.get(NOW)
    await client.execute("ALTER TABLE away RENAME TO sessions")
    assert isinstance(await keeper.get(NOW), KeptStatistics)
