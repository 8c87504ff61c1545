"""Passwords: Argon2id, computed beside the event loop. The key that it makes of a password proves that it is known."""

import asyncio
import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from functools import cache

from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw

from database.errors import TutorwatchError

SHORTEST = 12
LONGEST = 1024
LOOKED_AT = 72
"""Characters of a password that are compared with common ones: further ones only make it better."""
WEAKEST = 3
"""Of the scores of zxcvbn, 0 to 4: from this one on it takes more than 100 million guesses."""
MOST_AT_ONCE = 2
"""Keys computed at the same time: each takes 64 MiB and a processor, which others need too."""
MOST_WAITING = 12
"""How many more may wait for their turn: a few seconds' work."""
_SALT_BYTES = 16
_KEY_BYTES = 32


class WeakPasswordError(TutorwatchError):
    """The password is too short, too long, or easy to guess; the message says what it must be."""


class TooBusyError(TutorwatchError):
    """So many passwords wait to be checked that one more would wait for too long: try again in a few seconds."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What Argon2id is to spend on a key: passes over so many KiB, in so many lanes."""

    time: int = 3
    memory: int = 65536
    lanes: int = 4


COST = Cost()
"""That of new passwords: the second recommendation of RFC 9106, for where memory is scarce."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """With what a password's key is computed; no secret."""

    salt: bytes
    cost: Cost = COST

    def __str__(self) -> str:
        """As it is stored, and as the head of an encoded Argon2 hash."""
        salt = base64.b64encode(self.salt).decode().rstrip("=")
        return f"$argon2id$v={ARGON2_VERSION}$m={self.cost.memory},t={self.cost.time},p={self.cost.lanes}${salt}"

    @classmethod
    def parse(cls, stored: str) -> "Parameters":
        """What was stored. Raises ValueError."""
        try:
            _, kind, version, costs, salt = stored.split("$")
            memory, time, lanes = (int(part.partition("=")[2]) for part in costs.split(","))
            decoded = base64.b64decode(salt + "=" * (-len(salt) % 4), validate=True)
        except (ValueError, binascii.Error):
            raise ValueError(f"These are no parameters of Argon2id: {stored!r}") from None
        if kind != "argon2id" or version != f"v={ARGON2_VERSION}":
            raise ValueError(f"These are no parameters of Argon2id: {stored!r}")
        return cls(decoded, Cost(time, memory, lanes))

    @classmethod
    def new(cls) -> "Parameters":
        """Those of a new password."""
        return cls(os.urandom(_SALT_BYTES))


@dataclass(frozen=True, slots=True)
class NewPassword:
    """What is stored of a new password."""

    parameters: str
    key_digest: bytes
    key: bytes
    """The proof of it: never stored."""


class Passwords:
    """Computes keys, a few at a time.

    Browsers that are known wait in a queue of their own: strangers who guess can't keep their owners out.
    """

    def __init__(self) -> None:
        self._strangers, self._known = _Queue(MOST_AT_ONCE), _Queue(1)

    async def key(self, password: str, parameters: str | None, *, is_known: bool = False) -> bytes:
        """The password's key; takes as long for an account without a password (None). Raises TooBusyError."""
        queue = self._known if is_known else self._strangers
        return await queue.compute(password, Parameters.parse(parameters) if parameters else _of_nobody())

    async def new(self, password: str) -> NewPassword:
        """What is stored of a new password, which was checked before. Raises TooBusyError."""
        parameters = Parameters.new()
        return _new(parameters, await self._known.compute(password, parameters))


class _Queue:
    def __init__(self, at_once: int) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._waiting = 0

    async def compute(self, password: str, parameters: Parameters) -> bytes:
        if self._turns.locked() and self._waiting >= MOST_WAITING:
            raise TooBusyError("Too many people are signing in at this moment. Try again in a few seconds.")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            return await asyncio.to_thread(compute_key, password, parameters)
        finally:
            self._turns.release()


def compute_key(password: str, parameters: Parameters) -> bytes:
    """The password's key: 32 bytes."""
    cost = parameters.cost
    return hash_secret_raw(
        password.encode("utf-8", "surrogatepass"),
        parameters.salt,
        time_cost=cost.time,
        memory_cost=cost.memory,
        parallelism=cost.lanes,
        hash_len=_KEY_BYTES,
        type=Type.ID,
    )


def is_outdated(parameters: str) -> bool:
    """Whether a new password would be hashed at another cost."""
    return Parameters.parse(parameters).cost != COST


def new_password(password: str) -> NewPassword:
    """What is stored of a new password, which was checked before."""
    parameters = Parameters.new()
    return _new(parameters, compute_key(password, parameters))


def check_password(password: str, *, about: tuple[str, ...] = ()) -> None:
    """Raises WeakPasswordError for one that is short, or that guessers try early: a common one, a pattern, or one made
    of what is known `about` the person.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPasswordError(f"A password has {SHORTEST} to {LONGEST} characters")
    from zxcvbn import zxcvbn  # reads its lists of common words: only where somebody chooses a password

    found = zxcvbn(password[:LOOKED_AT], user_inputs=[part for text in about for part in (text, *text.split("@"))])
    if found["score"] < WEAKEST:
        why = found["feedback"]["warning"] or "It is easy to guess."
        raise WeakPasswordError(f"Choose another password: {why.rstrip('.')}. Several unrelated words are a good one.")


def _new(parameters: Parameters, key: bytes) -> NewPassword:
    return NewPassword(str(parameters), hashlib.sha256(key).digest(), key)


@cache
def _of_nobody() -> Parameters:
    return Parameters.new()
