"""Sign-ins: made beside a proof, listed and ended; and the browsers in which somebody has signed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Interval, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.access_tables import known_browsers, preferences, sign_in_links, sign_ins
from database.tables import users
from web.auth.store.accounts import NAME, OWN, SEEN_EVERY, WITH_PREFERENCES, Account, KnownUse


@dataclass(frozen=True, slots=True)
class Place:
    """From where somebody signs in: the address, where it is known, and what the browser calls itself."""

    address: str | None
    browser: str | None


@dataclass(frozen=True, slots=True)
class SignIn:
    """A browser in which somebody is signed in, as listed for them."""

    id: UUID
    method: str
    address: str | None
    browser: str | None
    signed_in_at: datetime
    seen_at: datetime
    is_this: bool


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a sign-in lasts: without use, and in any case."""

    idle: timedelta
    absolute: timedelta


_NOW = func.clock_timestamp()
_FIND_SIGN_IN = (
    select(
        users.c.id,
        NAME,
        users.c.role,
        preferences.c.time_zone,
        (sign_ins.c.seen_at < _NOW - bindparam("seen_every", type_=Interval)).label("is_stale"),
    )
    .select_from(WITH_PREFERENCES.join(sign_ins, sign_ins.c.user_id == users.c.id))
    .where(
        sign_ins.c.token_hash == bindparam("token_hash"),
        sign_ins.c.seen_at > _NOW - bindparam("idle", type_=Interval),
        sign_ins.c.signed_in_at > _NOW - bindparam("absolute", type_=Interval),
    )
)
"""Asked with every request, so put together once."""


async def find_sign_in(conn: AsyncConnection, token_hash: bytes, lifetime: Lifetime) -> KnownUse | None:
    """Who is signed in with this token, as the platform knows them now; None once it has ended."""
    values = {"token_hash": token_hash, "idle": lifetime.idle, "absolute": lifetime.absolute}
    values["seen_every"] = min(SEEN_EVERY, lifetime.idle / 10)
    row = (await conn.execute(_FIND_SIGN_IN, values)).one_or_none()
    if row is None:
        return None
    return KnownUse(Account(row.id, row.name, row.role, time_zone=row.time_zone), row.is_stale)


async def touch_sign_in(conn: AsyncConnection, token_hash: bytes) -> None:
    """Notes that the sign-in is in use."""
    await conn.execute(
        update(sign_ins).where(sign_ins.c.token_hash == token_hash).values(seen_at=func.clock_timestamp())
    )


async def insert_sign_in(conn: AsyncConnection, token_hash: bytes, user_id: str) -> None:
    """A new sign-in, as the database's owner: without a proof."""
    await conn.execute(insert(sign_ins).values(token_hash=token_hash, user_id=user_id))


async def sign_in_by_password(conn: AsyncConnection, user_id: str, key: bytes, token_hash: bytes, place: Place) -> bool:
    """A new sign-in of the account, if this is its password's key; returns whether it is."""
    signed_in = OWN.sign_in_with_password(user_id, key, token_hash, place.address, place.browser)
    return bool(await conn.scalar(select(signed_in)))


async def sign_in_by_link(conn: AsyncConnection, link: bytes, token_hash: bytes, place: Place) -> str | None:
    """A new sign-in of the user whom the link was made for; returns their id, or None for a link that has ended."""
    user_id: str | None = await conn.scalar(
        select(OWN.sign_in_with_link(link, token_hash, place.address, place.browser))
    )
    return user_id


async def sign_in_from_provider(
    conn: AsyncConnection, issuer: str, subject: str, verified_email: str | None, token_hash: bytes, place: Place
) -> str | None:
    """A new sign-in of whom a provider of OpenID Connect vouches for; returns the user's id, or None for nobody here.

    Whoever signs in for the first time is linked to the only user with the verified address.
    """
    user_id: str | None = await conn.scalar(
        select(OWN.sign_in_from_provider(issuer, subject, verified_email, token_hash, place.address, place.browser))
    )
    return user_id


async def remove_ended_sign_ins(conn: AsyncConnection, lifetime: Lifetime) -> None:
    """Removes the sign-ins that have ended by themselves."""
    now = func.clock_timestamp()
    await conn.execute(
        delete(sign_ins).where(
            (sign_ins.c.seen_at < now - lifetime.idle) | (sign_ins.c.signed_in_at < now - lifetime.absolute)
        )
    )


async def load_sign_ins(conn: AsyncConnection, user_id: str, token_hash: bytes, lifetime: Lifetime) -> list[SignIn]:
    """Where the user is signed in, the latest use first; `token_hash` is that of the browser that asks."""
    now = func.clock_timestamp()
    rows = await conn.execute(
        select(
            sign_ins.c.id,
            sign_ins.c.method,
            sign_ins.c.address,
            sign_ins.c.browser,
            sign_ins.c.signed_in_at,
            sign_ins.c.seen_at,
            (sign_ins.c.token_hash == token_hash).label("is_this"),
        )
        .where(
            sign_ins.c.user_id == user_id,
            sign_ins.c.seen_at > now - lifetime.idle,
            sign_ins.c.signed_in_at > now - lifetime.absolute,
        )
        .order_by(sign_ins.c.seen_at.desc())
    )
    return [SignIn(*row) for row in rows]


async def delete_sign_in(conn: AsyncConnection, token_hash: bytes) -> None:
    """Ends one sign-in."""
    await conn.execute(delete(sign_ins).where(sign_ins.c.token_hash == token_hash))


async def delete_one_sign_in(conn: AsyncConnection, user_id: str, sign_in_id: UUID) -> bool:
    """Ends one sign-in of the user; returns False if they have none with this id."""
    ended = await conn.execute(delete(sign_ins).where(sign_ins.c.user_id == user_id, sign_ins.c.id == sign_in_id))
    return ended.rowcount == 1


async def delete_sign_ins_of(conn: AsyncConnection, user_id: str, *, but: bytes = b"") -> int:
    """Ends all sign-ins of a user but one, and the links not used yet; returns how many sign-ins there were."""
    await conn.execute(delete(sign_in_links).where(sign_in_links.c.user_id == user_id))
    ended = await conn.execute(delete(sign_ins).where(sign_ins.c.user_id == user_id, sign_ins.c.token_hash != but))
    return ended.rowcount


BROWSER_KEPT_FOR = timedelta(days=365)
"""How long a browser is known after somebody last signed in there."""


async def is_known_browser(conn: AsyncConnection, token_hash: bytes, user_id: str) -> bool:
    """Whether this user has signed in in the browser with this token before."""
    return bool(
        await conn.scalar(
            select(known_browsers.c.user_id).where(
                known_browsers.c.token_hash == token_hash,
                known_browsers.c.user_id == user_id,
                known_browsers.c.seen_at > func.clock_timestamp() - BROWSER_KEPT_FOR,
            )
        )
    )


async def note_browser(conn: AsyncConnection, token_hash: bytes, user_id: str) -> None:
    """From now on the browser is one that this user has signed in in; forgotten ones are removed on the way."""
    now = func.clock_timestamp()
    await conn.execute(delete(known_browsers).where(known_browsers.c.seen_at < now - BROWSER_KEPT_FOR))
    await conn.execute(
        upsert(known_browsers)
        .values(token_hash=token_hash, user_id=user_id)
        .on_conflict_do_update(index_elements=["token_hash", "user_id"], set_={"seen_at": now})
    )


async def forget_browsers_of(conn: AsyncConnection, user_id: str, *, but: bytes = b"") -> None:
    """No browser, or only one, is known as this user's any more."""
    theirs = (known_browsers.c.user_id == user_id) & (known_browsers.c.token_hash != but)
    await conn.execute(delete(known_browsers).where(theirs))
