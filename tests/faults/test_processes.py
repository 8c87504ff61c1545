"""Listeners that die, are told to stop or stand still, under a stream of writes: nothing is lost, nothing doubled."""

import asyncio
import random
import signal
import time
from contextlib import ExitStack

import pytest

from tests.faults.record import FaultRecorder
from tests.faults.traffic import SUBJECT, Traffic, flowing, seconds_until_caught_up
from tests.support.command import Running
from tests.support.listening import generation_held_up, held_up_backend
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.scale import RECOVERY_SECONDS, either
from tests.support.waiting import eventually

WAITED_FOR_US_SECONDS = either(test=5.0, soak=2.0)
"""No write of a client may take so long: the machine is shared, our transactions take milliseconds."""
IN_TRANSACTION_SECONDS = 10.0
"""How long PostgreSQL lets a transaction of a process that stands still go on (rules/database.py)."""


@pytest.mark.soak_minutes(10)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
async def test_listener_that_ends_loses_nothing(
    how: signal.Signals, database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    """With two others at work, at random moments."""
    dice = random.Random(9)
    times, recovery = either(test=4, soak=200), 0.0
    # Slower for long: what each generation reads grows with every session that is added.
    traffic = Traffic(database_url, pause_seconds=either(test=0.06, soak=0.15))
    with ExitStack() as at_the_end:

        def start() -> Running:
            return at_the_end.enter_context(Running("listen", url=LISTENER.url(database_url), batch_size=25))

        listeners = [start() for _ in range(3)]
        async with flowing(traffic):
            for _ in range(times):
                await asyncio.gather(*(listener.log(action="listening") for listener in listeners))
                await asyncio.sleep(dice.uniform(0, 0.3))
                victim = listeners.pop(dice.randrange(3))
                victim.send(how)
                listeners.append(start())
                recovery = max(recovery, await seconds_until_caught_up(platform))
                assert await victim.end() == (-signal.SIGKILL if how is signal.SIGKILL else 0)
                assert_errors_are_told(victim)
        verdict = await traffic.judge()
        for listener in listeners:
            assert_errors_are_told(listener)

    fault_record(
        "listener killed (kill -9)" if how is signal.SIGKILL else "listener told to stop (SIGTERM)",
        injected=times,
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
    assert max(traffic.latencies) < WAITED_FOR_US_SECONDS
    assert recovery < RECOVERY_SECONDS


def assert_errors_are_told(listener: Running) -> None:
    """A unique index that had to step in would be an error that hides a second alert."""
    assert not [line for line in listener.err if "duplicate key" in line or "Traceback" in line]


@pytest.mark.soak_minutes(3)
async def test_listener_that_stands_still_holds_nobody_up_for_long(
    database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    """Stopped in the middle of a batch, with its changes claimed and its tutors locked. Others take over."""
    times, pause_seconds = either(test=1, soak=2), either(test=0.0, soak=60.0)
    platform.subject_id, platform.known_users = SUBJECT, {"student"}
    traffic, recovery = Traffic(database_url), 0.0
    with ExitStack() as at_the_end:

        def start() -> Running:
            return at_the_end.enter_context(Running("listen", url=LISTENER.url(database_url)))

        listener = start()
        async with flowing(traffic, clients=2):
            for round_number in range(times):
                held = [f"held-{round_number}-{number}" for number in range(3)]
                for tutor in held:
                    await platform.user(tutor)
                await listener.log(action="listening")
                backend = await _stand_still_in_a_batch(database_url, platform, held, listener)
                stopped_at = time.monotonic()
                other = start()
                await other.log(action="listening")
                await _are_alerted(platform, held)
                recovery = max(recovery, time.monotonic() - stopped_at)
                assert not await _lies_idle_in_a_transaction(platform, backend)

                await asyncio.sleep(max(stopped_at + pause_seconds - time.monotonic(), 0.0))
                listener.send(signal.SIGCONT)
                other.send(signal.SIGTERM)
                assert await other.end() == 0
                await seconds_until_caught_up(platform)  # by the one that had stood still, alone
                assert_errors_are_told(listener)
        verdict = await traffic.judge()

    fault_record(
        "listener standing still in a batch (SIGSTOP)",
        injected=times,
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
    assert max(traffic.latencies) < WAITED_FOR_US_SECONDS
    assert recovery < IN_TRANSACTION_SECONDS + RECOVERY_SECONDS


async def _stand_still_in_a_batch(url: str, platform: Platform, held: list[str], listener: Running) -> int:
    """Stops the process when it has claimed these tutors' changes and locked them; returns its backend."""
    async with generation_held_up(url, held[1]) as let_go:
        await _miss_twice(platform, held)
        backend = await held_up_backend(platform)
        listener.send(signal.SIGSTOP)
        await let_go()
        await eventually(lambda: _lies_idle_in_a_transaction(platform, backend))
    return backend


async def _miss_twice(platform: Platform, tutors: list[str]) -> None:
    subject = await platform.subject()
    await platform.connection.execute(
        "INSERT INTO sessions (tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number,"
        " status) SELECT tutor, 'student', %s, now() - interval '1 day', 60, 2, 'no_show_tutor'"
        " FROM unnest(%s::text[]) AS tutor, generate_series(1, 2)",
        [subject, tutors],
    )


async def _lies_idle_in_a_transaction(platform: Platform, backend: int) -> bool:
    return await platform.rows("SELECT state FROM pg_stat_activity WHERE pid = %s", backend) == ["idle in transaction"]


async def _are_alerted(platform: Platform, tutors: list[str]) -> None:
    """Waits until each of them has an open alert."""

    async def is_done() -> bool:
        rows = await platform.rows("SELECT count(*) FROM alerts WHERE tutor_id = ANY(%s) AND NOT resolved", tutors)
        return bool(rows == [len(tutors)])

    await eventually(is_done)
