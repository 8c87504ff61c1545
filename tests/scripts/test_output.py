"""What a command prints: a line each, whatever names hold, on every terminal, into every pipe."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import pytest

from database.one_line import one_line
from scripts.logs import JsonLines, TextFormatter
from tests.support.command import PROGRAM, environment, tutorwatch
from tests.support.platform import Platform
from tests.support.waiting import PATIENCE_SECONDS

FORGED = "Zoë Łukasz\nTutor 9/9: forged - 99 alerts, 0 insights generated"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\x9b1A\u2028\u202egnp.exe"
ENCODINGS = [
    pytest.param({"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}, id="ASCII"),
    pytest.param({"LC_ALL": "POSIX", "LANG": "", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="no UTF-8 mode"),
    pytest.param({"PYTHONIOENCODING": "latin-1"}, id="Latin-1"),
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë Łukasz 李 👩‍🏫 علی‌رضا", "Zoë Łukasz 李 👩‍🏫 علی‌رضا"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07\x9b", r"\x1b[31mred\x07\x9b"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\u202eabc\u2066\u2069", r"\u202eabc\u2066\u2069"),
        ("half \ud83d", r"half \ud83d"),
    ],
    ids=ascii,
)
def test_line_holds_what_it_can_and_escapes_the_rest(text: str, shown: str) -> None:
    assert ascii(one_line(text)) == ascii(shown)  # half a character can't be reported


# Names


@pytest.fixture
async def forger(platform: Platform) -> Platform:
    """A tutor with a hostile name and two no-shows, and one after them with two as well."""
    await platform.user("forger", name=FORGED + HOSTILE)
    await platform.user("zz", name="Zz Last")
    for tutor_id in ("forger", "zz"):
        for days in (1, 2):
            at = datetime.now(UTC) - timedelta(days=days)
            await platform.session(tutor_id, at=at, status="no_show_tutor")
    return platform


def printed(out: str) -> list[str]:
    """Its lines; nothing in it is a command to a terminal."""
    assert out.replace("\n", "").isprintable()
    return out.splitlines()


@pytest.mark.usefixtures("forger")
def test_backfill_prints_a_line_for_each_name(database_url: str) -> None:
    done = tutorwatch("backfill", url=database_url)

    tutors = [line for line in printed(done.out) if line.startswith("Tutor ")]
    assert len(tutors) == 2
    assert r"Zoë Łukasz\nTutor 9/9: forged" in tutors[0] + tutors[1]


async def test_backfill_of_others_names_them_on_a_line(database_url: str, platform: Platform) -> None:
    await platform.user("boss", role="admin", name=FORGED + HOSTILE)

    done = tutorwatch("backfill", "--tutor", "boss", url=database_url)

    assert (done.code, len(printed(done.err))) == (1, 1)


async def test_failures_are_a_line_each(database_url: str, forger: Platform) -> None:
    await forger.connection.execute(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('forger', 5, %s, now(), now(), now())",
        [f"Refused: {HOSTILE}\nDETAIL: more"],
    )

    listed = tutorwatch("failures", url=database_url)

    assert len(printed(listed.out)) == 1


# Logs


def record(message: str) -> logging.LogRecord:
    """As a listener logs an error that quotes what a client wrote."""
    try:
        raise ValueError(message)
    except ValueError:
        error: tuple[type[BaseException], BaseException, TracebackType | None] = sys.exc_info()  # type: ignore[assignment]
    made = logging.LogRecord("test", logging.ERROR, "", 0, "Failed for %s", (message,), error)
    made.created = datetime(2026, 11, 29, 22, 4, 30, 530_000, UTC).timestamp()
    return made


def test_text_line_of_the_log_stays_one_and_its_traceback_is_indented() -> None:
    first, *trace = printed(TextFormatter(with_date=True).format(record(FORGED + HOSTILE)))

    assert first.startswith(r"2026-11-29T22:04:30.530+00:00 ERROR   Failed for Zoë Łukasz\nTutor 9/9")
    assert trace
    assert all(line.startswith("    ") for line in trace)


def test_text_line_on_a_terminal_has_the_time_of_day_with_its_zone() -> None:
    made = record("Ann")
    local = datetime.fromtimestamp(made.created).astimezone()

    assert TextFormatter(with_date=False).format(made).startswith(f"{local:%H:%M:%S%z} ERROR   Failed for Ann\n")


def test_json_line_has_its_time_in_utc() -> None:
    [line] = printed(JsonLines().format(record(FORGED + HOSTILE)))

    assert '"time": "2026-11-29T22:04:30.530+00:00"' in line


# Encodings and pipes


@pytest.mark.parametrize("variables", ENCODINGS)
async def test_backfill_goes_on_where_names_cannot_be_shown(
    variables: dict[str, str], database_url: str, forger: Platform
) -> None:
    done = run(["backfill"], database_url, variables)

    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0141ukasz\nTutor" in done.stdout
    assert await forger.open_alerts("zz") == ["no_show_pattern"]


def run(
    command: list[str], url: str, variables: dict[str, str], stdout: int | None = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """A process of its own, with these environment variables."""
    return subprocess.run(
        [PROGRAM, *command],
        env=environment(url, {}) | variables,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture
def full_disk() -> Iterator[int]:
    """A file that takes nothing."""
    if not Path("/dev/full").exists():
        pytest.skip("needs Linux's /dev/full")
    with Path("/dev/full").open("wb") as file:
        yield file.fileno()


COMMANDS = [["backfill"], ["status"], ["failures"], ["settings"], ["doctor"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.usefixtures("forger")
def test_full_disk_is_told_in_a_line(command: list[str], database_url: str, full_disk: int) -> None:
    done = run(command, database_url, {}, full_disk)

    assert (done.returncode, done.stderr) == (1, b"The output can't be written: No space left on device\n")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.usefixtures("forger")
def test_reader_that_leaves_ends_the_command_quietly(command: list[str], database_url: str) -> None:
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as reader:
        assert reader.stdin
        reader.wait()
        done = run(command, database_url, {}, reader.stdin.fileno())

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.usefixtures("forger")
def test_closed_stdout_is_no_error(database_url: str) -> None:
    script = f"exec {PROGRAM} backfill >&-"
    done = subprocess.run(
        ["sh", "-c", script], env=environment(database_url, {}), cwd="/", stderr=subprocess.PIPE, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
