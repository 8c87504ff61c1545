"""Reads and writes of signing in: accounts, sign-ins, links, failed attempts and programs' tokens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from string import ascii_lowercase, ascii_uppercase

from sqlalchemy import collate, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.connections import AnsweredConnection
from database.tables import api_tokens, credentials, sign_in_failures, sign_in_links, sign_ins, users

SEEN_EVERY = timedelta(minutes=1)
"""How exactly it is known when a sign-in or token was last used: not every request writes."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user as the platform knows them."""

    user_id: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class KnownUse:
    """Who is behind a cookie or token, and whether its last use is to be noted again."""

    account: Account
    is_stale: bool


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
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_OWN = func.tutorwatch
"""Functions of our schema."""


_TO_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def folded_email(email: str) -> str:
    """The address as addresses are compared."""
    return email.translate(_TO_LOWER)


async def find_account(conn: AsyncConnection, email: str) -> Account | None:
    """The user with this e-mail address, whatever the case of its ASCII letters; None if there is none, or several.

    Of ASCII letters only: by Unicode's rules U+212A (the sign for kelvin) is a k, and somebody else's address this one.
    """
    query = select(users.c.id, users.c.name, users.c.role)
    # The platform's own unique index finds an address as it is; only one in another case is looked for in all of them.
    found = list(await conn.execute(query.where(users.c.email == email)))
    if not found:
        folded = func.lower(collate(users.c.email, "C"))
        found = list(await conn.execute(query.where(folded == folded_email(email)).limit(2)))
    return Account(found[0].id, found[0].name, found[0].role) if len(found) == 1 else None


async def load_password_hash(conn: AsyncConnection, user_id: str) -> str | None:
    """The hash that the account's password must match; None where none was set."""
    found: str | None = await conn.scalar(select(_OWN.password_hash_of(user_id)))
    return found


async def store_password_hash(conn: AsyncConnection, user_id: str, password_hash: str) -> None:
    """Sets the account's password."""
    now = func.clock_timestamp()
    await conn.execute(
        upsert(credentials)
        .values(user_id=user_id, password_hash=password_hash)
        .on_conflict_do_update(
            index_elements=[credentials.c.user_id], set_={"password_hash": password_hash, "changed_at": now}
        )
    )


async def renew_password_hash(conn: AsyncConnection, user_id: str, kept: str, renewed: str) -> None:
    """Puts a stronger hash of the same password in the place of `kept`, unless the password has changed since."""
    await conn.execute(select(_OWN.renew_password_hash(user_id, kept, renewed)))


async def insert_admin(conn: AsyncConnection, user_id: str, *, email: str, name: str, now: datetime) -> None:
    """A new user of the platform, with the role of an admin."""
    await conn.execute(insert(users).values(id=user_id, email=email, name=name, role="admin", created_at=now))


_FIND_SIGN_INS = """
    SELECT s.token_hash, u.id, u.name, u.role::text, s.seen_at < clock_timestamp() - $4::interval
    FROM tutorwatch.sign_ins AS s JOIN public.users AS u ON u.id = s.user_id
    WHERE s.token_hash = ANY($1)
      AND s.seen_at > clock_timestamp() - $2::interval
      AND s.signed_in_at > clock_timestamp() - $3::interval
"""


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


async def insert_sign_in(conn: AsyncConnection, token_hash: bytes, user_id: str, lifetime: Lifetime) -> None:
    """A new sign-in; those that have ended by themselves are removed on the way."""
    now = func.clock_timestamp()
    await conn.execute(
        delete(sign_ins).where(
            (sign_ins.c.seen_at < now - lifetime.idle) | (sign_ins.c.signed_in_at < now - lifetime.absolute)
        )
    )
    await conn.execute(insert(sign_ins).values(token_hash=token_hash, user_id=user_id))


async def delete_sign_in(conn: AsyncConnection, token_hash: bytes) -> None:
    """Ends one sign-in."""
    await conn.execute(delete(sign_ins).where(sign_ins.c.token_hash == token_hash))


async def delete_sign_ins_of(conn: AsyncConnection, user_id: str) -> int:
    """Ends all sign-ins of a user and the links not used yet; returns how many sign-ins there were."""
    await conn.execute(delete(sign_in_links).where(sign_in_links.c.user_id == user_id))
    return (await conn.execute(delete(sign_ins).where(sign_ins.c.user_id == user_id))).rowcount


async def insert_link(conn: AsyncConnection, token_hash: bytes, user_id: str, valid_for: timedelta) -> None:
    """A link that signs the user in once; expired ones are removed on the way."""
    now = func.clock_timestamp()
    await conn.execute(delete(sign_in_links).where(sign_in_links.c.expires_at < now))
    await conn.execute(insert(sign_in_links).values(token_hash=token_hash, user_id=user_id, expires_at=now + valid_for))


async def use_link(conn: AsyncConnection, token_hash: bytes) -> str | None:
    """The user whom the link signs in; None for one that was used, has expired or never was."""
    user_id: str | None = await conn.scalar(
        delete(sign_in_links)
        .where(
            sign_in_links.c.token_hash == token_hash,
            sign_in_links.c.expires_at > func.clock_timestamp(),
            sign_in_links.c.user_id.in_(select(users.c.id)),
        )
        .returning(sign_in_links.c.user_id)
    )
    return user_id


_LOCK_SUBJECT = text("SELECT pg_advisory_xact_lock(hashtextextended('tutorwatch sign-in ' || :subject, 0))")


MOST_AHEAD = timedelta(seconds=5)
"""A time that lies further in the future isn't believed."""


async def load_failures(conn: AsyncConnection, subjects: Sequence[bytes], window: timedelta) -> list[Failures]:
    """The failed attempts of each subject inside the window, in the order of the subjects.

    Locks the subjects until the transaction ends, so that attempts made at once are counted one by one.
    """
    for subject in sorted(subjects):
        await conn.execute(_LOCK_SUBJECT, {"subject": subject.hex()})
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


_FIND_TOKEN = text("""
    SELECT t.name AS token_name, u.id, u.name, u.role::text AS role, t.user_id IS NOT NULL AS is_personal,
           t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - CAST(:seen_every AS interval) AS is_stale
    FROM tutorwatch.api_tokens AS t LEFT JOIN public.users AS u ON u.id = t.user_id
    WHERE t.token_hash = :token_hash AND t.revoked_at IS NULL
""")


async def find_token(conn: AsyncConnection, token_hash: bytes) -> KnownUse | None:
    """Whom the token acts for; without a person it reads as an admin. None once it is revoked or they are gone."""
    row = (await conn.execute(_FIND_TOKEN, {"token_hash": token_hash, "seen_every": SEEN_EVERY})).one_or_none()
    if row is None or (row.is_personal and row.id is None):
        return None
    account = Account(row.id, row.name, row.role) if row.is_personal else Account("", row.token_name, "admin")
    return KnownUse(account, row.is_stale)


async def touch_token(conn: AsyncConnection, token_hash: bytes) -> None:
    """Notes that the token is in use."""
    await conn.execute(
        update(api_tokens).where(api_tokens.c.token_hash == token_hash).values(last_used_at=func.clock_timestamp())
    )


async def insert_token(conn: AsyncConnection, name: str, token_hash: bytes, user_id: str | None) -> bool:
    """A new token; returns False if the name is taken, by a revoked one too."""
    added = await conn.scalar(
        upsert(api_tokens)
        .values(name=name, token_hash=token_hash, user_id=user_id)
        .on_conflict_do_nothing()
        .returning(api_tokens.c.name)
    )
    return added is not None


async def load_tokens(conn: AsyncConnection) -> list[Token]:
    """All tokens by name, revoked ones too."""
    query = (
        select(
            api_tokens.c.name,
            func.coalesce(users.c.email, api_tokens.c.user_id).label("user"),
            api_tokens.c.created_at,
            api_tokens.c.last_used_at,
            api_tokens.c.revoked_at,
        )
        .select_from(api_tokens.outerjoin(users, users.c.id == api_tokens.c.user_id))
        .order_by(api_tokens.c.name)
    )
    return [Token(*row) for row in await conn.execute(query)]


async def revoke_token(conn: AsyncConnection, name: str) -> bool:
    """Ends the token; returns False if there is none of that name in use."""
    revoked = await conn.execute(
        update(api_tokens)
        .where(api_tokens.c.name == name, api_tokens.c.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
    )
    return revoked.rowcount == 1
