"""What of ours depends on the platform's tables: plain indexes and plain triggers, and nothing else."""

import psycopg
import pytest

from migrations.manifest import INDEXES
from tests.support.databases import database_on

# Whatever depends on something in schema public, and what on: in a database with Tutorwatch more than without.
_DEPENDING = """
    SELECT dependent.type, dependent.identity, needed.type, needed.identity
    FROM pg_depend AS d
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS dependent
    CROSS JOIN LATERAL pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid) AS needed
    WHERE dependent.type <> 'toast table' AND d.refobjid IN (
        SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION SELECT oid FROM pg_type WHERE typnamespace = 'public'::regnamespace
        UNION SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    )
"""
_OUR_INDEXES = """
    SELECT c.relname, indpred IS NULL AND indexprs IS NULL AND NOT indisunique AND NOT indisexclusion
    FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid WHERE c.relname LIKE 'tutorwatch\\_%'
"""
_OUR_TRIGGERS = """
    SELECT tgrelid::regclass || '.' || tgname, tgqual IS NULL AND tgattr = '' AND tgconstraint = 0
    FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid
    WHERE tgname LIKE 'tutorwatch\\_%' AND relnamespace = 'public'::regnamespace
"""
_TABLES_WITHOUT_KEY = """
    SELECT relname FROM pg_class AS c WHERE relnamespace = 'tutorwatch'::regnamespace AND relkind = 'r'
    AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
"""

Dependency = tuple[str, str, str, str]


def dependencies(url: str) -> set[Dependency]:
    with psycopg.connect(url) as connection:
        return set(connection.execute(_DEPENDING.encode()).fetchall())


def obstacles(url: str, without_us: set[Dependency]) -> list[str]:
    """What of ours could keep the platform from altering what is its own, a line each."""
    found = [
        f"{kind} {name} depends on {needed_kind} {needed}"
        for kind, name, needed_kind, needed in dependencies(url) - without_us
        if (kind, needed_kind) not in {("index", "table column"), ("trigger", "table")}
    ]
    with psycopg.connect(url) as connection:
        for query in (_OUR_INDEXES, _OUR_TRIGGERS):
            found += [f"{name} isn't plain" for name, is_plain in connection.execute(query.encode()) if not is_plain]
    return sorted(found)


@pytest.fixture(scope="session")
def without_us(server_url: str, platform_template: str) -> set[Dependency]:
    return dependencies(database_on(server_url, platform_template))


def test_only_plain_indexes_and_plain_triggers_depend_on_the_platforms_objects(
    database_url: str, without_us: set[Dependency]
) -> None:
    assert obstacles(database_url, without_us) == []

    added = dependencies(database_url) - without_us
    assert {name.removeprefix("public.") for kind, name, *_ in added if kind == "index"} == set(INDEXES)
    assert len({name for kind, name, *_ in added if kind == "trigger"}) > 30


@pytest.mark.parametrize(
    ("obstacle", "found"),
    [
        (
            "CREATE INDEX tutorwatch_x ON sessions (tutor_id) WHERE status = 'completed'",
            [
                "index public.tutorwatch_x depends on type public.session_status",
                "tutorwatch_x isn't plain",
            ],
        ),
        (
            "CREATE INDEX tutorwatch_x ON sessions ((coalesce(completed_at, created_at)))",
            ["index public.tutorwatch_x depends on table public.sessions", "tutorwatch_x isn't plain"],
        ),
        ("CREATE UNIQUE INDEX tutorwatch_x ON alerts (tutor_id)", ["tutorwatch_x isn't plain"]),
        (
            "CREATE TRIGGER tutorwatch_x AFTER UPDATE OF status ON sessions"
            " FOR EACH ROW EXECUTE FUNCTION tutorwatch.record_row()",
            [
                "sessions.tutorwatch_x isn't plain",
                "trigger tutorwatch_x on public.sessions depends on table column public.sessions.status",
            ],
        ),
        (
            "ALTER TABLE tutorwatch.failures ADD COLUMN x session_status",
            ["table column tutorwatch.failures.x depends on type public.session_status"],
        ),
        (
            "CREATE FUNCTION tutorwatch.x(users) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
            ["function tutorwatch.x(public.users) depends on type public.users"],
        ),
    ],
)
def test_each_obstacle_would_be_found(
    database_url: str, without_us: set[Dependency], obstacle: str, found: list[str]
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(obstacle.encode())

    assert obstacles(database_url, without_us) == found


def test_every_table_of_ours_has_a_primary_key(database_url: str) -> None:
    """A publication FOR ALL TABLES needs one, else updates and deletes fail."""
    with psycopg.connect(database_url) as connection:
        assert connection.execute(_TABLES_WITHOUT_KEY.encode()).fetchall() == []
