"""The command line: help, exit codes, settings, and what an operator does with a database and its listeners."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from typer.main import get_command
from typer.testing import CliRunner

from database.connections import open_engine
from database.recording import SWITCH_OFF
from database.session_settings import connection_options
from scripts.cli import app
from tests.support.command import SECRET, Running, find_psql, psql, tutorwatch
from tests.support.listening import alerted, has_settled, is_up, listening, no_shows, waiting
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.waiting import PATIENCE_SECONDS, eventually

NOWHERE = f"postgresql://tim:{SECRET}@127.0.0.1:1/none"
ISO_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
ON_A_DATABASE = [
    ["listen"],
    ["migrate"],
    ["migrate", "--check"],
    ["backfill"],
    ["status"],
    ["failures"],
    ["retry", "--all"],
    ["automation", "on"],
    ["automation", "off"],
    ["automation", "status"],
    ["demo"],
    ["uninstall", "--yes"],
]


def words(command: list[str]) -> str:
    return " ".join(command)


# Help and usage


@pytest.mark.parametrize(
    ("command", "mentioned"),
    [
        ([], ["TUTORWATCH_DATABASE_URL", "stdout", "stderr", "Exit code", "listen", "backfill", "uninstall"]),
        (["run"], [".data/", "--no-demo", "--every", "demo data"]),
        (["listen"], ["--log-format", "--log-level", "share the work"]),
        (["migrate"], ["--check", "--sql", "--automation-off", "0: nothing, 3: something", "changes nothing"]),
        (["backfill"], ["--tutor", "--limit", "--dry-run", "--batch-size", "run again"]),
        (["status"], ["exit 1", "--host", "--json"]),
        (["doctor"], ["--json", "exit 1", "what to do"]),
        (["failures"], ["given up", "--json"]),
        (["retry"], ["TUTOR", "--all"]),
        (["automation"], ["on", "off", "status"]),
        (["automation", "on"], ["all tutors"]),
        (["automation", "off"], ["switching on again"]),
        (["demo"], ["--write", "--every", "empty database"]),
        (["uninstall"], ["--yes", "stay"]),
    ],
    ids=lambda value: words(value) or "tutorwatch" if value and not value[0].isupper() else None,
)
def test_help_mentions_what_matters(command: list[str], mentioned: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})

    text = re.sub(r"[\s│]+", " ", shown.stdout)
    assert (shown.exit_code, [word for word in mentioned if word not in text]) == (0, [])


def _commands() -> Iterator[list[str]]:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        yield [name]
        yield from ([name, part] for part in getattr(command, "commands", {}))


@pytest.mark.parametrize("command", list(_commands()), ids=words)
def test_every_command_has_help(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])

    assert shown.exit_code == 0
    assert f"Usage: root {words(command)} " in shown.stdout or f" {words(command)} " in shown.stdout


def test_help_works_as_a_process_without_any_setting() -> None:
    shown = tutorwatch("--help", batch_size="rubbish", as_process=True)

    assert (shown.code, shown.err) == (0, "")
    assert "Usage: tutorwatch" in shown.out


@pytest.mark.parametrize(
    "command",
    [[], ["listen", "--fast"], ["migrate", "now"], ["automation"], ["automation", "maybe"], ["retry"]],
    ids=words,
)
def test_wrong_usage_ends_with_exit_code_2(command: list[str]) -> None:
    assert tutorwatch(*command, url=NOWHERE).code == 2


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "--all", "somebody"]], ids=words)
def test_retry_wants_tutors_or_all_but_not_both(arguments: list[str]) -> None:
    done = tutorwatch(*arguments, url=NOWHERE)

    assert (done.code, done.out) == (2, "")
    assert "Give the ids of tutors, or --all." in done.err


@pytest.mark.parametrize("given", ["a\x00b", "a\udcffb", "line\nbreak", " "], ids=ascii)
@pytest.mark.parametrize(
    "command",
    [
        ["backfill", "--tutor"],
        ["retry"],
        ["status", "--host"],
        ["create-admin"],
        ["create-admin", "new@example.test", "--name"],
        ["set-password"],
        ["token", "create"],
        ["token", "create", "pager", "--acts-for"],
        ["token", "revoke"],
        ["rights", "--web", "web", "--listener"],
    ],
    ids=words,
)
def test_what_no_name_can_be_is_refused_before_anything_is_done(command: list[str], given: str) -> None:
    done = tutorwatch(*command, given, url=NOWHERE)

    assert (done.code, done.out) == (2, "")
    assert "is empty, or has characters that no name has" in done.err


# Settings


@pytest.mark.parametrize("command", [["listen"], ["backfill"], ["migrate"], ["status"], ["run"]], ids=words)
def test_wrong_settings_are_told_all_at_once_a_line_each(command: list[str], tmp_path: Path) -> None:
    done = tutorwatch(
        *command,
        url="",
        cwd=tmp_path,
        batch_size=0,
        poll_seconds="soon",
        window_days="0",
        no_show_pattern_cuont=3,
        databse_url=NOWHERE,
    )

    assert (done.code, done.out) == (2, "")
    lines = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert sorted(line.split(":")[0] for line in lines) == [
        "TUTORWATCH_BATCH_SIZE",
        "TUTORWATCH_DATABASE_URL",
        "TUTORWATCH_DATABSE_URL",
        "TUTORWATCH_NO_SHOW_PATTERN_CUONT",
        "TUTORWATCH_POLL_SECONDS",
        "TUTORWATCH_WINDOW_DAYS",
    ]
    told = {line.split(":")[0]: line for line in lines}
    assert "(it is '0')" in told["TUTORWATCH_BATCH_SIZE"]
    assert "'soon'" in told["TUTORWATCH_POLL_SECONDS"]
    assert told["TUTORWATCH_DATABSE_URL"].endswith("did you mean TUTORWATCH_DATABASE_URL?")
    assert told["TUTORWATCH_NO_SHOW_PATTERN_CUONT"].endswith("did you mean TUTORWATCH_NO_SHOW_PATTERN_COUNT?")
    assert SECRET not in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ON_A_DATABASE, ids=words)
def test_missing_database_url_is_a_usage_error(command: list[str], tmp_path: Path) -> None:
    done = tutorwatch(*command, cwd=tmp_path)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("TUTORWATCH_DATABASE_URL is not set: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("command", [each for each in ON_A_DATABASE if each != ["listen"]], ids=words)
def test_unreachable_database_is_told_without_its_password(command: list[str]) -> None:
    done = tutorwatch(*command, url=NOWHERE)

    assert (done.code, done.out) == (1, "")
    assert "127.0.0.1" in done.err
    assert SECRET not in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "command",
    [["status"], ["migrate"], ["automation", "status"], ["demo"]],
    ids=words,
)
def test_malformed_database_url_is_told_without_its_password(command: list[str]) -> None:
    done = tutorwatch(*command, url=f"postgres//tim:{SECRET}@db.example.test/platform")

    assert done.code in (1, 2)
    assert SECRET not in done.out + done.err
    assert "Traceback" not in done.err


async def test_listener_refuses_a_malformed_database_url_without_its_password() -> None:
    with Running("listen", url=f"postgres//tim:{SECRET}@db.example.test/platform") as listener:

        async def has_spoken() -> bool:
            return bool(listener.err)

        await eventually(has_spoken)
        assert await listener.end() in (1, 2)
        assert SECRET not in "".join(listener.err)


async def test_listener_that_finds_no_database_keeps_the_password_to_itself() -> None:
    with Running("listen", url=NOWHERE) as listener:
        await listener.log(action="unreachable")
        listener.send(signal.SIGTERM)
        assert await listener.end() == 0
        assert listener.out == []
        assert SECRET not in "".join(listener.err)


def test_embedded_database_of_this_folder_is_found(database_url: str, tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "url").write_text(database_url + "\n")

    assert tutorwatch("automation", "status", cwd=tmp_path).out == "Automation is on.\n"


@pytest.mark.parametrize("command", [["doctor"], ["migrate"], ["status"]], ids=words)
async def test_interrupted_command_says_so(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_SECONDS)
        url = f"postgresql://tim@127.0.0.1:{silent.getsockname()[1]}/none?connect_timeout=600"
        with Running(*command, url=url) as waiting_for_an_answer:
            connection, _ = await asyncio.to_thread(silent.accept)
            with connection:
                waiting_for_an_answer.send(signal.SIGINT)
                assert await waiting_for_an_answer.end() == 1

    [told] = waiting_for_an_answer.err
    assert told.startswith("Interrupted; ")


# Logs and results


@pytest.mark.parametrize(
    ("arguments", "settings", "as_json"),
    [
        pytest.param([], {}, True, id="not on a terminal"),
        pytest.param(["--log-format", "text"], {}, False, id="text by option"),
        pytest.param([], {"log_format": "text"}, False, id="text by variable"),
        pytest.param(["--log-format", "json"], {"log_format": "text"}, True, id="the option wins"),
    ],
)
async def test_logs_are_json_or_text_on_stderr(
    database_url: str, arguments: list[str], settings: dict[str, Any], as_json: bool
) -> None:
    with Running("listen", *arguments, url=LISTENER.url(database_url), **settings) as listener:

        async def is_listening() -> bool:
            return any("Listening for changes" in line for line in listener.err)

        await eventually(is_listening)
        listener.send(signal.SIGTERM)
        assert await listener.end() == 0

    assert listener.out == []
    for line in listener.err:
        if as_json:
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
            assert re.fullmatch(ISO_TIME, json.loads(line)["time"])
        else:
            assert re.match(rf"{ISO_TIME} INFO    \w", line)


def test_unknown_log_format_is_a_usage_error() -> None:
    done = tutorwatch("listen", url=NOWHERE, log_format="xml")

    assert (done.code, done.out) == (2, "")
    assert "xml" in done.err


def test_variable_sets_the_log_format_of_every_command(database_url: str) -> None:
    filled = tutorwatch("demo", url=database_url, log_format="text")
    removed = tutorwatch("uninstall", "--yes", url=database_url, log_format="text")

    assert re.match(rf"{ISO_TIME} INFO    Filled the empty database", filled.err)
    assert re.match(rf"{ISO_TIME} INFO    Dropping index", removed.err)


@pytest.mark.parametrize(
    ("arguments", "settings", "is_told"),
    [
        pytest.param([], {}, True, id="info, unless told otherwise"),
        pytest.param([], {"log_level": "warning"}, False, id="by variable"),
        pytest.param(["--log-level", "error"], {"log_level": "debug"}, False, id="the option wins"),
    ],
)
def test_log_level_is_the_least_that_is_told(
    database_url: str, arguments: list[str], settings: dict[str, Any], is_told: bool
) -> None:
    filled = tutorwatch("demo", *arguments, url=database_url, **settings)

    assert ("Filled the empty database" in filled.err) is is_told


def test_unknown_log_level_is_a_usage_error() -> None:
    done = tutorwatch("listen", url=NOWHERE, log_level="loud")

    assert (done.code, done.out) == (2, "")
    assert "loud" in done.err


def test_version_is_printed_without_any_setting() -> None:
    done = tutorwatch("--version", batch_size="rubbish")

    assert (done.code, done.out, done.err) == (0, f"tutorwatch {version('tutorwatch')}\n", "")


# Connections


@pytest.mark.parametrize(
    ("options", "setting", "value"),
    [
        pytest.param("", "lock_timeout", "15s", id="ours, unless told otherwise"),
        pytest.param("-c lock_timeout=7s", "lock_timeout", "7s", id="theirs"),
        pytest.param("-c lock_timeout=7s", "statement_timeout", "20s", id="ours beside theirs"),
        pytest.param("-c work_mem=32MB", "work_mem", "32MB", id="theirs, of which we know nothing"),
        pytest.param("-c timezone=Asia/Tokyo", "timezone", "UTC", id="ours always: the time zone"),
        pytest.param("-c datestyle=German", "datestyle", "ISO, DMY", id="ours always: what the driver reads"),
        pytest.param(
            "-c default_transaction_isolation=serializable",
            "default_transaction_isolation",
            "read committed",
            id="ours always: the isolation",
        ),
    ],
)
async def test_options_in_the_url_count_unless_correctness_needs_ours(
    database_url: str, options: str, setting: str, value: str
) -> None:
    url = make_conninfo(database_url, options=options)
    engine = open_engine(url, application_name="test")
    async with engine.connect() as conn:
        shown = await conn.scalar(text(f"SHOW {setting}"))
    await engine.dispose()

    assert shown == value


def test_times_to_wait_in_the_url_count() -> None:
    options = connection_options("test", "postgresql://h/d?connect_timeout=1&keepalives_idle=2&application_name=x")

    assert (options.get("connect_timeout"), options.get("keepalives_idle")) == (None, None)
    assert (options["keepalives_count"], options["application_name"]) == (3, "test")


# migrate


def test_migrate_creates_checks_and_changes_nothing_twice(empty_url: str) -> None:
    before = tutorwatch("migrate", "--check", url=empty_url)
    first = tutorwatch("migrate", url=empty_url)
    after = tutorwatch("migrate", "--check", url=empty_url)
    second = tutorwatch("migrate", url=empty_url)

    assert before.code == 3
    assert all(re.fullmatch(r"revision \d+ \(.+\) is not applied", line) for line in before.out.splitlines())
    assert len(before.out.splitlines()) >= 3
    assert first.code == 0
    assert re.fullmatch(r"Migrated from nothing to revision \d+\.\n", first.out)
    assert (after.code, after.out) == (0, "The schema is up to date.\n")
    assert second.code == 0
    assert re.fullmatch(r"The schema is up to date \(revision \d+\)\.\n", second.out)
    assert [json.loads(line)["level"] for line in first.err.splitlines()].count("INFO") == len(first.err.splitlines())


@pytest.mark.skipif(find_psql() is None, reason="psql is not to be found")
def test_printed_migration_can_be_run_in_psql(platform_url: str) -> None:
    printed = tutorwatch("migrate", "--sql", url=platform_url)
    assert printed.code == 0
    assert tutorwatch("migrate", "--check", url=platform_url).code == 3  # printing has changed nothing

    psql(platform_url, printed.out)

    assert tutorwatch("migrate", "--check", url=platform_url).out == "The schema is up to date.\n"
    assert tutorwatch("migrate", "--sql", url=platform_url).out.strip() == ""


def test_migrate_can_leave_the_automation_off(platform_url: str) -> None:
    assert tutorwatch("migrate", "--automation-off", url=platform_url).code == 0

    assert tutorwatch("automation", "status", url=platform_url).out == "Automation is off.\n"
    assert "`tutorwatch automation on`" in tutorwatch("status", url=platform_url).out


def test_foreign_database_is_refused(empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id integer)")

    refused = tutorwatch("migrate", url=empty_url)

    assert (refused.code, refused.out) == (1, "")
    assert "not the platform's as Tutorwatch knows it; nothing was changed:" in refused.err
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT to_regnamespace('tutorwatch')").fetchone() == (None,)


@pytest.mark.parametrize(
    "command",
    [["status"], ["failures"], ["retry", "--all"], ["backfill"], ["automation", "on"], ["automation", "off"]],
    ids=words,
)
def test_database_without_tutorwatch_is_told_what_to_run(platform_url: str, command: list[str]) -> None:
    done = tutorwatch(*command, url=platform_url)

    assert (done.code, done.out) == (1, "")
    assert "run `tutorwatch migrate`" in done.err
    assert len(done.err.splitlines()) == 1


def test_automation_status_is_an_error_where_tutorwatch_is_not_installed(platform_url: str) -> None:
    assert tutorwatch("automation", "status", url=platform_url).code == 1
    told = tutorwatch("automation", "status", "--json", url=platform_url)
    assert (told.code, json.loads(told.out)) == (1, {"automation": "missing"})


# failures and retry


async def test_failures_are_listed_with_their_outlook(database_url: str, platform: Platform) -> None:
    assert tutorwatch("failures", url=database_url).out == "No failed evaluations.\n"
    await platform.user("p", name="Paula Poe")
    await platform.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at,"
        " next_attempt_at, parked_at) VALUES"
        " ('p', 5, 'KeyError: 1', now(), now(), NULL, '2026-03-01 12:30+00'),"
        " ('gone', 2, 'TypeError: x', now(), now(), '2027-01-01 08:00:05+00', NULL) RETURNING 1"
    )

    listed = tutorwatch("failures", url=database_url)

    assert (listed.code, listed.err) == (0, "")
    assert listed.out.splitlines() == [
        "Paula Poe (p): gave up on 2026-03-01 12:30 UTC, 5 attempts, last error: KeyError: 1",
        "gone: next attempt at 2027-01-01 08:00:05 UTC, 2 attempts, last error: TypeError: x",
    ]
    for_programs = json.loads(tutorwatch("failures", "--json", url=database_url).out)
    assert [(each["tutor_id"], each["name"], each["attempts"], each["last_error"]) for each in for_programs] == [
        ("p", "Paula Poe", 5, "KeyError: 1"),
        ("gone", None, 2, "TypeError: x"),
    ]
    assert for_programs[0]["dead_lettered_at"] == "2026-03-01T12:30:00+00:00"
    assert for_programs[1]["next_attempt_at"] == "2027-01-01T08:00:05+00:00"


async def test_failure_is_one_line_even_if_its_error_is_not(database_url: str, platform: Platform) -> None:
    await platform.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at)"
        " VALUES ('a', 1, E'RaiseException: no\\nCONTEXT:  PL/pgSQL function refuse()', now(), now()) RETURNING 1"
    )

    assert len(tutorwatch("failures", url=database_url).out.splitlines()) == 1


async def test_retry_frees_a_dead_lettered_tutor(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 2)
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    await platform.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " SELECT 'tutor-000' || n, 5, 'x', now(), now(), now() FROM generate_series(1, 2) AS n RETURNING 1"
    )

    one = tutorwatch("retry", "tutor-0001", url=database_url)

    assert (one.code, one.out) == (0, "Failing tutors that the next free listener will generate: 1\n")
    assert "tutor-0001): about to be tried again, 0 attempts" in tutorwatch("failures", url=database_url).out
    async with listening(database_url):
        await has_settled(platform)
    assert await platform.rows("SELECT tutor_id FROM tutorwatch.failures") == ["tutor-0002"]

    everyone = tutorwatch("retry", "--all", url=database_url)

    assert (everyone.code, everyone.out) == (0, "Failing tutors that the next free listener will generate: 1\n")
    async with listening(database_url):
        await has_settled(platform)
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []
    assert await alerted(platform) == ["tutor-0001", "tutor-0002"]
    assert tutorwatch("retry", "--all", url=database_url).out.endswith("generate: 0\n")


async def test_retry_of_an_unknown_tutor_does_nothing(database_url: str, platform: Platform) -> None:
    await platform.user("known")

    done = tutorwatch("retry", "known", "nobody", url=database_url)

    assert (done.code, done.out, done.err) == (1, "", "No such tutor: nobody\n")
    assert await waiting(platform) == []


async def test_retry_of_a_tutor_whose_user_is_gone_frees_what_failures_lists(
    database_url: str, platform: Platform
) -> None:
    await platform.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('gone', 5, 'x', now(), now(), now()) RETURNING 1"
    )

    assert tutorwatch("retry", "gone", url=database_url).out.endswith(" will generate: 1\n")
    async with listening(database_url):
        await has_settled(platform)
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []


# Accounts


async def test_admin_with_a_name_too_long_for_the_platform_is_not_created(
    database_url: str, platform: Platform
) -> None:
    arguments = ["create-admin", "new@example.test", "--name", "x" * 300, "--password-stdin"]

    done = tutorwatch(*arguments, url=database_url, answer="correct horse battery\n")

    assert (done.code, done.out) == (2, "")
    assert done.err == "A name has at most 255 characters; this one has 300\n"
    assert await platform.rows("SELECT * FROM users") == []


@pytest.mark.parametrize(
    ("password", "told"),
    [
        pytest.param("short", "A password has 12 to 1024 characters", id="short"),
        pytest.param("", "A password has 12 to 1024 characters", id="nothing"),
        pytest.param("correct horse \udcff", "The password on stdin is not UTF-8", id="no text"),
    ],
)
def test_password_on_stdin_that_cannot_be_is_told_in_a_line(database_url: str, password: str, told: str) -> None:
    done = tutorwatch("create-admin", "new@example.test", "--password-stdin", url=database_url, answer=password)

    assert (done.code > 0, done.out, done.err) == (True, "", told + "\n")


def test_password_without_a_terminal_to_type_it_on_is_asked_for_on_stdin() -> None:
    with Running("set-password", "dana@example.test", url=NOWHERE) as asking:  # in a session without a terminal
        asyncio.run(asking.end())

    assert (asking.out, asking.err) == (
        [],
        ["There is no terminal to type a password on: pass it with --password-stdin\n"],
    )


# The switch


async def test_automation_off_records_nothing_and_on_catches_up(database_url: str, platform: Platform) -> None:
    async with listening(database_url, poll_seconds=3600) as listener:
        await is_up(platform)
        off = tutorwatch("automation", "off", url=database_url)
        assert (off.code, off.out, off.err) == (0, "Automation is off.\n", "")
        assert tutorwatch("automation", "status", url=database_url).out == "Automation is off.\n"

        tutors = await no_shows(platform, 5)
        await platform.rows("SELECT pg_notify('tutorwatch_changes', '')")  # even if it looks, there is nothing
        assert await waiting(platform) == []
        assert await alerted(platform) == []
        assert listener.batches == []

        on = tutorwatch("automation", "on", url=database_url)

        assert (on.code, on.out) == (0, "Automation is on.\n")

        async def are_alerted() -> bool:
            return await alerted(platform) == tutors

        await eventually(are_alerted)
        await no_shows(platform, 1, first=6)
        tutors.append("tutor-0006")
        await eventually(are_alerted)


def test_automation_can_be_switched_even_where_a_trigger_is_missing(database_url: str) -> None:
    """It is then partly on, as the dashboard's page of the system says, too."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TRIGGER tutorwatch_insert ON sessions")

    for switched, state, told in (
        ("off", "off", "off.\n"),
        ("on", "partly on", "partly on: run `tutorwatch migrate`.\n"),
    ):
        assert tutorwatch("automation", switched, url=database_url).out == f"Automation is {state}.\n"
        assert tutorwatch("automation", "status", url=database_url).out == f"Automation is {told}"


# status


async def test_status_tells_what_is_not_evaluated(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 3)
    alone = tutorwatch("status", url=database_url)
    assert (alone.code, alone.err) == (1, "")
    lines = alone.out.splitlines()
    assert lines[0] == "Listeners alive: 0"
    assert re.fullmatch(r"Changes waiting: 3 \(oldest \d+ s\)", lines[1])
    assert lines[2] == "Tutors failing: 0 to be tried again, 0 given up on"
    assert re.fullmatch(r"All tutors last re-evaluated: [-0-9]+ [:0-9]+ UTC", lines[3])
    assert lines[4:] == ["Not evaluated: No listener is alive: start `tutorwatch listen`"]

    async with listening(database_url):
        await is_up(platform)
        await has_settled(platform)
        attended = tutorwatch("status", url=database_url)
        here = tutorwatch("status", "--host", os.uname().nodename, url=database_url)
        elsewhere = tutorwatch("status", "--host", "elsewhere.example.test", url=database_url)

    assert (attended.code, attended.out.splitlines()[:2]) == (0, ["Listeners alive: 1", "Changes waiting: 0"])
    assert attended.out.splitlines()[-1] == "Everything is evaluated."
    assert (here.code, elsewhere.code) == (0, 1)
    assert elsewhere.out.startswith("Listeners alive: 0\n")
    assert tutorwatch("status", url=database_url).code == 1


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        (SWITCH_OFF, "recording"),
        ("DROP TRIGGER tutorwatch_insert ON sessions", "recording"),
        ("ALTER TABLE sessions RENAME overall_session_score TO score", "platform"),
        (
            "INSERT INTO tutorwatch.failures VALUES ('a', 5, 'E', now(), now(), NULL, '2026-03-01 12:30+00')",
            "dead_lettered",
        ),
    ],
)
async def test_status_exits_1_for_whatever_is_wrong_beside_a_living_listener(
    database_url: str, platform: Platform, statement: str, check: str
) -> None:
    await listener_seen(platform, ago="1 s", heartbeat=60)
    assert tutorwatch("status", url=database_url).code == 0
    await platform.connection.execute(statement.encode())

    told, told_programs = (tutorwatch("status", *json_too, url=database_url) for json_too in ([], ["--json"]))

    assert (told.code, told_programs.code) == (1, 1)
    found = json.loads(told_programs.out)
    [problem] = found["problems"]
    assert (found["is_well"], problem["check"], found["listeners"]) == (False, check, 1)
    assert f"Not evaluated: {problem['message']}" in told.out


def test_status_of_a_database_without_tutorwatch_is_json_too(platform_url: str) -> None:
    told = tutorwatch("status", "--json", url=platform_url)
    [problem] = json.loads(told.out)["problems"]
    assert (told.code, problem["check"]) == (1, "schema")


@pytest.mark.parametrize(
    ("ago", "heartbeat", "is_alive"),
    [("10 s", 4, True), ("13 s", 4, False), ("13 s", 1, False), ("160 s", 60, True), ("181 s", 60, False)],
)
async def test_listener_is_alive_for_as_long_as_its_heartbeats_take(
    database_url: str, platform: Platform, ago: str, heartbeat: float, is_alive: bool
) -> None:
    await listener_seen(platform, ago=ago, heartbeat=heartbeat)
    assert tutorwatch("status", url=database_url).code == (0 if is_alive else 1)


async def listener_seen(platform: Platform, *, ago: str, heartbeat: float) -> None:
    await platform.rows(
        "INSERT INTO tutorwatch.listeners VALUES (gen_random_uuid(), 'host', 1, '0', now() - interval '1 day',"
        " now() - %s::interval, jsonb_build_object('heartbeat_seconds', %s::float8)) RETURNING 1",
        ago,
        heartbeat,
    )


# demo


async def test_demo_fills_an_empty_database_once(database_url: str, platform: Platform) -> None:
    first = tutorwatch("demo", url=database_url)
    assert (first.code, first.out) == (0, "The demo data is in place.\n")
    sessions = await platform.rows("SELECT count(*) FROM sessions")
    assert await platform.rows("SELECT count(*) FROM users WHERE role = 'tutor'") == [10]

    second = tutorwatch("demo", url=database_url)

    assert (second.code, second.out) == (0, "The demo data is there already.\n")
    assert await platform.rows("SELECT count(*) FROM sessions") == sessions


async def test_demo_leaves_a_foreign_database_alone(database_url: str, platform: Platform) -> None:
    await platform.user("somebody")

    for arguments in ([], ["--write"]):  # refused before it handles signals
        done = tutorwatch("demo", *arguments, url=database_url)
        assert (done.code, done.out) == (1, "")
        assert done.err == "This database holds other data; the demo fills empty databases only\n"
    assert await platform.rows("SELECT id FROM users") == ["somebody"]


async def test_demo_goes_on_writing_until_interrupted(database_url: str, platform: Platform) -> None:
    with Running("demo", "--write", "--every", "0.05", url=database_url) as demo:
        await demo.line("^The demo data is in place.")
        filled = (await platform.rows("SELECT count(*) FROM sessions"))[0]

        async def has_written() -> bool:
            return bool((await platform.rows("SELECT count(*) FROM sessions"))[0] >= filled + 5)

        await eventually(has_written)
        await demo.line(r"^\S+ \S+ with .+: .+")
        demo.send(signal.SIGINT)
        assert await demo.end() == 0


def test_demo_without_a_schema_tells_what_to_run(empty_url: str) -> None:
    done = tutorwatch("demo", url=empty_url)

    assert (done.code, done.out) == (1, "")
    assert "run `tutorwatch migrate`" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("statement", ["DROP TABLE session_feedback", "ALTER TABLE sessions DROP ai_summary"])
async def test_demo_tells_in_a_line_what_the_platform_lacks(
    statement: str, database_url: str, platform: Platform
) -> None:
    await platform.connection.execute(statement.encode())

    done = tutorwatch("demo", url=database_url)

    assert (done.code, done.out) == (1, "")
    assert re.fullmatch("The demo needs all of the platform's tables: .+ does not exist\n", done.err)
    assert await platform.rows("SELECT count(*) FROM users") == [0]


async def test_demo_that_cannot_go_on_writing_ends(database_url: str, platform: Platform) -> None:
    assert tutorwatch("demo", url=database_url).code == 0
    await platform.rows("UPDATE students SET status = 'paused' RETURNING 1")
    with Running("demo", "--write", "--every", "0.05", url=database_url) as demo:
        assert await demo.end() == 1


# uninstall


async def test_uninstall_asks_first(database_url: str, platform: Platform) -> None:
    for answer in ("n\n", "\n", ""):
        asked = tutorwatch("uninstall", url=database_url, answer=answer)
        assert asked.code == 1
        assert "Remove Tutorwatch's triggers, indexes, evidence and history from 'tutorwatch_test_" in asked.out
        assert "is removed" not in asked.out
    assert tutorwatch("automation", "status", url=database_url).out == "Automation is on.\n"
    assert await waiting(platform) == []


@pytest.mark.parametrize(("arguments", "answer"), [(["--yes"], ""), ([], "y\n")], ids=["--yes", "answered yes"])
async def test_uninstall_removes_ours_and_keeps_the_platforms(
    database_url: str, platform: Platform, arguments: list[str], answer: str
) -> None:
    await no_shows(platform, 2)
    async with listening(database_url):
        await has_settled(platform)

    done = tutorwatch("uninstall", *arguments, url=database_url, answer=answer)

    assert done.code == 0
    assert done.out.endswith("alerts and insights included.\n")
    assert await platform.rows("SELECT to_regnamespace('tutorwatch')") == [None]
    assert await alerted(platform) == ["tutor-0001", "tutor-0002"]
    await no_shows(platform, 1)  # a client's write goes on
    assert tutorwatch("status", url=database_url).code == 1
    assert tutorwatch("uninstall", "--yes", url=database_url).code == 0
