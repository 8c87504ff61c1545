"""What Tutorwatch costs the clients that write sessions: with its triggers against without.

One connection that commits row by row, in small alternating blocks; bulk loads (COPY, and one INSERT of many
rows), each into the same empty table; and many connections at once, where commits wait for each other: without
triggers, with them, with them and a listener at work, and with what a plain design would have instead, a row
trigger that notifies (which keeps no record, and which nobody hears here). Beside them the least that any record in
the same transaction must be: a statement's trigger that does nothing, one that appends to a table without an index,
one that also notifies, and the least that does what ours is for: with an order to claim in, harmless to the client
when it fails, and with a notification at commit, of one writer at a time.

Last, how old the rows of the outbox are when a listener claims them: few a second, more, and as many as they can.
"""

import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Annotated, LiteralString

import psycopg
import typer
from psycopg import sql

from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.consumption import Stopwatch, difference, listener_processor_seconds
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.listening import listener, wait_until_drained
from benchmarks.load import find_pgbench, transactions_per_second
from benchmarks.progress import say
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.samples import Samples
from benchmarks.turns import in_turns
from database.recording import STATEMENT_TRIGGERS
from migrations import automation

WARM_UP_ROWS = 20
"""Rows at the start of each block that don't count: the switch makes the server look up and plan anew what an insert
and our triggers ask, some of it five times (the fifth row takes half as long again, the fifteenth hardly)."""

REFILLED_ROWS = 30_000
"""So many, at most, are in the table before single rows are added: enough to give its indexes their depth."""
STUDENTS_EACH = 25
ROWS_EACH = 200


@dataclass(frozen=True)
class Options:
    """Sizes: `blocks` of `block_rows` single rows each way; `copy_rows` and `insert_rows` in one statement,
    `copies` and `inserts` times each way; `connections` at once for `seconds`, `rounds` times each way; the outbox
    watched for `age_seconds` at each pace."""

    blocks: int
    block_rows: int
    copy_rows: int
    copies: int
    insert_rows: int
    inserts: int
    connections: int
    seconds: int
    rounds: int
    age_seconds: int

    @property
    def tutors(self) -> int:
        """Enough for the rows that are copied, 200 each."""
        return max(1, -(-self.copy_rows // ROWS_EACH))


def command(
    blocks: Annotated[int | None, typer.Option(min=1, help="Blocks of single rows, each way [40].")] = None,
    block_rows: Annotated[int | None, typer.Option(min=1, help="Rows of such a block, one per commit [50].")] = None,
    copy_rows: Annotated[int | None, typer.Option(min=1, help="Rows of each COPY [100000].")] = None,
    copies: Annotated[int | None, typer.Option(min=1, help="COPYs, each way [6].")] = None,
    insert_rows: Annotated[int | None, typer.Option(min=1, help="Rows of one INSERT [1000].")] = None,
    inserts: Annotated[int | None, typer.Option(min=1, help="Such INSERTs, each way [20].")] = None,
    connections: Annotated[int | None, typer.Option(min=1, help="Connections that write at once [16].")] = None,
    seconds: Annotated[int | None, typer.Option(min=1, help="How long they write [5].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often, each way [2].")] = None,
    age_seconds: Annotated[
        int | None, typer.Option(min=1, help="How long the outbox is watched, at each pace [8].")
    ] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """What the triggers cost those who write sessions: row by row, in bulk, and many at once."""
    BENCHMARK.run(
        quick=quick,
        json_file=json_file,
        blocks=blocks,
        block_rows=block_rows,
        copy_rows=copy_rows,
        copies=copies,
        insert_rows=insert_rows,
        inserts=inserts,
        connections=connections,
        seconds=seconds,
        rounds=rounds,
        age_seconds=age_seconds,
    )


def measure(server_url: str, options: Options) -> Report:
    """Bulk loads first, into an empty table; then the single rows on top of a full one."""
    with (
        filled_database(server_url, "writer", Size(options.tutors, ROWS_EACH)) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        automation.switch(connection, on=True)
        _enable(connection, "DISABLE")
        connection.execute("TRUNCATE tutorwatch.outbox")
        connection.execute(_KEEP_ROWS, [options.copy_rows])
        say("Loading sessions in bulk, with and without triggers")
        figures = [*_copies(connection, options), *_inserts(connection, options)]
        _refill(connection)
        say("Writing row by row, with and without triggers")
        figures += _single_rows(connection, options)
        say(f"Writing with {options.connections} connections at once")
        figures += _many_connections(connection, url, options)
        say("Watching how old the outbox becomes")
        figures += _ages(connection, url, options)
        return Report("writer", asdict(options), figures, _notes())


def _notes() -> tuple[str, ...]:
    by = "pgbench" if find_pgbench() else "processes with psycopg"
    return (
        "every figure includes the commit; single rows and many connections commit each row",
        f"many connections are {by}; a ratio of transactions per second below 1 is a loss",
        "a listener at work shares the machine with the server here: that part of its loss isn't the triggers'",
        "what it leaves to the writers: all cores, less the time of its own process and of the server's for its"
        " connections",
        "the age of a row of the outbox is noted by a trigger of the benchmark's on its deletion, which is its claim",
    )


INSERT = sql.SQL("""
    INSERT INTO public.sessions (tutor_id, student_id, scheduled_start, scheduled_duration, actual_duration,
                                 subject_id, session_number, status, overall_session_score, completed_at, created_at)
    VALUES ('bench-tutor-' || {tutor}::int, 'bench-student-' || {student}::int, timezone('utc', now()), 60, 58,
            md5('bench-subject-1')::uuid, 3, 'completed', 7.5, timezone('utc', now()), timezone('utc', now()))
""")
"""One completed session of the numbered tutor and student, as clients write it."""
# The rows to load again and again, in the order of time.
_KEEP_ROWS = """
    CREATE TABLE public.bench_rows AS
    SELECT * FROM public.sessions ORDER BY scheduled_start, id LIMIT %s
"""


def _copies(connection: psycopg.Connection, options: Options) -> list[Figure]:
    rows = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy("COPY public.bench_rows TO STDOUT") as copy:
        for block in copy:
            rows.write(block)

    def copy_in() -> float:
        started = time.perf_counter()
        with connection.cursor() as cursor, cursor.copy("COPY public.sessions FROM STDIN") as copy:
            copy.write(rows.getbuffer())
        return time.perf_counter() - started

    found = _with_and_without(connection, copy_in, rounds=options.copies)
    return _pair("copy", f"COPY of {options.copy_rows:,} sessions", "s", found)


def _inserts(connection: psycopg.Connection, options: Options) -> list[Figure]:
    def insert() -> float:
        started = time.perf_counter()
        connection.execute(
            "INSERT INTO public.sessions SELECT * FROM public.bench_rows LIMIT %s", [options.insert_rows]
        )
        return 1000 * (time.perf_counter() - started)

    found = _with_and_without(connection, insert, rounds=options.inserts)
    return _pair("insert_many", f"INSERT of {options.insert_rows:,} sessions in one statement", "ms", found)


def _single_rows(connection: psycopg.Connection, options: Options) -> list[Figure]:
    statement = INSERT.format(tutor=sql.Placeholder("tutor"), student=sql.Placeholder("student"))

    def insert_one(row: int) -> float:
        numbers = {"tutor": 1 + row % options.tutors, "student": 1 + row % (options.tutors * STUDENTS_EACH)}
        started = time.perf_counter()
        connection.execute(statement, numbers, prepare=True)
        return 1000 * (time.perf_counter() - started)

    def insert_block() -> float:
        times = [insert_one(row) for row in range(WARM_UP_ROWS + options.block_rows)]
        return Samples(times[WARM_UP_ROWS:]).median

    def insert_beside(trigger: AbstractContextManager[None]) -> float:
        with trigger:
            return insert_block()

    found = in_turns(
        {
            "without": insert_block,
            "with": lambda: insert_beside(_triggers(connection, on=True)),
            "empty": lambda: insert_beside(_trigger(connection, *DOES_NOTHING)),
            "records": lambda: insert_beside(_recording(connection, RECORDS)),
            "wakes": lambda: insert_beside(_recording(connection, RECORDS_AND_NOTIFIES)),
            "least": lambda: insert_beside(_recording(connection, RECORDS_GUARDED, _KEYED_AND_WAKING)),
        },
        rounds=options.blocks,
    )
    without, to = found["without"], "without triggers"
    return [
        *_pair("insert_one", "single session per commit", "ms", found),
        compared("insert_one_empty", "  with a trigger that does nothing", "ms", found["empty"], without, to=to),
        compared("insert_one_records", f"  with {_JUST_RECORDS}", "ms", found["records"], without, to=to),
        compared("insert_one_wakes", "  with one that records and notifies", "ms", found["wakes"], without, to=to),
        compared("insert_one_least", f"  with {_THE_LEAST}", "ms", found["least"], without, to=to),
    ]


def _many_connections(connection: psycopg.Connection, url: str, options: Options) -> list[Figure]:
    left: list[float] = []

    def write(beside: Callable[[], AbstractContextManager[object]], seconds: int = options.seconds) -> float:
        _refill(connection)
        with beside():
            return _write(url, options, connections=options.connections, seconds=seconds)

    def write_beside_listener() -> float:
        _refill(connection)
        with _triggers(connection, on=True), listener(url) as process:
            before, watch = listener_processor_seconds(process.process_id, url), Stopwatch()
            tps = _write(url, options, connections=options.connections, seconds=options.seconds)
            spent = difference(before, listener_processor_seconds(process.process_id, url))
            if spent is not None:
                left.append(1 - spent / watch.took().seconds / (os.cpu_count() or 1))
        return tps

    found = in_turns(
        {
            "without": lambda: write(nullcontext),
            "with": lambda: write(lambda: _triggers(connection, on=True)),
            "listener": write_beside_listener,
            "empty": lambda: write(lambda: _trigger(connection, *DOES_NOTHING)),
            "records": lambda: write(lambda: _recording(connection, RECORDS)),
            "notify": lambda: write(lambda: _trigger(connection, *NOTIFIES)),
        },
        rounds=options.rounds,
        warm_up=lambda: write(nullcontext, seconds=1),
    )
    without, with_them, to = found["without"], found["with"], "without triggers"
    what = f"{options.connections} connections at once"
    figures = [
        measured("tps_without", f"{what}, without triggers", "tx/s", without),
        compared("tps_with", "  with triggers", "tx/s", with_them, without, to=to),
        compared("tps_listener", "  with triggers and a listener", "tx/s", found["listener"], without, to=to),
        compared("tps_empty", "  with a trigger that does nothing", "tx/s", found["empty"], without, to=to),
        compared("tps_records", f"  with {_JUST_RECORDS}", "tx/s", found["records"], without, to=to),
        compared("tps_notify", "  with a row trigger that notifies", "tx/s", found["notify"], without, to=to),
        compared(
            "tps_with_to_notify", "  with triggers", "tx/s", with_them, found["notify"], to="notifying row trigger"
        ),
    ]
    if left:
        share = Samples(left).median
        what = "  all cores, less what the listener takes"
        figures.append(
            Figure(name="tps_left", what=what, value=100 * share, unit="%", ratio=share, yardstick="all cores")
        )
    return figures


def _write(url: str, options: Options, *, connections: int, seconds: int, rate: float | None = None) -> float:
    """Single rows by many connections; returns their transactions a second."""
    numbers = {"tutor": options.tutors, "student": options.tutors * STUDENTS_EACH}
    pgbench = find_pgbench()
    return transactions_per_second(
        url, INSERT, numbers, connections=connections, seconds=seconds, pgbench=pgbench, rate=rate
    )


# Ages


def _ages(connection: psycopg.Connection, url: str, options: Options) -> list[Figure]:
    figures = []
    _refill(connection)
    with _triggers(connection, on=True), listener(url):
        for statement in _NOTE_AGES:
            connection.execute(statement)
        for pace, rate in _PACES.items():
            connection.execute("TRUNCATE public.bench_ages")
            connections = options.connections if rate is None else min(options.connections, CONNECTIONS_OF_A_PACE)
            _write(url, options, connections=connections, seconds=options.age_seconds, rate=rate)
            wait_until_drained(url)
            ages = Samples([age for (age,) in connection.execute("SELECT milliseconds FROM public.bench_ages")])
            what = pace.format(connections=options.connections)
            name = f"age_{rate:.0f}" if rate else "age_unthrottled"
            figures += [
                Figure(name=f"{name}_p99", what=f"age at claim, {what}, p99", value=ages.percentile(99), unit="ms"),
                Figure(name=f"{name}_max", what="  max", value=max(ages.values), unit="ms"),
                Figure(name=f"{name}_rows", what="  rows", value=len(ages.values), unit=""),
            ]
        connection.execute("DROP FUNCTION public.bench_note_ages() CASCADE")
    return figures


_PACES = {"20 sessions/s": 20.0, "200 sessions/s": 200.0, "{connections} writers as fast as they can": None}
CONNECTIONS_OF_A_PACE = 4
_NOTE_AGES: tuple[LiteralString, ...] = (
    "CREATE UNLOGGED TABLE public.bench_ages (milliseconds float8)",
    """
    CREATE FUNCTION public.bench_note_ages() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.bench_ages SELECT 1000 * extract(epoch FROM clock_timestamp() - recorded_at) FROM claimed;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER bench_note_ages AFTER DELETE ON tutorwatch.outbox REFERENCING OLD TABLE AS claimed
    FOR EACH STATEMENT EXECUTE FUNCTION public.bench_note_ages()
    """,
)


# Triggers


def _with_and_without(connection: psycopg.Connection, write: Callable[[], float], *, rounds: int) -> dict[str, Samples]:
    """What `write` returns with the triggers on and off; sessions are removed before each."""

    def measurement(*, on: bool) -> float:
        _empty(connection)
        with _triggers(connection, on=on):
            return write()

    found = in_turns(
        {"without": lambda: measurement(on=False), "with": lambda: measurement(on=True)},
        rounds=rounds,
        warm_up=lambda: measurement(on=True),
    )
    connection.execute("TRUNCATE tutorwatch.outbox")
    return found


def _pair(name: str, what: str, unit: str, found: Mapping[str, Samples]) -> list[Figure]:
    return [
        measured(f"{name}_without", f"{what}, without triggers", unit, found["without"]),
        compared(f"{name}_with", "  with triggers", unit, found["with"], found["without"], to="without triggers"),
    ]


@contextmanager
def _triggers(connection: psycopg.Connection, *, on: bool) -> Iterator[None]:
    """Tutorwatch's triggers on sessions, enabled while the block runs; they are disabled otherwise."""
    if on:
        _enable(connection, "ENABLE ALWAYS")
    try:
        yield
    finally:
        if on:
            _enable(connection, "DISABLE")


def _enable(connection: psycopg.Connection, action: LiteralString) -> None:
    for trigger in STATEMENT_TRIGGERS:
        connection.execute(f"ALTER TABLE public.sessions {action} TRIGGER {trigger}".encode())


@contextmanager
def _trigger(connection: psycopg.Connection, body: LiteralString, when: LiteralString) -> Iterator[None]:
    """Another trigger on inserted sessions while the block runs."""
    connection.execute(
        f"CREATE FUNCTION public.bench_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
    )
    connection.execute(
        f"CREATE TRIGGER bench_trigger AFTER INSERT ON public.sessions {when} EXECUTE FUNCTION public.bench_trigger()"
    )
    try:
        yield
    finally:
        connection.execute("DROP FUNCTION public.bench_trigger() CASCADE")


@contextmanager
def _recording(
    connection: psycopg.Connection, how: tuple[LiteralString, LiteralString], into: LiteralString | None = None
) -> Iterator[None]:
    """A trigger that records, and a table for its records: without a key, unless another is given."""
    connection.execute(into or _BARE_RECORDS)
    try:
        with _trigger(connection, *how):
            yield
    finally:
        connection.execute("DROP TABLE public.bench_records; DROP FUNCTION IF EXISTS public.bench_wake()")


DOES_NOTHING = ("RETURN NULL;", "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT")
"""The least that any recording of statements must have: a statement's trigger that is given its rows."""
RECORDS = (
    "INSERT INTO public.bench_records SELECT DISTINCT tutor_id FROM new_rows; RETURN NULL;",
    "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
)
RECORDS_AND_NOTIFIES = (
    "INSERT INTO public.bench_records SELECT DISTINCT tutor_id FROM new_rows;"
    " PERFORM pg_notify('bench_sessions', ''); RETURN NULL;",
    "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
)
_JUST_RECORDS = "a trigger that just records"
RECORDS_GUARDED = (
    "INSERT INTO public.bench_records (tutor_id) SELECT DISTINCT tutor_id FROM new_rows; RETURN NULL;"
    " EXCEPTION WHEN OTHERS THEN RETURN NULL;",
    "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
)
_BARE_RECORDS: LiteralString = """
    CREATE TABLE public.bench_records (tutor_id text, recorded_at timestamptz DEFAULT now())
"""
_KEYED_AND_WAKING: LiteralString = """
    CREATE TABLE public.bench_records (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tutor_id text,
        recorded_at timestamptz DEFAULT clock_timestamp()
    );
    CREATE FUNCTION public.bench_wake() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF pg_try_advisory_xact_lock(1) THEN PERFORM pg_notify('bench_sessions', NEW.tutor_id); END IF;
        RETURN NULL;
    EXCEPTION WHEN OTHERS THEN
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER bench_wake AFTER INSERT ON public.bench_records
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.bench_wake()
"""
_THE_LEAST = "the least that records under a key, is guarded, and notifies at commit"
NOTIFIES = ("PERFORM pg_notify('bench_sessions', NEW.tutor_id); RETURN NULL;", "FOR EACH ROW")


def _empty(connection: psycopg.Connection) -> None:
    """Removes all sessions; the triggers are off."""
    connection.execute("TRUNCATE public.sessions CASCADE")
    connection.execute("TRUNCATE tutorwatch.outbox")


def _refill(connection: psycopg.Connection) -> None:
    """Leaves the first of the kept rows and no others in sessions; the triggers are off."""
    _empty(connection)
    connection.execute("INSERT INTO public.sessions SELECT * FROM public.bench_rows LIMIT %s", [REFILLED_ROWS])
    connection.execute("VACUUM (ANALYZE) public.sessions")


BENCHMARK = Benchmark(
    name="writer",
    command=command,
    full=Options(
        blocks=40,
        block_rows=50,
        copy_rows=100_000,
        copies=6,
        insert_rows=1000,
        inserts=20,
        connections=16,
        seconds=5,
        rounds=2,
        age_seconds=8,
    ),
    quick=Options(
        blocks=8,
        block_rows=20,
        copy_rows=10_000,
        copies=1,
        insert_rows=1000,
        inserts=5,
        connections=16,
        seconds=1,
        rounds=1,
        age_seconds=2,
    ),
    measure=measure,
)
