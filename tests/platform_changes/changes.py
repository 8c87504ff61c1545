"""What a platform's migrations may do to what Tutorwatch reads: a change for each column, enum or table, and way."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from database.platform_needs import NEEDED
from migrations.sql import read_sql

_DEPLOYED = read_sql("platform_tables")

ENUMS = dict(re.findall(r"CREATE TYPE public\.(\w+) AS ENUM\s*\(([^;]*)\);", _DEPLOYED))
"""The labels of each enum, as SQL has them."""

_TABLES = re.findall(r"CREATE TABLE public\.(\w+) \((.*?)^\);", _DEPLOYED, flags=re.DOTALL | re.MULTILINE)
COLUMNS = {
    table: dict(re.findall(r"^ +(\w+) (?:public\.)?(\w+(?:\[\])?)", columns, flags=re.MULTILINE))
    for table, columns in _TABLES
}
"""The type of each column of each table, without its length."""

READ = {table: list(columns) for table, columns in NEEDED.items()}
"""What rules, pages and triggers read: the columns of each table."""

_DEFAULTS = {("sessions", "status"): "'scheduled'", ("students", "status"): "'active'"}
"""Of the columns that are an enum."""


@dataclass(frozen=True, slots=True)
class Change:
    """Statements that a platform runs, in one transaction."""

    subject: str
    """The table, column or enum."""
    way: str
    table: str
    """One that is concerned."""
    statements: tuple[str, ...]
    kind: str
    """Of a column: its type without its length; else what the subject is."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.way}"


def all_changes() -> list[Change]:
    """Every one of them."""
    return [*_of_columns(), *_of_enums(), *_of_tables()]


def samples() -> list[Change]:
    """Of each kind and way one, of the sessions where there is one."""
    found: dict[tuple[str, str], Change] = {}
    for change in sorted(all_changes(), key=lambda change: change.table != "sessions"):
        found.setdefault((change.kind, change.way), change)
    return list(found.values())


def type_changes() -> list[Change]:
    """Those that change a column's type, or create an enum anew."""
    changes = [*_of_columns(), *_of_enums()]
    return [change for change in changes if change.way.startswith(("becomes ", "re-created "))]


_OTHER_TYPES = {
    "varchar": ("text", ""),
    "text": ("varchar(5000)", ""),
    "numeric": ("numeric(12,4)", ""),
    "integer": ("bigint", ""),
    "boolean": ("text", ""),
    "uuid": ("text", ""),
    "uuid[]": ("text[]", ""),
    "date": ("timestamp", ""),
    "timestamp": ("timestamptz", " USING {column} AT TIME ZONE 'UTC'"),
}
"""What a column of that type may become, and how its values are converted."""


def _of_columns() -> Iterator[Change]:
    for table, columns in READ.items():
        for column in columns:
            declared = COLUMNS[table][column]
            is_enum = declared in ENUMS
            kind = "enum" if is_enum else declared
            alter = f"ALTER TABLE public.{table} "
            other, using = ("text", "") if is_enum else _OTHER_TYPES[kind]
            becomes = f"{alter}ALTER COLUMN {column} TYPE {other}{using.format(column=column)}"
            change_type = (f"{alter}ALTER COLUMN {column} DROP DEFAULT", becomes) if is_enum else (becomes,)
            for way, statements in (
                (f"becomes {other}", change_type),
                ("renamed", (f"{alter}RENAME COLUMN {column} TO {column}_of_old",)),
                ("dropped", (f"{alter}DROP COLUMN {column}",)),
                ("dropped with what depends on it", (f"{alter}DROP COLUMN {column} CASCADE",)),
                ("set NOT NULL", (f"{alter}ALTER COLUMN {column} SET NOT NULL",)),
                ("may be NULL", (f"{alter}ALTER COLUMN {column} DROP NOT NULL",)),
            ):
                yield Change(f"{table}.{column}", way, table, statements, kind)


def _of_enums() -> Iterator[Change]:
    for enum, labels in ENUMS.items():
        users = [(table, column) for table, names in COLUMNS.items() for column, t in names.items() if t == enum]
        if not users or not any(column in READ.get(table, ()) for table, column in users):
            continue
        table = users[0][0]
        first_label = labels.split(",")[0].strip()
        for way, statements in (
            ("re-created as drizzle does it", _by_way_of_text(enum, labels, users)),
            ("re-created as Prisma does it", _by_a_new_type(enum, labels, users)),
            ("renamed", (f"ALTER TYPE public.{enum} RENAME TO {enum}_of_old",)),
            ("label renamed", (f"ALTER TYPE public.{enum} RENAME VALUE {first_label} TO 'something_else'",)),
            ("label added", (f"ALTER TYPE public.{enum} ADD VALUE 'one_more'",)),
            ("dropped", (f"DROP TYPE public.{enum}",)),
            ("dropped with what depends on it", (f"DROP TYPE public.{enum} CASCADE",)),
            ("moved to another schema", ("CREATE SCHEMA app", f"ALTER TYPE public.{enum} SET SCHEMA app")),
        ):
            yield Change(enum, way, table, statements, "an enum")


def _by_way_of_text(enum: str, labels: str, users: list[tuple[str, str]]) -> tuple[str, ...]:
    columns = [(f"ALTER TABLE public.{table} ALTER COLUMN {column}", column) for table, column in users]
    return (
        *(f"{alter} DROP DEFAULT" for alter, _ in columns),
        *(f"{alter} SET DATA TYPE text" for alter, _ in columns),
        f"DROP TYPE public.{enum}",
        f"CREATE TYPE public.{enum} AS ENUM ({labels})",
        *(f"{alter} SET DATA TYPE public.{enum} USING {column}::public.{enum}" for alter, column in columns),
        *_defaults_again(users),
    )


def _by_a_new_type(enum: str, labels: str, users: list[tuple[str, str]]) -> tuple[str, ...]:
    columns = [(f"ALTER TABLE public.{table} ALTER COLUMN {column}", column) for table, column in users]
    return (
        f"CREATE TYPE public.{enum}_new AS ENUM ({labels})",
        *(f"{alter} DROP DEFAULT" for alter, _ in columns),
        *(f"{alter} TYPE public.{enum}_new USING ({column}::text::public.{enum}_new)" for alter, column in columns),
        f"ALTER TYPE public.{enum} RENAME TO {enum}_old",
        f"ALTER TYPE public.{enum}_new RENAME TO {enum}",
        f"DROP TYPE public.{enum}_old",
        *_defaults_again(users),
    )


def _defaults_again(users: list[tuple[str, str]]) -> Iterator[str]:
    for table, column in users:
        if default := _DEFAULTS.get((table, column)):
            yield f"ALTER TABLE public.{table} ALTER COLUMN {column} SET DEFAULT {default}"


def _of_tables() -> Iterator[Change]:
    for table in READ:
        copied = (f"CREATE TABLE public.{table}_new (LIKE public.{table} INCLUDING ALL)",)
        renamed = f"ALTER TABLE public.{table}_new RENAME TO {table}"
        for way, statements in (
            ("dropped", (f"DROP TABLE public.{table}",)),
            ("dropped with what depends on it", (f"DROP TABLE public.{table} CASCADE",)),
            ("dropped and created", (*copied, f"DROP TABLE public.{table} CASCADE", renamed)),
            (
                "swapped with a copy",
                (
                    *copied,
                    f"INSERT INTO public.{table}_new SELECT * FROM public.{table}",
                    f"ALTER TABLE public.{table} RENAME TO {table}_old",
                    renamed,
                ),
            ),
            ("renamed", (f"ALTER TABLE public.{table} RENAME TO {table}_of_old",)),
            ("moved to another schema", ("CREATE SCHEMA app", f"ALTER TABLE public.{table} SET SCHEMA app")),
            ("gets row-level security", (f"ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY",)),
            ("becomes unlogged", (f"ALTER TABLE public.{table} SET UNLOGGED",)),
            ("its key dropped", (f"ALTER TABLE public.{table} DROP CONSTRAINT {table}_pkey",)),
            ("its triggers disabled", (f"ALTER TABLE public.{table} DISABLE TRIGGER ALL",)),
        ):
            yield Change(table, way, table, statements, "a table")
