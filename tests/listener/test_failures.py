"""Failing tutors on record: how often, until when, and how they come back."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.channels import CHANGES
from database.errors import TransientError
from database.retries import retry_failing
from listener import failures
from listener.failures import Failure, Patience
from tests.support.platform import Platform

DELAY = 40.0


async def fail(
    engine: AsyncEngine, *tutors: str, times: int = 1, most: int = 100, error: Exception | None = None
) -> list[Failure]:
    """Has these tutors fail, first in a batch, then alone; the state after the last attempt."""
    cause = error or ValueError("no such rule")
    async with engine.begin() as conn:
        latest = await failures.record(conn, dict.fromkeys(tutors, cause), Patience(most, DELAY))
    for _ in range(times - 1):
        latest = [await fail_again(engine, tutor, most=most, error=cause) for tutor in tutors]
    return latest


async def fail_again(engine: AsyncEngine, tutor: str, *, most: int = 100, error: Exception | None = None) -> Failure:
    """Has a tutor that is on record, dead-lettered or not, fail once more."""
    begun = await begin(engine, tutor, most=most)
    async with engine.begin() as conn:
        cause = error or ValueError("still no such rule")
        (failed,) = await failures.attempt_failed(conn, begun, cause, Patience(most, DELAY))
    return failed


async def begin(engine: AsyncEngine, tutor: str, *, most: int = 100) -> Failure:
    """Books an attempt at a tutor that is due from now on."""
    async with engine.begin() as conn:
        await conn.execute(
            text("UPDATE tutorwatch.failures SET next_attempt_at = 'epoch' WHERE tutor_id = :tutor"), {"tutor": tutor}
        )
        begun = await failures.begin_attempt(conn, Patience(most, DELAY))
    assert begun
    assert begun.tutor_id == tutor
    return begun


async def on_record(platform: Platform) -> list[str]:
    return await platform.rows("SELECT tutor_id FROM tutorwatch.failures ORDER BY 1")


def seconds_to_wait(failure: Failure) -> float:
    assert failure.next_attempt_at
    return (failure.next_attempt_at - failure.last_failed_at) / timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempts", "full_delay"),
    [(1, DELAY), (2, 2 * DELAY), (3, 4 * DELAY), (6, 32 * DELAY), (8, 3600), (60, 3600)],
)
async def test_delay_doubles_with_each_attempt_up_to_an_hour(
    engine: AsyncEngine, platform: Platform, attempts: int, full_delay: float
) -> None:
    tutors = ("a", "b", "c", "d")
    failed = await fail(engine, *tutors)
    if attempts > 1:
        await platform.rows("UPDATE tutorwatch.failures SET attempts = %s RETURNING 1", attempts - 1)
        failed = [await fail_again(engine, tutor) for tutor in tutors]

    assert {(failure.attempts, failure.parked_at) for failure in failed} == {(attempts, None)}
    spread = [seconds_to_wait(failure) for failure in failed]

    assert all(full_delay / 2 <= delay <= full_delay + 1 for delay in spread)
    assert len(set(spread)) == 4


async def test_tutors_that_failed_together_come_back_apart(engine: AsyncEngine) -> None:
    failed = await fail(engine, *(f"tutor-{number}" for number in range(60)))

    delays = [seconds_to_wait(failure) for failure in failed]
    assert max(delays) - min(delays) > DELAY / 4
    assert min(delays) >= DELAY / 2
    assert max(delays) <= DELAY + 1


async def test_first_and_latest_failure_are_dated(engine: AsyncEngine, platform: Platform) -> None:
    await fail(engine, "a", times=3, error=KeyError("first"))
    await fail_again(engine, "a", error=TypeError("latest"))

    assert await platform.rows("SELECT attempts, last_error FROM tutorwatch.failures") == [(4, "TypeError: latest")]
    assert await platform.rows("SELECT first_failed_at < last_failed_at FROM tutorwatch.failures") == [True]


@pytest.mark.parametrize("most", [1, 3])
async def test_tutor_is_dead_lettered_after_the_last_attempt(engine: AsyncEngine, most: int) -> None:
    states = [*await fail(engine, "a", most=most)]
    states += [await fail_again(engine, "a", most=most) for _ in range(most - 1)]

    assert [state.parked_at is not None for state in states] == [False] * (most - 1) + [True]
    assert [state.next_attempt_at is None for state in states] == [False] * (most - 1) + [True]


async def test_dead_lettered_tutor_that_fails_again_stays_dead_lettered_since_then(engine: AsyncEngine) -> None:
    (dead_lettered,) = await fail(engine, "a", times=2, most=2)

    again = await fail_again(engine, "a", most=2)

    assert (again.attempts, again.parked_at, again.next_attempt_at) == (3, dead_lettered.parked_at, None)
    assert again.last_failed_at > dead_lettered.last_failed_at


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        pytest.param(ZeroDivisionError("by zero"), "ZeroDivisionError: by zero", id="kind and message"),
        pytest.param(ValueError("a\x00b"), "ValueError: ab", id="without what PostgreSQL can't store"),
        pytest.param(ValueError("ü" * 9000), "ValueError: " + "ü" * 1988, id="so many characters of it"),
        pytest.param(
            DBAPIError("SELECT secret", {}, psycopg.errors.CheckViolation("too high")),
            "CheckViolation: too high",
            id="the database's own words, without the statement",
        ),
        pytest.param(
            ValueError("half a pair: \ud800"),
            "ValueError: half a pair: ?",
            id="without what is no text",
        ),
    ],
)
async def test_error_is_kept_as_it_can_be_stored(
    engine: AsyncEngine, platform: Platform, error: Exception, kept: str
) -> None:
    await fail(engine, "a", error=error)

    assert await platform.rows("SELECT last_error FROM tutorwatch.failures") == [kept]


async def test_success_forgets_the_failures_of_those_tutors_only(engine: AsyncEngine, platform: Platform) -> None:
    await fail(engine, "a", "b", "c")

    async with engine.begin() as conn:
        await failures.succeeded(conn, ["a", "c", "never failed"])
        await failures.succeeded(conn, [])

    assert await on_record(platform) == ["b"]


async def test_only_what_is_due_is_attempted_and_only_once(engine: AsyncEngine, platform: Platform) -> None:
    await fail(engine, "later", "due")
    await fail(engine, "quit", most=1)

    assert (await begin(engine, "due")).attempts == 2
    async with engine.begin() as conn:
        assert await failures.begin_attempt(conn, Patience(100, DELAY)) is None
    assert await on_record(platform) == ["due", "later", "quit"]


async def test_two_listeners_attempt_different_tutors(engine: AsyncEngine) -> None:
    await fail(engine, "a", "b")
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE tutorwatch.failures SET next_attempt_at = 'epoch'"))

    async with engine.begin() as one, engine.begin() as other:
        begun = [await failures.begin_attempt(conn, Patience(9, DELAY)) for conn in (one, other, other)]

    assert {failure.tutor_id if failure else None for failure in begun} == {"a", "b", None}


async def test_attempt_that_never_reports_counts_and_parks(engine: AsyncEngine, platform: Platform) -> None:
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["a"])

    states = [await begin(engine, "a", most=3) for _ in range(3)]

    assert [(state.attempts, state.parked_at is not None) for state in states] == [(1, False), (2, False), (3, True)]
    assert await platform.rows("SELECT last_error FROM tutorwatch.failures") == [
        "The listener ended in the middle of the attempt before; of this one there is no outcome yet"
    ]


async def test_attempt_that_is_cut_short_after_reported_ones_is_made_again(engine: AsyncEngine) -> None:
    """Whoever ended the listener, it wasn't this tutor: the attempts before came to an end."""
    await fail(engine, "a", times=4, most=5, error=TransientError("a client holds a lock"))

    states = [await begin(engine, "a", most=5) for _ in range(2)]

    assert [(state.attempts, state.parked_at is not None) for state in states] == [(5, False), (6, True)]


async def test_dead_lettered_tutor_stays_so_while_a_change_gives_it_another_try(engine: AsyncEngine) -> None:
    (dead_lettered,) = await fail(engine, "a", times=2, most=2)
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["a"])

    cut_short = await begin(engine, "a", most=2)

    assert (cut_short.parked_at, cut_short.next_attempt_at is not None) == (dead_lettered.parked_at, True)
    again = await fail_again(engine, "a", most=2)
    assert (again.attempts, again.parked_at, again.next_attempt_at) == (4, dead_lettered.parked_at, None)


async def test_passing_error_never_parks_and_is_tried_again_soon(engine: AsyncEngine) -> None:
    passing = TransientError("a client holds a lock")
    states = [*await fail(engine, "a", most=2, error=passing)]
    states += [await fail_again(engine, "a", most=2, error=passing) for _ in range(2)]

    assert [(state.attempts, state.parked_at) for state in states] == [(1, None), (2, None), (3, None)]
    assert [1 <= seconds_to_wait(states[0]) <= 3, 4 <= seconds_to_wait(states[2]) <= 9] == [True, True]
    assert (await fail_again(engine, "a", most=2)).parked_at


async def test_first_attempt_whose_end_nobody_saw_is_followed_by_one_soon(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["a"])

    waits = [seconds_to_wait(await begin(engine, "a")) for _ in range(2)]

    assert 1 <= waits[0] <= 3
    assert DELAY <= waits[1] <= 2 * DELAY + 1


async def test_change_hastens_the_next_attempt(engine: AsyncEngine, platform: Platform) -> None:
    await fail(engine, "failing")
    await fail(engine, "quit", most=1)

    async with engine.begin() as conn:
        await failures.set_aside(conn, ["failing", "quit"])

    assert await due(platform) == ["failing", "quit"]


async def test_change_does_not_hasten_what_may_have_killed_a_listener(engine: AsyncEngine, platform: Platform) -> None:
    await fail(engine, "deadly", "fatal")
    await begin(engine, "deadly")
    await begin(engine, "fatal", most=2)

    async with engine.begin() as conn:
        await failures.set_aside(conn, ["deadly", "fatal"])

    assert await due(platform) == []


async def test_change_during_an_attempt_is_not_forgotten_by_its_success(
    engine: AsyncEngine, platform: Platform
) -> None:
    await fail(engine, "a")
    await begin(engine, "a", most=2)
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["a"])

    async with engine.begin() as conn:
        await failures.succeeded(conn, ["a"])

    assert await due(platform) == ["a"]
    assert await platform.rows("SELECT attempts, parked_at FROM tutorwatch.failures") == [(0, None)]


async def test_change_during_an_attempt_is_not_forgotten_by_its_failure(
    engine: AsyncEngine, platform: Platform
) -> None:
    await fail(engine, "a")
    begun = await begin(engine, "a", most=2)
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["a"])

    async with engine.begin() as conn:
        await failures.attempt_failed(conn, begun, ValueError("still"), Patience(2, DELAY))

    assert await due(platform) == ["a"]


async def test_failure_of_a_batch_during_an_attempt_is_not_forgotten_by_its_success(
    engine: AsyncEngine, platform: Platform
) -> None:
    """The batch began before the tutor was on record, and has seen a change that the attempt hasn't."""
    await fail(engine, "a")
    await begin(engine, "a")
    await fail(engine, "a")

    async with engine.begin() as conn:
        await failures.succeeded(conn, ["a"])

    assert await due(platform) == ["a"]


async def due(platform: Platform) -> list[str]:
    return await platform.rows(
        "SELECT tutor_id FROM tutorwatch.failures WHERE next_attempt_at <= clock_timestamp() ORDER BY 1"
    )


async def test_list_has_names_and_begins_with_the_longest_dead_lettered(
    engine: AsyncEngine, platform: Platform
) -> None:
    for tutor in ("first", "second", "third"):
        await platform.user(tutor)
    await fail(engine, "third", times=3)
    await fail(engine, "nobody", times=1)
    await fail(engine, "second", most=1)
    await fail(engine, "first", most=1)
    await platform.rows(
        "UPDATE tutorwatch.failures SET parked_at = now() - interval '1 day' WHERE tutor_id = 'first' RETURNING 1"
    )

    async with engine.connect() as conn:
        listed = await failures.load(conn)

    assert [(failure.tutor_id, failure.name, failure.attempts) for failure in listed] == [
        ("first", "First", 1),
        ("second", "Second", 1),
        ("nobody", None, 1),
        ("third", "Third", 3),
    ]


async def test_retry_gives_all_attempts_again_at_once(
    engine: AsyncEngine, platform: Platform, database_url: str
) -> None:
    await fail(engine, "quit", "other", times=2, most=2)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as ear:
        await ear.execute(f"LISTEN {CHANGES}".encode())
        async with engine.begin() as conn:
            assert await retry_failing(conn, ["quit", "fine"]) == 1
        assert [n.channel async for n in ear.notifies(timeout=10, stop_after=1)] == [CHANGES]

    state: list[Any] = await platform.rows(
        "SELECT tutor_id, attempts, parked_at IS NULL, next_attempt_at IS NULL FROM tutorwatch.failures ORDER BY 1"
    )
    assert state == [("other", 2, False, True), ("quit", 0, True, False)]
    assert await due(platform) == ["quit"]
    failed_again = await fail_again(engine, "quit", most=2)
    assert (failed_again.attempts, failed_again.parked_at) == (1, None)
    assert DELAY / 2 <= seconds_to_wait(failed_again) <= DELAY + 1


async def test_recording_is_part_of_the_callers_transaction(engine: AsyncEngine, platform: Platform) -> None:
    async with engine.connect() as conn:
        await failures.record(conn, {"a": ValueError()}, Patience(5, DELAY))
        assert await conn.scalar(text("SELECT count(*) FROM tutorwatch.failures")) == 1
        await conn.rollback()

    assert await on_record(platform) == []
