"""What an operator asks of a running Tutorwatch: how it stands, what fails, and to try again."""

from collections.abc import Sequence
from datetime import UTC, datetime

import typer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.liveness import IS_FRESH
from database.recording import OFF_SINCE
from database.retries import retry_failing
from database.schema_version import check_schema
from listener import failures
from migrations.automation import Automation
from rules.tutors import load_names
from scripts.errors import CommandError
from scripts.one_line import one_line

_STATUS = text(f"""
    SELECT (SELECT count(*) FROM tutorwatch.listeners
            WHERE {IS_FRESH}
              AND (CAST(:host AS text) IS NULL OR host = :host)) AS listeners,
           (SELECT count(*) FROM tutorwatch.outbox) AS waiting,
           (SELECT extract(epoch FROM clock_timestamp() - min(recorded_at))::integer
            FROM tutorwatch.outbox) AS oldest_seconds,
           (SELECT count(*) FROM tutorwatch.failures WHERE parked_at IS NULL) AS failing,
           (SELECT count(*) FROM tutorwatch.failures WHERE parked_at IS NOT NULL) AS parked
""")  # noqa: S608 - a constant of ours

AUTOMATION = {
    Automation.ON: "on",
    Automation.OFF: "off: changes wait for the daily sweep, or for `tutorwatch automation on`",
    Automation.MISSING: "not installed: run `tutorwatch migrate`",
}
"""Each state, and what to do about it."""


async def print_status(engine: AsyncEngine, *, host: str | None) -> bool:
    """Prints how things stand; returns whether a listener (of that host) is alive."""
    async with engine.connect() as conn:
        await check_schema(conn)
        now = (await conn.execute(_STATUS, {"host": host})).one()
        state = Automation.OFF if await conn.scalar(text(OFF_SINCE)) else Automation.ON
    typer.echo(f"Listeners alive: {now.listeners}")
    typer.echo(f"Changes waiting: {now.waiting}" + (f" (oldest {now.oldest_seconds} s)" if now.waiting else ""))
    typer.echo(f"Tutors failing: {now.failing} to be tried again, {now.parked} parked")
    typer.echo(f"Automation: {AUTOMATION[state]}")
    return bool(now.listeners)


async def print_failures(engine: AsyncEngine) -> None:
    """Prints a line per failing tutor."""
    async with engine.connect() as conn:
        await check_schema(conn)
        failing = await failures.load(conn)
    if not failing:
        typer.echo("No tutor is failing.")
    for failure in failing:
        name = f"{failure.name} ({failure.tutor_id})" if failure.name else failure.tutor_id
        outlook = _outlook(failure)
        error = failure.last_error.splitlines()[0]
        typer.echo(one_line(f"{name}: {outlook}, {failure.attempts} attempts, last error: {error}"))


async def retry(engine: AsyncEngine, tutor_ids: Sequence[str] | None) -> None:
    """Has these failing tutors generated again, at once; None: all that are failing."""
    async with engine.begin() as conn:
        await check_schema(conn)
        if tutor_ids is not None:
            known = {*await load_names(conn, tutor_ids), *[failure.tutor_id for failure in await failures.load(conn)]}
            if unknown := [tutor_id for tutor_id in tutor_ids if tutor_id not in known]:
                raise CommandError("No such tutor: " + ", ".join(map(one_line, unknown)))
        retried = await retry_failing(conn, tutor_ids)
    typer.echo(f"Failing tutors that the next free listener will generate: {retried}")


def _outlook(failure: failures.Failure) -> str:
    if failure.parked_at:
        return f"parked since {failure.parked_at:%Y-%m-%d %H:%M} UTC"
    if failure.next_attempt_at and failure.next_attempt_at > datetime.now(UTC):
        return f"next attempt at {failure.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC"
    return "about to be tried again"
