"""A tutor's page has one average under one name: in its header, its charts and what the rules measured."""

import re
from datetime import UTC, datetime, timedelta

from tests.support.browsers import Browser, read_page
from tests.support.platform import Platform


async def test_header_chart_and_rules_tell_the_same_average(admin: Browser, platform: Platform) -> None:
    """Many sessions on one day, few on others: the average of the days would be another."""
    now = datetime.now(UTC)
    values = [(2, "9.0"), (2.01, "9.0"), (2.02, "9.0"), (6, "5.0"), (29.9, "6.0"), (-0.1, "8.3")]
    for days_ago, value in values:
        audio = {"student_engagement_score": value}
        await platform.session("bob", at=now - timedelta(days=days_ago), score=value, audio=audio)
    for days_ago in (40, 41, 42):
        await platform.session("bob", at=now - timedelta(days=days_ago), score="7.0")

    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", await read_page(admin, "/tutors/bob")))

    assert re.search(r"Average score 7\.7 ", page)
    assert "Session score average 7.7 of 10" in page
    assert "Average score 7.7 in the last 30 days" in page
    assert re.search(r"Student engagement 7\.7 of 10, 6 sessions", page)
    assert "Student engagement average 7.7 of 10" in page
    assert "7.7 on average over 6 sessions in 30 days" in page
