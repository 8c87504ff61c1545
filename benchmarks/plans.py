"""How PostgreSQL carries out the statements of a page: which tables it reads from end to end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True)
class Statement:
    """A statement as it was sent, in the driver's spelling, with its parameters."""

    text: str
    parameters: Any


async def read_whole(engine: AsyncEngine, statements: Sequence[Statement]) -> frozenset[str]:
    """The tables that the plans of these statements read from end to end ("Seq Scan"). Planned, not carried out."""
    found: set[str] = set()
    async with engine.connect() as conn:
        connection: psycopg.AsyncConnection[Any] | None = (await conn.get_raw_connection()).driver_connection
        assert connection  # noqa: S101 - it is open: for the type checker
        for statement in statements:
            explain = b"EXPLAIN (FORMAT JSON) " + statement.text.encode()
            ((plans,),) = await (await connection.execute(explain, statement.parameters)).fetchall()
            found |= {node["Relation Name"] for node in _nodes(plans) if node["Node Type"] == "Seq Scan"}
    return frozenset(found)


def _nodes(plans: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for plan in plans:
        node = plan.get("Plan", plan)
        yield node
        yield from _nodes(node.get("Plans", ()))
