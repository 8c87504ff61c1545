"""What the dashboard says of its figures is true in the corners, too."""

from datetime import UTC, datetime, timedelta

from tests.support.browsers import Browser, read_page
from tests.support.platform import Platform

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


async def test_tutors_at_churn_risk_may_be_without_a_scored_session(admin: Browser, platform: Platform) -> None:
    for _ in range(2):
        await platform.session("ann", student="sam", at=YESTERDAY, status="no_show_tutor")

    page = await read_page(admin, "/")

    assert "active tutor" not in page
    assert "from 2 no-shows or 5 reschedules each" in page


async def test_top_performers_may_be_missing_for_their_scores(admin: Browser, platform: Platform) -> None:
    for _ in range(5):
        await platform.session("ann", student="sam", at=YESTERDAY, score="6.0")

    page = await read_page(admin, "/")

    assert "No tutor has five scored sessions" not in page
    assert "No tutor with five scored sessions averages 6.5 or more" in page
