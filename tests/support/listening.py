"""What the listener's tests have around it: listeners in this process, crowds of tutors, obstacles."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from database.errors import single_errors
from listener.batch import Batch
from listener.service import run_listener
from listener.settings import ListenerSettings
from rules.settings import thresholds
from rules.tutor_locks import LOCK_SEED
from telling.sender import Telling
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.waiting import eventually

NEVER = 3600.0
"""A poll that no test lives to see: what happens then, a wake-up has done."""


@dataclass
class Listening:
    """A listener in this process."""

    task: asyncio.Task[None]
    stop: asyncio.Event
    batches: list[Batch] = field(default_factory=list)

    @property
    def changes(self) -> int:
        return sum(batch.changes for batch in self.batches)

    @property
    def tutors(self) -> int:
        return sum(batch.tutors for batch in self.batches)


@asynccontextmanager
async def listening(url: str, *, telling: Telling | None = None, **settings: Any) -> AsyncIterator[Listening]:
    """Runs a listener, as its role, and stops it at the end; what ends it before ends the test.

    Without the canary, unless its setting is given: tests count what a listener does.
    """
    batches: list[Batch] = []
    stop = asyncio.Event()
    service = run_listener(
        LISTENER.url(url),
        ListenerSettings(**{"canary_seconds": 0} | settings),
        thresholds(),
        version="test",
        stop=stop,
        on_batch=batches.append,
        telling=telling,
    )
    async with beside(service, stop.set) as task:
        yield Listening(task, stop, batches)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], stop: Callable[[], None]) -> AsyncIterator[asyncio.Task[None]]:
    """Runs work beside the test and stops it at the end; an error of either ends both."""
    with out_of_groups():
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work)
            try:
                yield task
            finally:
                stop()
                await asyncio.wait_for(task, 60)


@contextmanager
def out_of_groups() -> Iterator[None]:
    """Raises an error that is the only one of a group, and of the groups in it, without them; of several, all."""
    try:
        yield
    except ExceptionGroup as group:
        errors = set(single_errors(group))
        if len(errors) > 1:
            raise
        raise errors.pop() from None


async def listeners_at_work(platform: Platform) -> int:
    """How many listeners say that they are there."""
    rows = await platform.rows("SELECT count(*) FROM tutorwatch.listeners")
    return int(rows[0])


async def is_up(platform: Platform, count: int = 1) -> None:
    """Waits until so many listeners are subscribed."""

    async def all_are_subscribed() -> bool:
        subscribed = await platform.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'tutorwatch-listen' AND state = 'idle'"
            " AND query LIKE 'LISTEN%%tutorwatch_changes\"'"
        )
        return bool(subscribed == [count]) and await listeners_at_work(platform) == count

    await eventually(all_are_subscribed)


async def has_settled(platform: Platform) -> None:
    """Waits until nothing is left to do: everything has been generated and committed, alone or in batches."""

    async def is_empty() -> bool:
        return await platform.rows(
            "SELECT (SELECT count(*) FROM tutorwatch.outbox) + (SELECT count(*) FROM tutorwatch.failures"
            " WHERE next_attempt_at <= clock_timestamp() OR unfinished)"
        ) == [0]

    await eventually(is_empty)


async def no_shows(platform: Platform, tutors: int, *, each: int = 2, first: int = 1) -> list[str]:
    """Sessions that tutors missed yesterday, two each by default: enough for an alert. A single statement."""
    ids = [f"tutor-{number:04}" for number in range(first, first + tutors)]
    subject = await platform.subject()
    student = await platform.user("student", role="student")
    new = [tutor for tutor in ids if tutor not in platform.known_users]
    platform.known_users.update(new)
    await platform.connection.execute(
        "INSERT INTO users (id, email, name, role)"
        " SELECT id, id || '@example.test', initcap(id), 'tutor' FROM unnest(%s::text[]) AS id",
        [new],
    )
    await platform.connection.execute(
        "INSERT INTO sessions (tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number,"
        " status) SELECT tutor, %s, %s, (now() AT TIME ZONE 'UTC') - interval '1 day', 60, 2, 'no_show_tutor'"
        " FROM unnest(%s::text[]) WITH ORDINALITY AS t (tutor, place), generate_series(1, %s) ORDER BY place",
        [student, subject, ids, each],
    )
    return ids


async def alerted(platform: Platform) -> list[str]:
    """The tutors of all no-show alerts, in order; twice, if there are two."""
    return await platform.rows("SELECT tutor_id FROM alerts WHERE alert_type = 'no_show_pattern' ORDER BY tutor_id")


async def waiting(platform: Platform) -> list[str]:
    """The tutors in the outbox, in the order in which they will be claimed."""
    return await platform.rows("SELECT tutor_id FROM tutorwatch.outbox ORDER BY id")


@asynccontextmanager
async def generation_held_up(url: str, tutor: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Holds the tutor's lock, so that a generation stops in its middle; yields what lets it go on."""
    async with await psycopg.AsyncConnection.connect(url, application_name="obstacle") as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [tutor, LOCK_SEED])
        yield connection.rollback
        await connection.rollback()


async def held_up_backend(platform: Platform) -> int:
    """Waits until a generation is held up; returns its backend."""
    return (await held_up_backends(platform, 1))[0]


async def held_up_backends(platform: Platform, count: int) -> list[int]:
    """Waits until so many generations are held up; returns their backends."""

    async def waiting_backends() -> list[int]:
        found = await platform.rows(
            "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND NOT granted"
            " AND datname = current_database() AND application_name LIKE 'tutorwatch%%'"
        )
        return found if len(found) >= count else []

    return await eventually(waiting_backends)


class Proxy:
    """A TCP port before the database: closed until `open`, and able to fall silent."""

    def __init__(self, database_url: str) -> None:
        target = conninfo_to_dict(database_url)
        self._database_url = database_url
        self._host, self._target_port = str(target.get("host") or "localhost"), int(target.get("port") or 5432)
        self._socket: socket.socket | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._copying: set[asyncio.Task[None]] = set()
        self.port = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.open()
        await self.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Takes connections; always on the same port."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._socket, self._accept, self._socket)
        self.url = make_conninfo(
            self._database_url, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable"
        )

    def refuse(self) -> None:
        """Takes no more connections, and cuts those there are."""
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        """The same, and waits until all is cut."""
        self.refuse()
        await asyncio.gather(*self._copying)
        self._writers.clear()

    def fall_silent(self) -> None:
        """Keeps the connections there are, but passes nothing on: a network that lost them."""
        self._silent |= self._writers

    def _accept(self, listening: socket.socket) -> None:
        # Not asyncio.start_server: closed just as it accepts, Python 3.11's leaves the connection open.
        accepted, _ = listening.accept()
        self._copying.add(connecting := asyncio.create_task(self._connect(accepted)))
        connecting.add_done_callback(self._copying.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted)
        if Path(self._host).is_absolute():
            behind = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._target_port}")
        else:
            behind = await asyncio.open_connection(self._host, self._target_port)
        if self._socket is None:
            writer.transport.abort()
            behind[1].transport.abort()
            return
        self._writers |= {writer, behind[1]}
        async with asyncio.TaskGroup() as both:
            both.create_task(self._copy(reader, behind[1]))
            both.create_task(self._copy(behind[0], writer))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if target not in self._silent:
                    target.write(data)
                    await target.drain()
        target.close()
