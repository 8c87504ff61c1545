"""HTTP to addresses that somebody typed: none that isn't public, no redirect, and not for ever."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, TraceConfig

TIMEOUT_SECONDS = 15.0
LONGEST_ANSWER = 1000
"""How many bytes of an answer are read."""
ANSWER_SECONDS = 2.0
"""How long is waited for them, once the status is there."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(slots=True)
class Guard:
    """Makes the sockets of a connector, and none to an address that isn't public.

    It is asked for each address that is about to be connected, after the name was looked up: what a name led to when it
    was checked before doesn't matter.
    """

    refused: list[str] = field(default_factory=list)

    def __call__(self, address_info: tuple[Any, ...]) -> socket.socket:
        """Return a socket for the address. Raises PermissionError."""
        family, kind, protocol, _, address = address_info
        if not is_public(address[0]):
            self.refused.append(address[0])
            raise PermissionError(f"{address[0]} is no public address")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def is_public(address: str) -> bool:
    """Return whether the IP address leads into the internet, also where it stands for an IPv4 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        teredo = ip.teredo
        behind = [ip.ipv4_mapped, ip.sixtofour, teredo[1] if teredo else None]
        if ip in _NAT64:
            behind.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(each is not None and not is_public(str(each)) for each in behind):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast


class RefusedTargetError(Exception):
    """The target's address isn't public; TUTORWATCH_ALLOW_PRIVATE_TARGETS permits it."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is no public address (see TUTORWATCH_ALLOW_PRIVATE_TARGETS)")


class UnreachedError(Exception):
    """No request was sent: the target can't be connected."""


class UnansweredError(Exception):
    """The request may have arrived, and no answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: as much of it as matters."""

    status: int
    text: str
    after: timedelta | None
    """What Retry-After asks for."""

    @property
    def is_success(self) -> bool:
        """Whether it is 2xx: redirects aren't."""
        return 200 <= self.status < 300

    @property
    def error(self) -> str:
        """The answer in a line."""
        return (
            f"It answered {self.status}: {self.text.splitlines()[0][:200]}"
            if self.text
            else f"It answered {self.status}"
        )


async def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> Answer:
    """Return the answer to a POST of JSON.

    Raises RefusedTargetError, UnreachedError, UnansweredError.
    """
    guard = Guard()
    connected = asyncio.Event()
    try:
        async with _session(None if allow_private else guard, connected) as session:
            sending = session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", "User-Agent": "Tutorwatch", **headers},
                allow_redirects=False,
            )
            async with sending as response:
                return Answer(response.status, await _beginning(response), _retry_after(response))
    except (ClientError, TimeoutError, OSError, ValueError) as error:
        if guard.refused:
            raise RefusedTargetError(guard.refused[0]) from error
        reason = f"{type(error).__name__}: {error}".rstrip(": ")[:300]
        raise (UnansweredError if connected.is_set() else UnreachedError)(reason) from error


@asynccontextmanager
async def _session(guard: Guard | None, connected: asyncio.Event) -> AsyncIterator[ClientSession]:
    trace = TraceConfig()

    async def note(*_args: Any) -> None:
        connected.set()

    trace.on_connection_create_end.append(note)
    async with ClientSession(
        connector=TCPConnector(socket_factory=guard, force_close=True),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=TIMEOUT_SECONDS),
        trace_configs=[trace],
        auto_decompress=False,
    ) as session:
        yield session


async def _beginning(response: ClientResponse) -> str:
    """Return the first bytes of the answer as text, whatever it goes on with."""
    read = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while len(read) < LONGEST_ANSWER and (more := await response.content.read(LONGEST_ANSWER - len(read))):
                read += more
    except (TimeoutError, ClientError):
        pass  # the status says what is to be known
    finally:
        response.close()
    return read.decode(errors="replace").strip()


def _retry_after(response: ClientResponse) -> timedelta | None:
    given = response.headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdigit():
        return timedelta(seconds=min(int(given[:10]), 86_400))
    try:
        until = parsedate_to_datetime(given)
    except ValueError:
        return None
    wait = until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)
    return min(max(wait, timedelta()), timedelta(days=1))
