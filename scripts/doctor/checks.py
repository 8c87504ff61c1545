"""`tutorwatch doctor`: every check of what may need a person."""

import json
from collections.abc import Iterator

import psycopg
import typer

from database.connections import connect
from database.errors import PooledError
from database.one_line import one_line
from listener.settings import ListenerSettings
from scripts.doctor import others, platform, rights, schema, server, telling, work
from scripts.doctor.findings import Check, DoctorContext, Finding, problem, reason, variable

OF_THE_SERVER: tuple[Check, ...] = (server.database, server.clock, server.time_zone, server.notifications)
OF_THE_SCHEMA: tuple[Check, ...] = (
    platform.platform,
    platform.rows,
    schema.tables,
    schema.functions,
    schema.triggers,
    schema.automation,
    schema.indexes,
    rights.rights,
    others.schemas,
    others.waking,
    others.tutor_locks,
    rights.tokens,
    work.listeners,
    work.backlog,
    work.canary,
    work.failures,
    work.sweep,
    work.outbox,
    telling.channels,
)
"""Only where the schema is this program's."""

PATIENCE = {"statement_timeout": "3s", "lock_timeout": "1s"}

POOLED = problem("database", "a pooler is between: set TUTORWATCH_LISTEN_URL to a URL that leads past it")


def print_checks(
    url: str,
    listener: ListenerSettings,
    *,
    version: str,
    as_json: bool,
    pooled_url: str | None = None,
    openid: bool = False,
) -> bool:
    """Prints what is found, a line each, as soon as it is; returns whether all is well."""
    findings = []
    for finding in run_checks(url, listener, version=version, pooled_url=pooled_url, openid=openid):
        findings.append(finding)
        if not as_json:
            typer.echo(one_line(str(finding)))
    is_well = all(finding.is_ok for finding in findings)
    if as_json:
        typer.echo(json.dumps({"is_ok": is_well, "checks": [finding.as_json() for finding in findings]}, indent=2))
    return is_well


def run_checks(
    url: str, listener: ListenerSettings, *, version: str, pooled_url: str | None = None, openid: bool = False
) -> Iterator[Finding]:
    """Every check's finding. A database that can't be reached is one, too; nothing is raised for what is found.

    `pooled_url` is the one that services work through, where `url` leads past it; `openid`: whether people are to sign
    in with OpenID Connect.
    """
    try:
        with connect(url, application_name="tutorwatch-doctor", settings=PATIENCE) as connection:
            yield from _run_all(DoctorContext(connection, url, version, listener, pooled_url, openid))
    except PooledError:
        yield POOLED
    except psycopg.OperationalError as error:
        which = f"{variable(listener)}{', with the role of TUTORWATCH_DATABASE_URL,' if listener.listen_url else ''}"
        yield problem("database", f"can't be reached ({reason(error)}): is it running, and is {which} right?")


def _run_all(context: DoctorContext) -> Iterator[Finding]:
    yield from (_run(check, context) for check in OF_THE_SERVER)
    if context.pooled_url:
        yield _run(server.pooler, context)
    revision = _run(schema.schema, context)
    yield revision
    if revision.is_ok:
        yield from (_run(check, context) for check in OF_THE_SCHEMA)
        if context.openid:
            yield _run(rights.openid, context)


def _run(check: Check, context: DoctorContext) -> Finding:
    try:
        return check(context)
    except psycopg.Error as error:
        if context.connection.closed:
            raise
        name = check.__name__.replace("_", " ")
        return problem(name, f"could not be checked ({reason(error)}): try again, as the role that migrates")
