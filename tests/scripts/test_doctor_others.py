"""`tutorwatch doctor` names who else may create where we look, and whose sessions keep alerts waiting."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from rules.tutor_locks import LOCK_SEED
from scripts.doctor import others
from tests.scripts.test_doctor import doctor, healthy_url, run, troubles
from tests.support.platform import Platform
from tests.support.recorded import insert_sessions

__all__ = ["healthy_url"]

LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, %s))"


@pytest.fixture
def stranger(database_url: str, worker_id: str) -> Iterator[str]:
    """A role that may connect, and what it is given in a test."""
    name = f"tutorwatch_doctor_stranger_{worker_id}"
    role = sql.Identifier(name)
    with psycopg.connect(database_url, autocommit=True) as operator:
        operator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        operator.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'stranger'").format(role))
        yield name
        operator.execute(sql.SQL("DROP OWNED BY {}").format(role))
        operator.execute(sql.SQL("DROP ROLE {}").format(role))


@contextmanager
def session_of(url: str, role: str, application_name: str) -> Iterator[psycopg.Connection]:
    """The stranger's session; it may be ended from outside."""
    theirs = make_conninfo(url, user=role, password="stranger", application_name=application_name)
    connection = psycopg.connect(theirs, autocommit=True)
    yield connection
    connection.close()


def line(url: str, check: str) -> str:
    """What the doctor says of one check."""
    return next(each for each in doctor(url).out.splitlines() if each[4:].startswith(f"{check} "))


def advice(told: str) -> str:
    """The statement at the end of a line."""
    return re.search(r"(REVOKE .+|SELECT pg_terminate_backend\(\d+\))$", told)[0]  # type: ignore[index]


def test_whoever_may_create_in_public_is_named_and_is_no_trouble(healthy_url: str, stranger: str) -> None:
    run(healthy_url, "GRANT CREATE ON SCHEMA public TO PUBLIC", f"GRANT CREATE ON SCHEMA public TO {stranger}")

    assert troubles(doctor(healthy_url)) == []
    told = line(healthy_url, "schemas")
    assert f"PUBLIC, {stranger} may create in public" in told

    run(healthy_url, advice(told))
    assert "nobody else may create in public or tutorwatch" in line(healthy_url, "schemas")


def test_whoever_may_create_in_our_schema_is_trouble(healthy_url: str, stranger: str) -> None:
    run(healthy_url, f"GRANT CREATE, USAGE ON SCHEMA tutorwatch TO {stranger}")

    (told,) = troubles(doctor(healthy_url))
    assert re.match(rf"schemas +{stranger} may create in tutorwatch: REVOKE", told)

    run(healthy_url, advice(told))
    assert troubles(doctor(healthy_url)) == []


async def test_client_that_keeps_the_others_from_notifying_is_named(
    healthy_url: str, stranger: str, platform: Platform
) -> None:
    await insert_sessions(platform, ["a"], status="scheduled")
    run(healthy_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {stranger}")
    with session_of(healthy_url, stranger, "an importer") as client:
        client.execute("BEGIN")
        client.execute("UPDATE sessions SET status = 'completed'")
        assert troubles(doctor(healthy_url)) == [], "it hasn't notified yet"
        client.execute("SET CONSTRAINTS ALL IMMEDIATE")

        (told,) = troubles(doctor(healthy_url))
        assert re.match(
            rf"waking +listeners learn of changes by polling \(every 30 s\) while pid {client.info.backend_pid}"
            rf" \(an importer\) of role {stranger}(?: from \S+)?, idle in transaction since \S+ \S+ is in its",
            told,
        )
        run(healthy_url, advice(told))

    assert troubles(doctor(healthy_url)) == []


def test_whoever_holds_a_tutors_lock_for_long_is_named(
    healthy_url: str, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_of(healthy_url, stranger, "psql") as client:
        client.execute(LOCK.encode(), ["tutor", LOCK_SEED])
        client.execute("SELECT pg_advisory_lock(1)")  # another program's
        assert troubles(doctor(healthy_url)) == [], "not for long yet"
        monkeypatch.setattr(others, "LONG_HELD_SECONDS", 0)

        (told,) = troubles(doctor(healthy_url))
        assert re.match(
            rf"tutor locks +tutor can't be evaluated: pid {client.info.backend_pid} \(psql\) of role {stranger}"
            r"(?: from \S+)?, idle since \S+ \S+ has their lock",
            told,
        )
        run(healthy_url, advice(told))

    assert troubles(doctor(healthy_url)) == []


def test_a_generation_that_waits_for_the_lock_is_told(
    healthy_url: str, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others, "LONG_WAIT_SECONDS", 0)
    with (
        session_of(healthy_url, stranger, "psql") as client,
        session_of(healthy_url, stranger, "generation") as waiting,
    ):
        client.execute(LOCK.encode(), ["tutor", LOCK_SEED])
        waiting.pgconn.send_query(LOCK.replace("%s", "'tutor'", 1).replace("%s", str(LOCK_SEED)).encode())
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        with psycopg.connect(healthy_url, autocommit=True) as looking:
            while not looking.execute(waits.encode()).fetchone():
                pass

        (told,) = troubles(doctor(healthy_url))
        assert "tutor can't be evaluated, a generation waits for 1 of them: pid" in told
