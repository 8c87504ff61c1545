"""Answers of the database that many ask for and that are the same for everybody: read once, kept until they change."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from web.live.hub import Hub

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    value: T
    changes: int
    read_at: float


class Kept(Generic[T]):
    """The latest answers, by what was asked; few different things are, so none is ever thrown away.

    `seconds` says how old they may be in what no notification announces: sessions, names. Changed alerts end them at
    once; while changes may be missed, nothing is kept.
    """

    def __init__(self, hub: Hub, seconds: float) -> None:
        self._hub, self._seconds = hub, seconds
        self._answers: dict[Hashable, _Answer[T]] = {}
        self._reading: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, asked: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """The answer as it was kept, or read anew: by one of all who ask at the same time."""
        if not self._hub.is_told_of_all:
            return await read()
        async with self._reading[asked]:
            answer = self._answers.get(asked)
            if answer is None or not self._is_current(answer):
                # Both before it is read: what changes meanwhile makes it old.
                changes, now = self._hub.changes, time.monotonic()
                answer = self._answers[asked] = _Answer(await read(), changes, now)
            return answer.value

    def _is_current(self, answer: _Answer[T]) -> bool:
        return answer.changes == self._hub.changes and time.monotonic() - answer.read_at < self._seconds
