"""Many requests on connections that stay open, by as little code as possible: the client shares the cores."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.samples import Samples
from scripts.errors import CommandError

ANSWER_SECONDS = 30.0
"""An answer that isn't there by then won't come."""


@dataclass(frozen=True)
class Served:
    """How long each request took, in seconds, and how long all of them together."""

    each: Samples
    seconds: float
    body_bytes: int
    """Of the last answer."""

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.each.values) / self.seconds


class Connection:
    """One connection of HTTP/1.1 that is used again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connects."""
        return cls(*await asyncio.open_connection(host, port, limit=1 << 20))

    async def get(self, request: bytes) -> bytes:
        """The body of the answer. Raises CommandError for anything but 200 with a Content-Length."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        _, found, rest = head.lower().partition(b"\r\ncontent-length:")
        if not head.startswith(b"HTTP/1.1 200") or not found:
            raise CommandError(f"The server answered: {head.decode(errors='replace')[:500]}")
        return await self._reader.readexactly(int(rest.split(b"\r\n", 1)[0]))

    async def stream(self, request: bytes) -> bytes:
        """Asks for what has no end; returns its beginning, up to the first event."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise CommandError(f"The server answered: {head.decode(errors='replace')[:500]}")
        return await self._reader.readuntil(b"event: ")

    async def close(self) -> None:
        """Hangs up."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def get_request(path: str, headers: Mapping[str, str]) -> bytes:
    """A GET request as it goes over the wire."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def load(host: str, port: int, request: bytes, *, connections: int, seconds: float) -> Served:
    """So many connections ask for the same again and again, each as soon as it has its answer.

    Raises TimeoutError for an answer that doesn't come.
    """
    opened = [await Connection.open(host, port) for _ in range(connections)]
    try:
        started = time.perf_counter()
        asking = [_ask_until(connection, request, started + seconds) for connection in opened]
        async with asyncio.timeout(seconds + ANSWER_SECONDS):
            found = await asyncio.gather(*asking)
        took = time.perf_counter() - started
        return Served(Samples([second for seconds, _ in found for second in seconds]), took, found[0][1])
    finally:
        for connection in opened:
            await connection.close()


async def _ask_until(connection: Connection, request: bytes, end: float) -> tuple[Sequence[float], int]:
    times: list[float] = []
    size, now = 0, time.perf_counter()
    while now < end:
        size = len(await connection.get(request))
        before, now = now, time.perf_counter()
        times.append(now - before)
    return times, size
