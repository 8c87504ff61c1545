"""The comparison of the platform's schema: what makes a difference, what doesn't, and how it is said."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from database.platform import (
    Comparison,
    RuleNames,
    find_hidden_rows,
    load_comparison,
    read_comparison,
    read_hidden_rows,
)
from database.platform_needs import INSERTED, NEEDED, Feature
from database.tables import platform as platform_tables
from rules.registry import NAMES as RULE_NAMES
from tests.support.databases import cloned


@pytest.fixture(scope="module")
def url(server_url: str, worker_id: str, platform_template: str) -> Iterator[str]:
    """The deployed platform, whose changes each test rolls back."""
    with cloned(server_url, f"tutorwatch_compared_{worker_id}", platform_template) as url:
        yield url


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


def after(connection: psycopg.Connection, change: str) -> Comparison:
    connection.execute(change.encode())
    return read_comparison(connection, RULE_NAMES)


def test_the_deployed_platform_fits(connection: psycopg.Connection) -> None:
    assert read_comparison(connection) == Comparison()


def test_an_adopted_platform_fits(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert read_comparison(connection) == Comparison()


def test_every_needed_column_is_one_that_queries_know_and_most_the_other_way_round() -> None:
    """What queries know and nothing needs: a column that no statement names."""
    known = {(table.name, column.name) for table in platform_tables.sorted_tables for column in table.columns}
    needed = {(table, column) for table, columns in NEEDED.items() for column in columns}

    assert needed - known == set()
    assert known - needed == {("session_feedback", "submitted_at")}


WIDER = [
    pytest.param("ALTER TABLE users ALTER name TYPE varchar(300), ALTER email TYPE text", id="longer text"),
    pytest.param(
        "CREATE DOMAIN mail AS text CHECK (value LIKE '%@%'); ALTER TABLE users ALTER email TYPE mail", id="domain"
    ),
    pytest.param("ALTER TABLE sessions ALTER overall_session_score TYPE numeric(5,2)", id="larger number"),
    pytest.param("ALTER TABLE sessions ALTER overall_session_score TYPE float8", id="floating-point number"),
    pytest.param("ALTER TABLE session_audio_metrics ALTER open_ended_questions TYPE bigint", id="larger whole number"),
    pytest.param("ALTER TABLE sessions ALTER session_number TYPE smallint", id="smaller whole number"),
    pytest.param("ALTER TABLE sessions ALTER scheduled_start TYPE timestamptz", id="time with its zone"),
    pytest.param(
        "ALTER TABLE sessions ALTER status DROP DEFAULT, ALTER status TYPE text;"
        "ALTER TABLE alerts ALTER alert_type TYPE varchar(40)",
        id="text in place of an enum",
    ),
    pytest.param("CREATE SCHEMA types; ALTER TYPE alert_type SET SCHEMA types", id="an enum in another schema"),
    pytest.param("ALTER TYPE alert_type RENAME TO kind_of_alert", id="a renamed enum"),
    pytest.param("ALTER TYPE alert_type ADD VALUE 'late_arrival'", id="more labels"),
    pytest.param("ALTER TABLE alerts ADD room text, ADD site text NOT NULL DEFAULT 'one'", id="more columns"),
    pytest.param(
        "ALTER TABLE alerts ADD number integer NOT NULL GENERATED ALWAYS AS IDENTITY,"
        " ADD words text NOT NULL GENERATED ALWAYS AS (title || description) STORED",
        id="columns that fill themselves",
    ),
    pytest.param("ALTER TABLE users DROP avatar_url", id="fewer columns that nothing needs"),
    pytest.param("DROP TABLE students", id="a table that nothing needs"),
    pytest.param(
        "CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid); CREATE TABLE auth.sessions (id uuid)", id="others"
    ),
    pytest.param("ALTER TABLE alerts RENAME TO a; CREATE TABLE alerts (LIKE a INCLUDING ALL)", id="a copy of a table"),
]


@pytest.mark.parametrize("change", WIDER)
def test_what_is_wider_or_needed_by_nothing_is_no_difference(connection: psycopg.Connection, change: str) -> None:
    assert after(connection, change) == Comparison()


DIFFERENCES = [
    ("ALTER TABLE users ALTER email TYPE bytea USING ''", "column users.email is bytea, not text"),
    ("ALTER TABLE sessions ALTER completed_at TYPE date", "column sessions.completed_at is date, not a date with time"),
    (
        "ALTER TABLE session_audio_metrics ALTER student_engagement_score TYPE text",
        "column session_audio_metrics.student_engagement_score is text, not a number",
    ),
    (
        "ALTER TABLE sessions ALTER session_number TYPE numeric",
        "column sessions.session_number is numeric, not a whole number",
    ),
    (
        "ALTER TABLE alerts ALTER resolved DROP DEFAULT, ALTER resolved TYPE integer USING 0",
        "column alerts.resolved is integer, not a boolean",
    ),
    (
        "ALTER TABLE tutor_insights ALTER sample_sessions TYPE text[]",
        "column tutor_insights.sample_sessions is text[], not an array of uuids",
    ),
    (
        "ALTER TABLE alerts DROP CONSTRAINT alerts_session_id_fkey, ALTER session_id TYPE text",
        "column alerts.session_id is text, not a uuid",
    ),
    (
        "ALTER TABLE alerts ALTER severity TYPE integer USING 1",
        "column alerts.severity is integer, not an enum or text",
    ),
    (
        "ALTER TABLE tutor_insights ALTER display_text TYPE varchar(100)",
        "column tutor_insights.display_text is character varying(100), too short for 500 characters",
    ),
    ("ALTER TABLE alerts RENAME resolved_at TO closed_at", "column alerts.resolved_at is missing (a date with time)"),
    (
        "ALTER TYPE session_status RENAME VALUE 'cancelled' TO 'canceled';"
        "ALTER TYPE session_status RENAME VALUE 'completed' TO 'done'",
        "column sessions.status is session_status, which lacks the labels cancelled, completed",
    ),
    (
        "ALTER TYPE insight_type RENAME VALUE 'strength' TO 'plus'",
        "column tutor_insights.insight_type is insight_type, which lacks the label strength",
    ),
    ("ALTER TABLE session_audio_metrics RENAME TO audio", "table public.session_audio_metrics is missing"),
    ("CREATE SCHEMA app; ALTER TABLE alerts SET SCHEMA app", "table public.alerts is missing; found in schema app"),
    ("ALTER TABLE users RENAME TO u; CREATE VIEW users AS SELECT * FROM u", "public.users is a view, not a table"),
    (
        "CREATE FOREIGN DATA WRAPPER any_kind; CREATE SERVER far FOREIGN DATA WRAPPER any_kind;"
        "DROP TABLE session_video_metrics;"
        "CREATE FOREIGN TABLE session_video_metrics (session_id uuid, tutor_uses_visual_aids boolean) SERVER far",
        "public.session_video_metrics is a foreign table, not a table",
    ),
    (
        "CREATE TABLE sessions_2026 (PRIMARY KEY (id)) INHERITS (sessions)",
        "tables inherit from public.sessions (sessions_2026): only partitions of it are recorded",
    ),
    (
        "DROP TABLE alerts; CREATE TABLE alerts (LIKE a INCLUDING DEFAULTS) PARTITION BY HASH (id)",
        "table public.alerts is partitioned, which only sessions and metrics may be",
    ),
    (
        "ALTER TABLE alerts ADD organisation text NOT NULL",
        "column alerts.organisation is NOT NULL without a default, and Tutorwatch has no value for it:"
        " give it a default",
    ),
    (
        "ALTER TABLE tutor_insights ALTER id DROP DEFAULT",
        "column tutor_insights.id is NOT NULL without a default, and Tutorwatch has no value for it: give it a default",
    ),
    (
        "ALTER TABLE alerts ALTER session_id SET NOT NULL",
        "column alerts.session_id is NOT NULL, and Tutorwatch has no value for it: drop NOT NULL",
    ),
]


@pytest.mark.parametrize(("change", "said"), DIFFERENCES, ids=[said[:60] for _, said in DIFFERENCES])
def test_each_difference_is_a_sentence(connection: psycopg.Connection, change: str, said: str) -> None:
    connection.execute("CREATE TEMPORARY TABLE a (LIKE alerts INCLUDING DEFAULTS) ON COMMIT DROP")

    found = after(connection, change)

    assert [str(each) for each in found.differences] == [said]
    assert (found.missing_features, found.missing_labels) == ((), ())


FEATURES = [
    ("DROP TABLE coaching_notes", Feature.COACHING_NOTES, "table public.coaching_notes is missing"),
    (
        "ALTER TABLE coaching_notes ADD organisation text NOT NULL",
        Feature.COACHING_NOTES,
        "column coaching_notes.organisation is NOT NULL without a default, and Tutorwatch has no value for it:"
        " give it a default",
    ),
    ("DROP TABLE session_screen_metrics", Feature.SCREEN_METRICS, "table public.session_screen_metrics is missing"),
    ("DROP TABLE session_feedback", Feature.FEEDBACK, "table public.session_feedback is missing"),
    ("ALTER TABLE subjects RENAME TO fields", Feature.SUBJECTS, "table public.subjects is missing"),
    ("ALTER TABLE users DROP preferred_name", Feature.PREFERRED_NAME, "column users.preferred_name is missing (text)"),
    ("ALTER TABLE tutors DROP member_since", Feature.MEMBER_SINCE, "column tutors.member_since is missing (a date)"),
    ("ALTER TABLE sessions DROP ai_summary", Feature.SESSION_PAGE, "column sessions.ai_summary is missing (text)"),
    (
        "ALTER TABLE session_audio_metrics ALTER long_pauses_count TYPE text",
        Feature.SESSION_PAGE,
        "column session_audio_metrics.long_pauses_count is text, not a whole number",
    ),
]


@pytest.mark.parametrize(("change", "feature", "why"), FEATURES)
def test_a_feature_without_its_table_or_column_is_missing_and_no_difference(
    connection: psycopg.Connection, change: str, feature: Feature, why: str
) -> None:
    found = after(connection, change)

    assert found.differences == ()
    assert [(each.feature, each.why) for each in found.missing_features] == [(feature, (why,))]


def test_a_rule_without_its_label_is_off_and_no_difference(connection: psycopg.Connection) -> None:
    found = after(
        connection,
        "ALTER TYPE alert_type RENAME VALUE 'no_show_pattern' TO 'a';"
        "ALTER TYPE insight_category RENAME VALUE 'low_engagement' TO 'b'",
    )

    assert found.differences == ()
    assert found.off == RuleNames(frozenset({"no_show_pattern"}), frozenset({"low_engagement"}))
    assert [str(each) for each in found.missing_labels] == [
        "no_show_pattern is off: the type of alerts.alert_type has no such label",
        "low_engagement is off: the type of tutor_insights.category has no such label",
    ]


def test_what_is_inserted_is_what_generation_inserts() -> None:
    for table, columns in INSERTED.items():
        assert set(columns) <= set(NEEDED[table])


# Hidden rows

HIDING = "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY; CREATE POLICY everything ON sessions USING (true)"


@pytest.fixture
def role(connection: psycopg.Connection, worker_id: str) -> str:
    """A role that may read sessions and users; it goes with the transaction."""
    name = f"Mc'Role {worker_id}"
    connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    connection.execute(sql.SQL("GRANT SELECT ON sessions, users TO {}").format(sql.Identifier(name)))
    return name


@pytest.mark.parametrize(
    ("change", "is_hidden"),
    [
        pytest.param("SELECT 1", False, id="no row-level security"),
        pytest.param(HIDING, True, id="a policy that shows everything is of no help"),
        pytest.param(HIDING + "; ALTER ROLE {role} BYPASSRLS", False, id="bypassing"),
        pytest.param(HIDING + "; ALTER ROLE {role} SUPERUSER", False, id="a superuser"),
        pytest.param(HIDING + "; ALTER TABLE sessions OWNER TO {role}", False, id="the owner"),
        pytest.param(
            HIDING + "; ALTER TABLE sessions OWNER TO {role}; ALTER TABLE sessions FORCE ROW LEVEL SECURITY",
            True,
            id="the owner who is forced",
        ),
        pytest.param(
            HIDING + "; CREATE ROLE temporary_owner; ALTER TABLE sessions OWNER TO temporary_owner;"
            " GRANT temporary_owner TO {role}",
            False,
            id="a member of the owner",
        ),
        pytest.param(HIDING + "; REVOKE SELECT ON sessions FROM {role}", False, id="who may not read it at all"),
    ],
)
def test_rows_are_hidden_from_whom_the_server_refuses_them(
    connection: psycopg.Connection, role: str, change: str, is_hidden: bool
) -> None:
    connection.execute(change.replace("{role}", sql.Identifier(role).as_string()).encode())

    hidden = read_hidden_rows(connection, role)

    assert [(each.role, each.tables) for each in hidden] == ([(role, ("sessions",))] if is_hidden else [])
    assert is_refused(connection, role) is (is_hidden or "REVOKE" in change)


def is_refused(connection: psycopg.Connection, role: str) -> bool:
    """What the server itself says, to a session with row_security = off."""
    connection.execute("SET LOCAL row_security = off")
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    try:
        connection.execute("SELECT count(*) FROM sessions")
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_hidden_rows_are_told_with_what_helps(connection: psycopg.Connection, role: str) -> None:
    connection.execute(HIDING.encode())

    (hidden,) = read_hidden_rows(connection, role)

    assert str(hidden) == (
        f"row-level security hides rows of public.sessions from {role}: ALTER ROLE {role} BYPASSRLS,"
        " or disable row-level security there"
    )
    assert read_hidden_rows(connection, role, tables=["users"]) == ()


async def test_services_of_every_kind_of_connection_find_the_same(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        assert await load_comparison(conn) == Comparison()
        assert await find_hidden_rows(conn) == ()
