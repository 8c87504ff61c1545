"""`tutorwatch backfill`: what it prints to the letter, what it writes, and what becomes of it when things go wrong."""

import asyncio
import io
import os
import pty
import re
import signal
import subprocess
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from rules.settings import thresholds
from scripts.backfill import Options, Summary, backfill
from scripts.errors import CommandError
from tests.support.command import PROGRAM, SECRET, Running, environment, tutorwatch
from tests.support.listening import (
    Proxy,
    alerted,
    generation_held_up,
    has_settled,
    is_up,
    listening,
    no_shows,
)
from tests.support.platform import Platform
from tests.support.waiting import PATIENCE_SECONDS, eventually

FIRST_RUN = """\
Processing 4 tutors...
Tutor 1/4: Ana Alvarez - 0 alerts, 0 insights generated
Tutor 2/4: Ben Okoye - 1 alerts, 0 insights generated
Tutor 3/4: Cleo Ruiz - 2 alerts, 3 insights generated
Tutor 4/4: Dora Smit - 0 alerts, 3 insights generated
Summary:
- Total alerts created: 3
- Total insights created: 6
- Tutors with critical alerts: 1
- Tutors with warnings: 1
"""
SECOND_RUN = """\
Processing 4 tutors...
Tutor 1/4: Ana Alvarez - 0 alerts, 0 insights generated
Tutor 2/4: Ben Okoye - 0 alerts, 0 insights generated
Tutor 3/4: Cleo Ruiz - 0 alerts, 0 insights generated
Tutor 4/4: Dora Smit - 0 alerts, 0 insights generated
Summary:
- Total alerts created: 0
- Total insights created: 0
- Tutors with critical alerts: 0
- Tutors with warnings: 0
"""
DRY_RUN = "Dry run: nothing is written; the counts say what would be created.\n"


@pytest.fixture
async def four_tutors(platform: Platform) -> Platform:
    """Written in another order than that of their names."""
    now = datetime.now(UTC)
    for tutor_id, name in (("d", "Dora Smit"), ("b", "Ben Okoye"), ("a", "Ana Alvarez"), ("c", "Cleo Ruiz")):
        await platform.user(tutor_id, name=name)
    audio = {
        "c": {"tutor_talk_ratio": "0.9", "tutor_checks_understanding_count": 1, "student_engagement_score": 5},
        "d": {"tutor_talk_ratio": "0.4", "tutor_checks_understanding_count": 9, "student_engagement_score": 9},
    }
    for day in range(1, 6):
        at = now - timedelta(days=day)
        for tutor_id, metrics in audio.items():
            await platform.session(tutor_id, at=at, completed_at=at, audio=metrics)
        if day <= 2:
            await platform.session("b", at=at, status="no_show_tutor")
    return platform


async def fail_for(platform: Platform, tutor_id: str) -> None:
    """Makes the database refuse alerts of a tutor."""
    await platform.connection.execute(
        b"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        b" $$BEGIN RAISE EXCEPTION 'no alerts for %', NEW.tutor_id; END$$"
    )
    await platform.connection.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON alerts FOR EACH ROW"
        f" WHEN (NEW.tutor_id = '{tutor_id}') EXECUTE FUNCTION refuse()".encode()
    )


async def snapshot(platform: Platform) -> list[Any]:
    """Every row of every table that a backfill could write, with the transaction that wrote it."""
    tables = (
        "alerts tutor_insights tutorwatch.alert_evidence tutorwatch.failures tutorwatch.outbox"
        " tutorwatch.alert_resolutions tutorwatch.sweep tutorwatch.listeners"
    )
    return [await platform.rows(f"SELECT xmin::text, t::text FROM {table} AS t ORDER BY 2") for table in tables.split()]


async def run(engine: AsyncEngine, **options: Any) -> tuple[str, Summary]:
    """A backfill in this process: its output, and its summary."""
    out = io.StringIO()
    summary = await backfill(engine, thresholds(), Options(**options), out=out)
    return out.getvalue(), summary


# What it prints and writes


async def test_output_is_as_specified_and_a_second_run_prints_zeros(database_url: str, four_tutors: Platform) -> None:
    first = tutorwatch("backfill", url=database_url, as_process=True)
    second = tutorwatch("backfill", url=database_url)

    assert (first.code, first.out) == (0, FIRST_RUN)
    assert (second.code, second.out) == (0, SECOND_RUN)
    assert first.err == second.err == ""
    assert await four_tutors.open_alerts("b") == ["no_show_pattern"]
    assert await four_tutors.open_alerts("c") == ["high_talk_ratio", "low_understanding_checks"]
    assert await four_tutors.active_insights("d") == [
        "balanced_talk_ratio",
        "frequent_understanding_checks",
        "high_engagement",
    ]


@pytest.mark.usefixtures("four_tutors")
@pytest.mark.parametrize("batch_size", [1, 3, 4, 200])
async def test_batch_size_changes_nothing_that_can_be_seen(engine: AsyncEngine, batch_size: int) -> None:
    assert (await run(engine, batch_size=batch_size))[0] == FIRST_RUN
    assert (await run(engine, batch_size=batch_size))[0] == SECOND_RUN


async def test_no_tutors_is_no_error(database_url: str, platform: Platform) -> None:
    await platform.user("admin", role="admin")
    await platform.user("student", role="student")

    done = tutorwatch("backfill", url=database_url)

    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "Processing 0 tutors...\nSummary:\n- Total alerts created: 0\n- Total insights created: 0\n"
        "- Tutors with critical alerts: 0\n- Tutors with warnings: 0\n"
    )


async def test_tutor_without_the_role_is_generated_too(engine: AsyncEngine, platform: Platform) -> None:
    await no_shows(platform, 1)
    await platform.rows("UPDATE users SET role = 'admin' WHERE id = 'tutor-0001' RETURNING 1")

    out, summary = await run(engine)

    assert "Tutor 1/1: Tutor-0001 - 1 alerts, 0 insights generated\n" in out
    assert (summary.tutors, summary.alerts) == (1, 1)


# Which tutors


async def test_tutor_option_can_be_repeated(database_url: str, four_tutors: Platform) -> None:
    done = tutorwatch("backfill", "--tutor", "d", "--tutor", "b", "--tutor", "d", url=database_url)

    assert done.code == 0
    assert done.out.splitlines()[:4] == [
        "Processing 2 tutors...",
        "Tutor 1/2: Ben Okoye - 1 alerts, 0 insights generated",
        "Tutor 2/2: Dora Smit - 0 alerts, 3 insights generated",
        "Summary:",
    ]
    assert await four_tutors.rows("SELECT DISTINCT tutor_id FROM alerts") == ["b"]
    assert await four_tutors.rows("SELECT DISTINCT tutor_id FROM tutor_insights") == ["d"]


async def test_unknown_tutors_are_named_and_nothing_is_done(database_url: str, four_tutors: Platform) -> None:
    done = tutorwatch("backfill", "--tutor", "b", "--tutor", "nobody", "--tutor", "'; --", url=database_url)

    assert (done.code, done.out, done.err) == (1, "", "No such tutor: nobody, '; --\n")
    assert await alerted(four_tutors) == []


async def test_user_who_is_no_tutor_is_named_and_nothing_is_done(database_url: str, four_tutors: Platform) -> None:
    await four_tutors.user("s-1", role="student", name="Stu Dent")

    done = tutorwatch("backfill", "--tutor", "b", "--tutor", "s-1", url=database_url)

    assert (done.code, done.out) == (1, "")
    assert done.err == "No tutor, by role, profile or session: Stu Dent (s-1)\n"
    assert await alerted(four_tutors) == []


@pytest.mark.usefixtures("four_tutors")
@pytest.mark.parametrize(("limit", "processed"), [(1, 1), (3, 3), (4, 4), (99, 4)])
async def test_limit_takes_the_first_by_name(engine: AsyncEngine, limit: int, processed: int) -> None:
    out, summary = await run(engine, limit=limit, batch_size=2)

    assert out.startswith(f"Processing {processed} tutors...\nTutor 1/{processed}: Ana Alvarez - ")
    assert (summary.tutors, out.count("generated\n")) == (processed, processed)


@pytest.mark.parametrize(
    "arguments", [["--limit", "0"], ["--batch-size", "0"], ["--batch-size", "5001"], ["--tutor"], ["--dry"]]
)
def test_wrong_arguments_end_with_exit_code_2(arguments: list[str]) -> None:
    done = tutorwatch("backfill", *arguments, url="postgresql://nowhere.invalid/none")

    assert (done.code, done.out) == (2, "")
    assert arguments[0] in done.err


async def test_dry_run_tells_what_it_would_create_and_writes_nothing(
    database_url: str, engine: AsyncEngine, four_tutors: Platform
) -> None:
    await run(engine, tutor_ids=["d"])
    await four_tutors.rows("UPDATE tutor_insights SET display_text = 'old' RETURNING 1")  # a refresh, if it wrote
    await four_tutors.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at)"
        " VALUES ('b', 1, 'x', now(), now()) RETURNING 1"
    )
    before = await snapshot(four_tutors)

    done = tutorwatch("backfill", "--dry-run", "--batch-size", "3", url=database_url)

    assert done.code == 0
    assert done.out == DRY_RUN + FIRST_RUN.replace("Smit - 0 alerts, 3 ", "Smit - 0 alerts, 0 ").replace(
        "insights created: 6", "insights created: 3"
    )
    assert await snapshot(four_tutors) == before


async def test_backfill_clears_the_record_of_tutors_that_succeed(engine: AsyncEngine, four_tutors: Platform) -> None:
    await four_tutors.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('b', 5, 'x', now(), now(), now()), ('c', 5, 'x', now(), now(), now()) RETURNING 1"
    )

    await run(engine, tutor_ids=["b"])

    assert await four_tutors.rows("SELECT tutor_id FROM tutorwatch.failures") == ["c"]


# When things go wrong


@pytest.mark.parametrize("batch_size", ["1", "200"])
async def test_failing_tutor_is_named_and_the_others_are_done(
    database_url: str, four_tutors: Platform, batch_size: str
) -> None:
    await fail_for(four_tutors, "b")

    done = tutorwatch("backfill", "--batch-size", batch_size, url=database_url, as_process=batch_size == "1")

    assert done.code == 1
    assert done.err == "Failed for 1 tutors: b\n"
    tutors = [line for line in done.out.splitlines() if line.startswith("Tutor ")]
    assert tutors[0] == "Tutor 1/4: Ana Alvarez - 0 alerts, 0 insights generated"
    assert tutors[1].startswith("Tutor 2/4: Ben Okoye - failed: ")
    assert "no alerts for b" in tutors[1]
    assert tutors[2:] == [
        "Tutor 3/4: Cleo Ruiz - 2 alerts, 3 insights generated",
        "Tutor 4/4: Dora Smit - 0 alerts, 3 insights generated",
    ]
    assert done.out.endswith(
        "Summary:\n- Total alerts created: 2\n- Total insights created: 6\n"
        "- Tutors with critical alerts: 0\n- Tutors with warnings: 1\n"
    )
    assert await alerted(four_tutors) == []
    assert await four_tutors.open_alerts("c") == ["high_talk_ratio", "low_understanding_checks"]


async def test_failing_tutor_gets_one_line_without_the_statement(database_url: str, four_tutors: Platform) -> None:
    await fail_for(four_tutors, "b")

    done = tutorwatch("backfill", url=database_url)

    assert len(done.out.splitlines()) == len(FIRST_RUN.splitlines())
    assert "INSERT INTO" not in done.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_backfill_can_be_run_again(
    database_url: str, engine: AsyncEngine, platform: Platform, number: signal.Signals
) -> None:
    tutors = await no_shows(platform, 120)
    async with generation_held_up(database_url, tutors[101]):  # it must not end before it is interrupted
        with Running("backfill", "--batch-size", "2", url=database_url) as running:
            await running.line("^Tutor 40/120: ")
            running.send(number)
            assert await running.end() != 0
            told = sum("1 alerts" in line for line in running.out)
    done_before = await alerted(platform)
    assert 40 <= told <= len(done_before) <= 100
    assert len(done_before) % 2 == 0  # batches are whole, or not at all
    assert len(set(tutors[: len(done_before)]) - set(done_before)) in (0, 2), "at most one is begun ahead of another"

    out, summary = await run(engine)

    assert summary.alerts == 120 - len(done_before)
    assert await alerted(platform) == tutors
    assert out.count("Tutor ") >= 120


async def test_next_batch_is_generated_meanwhile_but_told_in_its_turn(database_url: str, platform: Platform) -> None:
    tutors = await no_shows(platform, 5)

    async def is_next_done() -> bool:
        return await alerted(platform) == [tutors[1]]

    with ExitStack() as at_the_end:
        async with generation_held_up(database_url, tutors[0]):
            running = at_the_end.enter_context(Running("backfill", "--batch-size", "1", url=database_url))
            await eventually(is_next_done)
            await asyncio.sleep(0.3)
            assert await is_next_done(), "the third is begun once the first is done"
            assert not any(line.startswith("Tutor ") for line in running.out)
        assert await running.end() == 0
    told = [line.split(":")[0] for line in running.out if line.startswith("Tutor ")]
    assert told == [f"Tutor {number}/5" for number in range(1, 6)]
    assert await alerted(platform) == tutors


async def test_interrupted_backfill_says_so_with_exit_code_1(database_url: str, platform: Platform) -> None:
    tutors = await no_shows(platform, 40)
    async with generation_held_up(database_url, tutors[30]):
        with Running("backfill", "--batch-size", "1", url=database_url) as running:
            await running.line("^Tutor 10/40: ")
            running.send(signal.SIGINT)
            assert await running.end() == 1
            assert running.err == ["Interrupted; what was begun is rolled back. Run the command again to go on\n"]


async def test_backfill_beside_a_live_listener_creates_nothing_twice(
    database_url: str, engine: AsyncEngine, platform: Platform
) -> None:
    async with listening(database_url, batch_size=3) as listener:
        await is_up(platform)
        tutors = await no_shows(platform, 90)
        (_, one), (_, two) = await asyncio.gather(run(engine, batch_size=4), run(engine, batch_size=7))
        await has_settled(platform)

    by_the_listener = sum(len(batch.generated.alerts) for batch in listener.batches)
    assert one.alerts + two.alerts + by_the_listener == 90
    assert await alerted(platform) == tutors
    assert one.failed == two.failed == {}
    assert [failure for batch in listener.batches for failure in batch.failed] == []


async def test_unreachable_database_is_one_line_and_exit_code_1() -> None:
    done = tutorwatch("backfill", url=f"postgresql://tim:{SECRET}@127.0.0.1:1/none")

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("The database can't be reached: ")
    assert SECRET not in done.err
    assert "Traceback" not in done.err


async def test_database_that_goes_away_is_told_with_what_to_do(
    database_url: str, four_tutors: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.backfill.ATTEMPTS", 2)
    monkeypatch.setattr("scripts.backfill.AT_ONCE", 1)  # or the second batch may be done by then

    async with Proxy(database_url) as proxy:
        await proxy.open()
        engine = open_engine(proxy.url, application_name="tutorwatch")
        out = io.StringIO()

        class Unplugging(io.StringIO):
            def write(self, line: str) -> int:
                if line.startswith("Tutor 2/4"):
                    proxy.refuse()
                return out.write(line)

        with pytest.raises(CommandError, match=r"went away after 2 tutors \(.*\); run the backfill again to go on"):
            await backfill(engine, thresholds(), Options(batch_size=2), out=Unplugging())
        await engine.dispose()
    assert out.getvalue() == "".join(FIRST_RUN.splitlines(keepends=True)[:3])
    assert await alerted(four_tutors) == ["b"]


# On a terminal


def _read_terminal(master: int, into: list[bytes]) -> None:
    try:
        while data := os.read(master, 65536):
            into.append(data)
    except OSError:  # the other side has closed it
        pass


def run_on_terminal(url: str, *, stdout_too: bool) -> tuple[str, str]:
    """A backfill whose stderr is a terminal: what came to stdout (if that is a pipe), and to the terminal."""
    master, terminal = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=_read_terminal, args=(master, shown))
    with subprocess.Popen(
        [PROGRAM, "backfill", "--batch-size", "1"],
        env=environment(url, {}) | {"TERM": "xterm-256color", "COLUMNS": "120"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=terminal if stdout_too else subprocess.PIPE,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        reader.start()
        out = process.stdout.read().decode() if process.stdout else ""
        assert process.wait(PATIENCE_SECONDS) == 0
    reader.join()
    os.close(master)
    return out, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(shown).decode())


async def test_progress_is_shown_on_a_terminal_and_stdout_stays_clean(database_url: str, four_tutors: Platform) -> None:
    out, terminal = await asyncio.to_thread(run_on_terminal, database_url, stdout_too=False)

    assert out == FIRST_RUN
    assert "4/4" in terminal
    assert "━" in terminal
    assert "Tutor 1/4" not in terminal
    assert await alerted(four_tutors) == ["b"]


async def test_lines_and_progress_share_a_terminal(database_url: str, four_tutors: Platform) -> None:
    _, terminal = await asyncio.to_thread(run_on_terminal, database_url, stdout_too=True)

    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal)  # the bar moves the cursor about
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    assert [line for line in lines if line.startswith("Tutor ")] == FIRST_RUN.splitlines()[1:5]
    assert "- Total insights created: 6" in lines
    assert "━" in terminal
    assert await alerted(four_tutors) == ["b"]
