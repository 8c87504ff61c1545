"""Gives the services' roles their rights, and takes them back."""

import psycopg
from psycopg import sql

from migrations import grants
from migrations.sql import read_sql


class RightsError(Exception):
    """The rights can't be given; the message says why and what to do. Nothing was changed."""


_OPTIONAL = "DO $optional$BEGIN {grant} EXCEPTION WHEN undefined_table OR undefined_column THEN END$optional$;"

OPENID = "openid"
"""As which service the dashboard's role is on record where it may sign people in with OpenID Connect."""


def to_sql(*, listener: str, web: str, openid: bool = False) -> str:
    """Return the statements that give two roles the rights of the services, as one transaction."""
    names = {"listener_name": sql.Literal(listener), "web_name": sql.Literal(web)}
    to_listener, to_web = (sql.Identifier(role).as_string(None) for role in (listener, web))
    parts = [
        "BEGIN;",
        read_sql("rights_taken_back"),
        sql.SQL(read_sql("rights_roles")).format(**names).as_string(None),
        *grants.statements(grants.GRANTS["listener"], to_listener),
        *grants.statements(grants.GRANTS["web"], to_web),
        *(_OPTIONAL.replace("{grant}", each) for each in grants.statements(grants.OPTIONAL, to_web)),
    ]
    if openid:
        record = sql.SQL("INSERT INTO tutorwatch.service_roles VALUES ({}, {});")
        parts.append(record.format(OPENID, names["web_name"]).as_string(None))
        parts += grants.statements(grants.OPENID, to_web)
    return "\n".join([*parts, read_sql("rights_excess"), "COMMIT;\n"])


def give(connection: psycopg.Connection, *, listener: str, web: str, openid: bool = False) -> list[str]:
    """Gives the two roles, which must exist, the rights of the services; whoever had them before loses them.

    With `openid` the dashboard's role may sign in anybody, as a provider of OpenID Connect says.
    On a connection in autocommit mode, of the role that migrates. Returns what the roles may do beyond that by
    other people's grants, a sentence each. Raises RightsError; can be repeated, beside running services.
    """
    excess: list[str] = []
    connection.add_notice_handler(lambda notice: _note(notice, excess))
    connection.execute("SET client_min_messages = warning")  # not a NOTICE for what is there already
    try:
        connection.execute(to_sql(listener=listener, web=web, openid=openid).encode())
    except psycopg.errors.RaiseException as error:
        connection.rollback()
        raise RightsError(error.diag.message_primary) from None
    except psycopg.errors.InvalidSchemaName:
        connection.rollback()
        raise RightsError("Tutorwatch isn't installed in this database: run `tutorwatch migrate`") from None
    return excess


def recorded(connection: psycopg.Connection) -> dict[str, str] | None:
    """The roles that have the services' rights, by service; None where they were never given."""
    if connection.execute("SELECT to_regclass('tutorwatch.service_roles')").fetchone() == (None,):
        return None
    rows = connection.execute("SELECT service, role FROM tutorwatch.service_roles")
    found: dict[str, str] = {service: role for service, role in rows}  # noqa: C416 - typed rows
    return found if {"listener", "web"} <= found.keys() else None


def take_back(connection: psycopg.Connection) -> None:
    """Takes the services' rights from whoever has them."""
    connection.execute(read_sql("rights_taken_back").encode())


def _note(notice: psycopg.errors.Diagnostic, excess: list[str]) -> None:
    if notice.severity_nonlocalized == "WARNING" and notice.message_primary:
        excess.append(notice.message_primary)
