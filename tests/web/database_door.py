"""The way to the test's database, which a test can shut or block."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

PORT = 5432


class DatabaseDoor:
    """Passes connections on to the server; `shut` refuses and ends them, `block` lets nothing through."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._server = {key: str(value) for key, value in conninfo_to_dict(database_url).items() if value}
        self._folder = folder
        self._listening: asyncio.Server | None = None
        self._writers: set[StreamWriter] = set()
        self._passing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The database through this door."""
        return make_conninfo(**(self._server | {"host": str(self._folder), "port": str(PORT)}))

    async def open(self) -> None:
        """Lets everything through (again)."""
        self._passing.set()
        if self._listening is None:
            path = self._folder / f".s.PGSQL.{PORT}"
            self._listening = await asyncio.start_unix_server(self._accept, path)

    async def shut(self) -> None:
        """Ends all connections; new ones are refused."""
        if self._listening:
            self._listening.close()
            (self._folder / f".s.PGSQL.{PORT}").unlink(missing_ok=True)
            self._listening = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    def block(self) -> None:
        """Keeps connections open and accepts new ones, but nothing gets through any more."""
        self._passing.clear()

    async def close(self) -> None:
        """Ends everything."""
        await self.shut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._writers.add(writer)
        self._start(self._open_way(reader, writer))

    async def _open_way(self, reader: StreamReader, writer: StreamWriter) -> None:
        await self._passing.wait()
        server_reader, server_writer = await self._connect()
        self._writers.add(server_writer)
        for source, target in ((reader, server_writer), (server_reader, writer)):
            self._start(self._pass_on(source, target))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        host, port = self._server.get("host", "localhost"), int(self._server.get("port", PORT))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(Path(host) / f".s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pass_on(self, source: StreamReader, target: StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._passing.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()
            self._writers.discard(target)
