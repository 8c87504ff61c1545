"""A platform whose sessions are a partitioned table: it is adopted, watched, repaired and left as any other."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from database.recording import Automation
from listener.sweep import sweep
from migrations import automation, rights, upgrade
from migrations.uninstall import uninstall
from rules.generation import generate
from rules.thresholds import Thresholds
from tests.support import model, partitioned
from tests.support.catalog import snapshot
from tests.support.chance import Chance
from tests.support.command import psql
from tests.support.databases import check, cloned
from tests.support.interruptions import migrate_up_to
from tests.support.model_comparison import difference, write_many
from tests.support.platform import NOW, Platform
from tests.support.recorded import EVERY_TUTOR, INSERT_SESSIONS, client_of, insert_sessions, take, tutors, update
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import until_blocked

MAY = datetime(2026, 5, 20, 9, 30)  # noqa: DTZ001 - as the platform's columns hold it
LEAVES = [
    'archive."sessions before 2026"',
    "archive.sessions_2026_q1_even",
    "archive.sessions_2026_q1_odd",
    *(f"public.sessions_{month}" for month in partitioned.MONTHS),
]


@pytest.fixture(scope="module")
def unjoined_template(server_url: str, worker_id: str) -> Iterator[str]:
    name = f"tutorwatch_partitioned_{worker_id}"
    with cloned(server_url, name) as url:
        run(url, partitioned.platform_tables())
        yield name


@pytest.fixture(scope="module")
def joined_template(server_url: str, worker_id: str, unjoined_template: str) -> Iterator[str]:
    name = f"tutorwatch_partitioned_joined_{worker_id}"
    with cloned(server_url, name, unjoined_template) as url:
        upgrade.migrate(url)
        yield name


@pytest.fixture
def unjoined_url(server_url: str, worker_id: str, unjoined_template: str) -> Iterator[str]:
    with cloned(server_url, f"tutorwatch_test_partitioned_{worker_id}", unjoined_template) as url:
        yield url


@pytest.fixture
def database_url(server_url: str, worker_id: str, joined_template: str) -> Iterator[str]:
    """The shared fixtures' platform and engine are of this one."""
    with cloned(server_url, f"tutorwatch_test_joined_{worker_id}", joined_template) as url:
        yield url


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def ended_session(platform: Platform, *, at: datetime = MAY) -> UUID:
    """A completed session whose recording has been taken already."""
    session = await platform.session(at=at.astimezone(NOW.tzinfo), score=8)
    await take(platform)
    return session


# Joining and leaving


def test_it_is_joined_with_an_index_and_triggers_on_each_partition(database_url: str) -> None:
    assert check(database_url) == []
    with psycopg.connect(database_url) as connection:
        [(invalid,)] = connection.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchall()
        parts = connection.execute(
            "SELECT indrelid::regclass::text, count(*) FROM pg_index"
            " JOIN pg_class AS whole ON whole.oid = pg_partition_root(indexrelid)"
            " WHERE starts_with(whole.relname, 'tutorwatch_sessions_') AND whole.oid <> indexrelid GROUP BY 1"
        ).fetchall()
        watched = {
            table
            for (table,) in connection.execute(
                "SELECT format('%I.%I', nspname, relname) FROM pg_trigger"
                " JOIN pg_class AS c ON c.oid = tgrelid JOIN pg_namespace AS n ON n.oid = relnamespace"
                " WHERE tgname = 'tutorwatch_update' AND tgenabled = 'A'"
            )
        }
    assert invalid == 0
    assert dict(parts) == {leaf.removeprefix("public."): 4 for leaf in [*LEAVES, "archive.sessions_2026_q1"]}
    assert watched >= {*LEAVES, "public.sessions"}


def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = snapshot(database_url)

    assert upgrade.migrate(database_url).repaired == ()
    assert snapshot(database_url) == before


def test_the_script_does_what_migrate_does(unjoined_url: str, server_url: str, joined_template: str) -> None:
    psql(unjoined_url, upgrade.to_sql(unjoined_url, automation=True))

    assert snapshot(unjoined_url) == snapshot(make_conninfo(server_url, dbname=joined_template))


@pytest.mark.parametrize(
    "where", ["ON ONLY public.sessions", "ON public.sessions_2026_05", "ATTACH PARTITION archive."]
)
def test_an_interrupted_migration_goes_on_where_it_was(
    unjoined_url: str, server_url: str, joined_template: str, where: str
) -> None:
    migrate_up_to(unjoined_url, where)

    upgrade.migrate(unjoined_url)

    assert snapshot(unjoined_url) == snapshot(make_conninfo(server_url, dbname=joined_template))


async def test_joining_makes_no_client_wait_for_another(unjoined_url: str) -> None:
    async with client_of(unjoined_url) as client, client_of(unjoined_url, options="-c statement_timeout=10s") as other:
        await insert_sessions(Platform(client), ["tutor"])
        await client.execute("BEGIN")
        await client.execute("UPDATE sessions SET session_number = 3")
        migrating = asyncio.create_task(asyncio.to_thread(upgrade.migrate, unjoined_url))
        await until_blocked(other, "tutorwatch-migrate")
        await other.execute("DELETE FROM sessions WHERE false")
        assert not migrating.done()
        await client.execute("COMMIT")
        await migrating

    assert check(unjoined_url) == []


def test_uninstalling_leaves_it_as_it_was(unjoined_url: str) -> None:
    before = snapshot(unjoined_url)
    upgrade.migrate(unjoined_url)

    with psycopg.connect(unjoined_url, autocommit=True) as connection:
        uninstall(connection)

    assert snapshot(unjoined_url) == before


def test_uninstalling_after_an_interrupted_migration_leaves_it_as_it_was(unjoined_url: str) -> None:
    before = snapshot(unjoined_url)
    migrate_up_to(unjoined_url, "ATTACH PARTITION archive.")

    with psycopg.connect(unjoined_url, autocommit=True) as connection:
        uninstall(connection)

    assert snapshot(unjoined_url) == before


@pytest.mark.parametrize("table", ["alerts", "tutor_insights"])
def test_partitioned_alerts_and_insights_are_refused(platform_url: str, table: str) -> None:
    run(
        platform_url,
        f"CREATE TABLE parted (LIKE {table} INCLUDING DEFAULTS) PARTITION BY HASH (id)",
        f"DROP TABLE {table}",
        f"ALTER TABLE parted RENAME TO {table}",
    )

    with pytest.raises(upgrade.SchemaError, match=f"table public.{table} is partitioned"):
        upgrade.migrate(platform_url)


# Recording


async def test_every_way_of_inserting_is_recorded(platform: Platform) -> None:
    await platform.session("one", status="no_show_tutor")
    assert await take(platform) == tutors("one")

    await insert_sessions(platform, ["b", "a", "a"], per_tutor=3)
    assert await take(platform) == tutors("a", "b")

    await write_many(platform, {"copied": Chance(1).sessions(NOW, 20, Chance(1).leaning())})
    recorded = await take(platform)
    assert {tutor for tutor, _ in recorded} == {"copied"}


@pytest.mark.parametrize("table", LEAVES[1:])
async def test_writing_straight_to_a_partition_is_recorded(platform: Platform, table: str) -> None:
    days = {"archive.sessions_2026_q1_even": "2026-02-01", "archive.sessions_2026_q1_odd": "2026-02-01"}
    day = days.get(table, table[-7:].replace("_", "-") + "-10")
    # One of many ids hashes to where it belongs.
    insert = INSERT_SESSIONS.replace("public.sessions", table).replace("2026-06-14", day)
    await insert_sessions(platform, ["other"])
    await take(platform)
    subject = await platform.subject()
    await platform.user("tutor")
    async with asyncio.timeout(20):
        while True:
            try:
                await platform.connection.execute(insert.encode(), [subject, "completed", ["tutor"], 1])
                break
            except psycopg.errors.CheckViolation:
                continue
    assert await take(platform) == tutors("tutor")

    await platform.connection.execute(f"UPDATE {table} SET overall_session_score = 5".encode())
    assert await take(platform) == tutors(*(["other", "tutor"] if table.endswith("_06") else ["tutor"]))

    await platform.connection.execute(f"DELETE FROM {table} WHERE tutor_id = 'tutor'".encode())
    assert await take(platform) == tutors("tutor")

    await platform.connection.execute(f"TRUNCATE {table}".encode())
    assert await take(platform) == [EVERY_TUTOR]


async def test_an_update_is_recorded_once_if_it_changes_anything(platform: Platform) -> None:
    await ended_session(platform)

    await update(platform, "sessions", "overall_session_score", 5)
    assert await take(platform) == tutors("tutor")
    await update(platform, "sessions", "overall_session_score", 5)
    await update(platform, "sessions", "ai_summary", "nothing a rule reads")
    assert await take(platform) == []


async def test_a_row_that_moves_to_another_partition_is_recorded(platform: Platform) -> None:
    session = await ended_session(platform)

    await update(platform, "sessions", "scheduled_start", MAY + timedelta(days=30))

    assert await platform.rows("SELECT id FROM sessions_2026_06") == [session]
    assert await take(platform) == tutors("tutor")


async def test_a_row_that_moves_with_its_tutor_concerns_both(platform: Platform) -> None:
    await ended_session(platform)
    await platform.user("other")

    await platform.connection.execute("UPDATE sessions SET tutor_id = 'other', scheduled_start = '2026-07-01'")

    assert await take(platform) == tutors("other", "tutor")


async def test_deleting_is_recorded(platform: Platform) -> None:
    await ended_session(platform)

    await platform.connection.execute("DELETE FROM sessions")

    assert await take(platform) == tutors("tutor")


async def test_truncating_all_concerns_everyone(platform: Platform) -> None:
    await ended_session(platform)

    await platform.connection.execute("TRUNCATE sessions")

    assert set(map(str, await take(platform))) == {str(EVERY_TUTOR)}


async def test_metrics_are_recorded_with_the_tutor_of_their_session(platform: Platform) -> None:
    session = await ended_session(platform)

    await platform.insert("session_audio_metrics", session_id=session)
    await platform.insert("session_video_metrics", session_id=session)
    assert await take(platform) == [("tutor", [session])] * 2
    await update(platform, "session_audio_metrics", "open_ended_questions", 7)
    assert await take(platform) == [("tutor", [session])]


# Partitions that come later


async def test_a_new_partition_records_what_is_written_through_the_table(platform: Platform) -> None:
    await platform.connection.execute(partitioned.month("2026_08").encode())

    await platform.session(at=datetime(2026, 8, 3, tzinfo=NOW.tzinfo))

    assert await take(platform) == tutors("tutor")


async def test_writes_straight_to_a_new_partition_are_recorded_once_migrate_has_seen_it(
    platform: Platform, database_url: str
) -> None:
    await platform.connection.execute(partitioned.month("2026_08").encode())
    events = ("insert", "update", "delete", "truncate", "mark")
    missing = {f"trigger tutorwatch_{event} on sessions_2026_08 is missing" for event in events}
    assert set(check(database_url)) == missing

    done = await asyncio.to_thread(upgrade.migrate, database_url)

    assert set(done.repaired) == missing
    assert await take(platform) == [EVERY_TUTOR], "what was written to it meanwhile is made up for"
    await platform.session(at=datetime(2026, 8, 3, tzinfo=NOW.tzinfo))
    await take(platform)
    await platform.connection.execute("UPDATE sessions_2026_08 SET overall_session_score = 3")
    assert await take(platform) == tutors("tutor")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE sessions ATTACH PARTITION imported FOR VALUES FROM ('2026-08-01') TO ('2026-09-01')",
        "ALTER TABLE sessions DETACH PARTITION sessions_2026_05",
        "DROP TABLE sessions_2026_05",
    ],
    ids=["attached", "detached", "dropped"],
)
@pytest.mark.usefixtures("service_roles")
async def test_rows_that_come_or_go_with_a_partition_have_every_tutor_looked_at_once(
    platform: Platform, database_url: str, change: str
) -> None:
    await ended_session(platform)
    await platform.connection.execute("CREATE TABLE imported (LIKE sessions INCLUDING ALL)")
    with psycopg.connect(database_url, autocommit=True) as connection:
        rights.give(connection, listener=LISTENER.name, web=WEB.name)
    engine = open_engine(LISTENER.url(database_url), application_name="tutorwatch-test")
    found = []
    for statement in ("SELECT", change, "SELECT"):
        await platform.connection.execute(statement.encode())
        async with engine.begin() as conn:
            await sweep(conn, every_hours=24)
        found.append(await take(platform))
    await engine.dispose()

    assert found == [[], [EVERY_TUTOR], []]


def test_a_lost_index_and_a_lost_trigger_are_put_back(database_url: str) -> None:
    before = snapshot(database_url)
    run(
        database_url,
        "DROP INDEX tutorwatch_sessions_by_date",
        # As a repair that was interrupted leaves it: valid on one partition only.
        "CREATE INDEX tutorwatch_sessions_by_date ON ONLY sessions (completed_at, scheduled_start, id)",
        "CREATE INDEX newest ON sessions_2026_05 (completed_at, scheduled_start, id)",
        "ALTER INDEX tutorwatch_sessions_by_date ATTACH PARTITION newest",
        "DROP INDEX tutorwatch_sessions_by_tutor",
        'DROP TRIGGER tutorwatch_insert ON archive."sessions before 2026"',
        "ALTER TABLE sessions_2026_05 DISABLE TRIGGER tutorwatch_update",
    )

    repaired = upgrade.migrate(database_url).repaired

    assert set(repaired) == {
        "index tutorwatch_sessions_by_date is invalid",
        "index tutorwatch_sessions_by_tutor is missing",
        'trigger tutorwatch_insert on archive."sessions before 2026" is missing',
        "trigger tutorwatch_update on sessions_2026_05 is switched off",
    }
    assert snapshot(database_url) == before


async def test_the_switch_is_that_of_all_partitions(platform: Platform, database_url: str) -> None:
    await ended_session(platform)
    with psycopg.connect(database_url, autocommit=True) as connection:
        automation.switch(connection, on=False)
        assert automation.status(connection) is Automation.OFF
        await update(platform, "sessions_2026_05", "overall_session_score", 5)
        await update(platform, "sessions", "overall_session_score", 6)
        assert await take(platform) == []

        automation.switch(connection, on=True)
        assert automation.status(connection) is Automation.ON
    assert await take(platform) == [EVERY_TUTOR]
    await update(platform, "sessions_2026_05", "overall_session_score", 7)
    assert await take(platform) == tutors("tutor")


def test_joined_with_the_switch_off_it_is_off_on_all_partitions(unjoined_url: str) -> None:
    upgrade.migrate(unjoined_url, automation=False)

    with psycopg.connect(unjoined_url) as connection:
        assert automation.status(connection) is Automation.OFF


# The rules


async def test_tutors_get_what_the_model_says(platform: Platform, engine: AsyncEngine, thresholds: Thresholds) -> None:
    chance = Chance(seed=20261123)
    models = {f"tutor-{number}": model.Tutor() for number in range(30)}
    written: dict[str, list[model.TutoringSession]] = {tutor: [] for tutor in models}
    for now in (NOW, NOW + timedelta(days=7)):
        new = {tutor: chance.sessions(now, chance.random.randint(4, 18), chance.leaning()) for tutor in models}
        await write_many(platform, new)
        for tutor, expected in models.items():
            written[tutor] += new[tutor]
            expected.generate(written[tutor], now)

        async with engine.begin() as conn:
            await generate(conn, list(models), now, thresholds)

        assert await difference(platform, models) == {}
    assert sum(len(tutor.open_alerts()) for tutor in models.values()) > 0


@pytest.mark.usefixtures("service_roles")
async def test_the_services_roles_need_no_rights_on_the_partitions(platform: Platform, database_url: str) -> None:
    await ended_session(platform)
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert rights.give(connection, listener=LISTENER.name, web=WEB.name) == []

    for role in (LISTENER, WEB):
        async with client_of(role.url(database_url)) as service:
            cursor = await service.execute("SELECT count(*) FROM public.sessions")
            assert await cursor.fetchall() == [(1,)]
