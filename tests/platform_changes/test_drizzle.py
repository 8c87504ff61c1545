"""A platform with drizzle: its push drops our indexes and re-creates enums; nothing else of ours is in its way."""

import re
from pathlib import Path

import psycopg
import pytest

from tests.platform_changes.drizzle_project import DrizzleProject, drizzle_project
from tests.support.command import tutorwatch
from tests.support.listening import alerted, has_settled, is_up, listening
from tests.support.platform import Platform
from tests.support.waiting import eventually

UNUSED_LABELS = {
    "session_status": "in_progress",
    "alert_type": "student_churn_risk",
    "alert_severity": "info",
    "insight_type": "achievement",
}
"""Labels that no row has; each is in an enum that Tutorwatch reads or writes."""

INDEXES = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE 'tutorwatch%' ORDER BY 1"
TRIGGERS = "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'tutorwatch' ORDER BY 1"
LABELS = "SELECT enumlabel FROM pg_enum WHERE enumtypid::regtype::text = ANY(%s)"
FAILURES = "SELECT tutor_id, last_error FROM tutorwatch.failures"


@pytest.fixture
def drizzle(tmp_path: Path, database_url: str) -> DrizzleProject:
    """The platform's project; its database is adopted."""
    return drizzle_project(tmp_path, database_url)


@pytest.fixture
def drizzle_alone(tmp_path: Path, platform_url: str) -> DrizzleProject:
    """The platform's project; its database knows nothing of Tutorwatch."""
    return drizzle_project(tmp_path, platform_url)


async def misses_sessions(drizzle: DrizzleProject, platform: Platform, tutor: str) -> None:
    """Writes as the platform does, and waits for the alert."""
    drizzle.script("miss_sessions.ts", tutor)

    async def is_alerted() -> bool:
        return tutor in await alerted(platform) or bool(await platform.rows(FAILURES))

    await eventually(is_alerted)
    assert await platform.rows(FAILURES) == []
    assert tutor in await alerted(platform)


def missing_by_doctor(url: str) -> int:
    """How many indexes the doctor says are missing."""
    told = tutorwatch("doctor", url=url).out
    if re.search(r"^ok +indexes ", told, flags=re.MULTILINE):
        return 0
    found = re.search(r"^!! +indexes +index \w+ is missing(?: \(and (\d+) more)?", told, flags=re.MULTILINE)
    assert found, told
    return 1 + int(found[1] or 0)


def labels(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {label for (label,) in connection.execute(LABELS, [list(UNUSED_LABELS)])}


def test_schema_is_the_platforms(drizzle_alone: DrizzleProject) -> None:
    assert "No changes detected" in drizzle_alone.push()


async def test_push_of_the_unchanged_schema_drops_our_indexes_and_nothing_else(
    drizzle: DrizzleProject, platform: Platform
) -> None:
    indexes, triggers, tables = [await platform.rows(query) for query in (INDEXES, TRIGGERS, TABLES)]

    printed = drizzle.push()

    assert "Changes applied" in printed
    assert sorted(re.findall(r'^DROP INDEX "(\w+)"', printed, flags=re.MULTILINE)) == indexes
    assert re.findall(r"^(?!DROP INDEX)[A-Z]{4,} .*;$", printed, flags=re.MULTILINE) == []
    assert [await platform.rows(query) for query in (INDEXES, TRIGGERS, TABLES)] == [[], triggers, tables]


def test_push_leaves_indexes_alone_that_the_schema_declares_as_pulled(drizzle: DrizzleProject) -> None:
    """As docs/orm.md advises: what `pull` prints, without the operator classes that it gets wrong."""
    drizzle.pull()
    drizzle.declare_pulled_indexes()

    assert "No changes detected" in drizzle.push()


async def test_alerts_go_on_after_a_push_and_migrate_repairs_the_indexes(
    drizzle: DrizzleProject, platform: Platform, database_url: str
) -> None:
    indexes = await platform.rows(INDEXES)
    async with listening(database_url):
        await is_up(platform)
        drizzle.push()
        await misses_sessions(drizzle, platform, "dana")
        await has_settled(platform)

        assert missing_by_doctor(database_url) == len(indexes)
        assert tutorwatch("migrate", url=database_url).code == 0
        assert await platform.rows(INDEXES) == indexes
        assert missing_by_doctor(database_url) == 0

        await misses_sessions(drizzle, platform, "sam")
        await has_settled(platform)
    assert await alerted(platform) == ["dana", "sam"]


def test_push_without_a_label_passes_on_the_bare_platform(drizzle_alone: DrizzleProject) -> None:
    for label in UNUSED_LABELS.values():
        drizzle_alone.remove_label(label)

    assert "Changes applied" in drizzle_alone.push("--force")
    assert labels(drizzle_alone.url).isdisjoint(UNUSED_LABELS.values())


async def test_push_without_a_label_passes_beside_a_listener(
    drizzle: DrizzleProject, platform: Platform, database_url: str
) -> None:
    """drizzle re-creates the enum: the columns become text, and the new enum's."""
    for label in UNUSED_LABELS.values():
        drizzle.remove_label(label)
    async with listening(database_url):
        await is_up(platform)
        await misses_sessions(drizzle, platform, "dana")

        assert "Changes applied" in drizzle.push("--force")

        assert labels(database_url).isdisjoint(UNUSED_LABELS.values())
        await misses_sessions(drizzle, platform, "sam")
        await has_settled(platform)
    assert await alerted(platform) == ["dana", "sam"]
