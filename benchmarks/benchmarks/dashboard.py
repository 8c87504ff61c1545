"""The dashboard on a platform with years of alerts: its queries, its requests, its updates, its memory.

- Queries: every page of the application, nothing kept, watched from inside, in turns with `SELECT 1`.
- Requests: `/` of a real `tutorwatch web`, in turns with an aiohttp handler that returns a constant of the same
  size, and with one that looks the sign-in up before. Warm: as it comes. Cold: alerts are announced as changed before
  each request.
- Updates: from the COMMIT of a session that opens a critical alert to the changed page in Chromium, through a
  real `tutorwatch listen` and a real `tutorwatch web`.
- Memory: of the web process, before and with open event streams.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, LiteralString

import psycopg
import typer

from benchmarks import alert_history, page_queries
from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.browser import NOT_INSTALLED, find_browser, open_dashboard
from benchmarks.changes import switch_on
from benchmarks.constant_page import HOST, SIGNED_IN, constant_page
from benchmarks.dashboard_process import Dashboard, dashboard
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.http_load import Connection, Served, get_request, load
from benchmarks.listening import listener
from benchmarks.page_queries import COUNT, QUERIES_EACH, SUMMARY, YARDSTICK, Asked
from benchmarks.progress import say
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.samples import Samples
from benchmarks.turns import in_turns
from scripts.errors import CommandError

_METRICS = ("audio_metrics", "video_metrics", "screen_metrics", "feedback")
BIG = {"alerts", "sessions", "alert_evidence", "alert_resolutions", *(f"session_{kind}" for kind in _METRICS)}
"""Tables that grow for ever: no page should read one of them from end to end for a small answer."""
ARRIVAL_SECONDS = 1.2
"""Between two sessions, on average: a page refreshes at most twice a second."""
LATEST_SECONDS = 30.0
COLD_SECONDS = 0.01
"""What the announcement of a change is given to arrive."""


@dataclass(frozen=True)
class Options:
    """The platform: tutors, sessions of each, alerts in all and open ones. The measurements: requests for each page,
    turns of so many seconds with so many connections, sessions that open an alert, and open event streams."""

    tutors: int
    sessions: int
    alerts: int
    open: int
    requests: int
    rounds: int
    seconds: float
    connections: int
    arrivals: int
    streams: int


def command(
    tutors: Annotated[int | None, typer.Option(min=1, help="How many tutors [10000].")] = None,
    sessions: Annotated[int | None, typer.Option(min=8, help="Sessions of each, over 60 days [200].")] = None,
    alerts: Annotated[int | None, typer.Option(min=1, help="Alerts over three years [1000000].")] = None,
    open_alerts: Annotated[int | None, typer.Option("--open", min=1, help="Open ones among them [2000].")] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="Requests for each page, one by one [60].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Turns of many requests at once [5].")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Seconds of each turn [1.2].")] = None,
    connections: Annotated[int | None, typer.Option(min=1, help="Connections that ask at once [8].")] = None,
    arrivals: Annotated[int | None, typer.Option(min=1, help="Critical alerts that a browser waits for [20].")] = None,
    streams: Annotated[int | None, typer.Option(min=1, help="Open event streams [200].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """The dashboard's queries, requests, live updates and memory."""
    given = {"tutors": tutors, "sessions": sessions, "alerts": alerts, "open": open_alerts, "requests": requests}
    given |= {"rounds": rounds, "connections": connections, "arrivals": arrivals, "streams": streams}
    BENCHMARK.run(quick=quick, json_file=json_file, seconds=seconds, **given)


def _size(options: Options) -> Size:
    return Size(options.tutors, options.sessions)


def measure(server_url: str, options: Options) -> Report:
    """One part after the other, on one database."""
    size = _size(options)
    if options.open + options.arrivals > options.tutors or options.open > options.alerts:
        raise CommandError("At most one open alert for each tutor, and a tutor without one for each that arrives")
    with filled_database(server_url, "dashboard", size) as url:
        say(f"Adding {options.alerts:,} alerts")
        history = alert_history.AlertHistory(options.alerts, options.open)
        alert_history.fill(url, size, history, datetime.now(UTC))
        switch_on(url)  # history stays as it was made
        say(f"Asking for every page {options.requests} times")
        asked = asyncio.run(page_queries.ask(url, options.requests))
        figures = _query_figures(asked)
        with dashboard(url, streams=options.streams) as served:
            figures += _request_figures(served, url, options)
            figures += _stream_figures(served, options)
            arrivals, browser_note = _arrival_figures(served, url, options)
        return Report("dashboard", asdict(options), figures + arrivals, [*_notes(asked), *browser_note])


# Queries


def _query_figures(asked: Mapping[str, Asked]) -> list[Figure]:
    bare = asked[YARDSTICK].milliseconds
    figures = [
        measured("select_1_p50", "SELECT 1, p50", "ms", bare),
        Figure(name="select_1_p99", what="  p99", value=bare.percentile(99), unit="ms"),
        *_timed("summary", "query of the critical alerts", asked[SUMMARY], bare),
        *_timed("count", "just counting them", asked[COUNT], bare),
    ]
    pages = [name for name in asked if name not in (YARDSTICK, COUNT, SUMMARY, "figures")]
    bare_each = Samples(bare.values[::QUERIES_EACH])  # one for each turn, as of the pages
    for name in pages:
        page, key = asked[name], _key(name)
        counts = (float(min(page.counts)), float(max(page.counts)))
        figures += [
            *_timed(key, f"all queries of {name}", page, bare_each),
            Figure(name=f"{key}_statements", what="  statements", value=counts[1], unit="", spread=counts),
            Figure(
                name=f"{key}_whole_tables",
                what="  big tables read whole",
                value=len(page.whole_tables & BIG),
                unit="",
            ),
        ]
    figures.append(
        measured("figures", "platform's figures, at most once a minute, aside", "ms", asked["figures"].milliseconds)
    )
    return figures


def _timed(key: str, what: str, asked: Asked, bare: Samples) -> list[Figure]:
    samples = asked.milliseconds
    return [
        compared(f"{key}_p50", f"{what}, p50", "ms", samples, bare, to=YARDSTICK),
        Figure(
            name=f"{key}_p99",
            what="  p99",
            value=samples.percentile(99),
            unit="ms",
            ratio=samples.percentile(99) / bare.percentile(99),
            yardstick=f"{YARDSTICK}, p99",
        ),
    ]


def _key(page: str) -> str:
    words = "".join(letter if letter.isalpha() else " " for letter in page).split()
    return f"page_{'_'.join(words) or 'dashboard'}"


def _notes(asked: Mapping[str, Asked]) -> list[str]:
    whole = {name: sorted(page.whole_tables & BIG) for name, page in asked.items() if page.whole_tables & BIG}
    said = [f"{name}: its plans read {' and '.join(tables)} from end to end" for name, tables in whole.items()]
    return [
        "a page's queries are timed from inside, without the sign-in, with nothing kept from one request to the next",
        "SELECT 1, the count and the query of the critical alerts are asked on one connection, without a transaction",
        "the platform's figures cover sixty days of all sessions: reading much of the table is what they are",
        *(said or ["no plan reads alerts, sessions or their metrics from end to end"]),
    ]


# Requests


@dataclass
class _Loads:
    """The same load on two servers, in turns."""

    options: Options
    served: dict[str, list[Served]] = field(default_factory=dict)

    def turn(self, name: str, host: str, port: int, headers: Mapping[str, str], path: str = "/") -> float:
        """Requests a second."""
        request = get_request(path, headers)
        found = asyncio.run(
            load(host, port, request, connections=self.options.connections, seconds=self.options.seconds)
        )
        self.served.setdefault(name, []).append(found)
        return found.per_second

    def percentile(self, name: str, percent: float) -> float:
        """Milliseconds of all turns but the first, which warmed up."""
        turns = self.served[name][1:]
        return Samples([1000 * second for turn in turns for second in turn.each.values]).percentile(percent)


def _request_figures(served: Dashboard, url: str, options: Options) -> list[Figure]:
    say("Asking for / again and again")
    first, size = asyncio.run(_first(served))
    cold = asyncio.run(_cold(served, url, options.requests))
    loads = _Loads(options)
    with constant_page(size, url) as port:
        found = in_turns(
            {
                "page": lambda: loads.turn("page", served.host, served.port, served.headers),
                "constant": lambda: loads.turn("constant", HOST, port, {"Host": HOST}),
                "sign_in": lambda: loads.turn("sign_in", HOST, port, served.headers, SIGNED_IN),
                "healthz": lambda: loads.turn("healthz", served.host, served.port, served.headers, "/healthz"),
            },
            rounds=options.rounds,
        )
    at_once = f"{options.connections} at once"
    return [
        Figure(name="page_bytes", what="/, its size", value=size, unit="bytes"),
        Figure(name="page_first", what="/, the first request after the start", value=first, unit="ms"),
        measured("page_cold_p50", "/ cold, one by one, p50", "ms", cold),
        Figure(name="page_cold_p99", what="  p99", value=cold.percentile(99), unit="ms"),
        Figure(name="page_cold_rate", what="  requests", value=1000 * len(cold.values) / sum(cold.values), unit="/s"),
        compared("page_warm_rate", f"/ warm, {at_once}", "/s", found["page"], found["constant"], to="constant page"),
        Figure(
            name="page_warm_p99",
            what="  p99",
            value=loads.percentile("page", 99),
            unit="ms",
            ratio=loads.percentile("page", 99) / loads.percentile("constant", 99),
            yardstick="constant page, p99",
        ),
        compared(
            "sign_in_rate",
            "a constant page that looks the sign-in up",
            "/s",
            found["sign_in"],
            found["constant"],
            to="constant page",
        ),
        compared(
            "healthz_rate",
            "/healthz, a word to nobody in particular",
            "/s",
            found["healthz"],
            found["constant"],
            to="constant page",
        ),
        measured("constant_rate", f"constant page of aiohttp, {at_once}", "/s", found["constant"]),
        Figure(name="constant_p99", what="  p99", value=loads.percentile("constant", 99), unit="ms"),
    ]


async def _first(served: Dashboard) -> tuple[float, int]:
    """Milliseconds of the first request, and the bytes of the page once it has its figures."""
    connection, request = await Connection.open(served.host, served.port), get_request("/", served.headers)
    started = time.perf_counter()
    body = await connection.get(request)
    first = 1000 * (time.perf_counter() - started)
    give_up_at = time.monotonic() + LATEST_SECONDS
    while b"Being counted" in body and time.monotonic() < give_up_at:
        await asyncio.sleep(0.5)
        body = await connection.get(request)
    await connection.close()
    return first, len(body)


async def _cold(served: Dashboard, url: str, requests: int) -> Samples:
    """Milliseconds of each request, one after the other: before each, something is said to have changed."""
    request, times = get_request("/", served.headers), []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as announcing:
        connection = await Connection.open(served.host, served.port)
        for _ in range(requests):
            await announcing.execute("SELECT pg_notify('tutorwatch_alerts', '')")
            await asyncio.sleep(COLD_SECONDS)
            started = time.perf_counter()
            await connection.get(request)
            times.append(1000 * (time.perf_counter() - started))
        await connection.close()
    return Samples(times)


# Memory


def _stream_figures(served: Dashboard, options: Options) -> list[Figure]:
    say(f"Opening {options.streams} event streams")
    before = served.resident_mebibytes()
    after = asyncio.run(_with_streams(served, options.streams))
    if before is None or after is None:
        return []
    return [
        Figure(name="memory", what="resident memory of web, after the requests", value=before, unit="MiB"),
        Figure(
            name="memory_with_streams", what=f"  with {options.streams} open event streams", value=after, unit="MiB"
        ),
    ]


async def _with_streams(served: Dashboard, streams: int) -> float | None:
    request = get_request("/events", served.headers | {"Accept": "text/event-stream"})
    async with AsyncExitStack() as stack:
        for _ in range(streams):
            connection = await Connection.open(served.host, served.port)
            stack.push_async_callback(connection.close)
            await connection.stream(request)
        return served.resident_mebibytes()


# Updates


# Scored so low that it opens a critical alert by itself, whatever the tutor's other sessions are.
_POOR_FIRST_SESSION: LiteralString = """
    INSERT INTO public.sessions (tutor_id, student_id, scheduled_start, scheduled_duration, actual_duration, subject_id,
                                 session_number, status, overall_session_score, completed_at, created_at)
    SELECT %s, 'bench-student-1', at - interval '1 hour', 60, 60, md5('bench-subject-1')::uuid, 1, 'completed', 2.5,
           at, at
    FROM timezone('utc', now()) AS at
"""
# Those that have never had any: nothing that is shown of them can be older than the session.
_TUTORS_WITHOUT_OPEN_ALERTS: LiteralString = """
    SELECT user_id FROM public.tutors
    WHERE NOT EXISTS (SELECT FROM public.alerts WHERE alerts.tutor_id = user_id AND NOT resolved)
    ORDER BY user_id LIMIT %s
"""


def _arrival_figures(served: Dashboard, url: str, options: Options) -> tuple[list[Figure], list[str]]:
    executable = find_browser()
    if executable is None:
        return [], [f"commit -> changed page was not measured: {NOT_INSTALLED}"]
    say(f"Waiting in Chromium for {options.arrivals} critical alerts")
    with listener(url):
        delays = asyncio.run(_arrivals(served, url, executable, options.arrivals))
    return [
        measured("arrival_p50", "commit of a session -> changed page in Chromium, p50", "ms", delays),
        Figure(name="arrival_p95", what="  p95", value=delays.percentile(95), unit="ms"),
        Figure(name="arrivals", what="  critical alerts", value=len(delays.values), unit=""),
    ], ["the commit is timed from when the client sends it; the page says when it changed, by the same clock"]


async def _arrivals(served: Dashboard, url: str, executable: str, arrivals: int) -> Samples:
    """Milliseconds each. Raises CommandError for an alert that doesn't arrive."""
    rng, sent = random.Random(5), {}  # noqa: S311 - pauses, not secrets
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as client,
        open_dashboard(executable, served) as page,
    ):
        tutors = [
            tutor for (tutor,) in await (await client.execute(_TUTORS_WITHOUT_OPEN_ALERTS, [arrivals])).fetchall()
        ]
        for tutor in tutors:
            await asyncio.sleep(rng.uniform(0.5, 1.5) * ARRIVAL_SECONDS)
            await client.execute("BEGIN")
            await client.execute(_POOR_FIRST_SESSION, [tutor])
            sent[f"/tutors/{tutor}"] = time.time()
            await client.execute("COMMIT")
        give_up_at = time.monotonic() + LATEST_SECONDS
        while not sent.keys() <= (seen := await page.seen_at()).keys():
            if time.monotonic() > give_up_at:
                raise CommandError(f"Of {len(sent)} critical alerts only {len(sent.keys() & seen.keys())} were shown")
            await asyncio.sleep(0.2)
    return _delays(sent, seen)


def _delays(sent: Mapping[str, float], seen: Mapping[str, float]) -> Samples:
    values: Sequence[float] = [1000 * (seen[path] - at) for path, at in sent.items()]
    return Samples(values)


BENCHMARK = Benchmark(
    name="dashboard",
    command=command,
    full=Options(
        tutors=10_000,
        sessions=200,
        alerts=1_000_000,
        open=2_000,
        requests=60,
        rounds=5,
        seconds=1.2,
        connections=8,
        arrivals=20,
        streams=200,
    ),
    quick=Options(
        tutors=300,
        sessions=40,
        alerts=6_000,
        open=100,
        requests=8,
        rounds=1,
        seconds=0.5,
        connections=8,
        arrivals=3,
        streams=50,
    ),
    measure=measure,
    size=_size,
)
