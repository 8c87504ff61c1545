"""What a process uses, as the system counts it."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Memory in use and processor time used so far."""

    megabytes: float
    cpu_seconds: float


def usage(pid: int) -> Usage:
    """Of a process of this machine, now."""
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return Usage(
        megabytes=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        cpu_seconds=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
    )
