"""How soon after a session's commit its alert is there for others to see.

Each session is the second no-show of a tutor who has had one, so that it opens exactly one alert. A trigger
of the benchmark's own on `alerts` notifies a third connection, which is fair because PostgreSQL delivers a
notification only when its transaction is visible: whoever receives it can read the alert. It errs on the slow
side, by the trigger and the delivery; a connection that polls would take a core from what it measures.

The yardstick is the least that any such design must cost: a notification from one connection to another,
sent half-way between two sessions.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, LiteralString

import psycopg
import typer

from migrations import automation
from scripts.bench.benchmark import Benchmark, JsonFile, Quick
from scripts.bench.databases import filled_database
from scripts.bench.dataset import Size
from scripts.bench.listening import listener
from scripts.bench.progress import say
from scripts.bench.report import Figure, Report, measured
from scripts.bench.samples import Samples
from scripts.errors import CommandError

WARM_UP_SESSIONS = 20
LATEST_SECONDS = 30.0
"""An alert that isn't there so long after the last session counts as missing."""


@dataclass(frozen=True)
class Options:
    """`rate` in sessions a second, for so many seconds; the tutors' history is `history` sessions each."""

    rate: float
    seconds: float
    history: int

    @property
    def sessions(self) -> int:
        """How many sessions are written and measured."""
        return max(1, round(self.rate * self.seconds))

    @property
    def tutors(self) -> int:
        """Enough of them: each is used once, and only those with one no-show so far."""
        return round((self.sessions + WARM_UP_SESSIONS) * 1.4) + 5


@dataclass
class Times:
    """When (in seconds of the process's clock) the COMMIT was sent, when it was answered, and when its
    consequence arrived, each by the payload of the notification."""

    sent: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note_arrival(self, key: str) -> None:
        """The consequence is here, now."""
        self.arrived[key] = time.perf_counter()
        self._changed.set()

    async def wait_for(self, count: int) -> None:
        """Returns once so many have arrived."""
        while len(self.arrived) < count:
            self._changed.clear()
            await self._changed.wait()

    def milliseconds(self) -> Samples:
        """From the COMMIT being sent to the arrival, in the order of sending."""
        return Samples([1000 * (self.arrived[key] - sent) for key, sent in self.sent.items() if key in self.arrived])

    def milliseconds_from_answer(self) -> Samples:
        """The same from the moment the client knew of its commit."""
        return Samples([1000 * (at - self.answered[key]) for key, at in self.arrived.items() if key in self.answered])


def command(
    rate: Annotated[float | None, typer.Option(min=0.1, help="Sessions a second [20].")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="For so long [30].")] = None,
    history: Annotated[int | None, typer.Option(min=1, help="Sessions each tutor has already [60].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """From the commit of a session to its alert being visible, through a real listener."""
    BENCHMARK.run(quick=quick, json_file=json_file, rate=rate, seconds=seconds, history=history)


def measure(server_url: str, options: Options) -> Report:
    """Writes the sessions at an even pace, beside a listener that has looked at every tutor before."""
    with filled_database(server_url, "latency", Size(options.tutors, options.history)) as url:
        tutors = _prepare(url)
        wanted = options.sessions + WARM_UP_SESSIONS
        if len(tutors) < wanted:
            raise CommandError(f"Only {len(tutors)} tutors have exactly one no-show; {wanted} are needed")
        say("Starting a listener, which looks at every tutor first")
        with listener(url):
            asyncio.run(_write_and_watch(url, tutors[:WARM_UP_SESSIONS], options.rate))
            say(f"Writing {options.sessions} sessions")
            started = time.perf_counter()
            sessions, notifications = asyncio.run(_write_and_watch(url, tutors[WARM_UP_SESSIONS:wanted], options.rate))
            seconds = time.perf_counter() - started
        return Report("latency", asdict(options), _figures(sessions, notifications, seconds), _NOTES)


_NOTES = (
    "times begin when the client sends COMMIT: they hold its own flush to disk, which a bare notification hasn't",
    "an alert is seen through a trigger of the benchmark's that notifies on insert: its cost is included",
)


def _figures(sessions: Times, notifications: Times, seconds: float) -> list[Figure]:
    alerts, bare = sessions.milliseconds(), notifications.milliseconds()
    written = len(sessions.sent)
    if len(alerts.values) < written or len(bare.values) < written:
        raise CommandError(f"Of {written} sessions only {len(alerts.values)} had their alert in time")
    return [
        # Here the ratio of the medians: a session and the notification after it are no pair.
        Figure(
            name="alert_p50",
            what="commit sent -> alert visible, p50",
            value=alerts.median,
            unit="ms",
            spread=alerts.quartiles,
            ratio=alerts.median / bare.median,
            yardstick="bare NOTIFY round trip",
        ),
        *(
            Figure(name=f"alert_p{percent}", what=f"  p{percent}", value=alerts.percentile(percent), unit="ms")
            for percent in (95, 99)
        ),
        Figure(name="alert_max", what="  max", value=max(alerts.values), unit="ms"),
        measured(
            "alert_from_answer_p50", "commit answered -> alert visible, p50", "ms", sessions.milliseconds_from_answer()
        ),
        measured("notify_p50", "bare NOTIFY, commit sent -> received, p50", "ms", bare),
        Figure(name="notify_p95", what="  p95", value=bare.percentile(95), unit="ms"),
        Figure(name="sessions", what="sessions, each with its alert", value=written, unit=""),
        Figure(name="achieved_rate", what="achieved rate", value=written / seconds, unit="sessions/s"),
    ]


_CHANNEL = "bench_alerts"
_BARE_CHANNEL = "bench_bare"
_ANNOUNCE: tuple[LiteralString, ...] = (
    """
    CREATE FUNCTION public.bench_announce() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('bench_alerts', NEW.tutor_id);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER bench_announce AFTER INSERT ON public.alerts FOR EACH ROW
    WHEN (NEW.alert_type = 'no_show_pattern') EXECUTE FUNCTION public.bench_announce()
    """,
)
# The first no-show is recent enough to stay in the window of 30 days for as long as anyone measures.
_WITH_ONE_NO_SHOW = """
    SELECT tutor_id FROM public.sessions WHERE status = 'no_show_tutor'
    GROUP BY tutor_id HAVING count(*) = 1 AND min(scheduled_start) > timezone('utc', now()) - interval '29 days'
    ORDER BY tutor_id
"""
_NO_SHOW = """
    INSERT INTO public.sessions (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number,
                                 status, tutor_showed_up, created_at)
    VALUES (%s, 'bench-student-1', timezone('utc', now()) - interval '10 minutes', 60, md5('bench-subject-1')::uuid,
            2, 'no_show_tutor', false, timezone('utc', now()))
"""


def _prepare(url: str) -> list[str]:
    """Switches the triggers on and adds the benchmark's; returns the tutors to whom one no-show makes an alert."""
    with psycopg.connect(url, autocommit=True) as connection:
        automation.switch(connection, on=True)
        for statement in _ANNOUNCE:
            connection.execute(statement)
        return [tutor for (tutor,) in connection.execute(_WITH_ONE_NO_SHOW)]


async def _write_and_watch(url: str, tutors: Sequence[str], rate: float) -> tuple[Times, Times]:
    """A session for each tutor, and a bare notification after each; returns the times of both."""
    sessions, bare = Times(), Times()
    async with AsyncExitStack() as stack:
        client, notifier = [await stack.enter_async_context(_connect(url)) for _ in range(2)]
        await stack.enter_async_context(_receiving(url, _CHANNEL, sessions))
        await stack.enter_async_context(_receiving(url, _BARE_CHANNEL, bare))
        start = time.perf_counter()
        for number, tutor in enumerate(tutors):
            await _sleep_until(start + number / rate)
            await _commit(client, _NO_SHOW, [tutor], tutor, sessions)
            await _sleep_until(start + (number + 0.5) / rate)
            await _commit(notifier, "SELECT pg_notify(%s, %s)", [_BARE_CHANNEL, tutor], tutor, bare)
        with suppress(TimeoutError):
            async with asyncio.timeout(LATEST_SECONDS):
                await sessions.wait_for(len(tutors))
                await bare.wait_for(len(tutors))
    return sessions, bare


async def _commit(
    connection: psycopg.AsyncConnection[Any], statement: LiteralString, values: Sequence[str], key: str, times: Times
) -> None:
    await connection.execute("BEGIN")
    await connection.execute(statement, values, prepare=True)
    times.sent[key] = time.perf_counter()
    await connection.execute("COMMIT")
    times.answered[key] = time.perf_counter()


async def _sleep_until(instant: float) -> None:
    await asyncio.sleep(max(0.0, instant - time.perf_counter()))


@asynccontextmanager
async def _connect(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def _receiving(url: str, channel: LiteralString, times: Times) -> AsyncIterator[None]:
    """Notes the arrival of every notification on the channel, by its payload, while the block runs."""
    async with _connect(url) as connection:
        await connection.execute("LISTEN " + channel)

        async def receive() -> None:
            async for notification in connection.notifies():
                times.note_arrival(notification.payload)

        receiving = asyncio.create_task(receive(), name=f"receiving {channel}")
        try:
            yield
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)


BENCHMARK = Benchmark(
    name="latency",
    command=command,
    full=Options(rate=20, seconds=30, history=60),
    quick=Options(rate=20, seconds=5, history=30),
    measure=measure,
)
