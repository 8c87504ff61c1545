"""The dashboard on a platform with years of alerts: its first query, and its pages.

A real `tutorwatch web` is asked for its pages, interleaved with a constant page of aiohttp's as long as `/`.
"""

import asyncio
import hashlib
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import LiteralString

import psycopg
from aiohttp import ClientSession, web
from sqlalchemy import text

from benchmarks.databases import filled_database
from benchmarks.dataset import Size, settle
from benchmarks.harness import Goal, Report, Result, Samples, against, compared, interleaved, measured, say
from benchmarks.services import Service, running, stopping
from database.connections import open_engine
from scripts.errors import CommandError
from web import queries
from web.auth.cookies import SIGN_IN

SUMMARY_GOAL = Goal("The critical alerts' query takes at most 5 times as long as SELECT 1 (p99)", most=5)
PAGE_GOAL = Goal("/ is served at least half as often as a constant page", least=0.5)
RATE_GOAL = Goal("/ is served at least 250 times a second", least=250)

PAGES = {"/": "dashboard", "/alerts": "alerts", "/tutors/bench-tutor-7": "tutor", "/system": "system"}
CONNECTIONS = 8
_COOKIE = {"Cookie": f"{SIGN_IN}=bench"}


@dataclass(frozen=True)
class Sizes:
    """The platform: tutors, sessions of each, alerts, open ones among them. The measurements: queries, rounds
    of so many seconds with each page.
    """

    tutors: int = 10_000
    sessions: int = 200
    alerts: int = 1_000_000
    open: int = 2_000
    queries: int = 900
    rounds: int = 5
    seconds: float = 1.5


QUICK = Sizes(tutors=300, sessions=40, alerts=6_000, open=100, queries=50, rounds=1, seconds=0.5)


def measure(server_url: str, *, quick: bool) -> Report:
    """One part after the other, on one database."""
    sizes = QUICK if quick else Sizes()
    with filled_database(server_url, "dashboard", Size(sizes.tutors, sizes.sessions)) as url:
        say(f"Adding {sizes.alerts:,} alerts")
        _add_alerts(url, sizes)
        results = asyncio.run(_summary(url, sizes.queries))
        with running("web", url, until="serving", TUTORWATCH_WEB_PORT="0") as service:
            say("Asking for pages")
            results += _pages(service, sizes)
    return Report(
        "dashboard",
        asdict(sizes),
        results,
        [f"pages are asked for on {CONNECTIONS} connections of aiohttp's client, which shares the cores"],
    )


async def _summary(url: str, times: int) -> list[Result]:
    """The query of the critical alerts and SELECT 1, in turn on one connection."""
    bare, summary = list[float](), list[float]()
    engine = open_engine(url, application_name="tutorwatch-bench")
    async with engine.connect() as conn:
        for _ in range(times):
            started = time.perf_counter()
            await conn.execute(text("SELECT 1"))
            between = time.perf_counter()
            await queries.critical_summary(conn, datetime.now(UTC))
            bare.append(1000 * (between - started))
            summary.append(1000 * (time.perf_counter() - between))
    await engine.dispose()
    p99, to, what = Samples(bare).percentile(99), "SELECT 1, p99", "query of the critical alerts, p99"
    return [against("summary_p99", what, "ms", Samples(summary).percentile(99), p99, to=to, goal=SUMMARY_GOAL)]


# Pages


def _pages(service: Service, sizes: Sizes) -> list[Result]:
    """Every page, and a constant page as long as `/`, on many connections at once."""
    address = str(service.said["message"]).split()[-1]
    _, size = asyncio.run(_load(address + "/", seconds=0.5))
    serve = f"from benchmarks.dashboard import serve; serve({size})"
    with (
        subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True) as process,
        stopping(process),
    ):
        pages = {path: address + path for path in PAGES}
        pages["constant"] = process.stdout.readline().strip() if process.stdout else ""
        found = interleaved(
            {path: partial(_rate, url, sizes.seconds) for path, url in pages.items()}, rounds=sizes.rounds
        )
    bare, to, unit = found["constant"], "constant page", "requests/s"
    return [
        measured("page_rate", "/ again, by itself", unit, found["/"], goal=RATE_GOAL),
        *(
            compared(name, path, unit, found[path], bare, to=to, goal=PAGE_GOAL if path == "/" else None)
            for path, name in PAGES.items()
        ),
        measured("constant", f"{to} of {size:,} characters", unit, bare),
    ]


def _rate(url: str, seconds: float) -> float:
    return asyncio.run(_load(url, seconds))[0]


async def _load(url: str, seconds: float) -> tuple[float, int]:
    """Asks for a page again and again; returns the answers a second, and the length of the last.

    Raises CommandError for anything but 200.
    """
    started, sizes = time.perf_counter(), list[int]()

    async def ask(client: ClientSession) -> None:
        while time.perf_counter() < started + seconds:
            async with client.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise CommandError(f"{url} was answered by {response.status}")
                sizes.append(len(await response.text()))

    async with ClientSession(headers=_COOKIE) as client, asyncio.TaskGroup() as asking:
        for _ in range(CONNECTIONS):
            asking.create_task(ask(client))
    return len(sizes) / (time.perf_counter() - started), sizes[-1]


def serve(size: int) -> None:
    """Serves a constant page of that many bytes, its address on the first line of stdout, until it is ended."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="x" * size, content_type="text/html")

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/", page)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


# Data


def _add_alerts(url: str, sizes: Sizes) -> None:
    """Adds the alerts of three years with their evidence, and signs the admin in.

    The open ones are those of the first tutors, and the newest. Nothing is announced.
    """
    sign_in = "INSERT INTO tutorwatch.sign_ins (token_hash, user_id) VALUES (%s, 'bench-admin')"
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(_ALERTS, {"tutors": sizes.tutors, "total": sizes.alerts, "open": sizes.open})
        connection.execute(_EVIDENCE)
        connection.execute(sign_in, [hashlib.sha256(b"bench").digest()])
    settle(url)


_ALERTS: LiteralString = """
    INSERT INTO public.alerts (id, tutor_id, alert_type, severity, title, description, triggered_date, acknowledged,
                               acknowledged_by, acknowledged_at, resolved, resolved_at, created_at)
    SELECT md5('bench-alert-' || n)::uuid, 'bench-tutor-' || 1 + (n - 1) %% %(tutors)s::int,
           kind.alert_type::public.alert_type, kind.severity::public.alert_severity, kind.alert_type, 'Some sessions',
           at, old, CASE WHEN old THEN 'bench-admin' END, CASE WHEN old THEN at END, old, CASE WHEN old THEN at END, at
    FROM generate_series(1, %(total)s::int) AS n
    JOIN (VALUES (0, 'no_show_pattern', 'critical'), (1, 'high_talk_ratio', 'warning'),
                 (2, 'low_understanding_checks', 'warning'), (3, 'high_reschedule_rate', 'warning'),
                 (4, 'declining_performance', 'warning')) AS kind (number, alert_type, severity) ON number = n %% 5,
    LATERAL (SELECT n > %(open)s AS old) AS age,
    LATERAL (SELECT timezone('utc', now()) - CASE WHEN old THEN interval '8 days' + interval '1095 days' * n / %(total)s
                    ELSE interval '7 days' * n / (%(open)s + 1) END AS at) AS time
    ORDER BY n DESC
"""
_EVIDENCE: LiteralString = """
    INSERT INTO tutorwatch.alert_evidence (alert_id, tutor_id, value, threshold, session_ids, refreshed_at)
    SELECT id, tutor_id, 3, 2, ARRAY(SELECT s.id FROM public.sessions AS s WHERE s.tutor_id = alerts.tutor_id LIMIT 3),
           created_at
    FROM public.alerts
"""
