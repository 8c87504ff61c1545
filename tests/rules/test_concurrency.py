"""Generations beside each other, tutors that fail, and errors that pass by themselves."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database import transactions
from database.errors import TransientError
from database.transactions import in_transaction
from rules.decisions import Decided, decide_alerts
from rules.generation import Generated, generate, generate_each
from rules.rule import AlertRule, Statistics
from rules.settings import thresholds
from rules.thresholds import Thresholds
from tests.rules.generating import Generation
from tests.support.platform import NOW, Platform
from tests.support.waiting import running, until_blocked

STRUGGLING: dict[str, Any] = {
    "score": "4.0",
    "audio": {"tutor_talk_ratio": "0.9", "student_engagement_score": "3.0", "tutor_checks_understanding_count": 1},
    "video": {"tutor_uses_visual_aids": False},
}


async def write_struggling(platform: Platform, *tutors: str) -> list[UUID]:
    """For each tutor five sessions that open two alerts and show four insights."""
    async with platform.connection.pipeline():
        return [await platform.session(tutor, days_ago=day, **STRUGGLING) for tutor in tutors for day in range(1, 6)]


# The same tutor twice


async def test_second_generation_of_a_tutor_waits_and_sees_what_the_first_wrote(
    platform: Platform, engine: AsyncEngine, generation: Generation, thresholds: Thresholds
) -> None:
    await write_struggling(platform, "tutor")
    async with engine.connect() as conn:
        first = await generate(conn, ["tutor"], NOW, thresholds)
        async with running(generation()) as second:
            await until_blocked(platform.connection)
            assert not second.done()
            await conn.commit()
            assert await second == Generated()

    assert len(first.alerts) == 2
    assert len(first.insights) == 4
    assert await platform.open_alerts() == ["high_talk_ratio", "low_understanding_checks"]
    assert await platform.rows("SELECT count(*) FROM tutor_insights") == [4]


async def test_waiting_generation_sees_sessions_that_came_meanwhile(
    platform: Platform, engine: AsyncEngine, generation: Generation, thresholds: Thresholds
) -> None:
    await platform.session(status="no_show_tutor")
    async with engine.connect() as conn:
        assert await generate(conn, ["tutor"], NOW, thresholds) == Generated()
        async with running(generation()) as second:
            await until_blocked(platform.connection)
            await platform.session(status="no_show_tutor")
            await conn.commit()
            generated = await second
    assert [alert.alert_type for alert in generated.alerts] == ["no_show_pattern"]


async def test_generation_goes_on_when_the_one_before_it_is_rolled_back(
    platform: Platform, engine: AsyncEngine, generation: Generation, thresholds: Thresholds
) -> None:
    await write_struggling(platform, "tutor")
    async with engine.connect() as conn:
        await generate(conn, ["tutor"], NOW, thresholds)
        async with running(generation()) as second:
            await until_blocked(platform.connection)
            await conn.rollback()
            assert len((await second).alerts) == 2
    assert await platform.rows("SELECT count(*) FROM alerts") == [2]


async def test_other_tutors_are_generated_meanwhile(
    platform: Platform, engine: AsyncEngine, generation: Generation, thresholds: Thresholds
) -> None:
    await write_struggling(platform, "busy", "free")
    async with engine.connect() as conn:
        await generate(conn, ["busy"], NOW, thresholds)
        async with asyncio.timeout(20):
            assert len((await generation("free")).alerts) == 2


async def test_many_generations_of_one_tutor_at_once_leave_one_of_each(
    platform: Platform, generation: Generation
) -> None:
    await write_struggling(platform, "tutor")
    results = await asyncio.gather(*(generation() for _ in range(8)))
    assert sorted(len(generated.alerts) for generated in results) == [0] * 7 + [2]
    assert sorted(len(generated.insights) for generated in results) == [0] * 7 + [4]
    assert await platform.rows("SELECT count(*) FROM alerts") == [2]
    assert await platform.rows("SELECT count(*) FROM tutor_insights") == [4]


async def test_overlapping_batches_in_opposite_order_wait_instead_of_deadlocking(
    platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    tutors = [f"tutor-{number}" for number in range(12)]
    await write_struggling(platform, *tutors)
    batches = [tutors, tutors[::-1], tutors[6:] + tutors[:6], tutors[::2] + tutors[1::2]]

    # Once more than a deadlock needs, and with a lock held until all batches queue.
    async with engine.connect() as conn:
        await generate(conn, ["tutor-5"], NOW, thresholds())
        async with running(asyncio.wait_for(_all(generation, batches), 20)) as together:
            await until_blocked(platform.connection, waiting=len(batches))
            await conn.rollback()
            results = await together

    assert sorted(len(generated.alerts) for generated in results) == [0, 0, 0, 24]
    assert await platform.rows("SELECT count(*) FROM alerts") == [24]
    assert await platform.rows("SELECT count(*) FROM tutor_insights") == [48]


async def _all(generation: Generation, batches: list[list[str]]) -> list[Generated]:
    return await asyncio.gather(*(generation(*batch) for batch in batches))


# Tutors that fail


class BrokenRuleError(Exception):
    """What a rule raises in these tests."""


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the alert rules raise this error for these tutors."""

    def fail(*tutors: str, error: Exception) -> None:
        def decide(tutor: Statistics, thresholds: Thresholds) -> list[Decided[AlertRule]]:
            if tutor.tutor_id in tutors:
                raise error
            return decide_alerts(tutor, thresholds)

        monkeypatch.setattr("rules.generation.decide_alerts", decide)

    return fail


async def test_failing_tutor_of_a_large_batch_stops_no_other(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds, fail: Callable[..., None]
) -> None:
    tutors = [f"tutor-{number:03}" for number in range(200)]
    async with platform.connection.pipeline():
        for tutor in tutors:
            for _ in range(2):
                await platform.session(tutor, status="no_show_tutor")
    error = BrokenRuleError("no such rule")
    fail("tutor-077", "tutor-078", "tutor-199", error=error)

    async with engine.begin() as conn:
        generated, failures = await generate_each(conn, tutors, NOW, thresholds)

    assert failures == {"tutor-077": error, "tutor-078": error, "tutor-199": error}
    well = sorted(set(tutors) - set(failures))
    assert sorted(alert.tutor_id for alert in generated.alerts) == well
    assert await platform.rows("SELECT tutor_id FROM alerts WHERE NOT resolved ORDER BY 1") == well


async def test_database_error_of_one_tutor_stops_no_other(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    await platform.connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON alerts FOR EACH ROW WHEN (NEW.tutor_id = 'b') EXECUTE FUNCTION refuse()"
    )
    try:
        await write_struggling(platform, "a", "b", "c")
        async with engine.begin() as conn:
            generated, failures = await generate_each(conn, ["a", "b", "c"], NOW, thresholds)
    finally:
        await platform.connection.execute("DROP TRIGGER refuse ON alerts; DROP FUNCTION refuse()")

    assert list(failures) == ["b"]
    assert "not this one" in str(failures["b"])
    assert {alert.tutor_id for alert in generated.alerts} == {"a", "c"}
    assert await platform.active_insights("b") == []


async def test_batch_without_failures_is_generated_at_once(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    await write_struggling(platform, "a", "b")
    async with engine.begin() as conn:
        generated, failures = await generate_each(conn, ["a", "b"], NOW, thresholds)
        empty = await generate_each(conn, [], NOW, thresholds)
    assert (len(generated.alerts), failures) == (4, {})
    assert empty == (Generated(), {})


async def test_transient_error_is_raised_for_the_whole_batch(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds, fail: Callable[..., None]
) -> None:
    await write_struggling(platform, "a", "b")
    fail("b", error=TransientError("passes"))
    with pytest.raises(TransientError, match="passes"):
        async with engine.begin() as conn:
            await generate_each(conn, ["a", "b"], NOW, thresholds)
    assert await platform.rows("SELECT count(*) FROM alerts") == [0]


async def test_last_attempt_isolates_the_tutor_to_whom_a_transient_error_sticks(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds, fail: Callable[..., None]
) -> None:
    await write_struggling(platform, "a", "b", "c")
    error = TransientError("sticks")
    fail("b", error=error)
    async with engine.begin() as conn:
        generated, failures = await generate_each(conn, ["a", "b", "c"], NOW, thresholds, last_attempt=True)
    assert failures == {"b": error}
    assert {alert.tutor_id for alert in generated.alerts} == {"a", "c"}


@asynccontextmanager
async def _row_locked(database_url: str, tutor: str) -> AsyncIterator[None]:
    """A client holds the tutor's open alerts in a transaction that it doesn't end."""
    async with await psycopg.AsyncConnection.connect(database_url) as client:
        await client.execute("SELECT id FROM alerts WHERE tutor_id = %s FOR UPDATE", [tutor])
        yield
        await client.rollback()


async def test_row_that_a_client_holds_is_a_transient_error_soon(
    platform: Platform, engine: AsyncEngine, generation: Generation, thresholds: Thresholds, database_url: str
) -> None:
    await write_struggling(platform, "a", "b")
    await generation("a", "b")
    async with _row_locked(database_url, "b"):
        with pytest.raises(TransientError, match="lock timeout"):
            async with engine.begin() as conn, asyncio.timeout(15):
                await generate_each(conn, ["a", "b"], NOW, thresholds)
        async with engine.begin() as conn:
            _, failures = await generate_each(conn, ["a", "b"], NOW, thresholds, last_attempt=True)
    assert list(failures) == ["b"]


# Trying again


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again almost at once."""
    monkeypatch.setattr(transactions, "FIRST_RETRY_SECONDS", 0.001)


async def _terminate(platform: Platform, conn: AsyncConnection) -> bool:
    pid = await conn.scalar(text("SELECT pg_backend_pid()"))
    [is_gone] = await platform.rows("SELECT pg_terminate_backend(%s, 5000)", pid)
    return bool(is_gone)


@pytest.mark.usefixtures("_soon")
async def test_work_whose_connection_is_killed_is_done_again(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    await write_struggling(platform, "tutor")
    attempts: list[bool] = []

    async def work(conn: AsyncConnection, is_last_attempt: bool) -> Generated:
        attempts.append(is_last_attempt)
        generated = await generate(conn, ["tutor"], NOW, thresholds)
        if len(attempts) < 3:
            await _terminate(platform, conn)
            await conn.execute(text("SELECT 1"))
        return generated

    generated = await in_transaction(engine, work, attempts=3)

    assert attempts == [False, False, True]
    assert len(generated.alerts) == 2
    assert await platform.open_alerts() == ["high_talk_ratio", "low_understanding_checks"]


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("kills", [pytest.param(1, id="once"), pytest.param(2, id="twice")])
async def test_batch_whose_connection_is_killed_before_it_starts_is_done_again(
    kills: int, platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    await write_struggling(platform, "a", "b")
    killed: list[bool] = []

    async def work(conn: AsyncConnection, is_last_attempt: bool) -> dict[str, Exception]:
        if len(killed) < kills:
            killed.append(await _terminate(platform, conn))
        _, failures = await generate_each(conn, ["a", "b"], NOW, thresholds, last_attempt=is_last_attempt)
        return failures

    assert await in_transaction(engine, work, attempts=3) == {}
    assert await platform.rows("SELECT count(*) FROM alerts") == [4]


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("kills", [pytest.param(1, id="once"), pytest.param(2, id="twice")])
async def test_batch_whose_connection_is_killed_in_the_middle_is_done_again(
    kills: int,
    platform: Platform,
    engine: AsyncEngine,
    thresholds: Thresholds,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await write_struggling(platform, "a", "b")
    killed: list[Any] = []

    def decide(tutor: Statistics, thresholds: Thresholds) -> list[Decided[AlertRule]]:
        if len(killed) < kills:
            with psycopg.connect(database_url) as connection:
                killed.extend(
                    connection.execute(
                        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND state = 'idle in transaction'"
                    ).fetchall()
                )
        return decide_alerts(tutor, thresholds)

    async def work(conn: AsyncConnection, is_last_attempt: bool) -> dict[str, Exception]:
        _, failures = await generate_each(conn, ["a", "b"], NOW, thresholds, last_attempt=is_last_attempt)
        return failures

    monkeypatch.setattr("rules.generation.decide_alerts", decide)

    assert await in_transaction(engine, work, attempts=3) == {}
    assert killed == [(True,)] * kills
    assert await platform.rows("SELECT count(*) FROM alerts") == [4]


@pytest.mark.usefixtures("_soon")
async def test_batch_that_loses_its_connection_every_time_raises_a_transient_error(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    await write_struggling(platform, "a", "b")

    async def work(conn: AsyncConnection, is_last_attempt: bool) -> None:
        await _terminate(platform, conn)
        await generate_each(conn, ["a", "b"], NOW, thresholds, last_attempt=is_last_attempt)

    with pytest.raises(TransientError):
        await in_transaction(engine, work, attempts=3)


@pytest.mark.usefixtures("_soon")
async def test_connection_killed_before_the_commit_is_tried_again(platform: Platform, engine: AsyncEngine) -> None:
    attempts: list[bool] = []

    async def work(conn: AsyncConnection, is_last_attempt: bool) -> None:
        attempts.append(is_last_attempt)
        await conn.execute(text("INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('tutor')"))
        if not is_last_attempt:
            await _terminate(platform, conn)

    await in_transaction(engine, work, attempts=2)

    assert attempts == [False, True]
    assert await platform.rows("SELECT tutor_id FROM tutorwatch.outbox") == ["tutor"]


@pytest.mark.usefixtures("_soon")
async def test_transient_error_is_raised_after_the_last_attempt(platform: Platform, engine: AsyncEngine) -> None:
    attempts: list[bool] = []

    async def work(conn: AsyncConnection, is_last_attempt: bool) -> None:
        attempts.append(is_last_attempt)
        await _terminate(platform, conn)
        await conn.execute(text("SELECT 1"))

    with pytest.raises(TransientError):
        await in_transaction(engine, work, attempts=3)
    assert attempts == [False, False, True]


@pytest.mark.usefixtures("_soon")
async def test_lost_deadlock_is_tried_again(platform: Platform, engine: AsyncEngine) -> None:
    for key in ("a", "b"):
        await platform.user(key)
    met = asyncio.Barrier(2)
    attempts: list[str] = []

    async def work_in(first: str, second: str) -> None:
        async def work(conn: AsyncConnection, _is_last_attempt: bool) -> None:
            attempts.append(first)
            lock = text("SELECT id FROM public.users WHERE id = :id FOR UPDATE")
            await conn.execute(lock, {"id": first})
            if len(attempts) <= 2:
                await met.wait()
            await conn.execute(lock, {"id": second})

        await in_transaction(engine, work, attempts=3)

    async with asyncio.timeout(20):
        await asyncio.gather(work_in("a", "b"), work_in("b", "a"))
    assert len(attempts) == 3


async def test_transaction_warns_of_nothing(engine: AsyncEngine) -> None:
    async def work(_conn: AsyncConnection, _is_last_attempt: bool) -> None:
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await in_transaction(engine, work, attempts=1)


async def test_error_of_the_work_itself_is_not_tried_again(engine: AsyncEngine) -> None:
    attempts: list[bool] = []

    async def work(_conn: AsyncConnection, is_last_attempt: bool) -> None:
        attempts.append(is_last_attempt)
        raise BrokenRuleError

    with pytest.raises(BrokenRuleError):
        await in_transaction(engine, work, attempts=3)
    assert attempts == [False]


async def test_failed_work_leaves_nothing_behind(platform: Platform, engine: AsyncEngine) -> None:
    async def work(conn: AsyncConnection, _is_last_attempt: bool) -> None:
        await conn.execute(text("INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('tutor')"))
        raise BrokenRuleError

    with pytest.raises(BrokenRuleError):
        await in_transaction(engine, work, attempts=3)
    assert await platform.rows("SELECT count(*) FROM tutorwatch.outbox") == [0]
