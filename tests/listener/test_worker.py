"""The worker: tutors that fail, obstacles that pass, and little to do when there is nothing to do."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from listener import failures, outbox
from listener.batch import Batch
from listener.canary import Markers
from listener.failures import Patience
from listener.processing import Context
from listener.schedule import Schedule
from listener.settings import ListenerSettings
from listener.signals import Signals
from listener.sweep import sweep
from listener.watch import PlatformWatch
from listener.worker import Worker
from rules import generation
from rules.decisions import Decided, decide_alerts
from rules.rule import AlertRule, Statistics
from rules.settings import thresholds
from rules.store import store_insights
from rules.thresholds import Thresholds
from tests.support.listening import (
    NEVER,
    alerted,
    beside,
    generation_held_up,
    has_settled,
    held_up_backend,
    held_up_backends,
    no_shows,
    waiting,
)
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.waiting import eventually

POISONED = "tutor-0123"


@pytest.fixture(autouse=True)
def _capture_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The tutors for whom the alert rules raise; a test adds and removes some."""
    poisoned: set[str] = set()

    def decide_or_raise(tutor: Statistics, thresholds: Thresholds) -> list[Decided[AlertRule]]:
        if tutor.tutor_id in poisoned:
            raise ZeroDivisionError(f"poisoned {tutor.tutor_id}")
        return decide_alerts(tutor, thresholds)

    monkeypatch.setattr(generation, "decide_alerts", decide_or_raise)
    return poisoned


class Working:
    """A worker and what it has done."""

    def __init__(self, engine: AsyncEngine, settings: ListenerSettings) -> None:
        self.batches: list[Batch] = []
        self.signals = Signals()
        self.signals.is_connected = True
        self.worker = Worker(
            Context(
                engine,
                settings,
                thresholds(),
                PlatformWatch(engine),
                Markers(),
                Schedule(settings),
                self.signals,
                on_batch=self.batches.append,
            )
        )

    @property
    def failed(self) -> list[tuple[str, int, bool]]:
        """Tutor, attempts and whether dead-lettered, of each failure so far."""
        return [(f.tutor_id, f.attempts, f.parked_at is not None) for batch in self.batches for f in batch.failed]

    async def has_reported_failures(self, count: int) -> None:
        """Waits for so many: a batch is reported after its commit, which others see before."""

        async def has_reported() -> bool:
            return len(self.failed) >= count

        await eventually(has_reported)


@asynccontextmanager
async def working(engine: AsyncEngine, **settings: Any) -> AsyncIterator[Working]:
    """A worker alone, without anything that wakes it."""
    at_work = Working(engine, ListenerSettings(**{"poll_seconds": NEVER} | settings))
    async with beside(at_work.worker.run(), at_work.signals.stop):
        yield at_work


def worst(caplog: pytest.LogCaptureFixture, logger: str = "listener.batch") -> list[tuple[str, str]]:
    """Warnings and errors: level and message."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == logger
    ]


# A tutor whose lock somebody else has


async def test_tutor_whose_lock_somebody_else_has_is_on_record_with_who_it_is(
    database_url: str, platform: Platform
) -> None:
    (tutor,) = await no_shows(platform, 1)
    impatient = open_engine(
        LISTENER.url(database_url), application_name="tutorwatch-worker", settings={"lock_timeout": "100ms"}
    )
    record = "SELECT last_error FROM tutorwatch.failures WHERE last_error LIKE %s"
    holder = r"pid \d+ \(obstacle\) of role \S+"

    async with working(impatient, transient_attempts=1, failure_delay_seconds=0.1):
        async with generation_held_up(database_url, tutor):
            (failed,) = await eventually(partial(platform.rows, record, "TutorLockedError%"))
            (begun,) = await eventually(partial(platform.rows, record, "No outcome yet%"))
        await eventually(lambda: has_alert(platform, tutor))
        await has_settled(platform)
    await impatient.dispose()

    assert re.fullmatch(f"TutorLockedError: somebody else has the tutor's lock: {holder}", failed)
    assert re.fullmatch(f"No outcome yet: when the attempt began, somebody else had the tutor's lock: {holder}", begun)
    assert await platform.rows("SELECT tutor_id FROM tutorwatch.failures") == []


async def has_alert(platform: Platform, tutor: str) -> bool:
    return await alerted(platform) == [tutor]


# A tutor that fails


@pytest.mark.parametrize("batch_size", [7, 500])
async def test_failing_tutor_stops_none_of_the_200_others(
    engine: AsyncEngine, platform: Platform, poison: set[str], batch_size: int, caplog: pytest.LogCaptureFixture
) -> None:
    tutors = await no_shows(platform, 201)
    poison.add(POISONED)

    async with working(engine, batch_size=batch_size) as at_work:
        await has_settled(platform)

    assert await alerted(platform) == [tutor for tutor in tutors if tutor != POISONED]
    assert at_work.failed == [(POISONED, 1, False)]
    assert await platform.rows("SELECT tutor_id, last_error FROM tutorwatch.failures") == [
        (POISONED, f"ZeroDivisionError: poisoned {POISONED}")
    ]
    assert worst(caplog) == [
        (
            "WARNING",
            f"Generation failed for tutor {POISONED} (attempt 1, will be tried again):"
            f" ZeroDivisionError: poisoned {POISONED}",
        )
    ]


async def test_failing_batch_is_halved_until_its_failing_tutor_stands_alone(
    engine: AsyncEngine, platform: Platform, poison: set[str]
) -> None:
    """Peeled one by one it would be generated up to 64 times."""
    tutors = await no_shows(platform, 64)
    poison.add(tutors[-1])
    generations: list[str] = []
    event.listen(
        engine.sync_engine,
        "before_cursor_execute",
        lambda *a: generations.append(a[2]) if "pg_advisory_xact_lock(keys.key)" in a[2] else None,
    )

    async with working(engine) as at_work:
        await has_settled(platform)
        await at_work.has_reported_failures(1)

    assert at_work.failed == [(tutors[-1], 1, False)]
    together, whole, halvings = 1, 1, 6
    assert len(generations) == together + whole + 2 * halvings


async def test_several_failing_tutors_are_each_on_record(
    engine: AsyncEngine, platform: Platform, poison: set[str]
) -> None:
    tutors = await no_shows(platform, 50)
    poison |= {tutors[0], tutors[24], tutors[25], tutors[49]}

    async with working(engine) as at_work:
        await has_settled(platform)

    assert sorted(tutor for tutor, _, _ in at_work.failed) == sorted(poison)
    assert set(await alerted(platform)) == set(tutors) - poison


async def test_tutor_that_fails_past_a_batch_is_tried_again_after_it(
    engine: AsyncEngine, database_url: str, platform: Platform, poison: set[str]
) -> None:
    (held,) = await no_shows(platform, 1)
    poison.add("tutor-0002")
    async with (
        generation_held_up(database_url, held) as let_go,
        working(engine, failure_delay_seconds=0.1) as at_work,
    ):
        await held_up_backend(platform)
        await no_shows(platform, 2, first=2)

        at_work.signals.wake_for_newest()

        await at_work.has_reported_failures(1)
        assert await alerted(platform) == ["tutor-0003"]
        poison.clear()
        await let_go()

        await eventually(partial(_are_alerted, platform, [held, "tutor-0002", "tutor-0003"]))


async def test_new_change_of_a_tutor_who_is_being_generated_holds_up_no_other(
    engine: AsyncEngine, database_url: str, platform: Platform
) -> None:
    (held,) = await no_shows(platform, 1)
    async with generation_held_up(database_url, held) as let_go, working(engine) as at_work:
        await held_up_backend(platform)
        await no_shows(platform, 2, each=3)  # one of them anew

        at_work.signals.wake_for_newest()

        await eventually(partial(_are_alerted, platform, ["tutor-0002"]))
        assert await waiting(platform) == [held, held]  # the first of them claimed
        await let_go()

        await eventually(partial(_are_alerted, platform, [held, "tutor-0002"]))


async def _are_alerted(platform: Platform, tutors: list[str]) -> bool:
    return await alerted(platform) == tutors


async def test_failing_tutor_is_tried_again_and_dead_lettered_at_last(
    engine: AsyncEngine, platform: Platform, poison: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    await no_shows(platform, 200)
    poison.add(POISONED)

    async with working(engine, failure_attempts=3, failure_delay_seconds=0.2) as at_work:

        async def is_dead_lettered() -> bool:
            rows = await platform.rows("SELECT parked_at IS NOT NULL, unfinished FROM tutorwatch.failures")
            return bool(rows == [(True, False)])

        await eventually(is_dead_lettered)  # by itself: nothing wakes the worker, and its poll is far away
        await at_work.has_reported_failures(3)
        statements = len(at_work.batches)
        await asyncio.sleep(0.5)

    assert at_work.failed == [(POISONED, 1, False), (POISONED, 2, False), (POISONED, 3, True)]
    assert len(at_work.batches) == statements
    assert [level for level, _ in worst(caplog)] == ["WARNING", "WARNING", "ERROR"]
    assert "attempt 3, gave up; correct the cause, then run `tutorwatch retry`" in worst(caplog)[-1][1]
    assert len(await alerted(platform)) == 199


async def test_last_attempt_is_told_beforehand_where_the_one_before_ended_its_listener(
    engine: AsyncEngine, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    await platform.user("tutor")
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["tutor"])
        await failures.begin_attempt(conn, Patience(2, 0.01))

    async with working(engine, failure_attempts=2):
        await has_settled(platform)

    ((level, message),) = worst(caplog)
    assert (level, message.partition(":")[0]) == ("ERROR", "Generating tutor tutor for the last time (attempt 2)")
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []


async def test_new_change_gives_a_dead_lettered_tutor_one_more_chance(
    engine: AsyncEngine, platform: Platform, poison: set[str]
) -> None:
    (tutor,) = await no_shows(platform, 1)
    poison.add(tutor)
    async with working(engine, failure_attempts=1, poll_seconds=0.1) as at_work:
        await has_settled(platform)
        await at_work.has_reported_failures(1)
        assert at_work.failed == [(tutor, 1, True)]

        await no_shows(platform, 1)
        await has_settled(platform)
        await at_work.has_reported_failures(2)
        assert at_work.failed == [(tutor, 1, True), (tutor, 2, True)]
        since = await platform.rows("SELECT parked_at < last_failed_at FROM tutorwatch.failures")
        assert since == [True]

        poison.clear()
        await no_shows(platform, 1)
        await has_settled(platform)

    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []
    assert await alerted(platform) == [tutor]
    assert len(at_work.failed) == 2


async def test_tutor_that_succeeds_at_the_retry_is_forgotten(
    engine: AsyncEngine, platform: Platform, poison: set[str]
) -> None:
    (tutor,) = await no_shows(platform, 1)
    poison.add(tutor)
    async with working(engine, failure_delay_seconds=0.5):
        await has_settled(platform)
        assert await platform.rows("SELECT tutor_id FROM tutorwatch.failures") == [tutor]
        poison.clear()

        async def is_forgotten() -> bool:
            return await platform.rows("SELECT * FROM tutorwatch.failures") == []

        await eventually(is_forgotten)

    assert await alerted(platform) == [tutor]


async def test_failing_batch_writes_no_insight_of_its_failing_tutor(
    engine: AsyncEngine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure comes after the alerts were written: they must go too."""
    tutors = await no_shows(platform, 8)

    async def store_or_raise(conn: Any, tutor_ids: Sequence[str], *rest: Any) -> Any:
        stored = await store_insights(conn, tutor_ids, *rest)
        if tutors[3] in tutor_ids:
            raise KeyError("late")
        return stored

    monkeypatch.setattr(generation, "store_insights", store_or_raise)

    async with working(engine) as at_work:
        await has_settled(platform)

    assert await alerted(platform) == tutors[:3] + tutors[4:]
    assert sorted(a.tutor_id for batch in at_work.batches for a in batch.generated.alerts) == tutors[:3] + tutors[4:]
    assert at_work.failed == [(tutors[3], 1, False)]


# What passes by itself


async def test_row_that_a_client_has_locked_is_waited_for(
    engine: AsyncEngine,
    platform: Platform,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(generation, "WRITE_LOCK_WAIT", "50ms")
    (tutor,) = await no_shows(platform, 1)
    async with working(engine, poll_seconds=0.1, transient_attempts=20) as at_work:
        await has_settled(platform)
        async with await psycopg.AsyncConnection.connect(database_url) as other_client:
            await other_client.execute("SELECT FROM alerts FOR UPDATE")
            await no_shows(platform, 1, each=1)

            async def is_retrying() -> bool:
                return len(worst(caplog, "database.transactions")) >= 2

            await eventually(is_retrying)
            assert await waiting(platform) == [tutor]

        await has_settled(platform)

    assert at_work.failed == []
    assert await platform.rows("SELECT cardinality(session_ids) FROM tutorwatch.alert_evidence") == [3]
    assert await platform.rows("SELECT description FROM alerts") == ["3 no-shows in 30 days (alert from 2)"]


async def test_row_that_stays_locked_holds_up_its_own_tutor_only(
    engine: AsyncEngine, platform: Platform, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "WRITE_LOCK_WAIT", "50ms")
    tutors = await no_shows(platform, 20)
    async with working(engine, poll_seconds=0.1, transient_attempts=2, failure_delay_seconds=0.5) as at_work:
        await has_settled(platform)
        async with await psycopg.AsyncConnection.connect(database_url) as other_client:
            await other_client.execute("SELECT FROM alerts WHERE tutor_id = %s FOR UPDATE", [tutors[7]])
            await no_shows(platform, 20, each=1)
            await has_settled(platform)
            counted = await platform.rows(
                "SELECT tutor_id FROM tutorwatch.alert_evidence WHERE cardinality(session_ids) = 3 ORDER BY 1"
            )
            assert counted == tutors[:7] + tutors[8:]
            await at_work.has_reported_failures(1)
            assert at_work.failed[0] == (tutors[7], 1, False)

        async def is_through() -> bool:
            return await platform.rows("SELECT * FROM tutorwatch.failures") == []

        await eventually(is_through)

    assert {tutor for tutor, _, _ in at_work.failed} == {tutors[7]}
    assert await platform.rows("SELECT DISTINCT cardinality(session_ids) FROM tutorwatch.alert_evidence") == [3]


async def test_tutor_that_fails_in_passing_is_no_failure(
    engine: AsyncEngine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tutor,) = await no_shows(platform, 1)
    attempts = 0

    def lose_the_connection_twice(statistics: Statistics, thresholds: Thresholds) -> list[Decided[AlertRule]]:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise psycopg.OperationalError("the connection is lost")
        return decide_alerts(statistics, thresholds)

    monkeypatch.setattr(generation, "decide_alerts", lose_the_connection_twice)
    async with working(engine, transient_attempts=3) as at_work:
        await has_settled(platform)

    assert (attempts, at_work.failed) == (3, [])
    assert await alerted(platform) == [tutor]


@pytest.mark.filterwarnings("error::DeprecationWarning")
async def test_nothing_it_uses_is_deprecated(engine: AsyncEngine, platform: Platform) -> None:
    await no_shows(platform, 1)
    async with working(engine):
        await has_settled(platform)


# Two batches in flight


async def test_second_batch_is_in_flight_beside_a_full_one(
    engine: AsyncEngine, database_url: str, platform: Platform
) -> None:
    tutors = await no_shows(platform, 40)
    order = await waiting(platform)
    async with (
        generation_held_up(database_url, order[5]) as let_go,
        generation_held_up(database_url, order[15]) as let_the_other_go,
        working(engine, batch_size=10) as at_work,
    ):
        await held_up_backends(platform, 2)
        assert at_work.batches == []
        await let_the_other_go()  # the second goes on alone, batch after batch

        await eventually(partial(_are_alerted, platform, sorted(order[10:])))
        await let_go()

        await eventually(partial(_are_alerted, platform, tutors))
    assert sorted(batch.tutors for batch in at_work.batches if batch.tutors) == [10] * 4


async def test_stop_during_the_last_batch_of_a_backlog_ends_the_worker(
    engine: AsyncEngine, database_url: str, platform: Platform
) -> None:
    await no_shows(platform, 15)
    order = await waiting(platform)
    async with generation_held_up(database_url, order[12]) as let_go, working(engine, batch_size=10) as at_work:
        await held_up_backend(platform)
        at_work.signals.stop()
        await let_go()
    assert await alerted(platform) == sorted(order)


async def test_batch_that_is_not_full_is_alone_in_flight(
    engine: AsyncEngine, database_url: str, platform: Platform
) -> None:
    (held,) = await no_shows(platform, 1)
    async with generation_held_up(database_url, held) as let_go, working(engine, batch_size=10) as at_work:
        await held_up_backend(platform)
        await no_shows(platform, 5, first=2)
        at_work.signals.wake()
        await asyncio.sleep(0.5)
        assert (await alerted(platform), at_work.batches) == ([], [])

        await let_go()

        await has_settled(platform)


async def test_what_fails_in_the_second_batch_is_on_record_and_tried_again(
    engine: AsyncEngine, database_url: str, platform: Platform, poison: set[str]
) -> None:
    tutors = await no_shows(platform, 20)
    order = await waiting(platform)
    failing = order[15]
    poison.add(failing)
    async with (
        generation_held_up(database_url, order[5]) as let_go,
        working(engine, batch_size=10, failure_delay_seconds=0.1) as at_work,
    ):
        await at_work.has_reported_failures(1)
        assert at_work.failed[0] == (failing, 1, False)
        assert await alerted(platform) == sorted({*order[10:]} - {failing})
        poison.clear()
        await let_go()

        await eventually(partial(_are_alerted, platform, tutors))


# Waking and resting


async def test_wake_up_during_a_batch_means_to_look_once_more(
    engine: AsyncEngine, platform: Platform, database_url: str
) -> None:
    (tutor,) = await no_shows(platform, 1)
    async with generation_held_up(database_url, tutor) as let_go, working(engine) as at_work:
        await held_up_backend(platform)
        await no_shows(platform, 1, first=2)
        at_work.signals.wake()

        await let_go()

        await has_settled(platform)
    assert await alerted(platform) == ["tutor-0001", "tutor-0002"]


async def test_change_that_another_listener_gave_back_is_found_without_a_wake_up(
    engine: AsyncEngine, platform: Platform
) -> None:
    (tutor,) = await no_shows(platform, 1)
    looks: list[str] = []
    async with engine.connect() as another:
        await outbox.claim(another, 1)
        event.listen(engine.sync_engine, "after_cursor_execute", lambda *a: looks.append(a[2]))
        async with working(engine) as at_work:

            async def has_looked_twice() -> bool:
                return sum("others_hold_changes" in look for look in looks) >= 2

            await eventually(has_looked_twice)
            assert at_work.batches == []

            await another.rollback()

            await has_settled(platform)
    assert await alerted(platform) == [tutor]


@pytest.mark.parametrize(
    ("is_connected", "settings"),
    [
        pytest.param(True, {"poll_seconds": 0.2, "fallback_poll_seconds": 60}, id="connected"),
        pytest.param(False, {"poll_seconds": 60, "fallback_poll_seconds": 0.2}, id="lost"),
    ],
)
async def test_idle_worker_asks_little(
    engine: AsyncEngine, platform: Platform, is_connected: bool, settings: dict[str, float]
) -> None:
    statements: list[str] = []

    def count(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    async with working(engine, **settings) as at_work:
        at_work.signals.is_connected = is_connected

        async def three_rounds() -> bool:
            return sum("FOR UPDATE SKIP LOCKED" in statement for statement in statements) >= 4

        await eventually(three_rounds)
    first = next(number for number, statement in enumerate(statements) if "FOR UPDATE SKIP LOCKED" in statement)
    later = statements[first:]  # at the start the platform's schema is looked at
    rounds = sum("FOR UPDATE SKIP LOCKED" in statement for statement in later)
    assert len(later) <= 4 * rounds
    assert await platform.rows("SELECT count(*) FROM tutorwatch.outbox") == [0]


async def test_worker_that_is_not_woken_rests_until_its_poll(engine: AsyncEngine, platform: Platform) -> None:
    statements: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    async with working(engine) as at_work:

        async def rests() -> bool:
            asked = len(statements)
            await asyncio.sleep(1)
            return 0 < asked == len(statements)

        await eventually(rests)
        asked = len(statements)
        await asyncio.sleep(1.5)
        assert len(statements) == asked

        await no_shows(platform, 1)
        at_work.signals.wake()
        await has_settled(platform)


async def test_attempt_that_another_listener_is_about_to_begin_is_asked_for_now_and_then(
    engine: AsyncEngine, platform: Platform
) -> None:
    looks: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *a: looks.append(a[2]))
    await platform.user("failing")
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["failing"])
    async with engine.connect() as another:
        await another.execute(text("SELECT FROM tutorwatch.failures FOR UPDATE"))
        async with working(engine):
            await asyncio.sleep(1)
            looks.clear()
            await asyncio.sleep(1)

            async def has_looked() -> bool:
                return bool(looks)

            await eventually(has_looked)
            assert len(looks) < 100  # many more, if it didn't rest

            await another.rollback()
            await has_settled(platform)
    assert await platform.rows("SELECT count(*) FROM tutorwatch.failures") == [0]


async def test_worker_looks_again_for_writers_who_left_the_waking_to_another(
    engine: AsyncEngine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.schedule.FOLLOW_UP_SECONDS", (0.1, 1.0, 5.0, 25.0))  # however late the test writes
    async with working(engine) as at_work:
        (woken,) = await no_shows(platform, 1)
        at_work.signals.wake()
        await has_settled(platform)

        (unannounced,) = await no_shows(platform, 1, first=2)
        await has_settled(platform)

    assert await alerted(platform) == [woken, unannounced]


async def test_changes_that_could_not_be_recorded_are_swept_up_at_the_next_poll(
    engine: AsyncEngine, platform: Platform, database_url: str
) -> None:
    async with working(engine, poll_seconds=0.2) as at_work:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as operator:
            await operator.execute("ALTER TABLE tutorwatch.outbox ADD CONSTRAINT full_disk CHECK (tutor_id IS NULL)")
            async with platform.connection.transaction():
                tutors = await no_shows(platform, 1)
                await operator.execute("ALTER TABLE tutorwatch.outbox DROP CONSTRAINT full_disk")

                async def has_swept() -> bool:
                    return bool(at_work.batches)

                await eventually(has_swept)
                assert await alerted(platform) == []  # not yet committed: a sweep could not see it

        async def is_alerted() -> bool:
            return await alerted(platform) == tutors

        await eventually(is_alerted)
        again = await platform.rows("SELECT unrecorded_seen, again_after FROM tutorwatch.sweep")
    assert again == [(1, None)]


async def test_second_look_comes_after_the_end_of_a_writer_who_began_during_the_first(
    engine: AsyncEngine, platform: Platform, database_url: str
) -> None:
    """That writer isn't in the snapshot that the first look began with, and noted its change before that was read."""
    await platform.connection.execute("""
        ALTER SEQUENCE tutorwatch.unrecorded RENAME TO noted;
        CREATE VIEW tutorwatch.unrecorded AS
            SELECT noted.last_value, noted.is_called
            FROM (SELECT pg_advisory_lock_shared(1)::text AS held_up OFFSET 0) AS first, tutorwatch.noted
            WHERE held_up = '';
        SELECT pg_advisory_lock(1)
    """)
    async with engine.connect() as looking, await psycopg.AsyncConnection.connect(database_url) as writer:
        first_look = asyncio.create_task(sweep(looking, every_hours=NEVER))
        await eventually(partial(_is_held_up, platform))
        await writer.execute("CREATE TABLE change (); SELECT nextval('tutorwatch.noted')")
        await platform.rows("SELECT pg_advisory_unlock(1)")
        await first_look
        await looking.commit()

        for is_ended in (False, True):
            await sweep(looking, every_hours=NEVER)
            await looking.commit()
            again = await platform.rows("SELECT again_after IS NULL FROM tutorwatch.sweep")
            assert again == [is_ended]
            assert len(await waiting(platform)) == 1 + is_ended  # rows for every tutor
            await writer.commit()


async def _is_held_up(platform: Platform) -> bool:
    return bool(await platform.rows("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


async def test_worker_stops_once_however_often_it_is_told(engine: AsyncEngine) -> None:
    async with working(engine) as at_work:
        at_work.signals.stop()
        at_work.signals.stop()
    at_work.signals.stop()
