"""Counts the statements of a service exactly, with no rights on the server: a relay between the two that looks at
what passes.
"""

import socket
import socketserver
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_STATEMENTS = (b"Q", b"E")
"""The types of the messages that carry a statement out: Query and Execute, of PostgreSQL's protocol 3."""
_PORT = 5432
"""A name only: the relay listens on a socket in a folder of its own."""


@dataclass
class Counted:
    """The statements that have passed, BEGIN and COMMIT among them."""

    statements: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, statements: int) -> None:
        """So many more, on any connection."""
        with self._lock:
            self.statements += statements


@dataclass
class _Client:
    """The messages that one client sends, cut out of its stream."""

    _rest: bytes = b""
    _has_begun: bool = False

    def statements_in(self, data: bytes) -> int:
        """How many statements are complete with this piece of the stream."""
        self._rest += data
        found = 0
        while len(self._rest) >= (head := 5 if self._has_begun else 4):  # the first message has no type
            end = head - 4 + struct.unpack("!I", self._rest[head - 4 : head])[0]
            if len(self._rest) < end:
                break
            found += self._has_begun and self._rest[:1] in _STATEMENTS
            self._rest, self._has_begun = self._rest[end:], True
        return found


@contextmanager
def counting(url: str) -> Iterator[tuple[str, Counted]]:
    """Yields a URL that leads to the same database through a relay, and the count. Not for a server that wants TLS."""
    with psycopg.connect(url) as connection:
        host, port = connection.info.host, connection.info.port
    counted = Counted()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with _connect(host, port) as server:
                answering = threading.Thread(target=_pass_on, args=(server, self.request), daemon=True)
                answering.start()
                _pass_on(self.request, server, counted)
                answering.join()

    with tempfile.TemporaryDirectory(prefix="tutorwatch-bench-") as folder:
        relay = socketserver.ThreadingUnixStreamServer(f"{folder}/.s.PGSQL.{_PORT}", Handler)
        relay.daemon_threads = True
        serving = threading.Thread(target=relay.serve_forever, daemon=True)
        serving.start()
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if name != "hostaddr"}
        parts |= {"host": folder, "port": str(_PORT), "sslmode": "disable", "gssencmode": "disable"}
        try:
            yield make_conninfo("", **parts), counted
        finally:
            relay.shutdown()
            relay.server_close()


def _connect(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{host}/.s.PGSQL.{port}")
    return connection


def _pass_on(source: socket.socket, target: socket.socket, counted: Counted | None = None) -> None:
    """Until one of the two hangs up; then both do."""
    client = _Client()
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if counted:
                counted.note(client.statements_in(data))
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
