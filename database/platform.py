"""The comparison of the platform's schema with what Tutorwatch needs of it (`database.platform_needs`).

Compared is what is read or written: whatever is wider (a longer varchar, text in place of an enum, more labels, more
columns) and whatever nothing needs makes no difference. Reads the catalogs only, which every role may.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform_needs import (
    INSERTED,
    LEFT_EMPTY,
    NEEDED,
    RECORDED_TABLES,
    TYPES,
    UNPARTITIONED,
    Feature,
    Kind,
    Need,
)
from database.sql_files import read_sql


@dataclass(frozen=True, slots=True)
class Difference:
    """Something of the platform's that Tutorwatch can't work with. `message` is a sentence without its full stop."""

    table: str
    column: str | None
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class MissingFeature:
    """Something that the database does without, and why."""

    feature: Feature
    why: tuple[str, ...]
    columns: frozenset[tuple[str, str]] = frozenset()
    """What can't be read for it, by table and column."""

    def __str__(self) -> str:
        return f"no {self.feature}: {', '.join(self.why)}"


@dataclass(frozen=True, slots=True)
class MissingLabel:
    """A rule that is off, because the column's enum lacks its label."""

    table: str
    column: str
    label: str

    def __str__(self) -> str:
        return f"{self.label} is off: the type of {self.table}.{self.column} has no such label"


@dataclass(frozen=True, slots=True)
class RuleNames:
    """Rules by name: types of alerts, categories of insights. The kernel knows none: they are handed in."""

    alerts: frozenset[str] = frozenset()
    insights: frozenset[str] = frozenset()

    def in_table(self, table: str) -> frozenset[str]:
        """Those whose names are labels in the table."""
        return {"alerts": self.alerts, "tutor_insights": self.insights}.get(table, frozenset())


NO_RULES = RuleNames()


@dataclass(frozen=True, slots=True)
class Missing:
    """The features and labels that a database lacks, for queries, which are put together from what there is."""

    features: tuple[MissingFeature, ...] = ()
    labels: tuple[MissingLabel, ...] = ()

    def of(self, feature: Feature) -> MissingFeature | None:
        """Return the feature as missing, with the reason; None if it isn't."""
        return next((each for each in self.features if each.feature is feature), None)

    def lacks(self, table: str, column: str) -> bool:
        """Return whether the column can't be read."""
        return any((table, column) in each.columns for each in self.features)

    @property
    def off(self) -> RuleNames:
        """The rules whose label is missing."""
        return RuleNames(self._off("alerts"), self._off("tutor_insights"))

    def _off(self, table: str) -> frozenset[str]:
        return frozenset(each.label for each in self.labels if each.table == table)


NOTHING_MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison. `differences` keep Tutorwatch from working; the rest is information."""

    differences: tuple[Difference, ...] = ()
    missing_features: tuple[MissingFeature, ...] = ()
    missing_labels: tuple[MissingLabel, ...] = ()
    sessions_elsewhere: tuple[str, ...] = ()
    """Schemas other than public in which the platform's tables seem to be."""

    @property
    def missing(self) -> Missing:
        """The features that pages do without."""
        return Missing(self.missing_features, self.missing_labels)

    @property
    def off(self) -> RuleNames:
        """The rules whose label is missing."""
        return self.missing.off


_NAMES = ", ".join(f"'{name}'" for name in NEEDED)

READ_SCHEMA = read_sql("database.sql", "platform_schema", names=_NAMES)
"""One row, of one JSON value, for `compare`; without parameters, for any kind of connection."""


async def load_comparison(conn: AsyncConnection, rules: RuleNames = NO_RULES) -> Comparison:
    """Return what the database has of what is needed, by these rules, too. One statement."""
    found = await conn.exec_driver_sql(READ_SCHEMA, execution_options={"no_parameters": True})
    return compare(found.scalar_one(), rules)


def read_comparison(connection: psycopg.Connection[Any], rules: RuleNames = NO_RULES) -> Comparison:
    """The same, for what isn't asynchronous."""
    row = connection.execute(READ_SCHEMA.encode()).fetchone()
    return compare(row[0] if row else [], rules)


def compare(tables: Iterable[Mapping[str, Any]], rules: RuleNames = NO_RULES, *, by_rights: bool = False) -> Comparison:
    """Return what is missing, too narrow or in the way in the tables that READ_SCHEMA has found.

    With `by_rights`, a feature is also missing if the role that ran it may not read what that needs: a table that the
    platform has created anew has none of our grants.
    """
    collected = _Collected()
    found = list(tables)
    for name, needs in NEEDED.items():
        table = next((each for each in found if each["schema"] == "public" and each["name"] == name), None)
        if table is None:
            collected.add(name, None, _of_whole_table(needs), _missing_table(name, needs, found))
        elif table["kind"] not in ("r", "p"):
            what = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}[table["kind"]]
            collected.add(name, None, _of_whole_table(needs), f"public.{name} is {what}, not a table")
        else:
            _compare_table(table, needs, rules, collected)
            if by_rights:
                _compare_rights(table, needs, collected)
    return Comparison(
        tuple(collected.differences),
        tuple(
            MissingFeature(feature, tuple(why), _unreadable_of(feature, collected.columns))
            for feature, why in collected.features.items()
        ),
        tuple(collected.labels),
        tuple(sorted({each["schema"] for each in found if _is_platforms_sessions(each)} - {"public"})),
    )


def _unreadable_of(feature: Feature, unfit: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return the columns missed: of a session's page each by itself, of any other feature all of them."""
    theirs = frozenset(
        (table, column) for table, needs in NEEDED.items() for column, need in needs.items() if need.feature is feature
    )
    return theirs.intersection(unfit) if feature is Feature.SESSION_PAGE else theirs


@dataclass(slots=True)
class _Collected:
    differences: list[Difference] = field(default_factory=list)
    features: dict[Feature, list[str]] = field(default_factory=dict)
    columns: set[tuple[str, str]] = field(default_factory=set)
    """Those that aren't as a feature needs them."""
    labels: list[MissingLabel] = field(default_factory=list)

    def add(self, table: str, column: str | None, feature: Feature | None, message: str) -> None:
        """Notes it as what it is: a difference, or the reason why a feature is missing."""
        if feature is None:
            self.differences.append(Difference(table, column, message))
            return
        self.features.setdefault(feature, []).append(message)
        if column is not None:
            self.columns.add((table, column))


def _compare_table(
    table: Mapping[str, Any], needs: Mapping[str, Need], rules: RuleNames, collected: _Collected
) -> None:
    name = table["name"]
    columns = {column["name"]: column for column in table["columns"] or ()}
    for column_name, need in needs.items():
        column = columns.get(column_name)
        if column is None:
            message = f"column {name}.{column_name} is missing ({need.kind})"
            collected.add(name, column_name, need.feature, message)
            continue
        for message in _too_narrow(column, need):
            collected.add(name, column_name, need.feature, f"column {name}.{column_name} {message}")
        if column["is_enum"] and need.names_rules:
            lacking = sorted(rules.in_table(name).difference(column["labels"] or ()))
            collected.labels += [MissingLabel(name, column_name, label) for label in lacking]
    for column_name, message in _unfilled(name, columns.values()):
        collected.add(name, column_name, _of_whole_table(needs), f"column {name}.{column_name} {message}")
    if name in UNPARTITIONED and table["kind"] == "p":
        collected.add(name, None, None, f"table public.{name} is partitioned, which only sessions and metrics may be")
    if name in RECORDED_TABLES and table["children"]:
        children = ", ".join(table["children"])
        collected.add(
            name, None, None, f"tables inherit from public.{name} ({children}): only partitions of it are recorded"
        )


def _compare_rights(table: Mapping[str, Any], needs: Mapping[str, Need], collected: _Collected) -> None:
    name = table["name"]
    locked = {column["name"] for column in table["columns"] or () if not column["is_readable"]}
    if (feature := _of_whole_table(needs)) and locked.issuperset(needs):
        collected.add(name, None, feature, f"table public.{name} may not be read: run `tutorwatch rights`")
        return
    for column_name, need in needs.items():
        if need.feature and column_name in locked:
            message = f"column {name}.{column_name} may not be read: run `tutorwatch rights`"
            collected.add(name, column_name, need.feature, message)


def _too_narrow(column: Mapping[str, Any], need: Need) -> Iterator[str]:
    shown = column["shown"].removeprefix("public.")  # told where public isn't in the search path
    is_enum = column["is_enum"] and need.kind is Kind.LABEL
    if not is_enum and column["type"] not in TYPES[need.kind]:
        yield f"is {shown}, not {need.kind}"
    elif column["characters"] is not None and column["characters"] < need.characters:
        yield f"is {shown}, too short for {need.characters} characters"
    elif is_enum and (lacking := need.labels.difference(column["labels"] or ())):
        yield f"is {shown}, which lacks the label{'s' * (len(lacking) > 1)} {', '.join(sorted(lacking))}"


def _unfilled(table: str, columns: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Columns that make our INSERTs fail, and why."""
    if table not in INSERTED:
        return
    for column in columns:
        name = column["name"]
        if (table, name) in LEFT_EMPTY:
            if column["not_null"]:
                yield name, "is NOT NULL, and Tutorwatch has no value for it: drop NOT NULL"
        elif column["needs_value"] and name not in INSERTED[table]:
            yield name, "is NOT NULL without a default, and Tutorwatch has no value for it: give it a default"


def _missing_table(name: str, needs: Mapping[str, Need], found: Iterable[Mapping[str, Any]]) -> str:
    schemas = sorted(each["schema"] for each in found if each["name"] == name and _has_half(each, needs))
    where = f"; found in schema {', '.join(schemas)}" if schemas else ""
    return f"table public.{name} is missing{where}"


def _has_half(table: Mapping[str, Any], needs: Mapping[str, Need]) -> bool:
    """Return whether it looks like the platform's: other programs, too, have tables of users and sessions."""
    names = {column["name"] for column in table["columns"] or ()}
    return 2 * len(names & needs.keys()) >= len(needs)


def _is_platforms_sessions(table: Mapping[str, Any]) -> bool:
    return bool(table["name"] == "sessions") and _has_half(table, NEEDED["sessions"])


def _of_whole_table(needs: Mapping[str, Need]) -> Feature | None:
    """The feature that a table is for; None if more than that needs it."""
    features = {need.feature for need in needs.values()}
    return features.pop() if len(features) == 1 else None


HOW_ROWS_ARE_SEEN = "ALTER ROLE {role} BYPASSRLS, or disable row-level security there"


@dataclass(frozen=True, slots=True)
class HiddenRows:
    """Tables whose rows row-level security hides from a role. No policy helps: it can't be known that it hides none."""

    role: str
    tables: tuple[str, ...]

    def __str__(self) -> str:
        tables = ", ".join(f"public.{table}" for table in self.tables)
        cure = HOW_ROWS_ARE_SEEN.format(role=self.role)
        return f"row-level security hides rows of {tables} from {self.role}: {cure}"


def _hidden_rows_query(role: str | None = None) -> str:
    """Return the statement that finds what is hidden from a role; None: from our own and the services'."""
    return read_sql("database.sql", "hidden_rows", names=_NAMES, role=f"{sql.Literal(role).as_string(None)}::text")


async def find_hidden_rows(
    conn: AsyncConnection, role: str | None = None, *, tables: Collection[str] = tuple(NEEDED)
) -> tuple[HiddenRows, ...]:
    """Return what row-level security hides from the role, or from each of our own and the services'. One statement."""
    rows = await conn.exec_driver_sql(_hidden_rows_query(role), execution_options={"no_parameters": True})
    return _hidden_rows((tuple(row) for row in rows), tables)


def read_hidden_rows(
    connection: psycopg.Connection[Any], role: str | None = None, *, tables: Collection[str] = tuple(NEEDED)
) -> tuple[HiddenRows, ...]:
    """The same, for what isn't asynchronous."""
    return _hidden_rows(connection.execute(_hidden_rows_query(role).encode()), tables)


def _hidden_rows(rows: Iterable[tuple[Any, ...]], tables: Collection[str]) -> tuple[HiddenRows, ...]:
    found = (HiddenRows(role, tuple(name for name in names if name in tables)) for role, names in rows)
    return tuple(each for each in found if each.tables)
