"""Listening tells of its troubles, and of their end; where there is nothing to hear, it sleeps."""

import asyncio
import logging
import resource

import pytest

from rules.notifications import Hearer, listen
from tests.platform import Platform
from tests.scripts.command import eventually


@pytest.mark.parametrize("lost", ["test-listening", "test-listening-beat"])
async def test_a_lost_connection_and_its_return_are_told_once_each(
    lost: str, database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    def told(action: str) -> list[int]:
        return [record.levelno for record in caplog.records if getattr(record, "action", None) == action]

    async def is_listening() -> list[int]:
        return await platform.rows(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND query ~ 'LISTEN .test_channel.$|notify'",
            lost,
        )

    async def is_back() -> bool:
        return bool(told("reached"))

    caplog.set_level(logging.INFO)
    listening = asyncio.create_task(
        listen(database_url, "test_channel", Hearer(), application_name="test-listening", heartbeat_seconds=1)
    )
    (first,) = await eventually(is_listening)
    assert told("reached") == []

    await platform.rows("SELECT pg_terminate_backend(%s, 10000)", first)

    await eventually(is_back)
    assert (told("deaf"), told("reached")) == ([logging.WARNING], [logging.INFO])
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_listening_sleeps_while_there_is_nothing_to_hear(database_url: str) -> None:
    hears = asyncio.Event()

    class Listener(Hearer):
        def hearing(self) -> None:
            hears.set()

    listening = asyncio.create_task(
        listen(database_url, "test_channel", Listener(), application_name="test-listening", heartbeat_seconds=60)
    )
    await asyncio.wait_for(hears.wait(), 10)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    await asyncio.sleep(2)

    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before < 10, "the driver's ten times a second: 20"
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
