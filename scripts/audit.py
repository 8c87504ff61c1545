"""The audit trail's entries for what is done on the command line."""

import getpass
import os
import socket

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from web.auth.audit import COMMAND_LINE, Actor, Entry, write


async def record(conn: AsyncConnection, entry: Entry) -> None:
    """Puts it on record with what is known of who typed the command: the database's role, and the user of the host.

    The caller commits.
    """
    role = await conn.scalar(text("SELECT current_user"))
    await write(conn, entry, Actor(role=role, by=f"{COMMAND_LINE}, {user_of_host()}"))


def user_of_host() -> str:
    """Return who typed the command, and where."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container's user may have no name
        return f"user {os.getuid()}@{socket.gethostname()}"
