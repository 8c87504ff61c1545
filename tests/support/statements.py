"""The statements that an engine sends, and their plans."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Statement = tuple[str, Any]


@contextmanager
def watched(engine: AsyncEngine) -> Iterator[list[Statement]]:
    """The statements sent through the engine meanwhile, with their parameters."""
    statements: list[Statement] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _executemany: bool) -> None:
        statements.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


def nodes(plan: Any, kind: str) -> Iterator[dict[str, Any]]:
    """All of that kind in a plan."""
    if isinstance(plan, dict):
        if plan.get("Node Type") == kind:
            yield plan
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from nodes(part, kind)


async def explained(conn: AsyncConnection, statement: Statement, options: str = "") -> Any:
    """The plan of the statement with its parameters."""
    sql, parameters = statement
    plan = (await conn.exec_driver_sql(f"EXPLAIN ({options} FORMAT JSON) {sql}", parameters)).scalar_one()
    return plan if isinstance(plan, list) else json.loads(plan)
