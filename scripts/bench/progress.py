"""What a benchmark is doing, on stderr: stdout has the results only."""

import sys


def say(what: str) -> None:
    """A line about what comes next."""
    print(f"{what} ...", file=sys.stderr, flush=True)
