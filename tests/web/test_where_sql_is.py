"""SQL stands in `web/queries/`, where it reads, and in `web/auth/store/`, where it writes: nowhere else in `web`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
HOMES = (WEB / "queries", WEB / "auth" / "store")
TYPES_ONLY = ("sqlalchemy.exc", "sqlalchemy.ext.asyncio")
"""What errors and connections are called, which others may hand on."""
STATEMENT = re.compile(r"\b(SELECT\b|INSERT INTO|UPDATE \w+(\.\w+)? SET|DELETE FROM|SET LOCAL)")
WRITES = re.compile(r"\b(INSERT INTO|UPDATE \w+(\.\w+)? SET|DELETE FROM)\b")

MODULES = [path for path in sorted(WEB.rglob("*.py")) if not any(home in path.parents for home in HOMES)]
TABLES = ("database.tables", "database.access_tables")
READERS = sorted(HOMES[0].glob("*.py"))


def signs_of_sql(tree: ast.AST) -> Iterator[str]:
    """Whatever only a module with SQL has: parts of statements, tables, or calls that send one."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                if module in TABLES or (module.startswith("sqlalchemy") and module not in TYPES_ONLY):
                    yield f"line {node.lineno}: from {module}"
            case ast.Import(names=names):
                yield from (f"line {node.lineno}: import {each.name}" for each in names if each.name == "sqlalchemy")
            case ast.Attribute(attr="execute" | "exec_driver_sql" | "scalar" | "scalars" | "stream"):
                yield f"line {node.lineno}: .{node.attr}"
            case ast.Constant(value=str(text)) if STATEMENT.search(text):
                yield f"line {node.lineno}: {text.strip()[:40]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(WEB).as_posix())
def test_module_holds_no_sql(path: Path) -> None:
    assert list(signs_of_sql(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", READERS, ids=lambda path: path.stem)
def test_queries_only_read(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
    }
    assert not imported & {"insert", "update", "delete"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and WRITES.search(str(node.value))]


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import select",
        "from database.tables import alerts",
        "async def read(conn): return await conn.execute(question)",
        'QUESTION = f"SELECT {column}"',
    ],
)
def test_sql_is_recognised(source: str) -> None:
    assert list(signs_of_sql(ast.parse(source)))
