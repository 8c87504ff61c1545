"""What isn't a bug of ours ends in one line that says what to do."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from database.connections import connect
from database.errors import CannotEvaluateError, SchemaMismatchError
from scripts.explanations import explain, explain_all
from tests.support.command import tutorwatch
from tests.support.platform import Platform
from tests.support.roles import LISTENER

WRITING = [
    ["automation", "off"],
    ["automation", "on"],
    ["migrate"],
    ["retry", "--all"],
    ["token", "create", "x"],
    ["backfill"],
    ["uninstall", "--yes"],
    ["rights", "--listener", "pg_monitor", "--web", "pg_monitor"],
]


@pytest.fixture
async def read_only_url(database_url: str, platform: Platform) -> str:
    await platform.user("ann")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = on".encode())
    return database_url


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_database_that_is_read_only_by_default_is_said_to_be(command: list[str], read_only_url: str) -> None:
    done = tutorwatch(*command, url=read_only_url)

    if command == ["migrate"] and done.code == 0:
        return  # nothing to do
    assert (done.code, "Traceback" in done.err) == (1, False)
    line = done.err.strip().splitlines()[-1]
    assert line.startswith("The database is read-only (cannot execute ")
    assert "?options=-c%20default_transaction_read_only%3Doff" in line
    assert "went away" not in line


def test_automation_is_switched_off_all_the_same_in_the_way_that_is_said(read_only_url: str) -> None:
    on_purpose = make_conninfo(read_only_url, options="-c default_transaction_read_only=off")

    done = tutorwatch("automation", "off", url=on_purpose)

    assert (done.code, done.out) == (0, "Automation is off.\n")


@pytest.mark.parametrize("command", ["status", "failures", "backfill", "retry --all", "token list", "automation off"])
def test_a_database_without_tutorwatch_is_said_to_be(command: str, platform_url: str) -> None:
    done = tutorwatch(*command.split(), url=platform_url)

    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "tutorwatch migrate" in done.err


@pytest.fixture
def failing(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(LISTENER.url(database_url), application_name="test") as connection:
        yield connection


def explained(connection: psycopg.Connection, statement: str) -> str:
    with pytest.raises(psycopg.Error) as failed:
        connection.execute(statement.encode())
    return explain(failed.value) or ""


def test_hidden_rows_are_said_to_be(database_url: str, failing: psycopg.Connection) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY")
        owner.execute("CREATE POLICY everything ON sessions USING (true)")

    told = explained(failing, "SELECT count(id) FROM public.sessions")

    assert told.startswith("Row-level security hides rows from the database's role (query would be affected by")
    assert "BYPASSRLS" in told


def test_a_missing_right_points_to_the_list_of_rights(failing: psycopg.Connection) -> None:
    told = explained(failing, "DELETE FROM public.sessions")

    assert told == "The database's role may not do that (permission denied for table sessions): see docs/rights.md"


def test_a_table_that_has_gone_is_said_to_have(failing: psycopg.Connection) -> None:
    assert 'relation "public.gone" does not exist' in explained(failing, "SELECT FROM public.gone")


def test_bytes_that_are_no_text_are_said_to_be(server_url: str, worker_id: str) -> None:
    name = f"tutorwatch_bytes_{worker_id}"
    create = "CREATE DATABASE {} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        server.execute(sql.SQL(create).format(sql.Identifier(name)))
        with connect(make_conninfo(server_url, dbname=name), application_name="test") as connection:
            told = explained(connection, "SELECT convert_from('\\xe9'::bytea, 'SQL_ASCII')")
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))

    assert told.startswith("The database's encoding can't hold or give some text (invalid byte sequence")


def test_a_bug_of_ours_isnt_explained_away(failing: psycopg.Connection) -> None:
    assert explained(failing, "SELECT 1 / 0") == ""


def test_errors_of_several_services_at_once_are_all_explained() -> None:
    stopped = [SchemaMismatchError("too old"), CannotEvaluateError("no rows"), SchemaMismatchError("too old")]

    assert explain_all(ExceptionGroup("services", [ExceptionGroup("web", stopped[:1]), *stopped[1:]])) == [
        "too old",
        "no rows",
    ]
    assert explain_all(ExceptionGroup("services", [*stopped, KeyError(1)])) is None
