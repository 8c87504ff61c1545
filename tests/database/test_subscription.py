"""A subscription logs outages and recoveries; while no notification arrives, it sleeps."""

import asyncio
import logging
import resource

import pytest

from database.subscription import NotificationHandler, listen
from tests.support.platform import Platform
from tests.support.waiting import PATIENCE_SECONDS, eventually


class Listener(NotificationHandler):
    """Tells when it is connected."""

    def __init__(self) -> None:
        self.is_connected = asyncio.Event()

    def connected(self) -> None:
        self.is_connected.set()


@pytest.mark.parametrize("lost", ["test-listening", "test-listening-beat"])
async def test_a_lost_connection_and_its_return_are_told_once_each(
    lost: str, database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    def told(action: str) -> list[int]:
        return [record.levelno for record in caplog.records if getattr(record, "action", None) == action]

    async def is_back() -> bool:
        return bool(told("reached"))

    caplog.set_level(logging.INFO)
    listener = Listener()
    listening = asyncio.create_task(
        listen(database_url, "test_channel", listener, application_name="test-listening", heartbeat_seconds=1)
    )
    await asyncio.wait_for(
        listener.is_connected.wait(), PATIENCE_SECONDS
    )  # cut sooner, it would have had nothing to lose
    assert told("reached") == []

    ended = await platform.rows(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = %s",
        lost,
    )
    assert ended == [True]

    await eventually(is_back)
    assert (told("subscription_lost"), told("reached")) == ([logging.WARNING], [logging.INFO])
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_listening_sleeps_while_no_notification_arrives(database_url: str) -> None:
    listener = Listener()
    listening = asyncio.create_task(
        listen(database_url, "test_channel", listener, application_name="test-listening", heartbeat_seconds=60)
    )
    await asyncio.wait_for(listener.is_connected.wait(), PATIENCE_SECONDS)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    await asyncio.sleep(2)

    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before < 10, "the driver's ten times a second: 20"
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
