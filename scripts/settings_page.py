"""docs/settings.md, written from the settings themselves."""

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from scripts.environment import FILE_SUFFIX, FOR_THE_COMMAND_LINE, RENAMED, SETTINGS, is_secret, variable

HEAD = """# Settings

Environment variables, read and checked at start. Mistakes and misspelled names are reported, a line each, and end the
command with exit code 2. This page is the output of `tutorwatch settings`.

A setting that may hold a password or token can be read from a file instead, named by the variable with `_FILE` at its
end: `TUTORWATCH_DATABASE_URL_FILE=/run/secrets/tutorwatch`. A line break at the file's end is ignored. libpq's files
work as well: `PGPASSFILE` (or `~/.pgpass`) for the password alone, `PGSERVICEFILE` and `service=NAME` as the URL.
"""


def settings_page() -> str:
    """All settings of all packages with defaults and meaning, as Markdown."""
    parts = [HEAD]
    parts += [
        _table(_summary(package), [_row(name, field) for name, field in package.model_fields.items()])
        for package in SETTINGS
    ]
    parts.append(_renamed())
    parts.append(_table("For the command line and the tests", [(n, "", d) for n, d in FOR_THE_COMMAND_LINE.items()]))
    return "\n".join(parts).rstrip("\n")


def _renamed() -> str:
    rows = [f"| `{old}` | `{new}` |" for old, new in RENAMED.items()]
    head = ["## Deprecated names, which still work\n", "| variable | new name |", "|---|---|"]
    return "\n".join([*head, *rows, ""])


def _summary(package: type[BaseSettings]) -> str:
    return (package.__doc__ or "").split(". ")[0].strip().rstrip(".")


def _row(name: str, field: FieldInfo) -> tuple[str, str, str]:
    also = f"; in a file: `{variable(name)}{FILE_SUFFIX}`" if is_secret(field) else ""
    return variable(name), _shown(field.default), f"{field.description or ''}{also}"


def _shown(default: Any) -> str:
    return "" if default is None else f"`{default}`"


def _table(summary: str, rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in rows]
    return "\n".join([f"## {summary}\n", "| variable | default | meaning |", "|---|---|---|", *lines, ""])
