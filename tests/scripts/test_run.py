"""`tutorwatch run`: everything in one process, in a folder of its own."""

import asyncio
import json
import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database.connections import open_engine
from listener.batch import Batch
from rules.generation import Generated
from rules.rule import Severity
from rules.store import OpenedAlert
from scripts.console import Console
from tests.support.command import Running, find_psql, psql, run_client, tutorwatch
from tests.support.listening import has_settled, no_shows
from tests.support.platform import Platform
from tests.support.servers import folder_for_servers
from tests.support.waiting import eventually

NO_SHOWS = """
    INSERT INTO sessions (tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number, status)
    SELECT users.id, student.id, subject.id, now() AT TIME ZONE 'UTC' - interval '3 hours', 60, 9, 'no_show_tutor'
    FROM users, generate_series(1, 2),
         (SELECT id FROM users WHERE role = 'student' LIMIT 1) AS student, (SELECT id FROM subjects LIMIT 1) AS subject
    WHERE users.name = '{name}'
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where it runs; a server that is left there is ended."""
    # Not in pytest's own folder: the next run of pytest takes the server's user the right to read that.
    with tempfile.TemporaryDirectory(
        prefix="tutorwatch-run-", dir=folder_for_servers(), ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for pid in servers_of(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 30
        while servers_of(folder) and time.monotonic() < deadline:
            time.sleep(0.05)


def servers_of(folder: Path) -> list[int]:
    """The processes of PostgreSQL servers whose data is in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if b"-D" in arguments and str(folder).encode() in arguments[arguments.index(b"-D") + 1]:
                found.append(int(process.name))
    return found


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def running(folder: Path, *arguments: str, url: str | None = None, **settings: Any) -> Running:
    return Running("run", "--every", "0.2", *arguments, url=url, cwd=folder, **{"web_port": 0} | settings)


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row
    return int(row[0])


async def printed_url(everything: Running) -> str:
    return (await everything.line(r"^Database: +psql '(.+)'"))[1]


async def test_newcomer_sees_sessions_and_alerts_and_can_cause_some(folder: Path) -> None:
    with running(folder) as everything:
        url = await printed_url(everything)
        await everything.line(r"^\d\d:\d\d:\d\d  session  Sarah Chen with .+: completed, score \d")
        await everything.line(r"^\d\d:\d\d:\d\d  ALERT    \S+ \S+: \w+ \((critical|warning)\): .+\d")
        await everything.line(r"^\d\d:\d\d:\d\d  insight  \S+ \S+: \w+ \((strength|growth area)\): ")
        assert (folder / ".data" / "url").read_text().strip() == url

        await cause_alert(everything, url, run_client, "Sarah Chen")
        if find_psql():
            await cause_alert(everything, url, psql, "Jonas Lindqvist")

        everything.send(signal.SIGTERM)
        assert await everything.end() == 0
    for line in everything.err:
        assert json.loads(line)["level"] == "INFO", line


async def cause_alert(everything: Running, url: str, write: Callable[[str, str], object], name: str) -> None:
    """Writes no-shows, and waits for the alert on the screen; then it is in the table, once."""
    await asyncio.to_thread(write, url, NO_SHOWS.format(name=name))
    await everything.line(rf"ALERT    {name}: no_show_pattern \(critical\): \d no-shows in 30 days \(alert from 2\)")
    with psycopg.connect(url) as connection:
        opened = connection.execute(
            "SELECT count(*) FROM alerts JOIN users ON users.id = tutor_id"
            " WHERE name = %s AND alert_type = 'no_show_pattern' AND NOT resolved",
            [name],
        ).fetchone()
    assert opened == (1,)


async def test_ctrl_c_ends_everything_and_a_second_run_goes_on_with_the_same_data(folder: Path) -> None:
    with running(folder) as first:
        url = await printed_url(first)
        await first.line("  session  ")
        assert servers_of(folder)
        assert tutorwatch("status", cwd=folder).code == 0
        with psycopg.connect(url) as connection:
            tutors = connection.execute("SELECT id, created_at FROM users ORDER BY 1").fetchall()
        sessions = count(url, "sessions")

        first.press_ctrl_c()

        assert await first.end() == 0
    assert servers_of(folder) == []
    assert not (folder / ".data" / "url").exists()
    assert tutorwatch("status", cwd=folder).code == 2

    with running(folder) as second:
        url = await printed_url(second)
        await second.line("  session  ")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT id, created_at FROM users ORDER BY 1").fetchall() == tutors
        assert sessions < count(url, "sessions") < 2 * sessions
        assert not [line for line in second.err if "Filled" in line or "Migrated" in line]
        second.press_ctrl_c()
        assert await second.end() == 0
    assert servers_of(folder) == []


async def test_without_the_demo_nothing_is_written(folder: Path, empty_url: str) -> None:
    with running(folder, "--no-demo", url=empty_url) as everything:
        await everything.log(action="listening")
        assert count(empty_url, "users") == 0
        assert not [line for line in everything.out if "  session  " in line]
        everything.send(signal.SIGINT)
        assert await everything.end() == 0


async def test_platforms_own_database_gets_no_demo_row(folder: Path, database_url: str, platform: Platform) -> None:
    await no_shows(platform, 1, each=1)
    with running(folder, url=database_url) as everything:
        await everything.log(action="listening")
        await has_settled(platform)
        await no_shows(platform, 1, each=1)
        await everything.line(r"ALERT    Tutor-0001: no_show_pattern \(critical\): ")
        everything.send(signal.SIGINT)
        assert await everything.end() == 0

    assert await platform.rows("SELECT id FROM users ORDER BY 1") == ["student", "tutor-0001"]
    assert await platform.rows("SELECT count(*) FROM sessions") == [2]
    assert database_url not in "".join(everything.out + everything.err)
    assert entries(folder) == []


async def test_platform_that_cannot_hold_the_demo_runs_without_it(
    folder: Path, database_url: str, platform: Platform
) -> None:
    await platform.connection.execute("DROP TABLE session_feedback")
    with running(folder, url=database_url) as everything:
        await everything.line(r"^Dashboard: \S+ \(`tutorwatch create-admin")
        everything.send(signal.SIGTERM)
        assert await everything.end() == 0
    warnings = [told["message"] for line in everything.err if (told := json.loads(line))["level"] != "INFO"]
    assert [told.partition(": ")[0] for told in warnings] == ["Without the demo"]
    assert count(database_url, "users") == 0


async def test_empty_database_of_ones_own_is_migrated_and_filled(folder: Path, empty_url: str) -> None:
    with running(folder, url=empty_url) as everything:
        await everything.line("  session  ")
        assert count(empty_url, "users WHERE role = 'tutor'") == 10
        everything.send(signal.SIGINT)
        assert await everything.end() == 0
    assert entries(folder) == []


async def test_run_after_a_killed_one_stops_its_server(folder: Path) -> None:
    with running(folder, "--no-demo") as killed:
        await killed.log(action="listening")
        killed.send(signal.SIGKILL)
        await killed.end()
    assert servers_of(folder)
    with running(folder, "--no-demo") as second:
        await second.log(action="listening")
        second.send(signal.SIGINT)
        assert await second.end() == 0
    assert servers_of(folder) == []


async def test_second_run_in_a_folder_is_refused_and_the_first_goes_on(folder: Path) -> None:
    with running(folder) as first:
        url = await printed_url(first)
        await first.line("  session  ")

        second = tutorwatch("run", cwd=folder, web_port=0)

        assert (second.code, second.out) == (1, "")
        assert second.err.startswith("`tutorwatch run` is running in this folder already: ")
        assert len(second.err.splitlines()) == 1
        assert (folder / ".data" / "url").read_text().strip() == url
        assert tutorwatch("status", cwd=folder).code == 0
        first.send(signal.SIGINT)
        assert await first.end() == 0


def test_folder_that_cannot_hold_the_database_is_told_in_a_line(folder: Path) -> None:
    (folder / ".data").touch()

    refused = tutorwatch("run", cwd=folder, web_port=0)

    assert (refused.code, refused.out) == (1, "")
    assert re.fullmatch(rf"The embedded PostgreSQL can't be kept in {folder}/\.data \(.+\): .+\n", refused.err)


@pytest.mark.parametrize(
    ("command", "setting"),
    [(["web"], "web_port"), (["web"], "web_metrics_port"), (["run", "--no-demo"], "web_port")],
)
def test_port_that_is_taken_is_told_in_a_line(database_url: str, command: list[str], setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"web_port": 0} | {setting: port}

        done = tutorwatch(*command, url=database_url, as_process=True, **settings)

    assert (done.code, done.out) == (1, "")
    [told] = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert f"Nothing can be served on 127.0.0.1:{port} (Address already in use): set TUTORWATCH_" in told
    assert f" or TUTORWATCH_{setting.upper()} to something else" in told


async def test_sigterm_during_the_start_leaves_no_server(folder: Path) -> None:
    with running(folder) as everything:
        await printed_url(everything)
        everything.send(signal.SIGTERM)
        await everything.end()

    async def is_gone() -> bool:
        return servers_of(folder) == []

    await eventually(is_gone)


async def test_deleting_a_tutor_of_the_demo_does_not_end_everything(folder: Path, empty_url: str) -> None:
    with running(folder, "--every", "0.02", url=empty_url) as everything:
        await everything.line("  session  ")
        with psycopg.connect(empty_url, autocommit=True) as connection:
            connection.execute("DELETE FROM users WHERE role = 'tutor' AND name <> 'Sarah Chen'")

        await asyncio.to_thread(run_client, empty_url, NO_SHOWS.format(name="Sarah Chen"))

        async def is_told_or_over() -> bool:
            return any("ALERT    Sarah Chen: no_show_pattern" in line for line in everything.out) or (
                not everything.is_running
            )

        await eventually(is_told_or_over)
        for _ in range(20):  # as many sessions as make the writer meet a tutor that is gone
            await asyncio.sleep(0.1)
        assert everything.is_running


async def test_console_without_a_database_prints_ids_instead_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    engine = open_engine("postgresql://127.0.0.1:1/none", application_name="test")
    console = Console(engine)
    alert = OpenedAlert("tutor-1", "no_show_pattern", Severity.CRITICAL, "2 no-shows")
    console.batch(Batch(generated=Generated(alerts=[alert])))
    telling = asyncio.create_task(console.run())
    told = ""

    async def has_told() -> bool:
        nonlocal told
        told += capsys.readouterr().out
        return "ALERT    tutor-1: no_show_pattern" in told or telling.done()

    await eventually(has_told)
    assert not telling.done()
    telling.cancel()
