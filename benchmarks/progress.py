"""What a benchmark is doing, on stderr: stdout has the results only."""

import sys
import time

_STARTED = time.monotonic()


def say(what: str) -> None:
    """A line about what comes next, with the minutes and seconds so far."""
    minutes, seconds = divmod(int(elapsed_seconds()), 60)
    print(f"{minutes:02}:{seconds:02}  {what} ...", file=sys.stderr, flush=True)


def elapsed_seconds() -> float:
    """Since the benchmarks began."""
    return time.monotonic() - _STARTED
