"""The checks of the server: version, pooler, clock, time zone, notifications."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from database.connections import connect, connect_as_others, open_engine
from database.errors import PooledError
from database.platform_needs import NEEDED
from migrations.deployed_schema import OLDEST_SERVER
from scripts.doctor.findings import DoctorContext, Finding, listed, ok, problem, reason, variable

NEWEST_TESTED = 18
MOST_SKEW = timedelta(seconds=2)
FULL_QUEUE = 0.5
"""From here on the triggers leave NOTIFY out, lest a client's COMMIT fail."""
ANSWER_SECONDS = 2.0
POOLER_SECONDS = 6.0
"""How long a pooler may take: one whose server is away keeps its clients waiting for minutes."""
PLACE = "SELECT current_database(), extract(epoch FROM pg_postmaster_start_time())::float8"
"""The same over whichever URL one database is reached."""


def database(context: DoctorContext) -> Finding:
    """Its version, and that it can be written to."""
    version, number, is_replica, is_read_only = context.row(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::integer / 10000,"
        " pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean"
    )
    name = f"PostgreSQL {version}"
    if number < OLDEST_SERVER:
        return problem("database", f"{name} is too old: upgrade it to {OLDEST_SERVER} or later")
    if is_replica:
        return problem("database", f"{name} is a replica, read-only: point {variable(context.listener)} at the primary")
    if is_read_only:
        return problem("database", f"{name} is set to read only: set default_transaction_read_only to off for our role")
    untested = f"; newer than {NEWEST_TESTED}, the newest this program is tested with" if number > NEWEST_TESTED else ""
    return ok("database", f"{name}, primary{untested}")


def pooler(context: DoctorContext) -> Finding:
    """Return whether the URL that services work through leads to the same database as the one that leads past it."""
    try:
        place = asyncio.run(_place(context.pooled_url or context.url))
    except (psycopg.OperationalError, DBAPIError, OSError) as error:  # a TimeoutError is an OSError
        why = reason(getattr(error, "orig", None) or error)
        return problem(
            "pooler", f"services get no answer by TUTORWATCH_DATABASE_URL ({why}): is it running, and is that right?"
        )
    if place != context.row(PLACE):
        return problem(
            "pooler",
            "TUTORWATCH_DATABASE_URL and TUTORWATCH_LISTEN_URL lead to different databases: correct one of them",
        )
    return ok("pooler", "TUTORWATCH_DATABASE_URL leads to the same database")


async def _place(url: str) -> tuple[Any, ...]:
    engine = open_engine(url, application_name="tutorwatch-doctor")
    try:
        async with asyncio.timeout(POOLER_SECONDS), engine.connect() as conn:
            return tuple((await conn.execute(text(PLACE))).one())
    finally:
        await engine.dispose()


def clock(context: DoctorContext) -> Finding:
    """The difference between this machine's clock and the server's."""
    before = datetime.now(UTC)
    (theirs,) = context.row("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    skew = max(theirs - after, before - theirs, timedelta(0))  # beyond what the time of the round trip explains
    if skew > MOST_SKEW:
        return problem(
            "clock", f"this machine's clock and the server's differ by {skew.total_seconds():.0f} s: set both by NTP"
        )
    return ok("clock", "this machine's and the server's agree")


def time_zone(context: DoctorContext) -> Finding:
    """Ours must be UTC, whatever the clients' is: the platform's times are UTC without saying so. Where a client leaves
    one to its default, it should be UTC as well."""
    ours, theirs = context.row("SHOW timezone")[0], _time_zone_of_clients(context.url)
    if ours != "UTC":
        return problem("time zone", f"our sessions get {ours} instead of UTC: the proxy between must pass `options` on")
    others = sorted({theirs, *_time_zones_set(context)} - {"UTC", "Etc/UTC"})
    if not others:
        return ok("time zone", "UTC")
    columns = [column for (column,) in context.rows(DEFAULTING_TO_NOW, list(NEEDED))]
    filled = f", in which defaults of {listed(columns)} are filled" if columns else ""
    return ok("time zone", f"ours is UTC; clients of this server get {', '.join(others)}{filled}: UTC would be right")


DEFAULTING_TO_NOW = """
    SELECT c.relname || '.' || a.attname
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = to_regnamespace('public') AND c.relname = ANY(%s) AND a.atttypid = 'timestamp'::regtype
      AND pg_get_expr(d.adbin, d.adrelid) ~ 'now\\(\\)|CURRENT_TIMESTAMP|LOCALTIMESTAMP'
    ORDER BY c.relname <> 'alerts', 1
"""
"""Columns without a time zone of the platform's that a client may leave to the server's clock."""


def _time_zones_set(context: DoctorContext) -> list[str]:
    """Return the time zones that are set for this database or for single roles."""
    found = context.rows(
        "SELECT DISTINCT split_part(setting, '=', 2) FROM pg_db_role_setting, unnest(setconfig) AS setting"
        " WHERE lower(split_part(setting, '=', 1)) = 'timezone' AND setdatabase IN"
        " (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    return [zone for (zone,) in found]


def _time_zone_of_clients(url: str) -> str:
    with connect_as_others(url) as connection:
        row = connection.execute("SHOW timezone").fetchone()
    return str(row[0]) if row else "unknown"


def notifications(context: DoctorContext) -> Finding:
    """Return whether NOTIFY arrives on the connection that listens, and whether the server's queue has room."""
    used, prepared, is_replica = context.row(
        "SELECT pg_notification_queue_usage(), current_setting('max_prepared_transactions')::integer,"
        " pg_is_in_recovery()"
    )
    if is_replica:
        return ok("notifications", "a replica carries none")
    if used >= FULL_QUEUE:
        return problem("notifications", f"the server's queue is {used:.0%} full: {_who_holds_it_up(context)}")
    try:
        seconds = _notification_seconds(context.listener.listen_url or context.url)
    except PooledError as error:
        return problem("notifications", str(error))
    except psycopg.OperationalError as error:
        return problem(
            "notifications", f"can't be listened to ({reason(error)}): is {variable(context.listener)} right?"
        )
    if seconds is None:
        return problem(
            "notifications",
            "they don't arrive: a transaction-pooling proxy is between; set TUTORWATCH_LISTEN_URL to a direct URL",
        )
    left_out = f"; left out by triggers, since max_prepared_transactions is {prepared}: polls find changes"
    return ok(
        "notifications", f"received after {seconds * 1000:.0f} ms, queue {used:.0%} full{left_out if prepared else ''}"
    )


def _notification_seconds(url: str) -> float | None:
    with connect(url, application_name="tutorwatch-doctor") as connection:
        connection.execute("LISTEN tutorwatch_doctor")
        started = time.monotonic()
        connection.execute("NOTIFY tutorwatch_doctor")
        for _ in connection.notifies(timeout=ANSWER_SECONDS, stop_after=1):
            return time.monotonic() - started
    return None


def _who_holds_it_up(context: DoctorContext) -> str:
    oldest = context.rows(
        "SELECT pid FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
        " ORDER BY xact_start LIMIT 1"
    )
    culprit = f"likely the oldest: SELECT pg_terminate_backend({oldest[0][0]})" if oldest else "see pg_stat_activity"
    return f"a session that listens stays in a transaction, {culprit}"
