"""Requests byte by byte, as no client library would send them."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

PATIENCE_SECONDS = 10.0
"""How long a silence is the end of an answer."""
FIRST_PATIENCE_SECONDS = 60.0
"""How long an answer may take to begin."""


@dataclass(frozen=True)
class Answer:
    """What came back: everything until the server closed the connection, or fell silent."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_closed: bool

    @property
    def answers(self) -> int:
        """How many answers that were."""
        return int(self.status > 0) + self.body.count(b"HTTP/1.1 ")


class Listening(Protocol):
    """Where to connect to."""

    host: str
    port: int | None


async def send(server: Listening, *parts: bytes, patience: float = PATIENCE_SECONDS) -> Answer:
    """Sends the bytes on a connection of their own; what the server doesn't want any more is not sent."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    received, is_closed = b"", False
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(FIRST_PATIENCE_SECONDS) as until:
            while data := await reader.read(65536):
                received += data
                until.reschedule(asyncio.get_running_loop().time() + patience)
            is_closed = True
    except TimeoutError:
        pass
    except ConnectionError:
        is_closed = True
    finally:
        writer.transport.abort()
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(status.split()[1]) if status else 0, headers, body, is_closed)


def request(target: str, *headers: str, method: str = "GET", body: bytes = b"", keep_alive: bool = False) -> bytes:
    """A request that asks for the connection to be closed, unless told otherwise."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    lines += [] if keep_alive else ["Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
