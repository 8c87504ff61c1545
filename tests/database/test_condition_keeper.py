"""The kept condition: read once for all, and not believed for ever."""

import asyncio

import pytest

from database import condition_keeper
from database.condition import Check, Condition, Problem
from database.condition_keeper import ConditionKeeper

WELL = Condition((), 1, 0, None, 0, 0, None)
UNWELL = Condition((Problem(Check.LISTENERS, "No listener is alive"),), 0, 0, None, 0, 0, None)


class Database:
    """Where the condition is read; may fail, and may take its time."""

    def __init__(self, condition: Condition = WELL, *, seconds: float = 0.0) -> None:
        self.condition, self.seconds, self.reads = condition, seconds, 0
        self.error: Exception | None = None

    async def load(self) -> Condition:
        self.reads += 1
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return self.condition


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_keeper, "READ_AGAIN_SECONDS", 0.05)


async def test_one_reading_serves_all_who_ask() -> None:
    database = Database(seconds=0.01)
    keeper = ConditionKeeper(database.load)
    found = await asyncio.gather(*(keeper.get(1.0) for _ in range(20)))
    assert (database.reads, {known.is_well for known in found}) == (1, {True})


async def test_what_takes_long_is_read_less_often() -> None:
    database = Database(seconds=0.05)
    keeper = ConditionKeeper(database.load)
    for _ in range(20):
        await keeper.get(1.0)
        await asyncio.sleep(0.03)
    assert database.reads <= 2


async def test_silent_database_is_not_waited_for_beyond_patience() -> None:
    keeper = ConditionKeeper(Database(seconds=60).load)
    async with asyncio.timeout(1):
        known = await keeper.get(0.01)
    assert (known.condition, known.is_well, known.as_json()["is_well"]) == (None, False, None)
    await keeper.close()


async def test_what_could_not_be_read_again_is_believed_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_keeper, "KNOWN_SECONDS", 0.2)
    database = Database()
    keeper = ConditionKeeper(database.load)
    assert (await keeper.get(1.0)).is_well
    database.error = ConnectionError("gone")
    await asyncio.sleep(0.1)
    assert (await keeper.get(1.0)).is_well
    await asyncio.sleep(0.2)
    known = await keeper.get(1.0)
    assert known.checks is None
    assert not known.is_well

    database.error, database.condition = None, UNWELL
    await asyncio.sleep(0.1)
    assert (await keeper.get(1.0)).checks == frozenset({Check.LISTENERS})
