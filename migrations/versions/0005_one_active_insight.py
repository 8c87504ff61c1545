"""At most one active insight per tutor and category."""

from migrations.indexes import create_unique_after_settling

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Duplicates are made inactive first."""
    create_unique_after_settling(
        "tutorwatch_one_active_insight",
        "public.tutor_insights (tutor_id, category) WHERE is_active",
        settle_file="settle_duplicate_insights",
    )
