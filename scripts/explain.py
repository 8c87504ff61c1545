"""`tutorwatch explain`: every rule's present verdict on a tutor."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.one_line import one_line
from database.schema_version import check_schema
from listener.watch import explain as explain_platform
from rules.explanation import Explained, explain_tutor
from rules.thresholds import Thresholds
from rules.tutors import load_names
from scripts.errors import CommandError

NO_VALUE = "\N{EN DASH}"


async def print_explanation(engine: AsyncEngine, tutor_id: str, thresholds: Thresholds, *, as_json: bool) -> None:
    """Prints each rule's value, threshold, its origin, the verdict and the sessions behind it.

    Raises CommandError if there is no such tutor, or if tutors can't be evaluated.
    """
    now = datetime.now(UTC)
    async with engine.connect() as conn:
        await check_schema(conn)
        reason, comparison = await explain_platform(conn)
        if reason:
            raise CommandError(f"Nothing can be evaluated: {reason}")
        names = await load_names(conn, [tutor_id])
        if tutor_id not in names:
            raise CommandError(f"No such tutor: {one_line(tutor_id)}")
        found = await explain_tutor(conn, tutor_id, now, thresholds, comparison.off, with_sessions=True)
    if as_json:
        typer.echo(
            json.dumps({"tutor_id": tutor_id, "at": now.isoformat(), "rules": [_as_json(each) for each in found]})
        )
        return
    console = Console(width=None if Console().is_terminal else 200, highlight=False)
    console.print(Text(f"{one_line(names[tutor_id])} ({one_line(tutor_id)}), {now:%Y-%m-%d %H:%M} UTC"))
    console.print(_table("Alerts", (each for each in found if each.is_alert)))
    console.print(_table("Insights", (each for each in found if not each.is_alert)))


def _table(title: str, explained: Iterable[Explained]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading, justify in (("Rule", "left"), ("Value", "right"), ("Threshold", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("From")
    table.add_column("Verdict")
    table.add_column("Sessions", justify="right")
    for each in explained:
        verdict, value = each.verdict, each.value or NO_VALUE
        row = (each.rule.name, value, each.threshold, str(each.origin), each.reason, str(verdict.sessions))
        table.add_row(*row, style="bold" if each.holds else None)
    return table


def _as_json(explained: Explained) -> dict[str, Any]:
    verdict = explained.verdict
    return {
        "rule": explained.rule.name,
        "kind": "alert" if explained.is_alert else "insight",
        "value": None if verdict.value is None else str(verdict.value),
        "threshold": str(verdict.threshold),
        "origin": explained.origin,
        "verdict": "off" if explained.is_off else verdict.decision.name.lower(),
        "measured": verdict.measured,
        "sessions": verdict.sessions,
        "session_ids": [str(session_id) for session_id in explained.sessions],
    }
