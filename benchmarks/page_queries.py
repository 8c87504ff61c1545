"""What each page asks of the database: how many statements, how long they take, and by which plans.

The application runs in this process, so that its engine can be watched; nothing that it keeps is used again.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from aiohttp import web
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.dashboard_process import sign_in
from benchmarks.http_load import Connection, get_request
from benchmarks.plans import Statement, read_whole
from benchmarks.samples import Samples
from database.condition import load_condition
from rules.settings import Thresholds
from web import queries
from web.app import create_app
from web.auth.cookies import SIGN_IN
from web.keys import ENGINE, STATEMENTS
from web.live.hub import HUB
from web.settings import WebSettings

HOST = "127.0.0.1"
WARM_UP = 6
"""Requests that don't count: the driver prepares a statement when it comes for the sixth time."""
FIGURES_ROUNDS = 3

_NO_PAGES_OWN = ("UPDATE tutorwatch.sign_ins", "SET LOCAL")
"""The note that a sign-in is in use, which not every request writes, and how long the platform's figures may take."""
YARDSTICK = "SELECT 1"
SUMMARY = "summary"
COUNT = "count"
"""The least that the summary must do: count."""
QUERIES_EACH = 15
"""How often these three are asked in each turn: of single milliseconds, sixty make no 99th percentile."""


@dataclass
class Asked:
    """What one page, or one query, asked for each time: seconds in all, and the statements."""

    seconds: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    statements: Sequence[Statement] = ()
    whole_tables: frozenset[str] = frozenset()
    """Tables that one of the plans reads from end to end."""

    @property
    def milliseconds(self) -> Samples:
        """Of all statements of one time together."""
        return Samples(self.seconds).times(1000)


@dataclass
class _Watch:
    """The statements of an engine and their seconds, since it was last emptied."""

    sent: list[Statement] = field(default_factory=list)
    seconds: float = 0.0
    ignored: set[str] = field(default_factory=set)
    _started: dict[int, float] = field(default_factory=dict)
    """By cursor: what is read aside runs at the same time on another connection."""

    def on(self, engine: Any) -> None:
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)

    def empty(self) -> None:
        self.sent, self.seconds = [], 0.0

    def note_in(self, asked: Asked) -> None:
        asked.seconds.append(self.seconds)
        asked.counts.append(len(self.sent))
        asked.statements = self.sent

    def _begin(self, _conn: Any, cursor: Any, *_: object) -> None:
        self._started[id(cursor)] = time.perf_counter()

    def _end(self, _conn: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        started = self._started.pop(id(cursor), None)
        if started is None or statement in self.ignored or statement.startswith(_NO_PAGES_OWN):
            return  # None: it was under way when the watch began
        self.seconds += time.perf_counter() - started
        self.sent.append(Statement(statement, parameters))


async def ask(url: str, requests: int) -> Mapping[str, Asked]:
    """Each page asked for so many times, in turns with `SELECT 1`, a count of the critical alerts and their query.

    These three are timed alone, without a BEGIN, on one connection that nothing else uses.
    """
    tutors, sessions = _some(url, _SOME_TUTORS), _some(url, _SOME_SESSIONS)
    async with _application(url) as (app, connection, headers), app[STATEMENTS].connect() as alone:
        watch = _Watch()
        watch.on(app[ENGINE].sync_engine)
        found = {"figures": await _figures(app, watch)}
        await _ignore_condition(app, watch)
        for number in range(-WARM_UP, requests):
            for name, path in _paths(tutors[number % len(tutors)], sessions[number % len(sessions)]).items():
                asked = found.setdefault(name, Asked())
                app[HUB].note_change()
                watch.empty()
                await connection.get(get_request(path, headers))
                if number >= 0:
                    watch.note_in(asked)
            for name, query in [*_QUERIES.items()] * QUERIES_EACH:
                asked = found.setdefault(name, Asked())
                watch.empty()
                await query(alone)
                if number >= 0:
                    watch.note_in(asked)
        for asked in found.values():
            asked.whole_tables = await read_whole(app[ENGINE], asked.statements)
    return found


def _paths(tutor: str, session: str) -> Mapping[str, str]:
    return {
        "/": "/",
        "/alerts": "/alerts",
        "/alerts, a filter that few pass": "/alerts?status=all&severity=info",
        "a tutor": f"/tutors/{tutor}",
        "a session": f"/sessions/{session}",
        "/system": "/system",
    }


async def _yardstick(conn: AsyncConnection) -> None:
    await conn.execute(text(YARDSTICK))


async def _count(conn: AsyncConnection) -> None:
    await conn.execute(text("SELECT count(*) FROM public.alerts WHERE NOT resolved AND severity = 'critical'"))


async def _summary(conn: AsyncConnection) -> None:
    await queries.critical_summary(conn, datetime.now(UTC))


_QUERIES = {YARDSTICK: _yardstick, COUNT: _count, SUMMARY: _summary}


async def _figures(app: web.Application, watch: _Watch) -> Asked:
    """The figures that pages wait for at most once a minute; from then on they are no page's statements."""
    asked, limits = Asked(), Thresholds()
    for _ in range(FIGURES_ROUNDS):
        watch.empty()
        async with app[ENGINE].connect() as conn:
            await conn.execute(text("SET LOCAL statement_timeout = '60s'"))
            await queries.platform_metrics(conn, datetime.now(UTC), limits)
            await queries.tutor_averages(conn, datetime.now(UTC))
        watch.note_in(asked)
    watch.ignored = {each.text for each in asked.statements}
    return asked


async def _ignore_condition(app: web.Application, watch: _Watch) -> None:
    """The application reads its condition every few seconds, whether or not a page is asked for."""
    watch.empty()
    async with app[ENGINE].connect() as conn:
        await load_condition(conn)
    watch.ignored |= {each.text for each in watch.sent}


@asynccontextmanager
async def _application(url: str) -> AsyncIterator[tuple[web.Application, Connection, Mapping[str, str]]]:
    """The application, a connection to it, and what somebody sends who is signed in."""
    app = create_app(url, WebSettings(web_port=0), Thresholds(), version="bench")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        connection = await Connection.open(HOST, runner.addresses[0][1])
        yield app, connection, {"Host": HOST, "Cookie": f"{SIGN_IN}={await sign_in(url)}"}
        await connection.close()
    finally:
        await runner.cleanup()


# Fifty of each, spread over the table.
_SOME_TUTORS: LiteralString = "SELECT user_id FROM public.tutors ORDER BY md5(user_id) LIMIT 50"
_SOME_SESSIONS: LiteralString = "SELECT id::text FROM public.sessions ORDER BY md5(id::text) LIMIT 50"


def _some(url: str, query: LiteralString) -> Sequence[str]:
    with psycopg.connect(url) as connection:
        return [str(found) for (found,) in connection.execute(query)]
