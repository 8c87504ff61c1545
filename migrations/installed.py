"""What the migrations install: functions, triggers, indexes and tables, and which of it a database lacks.

Nothing is listed twice: the revisions are written out as a script, and what it creates, latest version last, is
what a database must hold.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config

from migrations.automation import ROW_EVENTS
from migrations.partitions import find_partitions


class Kind(StrEnum):
    """What an operator calls it."""

    TABLE = "table"
    FUNCTION = "function"
    TRIGGER = "trigger"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a revision creates."""

    kind: Kind
    name: str
    """For a trigger with its table's in front, as SQL has it: `public.sessions.tutorwatch_insert`."""
    statement: str
    expected: tuple[Any, ...] = ()
    """What the catalogs say of it, in the order of the queries below."""
    table: str = ""
    """Of a trigger or an index: what it is on, as SQL has it."""

    @property
    def trigger(self) -> str:
        """A trigger's own name."""
        return self.name.removeprefix(f"{self.table}.")

    @property
    def is_recording(self) -> bool:
        """Whether changes may have gone unrecorded without it."""
        return self.kind is Kind.FUNCTION or (self.kind is Kind.TRIGGER and self.trigger in ROW_EVENTS)

    def on(self, partition: str) -> "Part":
        """The same trigger on a partition of its table."""
        here, there = f" ON {self.table}", f" ON {partition}"
        return replace(
            self,
            name=f"{partition}.{self.trigger}",
            statement=self.statement.replace(here, there),
            expected=(self.expected[0].replace(here, there), *self.expected[1:]),
            table=partition,
        )

    def __str__(self) -> str:
        if self.kind is not Kind.TRIGGER:
            return f"{self.kind} {self.name}"
        return f"trigger {self.trigger} on {self.table.removeprefix('public.')}"


@dataclass(frozen=True, slots=True)
class Damage:
    """A part that isn't as it was installed; `problem` continues its name: `is missing`."""

    part: Part
    problem: str

    def __str__(self) -> str:
        return f"{self.part} {self.problem}"


_MISSING = "is missing"
_STATES = {Kind.INDEX: "is invalid", Kind.TRIGGER: "is switched off"}
"""What is wrong if only the last of the expected values differs."""

_FACTS = {
    "database_is_empty": False,
    "has_joined": False,
    "invalid_indexes": frozenset[str](),
    "automation": True,
    "partitions": (),
}
"""The platform's tables are not ours to look after."""

_CREATED = re.compile(
    r"CREATE TABLE (?:IF NOT EXISTS )?tutorwatch\.(?P<table>\w+)"
    r"|CREATE OR REPLACE FUNCTION tutorwatch\.(?P<function>\w+)\(.*?(?P<header>\) RETURNS .*?)"
    r"AS \$\$(?P<body>.*?)\$\$;"
    r"|CREATE (?:OR REPLACE|CONSTRAINT) TRIGGER (?P<trigger>\w+) [^;]*? ON (?P<schema>\w+)\.(?P<on>\w+)\s[^;]*;"
    r"|CREATE (?P<unique>UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<index>\w+) ON (?P<of>public\.\w+)[^;]*;"
    r"|DROP (?P<dropped_kind>TABLE|FUNCTION|INDEX)(?: CONCURRENTLY)?(?: IF EXISTS)? (?:\w+\.)?(?P<dropped>\w+)"
    r"|DROP TRIGGER (?:IF EXISTS )?(?P<dropped_trigger>\w+) ON public\.(?P<dropped_on>\w+)",
    re.DOTALL,
)


@cache
def parts() -> tuple[Part, ...]:
    """Everything that the revisions create and leave standing, in their order."""
    script = io.StringIO()
    config = Config(output_buffer=script)
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes |= _FACTS
    command.upgrade(config, "base:head", sql=True)
    standing: dict[tuple[Kind, str], Part] = {}
    for found in _CREATED.finditer(script.getvalue()):
        if found["dropped_kind"]:
            standing.pop((Kind(found["dropped_kind"].lower()), found["dropped"]), None)
        elif found["dropped_trigger"]:
            standing.pop((Kind.TRIGGER, f"public.{found['dropped_on']}.{found['dropped_trigger']}"), None)
        else:
            part = _part(found)
            standing[part.kind, part.name] = part
    return tuple(standing.values())


def _part(found: re.Match[str]) -> Part:
    if found["table"]:
        return Part(Kind.TABLE, found["table"], "")
    if found["function"]:
        settings = sorted(
            f"{name}={value.strip(chr(39))}"
            for name, value in re.findall(r"\bSET (\w+) = ('[^']*'|\w+(?:, \w+)*)", found["header"])
        )
        expected = (found["body"], "SECURITY DEFINER" in found["header"], settings)
        return Part(Kind.FUNCTION, found["function"], found[0], expected)
    if found["trigger"]:
        as_told = " ".join(found[0].replace("OR REPLACE ", "").rstrip(";").split())
        table = f"{found['schema']}.{found['on']}"
        drop = f"DROP TRIGGER IF EXISTS {found['trigger']} ON {table};"
        statement = found[0] if "OR REPLACE" in found[0] else f"{drop}\n{found[0]}"  # as constraint triggers need it
        return Part(Kind.TRIGGER, f"{table}.{found['trigger']}", statement, (as_told, True), table)
    return Part(Kind.INDEX, found["index"], found[0], (found["of"], bool(found["unique"]), True), found["of"])


_FOUND = {
    Kind.TABLE: """
        SELECT relname FROM pg_class
        WHERE relnamespace = to_regnamespace('tutorwatch') AND relkind IN ('r', 'p') AND relname = ANY(%(names)s)
    """,
    Kind.FUNCTION: """
        SELECT proname, prosrc, prosecdef, ARRAY(SELECT unnest(proconfig) ORDER BY 1) FROM pg_proc
        WHERE pronamespace = to_regnamespace('tutorwatch') AND proname = ANY(%(names)s)
    """,
    Kind.TRIGGER: """
        SELECT tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid),
               tgenabled IN ('O', 'A') OR tgname = ANY(%(switched)s)
        FROM pg_trigger WHERE tgrelid::regclass || '.' || tgname = ANY(%(names)s)
    """,
    Kind.INDEX: """
        SELECT c.relname, indrelid::regclass::text, indisunique, indisvalid AND indisready
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = indexrelid
        WHERE relnamespace = to_regnamespace('public') AND c.relname = ANY(%(names)s)
    """,
}


def find_damage(connection: psycopg.Connection) -> list[Damage]:
    """What is missing or not as the revisions left it. Reads the catalogs only.

    Not looked at: whether the triggers that record changes are switched on (that is `migrations.automation`'s
    affair), the columns of tables and the expressions of indexes.
    """
    damage = []
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog")  # with it the catalogs name each table's schema
        all_wanted = [*parts(), *_parts_of_partitions(connection)]
        for kind, query in _FOUND.items():
            wanted = [part for part in all_wanted if part.kind is kind]
            values = {"names": [part.name for part in wanted], "switched": list(ROW_EVENTS)}
            actual = {name: tuple(rest) for name, *rest in connection.execute(query.encode(), values)}
            damage += [Damage(part, problem) for part in wanted for problem in _problems(part, actual)]
    return damage


def _parts_of_partitions(connection: psycopg.Connection) -> Iterator[Part]:
    recording = [part for part in parts() if part.kind is Kind.TRIGGER and part.is_recording]
    for partition in find_partitions(connection):
        yield from (part.on(partition.name) for part in recording if part.table == f"public.{partition.of}")


def _problems(part: Part, actual: dict[str, tuple[Any, ...]]) -> Iterator[str]:
    if part.name not in actual:
        yield _MISSING
    elif actual[part.name] != part.expected:
        is_only_its_state = bool(part.expected) and actual[part.name][:-1] == part.expected[:-1]
        yield _STATES[part.kind] if is_only_its_state and part.kind in _STATES else "is not as it was installed"
