"""Whatever goes wrong in recording, and whatever a client has set, the client's own write commits."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.support.alerts import insert_alert
from tests.support.platform import Platform
from tests.support.recorded import client_of, insert_sessions, listening, take, tutors, update

LOCK_WAIT_SECONDS = 0.1
"""How long a trigger waits for a lock, as the functions set it."""


class Warned:
    """The warnings that a connection gets."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.messages: list[str] = []
        connection.add_notice_handler(self._note)

    def _note(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self.messages.append(f"{diagnostic.severity_nonlocalized}: {diagnostic.message_primary}")

    def take(self) -> list[str]:
        """The warnings since the last call."""
        messages, self.messages[:] = list(self.messages), []
        return messages


@pytest.fixture
async def role(database_url: str, worker_id: str) -> AsyncIterator[str]:
    """A role with rights on the platform's tables and nothing else."""
    name = f"tutorwatch_client_{worker_id}"
    role = sql.Identifier(name)
    async with client_of(database_url) as operator:
        await operator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        await operator.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'client'").format(role))
        await operator.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(role))
    yield name
    async with client_of(database_url) as operator:
        await operator.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
        await operator.execute(sql.SQL("DROP ROLE {}").format(role))


@asynccontextmanager
async def client_as(role: str, database_url: str) -> AsyncIterator[Platform]:
    async with client_of(make_conninfo(database_url, user=role, password="client")) as connection:
        yield Platform(connection)


async def write_everything(client: Platform) -> UUID:
    """Each operation on each table with triggers, TRUNCATE aside; leaves one session, with its metrics."""
    kept = await client.session("tutor", audio={}, video={})
    gone = await client.session("tutor", audio={}, video={})
    for alert_type in ("no_show_pattern", "high_talk_ratio"):
        await insert_alert(client, alert_type=alert_type)
    await update(client, "sessions", "session_number", 5)
    await update(client, "session_audio_metrics", "open_ended_questions", 5)
    await update(client, "session_video_metrics", "tutor_uses_visual_aids", value=True)
    await update(client, "alerts", "resolved", value=True)
    await client.connection.execute("DELETE FROM alerts")
    await client.connection.execute("DELETE FROM session_audio_metrics WHERE session_id = %s", [gone])
    await client.connection.execute("DELETE FROM session_video_metrics WHERE session_id = %s", [gone])
    await client.connection.execute("DELETE FROM sessions WHERE id = %s", [gone])
    return kept


async def replace_in_catalog(operator: psycopg.AsyncConnection[Any], function: str, definition: str) -> None:
    """Gives a built-in function another result, in the test's own database only."""
    name = function.partition("(")[0]
    await operator.execute(f"ALTER FUNCTION pg_catalog.{function} RENAME TO {name}_as_it_was".encode())
    await operator.execute(f"CREATE FUNCTION pg_catalog.{function} {definition}".encode())


# Rights


async def test_a_client_without_rights_on_our_schema_writes_and_is_recorded(
    platform: Platform, database_url: str, role: str
) -> None:
    async with client_as(role, database_url) as client:
        warned = Warned(client.connection)

        kept = await write_everything(client)
        rows = await take(platform)
        await client.connection.execute("TRUNCATE alerts")

        assert warned.take() == []
        assert [tutor for tutor, _ in rows] == ["tutor"] * 16
        assert {session for _, sessions in rows for session in sessions} >= {kept}
        assert await take(platform) == [(None, [])]
        for forbidden in (
            "SELECT FROM tutorwatch.outbox",
            "INSERT INTO tutorwatch.outbox DEFAULT VALUES",
            "SELECT tutorwatch.record_metrics_of('{}', false)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await client.connection.execute(forbidden.encode())


async def test_no_client_may_call_or_attach_our_functions(platform: Platform, role: str) -> None:
    # Even with the schema opened by mistake: whoever could attach them to a table of his own could record anything.
    await platform.connection.execute(sql.SQL("GRANT USAGE ON SCHEMA tutorwatch TO {}").format(sql.Identifier(role)))

    callable_functions = await platform.rows(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p"
        " WHERE pronamespace = 'tutorwatch'::regnamespace AND has_function_privilege(%s, p.oid, 'EXECUTE')",
        role,
    )

    assert callable_functions == []


async def test_every_function_with_the_owners_rights_has_a_pinned_search_path(platform: Platform) -> None:
    paths = await platform.rows(
        "SELECT DISTINCT (SELECT setting FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%')"
        " FROM pg_proc WHERE pronamespace = 'tutorwatch'::regnamespace"
    )

    assert paths == ["search_path=pg_catalog, pg_temp"]


# Recording fails

FAILURES = {
    "outbox renamed": "ALTER TABLE tutorwatch.outbox RENAME TO moved",
    "column dropped": "ALTER TABLE tutorwatch.outbox DROP COLUMN recorded_at, DROP COLUMN tutor_id",
    "column required": "ALTER TABLE tutorwatch.outbox ADD COLUMN needed text NOT NULL",
    "check fails": "ALTER TABLE tutorwatch.outbox ADD CHECK (recorded_at IS NULL)",
    "numbers used up": "ALTER TABLE tutorwatch.outbox ALTER COLUMN id SET MAXVALUE 2 RESTART WITH 2",
    "trigger raises": """
        CREATE FUNCTION tutorwatch.refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON tutorwatch.outbox
            FOR EACH ROW EXECUTE FUNCTION tutorwatch.refuse()
    """,
    "wake-up gone": "ALTER TABLE tutorwatch.outbox DROP COLUMN wakes CASCADE",
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_write_commits_with_a_warning_when_recording_fails(
    platform: Platform, database_url: str, role: str, failure: str
) -> None:
    async with client_of(database_url) as operator:
        await operator.execute(FAILURES[failure].encode())
    async with client_as(role, database_url) as client:
        warned = Warned(client.connection)

        kept = await write_everything(client)
        messages = warned.take()

    assert await platform.rows("SELECT id FROM sessions WHERE tutor_id = 'tutor' AND session_number = 5") == [kept]
    assert await platform.rows("SELECT open_ended_questions FROM session_audio_metrics") == [5]
    for table in ("sessions", "session_audio_metrics", "session_video_metrics", "alerts"):
        assert any(m.startswith(f"WARNING: tutorwatch could not record a change of {table}: ") for m in messages)


async def test_a_transaction_goes_on_after_a_failed_recording(platform: Platform, database_url: str) -> None:
    async with client_of(database_url) as operator:
        await operator.execute("ALTER TABLE tutorwatch.outbox RENAME TO moved")
        async with platform.connection.transaction():
            await platform.session("a")
            await platform.session("b")
            await operator.execute("ALTER TABLE tutorwatch.moved RENAME TO outbox")
            await platform.session("c")

    assert await platform.rows("SELECT tutor_id FROM sessions ORDER BY 1") == ["a", "b", "c"]
    assert await take(platform) == tutors("c")


async def test_a_truncate_commits_when_recording_fails(platform: Platform) -> None:
    await platform.session()
    await platform.connection.execute("ALTER TABLE tutorwatch.outbox RENAME TO moved")
    warned = Warned(platform.connection)

    await platform.connection.execute("TRUNCATE sessions CASCADE")

    assert await platform.rows("SELECT count(*) FROM sessions") == [0]
    assert len([m for m in warned.take() if m.startswith("WARNING: tutorwatch could not record")]) == 4


async def test_a_locked_outbox_delays_a_write_by_about_the_lock_wait(platform: Platform, database_url: str) -> None:
    await platform.session("before")
    await take(platform)
    await platform.user("tutor")
    await platform.connection.execute("SET lock_timeout = '1h'")
    await platform.connection.execute("SET statement_timeout = '10s'")
    warned = Warned(platform.connection)
    async with client_of(database_url) as locker, locker.transaction():
        await locker.execute("LOCK TABLE tutorwatch.outbox IN ACCESS EXCLUSIVE MODE")
        started = time.perf_counter()
        await platform.session()
        seconds = time.perf_counter() - started

    assert LOCK_WAIT_SECONDS <= seconds < 10 * LOCK_WAIT_SECONDS
    assert warned.take() == [
        "WARNING: tutorwatch could not record a change of sessions: canceling statement due to lock timeout"
    ]
    assert await platform.rows("SELECT tutor_id FROM sessions ORDER BY 1") == ["before", "tutor"]
    assert await take(platform) == []
    assert await platform.rows("SHOW lock_timeout") == ["1h"], "the client's own setting is back"


async def test_the_warning_is_all_that_a_client_notices(platform: Platform) -> None:
    await platform.connection.execute("ALTER TABLE tutorwatch.outbox RENAME TO moved")
    await insert_sessions(platform, ["a", "b"], per_tutor=3)

    updated = await platform.connection.execute("UPDATE sessions SET session_number = 4 RETURNING tutor_id")

    assert (updated.statusmessage, sorted(await updated.fetchall())) == ("UPDATE 6", [("a",)] * 3 + [("b",)] * 3)


# A client's own settings and objects

HOSTILE_OBJECTS = """
CREATE SCHEMA hostile;
GRANT USAGE, CREATE ON SCHEMA hostile TO PUBLIC;
CREATE TABLE hostile.calls (what text);
GRANT ALL ON hostile.calls TO PUBLIC;
CREATE TABLE hostile.sessions (LIKE public.sessions);
CREATE TABLE hostile.outbox (LIKE tutorwatch.outbox);
CREATE TABLE hostile.new_rows (id integer);
CREATE TABLE hostile.old_rows (id integer);
CREATE DOMAIN hostile.uuid AS pg_catalog.int4;
CREATE DOMAIN hostile.text AS pg_catalog.int4;
"""

HOSTILE_FUNCTIONS = [
    ("pg_notify(pg_catalog.text, pg_catalog.text)", "void"),
    ("current_setting(pg_catalog.text)", "pg_catalog.text"),
    ("pg_notification_queue_usage()", "pg_catalog.float8"),
    ("unnest(pg_catalog.uuid[])", "SETOF pg_catalog.uuid"),
    ("same(pg_catalog.text, pg_catalog.text)", "boolean"),
    ("same(pg_catalog.varchar, pg_catalog.varchar)", "boolean"),
    ("same(pg_catalog.uuid, pg_catalog.uuid)", "boolean"),
    ("same(pg_catalog.int4, pg_catalog.int4)", "boolean"),
    ("same(pg_catalog.int8, pg_catalog.int8)", "boolean"),
    ("same(pg_catalog.float8, pg_catalog.numeric)", "boolean"),
    ("same(public.session_status, public.session_status)", "boolean"),
    ("step(pg_catalog.text, pg_catalog.text)", "pg_catalog.text"),
    ("step(pg_catalog.varchar, pg_catalog.varchar)", "pg_catalog.varchar"),
    ("step(pg_catalog.uuid[], pg_catalog.uuid)", "pg_catalog.uuid[]"),
    ("step(pg_catalog.int8)", "pg_catalog.int8"),
]
HOSTILE_OPERATORS = [
    (operator, *types)
    for operator in ("=", "<>", "<", ">")
    for types in (
        ("pg_catalog.text", "pg_catalog.text"),
        ("pg_catalog.varchar", "pg_catalog.varchar"),
        ("pg_catalog.uuid", "pg_catalog.uuid"),
        ("pg_catalog.int4", "pg_catalog.int4"),
        ("pg_catalog.int8", "pg_catalog.int8"),
        ("pg_catalog.float8", "pg_catalog.numeric"),
        ("public.session_status", "public.session_status"),
    )
]
HOSTILE_AGGREGATES = [
    ("min(pg_catalog.text)", "pg_catalog.text"),
    ("min(pg_catalog.varchar)", "pg_catalog.varchar"),
    ("array_agg(pg_catalog.uuid)", "pg_catalog.uuid[]"),
]


async def plant(client: psycopg.AsyncConnection[Any]) -> None:
    """Everything that the triggers use, once more in a schema of the client's, and each use of it noted."""
    await client.execute(HOSTILE_OBJECTS)
    for signature, returned in HOSTILE_FUNCTIONS:
        result = "" if returned == "void" or "SETOF" in returned else " RETURN NULL;"
        await client.execute(
            f"CREATE FUNCTION hostile.{signature} RETURNS {returned} LANGUAGE plpgsql AS $$ BEGIN"
            f" INSERT INTO hostile.calls VALUES ('{signature}');{result} END $$".encode()
        )
    for operator, left, right in HOSTILE_OPERATORS:
        arguments = f"FUNCTION = hostile.same, LEFTARG = {left}, RIGHTARG = {right}"
        await client.execute(f"CREATE OPERATOR hostile.{operator} ({arguments})".encode())
    for signature, state in HOSTILE_AGGREGATES:
        await client.execute(f"CREATE AGGREGATE hostile.{signature} (SFUNC = hostile.step, STYPE = {state})".encode())


async def test_a_hostile_search_path_changes_nothing(platform: Platform, database_url: str) -> None:
    for name in ("tutor", "other"):
        await platform.user(name)
    await platform.user("student", role="student")
    await platform.subject()
    await plant(platform.connection)
    async with client_of(database_url) as connection:
        client = Platform(connection, platform.subject_id, {"tutor", "other", "student"})
        warned = Warned(connection)
        await connection.execute("SET search_path = hostile, pg_catalog")
        await connection.execute("SELECT 1 WHERE 'a'::pg_catalog.text = 'a'::pg_catalog.text")
        assert await platform.rows("DELETE FROM hostile.calls RETURNING what"), "the trap works"

        session_id = await client.session(audio={}, video={})
        await client.session("other")
        await update(client, "sessions", "session_number", 5)
        await update(client, "session_audio_metrics", "open_ended_questions", 5)
        await connection.execute("TRUNCATE public.alerts")

    assert warned.take() == []
    assert await platform.rows("SELECT what FROM hostile.calls") == []
    assert await platform.rows("SELECT count(*) FROM hostile.outbox") == [0]
    assert await take(platform) == [
        (None, []),
        ("other", []),
        ("other", []),
        ("tutor", []),
        ("tutor", []),
        *[("tutor", [session_id])] * 3,
    ]


async def test_temporary_tables_of_our_names_change_nothing(platform: Platform) -> None:
    await platform.session("before")
    await take(platform)
    warned = Warned(platform.connection)
    for name in ("sessions", "outbox", "new_rows", "old_rows", "recorded", "changed", "pg_class", "pg_proc"):
        await platform.connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} (tutor_id text)").format(sql.Identifier(name))
        )
    await platform.connection.execute("SET search_path = pg_temp, public, pg_catalog")

    session_id = await platform.session(audio={})
    await update(platform, "sessions", "session_number", 5)

    assert warned.take() == []
    assert await platform.rows("SELECT count(*) FROM pg_temp.outbox") == [0]
    assert await take(platform) == [*tutors("before", "tutor", "tutor"), ("tutor", [session_id])]


SETTINGS = [
    "search_path = ''",
    "plpgsql.extra_errors = 'all'",
    "row_security = off",
    "standard_conforming_strings = off",
    "transform_null_equals = on",
    "array_nulls = off",
    "plan_cache_mode = force_generic_plan",
    "session_replication_role = local",
    "default_transaction_isolation = 'repeatable read'",
    "client_min_messages = error",
    "client_encoding = 'LATIN1'",
    "lock_timeout = '1ms'",
    "work_mem = '64kB'",
]


async def test_a_clients_own_settings_do_not_matter(platform: Platform) -> None:
    await platform.session("tutor", audio={})
    await take(platform)
    warned = Warned(platform.connection)
    for number, setting in enumerate(SETTINGS):
        await platform.connection.execute(f"SET {setting}".encode())

        session_id = await platform.session("tutor", audio={})
        await insert_sessions(platform, ["a", "b"])
        await platform.connection.execute("UPDATE public.sessions SET session_number = %s", [100 + number])

        assert warned.take() == [], setting
        everyone = tutors("a", "a", "b", "b", "tutor", "tutor")
        assert await take(platform) == [*everyone, ("tutor", [session_id])], setting
        await platform.connection.execute("RESET ALL")


# NOTIFY must not make a COMMIT fail


@pytest.mark.parametrize(("usage", "is_notified"), [("0.49", True), ("0.5", False)])
async def test_a_nearly_full_notification_queue_is_left_alone(
    platform: Platform, database_url: str, usage: str, is_notified: bool
) -> None:
    async with client_of(database_url) as operator:
        await replace_in_catalog(
            operator, "pg_notification_queue_usage()", f"RETURNS float8 LANGUAGE sql AS 'SELECT {usage}::float8'"
        )
        await replace_in_catalog(operator, "current_setting(text)", "RETURNS text LANGUAGE sql AS $$ SELECT '0' $$")
    warned = Warned(platform.connection)
    async with listening(database_url) as listener:
        await platform.session()

        await listener.hears_only(platform.connection, *["tutor"] * is_notified)

    assert await take(platform) == tutors("tutor")
    assert warned.take() == []


async def test_nobody_is_notified_where_transactions_can_be_prepared(platform: Platform, database_url: str) -> None:
    async with client_of(database_url) as operator:
        await replace_in_catalog(
            operator,
            "current_setting(text)",
            "RETURNS text LANGUAGE sql AS $$ SELECT CASE $1 WHEN 'max_prepared_transactions' THEN '5' END $$",
        )
    async with listening(database_url) as listener:
        await platform.session(audio={})
        await platform.connection.execute("TRUNCATE alerts")

        await listener.hears_only(platform.connection)

    assert len(await take(platform)) == 3


async def test_a_prepared_transaction_is_recorded(platform: Platform) -> None:
    if await platform.rows("SELECT current_setting('max_prepared_transactions')") == ["0"]:
        pytest.skip("the server allows no prepared transactions (max_prepared_transactions = 0)")
    name = f"tutorwatch-{uuid4()}"
    await platform.user("tutor")
    await platform.connection.execute("BEGIN")
    await platform.session(audio={})
    await platform.connection.execute(f"PREPARE TRANSACTION '{name}'".encode())
    assert await take(platform) == []
    await platform.connection.execute(f"COMMIT PREPARED '{name}'".encode())

    assert [tutor for tutor, _ in await take(platform)] == ["tutor", "tutor"]


# Clients among themselves


async def test_clients_that_write_for_the_same_tutors_in_opposite_order_never_wait(
    platform: Platform, database_url: str
) -> None:
    names = [f"tutor-{n:02}" for n in range(50)]
    await insert_sessions(platform, names)
    await insert_sessions(platform, names)
    ids = await platform.rows("SELECT id FROM sessions ORDER BY id")
    await take(platform)
    backwards = names[::-1]
    # Whoever waited for the other's transaction would wait for ever.
    async with (
        client_of(database_url, options="-c statement_timeout=10s") as one,
        client_of(database_url, options="-c statement_timeout=10s") as two,
    ):
        one_warned, two_warned = Warned(one), Warned(two)
        async with one.transaction(), two.transaction():
            for first, second in ((one, two), (two, one)):
                own = Platform(first, platform.subject_id, {*names, "student"})
                other = Platform(second, platform.subject_id, {*names, "student"})
                await insert_sessions(own, names, per_tutor=2)
                await insert_sessions(other, backwards, per_tutor=2)
            for client, half in ((one, ids[:50]), (two, ids[50:])):
                await client.execute("UPDATE sessions SET session_number = 9 WHERE id = ANY(%s)", [half])
                await client.execute(
                    "INSERT INTO session_audio_metrics (session_id) SELECT * FROM unnest(%s::uuid[]) ORDER BY 1 DESC",
                    [half],
                )
                await client.execute("DELETE FROM sessions WHERE id = ANY(%s)", [half])

        assert (one_warned.take(), two_warned.take()) == ([], [])
    assert len(await take(platform)) >= 4 * len(names)


async def test_serializable_clients_conflict_no_more_often_than_without_us(
    platform: Platform, database_url: str
) -> None:
    session_id = await platform.session(audio={})
    async with client_of(database_url) as one, client_of(database_url) as two:
        for client in (one, two):
            await client.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        # Without the triggers this is serializable: two, then one.
        await two.execute("SELECT tutor_talk_ratio FROM session_audio_metrics WHERE session_id = %s", [session_id])
        await one.execute("UPDATE session_audio_metrics SET tutor_talk_ratio = 0.5 WHERE session_id = %s", [session_id])
        await two.execute("UPDATE sessions SET overall_session_score = 5 WHERE id = %s", [session_id])
        await one.execute("COMMIT")
        await two.execute("COMMIT")


async def test_of_a_serializable_client_the_metrics_leave_the_tutor_to_be_looked_up(platform: Platform) -> None:
    session_id = await platform.session()
    await take(platform)
    await platform.connection.execute("SET default_transaction_isolation = 'serializable'")

    await platform.insert("session_audio_metrics", session_id=session_id)
    assert await take(platform) == [(None, [session_id])]
    await platform.connection.execute("UPDATE session_audio_metrics SET tutor_talk_ratio = 0.5")
    assert await take(platform) == [(None, [session_id])]
    await platform.connection.execute("UPDATE session_audio_metrics SET tutor_talk_ratio = 0.5")
    assert await take(platform) == []
    await platform.connection.execute("DELETE FROM session_audio_metrics")
    assert await take(platform) == [(None, [session_id])]
    await platform.session("other")
    assert await take(platform) == tutors("other")
