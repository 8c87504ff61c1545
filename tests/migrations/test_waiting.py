"""A migration that waits says whom it waits for."""

import asyncio
import logging
import re
import signal

import pytest

from migrations import upgrade, waiting
from tests.support.command import PROGRAM, environment
from tests.support.interruptions import MIGRATING
from tests.support.recorded import client_of
from tests.support.waiting import PATIENCE_SECONDS, eventually, until_blocked

REPORT = "nightly report"


@pytest.fixture(autouse=True)
def _quick_to_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(waiting, "FIRST_CHECK_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "CHECK_EVERY_SECONDS", 0.05)
    caplog.set_level(logging.INFO, logger="migrations")


def told(caplog: pytest.LogCaptureFixture, action: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if getattr(record, "action", None) == action]


@pytest.mark.parametrize(
    "hold",
    [
        pytest.param(["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT FROM public.subjects"], id="old snapshot"),
        pytest.param(["BEGIN", "LOCK TABLE public.sessions IN ACCESS EXCLUSIVE MODE"], id="table lock"),
    ],
)
async def test_whoever_is_in_its_way_is_named(
    hold: list[str], platform_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(platform_url, application_name=REPORT) as client:
        for statement in hold:
            await client.execute(statement.encode())
        migrating = asyncio.create_task(asyncio.to_thread(upgrade.migrate, platform_url))

        async def has_told() -> bool:
            return bool(told(caplog, "waiting_for"))

        await eventually(has_told, "whom it waits for")
        pid = client.info.backend_pid
        await client.execute("ROLLBACK")
        assert (await migrating).after == upgrade.head_revision()
    message, *more = told(caplog, "waiting_for")
    assert more == []
    assert re.match(rf"Waiting for pid {pid} \({REPORT}\) of \w+, .+ since \d{{4}}-.+ UTC", message)


async def test_another_migration_is_named(platform_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(platform_url) as client, client_of(platform_url) as observer:
        await client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await client.execute("SELECT FROM public.subjects")
        first = asyncio.create_task(asyncio.to_thread(upgrade.migrate, platform_url))
        await until_blocked(observer, MIGRATING)
        second = asyncio.create_task(asyncio.to_thread(upgrade.migrate, platform_url))

        async def has_told() -> bool:
            return any("has the lock of a migration of this database (pid " in each for each in caplog.messages)

        await eventually(has_told, "the second waits")
        await client.execute("COMMIT")
        await first
        await second


async def test_an_interrupted_migration_says_that_it_was(platform_url: str) -> None:
    async with client_of(platform_url) as client, client_of(platform_url) as observer:
        await client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await client.execute("SELECT FROM public.subjects")
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "migrate", env=environment(platform_url, {}), stderr=asyncio.subprocess.PIPE, cwd="/"
        )
        await until_blocked(observer, MIGRATING)
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, err.splitlines()[-1]) == (1, b"Interrupted; run the command again to go on")
