"""`tutorwatch doctor`: finds what is wrong in a real database, a line each, and its advice repairs it."""

import json
import re
import shlex
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from importlib.metadata import version
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from database.canary import MARKER
from listener.settings import ListenerSettings
from scripts.doctor import server
from scripts.doctor.checks import OF_THE_SCHEMA, OF_THE_SERVER, run_checks
from tests.support.command import SECRET, Finished, tutorwatch
from tests.support.databases import database_on
from tests.support.listening import has_settled, is_up, listening
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB

ALIVE = f"""
    INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at, figures)
    VALUES (gen_random_uuid(), 'host', 7, '{version("tutorwatch")}', now(), now(), '{{"heartbeat_seconds": 90}}')
"""
DUPLICATES = """
    INSERT INTO alerts (tutor_id, alert_type, severity, title, description)
    SELECT 'tutor', 'no_show_pattern', 'critical', 't', 'd' FROM generate_series(1, 2)
"""
DEAD_LETTERED = """
    INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)
    VALUES ('tutor', 5, 'KeyError: 1', now(), now(), now())
"""

UNRECORDED = """
    UPDATE tutorwatch.canary SET outcome = 'unrecorded', problem = 'a new session', tried_at = now(), due_at = now()
"""
UNANSWERED = f"""
    INSERT INTO tutorwatch.canary_markers (id, sent_at) VALUES (gen_random_uuid(), now() - interval '5 min');
    INSERT INTO tutorwatch.outbox (session_ids, recorded_at)
    SELECT ARRAY['{MARKER}', id], sent_at FROM tutorwatch.canary_markers
"""

DAMAGES = [
    ("DROP TRIGGER tutorwatch_insert ON sessions", r"triggers +trigger tutorwatch_insert on sessions is missing: "),
    ("DROP TRIGGER tutorwatch_announce_truncate ON alerts", r"triggers +trigger tutorwatch_announce_truncate on alert"),
    ("ALTER TABLE alerts DISABLE TRIGGER tutorwatch_announce_insert", r"triggers +.+ on alerts is switched off: "),
    ("ALTER TABLE sessions DISABLE TRIGGER tutorwatch_insert", r"triggers +.+ on sessions is switched off: "),
    ("ALTER TABLE sessions ENABLE REPLICA TRIGGER tutorwatch_insert", r"triggers +.+ on sessions is switched off: "),
    (
        "CREATE OR REPLACE FUNCTION tutorwatch.record_truncate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS 'BEGIN RETURN NULL; END'",
        r"functions +function record_truncate is not as it was installed: ",
    ),
    ("ALTER FUNCTION tutorwatch.record_alerts SECURITY INVOKER", r"functions +function record_alerts is not as "),
    ("DROP INDEX tutorwatch_sessions_by_tutor", r"indexes +index tutorwatch_sessions_by_tutor is missing: "),
    (
        "DROP INDEX tutorwatch_alerts_by_tutor; CREATE INDEX tutorwatch_alerts_by_tutor ON alerts (tutor_id)",
        r"indexes +index tutorwatch_alerts_by_tutor is not as it was installed: ",
    ),
    (
        f"REVOKE UPDATE (title) ON alerts FROM {LISTENER.name}",
        rf"rights +{LISTENER.name}, as listener, lacks UPDATE on alerts: ",
    ),
    (
        f"REVOKE ALL ON ALL TABLES IN SCHEMA tutorwatch FROM {WEB.name}",
        rf"rights +{WEB.name}, as web, .+ and \d+ more: ",
    ),
    (
        f"REVOKE EXECUTE ON FUNCTION tutorwatch.password_parameters FROM {WEB.name}",
        rf"rights +{WEB.name}, as web, lacks EXECUTE on FUNCTION tutorwatch.password_parameters: ",
    ),
    (
        "INSERT INTO tutorwatch.api_tokens (name, token_hash, expires_at, last_used_at)"
        " VALUES ('reports', '', now() + interval '13 days', now()), ('old', 'x', now(), now() - interval '31 days'),"
        " ('new', 'y', now() + interval '15 days', now()), ('forever', 'z', NULL, now())",
        r"tokens +reports ends on \d{4}-\d\d-\d\d: make another",
    ),
    (
        UNRECORDED,
        r"canary +a test change was not recorded \(a new session\): `tutorwatch migrate` .+, `tutorwatch canary` tries",
    ),
    (
        UNANSWERED,
        r"canary +a test change has waited for its answer for 5 min: see `listeners`, `backlog`$",
    ),
    ("DELETE FROM tutorwatch.canary", r"canary +its record is gone: INSERT INTO tutorwatch.canary DEFAULT VALUES$"),
    (DEAD_LETTERED, r"failures +1 tutors dead-lettered: fix what .+`tutorwatch retry tutor`$"),
    ("DELETE FROM tutorwatch.sweep", r"sweep +its record is gone: INSERT INTO"),
    (
        "UPDATE tutorwatch.sweep SET swept_at = now() - interval '3 days'",
        r"sweep +the last one .+ was 3 days ago: start",
    ),
    (
        "TRUNCATE tutorwatch.outbox; INSERT INTO tutorwatch.outbox (tutor_id, recorded_at)"
        " VALUES ('tutor', now() - interval '5 minutes')",
        r"backlog +1 changes wait, the oldest for 5 min: .+`tutorwatch listen`$",
    ),
    ("DELETE FROM tutorwatch.listeners", r"listeners +none is alive; start `tutorwatch listen`$"),
    (
        "UPDATE tutorwatch.listeners SET seen_at = now() - interval '5 minutes'",
        r"listeners +none is alive: no heartbeat from host:7 for 5 min; start `tutorwatch listen`$",
    ),
    (
        "UPDATE tutorwatch.listeners SET seen_at = now() + interval '1 hour'",
        r"listeners +none is alive: no heartbeat from host:7 since the clock was set back; start `tutorwatch listen`$",
    ),
    (
        """UPDATE tutorwatch.listeners SET figures = figures || '{"blocked": {"message": "no right"}}'""",
        r"listeners +1 alive, but nothing is evaluated, changes wait: no right$",
    ),
    (
        "ALTER TABLE sessions RENAME ai_summary TO summary; ALTER TABLE alerts RENAME severity TO gravity",
        r"platform +column alerts.severity is missing \(an enum or text\); .+: change it back, or install a version",
    ),
    (
        "ALTER TABLE alerts ADD organisation text NOT NULL",
        r"platform +column alerts.organisation is NOT NULL without a default, and .+: give it a default: ",
    ),
    (
        "ALTER TABLE session_feedback ENABLE ROW LEVEL SECURITY",
        rf"rows +row-level security hides rows of public.session_feedback from {WEB.name}: ALTER ROLE .+ BYPASSRLS",
    ),
    ("UPDATE tutorwatch.listeners SET version = '0.0.1'", r"listeners +of version 0\.0\.1, not .+: install the same"),
]
"""What somebody does to the database, and the line that tells it."""

BY_HAND = {
    "canary": "TRUNCATE tutorwatch.outbox; DELETE FROM tutorwatch.canary; INSERT INTO tutorwatch.canary DEFAULT VALUES",
    "sweep": "DELETE FROM tutorwatch.sweep; INSERT INTO tutorwatch.sweep (swept_at) VALUES (now())",
    "backlog": "TRUNCATE tutorwatch.outbox",
    "tokens": "UPDATE tutorwatch.api_tokens SET revoked_at = now()",
    "listeners": "DELETE FROM tutorwatch.listeners; " + ALIVE,
    "platform": "ALTER TABLE alerts DROP IF EXISTS organisation;"
    " DO $$ BEGIN ALTER TABLE alerts RENAME gravity TO severity; EXCEPTION WHEN undefined_column THEN NULL; END $$",
    "rows": "ALTER TABLE session_feedback DISABLE ROW LEVEL SECURITY",
}
"""What a running listener does, or the platform's owner."""


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def doctor(url: str, *arguments: str) -> Finished:
    done = tutorwatch("doctor", *arguments, url=url)
    assert (done.err, "Traceback" in done.out) == ("", False)
    return done


def troubles(done: Finished) -> list[str]:
    assert done.code == (1 if "!!" in done.out else 0)
    return [line[4:] for line in done.out.splitlines() if line.startswith("!!  ")]


@pytest.fixture
async def healthy_url(database_url: str, platform: Platform) -> str:
    """A database that has nothing wrong with it, a listener included."""
    await platform.user("tutor")
    run(database_url, ALIVE)
    return database_url


def test_all_is_well_for_whoever_asks(healthy_url: str) -> None:
    for url in (healthy_url, LISTENER.url(healthy_url), WEB.url(healthy_url)):
        done = doctor(url)

        assert (done.code, troubles(done)) == (0, [])
        assert len(done.out.splitlines()) == len(OF_THE_SERVER) + 1 + len(OF_THE_SCHEMA)
        assert all(re.match(r"ok  [a-z ]{15}\S", line) for line in done.out.splitlines())


def test_each_damage_is_one_line_and_the_advice_mends_it(healthy_url: str) -> None:
    for statement, expected in DAMAGES:
        run(healthy_url, statement)

        told = troubles(doctor(healthy_url))

        assert len(told) == 1, (statement, told)
        assert re.match(expected, told[0]), (statement, told)
        check, *_ = told[0].split()
        if check in BY_HAND:
            run(healthy_url, BY_HAND[check])
        for command in re.findall(r"`tutorwatch ([^`]+)`", told[0]):
            if command not in ("listen", "canary"):  # which needs one
                assert tutorwatch(*shlex.split(command), url=healthy_url).code == 0, command
        assert troubles(doctor(healthy_url)) == [], (statement, told)
        run(healthy_url, "TRUNCATE tutorwatch.outbox")


def test_what_the_canary_found_is_told_with_its_time_and_age(healthy_url: str) -> None:
    def told() -> str:
        (line,) = (line for line in doctor(healthy_url).out.splitlines() if line.startswith("ok  canary"))
        return line.removeprefix("ok  canary").strip()

    assert told() == "recording was not tried yet; no test change was answered yet"
    run(
        healthy_url,
        "UPDATE tutorwatch.canary SET outcome = 'recorded', seconds = 0.012, tried_at = now() - interval '5 min'",
        "INSERT INTO tutorwatch.canary_markers VALUES"
        " (gen_random_uuid(), now() - interval '5 min', now() - interval '5 min' + interval '7.5 s', 'host:7', false)",
    )
    assert told() == "recorded in 12 ms, 5 min ago; answered in 7500 ms, found by a poll, 5 min ago"
    run(healthy_url, "UPDATE tutorwatch.canary SET outcome = 'untried', problem = 'there is no tutor yet'")
    assert told().startswith("recording can't be tried (there is no tutor yet), 5 min ago; ")
    run(healthy_url, "UPDATE tutorwatch.canary SET outcome = 'unrecorded', due_at = now() - interval '3 min'")
    assert told().startswith("not recorded 5 min ago, and not tried since; ")


def test_features_and_rules_that_are_off_are_told_and_are_no_trouble(healthy_url: str) -> None:
    run(
        healthy_url,
        "DROP TABLE coaching_notes",
        "ALTER TYPE insight_category RENAME VALUE 'low_engagement' TO 'dull'",
    )

    done = doctor(healthy_url)

    assert troubles(done) == []
    assert re.search(
        r"^ok  platform +its schema fits; no coaching notes: table .+; low_engagement is off: ", done.out, re.M
    )


def test_time_zones_of_clients_are_told_where_times_are_left_to_defaults(healthy_url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(healthy_url)["dbname"]
    run(healthy_url, f"ALTER DATABASE \"{name}\" SET timezone = 'America/New_York'")

    out = doctor(healthy_url).out

    assert re.search(
        r"^ok  time zone +ours is UTC; clients .+ America/New_York, in which .+ alerts.created_at, ", out, re.M
    )


async def test_listeners_role_may_run_it_while_a_listener_runs(database_url: str, platform: Platform) -> None:
    run(database_url, "DELETE FROM tutorwatch.service_roles")
    async with listening(database_url):
        await is_up(platform)

        assert not [told for told in troubles(doctor(LISTENER.url(database_url))) if told.startswith("rights")]


OPENID: dict[str, Any] = {
    "web_url": "https://tutorwatch.test",
    "web_openid_issuer": "https://id.test",
    "web_openid_client_id": "x",
    "web_openid_client_secret": "y",
}


def test_openid_connect_that_the_dashboards_role_may_not_use_is_told_with_the_command(healthy_url: str) -> None:
    asked = tutorwatch("doctor", url=healthy_url, **OPENID)
    [told] = troubles(asked)
    assert re.match(rf"openid +{WEB.name} may not sign people in with OpenID Connect: run `tutorwatch rights .+", told)
    assert troubles(doctor(healthy_url)) == []

    command = told.partition("`tutorwatch ")[2].removesuffix("`")
    assert tutorwatch(*command.split(), url=healthy_url).code == 0

    asked = tutorwatch("doctor", url=healthy_url, **OPENID)
    assert troubles(asked) == []
    assert re.search(rf"^ok  openid +{WEB.name} may sign people in", asked.out, re.M)
    # What is lacking otherwise is given without taking that away.
    run(healthy_url, f"REVOKE SELECT ON sessions FROM {WEB.name}")
    [told] = troubles(doctor(healthy_url))
    assert told.endswith(f"`tutorwatch rights --listener {LISTENER.name} --web {WEB.name} --openid`")


def test_one_role_for_everything_may_sign_people_in(healthy_url: str) -> None:
    run(healthy_url, "DELETE FROM tutorwatch.service_roles")
    assert "openid" not in str(troubles(tutorwatch("doctor", url=healthy_url, **OPENID)))


def test_a_switch_that_is_off_is_told_and_no_trigger_missed(healthy_url: str) -> None:
    assert tutorwatch("automation", "off", url=healthy_url).code == 0

    (told,) = troubles(doctor(healthy_url))

    assert re.match(r"automation +off since .*`tutorwatch automation on`", told)


def test_several_troubles_are_a_line_each(healthy_url: str) -> None:
    run(healthy_url, "DROP INDEX tutorwatch_alerts_by_tutor", DUPLICATES)
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(healthy_url, "CREATE UNIQUE INDEX CONCURRENTLY tutorwatch_alerts_by_tutor ON alerts (tutor_id, alert_type)")
    run(healthy_url, "DROP FUNCTION tutorwatch.record_sessions CASCADE")

    told = troubles(doctor(healthy_url))

    assert [line.split()[0] for line in told] == ["functions", "triggers", "indexes"]
    assert "(and 2 more: `tutorwatch migrate --check`): run `tutorwatch migrate`" in told[1]
    assert "is invalid" in told[2]
    assert tutorwatch("migrate", url=healthy_url).code == 0
    assert troubles(doctor(healthy_url)) == []


def test_what_no_command_mends_is_told_with_what_does(healthy_url: str) -> None:
    run(healthy_url, f"ALTER FUNCTION tutorwatch.record_alerts OWNER TO {WEB.name}")
    (told,) = troubles(doctor(healthy_url))
    assert re.match(rf"functions +their owner {WEB.name} may not write the outbox: REASSIGN OWNED BY", told)
    run(healthy_url, told.split(": ")[1])
    assert troubles(doctor(healthy_url)) == []

    run(healthy_url, "DROP TABLE tutorwatch.alert_resolutions")
    told, *others = troubles(doctor(healthy_url))
    assert re.match(r"tables +gone: alert_resolutions; restore them from a backup", told)
    assert all(other.startswith("rights ") for other in others)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "DROP SCHEMA tutorwatch CASCADE",
            r"schema +Tutorwatch isn't installed in this database: run `tutorwatch migr",
        ),
        (
            "UPDATE tutorwatch.alembic_version SET version_num = '0006'",
            r"schema +The database's schema \(0006\) is older than .+ migrate`$",
        ),
        ("DELETE FROM tutorwatch.alembic_version", r"schema +Tutorwatch isn't installed in this database"),
        (
            "UPDATE tutorwatch.alembic_version SET version_num = '9999'",
            r"schema +The database's schema \(9999\) is newer than .+ newer pro",
        ),
    ],
)
def test_another_schema_ends_it_after_one_line(database_url: str, statement: str, expected: str) -> None:
    run(database_url, statement)

    done = doctor(database_url)

    (told,) = troubles(done)
    assert re.match(expected, told)
    assert len(done.out.splitlines()) == len(OF_THE_SERVER) + 1


def test_a_database_that_is_read_only_is_told(healthy_url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(healthy_url)["dbname"]
    run(healthy_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')

    (told,) = troubles(doctor(healthy_url))

    assert re.match(r"database +PostgreSQL .+ is set to read only: set default_transaction_read_only", told)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Somebody who accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening_socket:
        yield listening_socket.getsockname()[1]


def test_an_unreachable_database_is_one_line_without_its_password(server_url: str, silent_port: int) -> None:
    for url in (
        f"postgresql://tim:{SECRET}@127.0.0.1:1/none",
        f"postgresql://tim:{SECRET}@127.0.0.1:{silent_port}/none?connect_timeout=2",
        database_on(server_url, "tutorwatch_test_no_such"),
    ):
        started = time.monotonic()
        done = doctor(url)

        (told,) = troubles(done)
        assert re.match(
            r"database +can't be reached \(.+\): is it running, and is TUTORWATCH_DATABASE_URL right\?", told
        )
        assert len(done.out.splitlines()) == 1
        assert SECRET not in done.out
        assert time.monotonic() - started < 30


def test_services_url_is_tried_beside_the_one_that_leads_past_the_pooler(
    healthy_url: str, empty_url: str, silent_port: int
) -> None:
    assert re.search(r"^ok  pooler +TUTORWATCH_DATABASE_URL leads to", examined(healthy_url, healthy_url).out, re.M)
    for services_url, expected in (
        (make_conninfo(healthy_url, host="127.0.0.1", port=1), r"no answer by TUTORWATCH_DATABASE_URL \(.+refused"),
        (make_conninfo(healthy_url, host="127.0.0.1", port=silent_port, connect_timeout=2), r"no answer by .+timeout"),
        (empty_url, "TUTORWATCH_DATABASE_URL and TUTORWATCH_LISTEN_URL lead to different databases"),
    ):
        (told,) = troubles(examined(services_url, healthy_url))

        assert re.match(f"pooler +.*{expected}", told)


def test_url_that_leads_past_the_pooler_is_named_where_it_fails(healthy_url: str) -> None:
    nowhere = make_conninfo(healthy_url, host="127.0.0.1", port=1)

    (told,) = troubles(examined(healthy_url, nowhere))

    assert re.match(r"database +can't be reached .+, and is TUTORWATCH_LISTEN_URL, .+ right\?$", told)


def examined(services_url: str, direct_url: str) -> Finished:
    return tutorwatch("doctor", url=services_url, listen_url=direct_url)


def test_a_listener_url_whose_role_may_not_connect_is_told(healthy_url: str) -> None:
    (told,) = troubles(examined(healthy_url, make_conninfo(healthy_url, user="nobody_at_all")))

    assert re.match(r"notifications +can't be listened to .+nobody_at_all.+: is TUTORWATCH_LISTEN_URL right\?$", told)


def test_a_connection_that_is_lost_meanwhile_is_one_more_line(healthy_url: str) -> None:
    findings = run_checks(healthy_url, ListenerSettings(), version="test")
    assert next(findings).is_ok
    run(
        healthy_url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'tutorwatch-doctor'",
    )

    (told,) = list(findings)

    assert (told.check, told.is_ok) == ("database", False)
    assert "terminating connection due to administrator command" in told.message


def test_it_waits_for_no_table_that_is_locked(healthy_url: str) -> None:
    started = time.monotonic()
    with psycopg.connect(healthy_url) as busy:
        busy.execute("LOCK alerts")

        assert troubles(doctor(healthy_url)) == []

    assert time.monotonic() - started < 30


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_differ_are_told(healthy_url: str, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Wrong":
            return cls.fromtimestamp((datetime.now(UTC) + timedelta(hours=hours)).timestamp(), tz)

    monkeypatch.setattr(server, "datetime", Wrong)

    (told,) = troubles(doctor(healthy_url))

    assert re.match(r"clock +this machine's clock and the server's differ by 3[56]\d\d s: ", told)


def test_programs_get_json(healthy_url: str) -> None:
    run(healthy_url, DEAD_LETTERED)

    done = doctor(healthy_url, "--json")

    assert done.code == 1
    answer = json.loads(done.out)
    assert answer["is_ok"] is False
    assert [check["check"] for check in answer["checks"] if not check["is_ok"]] == ["failures"]


async def test_a_listener_at_work_is_alive_for_as_long_as_its_heartbeats_take(
    database_url: str, platform: Platform
) -> None:
    def listeners() -> Finished:
        return doctor(database_url)

    async with listening(database_url, heartbeat_seconds=60):
        await is_up(platform)
        await has_settled(platform)
        await platform.rows("UPDATE tutorwatch.listeners SET seen_at = now() - interval '150 s' RETURNING 1")
        assert re.search(r"listeners +of version test, not ", listeners().out)  # alive, else it would say so

        await platform.rows("UPDATE tutorwatch.listeners SET seen_at = now() - interval '190 s' RETURNING 1")
        assert re.search(r"listeners +none is alive: no heartbeat from \S+ for 3 min; start", listeners().out)
