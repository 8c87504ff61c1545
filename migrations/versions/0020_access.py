"""Sign-ins, what people may do, and the audit trail."""

from migrations.sql import execute, read_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Passwords stay valid: what is kept of one is now a digest of what it was before."""
    execute(read_sql("revisions/0020_access"))
