"""The canary: a test change is recorded, a listener answers one, and nothing of either stays anywhere."""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from database.canary import Outcome, Part
from database.condition import Check, Condition, load_condition
from database.connections import open_engine
from database.recording import SWITCH_OFF
from listener import canary
from listener.canary import Tried, send_marker, take_if_due, try_recording
from migrations import upgrade
from tests.support.command import Finished, Running, tutorwatch
from tests.support.databases import cloned
from tests.support.listening import NEVER, generation_held_up, has_settled, is_up, listening, no_shows
from tests.support.partitioned import month, platform_tables
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import eventually

RECORDED = "a session and its metrics, taken back"


@asynccontextmanager
async def engine_of(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url, application_name="tutorwatch-test")
    yield engine
    await engine.dispose()


async def tried(url: str) -> Tried:
    """What the listener's canary finds."""
    async with engine_of(LISTENER.url(url)) as engine:
        return await try_recording(engine)


async def condition_of(url: str) -> Condition:
    async with engine_of(WEB.url(url)) as engine, engine.connect() as conn:
        return await load_condition(conn)


async def run(url: str, *arguments: str) -> Finished:
    """`tutorwatch canary`, beside a listener that runs in this process."""
    return await asyncio.to_thread(tutorwatch, "canary", *arguments, url=LISTENER.url(url))


async def contents(platform: Platform) -> dict[str, list[Any]]:
    """Every row of the platform's tables and of the outbox, with the version of it that is there."""
    tables = await platform.rows(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public' OR tablename ="
        " 'outbox' ORDER BY 1"
    )
    return {
        table: await platform.rows(f"SELECT t.ctid::text, t.xmin::text, t::text FROM {table} AS t ORDER BY t.ctid")
        for table in tables
    }


# Recording


async def test_a_session_and_its_metrics_are_recorded_and_nothing_of_them_stays(
    database_url: str, platform: Platform
) -> None:
    await platform.session("ann", audio={"tutor_talk_ratio": "0.4"}, video={})
    await platform.connection.execute("LISTEN tutorwatch_changes")
    before = await contents(platform)

    found = await tried(database_url)

    assert (found.outcome, found.problem) == (Outcome.RECORDED, "")
    assert 0 < found.seconds < 3
    assert await contents(platform) == before
    written = "SELECT relname FROM pg_stat_user_tables WHERE n_tup_ins = 2 AND relname ~ '^session' ORDER BY 1"
    await platform.connection.execute("SELECT pg_stat_force_next_flush()")

    async def has_written() -> bool:
        return await platform.rows(written) == ["session_audio_metrics", "session_video_metrics", "sessions"]

    await eventually(has_written)
    assert [note async for note in platform.connection.notifies(timeout=0.2)] == []


async def test_caller_who_commits_commits_nothing(database_url: str, platform: Platform) -> None:
    await platform.session("ann", audio={}, video={})
    before = await contents(platform)

    async with await psycopg.AsyncConnection.connect(LISTENER.url(database_url)) as caller:
        await caller.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for isolation in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
            await caller.rollback()
            await caller.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
            cursor = await caller.execute("SELECT tutorwatch.try_recording() ->> 'outcome'")
            assert await cursor.fetchone() == ("recorded",), isolation
            await caller.commit()

    assert await contents(platform) == before
    async with await psycopg.AsyncConnection.connect(WEB.url(database_url)) as caller:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await caller.execute("SELECT tutorwatch.try_recording()")


async def test_killed_in_the_middle_it_leaves_nothing(database_url: str, platform: Platform) -> None:
    """Once as a process, once as the server's backend; the test is held up by a trigger of the platform's."""
    await platform.session("ann", audio={}, video={})
    await platform.connection.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';"
        "CREATE TRIGGER slow AFTER INSERT ON session_video_metrics FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    before = await contents(platform)
    busy = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'try_recording'"
        " AND wait_event = 'PgSleep'"
    )

    async def is_in_the_middle() -> list[int]:
        return await platform.rows(busy)

    async def has_ended() -> bool:
        return not await platform.rows(busy)

    with Running("canary", url=LISTENER.url(database_url)) as command:
        await eventually(is_in_the_middle)
        command.send(signal.SIGKILL)
        await command.end()
        await eventually(has_ended)
    assert await contents(platform) == before

    with Running("canary", url=LISTENER.url(database_url)) as command:
        [backend] = await eventually(is_in_the_middle)
        await platform.rows("SELECT pg_terminate_backend(%s, 10000)", backend)
        assert await command.end() == 1
    assert await contents(platform) == before

    with Running("canary", url=LISTENER.url(database_url)) as command:
        assert await command.line(r"ok +recording +can't be tried: it took longer than 3 s")
        await command.end()
    assert await contents(platform) == before


SILENT = "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END'"
BREAKAGES = [
    pytest.param("DROP TRIGGER tutorwatch_insert ON sessions", "a new session", id="dropped trigger"),
    pytest.param("ALTER TABLE sessions DISABLE TRIGGER tutorwatch_update", "a changed score", id="disabled trigger"),
    pytest.param("ALTER TABLE sessions DISABLE TRIGGER ALL", "a new session", id="all triggers disabled"),
    pytest.param("DROP TRIGGER tutorwatch_delete ON sessions", "a deleted session", id="deletes of sessions"),
    pytest.param("DROP TRIGGER tutorwatch_insert ON session_audio_metrics", "new audio metrics", id="inserts of audio"),
    pytest.param(
        "DROP TRIGGER tutorwatch_update ON session_audio_metrics", "changed audio metrics", id="updates of audio"
    ),
    pytest.param(
        "DROP TRIGGER tutorwatch_delete ON session_audio_metrics", "deleted audio metrics", id="deletes of audio"
    ),
    pytest.param("DROP TRIGGER tutorwatch_insert ON session_video_metrics", "new video metrics", id="inserts of video"),
    pytest.param(
        "DROP TRIGGER tutorwatch_update ON session_video_metrics", "changed video metrics", id="updates of video"
    ),
    pytest.param(
        "DROP TRIGGER tutorwatch_delete ON session_video_metrics", "deleted video metrics", id="deletes of video"
    ),
    pytest.param(
        f"CREATE OR REPLACE FUNCTION tutorwatch.record_sessions() {SILENT}", "a new session", id="silent function"
    ),
    pytest.param(
        f"CREATE OR REPLACE FUNCTION tutorwatch.record_video_metrics() {SILENT}",
        "new video metrics",
        id="silent function of video",
    ),
    pytest.param(
        "CREATE OR REPLACE FUNCTION tutorwatch.record_sessions() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'out of order'; END $$",
        "out of order",
        id="function that raises",
    ),
    pytest.param(
        "ALTER TABLE tutorwatch.outbox ADD CHECK (tutor_id IS NULL) NOT VALID",
        "a new session; tutorwatch could not record a change of sessions: new row for relation",
        id="outbox that takes nothing",
    ),
    pytest.param(
        "CREATE OR REPLACE FUNCTION tutorwatch.record_sessions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " AS $$ BEGIN INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('somebody else'); RETURN NULL; END $$",
        "a new session",
        id="another tutor recorded",
    ),
]


@pytest.mark.parametrize(("breakage", "problem"), BREAKAGES)
async def test_whatever_is_broken_of_recording_is_found_and_named(
    database_url: str, platform: Platform, breakage: str, problem: str
) -> None:
    await platform.session("ann", audio={}, video={})
    await platform.connection.execute(breakage.encode())
    before = await contents(platform)

    found = await tried(database_url)

    assert found.outcome is Outcome.UNRECORDED
    assert found.problem.startswith(problem)
    assert await contents(platform) == before
    done = await run(database_url, "--only", "recording")
    [told] = done.out.splitlines()
    assert done.code == 1
    assert told.startswith(f"!!  recording      not recorded: {problem}")
    assert told.endswith("; run `tutorwatch doctor`")


NEW_TUTOR = "INSERT INTO users (id, email, name, role) VALUES ('ann', 'a@example.test', 'Ann', 'tutor')"
NEW_STUDENT = "INSERT INTO users (id, email, name, role) VALUES ('sam', 's@example.test', 'Sam', 'student')"
NEW_SUBJECT = "INSERT INTO subjects (name, category) VALUES ('Algebra', 'math')"


async def test_platform_without_people_cannot_be_tried_and_one_without_sessions_can(
    database_url: str, platform: Platform
) -> None:
    """Which is no failure."""
    for missing, statement in (
        ("there is no tutor yet", NEW_TUTOR),
        ("there is no student yet", NEW_STUDENT),
        ("column sessions.subject_id is required, and there is no row yet to take a value from", NEW_SUBJECT),
    ):
        found = await tried(database_url)
        assert (found.outcome, found.problem) == (Outcome.UNTRIED, missing)
        await platform.connection.execute(statement.encode())

    assert (await tried(database_url)).outcome is Outcome.RECORDED

    await platform.connection.execute("ALTER TABLE sessions ADD organisation text NOT NULL")
    found = await tried(database_url)
    assert (found.outcome, found.problem) == (
        Outcome.UNTRIED,
        "column sessions.organisation is required, and there is no row yet to take a value from",
    )
    done = await run(database_url, "--only", "recording")
    assert done.code == 0
    assert done.out.startswith("ok  recording      can't be tried: column sessions.organisation is required")


CHANGED_PLATFORMS = [
    pytest.param(
        "ALTER TABLE sessions ADD organisation text; UPDATE sessions SET organisation = 'north';"
        "ALTER TABLE sessions ALTER organisation SET NOT NULL, ADD CHECK (organisation IN ('north', 'south'))",
        id="a required column",
    ),
    pytest.param(
        "ALTER TABLE session_audio_metrics ADD model text; UPDATE session_audio_metrics SET model = 'm';"
        "ALTER TABLE session_audio_metrics ALTER model SET NOT NULL",
        id="a required column of metrics",
    ),
    pytest.param(
        "ALTER TABLE sessions ALTER status DROP DEFAULT, ALTER status TYPE text USING status::text;"
        "ALTER TABLE sessions ADD CHECK (status IN ('completed', 'scheduled'))",
        id="status as text",
    ),
    pytest.param(
        "ALTER TABLE sessions ALTER scheduled_start TYPE timestamptz, ALTER overall_session_score TYPE float8,"
        " ALTER session_number TYPE bigint",
        id="other types",
    ),
    pytest.param(
        "ALTER TABLE sessions ADD number int GENERATED ALWAYS AS IDENTITY,"
        " ADD twice int GENERATED ALWAYS AS (session_number * 2) STORED",
        id="generated columns",
    ),
    pytest.param("ALTER TABLE sessions DROP subject_id, DROP scheduled_duration, DROP ai_summary", id="fewer columns"),
    pytest.param(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION keep();"
        "CREATE TRIGGER keep BEFORE DELETE ON session_audio_metrics FOR EACH ROW EXECUTE FUNCTION keep()",
        id="nothing is ever deleted",
    ),
    pytest.param(
        "CREATE FUNCTION score() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN NEW.overall_session_score := 9; RETURN NEW; END';"
        "CREATE TRIGGER score BEFORE INSERT OR UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION score()",
        id="scores come from a trigger",
    ),
    pytest.param(
        "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'at commit'; END $$;"
        "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON sessions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION later()",
        id="a deferred trigger",
    ),
    pytest.param("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'", id="serializable"),
]


@pytest.mark.parametrize("change", CHANGED_PLATFORMS)
async def test_platform_that_has_changed_is_tried_all_the_same(
    database_url: str, platform: Platform, change: str
) -> None:
    await platform.session("ann", audio={}, video={})
    name = platform.connection.info.dbname
    await platform.connection.execute(change.format(name=f'"{name}"').encode())
    before = await contents(platform)

    found = await tried(database_url)

    assert (found.outcome, found.problem) == (Outcome.RECORDED, "")
    assert await contents(platform) == before


REFUSALS = [
    pytest.param("ALTER TABLE sessions ADD CHECK (session_number > 1)", "violates check constraint", id="a check"),
    pytest.param(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'closed'; END $$;"
        "CREATE TRIGGER no BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION no()",
        "closed",
        id="a trigger that raises",
    ),
    pytest.param(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER no BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION no()",
        "a trigger of the platform's refuses or alters the test session",
        id="a trigger that skips",
    ),
    pytest.param(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status := 'scheduled'; RETURN NEW; END"
        " $$; CREATE TRIGGER no BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION no()",
        "a trigger of the platform's refuses or alters the test session",
        id="a trigger that alters",
    ),
    pytest.param("ALTER TABLE sessions RENAME status TO state", "column", id="a column that is gone"),
    pytest.param("ALTER DATABASE {name} SET default_transaction_read_only = on", "read-only", id="read only"),
]


@pytest.mark.parametrize(("change", "said"), REFUSALS)
async def test_what_the_platform_refuses_is_no_failure_of_recording(
    database_url: str, platform: Platform, change: str, said: str
) -> None:
    await platform.session("ann", number=2, audio={}, video={})
    name = platform.connection.info.dbname
    await platform.connection.execute(change.format(name=f'"{name}"').encode())

    found = await tried(database_url)

    assert found.outcome is Outcome.UNTRIED
    assert said in found.problem


async def test_locked_tables_are_not_waited_for(database_url: str, platform: Platform) -> None:
    """Nor does anybody wait for the canary: a client who locks the tables next gets them at once."""
    await platform.session("ann", audio={}, video={})
    async with await psycopg.AsyncConnection.connect(database_url) as migration:
        await migration.execute("LOCK TABLE session_video_metrics")
        found = await asyncio.wait_for(tried(database_url), 5)
        assert (found.outcome, found.problem) == (Outcome.UNTRIED, "one of its tables is locked")
        await migration.execute("SET lock_timeout = '1s'")
        await migration.execute("LOCK TABLE sessions, users")
    assert (await tried(database_url)).outcome is Outcome.RECORDED


async def test_switch_that_is_off_is_no_failure(database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    await platform.connection.execute(SWITCH_OFF.encode())

    assert (await tried(database_url)).outcome is Outcome.OFF
    done = await run(database_url, "--only", "recording")
    assert done.code == 0
    assert done.out == "ok  recording      not tried: automation is off, so that nothing is recorded, on purpose\n"


async def test_partitioned_sessions(server_url: str, worker_id: str) -> None:
    with cloned(server_url, f"tutorwatch_canary_{worker_id}") as url:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(platform_tables().encode())
            await asyncio.to_thread(upgrade.migrate, url)
            platform = Platform(connection)
            await platform.session("ann", audio={}, video={})
            async with engine_of(url) as engine:
                found = await try_recording(engine)
                assert (found.outcome, found.problem[:26]) == (Outcome.UNTRIED, 'no partition of relation "')
                [now] = await platform.rows("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")
                await connection.execute(month(now).encode())
                assert (await try_recording(engine)).outcome is Outcome.RECORDED
                await connection.execute("ALTER TABLE sessions DISABLE TRIGGER tutorwatch_insert")
                assert (await try_recording(engine)).outcome is Outcome.UNRECORDED


# Waking


async def test_listener_answers_and_generates_nobody(database_url: str, platform: Platform) -> None:
    await platform.session("ann", audio={}, video={})
    async with listening(database_url, poll_seconds=NEVER) as listener:
        await is_up(platform)
        await has_settled(platform)

        async def all_is_reported() -> bool:
            return listener.changes == 3  # the session and both metrics

        await eventually(all_is_reported)
        batches = len(listener.batches)
        before = await contents(platform)

        done = await run(database_url)
        for_programs = await run(database_url, "--json")

        assert (done.code, done.err) == (0, "")
        recording, waking = done.out.splitlines()
        assert recording.startswith(f"ok  recording      {RECORDED}: ")
        assert waking.startswith("ok  waking         answered by ")
        assert waking.endswith(" ms, woken by NOTIFY")
        told = json.loads(for_programs.out)
        assert (for_programs.code, told["is_ok"]) == (0, True)
        assert [part["check"] for part in told["parts"]] == list(Part)
        assert all(0 < part["seconds"] < 30 for part in told["parts"])
        assert len(listener.batches) == batches
        assert await contents(platform) == before


async def test_without_notify_it_is_answered_after_a_poll_and_says_so(database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    await platform.connection.execute("ALTER TABLE tutorwatch.outbox DISABLE TRIGGER tutorwatch_wake")
    async with listening(database_url, poll_seconds=2):
        await is_up(platform)
        done = await run(database_url)

    assert done.code == 0
    assert done.out.splitlines()[1].endswith(", found by a poll: no notification arrived")
    assert await platform.rows("SELECT was_woken FROM tutorwatch.canary_markers") == [False]


async def test_without_a_listener_it_fails_at_once_and_leaves_nothing(database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    await platform.connection.execute("TRUNCATE tutorwatch.outbox")

    done = await run(database_url)

    assert done.code == 1
    assert done.out.splitlines()[1] == "!!  waking         no listener is alive: start `tutorwatch listen`"
    assert await platform.rows("SELECT id FROM tutorwatch.outbox UNION SELECT 1 FROM tutorwatch.canary_markers") == []


async def test_listener_that_is_stopped_does_not_answer(database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    with Running("listen", url=LISTENER.url(database_url)) as listener:
        await listener.log(action="listening")
        await has_settled(platform)
        listener.send(signal.SIGSTOP)
        done = await run(database_url, "--timeout", "1")
        listener.send(signal.SIGCONT)

    assert done.code == 1
    assert done.out.splitlines()[1] == "!!  waking         no answer within 1 s: look into a listener's log"
    assert await platform.rows("SELECT id FROM tutorwatch.outbox UNION SELECT 1 FROM tutorwatch.canary_markers") == []


async def test_listener_that_is_behind_answers_late_which_is_no_failure(database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    async with listening(database_url):
        await is_up(platform)
        await has_settled(platform)
        async with generation_held_up(database_url, "tutor-0001") as let_go:
            await no_shows(platform, 1)
            waiting = asyncio.create_task(run(database_url))

            async def has_sent() -> bool:
                return await platform.rows("SELECT count(*) FROM tutorwatch.canary_markers") == [1]

            await eventually(has_sent)
            await asyncio.sleep(1.0)  # the time that must show
            await let_go()
            done = await waiting

    assert done.code == 0
    [seconds] = await platform.rows(
        "SELECT extract(epoch FROM answered_at - sent_at)::float8 FROM tutorwatch.canary_markers"
    )
    assert seconds >= 1.0


async def test_command_that_is_killed_leaves_a_marker_that_the_next_listener_clears_away(
    database_url: str, platform: Platform
) -> None:
    await platform.session("ann")
    await platform.connection.execute(
        "TRUNCATE tutorwatch.outbox; INSERT INTO tutorwatch.listeners VALUES"
        """ (gen_random_uuid(), 'host', 1, '1', now(), now(), '{"heartbeat_seconds": 300}')"""
    )
    with Running("canary", url=LISTENER.url(database_url)) as command:
        await command.line("ok  recording")

        async def has_sent() -> bool:
            return await platform.rows("SELECT count(*) FROM tutorwatch.outbox") == [1]

        await eventually(has_sent)
        command.send(signal.SIGKILL)
        await command.end()
    assert (await condition_of(database_url)).waiting == 0, "it is no change"

    async with listening(database_url) as listener:
        await has_settled(platform)
    assert listener.changes == 0


async def test_anybody_may_send_payloads(database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    async with listening(database_url):
        await is_up(platform)
        for payload in ("canary ", "canary x", "canary 7475746f-7277-6174-6368-63616e617279", "x" * 7000):
            await platform.connection.execute("SELECT pg_notify('tutorwatch_changes', %s)", [payload])
        assert (await run(database_url)).code == 0


# By the listener


async def stored(platform: Platform) -> tuple[Any, ...]:
    [row] = await platform.rows("SELECT outcome, problem, unrecorded_since FROM tutorwatch.canary")
    return tuple(row)


async def test_listener_tries_both_again_and_again(database_url: str, platform: Platform) -> None:
    await platform.session("ann", audio={}, video={})
    async with listening(database_url, canary_seconds=0.2):

        async def several_answers() -> bool:
            return await platform.rows(
                "SELECT count(*) >= 3 AND bool_and(was_woken) FROM tutorwatch.canary_markers"
                " WHERE answered_at IS NOT NULL"
            ) == [True]

        await eventually(several_answers)
        condition = await condition_of(database_url)

    assert (condition.problems, condition.canary.outcome) == ((), Outcome.RECORDED)
    assert [condition.canary.is_ok(part) for part in Part] == [True, True]
    assert await stored(platform) == ("recorded", None, None)
    assert await platform.rows("SELECT count(*) FROM sessions") == [1]


async def test_listener_whose_canary_is_off_tries_nothing(database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    async with listening(database_url, canary_seconds=0):
        await is_up(platform)
        await has_settled(platform)
    assert await platform.rows("SELECT tried_at FROM tutorwatch.canary") == [None]


async def test_broken_recording_is_told_once_and_so_is_its_end(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "AGAIN_SECONDS", 0.2)
    caplog.set_level(logging.INFO, "listener.canary")
    await platform.session("ann", audio={}, video={})
    await platform.connection.execute(f"CREATE OR REPLACE FUNCTION tutorwatch.record_sessions() {SILENT}".encode())
    async with listening(database_url, canary_seconds=300):

        async def is_told() -> Condition | None:
            condition = await condition_of(database_url)
            return condition if [each.check for each in condition.problems] == [Check.CANARY] else None

        condition = await eventually(is_told)
        assert condition
        assert condition.problems[0].message == (
            "A test change was not recorded (a new session): run `tutorwatch doctor`"
        )
        (_, _, since) = await stored(platform)
        assert condition.problems[0].since == since
        await asyncio.sleep(0.5)  # for more tests of the kind
        assert (await stored(platform))[2] == since

        await asyncio.to_thread(upgrade.migrate, database_url)

        async def is_over() -> bool:
            return (await condition_of(database_url)).is_well

        await eventually(is_over)
    told = [record for record in caplog.records if record.name == "listener.canary"]
    assert [record.levelname for record in told] == ["ERROR", "INFO"]


async def test_right_that_is_missing_is_told_once_and_ends_nothing(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "AGAIN_SECONDS", 0.1)
    await platform.session("ann")
    function = "EXECUTE ON FUNCTION tutorwatch.try_recording"
    await platform.connection.execute(f"REVOKE {function} FROM {LISTENER.name}".encode())
    async with listening(database_url, canary_seconds=0.1):

        async def is_told() -> bool:
            return "The canary failed; nothing else is affected" in caplog.messages

        await eventually(is_told)
        await no_shows(platform, 1)
        await has_settled(platform)
        await asyncio.sleep(0.5)  # for more tests of the kind
        await platform.connection.execute(f"GRANT {function} TO {LISTENER.name}".encode())

        async def is_over() -> bool:
            return await platform.rows("SELECT outcome FROM tutorwatch.canary") == ["recorded"]

        await eventually(is_over)
    assert caplog.messages.count("The canary failed; nothing else is affected") == 1


async def test_of_several_listeners_one_takes_a_test_that_is_due(database_url: str) -> None:
    async with engine_of(LISTENER.url(database_url)) as engine:
        async with engine.begin() as first, engine.begin() as second:
            assert await take_if_due(first, every_seconds=300) is None
            seconds = await asyncio.wait_for(take_if_due(second, every_seconds=300), 5)
            assert seconds is not None, "whoever comes second doesn't wait"
        async with engine.begin() as third:
            seconds = await take_if_due(third, every_seconds=300)
            assert seconds is not None
            assert 290 < seconds <= 300


async def test_markers_do_not_pile_up(database_url: str, platform: Platform) -> None:
    async with engine_of(LISTENER.url(database_url)) as engine:
        for _ in range(3):
            async with engine.begin() as conn:
                await canary.send_marker_unless_one_waits(conn)
        assert await platform.rows("SELECT count(*) FROM tutorwatch.outbox") == [1]
        before = await platform.rows("SELECT id FROM tutorwatch.canary_markers")
        await platform.connection.execute("TRUNCATE tutorwatch.outbox")
        async with engine.begin() as conn:
            await canary.send_marker_unless_one_waits(conn)
        after = await platform.rows("SELECT id FROM tutorwatch.canary_markers")
        assert len(after) == 1
        assert after != before, "one that somebody has deleted is never answered"


# What is told


ALIVE = """
    INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at, figures)
    VALUES (gen_random_uuid(), 'host', 7, '1', now(), now(), '{"heartbeat_seconds": 60}')
"""
UNRECORDED = """
    UPDATE tutorwatch.canary SET tried_at = now(), outcome = 'unrecorded', problem = 'a new session', seconds = 0.01,
        due_at = now() + interval '30 s', unrecorded_since = now() - interval '10 min'
"""


async def send_marker_long_ago(url: str, platform: Platform, seconds: float) -> None:
    async with engine_of(LISTENER.url(url)) as engine, engine.begin() as conn:
        marker = await send_marker(conn)
    await platform.connection.execute(
        "UPDATE tutorwatch.canary_markers SET sent_at = now() - make_interval(secs => %s) WHERE id = %s",
        [seconds, marker],
    )
    await platform.connection.execute("UPDATE tutorwatch.outbox SET recorded_at = now() - interval '1 hour'")


async def test_test_change_without_an_answer_is_told(database_url: str, platform: Platform) -> None:
    await platform.connection.execute(ALIVE)
    await send_marker_long_ago(database_url, platform, 59)
    assert (await condition_of(database_url)).is_well
    await platform.connection.execute("DELETE FROM tutorwatch.outbox; DELETE FROM tutorwatch.canary_markers")
    await send_marker_long_ago(database_url, platform, 61)

    [problem] = (await condition_of(database_url)).problems

    assert problem.check is Check.CANARY
    assert problem.message == "A test change was not answered: look into a listener's log"
    [now] = await platform.rows("SELECT now()")
    assert problem.since
    assert timedelta(seconds=60) < now - problem.since < timedelta(seconds=80)


EXPLAINED = [
    pytest.param("DELETE FROM tutorwatch.listeners", [Check.LISTENERS], id="no listener is alive"),
    pytest.param(
        "INSERT INTO tutorwatch.outbox (tutor_id, recorded_at) VALUES ('ann', now() - interval '2 hours')",
        [Check.WAITING],
        id="a backlog",
    ),
    pytest.param("TRUNCATE tutorwatch.outbox", [], id="somebody emptied the outbox"),
    pytest.param("ALTER TABLE sessions RENAME status TO state", [Check.PLATFORM], id="the platform doesn't fit"),
]


@pytest.mark.parametrize(("happens", "told"), EXPLAINED)
async def test_answer_that_something_else_keeps_away_is_told_by_that_alone(
    database_url: str, platform: Platform, happens: str, told: list[Check]
) -> None:
    await platform.connection.execute(ALIVE)
    await send_marker_long_ago(database_url, platform, 100)
    await platform.connection.execute(happens.encode())

    assert [problem.check for problem in (await condition_of(database_url)).problems] == told


NOT_TOLD = [
    pytest.param("DROP TRIGGER tutorwatch_insert ON sessions", [Check.RECORDING], id="a missing trigger is told"),
    pytest.param(SWITCH_OFF, [Check.RECORDING], id="automation is off"),
    pytest.param("UPDATE tutorwatch.canary SET due_at = now() - interval '3 min'", [], id="nobody tries any more"),
    pytest.param("UPDATE tutorwatch.canary SET outcome = 'untried'", [], id="it can't be tried"),
    pytest.param("UPDATE tutorwatch.canary SET outcome = 'off'", [], id="it was off"),
]


@pytest.mark.parametrize(("happens", "told"), NOT_TOLD)
async def test_no_false_alarm_of_recording(
    database_url: str, platform: Platform, happens: str, told: list[Check]
) -> None:
    await platform.connection.execute(ALIVE)
    await platform.connection.execute(UNRECORDED)
    assert [problem.check for problem in (await condition_of(database_url)).problems] == [Check.CANARY]
    await platform.connection.execute(happens.encode())

    assert [problem.check for problem in (await condition_of(database_url)).problems] == told


async def test_the_outbox_of_clients_is_not_disturbed_by_a_hundred_tests(database_url: str, platform: Platform) -> None:
    """A client's changes of the same tutor, in the same moments, are recorded and generated as ever."""
    await platform.session("ann", audio={}, video={})
    async with listening(database_url, canary_seconds=0.05):
        ids = await no_shows(platform, 20)
        await has_settled(platform)
        alerts = sql.SQL("SELECT count(*) FROM alerts WHERE alert_type = 'no_show_pattern'").as_string(None)
        assert await platform.rows(alerts) == [len(ids)]
    assert await platform.rows("SELECT count(*) FROM sessions") == [41]
