"""The roles as which the tests' services run: with the least rights, unlike clients and set-up."""

import os
import secrets
from dataclasses import dataclass

from psycopg.conninfo import make_conninfo


@dataclass(frozen=True)
class Role:
    """A role of the server's, for this worker of pytest-xdist alone."""

    name: str
    password: str

    def url(self, url: str) -> str:
        """The same database, as this role."""
        return make_conninfo(url, user=self.name, password=self.password)


_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "master")
LISTENER = Role(f"tutorwatch_test_listener_{_WORKER}", secrets.token_hex(16))
WEB = Role(f"tutorwatch_test_web_{_WORKER}", secrets.token_hex(16))
ROLES = (LISTENER, WEB)
