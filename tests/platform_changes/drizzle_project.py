"""The platform's own code, with the real drizzle-kit and drizzle-orm from npm: the project in `drizzle/`."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict

SOURCE = Path(__file__).parent / "drizzle"
CACHE = Path(__file__).parents[2] / ".data" / "node"
"""Where packages from npm are kept between runs; `make clean` removes it."""

OF_NPM_SECONDS = 300
OF_NODE_SECONDS = 60


@dataclass(frozen=True)
class DrizzleProject:
    """A copy of the project, whose database is one of the test's."""

    folder: Path
    url: str

    def push(self, *options: str) -> str:
        """What `drizzle-kit push` prints. Nobody is there to answer its questions."""
        return self._run("drizzle-kit", "push", *options)

    def pull(self) -> None:
        """Writes the database's schema into the folder `pulled`."""
        self._run("drizzle-kit", "pull")

    def declare_pulled_indexes(self) -> None:
        """Makes the pulled schema the project's, without operator classes."""
        pulled = (self.folder / "pulled" / "schema.ts").read_text(encoding="utf-8")
        declared = re.sub(r'(?<=\))\.op\("\w+"\)', "", pulled)
        (self.folder / "schema.ts").write_text(declared, encoding="utf-8")

    def script(self, name: str, *arguments: str) -> None:
        """Runs one of the project's scripts."""
        self._run("tsx", name, *arguments)

    def remove_label(self, label: str) -> None:
        """Takes a label out of the one enum of the schema that has it."""
        schema = self.folder / "schema.ts"
        text = schema.read_text(encoding="utf-8")
        [found] = [each for each in (f'"{label}", ', f', "{label}"', f'"{label}",\n') if text.count(each) == 1][:1]
        schema.write_text(text.replace(found, ""), encoding="utf-8")

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.folder / "node_modules" / ".bin" / program, *arguments],
            cwd=self.folder,
            env=os.environ | {"DATABASE_URL": _for_node(self.url)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=OF_NODE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def drizzle_project(folder: Path, url: str) -> DrizzleProject:
    """Copies the project into an empty folder. Skips the test where Node, npm or its registry can't be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs Node and npm")
    packages = _install()
    for source in SOURCE.iterdir():
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return DrizzleProject(folder, url)


def _install() -> Path:
    """The folder with the packages that package.json asks for: installed once, by one process at a time."""
    wanted = (SOURCE / "package.json").read_bytes()
    folder = CACHE / f"drizzle-{hashlib.sha256(wanted).hexdigest()[:12]}"
    with _alone(folder):
        if not (folder / "installed").exists():
            (folder / "package.json").write_bytes(wanted)
            done = subprocess.run(
                ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=OF_NPM_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                pytest.skip(f"npm could not install drizzle: {done.stderr.strip()[-300:]}")
            (folder / "installed").touch()
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _for_node(url: str) -> str:
    """The same database as a URL that the driver `pg` takes: it knows no keywords, and sockets only by `?host=`."""
    given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    user, password = quote(given.get("user", "postgres"), safe=""), quote(given.get("password", ""), safe="")
    host = given.get("host", "localhost")
    place = "localhost" if host.startswith("/") else host
    options = {"host": host} if host.startswith("/") else {}
    return (
        f"postgresql://{user}:{password}@{place}:{given.get('port', '5432')}/{quote(given['dbname'], safe='')}"
        f"?{urlencode(options)}"
    )
