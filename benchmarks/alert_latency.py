"""How soon after a session's commit its alert is there for others to see, while sessions are written at an even pace.

Each session is the second no-show of a tutor who has had one, so that it opens exactly one alert. A trigger
of the benchmark's own on `alerts` notifies a third connection, which is fair because PostgreSQL delivers a
notification only when its transaction is visible: whoever receives it can read the alert. It errs on the slow
side, by the trigger and the delivery; a connection that polls would take a core from what it measures.
"""

import asyncio
import time
from collections import ChainMap
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, LiteralString

import psycopg

from benchmarks.samples import Samples
from migrations import automation
from scripts.errors import CommandError

WARM_UP_SESSIONS = 20
LATEST_SECONDS = 30.0
"""An alert that isn't there so long after the last session counts as missing."""


def tutors_for(sessions: int) -> int:
    """Enough tutors of `benchmarks.dataset`: each is used once, and only those with one no-show so far."""
    return round((sessions + WARM_UP_SESSIONS) * 1.4) + 5


@dataclass
class Times:
    """When (in seconds of the process's clock) the COMMIT was sent, when it was answered, and when its
    consequence arrived, each by the payload of the notification."""

    sent: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def together(cls, parts: "Sequence[Times]") -> "Times":
        """Those of several, which have no payload in common."""
        sent, answered, arrived = (
            dict(ChainMap(*(getattr(part, name) for part in parts))) for name in ("sent", "answered", "arrived")
        )
        return cls(sent, answered, arrived)

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
        return Samples([1000 * (self.arrived[key] - self.answered[key]) for key in self.sent if key in self.arrived])


@dataclass(frozen=True)
class Block:
    """Sessions written one after the other, and the bare notifications between them: a pair of connections each."""

    sessions: Times
    bare: Times
    seconds: float

    def sent_between(self, start: float, end: float) -> "Block":
        """Without what was sent at other moments (seconds of the process's clock)."""

        def between(times: Times) -> Times:
            return replace(times, sent={key: at for key, at in times.sent.items() if start <= at <= end})

        return replace(self, sessions=between(self.sessions), bare=between(self.bare))


def together(blocks: Sequence[Block]) -> Block:
    """Several blocks as one."""
    return Block(
        Times.together([block.sessions for block in blocks]),
        Times.together([block.bare for block in blocks]),
        sum(block.seconds for block in blocks),
    )


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


class Writer:
    """A client that writes sessions at an even pace, to each tutor one, and watches for their alerts.

    Creating one switches the triggers on, so that a listener that is started then looks at every tutor first. Raises
    CommandError if there are not enough tutors for so many sessions.
    """

    def __init__(self, url: str, rate: float, sessions: int) -> None:
        self._url, self._rate = url, rate
        wanted, found = sessions + WARM_UP_SESSIONS, _prepare(url)
        if len(found) < wanted:
            raise CommandError(f"Only {len(found)} tutors have exactly one no-show; {wanted} are needed")
        self.tutors = found[:wanted]
        self._left = iter(self.tutors)

    def warm_up(self) -> None:
        """A few sessions that don't count."""
        self.write(WARM_UP_SESSIONS)

    def write(self, sessions: int) -> Block:
        """So many sessions, and what came of them. Raises CommandError for an alert that doesn't come."""
        started = time.perf_counter()
        written, bare = asyncio.run(_write_and_watch(self._url, list(islice(self._left, sessions)), self._rate))
        seconds = time.perf_counter() - started
        if min(len(written.arrived), len(bare.arrived)) < sessions:
            raise CommandError(f"Of {sessions} sessions only {len(written.arrived)} had their alert in time")
        return Block(written, bare, seconds)


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
