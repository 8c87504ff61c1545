"""On what a benchmark ran: times mean nothing without it."""

import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "work_mem", "max_parallel_workers_per_gather")
"""The server's settings that matter here."""


@dataclass(frozen=True)
class Machine:
    """The machine of the benchmark, and the server (which may be elsewhere)."""

    cores: int
    memory_gib: float
    load_average: float
    """Of the last minute before the start: others' work disturbs the figures."""
    system: str
    python: str
    postgresql: str
    settings: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return asdict(self)

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return (
            f"{self.system}, {self.cores} cores, {self.memory_gib:.0f} GiB, load {self.load_average:.1f}; "
            f"Python {self.python}; PostgreSQL {self.postgresql} ({settings})"
        )


def describe(server_url: str) -> Machine:
    """Asks the operating system and the server."""
    with psycopg.connect(server_url) as connection:
        settings = {name: _setting(connection, name) for name in SETTINGS}
        version = _setting(connection, "server_version")
    return Machine(
        cores=os.cpu_count() or 0,
        memory_gib=round(memory_gib(), 1),
        load_average=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        postgresql=version,
        settings=settings,
    )


def memory_gib() -> float:
    """What this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _setting(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    return str(row[0]) if row else ""
