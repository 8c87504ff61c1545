"""A platform that keeps its sessions in partitions, by month."""

from migrations.sql import read_sql

MONTHS = ("2026_04", "2026_05", "2026_06", "2026_07")


def platform_tables() -> str:
    """The platform's tables as deployed, but for what a partitioned `sessions` leaves no choice about.

    A partitioned table's key holds what it is partitioned by. So nothing can refer to a session by its id alone: the
    metrics and alerts keep `session_id` as it is, because clients write it, and go without a foreign key.
    """
    tables = read_sql("platform_tables")
    for foreign_key in (
        " REFERENCES public.sessions ON DELETE CASCADE",
        " REFERENCES public.sessions ON DELETE SET NULL",
    ):
        tables = tables.replace(foreign_key, "")
    before, sessions, after = _around(tables, "CREATE TABLE public.sessions (", ");")
    sessions = sessions.replace("id uuid PRIMARY KEY DEFAULT", "id uuid NOT NULL DEFAULT")
    sessions += ", PRIMARY KEY (id, scheduled_start)"
    after = after.replace(");", ") PARTITION BY RANGE (scheduled_start);", 1)
    return before + sessions + after + PARTITIONS + "".join(map(month, MONTHS))


def month(name: str) -> str:
    """What adds the partition of a month such as 2026_06."""
    year, number = map(int, name.split("_"))
    following = f"{year + number // 12}-{number % 12 + 1:02}-01"
    return f"""
        CREATE TABLE public.sessions_{name} PARTITION OF public.sessions
            FOR VALUES FROM ('{year}-{number:02}-01') TO ('{following}');"""


PARTITIONS = """
    CREATE SCHEMA archive;
    CREATE TABLE archive."sessions before 2026" PARTITION OF public.sessions
        FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
    CREATE TABLE archive.sessions_2026_q1 PARTITION OF public.sessions
        FOR VALUES FROM ('2026-01-01') TO ('2026-04-01') PARTITION BY HASH (id);
    CREATE TABLE archive.sessions_2026_q1_even PARTITION OF archive.sessions_2026_q1
        FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE archive.sessions_2026_q1_odd PARTITION OF archive.sessions_2026_q1
        FOR VALUES WITH (MODULUS 2, REMAINDER 1);"""
"""Old ones: elsewhere, oddly named, and partitioned once more."""


def _around(text: str, begin: str, end: str) -> tuple[str, str, str]:
    start = text.index(begin) + len(begin)
    stop = text.index(end, start)
    return text[:start], text[start:stop].rstrip(), text[stop:]
