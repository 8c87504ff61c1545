"""What passes on the bare platform passes on an adopted one; what fails there fails here, with the same words."""

import re

import psycopg
import pytest

from tests.platform_changes.changes import Change, all_changes, samples

PASSED = ("00000", "", "")
Outcome = list[tuple[str, str, str]]
"""Of each statement: PASSED, or its error as the client sees it: SQLSTATE, message and detail."""


def outcome(url: str, change: Change) -> Outcome:
    """What becomes of the change, and of a client's writes before and after it; all is rolled back."""
    with psycopg.connect(url) as connection:
        try:
            written_before = written(connection, change.table)
            failed = next(filter(None, (error_of(connection, statement) for statement in change.statements)), None)
            found = [failed] if failed else written(connection, change.table)
        finally:
            connection.rollback()
    return [*written_before, *found]


def written(connection: psycopg.Connection, table: str) -> Outcome:
    """What becomes of an update and a delete of all rows; the rows stay."""
    column = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped LIMIT 1",
        [f"public.{table}"],
    ).fetchone()
    name = column[0] if column else "gone"
    outcomes: Outcome = []
    for statement in (f"UPDATE public.{table} SET {name} = {name}", f"DELETE FROM public.{table}"):
        with connection.transaction(force_rollback=True):
            outcomes.append(error_of(connection, statement) or PASSED)
    return outcomes


def error_of(connection: psycopg.Connection, statement: str) -> tuple[str, str, str] | None:
    try:
        with connection.transaction():
            connection.execute(statement.encode())
    except psycopg.Error as error:
        number = re.compile(r"\b\d{5,}\b")  # an object's, which differs from database to database
        detail = error.diag.message_detail or ""
        return error.sqlstate or "", number.sub("N", error.diag.message_primary or ""), number.sub("N", detail)
    return None


def assert_same(change: Change, bare_url: str, adopted_url: str) -> None:
    assert outcome(adopted_url, change) == outcome(bare_url, change)


@pytest.mark.parametrize("change", samples(), ids=str)
def test_change_of_each_kind_has_the_same_outcome(change: Change, bare_url: str, adopted_url: str) -> None:
    assert_same(change, bare_url, adopted_url)


@pytest.mark.soak
@pytest.mark.parametrize("change", all_changes(), ids=str)
def test_every_change_has_the_same_outcome(change: Change, bare_url: str, adopted_url: str) -> None:
    assert_same(change, bare_url, adopted_url)


@pytest.mark.parametrize(
    ("obstacle", "subject", "way"),
    [
        (
            "CREATE INDEX obstacle ON sessions (tutor_id) WHERE status = 'completed'",
            "session_status",
            "re-created as drizzle does it",
        ),
        (
            "CREATE VIEW obstacle AS SELECT status FROM sessions",
            "session_status",
            "re-created as Prisma does it",
        ),
        ("CREATE TABLE obstacle (s uuid REFERENCES sessions)", "sessions", "dropped"),
        (
            "CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW.status; END';"
            "CREATE TRIGGER obstacle BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION harm()",
            "sessions.status",
            "renamed",
        ),
    ],
)
def test_an_obstacle_would_be_found(bare_url: str, obstacle: str, subject: str, way: str) -> None:
    """It makes a difference that these tests see."""
    [change] = [each for each in all_changes() if (each.subject, each.way) == (subject, way)]
    before = outcome(bare_url, change)
    with psycopg.connect(bare_url, autocommit=True) as connection:
        connection.execute(obstacle.encode())
        try:
            assert outcome(bare_url, change) != before
        finally:
            kind = obstacle.rpartition("CREATE ")[2].split()[0]
            on = " ON sessions" if kind == "TRIGGER" else ""
            connection.execute(f"DROP {kind} obstacle{on}; DROP FUNCTION IF EXISTS harm".encode())
