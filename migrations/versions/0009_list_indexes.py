"""Indexes for the dashboard's lists."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """None yet: a plan has to prove an index useful first."""
