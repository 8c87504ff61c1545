"""Passwords: argon2id, computed beside the event loop."""

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from database.errors import TutorwatchError

SHORTEST = 12
LONGEST = 1024
MOST_AT_ONCE = 2
"""Hashes computed at the same time: each takes 64 MiB and a processor, which others need too."""

_hasher = PasswordHasher()


class WeakPasswordError(TutorwatchError):
    """The password is too short or too long; the message says what it must be."""


class Passwords:
    """Hashes and verifies, a few at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password matches; takes as long without a hash to match as with one."""
        async with self._turns:
            matches = await asyncio.to_thread(_matches, password, password_hash or _hash_of_nobody())
        return matches and password_hash is not None

    async def renew(self, password: str, password_hash: str) -> str | None:
        """A new hash, where the one kept was made with weaker parameters than today's."""
        if not _hasher.check_needs_rehash(password_hash):
            return None
        async with self._turns:
            return await asyncio.to_thread(_hasher.hash, password)


def hash_password(password: str) -> str:
    """What is stored of a new password. Raises WeakPasswordError."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPasswordError(f"A password has {SHORTEST} to {LONGEST} characters")
    return _hasher.hash(password)


@cache
def _hash_of_nobody() -> str:
    return _hasher.hash("the password of an account that doesn't exist")


def _matches(password: str, password_hash: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
