"""Tutors that no rule can be applied to end up dead-lettered, whatever they do to us, and the others get through."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.record import FaultRecorder
from tests.support.command import Running, tutorwatch
from tests.support.listening import alerted, has_settled, is_up, no_shows
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.scale import either
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
POISONED = "tutor-0123"
ATTEMPTS = either(test=2, soak=3)
TUTORS = 200
HANG_SECONDS = 2
"""Long enough for the loop of a listener at work, on a machine that others use too, to answer in between."""
QUICKLY: dict[str, Any] = {
    "failure_attempts": ATTEMPTS,
    "failure_delay_seconds": 0.2,
    "hang_seconds": HANG_SECONDS,
    "poll_seconds": 1,
}


def poisoned_listener(harm: str, tutor_ids: str, url: str) -> Running:
    program = (sys.executable, ROOT / "tests" / "faults" / "poisoned.py", harm, tutor_ids)
    return Running("listen", url=LISTENER.url(url), cwd=ROOT, program=program, **QUICKLY)


@asynccontextmanager
async def supervised(harm: str, tutor_ids: str, url: str) -> AsyncIterator[list[int]]:
    """Keeps a listener running as an operator's supervisor does; yields the exit codes of those that ended."""
    ended: list[int] = []

    async def keep_running() -> None:
        while True:
            with poisoned_listener(harm, tutor_ids, url) as listener:
                ended.append(await listener.end(within=600))

    task = asyncio.create_task(keep_running())
    try:
        yield ended
    finally:
        task.cancel()
        await asyncio.wait({task})


async def is_dead_lettered(platform: Platform, tutors: int = 1) -> bool:
    rows = await platform.rows("SELECT count(*) FROM tutorwatch.failures WHERE parked_at IS NOT NULL")
    return bool(rows == [tutors])


@pytest.mark.parametrize(("harm", "exit_code"), [("kill", -signal.SIGKILL), ("hang", 1)])
async def test_tutor_that_ends_its_listener_each_time_is_dead_lettered(
    platform: Platform, database_url: str, fault_record: FaultRecorder, harm: str, exit_code: int
) -> None:
    tutors = await no_shows(platform, TUTORS)
    healthy = [tutor for tutor in tutors if tutor != POISONED]
    started = time.monotonic()

    async with supervised(harm, POISONED, database_url) as ended:

        async def others_are_through() -> bool:
            return await alerted(platform) == healthy

        async def is_over() -> bool:
            return len(ended) > ATTEMPTS and await is_dead_lettered(platform)

        await eventually(others_are_through)
        recovery_seconds = time.monotonic() - started
        await eventually(is_over)
        assert await platform.rows("SELECT tutor_id, attempts, last_error FROM tutorwatch.failures") == [
            (
                POISONED,
                ATTEMPTS,
                "The listener ended in the middle of the attempt before; of this one there is no outcome yet",
            )
        ]

        # From now on it is left alone: neither its own changes nor anybody else's end a listener.
        await no_shows(platform, TUTORS, each=1)
        await has_settled_but_for_the_dead_lettered(platform)
        await asyncio.sleep(1)
        assert ended == [exit_code] * (ATTEMPTS + 1)

    with Running("listen", url=LISTENER.url(database_url)) as mended:
        assert tutorwatch("retry", POISONED, url=database_url).out.endswith("generate: 1\n")
        await has_settled(platform)
        assert mended.is_running
    found = await alerted(platform)
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []
    fault_record(
        f"a tutor whose generation {harm}s its listener, among {TUTORS}",
        injected=len(ended),
        lost=len(set(tutors) - set(found)),
        doubled=len(found) - len(set(found)),
        recovery_seconds=recovery_seconds,
    )


async def has_settled_but_for_the_dead_lettered(platform: Platform) -> None:
    async def is_empty() -> bool:
        return await platform.rows(
            "SELECT (SELECT count(*) FROM tutorwatch.outbox) + (SELECT count(*) FROM tutorwatch.failures"
            " WHERE parked_at IS NULL)"
        ) == [0]

    await eventually(is_empty)


@pytest.mark.parametrize("poisoned", [pytest.param(1, id="one"), pytest.param(either(20, TUTORS), id="every")])
async def test_tutors_whose_rule_raises_are_dead_lettered_and_the_others_get_through(
    platform: Platform, database_url: str, fault_record: FaultRecorder, poisoned: int
) -> None:
    tutors = await no_shows(platform, max(poisoned, 20))
    started = time.monotonic()
    with poisoned_listener("raise", ",".join(tutors[:poisoned]), database_url) as listener:

        async def others_are_through() -> bool:
            return await alerted(platform) == tutors[poisoned:]

        async def are_dead_lettered() -> bool:
            return await is_dead_lettered(platform, poisoned)

        await eventually(others_are_through)
        recovery_seconds = time.monotonic() - started
        await eventually(are_dead_lettered, within=either(test=60, soak=180))  # one by one
        assert listener.is_running
    with Running("listen", url=LISTENER.url(database_url)):
        tutorwatch("retry", "--all", url=database_url)
        await has_settled(platform)
    found = await alerted(platform)
    fault_record(
        "a rule that raises, for one tutor of a batch or for all",
        injected=poisoned * ATTEMPTS,
        lost=len(set(tutors) - set(found)),
        doubled=len(found) - len(set(found)),
        recovery_seconds=recovery_seconds if poisoned == 1 else None,
    )


async def test_process_that_was_paused_for_longer_does_not_count_as_hung(platform: Platform, database_url: str) -> None:
    with Running("listen", url=LISTENER.url(database_url), **QUICKLY) as listener:
        await is_up(platform)
        listener.send(signal.SIGSTOP)
        await asyncio.sleep(1.5 * HANG_SECONDS)
        listener.send(signal.SIGCONT)
        await asyncio.sleep(0.5 * HANG_SECONDS)

        tutors = await no_shows(platform, 1)
        await has_settled(platform)
        assert listener.is_running
    assert await alerted(platform) == tutors
