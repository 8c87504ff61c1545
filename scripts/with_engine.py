"""Runs a command's work on the platform's database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from scripts import environment
from scripts.errors import CommandError

T = TypeVar("T")


def with_engine(work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """Return the result of the work on the platform's database. Raises CommandError where it is interrupted."""

    async def open_and_work() -> T:
        engine = open_engine(environment.database_url(), application_name="tutorwatch", keep_connections=2)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(open_and_work())
    except KeyboardInterrupt:  # before Typer sees it, which ends with 130 and without a word
        raise CommandError("Interrupted; what was begun is rolled back. Run the command again to go on") from None
