"""The output of `tutorwatch run`: each session, and each alert or insight that came of it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from database.errors import TransientError, translating_errors
from database.one_line import one_line
from listener.batch import Batch
from rules.tutors import load_names


class Console:
    """Prints a line for each event. `run` prints the batches handed over, with the names of their tutors."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._names: dict[str, str] = {}
        self._batches: asyncio.Queue[Batch] = asyncio.Queue()

    def session(self, description: str) -> None:
        """Print a session that was just written."""
        self._print("session", description)

    def batch(self, batch: Batch) -> None:
        """Have what a generation did printed in its turn."""
        self._batches.put_nowait(batch)

    async def run(self) -> None:
        """Print the batches handed over, until cancelled."""
        while True:
            for kind, tutor_id, what in _events(await self._batches.get()):
                self._print(kind, f"{await self._name(tutor_id)}: {what}")

    async def _name(self, tutor_id: str) -> str:
        if tutor_id not in self._names:
            with suppress(TransientError), translating_errors():  # then the id must do
                async with self._engine.begin() as conn:
                    self._names |= await load_names(conn, [tutor_id])
        return self._names.get(tutor_id, tutor_id)

    @staticmethod
    def _print(kind: str, what: str) -> None:
        print(f"{datetime.now().astimezone():%H:%M:%S}  {kind:<8} {one_line(what)}", flush=True)


def _events(batch: Batch) -> Iterator[tuple[str, str, str]]:
    for alert in batch.generated.alerts:
        yield "ALERT", alert.tutor_id, f"{alert.alert_type} ({alert.severity}): {alert.description}"
    for insight in batch.generated.insights:
        kind = insight.kind.replace("_", " ")
        yield "insight", insight.tutor_id, f"{insight.category} ({kind}): {insight.text}"
    for ended in batch.generated.ended:
        yield "insight", ended.tutor_id, f"{ended.category} is deactivated: it no longer holds"
    for failure in batch.failed:
        yield "FAILED", failure.tutor_id, f"attempt {failure.attempts}: {failure.last_error}"
