"""A network between a service and its database that can be broken: silence, delay, a cut in the middle of a COMMIT."""

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Cut(Enum):
    """Where a connection is cut in a COMMIT: never, before the server gets it, or before the client gets its answer."""

    NOWHERE = auto()
    BEFORE_COMMIT = auto()
    AFTER_COMMIT = auto()


COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As it goes over the network."""


@dataclass(eq=False)
class Way:
    """A connection through the proxy, known by its application's name."""

    application: str
    client: StreamWriter
    server: StreamWriter
    is_silent: bool = False

    def cut(self) -> None:
        """Without a farewell, on both sides."""
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """A TCP port before a database, always the same."""

    def __init__(self, database_url: str) -> None:
        self._target = database_url
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.ways: set[Way] = set()
        self._committing: set[Way] = set()
        self.port = 0
        self.delay_seconds = 0.0
        self.cut = Cut.NOWHERE
        self.cuts = 0
        """Connections cut in a COMMIT so far."""

    @property
    def url(self) -> str:
        """The database through this proxy."""
        return self.url_by("127.0.0.1")

    def url_by(self, host: str) -> str:
        """The same, by a name that stands for this machine."""
        return make_conninfo(self._target, host=host, port=self.port, sslmode="disable", gssencmode="disable")

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening:
            self._listening.close()
        self.cut_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lead_to(self, database_url: str) -> None:
        """New connections go to this server from now on."""
        self._target = database_url

    def fall_silent(self, application: str = "") -> int:
        """The connections there are (of this application, or all) stay open, but carry nothing; returns how many."""
        silenced = [way for way in self.ways if application in ("", way.application) and not way.is_silent]
        for way in silenced:
            way.is_silent = True
        return len(silenced)

    def cut_all(self) -> int:
        """Cuts the connections there are; returns how many."""
        for way in tuple(self.ways):
            way.cut()
        return len(self.ways)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._open_way(reader, writer)
        finally:
            writer.transport.abort()

    async def _open_way(self, reader: StreamReader, writer: StreamWriter) -> None:
        size = await reader.readexactly(4)
        startup = size + await reader.readexactly(int.from_bytes(size) - 4)
        name = re.search(rb"application_name\x00([^\x00]*)\x00", startup)
        server_reader, server_writer = await self._connect()
        server_writer.write(startup)
        way = Way(name[1].decode() if name else "", writer, server_writer)
        self.ways.add(way)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(way, reader, way.server, self._on_request))
                both.create_task(self._carry(way, server_reader, way.client, self._on_answer))
        except* OSError:
            pass
        finally:
            way.cut()
            self.ways.discard(way)

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        server = conninfo_to_dict(self._target)
        host, port = str(server.get("host", "localhost")), int(server.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(Path(host) / f".s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _carry(
        self, way: Way, source: StreamReader, target: StreamWriter, look: Callable[[Way, bytes], None]
    ) -> None:
        while data := await source.read(65_536):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if way.is_silent:
                continue
            look(way, data)
            target.write(data)
            await target.drain()
        if not way.is_silent:
            raise ConnectionResetError  # the other direction ends with this one

    def _on_request(self, way: Way, data: bytes) -> None:
        if not data.endswith(COMMIT) or way.application != "tutorwatch-worker":
            return
        if self.cut is Cut.BEFORE_COMMIT:
            self.cuts += 1
            raise ConnectionResetError
        if self.cut is Cut.AFTER_COMMIT:
            self._committing.add(way)

    def _on_answer(self, way: Way, _data: bytes) -> None:
        if way in self._committing:
            self._committing.discard(way)
            self.cuts += 1
            raise ConnectionResetError
