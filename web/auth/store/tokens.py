"""Programs' tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import false, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.access_tables import api_tokens
from database.tables import users
from web.auth.identity import Scope
from web.auth.store.accounts import SEEN_EVERY, Account, KnownUse
from web.queries.expressions import LONGEST_LINE


@dataclass(frozen=True, slots=True)
class EndedToken:
    """A program's token that is no longer good, and why."""

    name: str
    why: str


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
