"""Accounts: who has them, their passwords, links for choosing one, and identities at a provider."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from string import ascii_lowercase, ascii_uppercase

from sqlalchemy import collate, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.access_tables import credentials, identities, preferences, sign_in_links
from database.tables import users
from web.auth.identity import Scope
from web.auth.passwords import NewPassword
from web.queries.expressions import LONGEST_LINE

SEEN_EVERY = timedelta(minutes=1)
"""How exactly it is known when a sign-in or token was last used: not every request writes."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user as the platform knows them."""

    user_id: str
    name: str
    role: str
    email: str = ""
    """Where it was asked for."""
    time_zone: str | None = None
    """The name of the one that they chose; asked for with every request."""


class LinkPurpose(StrEnum):
    """What a one-time link is for."""

    SIGN_IN = "sign_in"
    PASSWORD = "password"  # noqa: S105 # nosec B105


@dataclass(frozen=True, slots=True)
class KnownUse:
    """Who is behind a cookie or token, and whether its last use is to be noted again."""

    account: Account
    is_stale: bool
    scope: Scope = Scope.ACT
    token_name: str = ""
    expires_at: datetime | None = None


OWN = func.tutorwatch
"""Functions of our schema."""

NAME = func.left(users.c.name, LONGEST_LINE + 1).label("name")
"""Of a name, what pages show, and one character more: it tells whether any is left (see web/queries/expressions.py)."""

WITH_PREFERENCES = users.outerjoin(preferences, preferences.c.user_id == users.c.id)
"""Users with what they chose for themselves."""

_TO_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def folded_email(email: str) -> str:
    """The address as addresses are compared."""
    return email.translate(_TO_LOWER)


async def find_account(conn: AsyncConnection, email: str) -> Account | None:
    """The user with this e-mail address, whatever the case of its ASCII letters; None if there is none, or several.

    Of ASCII letters only: by Unicode's rules U+212A (the sign for kelvin) is a k, and somebody else's address this one.
    """
    query = select(users.c.id, NAME, users.c.role, users.c.email, preferences.c.time_zone).select_from(WITH_PREFERENCES)
    # The platform's own unique index finds an address as it is; only one in another case is looked for in all of them.
    found = list(await conn.execute(query.where(users.c.email == email)))
    if not found:
        folded = func.lower(collate(users.c.email, "C"))
        found = list(await conn.execute(query.where(folded == folded_email(email)).limit(2)))
    return Account(*found[0]) if len(found) == 1 else None


async def load_account(conn: AsyncConnection, user_id: str) -> Account | None:
    """The user with this id."""
    found = await conn.execute(select(users.c.id, NAME, users.c.role, users.c.email).where(users.c.id == user_id))
    row = found.one_or_none()
    return Account(*row) if row else None


async def load_parameters(conn: AsyncConnection, user_id: str) -> str | None:
    """With what the account's password is to be hashed; None where none was set."""
    found: str | None = await conn.scalar(select(OWN.password_parameters(user_id)))
    return found


async def store_password(conn: AsyncConnection, user_id: str, password: NewPassword) -> None:
    """Sets the account's password, as the database's owner."""
    values = {"parameters": password.parameters, "key_digest": password.key_digest}
    await conn.execute(
        upsert(credentials)
        .values(user_id=user_id, **values)
        .on_conflict_do_update(
            index_elements=[credentials.c.user_id], set_=values | {"changed_at": func.clock_timestamp()}
        )
    )


async def replace_password(conn: AsyncConnection, user_id: str, key: bytes, password: NewPassword) -> bool:
    """Puts another password in the place of the one whose key this is; returns whether it is its key."""
    replaced = OWN.replace_password(user_id, key, password.parameters, password.key_digest)
    return bool(await conn.scalar(select(replaced)))


async def set_password_by_link(conn: AsyncConnection, token: bytes, password: NewPassword) -> str | None:
    """Sets the password of the user whom the link was made for, and ends their sign-ins; returns the user's id, or None
    for a link that has ended.
    """
    user_id: str | None = await conn.scalar(
        select(OWN.set_password_with_link(token, password.parameters, password.key_digest))
    )
    return user_id


async def user_of_link(conn: AsyncConnection, token_hash: bytes) -> Account | None:
    """Who may choose a password by this link; None where it has ended."""
    found = await conn.execute(
        select(users.c.id, NAME, users.c.role, users.c.email)
        .join_from(sign_in_links, users, users.c.id == sign_in_links.c.user_id)
        .where(
            sign_in_links.c.token_hash == token_hash,
            sign_in_links.c.purpose == LinkPurpose.PASSWORD,
            sign_in_links.c.expires_at > func.clock_timestamp(),
        )
    )
    row = found.one_or_none()
    return Account(row.id, row.name, row.role, row.email) if row else None


async def insert_admin(conn: AsyncConnection, user_id: str, *, email: str, name: str, now: datetime) -> None:
    """A new user of the platform, with the role of an admin."""
    await conn.execute(insert(users).values(id=user_id, email=email, name=name, role="admin", created_at=now))


async def delete_identities_of(conn: AsyncConnection, user_id: str) -> int:
    """Unlinks a user from all providers; returns from how many."""
    return (await conn.execute(delete(identities).where(identities.c.user_id == user_id))).rowcount


async def insert_link(
    conn: AsyncConnection,
    token_hash: bytes,
    user_id: str,
    valid_for: timedelta,
    purpose: LinkPurpose = LinkPurpose.SIGN_IN,
) -> None:
    """A link that the user may use once; expired ones are removed on the way."""
    now = func.clock_timestamp()
    await conn.execute(delete(sign_in_links).where(sign_in_links.c.expires_at < now))
    await conn.execute(
        insert(sign_in_links).values(
            token_hash=token_hash, user_id=user_id, expires_at=now + valid_for, purpose=purpose.value
        )
    )


async def store_time_zone(conn: AsyncConnection, user_id: str, time_zone: str | None) -> None:
    """Keeps the zone that somebody chose; None: they choose none any more."""
    if time_zone is None:
        await conn.execute(delete(preferences).where(preferences.c.user_id == user_id))
        return
    await conn.execute(
        upsert(preferences)
        .values(user_id=user_id, time_zone=time_zone)
        .on_conflict_do_update(index_elements=[preferences.c.user_id], set_={"time_zone": time_zone})
    )
