"""The settings of our sessions, and how they are made: as libpq's options, or as statements.

Whatever the URL, the role, the database or the environment (PGTZ, PGDATESTYLE, PGCLIENTENCODING, PGOPTIONS) say:
see PINNED. What nobody overrides is whether a role is meant to read only (`default_transaction_read_only`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from psycopg.conninfo import conninfo_to_dict

GENERATION_LOCK_WAIT = "15s"
"""How long one generation waits for another of the same tutor (see `rules.generation` for shorter waits)."""
STATEMENT_SECONDS = 20
"""When the server ends a statement of ours."""

USUAL = {
    "lock_timeout": GENERATION_LOCK_WAIT,
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": "10s",  # ours compute for milliseconds between two statements
    "client_connection_check_interval": "2s",
    "random_page_cost": "1.1",  # disks have no heads any more: the default keeps plans away from indexes
}
"""Settings of our sessions, unless the URL's `options` say otherwise."""

UNHURRIED = {"lock_timeout": "0", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
"""For an operator's commands, which bound each wait themselves: an index takes as long as it takes."""

OF_THE_SOCKET = {
    "tcp_keepalives_idle": "10",  # these let the server notice that a client of its own is gone
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
"""The same, where the socket is ours alone: not behind a pooler."""

PINNED = {
    "timezone": "UTC",  # the platform's times are UTC without saying so
    "datestyle": "ISO",  # the driver reads no other
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "client_min_messages": "notice",  # `migrations.rights` learns from them what it finds
    "default_transaction_isolation": "read committed",  # a generation must see what was committed before its locks
    "default_transaction_deferrable": "off",
    "plan_cache_mode": "auto",
    "search_path": "pg_catalog, pg_temp",  # ours is qualified; nobody's function of the same name comes first
    "row_security": "off",  # hidden rows are an error: never answers from a part of the rows
    "idle_session_timeout": "0",  # connections are kept, and listen
}
"""Settings without which our answers would be wrong, or would not come, whatever anybody else says."""

PINNED_SINCE_17 = {"transaction_timeout": "0"}
"""Likewise, where the server (17 or later) has them."""

DIRECT = "tutorwatch.direct"
"""A setting that no server has by itself: where it isn't found, a pooler has swallowed what we asked for."""


def connection_options(
    application_name: str, database_url: str, settings: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what every connection of ours asks libpq for, on top of its URL: what the URL itself says wins.

    With these exceptions: the name, the encoding, and `settings`. PINNED is set once connected: the environment's
    PGTZ and PGDATESTYLE would win over `options`.

    Timeouts bound what a stopped process or a silent network can hold: the server ends a transaction that
    lies idle, and with it its claim and its locks, and notices a client that is gone in the middle of a statement.
    """
    theirs = conninfo_to_dict(database_url)
    usual = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
    ours = USUAL | OF_THE_SOCKET | {DIRECT: "on"}
    options = [_as_options(ours), str(theirs.get("options") or ""), _as_options(settings)]  # the last one wins
    return {name: value for name, value in usual.items() if name not in theirs} | {
        "application_name": application_name,
        "client_encoding": "UTF8",
        "options": " ".join(each for each in options if each),
    }


def _as_options(settings: Mapping[str, str]) -> str:
    escaped = {name: value.replace(" ", r"\ ") for name, value in settings.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())


def as_statements(settings: Mapping[str, str], *, command: str = "SET") -> str:
    """Return one string for all, so that they cost one round trip; in a list each element is quoted by itself."""
    quoted = {name: ", ".join(f"'{each}'" for each in value.split(", ")) for name, value in settings.items()}
    return "; ".join(f"{command} {name} = {value}" for name, value in quoted.items())


def pinned(server_version: int) -> dict[str, str]:
    """Return PINNED for a server of this version, as `170002`."""
    return PINNED | PINNED_SINCE_17 if server_version >= 170_000 else PINNED
