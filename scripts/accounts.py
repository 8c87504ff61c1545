"""Who may sign in: admins, passwords, programs' tokens, and links that sign in once."""

import getpass
import sys
import warnings
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.schema_version import check_schema
from scripts.errors import CommandError, UsageError
from scripts.one_line import one_line
from web import store
from web.access_cookies import digest, new_token
from web.access_passwords import LONGEST, hash_password

LINK_VALID_FOR = timedelta(hours=1)
TOKEN_PREFIX = "tutorwatch_"  # nosec B105  # noqa: S105 - what scanners for leaked secrets look for
LONGEST_NAME = 255


async def create_admin(engine: AsyncEngine, email: str, password: str, *, name: str | None = None) -> None:
    """Gives an admin a password; creates the user if the platform has none with this e-mail address.

    Raises CommandError for a user with another role: roles are the platform's to change; UsageError for what is no
    e-mail address, or too long a name.
    """
    email, password_hash = _checked(email), hash_password(password)
    if name and len(name) > LONGEST_NAME:
        raise UsageError(f"A name has at most {LONGEST_NAME} characters; this one has {len(name)}")
    async with engine.begin() as conn:
        await check_schema(conn)
        account = await store.find_account(conn, email)
        if account and account.role != "admin":
            raise CommandError(f"{email} is a {account.role} on the platform; its role must be changed there")
        user_id = account.user_id if account else await _insert_admin(conn, email, name)
        await _set_password(conn, user_id, password_hash)
    typer.echo(f"{email} can sign in as an admin." if account else f"Created the admin {email}.")


async def set_password(engine: AsyncEngine, email: str, password: str) -> None:
    """Sets the password of a user of the platform, and ends all their sign-ins. Raises CommandError."""
    password_hash = hash_password(password)
    async with engine.begin() as conn:
        await check_schema(conn)
        account = await _account(conn, email)
        ended = await _set_password(conn, account.user_id, password_hash)
    typer.echo(f"The password of {email} is set." + (f" {ended} sign-ins were ended." if ended else ""))


async def create_token(engine: AsyncEngine, name: str, *, acts_for: str | None = None) -> None:
    """Prints a new token for a program, once. Without `acts_for`, an e-mail address, it only reads."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"A token's name has 1 to {LONGEST_NAME} printable characters")
    token = TOKEN_PREFIX + new_token()
    async with engine.begin() as conn:
        await check_schema(conn)
        user_id = (await _account(conn, acts_for)).user_id if acts_for else None
        if not await store.insert_token(conn, name, digest(token), user_id):
            raise CommandError(f"There is a token named {name!r} already; revoked ones keep their names")
    typer.echo(token)
    typer.echo("Keep it now: it is not shown again.", err=True)


async def list_tokens(engine: AsyncEngine) -> None:
    """Prints a line per token."""
    async with engine.connect() as conn:
        await check_schema(conn)
        tokens = await store.load_tokens(conn)
    if not tokens:
        typer.echo("There are no tokens.")
    for token in tokens:
        rights = f"acts for {one_line(token.user)}" if token.user else "reads"
        typer.echo(f"{token.name}: {rights}, created {_day(token.created_at)}, {_use(token)}")


async def revoke_token(engine: AsyncEngine, name: str) -> None:
    """Ends a token at once. Raises CommandError if none of that name is in use."""
    async with engine.begin() as conn:
        await check_schema(conn)
        if not await store.revoke_token(conn, name):
            raise CommandError(f"No token named {name!r} is in use")
    typer.echo(f"The token {name!r} is revoked.")


async def one_time_link(engine: AsyncEngine, base_url: str, email: str) -> str:
    """A link that signs the user in once, within the hour. Raises CommandError for an unknown user."""
    token = new_token()
    async with engine.begin() as conn:
        await check_schema(conn)
        account = await _account(conn, email)
        await store.insert_link(conn, digest(token), account.user_id, LINK_VALID_FOR)
    return f"{base_url.rstrip('/')}/sign-in/link?token={quote(token)}"


def read_password(*, from_stdin: bool) -> str:
    """The password that is typed twice, or the first line of stdin.

    Raises CommandError if the two differ or nobody can type, UsageError if stdin is closed or has no text.
    """
    if from_stdin:
        return _first_line_of_stdin()
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            password = getpass.getpass("Password: ")
            again = getpass.getpass("The same again: ")
        except getpass.GetPassWarning:
            raise CommandError("There is no terminal to type a password on: pass it with --password-stdin") from None
    if password != again:
        raise CommandError("The two passwords differ")
    return password


def _first_line_of_stdin() -> str:
    line = sys.stdin.readline(LONGEST + 2) if sys.stdin else ""
    if not line.isascii() and any("\ud800" <= character <= "\udfff" for character in line):  # bytes kept as they were
        raise UsageError("The password on stdin is not UTF-8")
    return line.rstrip("\r\n")


def _checked(email: str) -> str:
    email = email.strip()
    local, at, domain = email.partition("@")
    if not (local and at and domain) or not email.isprintable() or " " in email or len(email) > LONGEST_NAME:
        raise UsageError(f"{email!r} is not an e-mail address")
    return email


async def _account(conn: AsyncConnection, email: str) -> store.Account:
    account = await store.find_account(conn, email.strip())
    if account is None:
        raise CommandError(f"The platform has no user with the e-mail address {email}, or several but for case")
    return account


async def _insert_admin(conn: AsyncConnection, email: str, name: str | None) -> str:
    user_id = f"tutorwatch-{uuid4()}"
    await store.insert_admin(conn, user_id, email=email, name=name or email.partition("@")[0], now=datetime.now(UTC))
    return user_id


async def _set_password(conn: AsyncConnection, user_id: str, password_hash: str) -> int:
    """Returns how many sign-ins that ended."""
    await store.store_password_hash(conn, user_id, password_hash)
    return await store.delete_sign_ins_of(conn, user_id)


def _use(token: store.Token) -> str:
    if token.revoked_at:
        return f"revoked {_day(token.revoked_at)}"
    return f"last used {_day(token.last_used_at)}" if token.last_used_at else "never used"


def _day(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
