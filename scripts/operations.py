"""`tutorwatch status`, `failures` and `retry`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.condition import Check, Condition, load_condition
from database.condition_keeper import problem_as_json
from database.liveness import IS_FRESH
from database.one_line import one_line
from database.retries import retry_failing
from database.schema_version import check_schema
from database.tables import listeners
from listener import failures
from rules.tutors import load_names
from scripts.audit import record
from scripts.errors import CommandError
from web.auth.audit import Action, Entry


async def print_status(engine: AsyncEngine, *, host: str | None, as_json: bool) -> bool:
    """Print the condition; return whether everything is evaluated or, with a host, its listener is alive."""
    async with engine.connect() as conn:
        condition = await load_condition(conn)
        on_host = 0
        if not (outdated := [each for each in condition.problems if each.check is Check.SCHEMA]) and host is not None:
            alive = select(func.count()).where(text(IS_FRESH), listeners.c.host == host)
            on_host = (await conn.execute(alive)).scalar_one()
    number = condition.listeners if host is None else on_host
    if as_json:
        typer.echo(json.dumps(_status_as_json(condition) | {"listeners": number}))
    elif outdated:
        raise CommandError(outdated[0].message)
    else:
        _print_condition(condition, number)
    return condition.is_well if host is None else bool(on_host)


def _print_condition(condition: Condition, number: int) -> None:
    since = condition.oldest_waiting_at
    typer.echo(f"Listeners alive: {number}")
    typer.echo(f"Changes waiting: {condition.waiting}" + (f" (oldest {_seconds_since(since)} s)" if since else ""))
    typer.echo(f"Tutors failing: {condition.failing} to be tried again, {condition.dead_lettered} given up on")
    if condition.swept_at:
        typer.echo(f"All tutors last re-evaluated: {condition.swept_at:%Y-%m-%d %H:%M} UTC")
    for problem in condition.problems:
        typer.echo(f"Not evaluated: {problem.message}" + (f" (since {_utc(problem.since)})" if problem.since else ""))
    if condition.is_well:
        typer.echo("Everything is evaluated.")


def _status_as_json(condition: Condition) -> dict[str, Any]:
    return {
        "is_well": condition.is_well,
        "problems": [problem_as_json(problem) for problem in condition.problems],
        "listeners": condition.listeners,
        "waiting": condition.waiting,
        "oldest_waiting_at": _iso(condition.oldest_waiting_at),
        "failing": condition.failing,
        "dead_lettered": condition.dead_lettered,
        "swept_at": _iso(condition.swept_at),
    }


async def print_failures(engine: AsyncEngine, *, as_json: bool) -> None:
    """Print a line per failing tutor, or all of them as a JSON array."""
    async with engine.connect() as conn:
        await check_schema(conn)
        failing = await failures.load(conn)
    if as_json:
        typer.echo(json.dumps([_failure_as_json(failure) for failure in failing]))
        return
    if not failing:
        typer.echo("No failed evaluations.")
    for failure in failing:
        name = f"{failure.name} ({failure.tutor_id})" if failure.name else failure.tutor_id
        outlook = _outlook(failure)
        error = failure.last_error.splitlines()[0]
        typer.echo(one_line(f"{name}: {outlook}, {failure.attempts} attempts, last error: {error}"))


def _failure_as_json(failure: failures.Failure) -> dict[str, Any]:
    return {
        "tutor_id": failure.tutor_id,
        "name": failure.name,
        "attempts": failure.attempts,
        "last_error": failure.last_error,
        "last_failed_at": _iso(failure.last_failed_at),
        "next_attempt_at": _iso(failure.next_attempt_at),
        "dead_lettered_at": _iso(failure.parked_at),
    }


async def retry(engine: AsyncEngine, tutor_ids: Sequence[str] | None) -> None:
    """Have these failing tutors generated again, at once; None: all that are failing."""
    async with engine.begin() as conn:
        await check_schema(conn)
        if tutor_ids is not None:
            known = {*await load_names(conn, tutor_ids), *[failure.tutor_id for failure in await failures.load(conn)]}
            if unknown := [tutor_id for tutor_id in tutor_ids if tutor_id not in known]:
                raise CommandError("No such tutor: " + ", ".join(map(one_line, unknown)))
        retried = await retry_failing(conn, tutor_ids)
        for concerned in tutor_ids or (None,):
            await record(conn, Entry(Action.TUTORS_RETRIED, user_id=concerned))
    typer.echo(f"Failing tutors that the next free listener will generate: {retried}")


def _outlook(failure: failures.Failure) -> str:
    if failure.parked_at:
        return f"gave up on {failure.parked_at:%Y-%m-%d %H:%M} UTC"
    if failure.next_attempt_at and failure.next_attempt_at > datetime.now(UTC):
        return f"next attempt at {failure.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC"
    return "about to be tried again"


def _seconds_since(instant: datetime) -> int:
    return max(int((datetime.now(UTC) - instant).total_seconds()), 0)


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _iso(instant: datetime | None) -> str | None:
    return instant.astimezone(UTC).isoformat() if instant else None
