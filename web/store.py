"""Reads and writes of signing in: accounts, sign-ins, links, failed attempts and programs' tokens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from string import ascii_lowercase, ascii_uppercase
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, bindparam, collate, delete, false, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.connections import AnsweredConnection
from database.tables import (
    api_tokens,
    credentials,
    identities,
    known_browsers,
    sign_in_failures,
    sign_in_links,
    sign_ins,
    users,
)
from web.access_passwords import NewPassword
from web.identity import Scope
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


class LinkPurpose(StrEnum):
    """What a one-time link is for."""

    SIGN_IN = "sign_in"
    PASSWORD = "password"  # noqa: S105 # nosec B105


@dataclass(frozen=True, slots=True)
class Place:
    """From where somebody signs in: the address, where it is known, and what the browser calls itself."""

    address: str | None
    browser: str | None


@dataclass(frozen=True, slots=True)
class KnownUse:
    """Who is behind a cookie or token, and whether its last use is to be noted again."""

    account: Account
    is_stale: bool
    scope: Scope = Scope.ACT
    token_name: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndedToken:
    """A program's token that is no longer good, and why."""

    name: str
    why: str


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


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed attempts of an address or for an account, and the seconds since the latest."""

    count: int
    seconds_since: float


@dataclass(frozen=True, slots=True)
class Token:
    """A program's token, as listed; `user` is whom it acts for."""

    name: str
    user: str | None
    scope: Scope
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    is_expired: bool


_OWN = func.tutorwatch
"""Functions of our schema."""
_NAME = func.left(users.c.name, LONGEST_LINE + 1).label("name")
"""Of a name, what pages show, and one character more: it tells whether any is left (see web/queries/expressions.py)."""


_TO_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def folded_email(email: str) -> str:
    """The address as addresses are compared."""
    return email.translate(_TO_LOWER)


async def find_account(conn: AsyncConnection, email: str) -> Account | None:
    """The user with this e-mail address, whatever the case of its ASCII letters; None if there is none, or several.

    Of ASCII letters only: by Unicode's rules U+212A (the sign for kelvin) is a k, and somebody else's address this one.
    """
    query = select(users.c.id, _NAME, users.c.role, users.c.email)
    # The platform's own unique index finds an address as it is; only one in another case is looked for in all of them.
    found = list(await conn.execute(query.where(users.c.email == email)))
    if not found:
        folded = func.lower(collate(users.c.email, "C"))
        found = list(await conn.execute(query.where(folded == folded_email(email)).limit(2)))
    return Account(found[0].id, found[0].name, found[0].role, found[0].email) if len(found) == 1 else None


async def load_account(conn: AsyncConnection, user_id: str) -> Account | None:
    """The user with this id."""
    found = await conn.execute(select(users.c.id, _NAME, users.c.role, users.c.email).where(users.c.id == user_id))
    row = found.one_or_none()
    return Account(*row) if row else None


async def load_parameters(conn: AsyncConnection, user_id: str) -> str | None:
    """With what the account's password is to be hashed; None where none was set."""
    found: str | None = await conn.scalar(select(_OWN.password_parameters(user_id)))
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
    replaced = _OWN.replace_password(user_id, key, password.parameters, password.key_digest)
    return bool(await conn.scalar(select(replaced)))


async def set_password_by_link(conn: AsyncConnection, token: bytes, password: NewPassword) -> str | None:
    """Sets the password of the user whom the link was made for, and ends their sign-ins; returns the user's id, or None
    for a link that has ended.
    """
    user_id: str | None = await conn.scalar(
        select(_OWN.set_password_with_link(token, password.parameters, password.key_digest))
    )
    return user_id


async def user_of_link(conn: AsyncConnection, token_hash: bytes) -> Account | None:
    """Who may choose a password by this link; None where it has ended."""
    found = await conn.execute(
        select(users.c.id, _NAME, users.c.role, users.c.email)
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


_FIND_SIGN_INS = f"""
    SELECT s.token_hash, u.id, left(u.name, {LONGEST_LINE + 1}), u.role::text,
           s.seen_at < clock_timestamp() - $4::interval
    FROM tutorwatch.sign_ins AS s JOIN public.users AS u ON u.id = s.user_id
    WHERE s.token_hash = ANY($1)
      AND s.seen_at > clock_timestamp() - $2::interval
      AND s.signed_in_at > clock_timestamp() - $3::interval
"""  # noqa: S608 - a constant of ours


async def find_sign_ins(
    conn: AnsweredConnection, token_hashes: Collection[bytes], lifetime: Lifetime
) -> dict[bytes, KnownUse]:
    """Who is signed in with each of these tokens; those that have ended are left out."""
    seen_every = min(SEEN_EVERY, lifetime.idle / 10)
    cursor = await conn.execute(_FIND_SIGN_INS, [list(token_hashes), lifetime.idle, lifetime.absolute, seen_every])
    return {
        token_hash: KnownUse(Account(user_id, name, role), is_stale)
        for token_hash, user_id, name, role, is_stale in await cursor.fetchall()
    }


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
    signed_in = _OWN.sign_in_with_password(user_id, key, token_hash, place.address, place.browser)
    return bool(await conn.scalar(select(signed_in)))


async def sign_in_by_link(conn: AsyncConnection, link: bytes, token_hash: bytes, place: Place) -> str | None:
    """A new sign-in of the user whom the link was made for; returns their id, or None for a link that has ended."""
    user_id: str | None = await conn.scalar(
        select(_OWN.sign_in_with_link(link, token_hash, place.address, place.browser))
    )
    return user_id


async def sign_in_from_provider(
    conn: AsyncConnection, issuer: str, subject: str, verified_email: str | None, token_hash: bytes, place: Place
) -> str | None:
    """A new sign-in of whom a provider of OpenID Connect vouches for; returns the user's id, or None for nobody here.

    Whoever signs in for the first time is linked to the only user with the verified address.
    """
    user_id: str | None = await conn.scalar(
        select(_OWN.sign_in_from_provider(issuer, subject, verified_email, token_hash, place.address, place.browser))
    )
    return user_id


async def delete_identities_of(conn: AsyncConnection, user_id: str) -> int:
    """Unlinks a user from all providers; returns from how many."""
    return (await conn.execute(delete(identities).where(identities.c.user_id == user_id))).rowcount


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


# In one order, so that two attempts never wait for each other. A row of ours, not an advisory lock: that could be held
# by any role.
_LOCK_SUBJECTS = text("""
    INSERT INTO tutorwatch.sign_in_locks (subject)
    SELECT subject FROM unnest(:subjects) AS given (subject) ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET locked_at = excluded.locked_at
""").bindparams(bindparam("subjects", type_=ARRAY(LargeBinary)))
_REMOVE_LOCKS = text("""
    DELETE FROM tutorwatch.sign_in_locks WHERE subject IN (
        SELECT subject FROM tutorwatch.sign_in_locks
        WHERE locked_at < clock_timestamp() - CAST(:unused AS interval)
        FOR UPDATE SKIP LOCKED
    )
""")

MOST_AHEAD = timedelta(seconds=5)
"""A time that lies further in the future isn't believed."""


async def load_failures(conn: AsyncConnection, subjects: Sequence[bytes], window: timedelta) -> list[Failures]:
    """The failed attempts of each subject inside the window, in the order of the subjects.

    Locks the subjects until the transaction ends, so that attempts made at once are counted one by one.
    """
    await conn.execute(_REMOVE_LOCKS, {"unused": window})
    await conn.execute(_LOCK_SUBJECTS, {"subjects": list(subjects)})
    now = func.clock_timestamp()
    is_over = sign_in_failures.c.failed_at < now - window
    is_ahead = sign_in_failures.c.failed_at > now + MOST_AHEAD  # of a clock that has been set back since
    await conn.execute(delete(sign_in_failures).where(or_(is_over, is_ahead)))
    rows = await conn.execute(
        select(
            sign_in_failures.c.subject,
            func.count().label("failures"),
            func.extract("epoch", func.clock_timestamp() - func.max(sign_in_failures.c.failed_at)).label("seconds"),
        )
        .where(sign_in_failures.c.subject.in_(subjects))
        .group_by(sign_in_failures.c.subject)
    )
    found = {bytes(row.subject): Failures(row.failures, float(row.seconds)) for row in rows}
    return [found.get(subject, Failures(0, 0.0)) for subject in subjects]


async def insert_failures(conn: AsyncConnection, subjects: Sequence[bytes]) -> list[int]:
    """Notes a failed attempt for each subject; returns the notes' ids."""
    rows = await conn.execute(
        insert(sign_in_failures).returning(sign_in_failures.c.id), [{"subject": subject} for subject in subjects]
    )
    return list(rows.scalars())


async def forget_failures(conn: AsyncConnection, note_ids: Sequence[int], *, of: bytes) -> None:
    """After a success: takes back these notes, and all of the account `of`."""
    await conn.execute(
        delete(sign_in_failures).where(sign_in_failures.c.id.in_(note_ids) | (sign_in_failures.c.subject == of))
    )


_FIND_TOKEN = text(f"""
    SELECT t.name AS token_name, t.scope, t.expires_at, t.user_id IS NOT NULL AS is_personal,
           u.id, left(u.name, {LONGEST_LINE + 1}) AS name, u.role::text AS role,
           t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - CAST(:seen_every AS interval) AS is_stale,
           CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked'
                WHEN t.expires_at <= clock_timestamp() THEN 'expired'
                WHEN t.user_id IS NOT NULL AND u.id IS NULL THEN 'its user is gone' END AS ended
    FROM tutorwatch.api_tokens AS t LEFT JOIN public.users AS u ON u.id = t.user_id
    WHERE t.token_hash = :token_hash
""")  # noqa: S608 - a constant of ours


async def find_token(conn: AsyncConnection, token_hash: bytes) -> KnownUse | EndedToken | None:
    """Whom the token acts for; without a person it reads as an admin. None for one that never was."""
    row = (await conn.execute(_FIND_TOKEN, {"token_hash": token_hash, "seen_every": SEEN_EVERY})).one_or_none()
    if row is None:
        return None
    if row.ended:
        return EndedToken(row.token_name, row.ended)
    account = Account(row.id, row.name, row.role) if row.is_personal else Account("", row.token_name, "admin")
    return KnownUse(account, row.is_stale, Scope(row.scope), row.token_name, row.expires_at)


async def touch_token(conn: AsyncConnection, token_hash: bytes) -> None:
    """Notes that the token is in use."""
    await conn.execute(
        update(api_tokens).where(api_tokens.c.token_hash == token_hash).values(last_used_at=func.clock_timestamp())
    )


async def insert_token(
    conn: AsyncConnection, name: str, token_hash: bytes, user_id: str | None, scope: Scope, valid_for: timedelta | None
) -> bool:
    """A new token; returns False if the name is taken, by one that has ended too. `valid_for` None: without an end."""
    expires_at = None if valid_for is None else func.clock_timestamp() + valid_for
    added = await conn.scalar(
        upsert(api_tokens)
        .values(name=name, token_hash=token_hash, user_id=user_id, scope=scope.value, expires_at=expires_at)
        .on_conflict_do_nothing()
        .returning(api_tokens.c.name)
    )
    return added is not None


async def load_tokens(conn: AsyncConnection) -> list[Token]:
    """All tokens by name, those that have ended too."""
    query = (
        select(
            api_tokens.c.name,
            func.coalesce(users.c.email, api_tokens.c.user_id).label("user"),
            api_tokens.c.scope,
            api_tokens.c.created_at,
            api_tokens.c.last_used_at,
            api_tokens.c.expires_at,
            api_tokens.c.revoked_at,
            func.coalesce(api_tokens.c.expires_at <= func.clock_timestamp(), false()),
        )
        .select_from(api_tokens.outerjoin(users, users.c.id == api_tokens.c.user_id))
        .order_by(api_tokens.c.name)
    )
    return [Token(name, user, Scope(scope), *rest) for name, user, scope, *rest in await conn.execute(query)]


async def revoke_token(conn: AsyncConnection, name: str) -> bool:
    """Ends the token; returns False if there is none of that name in use."""
    revoked = await conn.execute(
        update(api_tokens)
        .where(api_tokens.c.name == name, api_tokens.c.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
    )
    return revoked.rowcount == 1
