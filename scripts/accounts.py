"""The commands for accounts: admins, passwords, programs' tokens, and links that sign in once."""

import getpass
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.one_line import one_line
from database.schema_version import check_schema
from scripts.audit import record as _record
from scripts.errors import CommandError, UsageError
from web.auth import store
from web.auth.audit import Action, Entry
from web.auth.cookies import digest, new_token
from web.auth.identity import Scope
from web.auth.passwords import LONGEST, NewPassword, check_password, new_password

LINK_VALID_FOR = timedelta(hours=1)
PASSWORD_LINK_VALID_FOR = timedelta(hours=24)
TOKEN_DAYS = 90
TOKEN_PREFIX = "tutorwatch_"  # nosec B105  # noqa: S105 - what scanners for leaked secrets look for
LONGEST_NAME = 255


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction on a database whose schema is this program's; raises SchemaMismatchError."""
    async with engine.begin() as conn:
        await check_schema(conn)
        yield conn


async def create_admin(engine: AsyncEngine, email: str, password: str, *, name: str | None = None) -> None:
    """Gives an admin a password; creates the user if the platform has none with this e-mail address.

    Raises CommandError for a user with another role: roles are the platform's to change; UsageError for what is no
    e-mail address, or too long a name; WeakPasswordError.
    """
    email = _checked(email)
    check_password(password, about=(email, name or ""))
    new = new_password(password)
    async with _transaction(engine) as conn:
        user_id, is_new = await _admin(conn, email, name)
        await _set_password(conn, user_id, new)
    typer.echo(f"Created the admin {email}." if is_new else f"{email} can sign in as an admin.")


async def invite_admin(engine: AsyncEngine, base_url: str, email: str, *, name: str | None = None) -> None:
    """Prints a link by which an admin chooses a password; creates the user as `create_admin` does, and raises as it."""
    email = _checked(email)
    async with _transaction(engine) as conn:
        user_id, _ = await _admin(conn, email, name)
        link = await _password_link(conn, base_url, user_id)
    _print_link(link, email)


async def set_password(engine: AsyncEngine, email: str, password: str) -> None:
    """Sets the password of a user of the platform, and ends their sign-ins. Raises CommandError, WeakPasswordError."""
    async with _transaction(engine) as conn:
        account = await _account(conn, email)
    check_password(password, about=(account.email, account.name))
    new = new_password(password)
    async with engine.begin() as conn:
        ended = await _set_password(conn, account.user_id, new)
    typer.echo(f"The password of {email} is set." + (f" {ended} sign-ins were ended." if ended else ""))


async def link_for_password(engine: AsyncEngine, base_url: str, email: str) -> None:
    """Prints a link by which a user of the platform chooses a password. Raises CommandError."""
    async with _transaction(engine) as conn:
        account = await _account(conn, email)
        link = await _password_link(conn, base_url, account.user_id)
    _print_link(link, email)


async def unlink(engine: AsyncEngine, email: str) -> None:
    """Unlinks a user from their OpenID Connect accounts, and ends their sign-ins. Raises CommandError."""
    async with _transaction(engine) as conn:
        account = await _account(conn, email)
        unlinked = await store.delete_identities_of(conn, account.user_id)
        if unlinked:
            await store.delete_sign_ins_of(conn, account.user_id)
            await _record(conn, Entry(Action.PROVIDER_UNLINKED, user_id=account.user_id))
    typer.echo(f"{email} is unlinked, and signed out." if unlinked else f"{email} is linked to no provider.")


async def create_token(
    engine: AsyncEngine,
    name: str,
    *,
    acts_for: str | None = None,
    scope: Scope | None = None,
    days: int | None = TOKEN_DAYS,
) -> None:
    """Prints a new token for a program, once. Without `acts_for`, an e-mail address, it only reads; `days` None: it has
    no end. Raises CommandError, UsageError.
    """
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"A token's name has 1 to {LONGEST_NAME} printable characters")
    scope = scope or (Scope.ACT if acts_for else Scope.READ)
    if scope is Scope.ACT and acts_for is None:
        raise UsageError("A token acts in somebody's name: give --acts-for, or the scope summary or read")
    token, valid_for = TOKEN_PREFIX + new_token(), None if days is None else timedelta(days=days)
    async with _transaction(engine) as conn:
        user_id = (await _account(conn, acts_for)).user_id if acts_for else None
        if not await store.insert_token(conn, name, digest(token), user_id, scope, valid_for):
            raise CommandError(f"There is a token named {name!r} already; those that have ended keep their names")
        entry = Entry(Action.TOKEN_CREATED, user_id=user_id, object=f"token {name}", details=f"scope {scope}")
        await _record(conn, entry)
    typer.echo(token)
    typer.echo(f"Keep it now: it is not shown again. It {_ends_after(days)}.", err=True)


async def list_tokens(engine: AsyncEngine) -> None:
    """Prints a line per token."""
    async with _transaction(engine) as conn:
        tokens = await store.load_tokens(conn)
    if not tokens:
        typer.echo("There are no tokens.")
    for token in tokens:
        whose = f" for {one_line(token.user)}" if token.user else ""
        typer.echo(f"{token.name}: {_RIGHTS[token.scope]}{whose}, created {_day(token.created_at)}, {_use(token)}")


async def revoke_token(engine: AsyncEngine, name: str) -> None:
    """Ends a token at once. Raises CommandError if none of that name is in use."""
    async with _transaction(engine) as conn:
        if not await store.revoke_token(conn, name):
            raise CommandError(f"No token named {name!r} is in use")
        await _record(conn, Entry(Action.TOKEN_REVOKED, object=f"token {name}"))
    typer.echo(f"The token {name!r} is revoked.")


async def one_time_link(engine: AsyncEngine, base_url: str, email: str) -> str:
    """A link that signs the user in once, within the hour. Raises CommandError for an unknown user."""
    token = new_token()
    async with _transaction(engine) as conn:
        account = await _account(conn, email)
        await store.insert_link(conn, digest(token), account.user_id, LINK_VALID_FOR)
        await _record(conn, Entry(Action.LINK_CREATED, user_id=account.user_id, details="to sign in"))
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


async def _admin(conn: AsyncConnection, email: str, name: str | None) -> tuple[str, bool]:
    """The id of the admin with this address, and whether the user was made for it."""
    if name and len(name) > LONGEST_NAME:
        raise UsageError(f"A name has at most {LONGEST_NAME} characters; this one has {len(name)}")
    account = await store.find_account(conn, email)
    if account and account.role != "admin":
        raise CommandError(f"{email} is a {account.role} on the platform; its role must be changed there")
    if account:
        return account.user_id, False
    user_id = f"tutorwatch-{uuid4()}"
    await store.insert_admin(conn, user_id, email=email, name=name or email.partition("@")[0], now=datetime.now(UTC))
    await _record(conn, Entry(Action.ADMIN_CREATED, user_id=user_id))
    return user_id, True


async def _set_password(conn: AsyncConnection, user_id: str, password: NewPassword) -> int:
    """Returns how many sign-ins that ended."""
    await store.store_password(conn, user_id, password)
    await store.forget_browsers_of(conn, user_id)
    await _record(conn, Entry(Action.PASSWORD_CHANGED, user_id=user_id))
    return await store.delete_sign_ins_of(conn, user_id)


async def _password_link(conn: AsyncConnection, base_url: str, user_id: str) -> str:
    token = new_token()
    await store.insert_link(conn, digest(token), user_id, PASSWORD_LINK_VALID_FOR, store.LinkPurpose.PASSWORD)
    await _record(conn, Entry(Action.LINK_CREATED, user_id=user_id, details="to choose a password"))
    return f"{base_url.rstrip('/')}/password?token={quote(token)}"


def _print_link(link: str, email: str) -> None:
    typer.echo(link)
    hours = PASSWORD_LINK_VALID_FOR.total_seconds() / 3600
    typer.echo(f"With this link {one_line(email)} chooses a password, once, within {hours:.0f} hours.", err=True)


_RIGHTS = {Scope.SUMMARY: "reads the summary", Scope.READ: "reads", Scope.ACT: "reads and acts"}


def _ends_after(days: int | None) -> str:
    return "has no end" if days is None else f"ends after {days} days"


def _use(token: store.Token) -> str:
    if token.revoked_at:
        return f"revoked {_day(token.revoked_at)}"
    used = f"last used {_day(token.last_used_at)}" if token.last_used_at else "never used"
    if token.expires_at is None:
        return f"{used}, without an end"
    return f"{used}, {'expired' if token.is_expired else 'expires'} {_day(token.expires_at)}"


def _day(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
