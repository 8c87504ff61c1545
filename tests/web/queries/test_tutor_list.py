"""The list of all tutors: searched, filtered, sorted and paged."""

import random
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from rules.measures import Ratio
from rules.settings import thresholds as default_thresholds
from rules.thresholds import Thresholds
from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform
from web.queries import (
    KnownOfTutors,
    TutorEntry,
    TutorFilter,
    TutorSort,
    TutorsWanted,
    every_tutor_by_name,
    platform_statistics,
    rank,
    tutor_facts,
    tutor_months,
)
from web.queries.platform import Months, TutorMonth
from web.queries.tutors import TutorFacts, folded
from web.views.presentation import average_score
from web.views.tutor_list import TutorListRow, TutorsPage, tutors_page


@pytest.mark.parametrize("chosen", [each for each in TutorFilter if each is not TutorFilter.ALL])
async def test_filter_shows_whom_its_name_says(
    chosen: TutorFilter, conn: AsyncConnection, platform: Platform, thresholds: Thresholds
) -> None:
    async def insight(tutor: str) -> None:
        await platform.insert(
            "tutor_insights", tutor_id=tutor, insight_type="strength", category="high_engagement", display_text="Good"
        )

    for number in range(5):
        await platform.session("top", score="9.0", number=2)
        await platform.session("alerted", score="9.0", number=2)
        await platform.session("moves", status="rescheduled", rescheduled_by="tutor")
        if number < 4:
            await platform.session("low", score="6.5" if number else "6.4", number=2)
    await platform.session("first", score="6.5", number=1)
    for missing, times in (("risky", 2), ("once", 1)):
        for _ in range(times):
            await platform.session(missing, status="no_show_tutor")
    await insert_alert(platform, "alerted", severity="warning", acknowledged=True)
    await insert_alert(platform, "untouched", severity="info")
    await insert_alert(platform, "critical", acknowledged=True)
    await insert_alert(platform, "resolved", resolved=True)
    await insight("top")
    expected = {
        TutorFilter.ATTENTION: {"alerted", "untouched", "critical", "low"},
        TutorFilter.CHURN_RISK: {"risky", "moves"},
        TutorFilter.UNATTENDED: {"untouched"},
        TutorFilter.CRITICAL: {"critical"},
        TutorFilter.OPEN_ALERTS: {"alerted", "untouched", "critical"},
        TutorFilter.LOW_AVERAGE: {"low"},
        TutorFilter.TOP_PERFORMERS: {"top"},
        TutorFilter.NO_INSIGHT: {
            "alerted",
            "moves",
            "low",
            "first",
            "risky",
            "once",
            "untouched",
            "critical",
            "resolved",
        },
        TutorFilter.NO_SHOWS: {"risky", "once"},
        TutorFilter.RESCHEDULES: {"moves"},
        TutorFilter.FIRST_SESSIONS: {"first"},
        TutorFilter.SCORED: {"top", "alerted", "low", "first"},
    }
    months = await tutor_months(conn, NOW)
    known = KnownOfTutors(months.recent, platform_statistics(months, thresholds), rank(months.recent))
    facts = await tutor_facts(conn, chosen, known)
    page = tutors_page(await every_tutor_by_name(conn), facts, TutorsWanted(filter=chosen))
    assert {row.tutor_id for row in page.rows} == expected[chosen]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param("chen sarah", {"sarah"}, id="words in another order"),
        pytest.param("CHE", {"sarah"}, id="part of a word, in capitals"),
        pytest.param("Zoe", {"zoe"}, id="without the accent"),
        pytest.param("zoë ÅNGSTRÖM", {"zoe"}, id="with accents"),
        pytest.param("Zoe\N{COMBINING DIAERESIS}", {"zoe"}, id="the accent apart"),
        pytest.param("lukasz", {"łuk"}, id="a stroke"),
        pytest.param("strasse", {"łuk"}, id="sharp s"),
        pytest.param("sally", {"sarah"}, id="preferred name"),
        pytest.param("s.chen@school", {"sarah"}, id="e-mail"),
        pytest.param("auth0|77", {"auth0|77"}, id="id"),
        pytest.param("sarah ångström", set(), id="words of two tutors"),
        pytest.param("100%", {"auth0|77"}, id="a sign that SQL would read otherwise"),
        pytest.param("a_b", set(), id="another"),
        pytest.param("  ", {"sarah", "zoe", "łuk", "auth0|77"}, id="nothing but spaces"),
    ],
)
async def test_search(words: str, found: set[str], conn: AsyncConnection, platform: Platform) -> None:
    for user_id, name in (
        ("sarah", "Sarah Chen"),
        ("zoe", "Zoë Ångström"),
        ("łuk", "Łukasz Straße"),
        ("auth0|77", "100% Ann"),
    ):
        await platform.user(user_id, name=name)
    await platform.connection.execute(
        "UPDATE users SET preferred_name = 'Sally', email = 'S.Chen@School.test' WHERE id = 'sarah'"
    )
    page = tutors_page(await every_tutor_by_name(conn), TutorFacts(None, {}), TutorsWanted(search=words))
    assert {row.tutor_id for row in page.rows} == found


@pytest.mark.parametrize(
    ("preferred", "shown"),
    [
        pytest.param("Sally", "Sally (Sarah Chen)", id="another"),
        pytest.param("Sarah Chen", "Sarah Chen", id="the same"),
        pytest.param("  ", "Sarah Chen", id="blank"),
        pytest.param(None, "Sarah Chen", id="none"),
    ],
)
async def test_preferred_name(preferred: str | None, shown: str, conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("sarah", name="Sarah Chen")
    await platform.connection.execute("UPDATE users SET preferred_name = %s", [preferred])
    assert [entry.name for entry in (await every_tutor_by_name(conn)).values()] == [shown]


def some_facts(count: int) -> tuple[dict[str, TutorEntry], TutorFacts]:
    chance = random.Random(7)
    entries, months = {}, {}
    for number in range(count):
        tutor_id = f"tutor-{number}"
        name = chance.choice(("Ann", "Bob", "Zoë", "élise"))
        entries[tutor_id] = TutorEntry(tutor_id, name, folded(name), folded(f"{name} {tutor_id}"))
        if number % 5:
            total = Decimal(chance.randint(0, 30))
            months[tutor_id] = TutorMonth(
                score=Ratio(total, number % 4),
                conversion=Ratio(Decimal(1), number % 3),
                completed=number % 4,
                no_shows=chance.randint(0, 2),
                missed=3,
                reschedules=chance.randint(0, 2),
            )
    statistics = platform_statistics(Months(months, {}), default_thresholds())
    return entries, TutorFacts(KnownOfTutors(months, statistics, rank(months)), {})


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("sort", TutorSort)
def test_way_there_and_back_shows_the_same_pages_in_every_order(sort: TutorSort, is_descending: bool) -> None:
    entries, facts = some_facts(53)
    wanted = TutorsWanted(sort=sort, is_descending=is_descending)

    there = [tutors_page(entries, facts, wanted, limit=10)]
    while at := there[-1].next:
        there.append(tutors_page(entries, facts, wanted, at, limit=10))
    back = [there[-1]]
    while at := back[-1].previous:
        back.append(tutors_page(entries, facts, wanted, at, limit=10))

    assert [(page.first, len(page.rows), page.total) for page in there] == [
        (1, 10, 53),
        (11, 10, 53),
        (21, 10, 53),
        (31, 10, 53),
        (41, 10, 53),
        (51, 3, 53),
    ]
    assert [page.rows for page in reversed(back)] == [page.rows for page in there]
    assert {row.tutor_id for page in there for row in page.rows} == entries.keys()
    assert in_order([row for page in there for row in page.rows], sort, is_descending)


def value_of(row: TutorListRow, sort: TutorSort) -> Any:
    """What the list is sorted by; None where a tutor has none."""
    month = row.month
    shares = {TutorSort.CONVERSION: month.conversion, TutorSort.NO_SHOW_RATE: Ratio(Decimal(month.no_shows), month.due)}
    if sort in shares:
        return shares[sort].total / shares[sort].count if shares[sort].count else None
    return {
        TutorSort.NAME: folded(row.name),
        TutorSort.AVERAGE: row.average,
        TutorSort.SESSIONS: month.completed,
        TutorSort.ALERTS: row.alerts.total,
        TutorSort.NO_SHOWS: month.no_shows,
        TutorSort.RESCHEDULES: month.reschedules,
    }[sort]


def in_order(rows: list[TutorListRow], sort: TutorSort, is_descending: bool) -> bool:
    """Whether the rows are in the order; who has no value comes last either way."""
    found = [value_of(row, sort) for row in rows]
    known = [value for value in found if value is not None]
    return found == sorted(known, reverse=is_descending) + [None] * (len(found) - len(known))


def test_page_goes_on_where_it_was_although_its_last_tutor_has_left() -> None:
    entries, facts = some_facts(30)
    wanted = TutorsWanted(sort=TutorSort.AVERAGE)
    whole = tutors_page(entries, facts, wanted, limit=30).rows
    first: TutorsPage = tutors_page(entries, facts, wanted, limit=10)
    left = {tutor_id: entry for tutor_id, entry in entries.items() if tutor_id != first.rows[-1].tutor_id}
    second = tutors_page(left, facts, wanted, first.next, limit=10)
    assert (second.rows, second.first) == (whole[10:20], 10)


async def test_critical_alert_comes_before_any_number_of_warnings(conn: AsyncConnection, platform: Platform) -> None:
    await insert_alert(platform, "critical")
    for severity in ("warning", "warning", "info"):
        await insert_alert(platform, "warned", severity=severity)
    await insert_alert(platform, "noticed", severity="info")
    facts = await tutor_facts(conn, TutorFilter.ALL, None)
    wanted = TutorsWanted(sort=TutorSort.ALERTS, is_descending=True)
    page = tutors_page(await every_tutor_by_name(conn), facts, wanted)
    assert [row.tutor_id for row in page.rows] == ["critical", "warned", "noticed"]


@pytest.mark.parametrize(
    ("score", "shown"),
    [("6.44", "6.4"), ("6.47", "6.47"), ("6.499", "6.499"), ("6.49999", "under 6.5"), ("6.5", "6.5"), ("6.45", "6.45")],
)
def test_average_reads_as_low_where_it_is(score: str, shown: str) -> None:
    assert average_score(Decimal(score)) == shown
