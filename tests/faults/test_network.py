"""A network that falls silent, delays, cuts a COMMIT in two and forgets names: nothing is lost, nothing doubled."""

import asyncio
import os
import random
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.faults.proxy import Cut, Proxy
from tests.faults.record import FaultRecorder
from tests.faults.traffic import Traffic, flowing, seconds_until_caught_up
from tests.support.command import PROGRAM, Running
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.scale import RECOVERY_SECONDS, either
from tests.support.waiting import eventually

SILENCE_SECONDS = either(test=55.0, soak=30.0)
"""From the beginning of a silence until all has been generated that was committed in its first second."""


@pytest.mark.soak_minutes(2)
@pytest.mark.parametrize(
    "applications",
    [
        pytest.param(("tutorwatch-listen",), marks=pytest.mark.soak, id="listening"),
        pytest.param(("tutorwatch-worker",), marks=pytest.mark.soak, id="working"),
        pytest.param(("tutorwatch-listen", "tutorwatch-worker"), id="both"),
    ],
)
async def test_half_open_connections(
    applications: tuple[str, ...], database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    """They stay open, and nothing comes through. There is no other listener to step in."""
    times, recovery = either(test=1, soak=2), 0.0
    traffic = Traffic(database_url, tutors=4)
    async with Proxy(database_url) as network:
        with Running("listen", url=LISTENER.url(network.url)) as listener:
            await listener.log(action="listening")
            async with flowing(traffic, clients=1):
                await asyncio.sleep(1)
                for _ in range(times):
                    heard = len(listener.logs(action="listening"))
                    for application in applications:
                        await eventually(partial(_falls_silent, network, application))
                    started = time.monotonic()
                    await asyncio.sleep(1)  # for changes that are committed into the silence
                    await seconds_until_caught_up(platform)
                    if "tutorwatch-listen" in applications:
                        await _listens_again(listener, heard)
                    recovery = max(recovery, time.monotonic() - started)
            verdict = await traffic.judge()
        assert listener_is_sound(listener)

    fault_record(
        "half-open connection (network silent)",
        injected=times * len(applications),
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
    assert recovery < SILENCE_SECONDS


async def _falls_silent(network: Proxy, application: str) -> int:
    return network.fall_silent(application)


async def _listens_again(listener: Running, before: int) -> None:
    """Waits until it has said so more often than before."""

    async def has_said_so() -> bool:
        return len(listener.logs(action="listening")) > before

    await eventually(has_said_so)


def listener_is_sound(listener: Running) -> bool:
    """No error but those of the network."""
    return not [line for line in listener.err if "Traceback" in line or "duplicate key" in line]


async def test_delay(database_url: str, platform: Platform, fault_record: FaultRecorder) -> None:
    """A slow way to the database slows the listener down, not the clients."""
    traffic, delay_seconds = Traffic(database_url, tutors=4), 0.1
    async with Proxy(database_url) as network:
        network.delay_seconds = delay_seconds
        with Running("listen", url=LISTENER.url(network.url)) as listener:
            await listener.log(action="listening")
            async with flowing(traffic):
                await asyncio.sleep(either(test=2, soak=30))
                recovery = await seconds_until_caught_up(platform)
            network.delay_seconds = 0.0
            verdict = await traffic.judge()
        assert listener_is_sound(listener)

    latencies = sorted(traffic.latencies)
    assert latencies[len(latencies) // 2] < 5 * delay_seconds, "less than one of the listener's transactions takes"
    fault_record(
        "every packet delayed by 100 ms",
        injected=len(traffic.latencies),
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )


@pytest.mark.soak_minutes(3)
@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT], ids=["before", "after"])
async def test_cut_in_a_commit(cut: Cut, database_url: str, platform: Platform, fault_record: FaultRecorder) -> None:
    """The answer is lost: the listener can't know whether what it did is committed."""
    wanted, dice = either(test=6, soak=100), random.Random(6)
    traffic, recovery = Traffic(database_url), 0.0
    async with Proxy(database_url) as network:
        with Running("listen", url=LISTENER.url(network.url), batch_size=25) as listener:
            await listener.log(action="listening")
            async with flowing(traffic):
                while network.cuts < wanted:
                    await _cut_once(network, cut)
                    recovery = max(recovery, await seconds_until_caught_up(platform))
                    await asyncio.sleep(dice.uniform(0, 0.2))
            verdict = await traffic.judge()
        assert listener_is_sound(listener)

    fault_record(
        f"cut {'before' if cut is Cut.BEFORE_COMMIT else 'after'} a COMMIT reached the server",
        injected=network.cuts,
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
    assert recovery < RECOVERY_SECONDS


async def _cut_once(network: Proxy, cut: Cut) -> None:
    before, network.cut = network.cuts, cut

    async def is_cut() -> bool:
        return network.cuts > before

    await eventually(is_cut)
    network.cut = Cut.NOWHERE


@pytest.mark.soak_minutes(2)
async def test_connections_cut_at_random(database_url: str, platform: Platform, fault_record: FaultRecorder) -> None:
    """All of a listener's connections at once, at any moment."""
    times, dice = either(test=6, soak=100), random.Random(7)
    traffic, recovery, cuts = Traffic(database_url), 0.0, 0
    async with Proxy(database_url) as network:
        with Running("listen", url=LISTENER.url(network.url), batch_size=25) as listener:
            await listener.log(action="listening")
            async with flowing(traffic):
                for _ in range(times):
                    await asyncio.sleep(dice.uniform(0, 0.3))
                    cuts += network.cut_all()
                    recovery = max(recovery, await seconds_until_caught_up(platform))
            verdict = await traffic.judge()
        assert listener_is_sound(listener)

    fault_record(
        "connections cut", injected=cuts, lost=verdict.lost, doubled=verdict.doubled, recovery_seconds=recovery
    )
    assert recovery < RECOVERY_SECONDS


NAME = "database.platform.test"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """An /etc/hosts that a process started by `with_names` has to itself."""
    names = tmp_path / "hosts"
    names.write_text(f"127.0.0.1 {NAME}\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: files\n")
    trial = subprocess.run([*with_names(names), "getent", "hosts", NAME], capture_output=True, check=False)
    if trial.returncode:
        pytest.skip("a process can't be given an /etc/hosts of its own here: it needs a mount namespace")
    return names


def _write(names: Path, text: str) -> None:
    """In place: the process sees this very file."""
    names.write_text(text)


def with_names(names: Path) -> list[str | Path]:
    """What starts a program that looks names up in this file alone, by the C library's ordinary means."""
    mount = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    return [*unshare, "sh", "-c", mount, names, names.with_name("nsswitch.conf")]


async def test_name_that_no_longer_resolves(
    database_url: str, platform: Platform, names: Path, fault_record: FaultRecorder
) -> None:
    """The database's name is gone when the connections are lost, and comes back later."""
    times, traffic, recovery = either(test=1, soak=3), Traffic(database_url), 0.0
    known = f"127.0.0.1 {NAME}\n"
    async with Proxy(database_url) as network:
        program = [*with_names(names), PROGRAM]
        with Running("listen", url=LISTENER.url(network.url_by(NAME)), program=program) as listener:
            await listener.log(action="listening")
            async with flowing(traffic):
                for _ in range(times):
                    _write(names, "")
                    network.cut_all()
                    await asyncio.sleep(either(test=3, soak=15))
                    assert not network.ways
                    _write(names, known)
                    recovery = max(recovery, await seconds_until_caught_up(platform))
            verdict = await traffic.judge()
        assert listener_is_sound(listener)

    assert any("resolve" in line or "Name or service" in line for line in listener.err)
    fault_record(
        "name of the database not resolved",
        injected=times,
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
    assert recovery < RECOVERY_SECONDS
