"""PgBouncer, pooling transactions, between a test and its database."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.roles import ROLES, Role
from tests.support.servers import folder_for_servers, server_user

PORT = 6432
"""Names the socket: no network port is taken."""
CONNECTIONS = 3
"""To the server, per role: fewer than clients, so that they share them."""


def find_pgbouncer() -> str | None:
    """The program; Debian's is where only administrators look."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


needs_pgbouncer = pytest.mark.skipif(
    find_pgbouncer() is None, reason="pgbouncer is not installed (apt install pgbouncer)"
)


@contextmanager
def pgbouncer(database_url: str, *, ignoring: Sequence[str] = ()) -> Iterator[str]:
    """The URL by which the database is reached through it; `ignoring` are startup parameters it drops silently."""
    program = find_pgbouncer()
    assert program
    with tempfile.TemporaryDirectory(prefix="pgbouncer-", dir=folder_for_servers(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        url = make_conninfo(database_url, host=name, port=PORT)
        _configure(folder, database_url, ignoring)
        process = subprocess.Popen(
            [program, folder / "pgbouncer.ini"],
            user=server_user(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.kill()
            process.wait()


def _configure(folder: Path, database_url: str, ignoring: Sequence[str]) -> None:
    there = conninfo_to_dict(database_url)
    owner = Role(str(there["user"]), str(there.get("password") or ""))
    database = " ".join(f"{key}={there[key]}" for key in ("host", "port", "dbname") if there.get(key))
    (folder / "users").write_text("".join(f'"{role.name}" "{role.password}"\n' for role in (owner, *ROLES)))
    (folder / "pgbouncer.ini").write_text(
        f"""
        [databases]
        {there["dbname"]} = {database}
        [pgbouncer]
        unix_socket_dir = {folder}
        listen_port = {PORT}
        auth_type = trust
        auth_file = {folder}/users
        logfile = {folder}/log
        pool_mode = transaction
        default_pool_size = {CONNECTIONS}
        ignore_startup_parameters = {",".join(["extra_float_digits", *ignoring])}
        """.replace("        ", "")
    )
    folder.chmod(0o755)
    if user := server_user():
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user, user)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert process.poll() is None, "pgbouncer has ended"
        else:
            return
