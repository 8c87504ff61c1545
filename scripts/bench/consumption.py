"""What a running process takes of the machine, where the system says so in Linux's way."""

import os
from pathlib import Path


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
