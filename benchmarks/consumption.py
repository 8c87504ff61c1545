"""What a running process takes of the machine, where the system says so in Linux's way."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg


def resident_mebibytes(process_id: int) -> float | None:
    """Its memory that is resident now; None on another system."""
    status = Path(f"/proc/{process_id}/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def processor_seconds(process_id: int) -> float | None:
    """What it has had of all cores since its start, in steps of a clock tick (10 ms); None on another system."""
    stat = Path(f"/proc/{process_id}/stat")
    if not stat.exists():
        return None
    after_the_name = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    user, system = after_the_name[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def listener_processor_seconds(process_id: int, url: str) -> float | None:
    """What a listener and the server's processes for its connections have had so far; None where the system doesn't
    say, or the server is on another machine.
    """
    with psycopg.connect(url) as connection:
        backends = connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name IN ('tutorwatch-listen', 'tutorwatch-worker')"
        ).fetchall()
    spent = [processor_seconds(process) for process in (process_id, *(backend for (backend,) in backends))]
    return None if None in spent else sum(filter(None, spent))


def machine_processor_seconds() -> float | None:
    """What all processes together have had of all cores so far, whoever they are; None on another system."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    (line, *_) = stat.read_text(encoding="ascii").splitlines()
    user, nice, system, _idle, _waiting, *interrupts = line.split()[1:8]
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Took:
    """How long something took, and what the whole machine's processors did meanwhile; None if it doesn't say."""

    seconds: float
    processor_seconds: float | None

    @property
    def cores_busy(self) -> float | None:
        """Of all the machine's."""
        return None if self.processor_seconds is None else self.processor_seconds / self.seconds


@dataclass(frozen=True)
class Stopwatch:
    """Starts when it is created."""

    _started: float = field(default_factory=time.perf_counter)
    _spent: float | None = field(default_factory=machine_processor_seconds)

    def took(self) -> Took:
        """Until now."""
        return Took(time.perf_counter() - self._started, difference(self._spent, machine_processor_seconds()))


def difference(before: float | None, after: float | None) -> float | None:
    """How much more there is after; None if either isn't known."""
    return None if before is None or after is None else after - before
