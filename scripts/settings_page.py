"""docs/settings.md, written from the settings themselves."""

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from scripts.environment import FOR_THE_COMMAND_LINE, ROOMS, variable

HEAD = """# Settings

Environment variables, read and checked at start; a mistake or a misspelled name ends the command with exit
code 2 and a line each. This page is the output of `tutorwatch settings`.
"""


def settings_page() -> str:
    """All settings of all rooms with defaults and meaning, as Markdown."""
    parts = [HEAD]
    parts += [_table(_summary(room), [_row(name, field) for name, field in _fields(room)]) for room in ROOMS]
    parts.append(_table("For the command line and the tests", [(n, "", d) for n, d in FOR_THE_COMMAND_LINE.items()]))
    return "\n".join(parts).rstrip("\n")


def _fields(room: type[BaseSettings]) -> list[tuple[str, FieldInfo]]:
    return list(room.model_fields.items())


def _summary(room: type[BaseSettings]) -> str:
    return (room.__doc__ or "").split(". ")[0].strip().rstrip(".")


def _row(name: str, field: FieldInfo) -> tuple[str, str, str]:
    return variable(name), _shown(field.default), field.description or ""


def _shown(default: Any) -> str:
    return "" if default is None else f"`{default}`"


def _table(summary: str, rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in rows]
    return "\n".join([f"## {summary}\n", "| variable | default | meaning |", "|---|---|---|", *lines, ""])
