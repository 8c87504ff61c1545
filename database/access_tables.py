"""The tables of who may sign in, and of what they did: see `database.tables` for the others."""

from sqlalchemy import BigInteger, Column, DateTime, LargeBinary, String, Table, Text, Uuid

from database.tables import own

credentials = Table(
    "credentials",
    own,
    Column("user_id", String, primary_key=True),
    Column("parameters", Text),
    Column("key_digest", LargeBinary),
    Column("changed_at", DateTime(timezone=True)),
)

sign_ins = Table(
    "sign_ins",
    own,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", String),
    Column("signed_in_at", DateTime(timezone=True)),
    Column("seen_at", DateTime(timezone=True)),
    Column("id", Uuid),
    Column("method", Text),
    Column("address", Text),
    Column("browser", Text),
)

sign_in_locks = Table(
    "sign_in_locks",
    own,
    Column("subject", LargeBinary, primary_key=True),
    Column("locked_at", DateTime(timezone=True)),
)

identities = Table(
    "identities",
    own,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", String),
    Column("linked_at", DateTime(timezone=True)),
)

known_browsers = Table(
    "known_browsers",
    own,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("seen_at", DateTime(timezone=True)),
)

preferences = Table(
    "preferences",
    own,
    Column("user_id", String, primary_key=True),
    Column("time_zone", Text),
)

sign_in_links = Table(
    "sign_in_links",
    own,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", String),
    Column("expires_at", DateTime(timezone=True)),
    Column("purpose", Text),
)

sign_in_failures = Table(
    "sign_in_failures",
    own,
    Column("id", BigInteger, primary_key=True),
    Column("subject", LargeBinary),
    Column("failed_at", DateTime(timezone=True)),
)

api_tokens = Table(
    "api_tokens",
    own,
    Column("name", Text, primary_key=True),
    Column("token_hash", LargeBinary),
    Column("user_id", String),
    Column("created_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("scope", Text),
)

audit_trail = Table(
    "audit_trail",
    own,
    Column("id", BigInteger, primary_key=True),
    Column("at", DateTime(timezone=True)),
    Column("action", Text),
    Column("outcome", Text),
    Column("reason", Text),
    Column("actor", Text),
    Column("actor_role", Text),
    Column("actor_by", Text),
    Column("address", Text),
    Column("user_id", Text),
    Column("object", Text),
    Column("details", Text),
)
