"""`tutorwatch canary`: tests that a change is recorded and answered right now."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import typer
from sqlalchemy import Double, Row, cast, extract, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.canary import Outcome, Part
from database.liveness import IS_FRESH
from database.one_line import one_line
from database.schema_version import check_schema
from database.tables import canary_markers, listeners
from listener.canary import Tried, send_marker, store, try_recording, withdraw_marker
from scripts.doctor.findings import Finding, ok, problem

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

_LISTENERS = select(func.count()).select_from(listeners).where(text(IS_FRESH))
_ANSWER = select(
    cast(extract("epoch", canary_markers.c.answered_at - canary_markers.c.sent_at), Double).label("seconds"),
    canary_markers.c.answered_by,
    canary_markers.c.was_woken,
).where(canary_markers.c.answered_at.is_not(None))


async def print_canary(engine: AsyncEngine, parts: Sequence[Part], *, timeout_seconds: float, as_json: bool) -> bool:
    """Tests these parts, and prints a line for each as soon as it is known; returns whether nothing has failed."""
    async with engine.begin() as conn:
        await check_schema(conn)
    results = []
    for part in parts:
        finding, seconds = (
            await _recording(engine) if part is Part.RECORDING else await _waking(engine, timeout_seconds)
        )
        results.append(finding.as_json() | {"seconds": seconds})
        if not as_json:
            typer.echo(one_line(str(finding)))
    is_well = all(result["is_ok"] for result in results)
    if as_json:
        typer.echo(json.dumps({"is_ok": is_well, "parts": results}, indent=2))
    return is_well


async def _recording(engine: AsyncEngine) -> tuple[Finding, float | None]:
    tried = await try_recording(engine)
    async with engine.begin() as conn:
        await store(conn, tried)
    return _finding(tried), tried.seconds if tried.outcome is Outcome.RECORDED else None


def _finding(tried: Tried) -> Finding:
    name = Part.RECORDING.value
    if tried.outcome is Outcome.UNRECORDED:
        return problem(name, f"not recorded: {tried.problem}; run `tutorwatch doctor`")
    messages = {
        Outcome.RECORDED: f"a session and its metrics, taken back: {_duration(tried.seconds)}",
        Outcome.UNTRIED: f"can't be tried: {tried.problem}",
        Outcome.OFF: "not tried: automation is off, so that nothing is recorded, on purpose",
    }
    return ok(name, messages[tried.outcome])


async def _waking(engine: AsyncEngine, timeout_seconds: float) -> tuple[Finding, float | None]:
    name = Part.WAKING.value
    async with engine.begin() as conn:
        if not (await conn.execute(_LISTENERS)).scalar_one():
            return problem(name, "no listener is alive: start `tutorwatch listen`"), None
        marker = await send_marker(conn)
    answer = await _wait_for_answer(engine, marker, timeout_seconds)
    if answer is None:
        async with engine.begin() as conn:
            await withdraw_marker(conn, marker)
        return problem(name, f"no answer within {timeout_seconds:g} s: look into a listener's log"), None
    how = "woken by NOTIFY" if answer.was_woken else "found by a poll: no notification arrived"
    return ok(name, f"answered by {answer.answered_by} after {_duration(answer.seconds)}, {how}"), answer.seconds


async def _wait_for_answer(engine: AsyncEngine, marker: UUID, timeout_seconds: float) -> Row[Any, Any, Any] | None:
    give_up_at, pause = time.monotonic() + timeout_seconds, FIRST_PAUSE_SECONDS
    while True:
        async with engine.begin() as conn:
            answer = (await conn.execute(_ANSWER.where(canary_markers.c.id == marker))).one_or_none()
        if answer or time.monotonic() >= give_up_at:
            return answer
        await asyncio.sleep(max(min(pause, give_up_at - time.monotonic()), 0.0))
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
