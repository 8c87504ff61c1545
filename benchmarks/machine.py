"""On what a benchmark runs: times mean nothing without it."""

import os
import platform

import psycopg

SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "work_mem", "max_parallel_workers_per_gather")
"""The server's settings that matter here."""


def describe(server_url: str) -> str:
    """The machine as the operating system tells it, with others' work before the start, and the server."""
    with psycopg.connect(server_url) as connection:
        told: dict[str, str] = dict(
            connection.execute("SELECT name, current_setting(name) FROM pg_settings").fetchall()
        )
    settings = ", ".join(f"{name}={told[name]}" for name in SETTINGS)
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB,"
        f" load {os.getloadavg()[0]:.1f}; Python {platform.python_version()};"
        f" PostgreSQL {told['server_version']} ({settings})"
    )


def memory_gib() -> float:
    """The memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
