"""Every number on the dashboard leads to the list of exactly what it counts."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

from tests.support.alerts import insert_alert
from tests.support.browsers import Browser, read_page
from tests.support.platform import Platform
from tests.support.waiting import eventually

ROWS = r'<tr role="row" id="tutor-[^"]*">(.*?)</tr>'


async def listed(browser: Browser, path: str, row: str = ROWS) -> list[str]:
    """The rows of the list at this address, all its pages."""
    found: list[str] = []
    while path:
        page = await read_page(browser, path)
        found += re.findall(row, page, re.DOTALL)
        following = re.search(r'href="([^"]*)" rel="next"', page)
        path = unescape(following[1]) if following else ""
    return found


async def a_varied_platform(platform: Platform) -> None:
    """Tutors of every kind that the dashboard counts, more of each than it shows."""
    now = datetime.now(UTC)

    async def session(tutor: str, **values: Any) -> None:
        await platform.session(tutor, at=now - timedelta(days=values.pop("days", 3)), **values)

    for number in range(70):
        tutor = f"tutor-{number:02}"
        await platform.user(tutor, name=f"Tutor {number:02}")
        for held in range(number % 8):
            student = f"student-{number}-{held}"
            await session(
                tutor,
                score=str(Decimal(60 + number % 7 * 5 + held) / 10),
                number=1 + (held + number) % 2,
                student=student,
            )
            if held % 3 == 0:
                await session(tutor, number=2, student=student)
        for _ in range(number % 4):
            await session(tutor, status="no_show_tutor")
        await session(tutor, status="no_show_student")
        for _ in range(number % 7):
            await session(tutor, status="rescheduled", rescheduled_by="tutor")
        for severity, every in (("critical", 5), ("warning", 3), ("info", 11)):
            if number % every == 0:
                await insert_alert(platform, tutor, severity=severity, acknowledged=number % 2 == 0)
        if number % 10 == 0:
            await insert_alert(platform, tutor, alert_type="high_talk_ratio", title="Tutor talks too much")
    await session("tutor-01", status="no_show_tutor", days=31)


async def test_every_number_on_the_dashboard_leads_to_exactly_what_it_counts(
    platform: Platform, admin: Browser
) -> None:
    await a_varied_platform(platform)
    await platform.connection.execute(
        "UPDATE alerts SET acknowledged = true, acknowledged_at = now() WHERE id ="
        " (SELECT id FROM alerts WHERE NOT resolved AND severity = 'critical' ORDER BY id LIMIT 1)"
    )
    page = await read_page(admin, "/")

    def link(pattern: str) -> tuple[str, str]:
        """Where the link whose text matches leads to, and the match."""
        found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>(?:<span[^>]*>\(</span>)?{pattern}', page)
        assert found, pattern
        return found[1], found[2]

    statistics = page[page.index("Average session score") : page.index('id="critical"')]
    score, conversion, risk, no_shows = re.findall(
        r'<dd><a href="([^"]*)">([\d.%,]+)</a>.*?<dd[^>]*>([^<]*)', statistics, re.DOTALL
    )

    rows = await listed(admin, score[0])
    assert sum(int(found) for row in rows for found in re.findall(r"of (\d+) scored", row)) == int(score[2].split()[0])
    rows = await listed(admin, conversion[0])
    shares = [re.findall(r'"Conversion">.*?<small>(\d+) of (\d+)', row, re.DOTALL)[0] for row in rows]
    assert [sum(int(each[part]) for each in shares) for part in (0, 1)] == [
        int(found) for found in re.findall(r"\d+", conversion[2])
    ]
    rows = await listed(admin, risk[0])
    assert len(rows) == int(risk[1]) > 0
    rows = await listed(admin, no_shows[0])
    missed = [int(re.findall(r'"No-shows">(\d+)', row)[0]) for row in rows]
    assert sum(missed) == int(no_shows[2].split()[0])
    assert min(missed) == 1

    for pattern, row in (
        (r"All (\d+) tutors needing attention", ROWS),
        (r"All (\d+) top performers", ROWS),
        (r"([\d]+)<span class=\"visually-hidden\">\)", r'<li class="alert critical'),
        (r"(\d+) unattended</a>", r'<li class="alert critical'),
        (r"(\d+) tutors</a>", ROWS),
    ):
        path, number = link(pattern)
        assert len(await listed(admin, path, row)) == int(number) > 5, pattern
    for path, number in set(re.findall(r'class="badge \w+" href="([^"]*)">(?:\[!\] )?(\d+) ', page)):
        assert len(await listed(admin, path, r'<li class="alert')) == int(number), path


async def test_new_tutor_is_in_the_list_within_seconds(admin: Browser, platform: Platform) -> None:
    assert "Nadia New" not in await read_page(admin, "/tutors")
    await platform.user("nadia", name="Nadia New")
    await insert_alert(platform, "nadia")

    async def is_listed() -> bool:
        return "Nadia New" in await read_page(admin, "/tutors?filter=open_alerts")

    await eventually(is_listed, "the new tutor")
