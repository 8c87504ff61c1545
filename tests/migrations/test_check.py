"""What `migrate --check` says: problems, what is to be done, and what is worth knowing."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from database.schema_version import REVISION
from migrations import upgrade
from migrations.needs import estimate_index_bytes
from migrations.sql import read_sql
from rules.registry import NAMES as RULE_NAMES
from tests.support.catalog import snapshot
from tests.support.command import tutorwatch
from tests.support.databases import cloned


def run_sql(database_url: str, *statements: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def query(database_url: str, statement: str) -> list[Any]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(statement.encode()).fetchall()


def test_exit_code_tells_nothing_to_do_from_something_and_from_what_keeps_it(platform_url: str) -> None:
    pending = tutorwatch("migrate", "--check", url=platform_url)
    assert pending.code == 3
    assert all(re.fullmatch(r"revision \d+ \(.+\) is not applied", line) for line in pending.out.splitlines())

    upgrade.migrate(platform_url)
    done = tutorwatch("migrate", "--check", url=platform_url)
    assert (done.code, done.out) == (0, "The schema is up to date.\n")

    run_sql(platform_url, "ALTER TABLE sessions RENAME status TO state")
    kept = tutorwatch("migrate", "--check", url=platform_url)
    assert kept.code == 1
    assert "Problem: column sessions.status is missing (an enum or text)" in kept.out.splitlines()


@pytest.fixture
def owner_url(server_url: str, worker_id: str) -> Iterator[str]:
    """An empty database that belongs to an ordinary role, and is connected to as that role."""
    name = f"tutorwatch_checks_{worker_id}"
    role = sql.Identifier(name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(role))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'owner'").format(role))
        with cloned(server_url, name, owner=name) as url:
            yield make_conninfo(url, user=name, password="owner")
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_platform_in_another_schema_is_refused_and_nothing_is_built_beside_it(platform_url: str) -> None:
    run_sql(platform_url, "ALTER SCHEMA public RENAME TO app", "CREATE SCHEMA public")
    before = snapshot(platform_url)

    with pytest.raises(upgrade.SchemaError, match="the platform's tables are in schema app "):
        upgrade.migrate(platform_url)

    assert upgrade.preview(platform_url).problems
    assert snapshot(platform_url) == before


WIDER = (
    "ALTER TABLE users ALTER avatar_url TYPE text, ALTER email TYPE text, ALTER name TYPE varchar(300)",
    "ALTER TABLE tutors DROP teaching_style, DROP member_since",
    "ALTER TABLE sessions ALTER overall_session_score TYPE numeric(4,2), DROP actual_start",
    "ALTER TABLE session_screen_metrics DROP gaming_detected",
    "DROP TABLE coaching_notes, session_feedback",
)


def test_what_is_wider_or_needed_by_nothing_keeps_nobody_from_adopting_and_repairing(platform_url: str) -> None:
    run_sql(platform_url, *WIDER)
    assert upgrade.migrate(platform_url).after == REVISION
    run_sql(platform_url, "DROP INDEX tutorwatch_sessions_by_status")

    assert upgrade.preview(platform_url).problems == ()
    assert upgrade.migrate(platform_url).repaired == ("index tutorwatch_sessions_by_status is missing",)
    notes = upgrade.preview(platform_url).notes
    assert [note.split(":")[0] for note in notes] == [
        "no dates since when tutors are members",
        "no screen metrics on a session's page",
        "no students' ratings and feedback",
        "no coaching notes",
    ]


def test_a_rule_whose_label_is_missing_is_off_and_said_to_be(platform_url: str) -> None:
    run_sql(platform_url, "ALTER TYPE insight_category RENAME VALUE 'low_visual_aids' TO 'a'")

    found = upgrade.preview(platform_url, RULE_NAMES)

    assert found.problems == ()
    assert "low_visual_aids is off: the type of tutor_insights.category has no such label" in found.notes


def test_disk_that_indexes_will_take_is_estimated_well(platform_url: str) -> None:
    run_sql(
        platform_url,
        "INSERT INTO users (id, email, name, role) SELECT 'u' || n, n, 'n', 'tutor' FROM generate_series(1, 100) AS n",
        "INSERT INTO subjects (name, category) VALUES ('Algebra', 'math')",
        "INSERT INTO sessions (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number,"
        " status, overall_session_score) SELECT 'u' || 1 + n % 100, 'u1', now() - n * interval '1 min', 60,"
        " subjects.id, 2, 'completed', 7 FROM subjects, generate_series(1, 60000) AS n",
        "ANALYZE",
    )
    with psycopg.connect(platform_url, autocommit=True) as connection:
        estimated = estimate_index_bytes(connection)
    assert re.search(r"indexes to be built take about \d+ MB of disk", "\n".join(upgrade.preview(platform_url).notes))

    upgrade.migrate(platform_url)

    ((built,),) = query(
        platform_url,
        "SELECT sum(pg_relation_size(indexrelid)) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'tutorwatch%'",
    )
    assert built / 3 < estimated < built * 3


def test_rows_hidden_from_the_role_that_migrates_are_a_problem(owner_url: str) -> None:
    run_sql(owner_url, read_sql("platform_tables"), "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY")
    assert upgrade.preview(owner_url).problems == ()
    run_sql(owner_url, "ALTER TABLE sessions FORCE ROW LEVEL SECURITY")

    (problem,) = upgrade.preview(owner_url).problems

    assert problem.startswith("row-level security hides rows of public.sessions from ")


def test_rights_that_migrating_lacks_are_named_with_the_statement_that_helps(owner_url: str, server_url: str) -> None:
    run_sql(owner_url, read_sql("platform_tables"))
    ((owner, database),) = query(owner_url, "SELECT current_user, current_database()")
    ((superuser,),) = query(server_url, "SELECT current_user")
    as_superuser = make_conninfo(server_url, dbname=database)
    run_sql(
        as_superuser,
        f'ALTER TABLE session_audio_metrics OWNER TO "{superuser}"',
        f'ALTER DATABASE "{database}" OWNER TO "{superuser}"',
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )

    found = upgrade.preview(owner_url)

    assert found.problems == (
        f"{owner} may not create a schema: GRANT CREATE ON DATABASE {database} TO {owner}",
        f"{owner} may not create indexes in schema public: GRANT CREATE ON SCHEMA public TO {owner}",
        f"public.session_audio_metrics belongs to {superuser}, so {owner} may not alter it: GRANT {superuser} TO"
        f" {owner}, or ALTER TABLE public.session_audio_metrics OWNER TO {owner}",
    )
    assert found.pending
    for problem in found.problems[:2]:
        run_sql(as_superuser, problem.split(": ")[1])
    run_sql(as_superuser, found.problems[2].split(", or ")[1])
    assert upgrade.preview(owner_url).problems == ()
    assert upgrade.migrate(owner_url).after == REVISION
    run_sql(as_superuser, f'ALTER DATABASE "{database}" OWNER TO "{owner}"')
