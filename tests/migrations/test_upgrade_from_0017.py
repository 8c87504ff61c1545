"""From revision 0017, the last one of version 0.1.0, to the newest: what was there is carried over."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher
from psycopg import sql
from psycopg.conninfo import make_conninfo

from database.recording import Automation
from migrations import automation, rights, upgrade
from tests.support.catalog import count_rows, snapshot
from tests.support.command import psql
from tests.support.databases import check
from tests.support.interruptions import interrupt_everywhere, migrate_up_to
from tests.support.roles import LISTENER, WEB
from web.auth.passwords import Parameters, compute_key

SERVICES = ("tutorwatch-listen", "tutorwatch-web-listen", "tutorwatch-worker", "tutorwatch-web")
LISTENING = SERVICES[:2]
"""What of a service hears; without it, the service connects again, and finds another schema."""

ALERT = """
    INSERT INTO alerts (id, tutor_id, alert_type, severity, title, description, resolved, resolved_at)
    VALUES (%(alert)s, %(tutor)s, 'no_show_pattern', 'critical', 't', 'd', %(resolved)s, %(resolved_at)s)
"""
EVIDENCE = """
    INSERT INTO tutorwatch.alert_evidence
        (alert_id, tutor_id, value, threshold, session_ids, counted_session_ids, refreshed_at)
    VALUES (%(alert)s, %(tutor)s, 2, 2, %(sessions)s, %(counted)s, %(refreshed_at)s)
"""

AS_AN_OLD_LISTENER_INSERTS = """
    INSERT INTO alerts (tutor_id, alert_type, severity, title, description)
    VALUES ('tutor', 'no_show_pattern', 'critical', 't', 'd')
    ON CONFLICT (tutor_id, alert_type) WHERE NOT resolved AND alert_type IN
        ('poor_first_session', 'no_show_pattern', 'high_talk_ratio', 'low_understanding_checks', 'high_reschedule_rate',
         'declining_performance')
    DO NOTHING
"""
"""It needs the unique index."""


def ids(*numbers: int) -> list[str]:
    return [f"00000000-0000-0000-0000-{number:012}" for number in numbers]


def query(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@contextmanager
def connected(url: str, *application_names: str) -> Iterator[dict[str, psycopg.Connection]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(psycopg.connect(url, application_name=name, autocommit=True))
            for name in application_names
        }


def lives(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.errors.AdminShutdown:
        return False
    return True


# The schema


@pytest.mark.parametrize("is_script", [False, True], ids=["migrate", "script"])
def test_it_becomes_what_a_new_database_is(seeded_0017_url: str, head_snapshot: list[str], is_script: bool) -> None:
    rows = count_rows(seeded_0017_url)
    if is_script:
        psql(seeded_0017_url, upgrade.to_sql(seeded_0017_url, automation=True))
    else:
        assert upgrade.migrate(seeded_0017_url) == upgrade.Migrated("0017", upgrade.head_revision())

    assert snapshot(seeded_0017_url) == head_snapshot
    assert check(seeded_0017_url) == []
    assert count_rows(seeded_0017_url) == rows
    assert query(seeded_0017_url, "SELECT tutor_id FROM tutorwatch.outbox") == [(None,)], "all tutors once"


def test_interrupted_after_every_step_it_still_arrives(
    seeded_0017_url: str, head_snapshot: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evidence(seeded_0017_url)

    assert interrupt_everywhere(seeded_0017_url, monkeypatch) > 20

    assert snapshot(seeded_0017_url) == head_snapshot
    assert consumed(seeded_0017_url) == CONSUMED
    with psycopg.connect(seeded_0017_url) as connection:
        assert automation.status(connection) is Automation.ON


@pytest.mark.parametrize("interrupted_before", [None, "CREATE OR REPLACE TRIGGER", "ADD PRIMARY KEY (alert_id)"])
@pytest.mark.parametrize("is_script", [False, True], ids=["migrate", "script"])
def test_triggers_that_were_disabled_become_the_new_off(
    seeded_0017_url: str, head_snapshot: list[str], is_script: bool, interrupted_before: str | None
) -> None:
    for table in ("sessions", "session_audio_metrics", "session_video_metrics", "alerts"):
        for event in ("insert", "update", "delete", "truncate"):
            if (table, event) != ("alerts", "insert"):
                query(seeded_0017_url, f"ALTER TABLE {table} DISABLE TRIGGER tutorwatch_{event}")
    if interrupted_before:
        migrate_up_to(seeded_0017_url, interrupted_before)

    if is_script:
        psql(seeded_0017_url, upgrade.to_sql(seeded_0017_url, automation=True))
    else:
        upgrade.migrate(seeded_0017_url)

    with psycopg.connect(seeded_0017_url) as connection:
        assert automation.status(connection) is Automation.OFF
    assert snapshot(seeded_0017_url) == head_snapshot


# What alerts were based on

CONSUMED = [
    (session, "no_show_pattern", alert)
    for alert, *sessions in (ids(1, 11, 12), ids(2, 21, 22, 23))
    for session in sessions
]


def write_evidence(url: str) -> None:
    """Of a resolved alert, of one that was moved from one tutor to another, and of a duplicate that was settled."""
    with psycopg.connect(url) as connection:
        resolved, moved, duplicate, kept = ids(1, 2, 3, 4)
        at = "2026-01-01"
        for alert, tutor, resolved_at in (
            (resolved, "tutor", at), (moved, "other", None), (duplicate, "tutor", at), (kept, "tutor", None),
        ):  # fmt: skip
            values = {"alert": alert, "tutor": tutor, "resolved": resolved_at is not None, "resolved_at": resolved_at}
            connection.execute(ALERT, values)
        for alert, tutor, counted, refreshed_at in (
            (resolved, "tutor", ids(11, 12), at),
            (moved, "tutor", ids(21, 22), at),
            (moved, "other", ids(23), "2026-01-02"),
            (duplicate, "tutor", [], at),
        ):
            values = {"alert": alert, "tutor": tutor, "counted": counted, "sessions": counted[:1]}
            connection.execute(EVIDENCE, values | {"refreshed_at": refreshed_at})
        connection.execute(
            "INSERT INTO tutorwatch.alert_resolutions (alert_id, tutor_id, resolved_by, outcome, resolved_at)"
            " VALUES (%s, 'tutor', 'admin', 'coached', %s)",
            [resolved, at],
        )
        connection.execute(
            "INSERT INTO tutorwatch.settled_duplicates (id, kind, tutor_id, kept_id) VALUES (%s, 'alert', 'tutor', %s)",
            [duplicate, kept],
        )


def test_what_alerts_had_counted_is_consumed_and_duplicates_are_an_outcome(seeded_0017_url: str) -> None:
    write_evidence(seeded_0017_url)

    upgrade.migrate(seeded_0017_url)

    assert consumed(seeded_0017_url) == CONSUMED
    resolved, moved, duplicate = ids(1, 2, 3)
    assert query(
        seeded_0017_url,
        "SELECT alert_id::text, tutor_id, session_ids::text[] FROM tutorwatch.alert_evidence ORDER BY 1",
    ) == [(resolved, "tutor", ids(11)), (moved, "other", ids(23)), (duplicate, "tutor", [])]
    assert query(
        seeded_0017_url,
        "SELECT alert_id::text, tutor_id, resolved_by, outcome, resolved_at::date::text"
        " FROM tutorwatch.alert_resolutions ORDER BY 1",
    ) == [(resolved, "tutor", "admin", "coached", "2026-01-01"), (duplicate, "tutor", None, "duplicate", "2026-01-01")]


def consumed(url: str) -> list[Any]:
    return query(
        url,
        "SELECT session_id::text, alert_type, alert_id::text FROM tutorwatch.consumed_sessions ORDER BY 3, 1",
    )


# Services of the version before


@pytest.mark.parametrize("is_script", [False, True], ids=["migrate", "script"])
def test_services_of_the_version_before_connect_again_and_so_find_out(seeded_0017_url: str, is_script: bool) -> None:
    """What they have in flight is left to them, and clients are left alone."""
    with connected(seeded_0017_url, *LISTENING, "a client") as connections:
        if is_script:
            psql(seeded_0017_url, upgrade.to_sql(seeded_0017_url, automation=True))
        else:
            upgrade.migrate(seeded_0017_url)
        assert {name for name, connection in connections.items() if not lives(connection)} == set(LISTENING)

    with connected(seeded_0017_url, *SERVICES) as connections:
        upgrade.migrate(seeded_0017_url)
        assert all(map(lives, connections.values())), "there was nothing to migrate"


def test_services_that_go_on_are_named_and_keep_what_they_need(
    seeded_0017_url: str, head_snapshot: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What they are in the middle of isn't ended: it is they who must end, and then it goes on."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("migrations.old_services.OLD_SERVICES_SECONDS", 0.5)
    ((role, host),) = query(seeded_0017_url, "SELECT current_user, coalesce(host(inet_client_addr()), 'this host')")
    with connected(seeded_0017_url, *SERVICES) as connections:
        with pytest.raises(upgrade.SchemaError) as refused:
            upgrade.migrate(seeded_0017_url)
        assert all(lives(connections[name]) for name in SERVICES[2:])
        assert str(refused.value) == (
            "Services of the version before are still running:"
            f" tutorwatch-web as role {role} from {host}, tutorwatch-worker as role {role} from {host}."
            " Stop them, then run `tutorwatch migrate` again: it goes on from here"
        )
        assert any("Waiting for services" in record.getMessage() for record in caplog.records)
        connections["tutorwatch-worker"].execute(AS_AN_OLD_LISTENER_INSERTS)

    upgrade.migrate(seeded_0017_url)

    assert snapshot(seeded_0017_url) == head_snapshot


@pytest.mark.usefixtures("service_roles")
def test_services_whose_role_may_not_be_ended_are_named(
    revision_0017_url: str, monkeypatch: pytest.MonkeyPatch, worker_id: str
) -> None:
    """By an owner who is no superuser and no member of their role."""
    monkeypatch.setattr("migrations.old_services.OLD_SERVICES_SECONDS", 0.5)
    owner = f"tutorwatch_owner_of_0017_{worker_id}"
    with owned_by(revision_0017_url, owner) as owner_url:
        with connected(LISTENER.url(revision_0017_url), "tutorwatch-listen") as connections:
            with pytest.raises(upgrade.SchemaError, match=f"running: tutorwatch-listen as role {LISTENER.name}"):
                upgrade.migrate(owner_url)
            assert lives(connections["tutorwatch-listen"])

        assert upgrade.migrate(owner_url).after == upgrade.head_revision()


@contextmanager
def owned_by(url: str, owner: str) -> Iterator[str]:
    """The database as one that belongs, with all that is in it, to an ordinary role; its URL as that role."""
    role = sql.Identifier(owner)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'owner'").format(role))
        for (statement,) in connection.execute("""
            SELECT format('ALTER TABLE %s OWNER TO %%I', c.oid::regclass) FROM pg_class AS c
            WHERE relnamespace IN ('public'::regnamespace, 'tutorwatch'::regnamespace) AND relkind = 'r'
            UNION ALL SELECT format('ALTER SEQUENCE %s OWNER TO %%I', 'tutorwatch.unrecorded'::regclass)
            UNION ALL SELECT format('ALTER FUNCTION %s OWNER TO %%I', oid::regprocedure) FROM pg_proc
            WHERE pronamespace = 'tutorwatch'::regnamespace
            UNION ALL SELECT format('ALTER TYPE %s OWNER TO %%I', oid::regtype) FROM pg_type
            WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
            UNION ALL SELECT format('ALTER SCHEMA %I OWNER TO %%I', nspname) FROM pg_namespace
            WHERE nspname IN ('public', 'tutorwatch')
            UNION ALL SELECT format('ALTER DATABASE %I OWNER TO %%I', current_database())
        """).fetchall():
            connection.execute(statement.replace("%I", '"' + owner + '"').encode())
        ((database, superuser),) = connection.execute("SELECT current_database(), current_user").fetchall()
        yield make_conninfo(url, dbname=database, user=owner, password="owner")
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(role, sql.Identifier(superuser)))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


# Rights and failures


@pytest.mark.usefixtures("service_roles")
def test_the_roles_on_record_have_the_services_rights_again(revision_0017_url: str) -> None:
    query(
        revision_0017_url,
        "CREATE TABLE tutorwatch.service_roles (service text PRIMARY KEY, role text NOT NULL);"
        f"INSERT INTO tutorwatch.service_roles VALUES ('listener', '{LISTENER.name}'), ('web', '{WEB.name}')",
    )

    upgrade.migrate(revision_0017_url)

    for role in (LISTENER, WEB):
        assert query(role.url(revision_0017_url), "SELECT session_id FROM tutorwatch.consumed_sessions") == []
    with psycopg.connect(revision_0017_url, autocommit=True) as connection:
        assert rights.recorded(connection) == {"listener": LISTENER.name, "web": WEB.name}
        rights.take_back(connection)


def test_tutors_that_failed_at_the_old_revision_are_tried_again(seeded_0017_url: str) -> None:
    query(
        seeded_0017_url,
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('tutor', 5, 'e', now(), now(), now())",
    )

    assert upgrade.migrate(seeded_0017_url).freed == 1

    assert query(seeded_0017_url, "SELECT parked_at, attempts FROM tutorwatch.failures") == [(None, 0)]


# Accounts


def test_passwords_stay_valid_and_tokens_reach_as_far_as_before(seeded_0017_url: str) -> None:
    password, another = "correct horse battery", "seven purple lanterns"
    hashes = {"tutor": PasswordHasher().hash(password), "admin": PasswordHasher(time_cost=1, salt_len=11).hash(another)}
    with psycopg.connect(seeded_0017_url, autocommit=True) as connection:
        for user_id, password_hash in hashes.items():
            connection.execute(
                "INSERT INTO tutorwatch.credentials (user_id, password_hash) VALUES (%s, %s)"
                " ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash",
                [user_id, password_hash],
            )
        connection.execute("TRUNCATE tutorwatch.api_tokens")
        connection.execute(
            "INSERT INTO tutorwatch.api_tokens (name, token_hash, user_id) VALUES ('a', 'a', 'admin'), ('b', 'b', NULL)"
        )
    upgrade.migrate(seeded_0017_url)

    with psycopg.connect(seeded_0017_url, autocommit=True) as connection:

        def signs_in(user_id: str, password: str) -> object:
            parameters = connection.execute("SELECT tutorwatch.password_parameters(%s)", [user_id]).fetchone() or ()
            key = compute_key(password, Parameters.parse(parameters[0]))
            token = f"{user_id} {password}".encode()
            signed_in = "SELECT tutorwatch.sign_in_with_password(%s, %s, %s, NULL, NULL)"
            return (connection.execute(signed_in, [user_id, key, token]).fetchone() or ())[0]

        assert [signs_in("tutor", password), signs_in("tutor", another)] == [True, False]
        assert [signs_in("admin", another), signs_in("admin", password)] == [True, False]
    tokens = query(seeded_0017_url, "SELECT name, scope, expires_at FROM tutorwatch.api_tokens ORDER BY name")
    assert tokens == [("a", "act", None), ("b", "read", None)]
