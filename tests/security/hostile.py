"""What a stranger may put into schema `public` to be called in the place of PostgreSQL's own, and whether it was."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import alembic
import psycopg
import sqlalchemy
from psycopg.rows import class_row

PATH_FOR_PLANTING = "-c search_path=pg_catalog -c check_function_bodies=off"
ROOT = Path(__file__).parents[2]

ELEMENTS = (
    "text", "varchar", "name", "int4", "int8", "numeric", "float8", "bool", "uuid", "timestamp", "timestamptz", "date",
    "interval", "oid", "regclass", "jsonb", "bytea",
)  # fmt: skip
"""The types of the columns and parameters that statements of ours have, enums aside."""
MOST_ARGUMENTS_VARIED = 3
MOST_VARIADIC = 4

_OF_THE_STRANGER = """
    CREATE TABLE public.calls_of_hostile (what text, of_role text);
    GRANT INSERT ON public.calls_of_hostile TO PUBLIC;
    CREATE SEQUENCE public.number_of_hostile_calls;
    GRANT USAGE ON SEQUENCE public.number_of_hostile_calls TO PUBLIC;
    -- The server counts the calls, whatever becomes of the transaction (track_functions); the table says of what. An
    -- error ends a statement that would call for ever: the operators of two large tables' join.
    CREATE FUNCTION public.hostile_was_called(what text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
    DECLARE
        number bigint;
    BEGIN
        BEGIN
            INSERT INTO public.calls_of_hostile VALUES (what, current_user);
            number := nextval('public.number_of_hostile_calls');
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
        IF number > 2000 THEN
            RAISE EXCEPTION 'something hostile is called again and again, such as %', what;
        END IF;
        RETURN true;
    END $$;
    CREATE PROCEDURE public.plant_hostile(statements text[]) LANGUAGE plpgsql AS $$
    DECLARE
        statement text;
    BEGIN
        FOREACH statement IN ARRAY statements LOOP
            BEGIN
                EXECUTE statement;
            EXCEPTION WHEN OTHERS THEN
                NULL;  -- what PostgreSQL doesn't allow, nobody can do
            END;
        END LOOP;
    END $$
"""

_FUNCTIONS = """
    SELECT p.proname AS name, p.prokind = 'a' AS is_aggregate, p.proretset AS returns_set,
           p.provariadic <> 0 AS is_variadic,
           ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, n) ORDER BY n)
               AS arguments,
           format_type(p.prorettype, NULL) AS returned,
           (SELECT string_agg(format('%I %s', coalesce(nullif(p.proargnames[n], ''), 'column' || n),
                                     format_type(t, NULL)), ', ' ORDER BY n)
            FROM unnest(p.proallargtypes) WITH ORDINALITY AS a (t, n) WHERE p.proargmodes[n] IN ('o', 't')) AS columns
    FROM pg_proc AS p LEFT JOIN pg_aggregate AS g ON g.aggfnoid = p.oid
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a') AND coalesce(g.aggkind, 'n') = 'n'
      AND NOT EXISTS (
          SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype) AS a (t) JOIN pg_type ON pg_type.oid = a.t
          WHERE typtype = 'p' AND typname !~ '^any' AND typname NOT IN ('void', 'record'))
"""
_OPERATORS = """
    SELECT oprname AS name, format_type(oprresult, NULL) AS returned,
           array_remove(ARRAY[format_type(nullif(oprleft, 0), NULL), format_type(oprright, NULL)], NULL) AS arguments
    FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace
"""
_IMPLICIT = """
    SELECT format_type(casttarget, NULL), array_agg(format_type(castsource, NULL)) FROM pg_cast
    WHERE castcontext = 'i' AND castsource = ANY(%s::regtype[]) GROUP BY casttarget
"""
_RELATIONS = "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')"
_OURS = """
    SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('tutorwatch') AND relkind IN ('r', 'S', 'v')
"""
_TYPES = "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typelem = 0"
_ENUMS = "SELECT oid::regtype::text FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'"


@cache
def words_of_ours() -> frozenset[str]:
    """Every word in our own code and SQL, and in that of the libraries that send statements for us."""
    folders = [ROOT / name for name in ("database", "rules", "listener", "web", "scripts", "migrations")]
    folders += [Path(sqlalchemy.__file__).parent / "dialects" / "postgresql", Path(psycopg.__file__).parent]
    folders += [Path(alembic.__file__).parent]
    files = [file for folder in folders for kind in ("*.py", "*.sql") for file in folder.rglob(kind)]
    return frozenset(word for file in files for word in re.findall(r"[a-z_][a-z0-9_]*", file.read_text()))


@dataclass(frozen=True)
class _Function:
    """One of PostgreSQL's, with the types as SQL names them; `columns` of one that returns a table."""

    name: str
    is_aggregate: bool
    returns_set: bool
    is_variadic: bool
    arguments: list[str]
    returned: str
    columns: str | None


@dataclass(frozen=True)
class _Operator:
    name: str
    arguments: list[str]
    returned: str


@dataclass(frozen=True)
class _Signature:
    arguments: tuple[str, ...]
    returned: str


class _Planting:
    """Writes the statements, for the types that a database has."""

    def __init__(self, stranger: psycopg.Connection[Any]) -> None:
        self._stranger = stranger
        self._elements = (*ELEMENTS, *self._names(_ENUMS))
        self._implicit: dict[str, list[str]] = dict(stranger.execute(_IMPLICIT, [list(ELEMENTS)]).fetchall())

    def _names(self, query: str) -> list[str]:
        return [name for (name,) in self._stranger.execute(query.encode())]

    def statements(self) -> Iterator[str]:
        """All of them; some are of what PostgreSQL doesn't allow."""
        for function in self._stranger.cursor(row_factory=class_row(_Function)).execute(_FUNCTIONS).fetchall():
            is_ours = function.name in words_of_ours()
            for signature in self._signatures(tuple(function.arguments), function.returned, varied=is_ours):
                yield from _aggregate(function, signature) if function.is_aggregate else _function(function, signature)
        for operator in self._stranger.cursor(row_factory=class_row(_Operator)).execute(_OPERATORS).fetchall():
            for signature in self._signatures(tuple(operator.arguments), operator.returned, varied=True):
                yield from _operator(operator, signature)
        for name in self._names(_RELATIONS):
            yield from _view(name, f"SELECT its.* FROM pg_catalog.{name} AS its WHERE")
        for name in self._names(_OURS):
            yield from _view(name, "SELECT 1 AS id WHERE")
        for name in self._names(_TYPES):
            yield f"""CREATE DOMAIN public."{name}" AS pg_catalog."{name}"
                CHECK (public.hostile_was_called('type {name}'))"""

    def _signatures(self, given: tuple[str, ...], returned: str, *, varied: bool) -> Iterator[_Signature]:
        """The very same arguments, and those that fit a call better than these."""
        seen = {given}
        if not {'"any"'} & set(given):
            yield _Signature(given, returned)
        if not varied:
            return
        is_polymorphic = any(each.lstrip('"').startswith("any") for each in given)
        for element in self._elements if is_polymorphic else ("text",):
            concrete = tuple(_concrete(each, element) for each in given)
            results = _concrete(returned, element)
            for arguments in self._better(concrete) if not is_polymorphic else _lengths(given, concrete):
                if arguments not in seen:
                    seen.add(arguments)
                    yield _Signature(arguments, results)

    def _better(self, given: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        choices = [(each, *self._implicit.get(each, ())) for each in given]
        if len(given) <= MOST_ARGUMENTS_VARIED:
            yield from product(*choices)
        else:
            for place, alternatives in enumerate(choices):
                yield from ((*given[:place], each, *given[place + 1 :]) for each in alternatives)


def _concrete(kind: str, element: str) -> str:
    name = kind.strip('"')
    if name in ("anyarray", "anycompatiblearray"):
        return f"{element}[]"
    return element if name.startswith("any") and "range" not in name else kind


def _lengths(given: tuple[str, ...], concrete: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Of VARIADIC "any", as many arguments as statements have; keys of json_build_object and alike are text."""
    yield concrete
    if given[-1:] != ('"any"',):
        return
    for number in range(2, MOST_VARIADIC + 1):
        yield (*concrete[:-1], *[concrete[-1]] * number)
        yield (*concrete[:-1], *[("text", concrete[-1])[place % 2] for place in range(number)])


def _called(what: str) -> str:
    return f"PERFORM public.hostile_was_called('{what}');"


def _body(what: str, act: str) -> str:
    return f"LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN {_called(what)} {act} END $$"


def _function(function: _Function, signature: _Signature) -> Iterator[str]:
    name, listed = f'"{function.name}"', ", ".join(signature.arguments)
    declared, passed = list(signature.arguments), [f"${n}" for n in range(1, len(signature.arguments) + 1)]
    if function.is_variadic and signature.arguments == tuple(function.arguments):
        declared[-1], passed[-1] = f"VARIADIC {declared[-1]}", f"VARIADIC {passed[-1]}"
    elif not any(each.strip('"').startswith("any") for each in function.arguments):
        passed = [f"{value}::{kind}" for value, kind in zip(passed, function.arguments, strict=True)]
    call = f"pg_catalog.{name}({', '.join(passed)})"
    if function.columns:
        returned, act = f"TABLE ({function.columns})", f"RETURN QUERY SELECT * FROM {call};"
    elif function.returns_set:
        returned, act = f"SETOF {signature.returned}", f"RETURN QUERY SELECT * FROM {call};"
    elif signature.returned == "void":
        returned, act = "void", f"PERFORM {call};"
    else:
        returned, act = signature.returned, f"RETURN {call};"
    yield (
        f"CREATE FUNCTION public.{name} ({', '.join(declared)}) RETURNS {returned}"
        f" {_body(f'{function.name}({listed})', act)}"
    )


def _aggregate(function: _Function, signature: _Signature) -> Iterator[str]:
    """One that gathers what it gets and asks PostgreSQL's own in the end; with several arguments it answers null."""
    listed = ", ".join(signature.arguments)
    step, end = f'public."hostile_step_of_{function.name}"', f'public."hostile_end_of_{function.name}"'
    what = f"aggregate {function.name}({listed})"
    state, add, first = signature.returned, "RETURN NULL;", ""
    if not signature.arguments:
        add, first = "RETURN $1 + 1;", ", INITCOND = '0'"
    elif len(signature.arguments) == 1 and not listed.endswith("[]"):
        state, add, first = f"{listed}[]", "RETURN array_append($1, $2);", f", INITCOND = '{{}}', FINALFUNC = {end}"
        answer = f'RETURN (SELECT pg_catalog."{function.name}"(each) FROM unnest($1) AS each);'
        yield f"CREATE FUNCTION {end} ({state}) RETURNS {signature.returned} {_body(what, answer)}"
    yield (f"CREATE FUNCTION {step} ({', '.join([state, *signature.arguments])}) RETURNS {state} {_body(what, add)}")
    yield (f'CREATE AGGREGATE public."{function.name}" ({listed or "*"}) (SFUNC = {step}, STYPE = {state}{first})')


def _operator(operator: _Operator, signature: _Signature) -> Iterator[str]:
    given = operator.arguments
    is_polymorphic = any(each.startswith("any") for each in given)
    values = [f"${number}" if is_polymorphic else f"${number}::{kind}" for number, kind in enumerate(given, start=1)]
    own = f"OPERATOR(pg_catalog.{operator.name})"
    act = f"RETURN {values[0]} {own} {values[1]};" if len(values) == 2 else f"RETURN {own} {values[0]};"
    listed = ", ".join(signature.arguments)
    function = f'public."hostile_{operator.name}"'
    sides = dict(zip(("LEFTARG", "RIGHTARG") if len(given) == 2 else ("RIGHTARG",), signature.arguments, strict=True))
    yield (
        f"CREATE FUNCTION {function} ({listed}) RETURNS {signature.returned}"
        f" {_body(f'operator {operator.name} ({listed})', act)}"
    )
    yield (
        f"CREATE OPERATOR public.{operator.name} (FUNCTION = {function},"
        f" {', '.join(f'{side} = {kind}' for side, kind in sides.items())})"
    )


def _view(name: str, query: str) -> Iterator[str]:
    yield f"CREATE VIEW public.\"{name}\" AS {query} public.hostile_was_called('relation {name}')"
    yield f'GRANT SELECT ON public."{name}" TO PUBLIC'


def plant(url: str, role: str) -> int:
    """Creates all of it as that role, which may create in `public`; returns how many objects there are."""
    with psycopg.connect(url, user=role, autocommit=True, options=PATH_FOR_PLANTING) as stranger:
        stranger.execute(_OF_THE_STRANGER.encode())
        statements = list(_Planting(stranger).statements())
        for start in range(0, len(statements), 1000):
            stranger.execute("CALL public.plant_hostile(%s)", [statements[start : start + 1000]])
        found = stranger.execute(
            "SELECT (SELECT count(*) FROM pg_proc WHERE proowner = r.oid)"
            " + (SELECT count(*) FROM pg_operator WHERE oprowner = r.oid)"
            " + (SELECT count(*) FROM pg_class WHERE relowner = r.oid)"
            " + (SELECT count(*) FROM pg_type WHERE typowner = r.oid AND typtype = 'd')"
            " FROM pg_roles AS r WHERE rolname = current_user"
        ).fetchone()
    return int(found[0]) if found else 0


def calls(url: str) -> Sequence[tuple[str, str]]:
    """What was called as whom, once for each kind of call, and how often in all where that wasn't kept."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=pg_catalog") as connection:
        kept = connection.execute("SELECT DISTINCT what, of_role FROM public.calls_of_hostile ORDER BY 1, 2").fetchall()
        counted = connection.execute(
            "SELECT coalesce(sum(calls), 0)::text FROM pg_stat_user_functions WHERE funcname = 'hostile_was_called'"
        ).fetchone()
    number = str(counted[0]) if counted else "0"
    return kept if kept or number == "0" else [("not kept", number)]
