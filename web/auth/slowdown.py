"""Failed sign-ins slow down the next ones: by account, so that one password isn't guessed, and by address."""

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from web.auth import store

WINDOW = timedelta(minutes=15)
"""How long a failed attempt counts."""
FIRST_WAIT_SECONDS = 1.0
"""The wait after the first failure too many; it doubles with each further one."""
LONGEST_WAIT_SECONDS = 60.0
FREE_BY_ACCOUNT = 5
FREE_BY_ADDRESS = 20
"""An address gets more: it may be a whole office."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that may go on; noted as failed until it is known better."""

    account: store.Account | None
    """Whose password it is to be; None where there is no such account."""
    is_known_browser: bool
    """Whether they have signed in in this browser before."""
    subject: bytes
    note_ids: tuple[int, ...]


class TooManyAttemptsError(Exception):
    """The next attempt must wait for so many seconds."""

    def __init__(self, seconds: float, account: store.Account | None) -> None:
        super().__init__(f"wait for {seconds:.0f} s")
        self.seconds = math.ceil(seconds)
        self.account = account


async def begin_attempt(
    conn: AsyncConnection, *, email: str, address: str | None, browser: bytes | None = None
) -> Attempt:
    """Notes an attempt, before anything is said about it; the caller commits.

    Counted by the account that is found, however its address is written, and by the client's address; one that isn't
    known (None) slows down nobody: it would be everybody's. In a browser (the hash of its token) in which the account
    has signed in before, only the failures there count: nobody can lock its owner out from elsewhere.
    Raises TooManyAttemptsError, whether or not there is such an account.
    """
    email = email.strip()
    account = await store.find_account(conn, email)
    is_known = bool(account and browser and await store.is_known_browser(conn, browser, account.user_id))
    if account and browser and is_known:
        subject = _digest("browser", f"{browser.hex()} {account.user_id}")
    else:
        subject = (
            _digest("account", account.user_id) if account else _digest("nobody", store.folded_email(email.strip()))
        )
    free = {subject: FREE_BY_ACCOUNT}
    if address is not None and not is_known:
        free[_digest("address", _network(address))] = FREE_BY_ADDRESS
    failures = await store.load_failures(conn, list(free), WINDOW)
    wait = max(map(_wait, failures, free.values()))
    if wait > 0:
        raise TooManyAttemptsError(wait, account)
    return Attempt(account, is_known, subject, tuple(await store.insert_failures(conn, list(free))))


async def begin_unnamed_attempt(conn: AsyncConnection, *, address: str | None) -> Attempt:
    """The same where it isn't known yet whose attempt it is: counted by the client's address alone."""
    if address is None:
        return Attempt(None, False, b"", ())
    subject = _digest("address", _network(address))
    [failures] = await store.load_failures(conn, [subject], WINDOW)
    if (wait := _wait(failures, FREE_BY_ADDRESS)) > 0:
        raise TooManyAttemptsError(wait, None)
    return Attempt(None, False, b"", tuple(await store.insert_failures(conn, [subject])))


async def end_attempt(conn: AsyncConnection, attempt: Attempt) -> None:
    """It led to a sign-in: the account's failures are forgotten, and this one of the address."""
    await store.forget_failures(conn, attempt.note_ids, of=attempt.subject)


def _wait(failures: store.Failures, free: int) -> float:
    """Seconds still to wait since the latest failure: none for the first few, then twice as long each time."""
    if failures.count < free:
        return 0.0
    delay = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures.count - free, 30), LONGEST_WAIT_SECONDS)
    return max(delay - failures.seconds_since, 0.0)


def _network(address: str) -> str:
    """IPv6 clients have a whole /64 to themselves."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _digest(kind: str, subject: str) -> bytes:
    return hashlib.sha256(f"{kind}:{subject}".encode("utf-8", "surrogatepass")).digest()
