"""Whatever clients, people, listeners, crashes and the clock do: after every quiet moment the database holds exactly
what the plain model of the rules says, down to each date and each session that an alert has counted."""

import asyncio
import copy
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from listener.batch import Batch
from listener.canary import Markers
from listener.outbox import Claim
from listener.processing import Context
from listener.schedule import Schedule
from listener.settings import ListenerSettings
from listener.signals import Signals
from listener.watch import PlatformWatch
from listener.worker import Worker
from rules.life import Outcome, acknowledge, resolve
from rules.settings import thresholds
from rules.thresholds import Thresholds
from tests.faults.clock import install_clock, set_clock
from tests.faults.record import FaultRecorder
from tests.support import model
from tests.support.model_comparison import memory, memory_difference, write_many
from tests.support.model_sessions import (
    EARLIER,
    MICROSECOND,
    STUDENTS,
    Likeness,
    When,
    ages,
    audios,
    completed,
    decimals,
    first_sessions,
    lately,
    missed,
    moments,
    others,
)
from tests.support.platform import NOW, Platform, naive
from tests.support.roles import LISTENER, WEB
from tests.support.scale import IS_SOAK, either

EXAMPLES = either(200, 2000)
STEPS = 16

TUTORS = ("tutor-1", "tutor-2", "tutor-3")
CLIENTS = {"web": "READ COMMITTED", "importer": "READ COMMITTED", "script": "SERIALIZABLE"}
"""Each with the isolation of what it writes outside of transactions."""
ADMIN = "admin"
SUBJECT = UUID(int=1)
ALERT_TYPES = model.COUNTING + model.AVERAGING
METRICS = {
    "talk_ratio": "tutor_talk_ratio",
    "engagement": "student_engagement_score",
    "checks": "tutor_checks_understanding_count",
    "reinforcement": "tutor_positive_reinforcement_count",
    "open_questions": "open_ended_questions",
    "closed_questions": "closed_ended_questions",
}
ENDED = ("completed", "no_show_tutor", "no_show_student", "cancelled", "rescheduled")
A_DAY = timedelta(hours=24)
MOST_STATEMENTS = 25
"""A crash comes before one of so many statements, or not at all."""

_WIPE = b"""
    DELETE FROM public.sessions;
    DELETE FROM public.alerts;
    DELETE FROM public.tutor_insights;
    DELETE FROM public.coaching_notes;
    DELETE FROM public.users;
    DELETE FROM tutorwatch.alert_evidence;
    DELETE FROM tutorwatch.consumed_sessions;
    DELETE FROM tutorwatch.alert_resolutions;
    DELETE FROM tutorwatch.failures;
    DELETE FROM tutorwatch.outbox;
"""

T = TypeVar("T")
Row = tuple[str, model.TutoringSession]
"""A session with the tutor whose it is."""


@dataclass(frozen=True)
class Change:
    """What a statement did to a session; `tutor` is whom the writer took it for, where only metrics changed."""

    session_id: UUID
    before: Row | None
    after: Row | None
    tutor: str | None = None

    @property
    def changes_metrics(self) -> bool:
        """It then concerns the tutor whom the session has at the claim, too."""
        return bool(self.before and self.after and _metrics(self.before) != _metrics(self.after))

    def tutors(self) -> set[str]:
        """Whose answers it can change."""
        found = {self.tutor} if self.tutor and self.changes_metrics else set()
        if _session_row(self.before) != _session_row(self.after):
            found |= {row[0] for row in (self.before, self.after) if row and row[1].status in ENDED}
        return found


def _session_row(row: Row | None) -> Any:
    """What rules read of the session itself; None unless it has ended."""
    if row is None or row[1].status not in ENDED:
        return None
    return row[0], replace(row[1], audio=None, visual_aids=None)


def _metrics(row: Row) -> Any:
    return row[1].audio, row[1].visual_aids


@dataclass
class Client:
    """A connection of the platform's; what it has changed in its open transaction, and since which savepoints."""

    platform: Platform
    always: str = "READ COMMITTED"
    """The isolation of what it writes outside of transactions."""
    isolation: str | None = None
    pending: list[Change] = field(default_factory=list)
    savepoints: list[int] = field(default_factory=list)

    @property
    def is_serializable(self) -> bool:
        """Then the triggers leave looking up a metric's tutor to the claim."""
        return (self.isolation or self.always) == "SERIALIZABLE"

    @property
    def keeps_its_snapshot(self) -> bool:
        """Whether its transaction doesn't see what others commit meanwhile."""
        return self.isolation in ("REPEATABLE READ", "SERIALIZABLE")

    @property
    def is_open(self) -> bool:
        return self.isolation is not None

    @property
    def deletes(self) -> bool:
        return any(change.after is None for change in self.pending)


class UntilIdle(Schedule):
    """Stops a worker once a poll leaves nothing to do, and no second batch is in flight."""

    def __init__(self, signals: Signals, settings: ListenerSettings) -> None:
        super().__init__(settings)
        self._signals = signals

    def polled(self, claim: Claim, batch: Batch | None, now: float, *, is_connected: bool) -> float:
        pause = super().polled(claim, batch, now, is_connected=is_connected)
        if pause and not self._signals.backlog.is_set():
            self._signals.stop()
        return pause


class Working:
    """A worker, and what stops it."""

    def __init__(self, engine: AsyncEngine, settings: ListenerSettings) -> None:
        self.signals = Signals()
        self.signals.is_connected = True
        schedule = UntilIdle(self.signals, settings)
        self.worker = Worker(
            Context(engine, settings, _limits(), PlatformWatch(engine), Markers(), schedule, self.signals)
        )


class Killer:
    """Ends a listener's connection, in the server, before the statement it is told; also before a COMMIT."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self._url = url
        self._statements: int | None = None
        self._worker: Working | None = None
        event.listen(engine.sync_engine, "before_cursor_execute", self._before_statement)
        event.listen(engine.sync_engine, "commit", self._count_down)

    def arm(self, worker: Working, statements: int) -> None:
        """The worker dies with its connection, so many statements from now."""
        self._statements, self._worker = statements, worker

    def disarm(self) -> bool:
        """Whoever runs from now on lives; says whether the worker died."""
        has_killed = self._worker is None
        self._statements = self._worker = None
        return has_killed

    def _before_statement(self, conn: Connection, *_: Any) -> None:
        self._count_down(conn)

    def _count_down(self, conn: Connection) -> None:
        if self._statements is None or self._worker is None:
            return
        self._statements -= 1
        if self._statements < 0:
            self._worker.signals.stop()
            self.disarm()
            connection: Any = conn.connection.driver_connection
            process = connection.info.backend_pid
            with psycopg.connect(self._url, autocommit=True) as operator:
                operator.execute("SELECT pg_terminate_backend(%s)", [process])
                while operator.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [process]).fetchone():
                    time.sleep(0.001)


@dataclass
class Services:
    """The database with all that is connected to it; one for all examples."""

    runner: asyncio.Runner
    engine: AsyncEngine
    """The listeners'."""
    web_engine: AsyncEngine
    operator: Platform
    clients: dict[str, Client]
    killer: Killer
    warnings: list[str]
    numbers: Iterator[int] = field(default_factory=itertools.count)
    crashes: int = 0

    async def wipe(self) -> None:
        """As a new example finds it."""
        for client in self.clients.values():
            await client.platform.connection.execute("ROLLBACK")
            client.isolation = None
            client.pending.clear()
            client.savepoints.clear()
        self.warnings.clear()
        await self.operator.connection.execute(_WIPE)
        await self.operator.connection.execute("UPDATE tutorwatch.sweep SET swept_at = %s", [NOW])
        await set_clock(self.operator.connection, NOW)
        await self.add_users((ADMIN, "admin"), *((tutor, "tutor") for tutor in TUTORS))
        await self.add_users(*((student, "student") for student in STUDENTS))

    async def add_users(self, *users: tuple[str, str]) -> None:
        ids, roles = zip(*users, strict=True)
        await self.operator.connection.execute(
            "INSERT INTO users (id, email, name, role) SELECT id, id, id, role::user_role"
            " FROM unnest(%s::text[], %s::text[]) AS u (id, role)",
            [list(ids), list(roles)],
        )


@asynccontextmanager
async def services(url: str, runner: asyncio.Runner) -> AsyncIterator[Services]:
    """Connects everybody."""
    warnings: list[str] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized != "NOTICE":
            warnings.append(str(notice.message_primary))

    async with AsyncExitStack() as stack:

        async def connect(isolation: str = "READ COMMITTED") -> Platform:
            connection = await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(url, autocommit=True, options="-c lock_timeout=5s")
            )
            connection.add_notice_handler(note)
            await connection.execute(f"SET default_transaction_isolation = '{isolation}'".encode())
            return Platform(connection, subject_id=SUBJECT, known_users={*TUTORS, *STUDENTS, ADMIN})

        setup = await connect()
        await install_clock(setup.connection)
        await setup.insert("subjects", id=SUBJECT, name="Algebra", category="math")
        engine = open_engine(LISTENER.url(url), application_name="tutorwatch-worker", keep_connections=3)
        stack.push_async_callback(engine.dispose)
        web_engine = open_engine(WEB.url(url), application_name="tutorwatch-web", keep_connections=1)
        stack.push_async_callback(web_engine.dispose)
        clients = {name: Client(await connect(isolation), isolation) for name, isolation in CLIENTS.items()}
        yield Services(runner, engine, web_engine, await connect(), clients, Killer(engine, url), warnings)


chosen_tutor = st.sampled_from(TUTORS)
chosen_client = st.sampled_from(list(CLIENTS))
some_sessions = st.tuples(st.integers(0, 30), st.integers(1, 3), st.integers(1, 12))
"""Of all that there are, in the order of their ids: where to begin, every how many-th, and how many."""
likenesses = st.one_of(completed, completed, first_sessions, missed, missed, others)
Selection = tuple[int, int, int]


class Machine(RuleBasedStateMachine):
    """What may happen, step by step; the model beside it."""

    around: Services

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.swept_at = NOW
        self.sessions: dict[UUID, Row] = {}
        self.tutors = {tutor: model.Tutor() for tutor in TUTORS}
        self.everyone = False
        self.concerned: set[str] = set()
        self.concerned_through: set[UUID] = set()
        """Sessions: the tutors whom they have at the claim are concerned."""
        self.perhaps: set[str] = set()
        """Tutors of whom a crash doesn't tell whether they were generated just before it: it made no difference."""
        self.run(self.around.wipe())

    def run(self, step: Any) -> Any:
        return self.around.runner.run(step)

    # What the platform's clients do

    @initialize(tutor=chosen_tutor, main=completed, earlier=completed, whens=moments(lately, least=5, most=12))
    def begin_with_a_busy_tutor(self, tutor: str, main: Likeness, earlier: Likeness, whens: list[When]) -> None:
        before = [replace(when, scheduled_age=when.scheduled_age + EARLIER, completed_age=None) for when in whens]
        client = self.around.clients["importer"]
        self.run(self._insert(client, tutor, main, whens))
        self.run(self._insert(client, tutor, earlier, before[:4]))

    @rule(name=chosen_client, isolation=st.sampled_from(["READ COMMITTED"] * 3 + ["REPEATABLE READ", "SERIALIZABLE"]))
    def open_transaction(self, name: str, isolation: str) -> None:
        client = self.around.clients[name]
        if client.is_open:
            return
        client.isolation = isolation
        self.run(client.platform.connection.execute(f"BEGIN ISOLATION LEVEL {isolation}".encode()))

    @precondition(lambda self: any(client.is_open for client in self.around.clients.values()))
    @rule(name=chosen_client)
    def commit(self, name: str) -> None:
        self.run(self._commit(self.around.clients[name]))

    @precondition(lambda self: any(client.is_open for client in self.around.clients.values()))
    @rule(name=chosen_client)
    def roll_back(self, name: str) -> None:
        client = self.around.clients[name]
        if client.is_open:
            self.run(client.platform.connection.execute("ROLLBACK"))
            self._end(client)

    @precondition(lambda self: any(client.is_open for client in self.around.clients.values()))
    @rule(name=chosen_client)
    def set_savepoint(self, name: str) -> None:
        client = self.around.clients[name]
        if client.is_open:
            self.run(client.platform.connection.execute(f"SAVEPOINT s{len(client.savepoints)}".encode()))
            client.savepoints.append(len(client.pending))

    @precondition(lambda self: any(client.savepoints for client in self.around.clients.values()))
    @rule(name=chosen_client)
    def roll_back_to_savepoint(self, name: str) -> None:
        client = self.around.clients[name]
        if client.savepoints:
            kept = client.savepoints.pop()
            self.run(client.platform.connection.execute(f"ROLLBACK TO s{len(client.savepoints)}".encode()))
            del client.pending[kept:]

    @rule(name=chosen_client, tutor=chosen_tutor, likeness=likenesses, whens=moments(lately, most=6))
    def write_sessions_of_late(self, name: str, tutor: str, likeness: Likeness, whens: list[When]) -> None:
        self.run(self._insert(self.around.clients[name], tutor, likeness, whens))

    @rule(name=chosen_client, tutor=chosen_tutor, likeness=completed, whens=moments(ages, most=6))
    def write_sessions(self, name: str, tutor: str, likeness: Likeness, whens: list[When]) -> None:
        self.run(self._insert(self.around.clients[name], tutor, likeness, whens))

    @rule(name=chosen_client, which=some_sessions, audio=audios, visual_aids=st.booleans(), quiet=st.booleans())
    def write_late_metrics(
        self, name: str, which: Selection, audio: model.Audio, visual_aids: bool, quiet: bool
    ) -> None:
        client = self.around.clients[name]
        rows = self._rows_for(client)
        without = [
            i for i in self._select(client, which) if rows[i][1].audio is None and rows[i][1].visual_aids is None
        ]
        self.run(self._insert_metrics(client, without, audio, visual_aids=visual_aids))
        self._look(quiet=quiet)

    @rule(
        name=chosen_client,
        which=some_sessions,
        metric=st.sampled_from(list(METRICS)),
        audio=audios,
        quiet=st.booleans(),
    )
    def change_metric(self, name: str, which: Selection, metric: str, audio: model.Audio, quiet: bool) -> None:
        client = self.around.clients[name]
        self.run(self._update_audio(client, self._select(client, which), metric, getattr(audio, metric)))
        self._look(quiet=quiet)

    @rule(name=chosen_client, which=some_sessions, quiet=st.booleans())
    def delete_metrics(self, name: str, which: Selection, quiet: bool) -> None:
        client = self.around.clients[name]
        self.run(self._delete_metrics(client, self._select(client, which)))
        self._look(quiet=quiet)

    @rule(
        name=chosen_client,
        which=some_sessions,
        change=st.one_of(
            st.tuples(st.just("status"), st.sampled_from([*ENDED, "scheduled"])),
            st.tuples(st.just("score"), decimals("3.0", "6.0", "6.4", "6.5", "8.0", "9.9")),
            st.tuples(st.just("number"), st.sampled_from([1, 2])),
            st.tuples(st.just("completed_at"), st.one_of(st.none(), lately)),
            st.tuples(st.just("rescheduled_by"), st.sampled_from(["tutor", "student"])),
            st.tuples(st.just("student"), st.sampled_from(STUDENTS)),
            st.tuples(st.just("tutor"), chosen_tutor),
        ),
        quiet=st.booleans(),
    )
    def update_sessions(self, name: str, which: Selection, change: tuple[str, Any], quiet: bool) -> None:
        column, value = change
        client = self.around.clients[name]
        if isinstance(value, timedelta):
            value = self.now - value
        self.run(self._update(client, self._select(client, which), column, value))
        self._look(quiet=quiet)

    @rule(name=chosen_client, which=some_sessions, quiet=st.booleans())
    def delete_sessions(self, name: str, which: Selection, quiet: bool) -> None:
        client = self.around.clients[name]
        self.run(self._delete(client, self._select(client, which)))
        self._look(quiet=quiet)

    @precondition(lambda self: not any(client.is_open for client in self.around.clients.values()))
    @rule(table=st.sampled_from(["session_audio_metrics", "session_video_metrics", "sessions"]), quiet=st.booleans())
    def truncate(self, table: str, quiet: bool) -> None:
        self.run(self.around.operator.connection.execute(f"TRUNCATE {table} CASCADE".encode()))
        self.everyone = True
        if table == "sessions":
            self.sessions.clear()
            for tutor in self.tutors.values():
                tutor.alerts.clear()  # they refer to sessions
        for session_id, (owner, session) in self.sessions.items():
            bare = replace(session, audio=None) if "audio" in table else replace(session, visual_aids=None)
            self.sessions[session_id] = owner, bare
        self._look(quiet=quiet)

    @precondition(lambda self: not any(client.is_open for client in self.around.clients.values()))
    @rule(user=st.sampled_from([*TUTORS, *STUDENTS]))
    def delete_user_who_comes_back(self, user: str) -> None:
        self.run(self.around.operator.connection.execute("DELETE FROM users WHERE id = %s", [user]))
        self.run(self.around.add_users((user, "tutor" if user in TUTORS else "student")))
        gone = [(i, row) for i, row in self.sessions.items() if user in (row[0], row[1].student)]
        self._apply([Change(session_id, row, None) for session_id, row in gone])
        if user in TUTORS:
            if self.tutors[user].alerts:
                self.concerned.add(user)
            self.tutors[user] = model.Tutor(ledger=self.tutors[user].ledger)
            self.perhaps.discard(user)

    # What people and others do about alerts

    @rule(tutor=chosen_tutor, alert_type=st.sampled_from(ALERT_TYPES), is_ours=st.booleans())
    def resolve(self, tutor: str, alert_type: str, is_ours: bool) -> None:
        alert = self.tutors[tutor].open_alerts().get(alert_type)
        if alert:
            self.run(self._resolve(alert, is_ours=is_ours))
            alert.resolved_at = self.now
            if is_ours:
                alert.acknowledged_at = alert.acknowledged_at or self.now
            self.concerned.add(tutor)

    @rule(is_ours=st.booleans())
    def resolve_everything(self, is_ours: bool) -> None:
        for tutor, remembered in self.tutors.items():
            for alert_type in list(remembered.open_alerts()):
                self.resolve(tutor, alert_type, is_ours)

    @rule(tutor=chosen_tutor, alert_type=st.sampled_from(ALERT_TYPES))
    def acknowledge(self, tutor: str, alert_type: str) -> None:
        alert = self.tutors[tutor].open_alerts().get(alert_type)
        if alert and alert.acknowledged_at is None:
            self.run(self._acknowledge(alert))
            alert.acknowledged_at = self.now
            self.concerned.add(tutor)

    @rule(tutor=chosen_tutor, which=st.integers(0, 5), quiet=st.booleans())
    def delete_alert(self, tutor: str, which: int, quiet: bool) -> None:
        alerts = self.tutors[tutor].alerts
        if alerts:
            alert = alerts.pop(which % len(alerts))
            self.run(self._about_alert("DELETE FROM alerts WHERE id = %s", alert.id))
            self.concerned.add(tutor)
        self._look(quiet=quiet)

    @rule(tutor=chosen_tutor, which=st.integers(0, 5), quiet=st.booleans())
    def reopen_alert(self, tutor: str, which: int, quiet: bool) -> None:
        remembered = self.tutors[tutor]
        resolved = [alert for alert in remembered.alerts if alert.resolved_at]
        if resolved:
            alert = resolved[which % len(resolved)]
            alert.resolved_at = None
            self.run(
                self._about_alert("UPDATE alerts SET resolved = false, resolved_at = NULL WHERE id = %s", alert.id)
            )
            self.concerned.add(tutor)
        self._look(quiet=quiet)

    @rule(tutor=chosen_tutor, heir=chosen_tutor, which=st.integers(0, 5), quiet=st.booleans())
    def move_alert(self, tutor: str, heir: str, which: int, quiet: bool) -> None:
        """As where accounts are merged; its sessions may follow, or have gone before."""
        alerts = self.tutors[tutor].alerts
        if alerts and tutor != heir:
            alert = alerts.pop(which % len(alerts))
            self.tutors[heir].alerts.append(alert)
            self.run(self._about_alert("UPDATE alerts SET tutor_id = %s WHERE id = %s", heir, alert.id))
            self.concerned |= {tutor, heir}
        self._look(quiet=quiet)

    @rule(tutor=chosen_tutor, alert_type=st.sampled_from(ALERT_TYPES), resolved_age=st.one_of(st.none(), ages))
    def find_an_alert_of_others(self, tutor: str, alert_type: str, resolved_age: timedelta | None) -> None:
        resolved_at = None if resolved_age is None else self.now - resolved_age
        number = UUID(int=next(self.around.numbers))
        alert = model.Alert(alert_type, opened_at=self.now, resolved_at=resolved_at, id=number)
        self.run(self._insert_alert(tutor, alert))
        self.tutors[tutor].alerts.append(alert)
        self.concerned.add(tutor)

    # What time and listeners do

    @rule(
        span=st.sampled_from(
            [MICROSECOND, timedelta(hours=1), A_DAY, A_DAY + MICROSECOND, timedelta(days=7), timedelta(days=30)]
        )
    )
    def let_time_pass(self, span: timedelta) -> None:
        self.now += span
        self.run(set_clock(self.around.operator.connection, self.now))

    @rule(listeners=st.sampled_from([1, 1, 1, 3]), batch_size=st.sampled_from([1, 2, 500]))
    def generate(self, listeners: int, batch_size: int) -> None:
        self.run(self._commit_deletes())
        workers = [self._worker(batch_size, attempts=5) for _ in range(listeners)]
        self.run(_all(workers))
        self._expect_sweep()
        for tutor in self._tutors_concerned():
            self._generate_in_model(self.tutors[tutor], tutor)
        self._be_quiet()

    @rule(statements=st.integers(0, MOST_STATEMENTS))
    def crash(self, statements: int) -> None:
        self.run(self._commit_deletes())
        worker = self._worker(batch_size=500, attempts=1)
        self.around.killer.arm(worker, statements)
        self.run(_all([worker]))
        self.around.crashes += self.around.killer.disarm()
        self._learn_what_the_crash_left()

    # How it is done

    def _look(self, *, quiet: bool) -> None:
        """A quiet moment right after a change: nothing else makes up for it if it went unnoticed."""
        if quiet:
            self.generate(listeners=1, batch_size=500)

    def teardown(self) -> None:
        self.run(self._commit_all())
        self.generate(listeners=1, batch_size=500)

    def _worker(self, batch_size: int, *, attempts: int) -> Working:
        """One that ends as soon as it finds nothing left to do."""
        return Working(self.around.engine, _settings(batch_size, attempts))

    def _expect_sweep(self) -> None:
        if self.swept_at < self.now - A_DAY:
            self.swept_at, self.everyone = self.now, True

    def _tutors_concerned(self) -> set[str]:
        if self.everyone:
            return set(TUTORS)
        return self.concerned | {self.sessions[i][0] for i in self.concerned_through & self.sessions.keys()}

    def _generate_in_model(self, remembered: model.Tutor, tutor: str) -> None:
        sessions = [session for owner, session in self.sessions.values() if owner == tutor]
        others = [other for name, other in self.tutors.items() if name != tutor]
        remembered.generate(sessions, self.now, others=others)

    def _be_quiet(self) -> None:
        """Nothing is left to do, and all is as it should be."""
        assert self.run(self.around.operator.rows("SELECT tutor_id FROM tutorwatch.outbox")) == []
        assert self.run(self.around.operator.rows("SELECT tutor_id, last_error FROM tutorwatch.failures")) == []
        uncertain = self.perhaps - self._tutors_concerned()
        self._settle(uncertain)
        assert self.run(memory_difference(self.around.operator, self.tutors)) == {}
        assert self.around.warnings == []
        self.everyone = False
        self.concerned.clear()
        self.concerned_through.clear()
        self.perhaps.clear()

    def _learn_what_the_crash_left(self) -> None:
        """Each tutor was either generated or not; whoever was not is still to be."""
        [swept_at] = self.run(self.around.operator.rows("SELECT swept_at FROM tutorwatch.sweep"))
        assert swept_at in (self.swept_at, self.now)
        if swept_at != self.swept_at:
            self._expect_sweep()
        concerned = self._tutors_concerned()
        before = copy.deepcopy(self.tutors)
        generated = self._settle(concerned | self.perhaps)
        assert self.run(memory_difference(self.around.operator, self.tutors)) == {}
        same = {tutor for tutor in concerned & generated if memory(before[tutor]) == memory(self.tutors[tutor])}
        self.perhaps |= same | (generated if self.everyone else set())
        self.concerned = concerned - generated
        owed = {session_id for session_id, (tutor, _) in self.sessions.items() if tutor in self.concerned}
        self.concerned_through &= owed
        self.everyone = False

    def _settle(self, tutors: set[str]) -> set[str]:
        """For each: generates in the model if only that explains the database; returns those it may explain."""
        may_be = copy.deepcopy({tutor: self.tutors[tutor] for tutor in tutors})
        for tutor, remembered in may_be.items():
            self._generate_in_model(remembered, tutor)
        unlike: dict[str, Any] = self.run(memory_difference(self.around.operator, may_be))
        generated = tutors - unlike.keys()
        self.tutors |= {tutor: may_be[tutor] for tutor in generated}
        return generated

    def _rows_for(self, client: Client) -> dict[UUID, Row]:
        """The sessions with what the client has changed itself."""
        rows: dict[UUID, Row] = dict(self.sessions)
        for change in client.pending:
            if change.after:
                rows[change.session_id] = change.after
            else:
                rows.pop(change.session_id, None)
        return rows

    def _select(self, client: Client, which: Selection) -> list[UUID]:
        """Sessions that no other client's transaction has locked."""
        taken = {
            change.session_id
            for other in self.around.clients.values()
            if other is not client
            for change in other.pending
        }
        ids = sorted(self._rows_for(client).keys() - taken)
        start, step, most = which
        return ids[start % len(ids) :: step][:most] if ids else []

    async def _insert(self, client: Client, tutor: str, likeness: Likeness, whens: list[When]) -> None:
        rows = [
            model.TutoringSession(
                id=UUID(int=(when.rank << 96) | next(self.around.numbers)),
                student=when.student,
                scheduled_start=self.now - when.scheduled_age,
                completed_at=None if when.completed_age is None else self.now - when.completed_age,
                **vars(likeness),
            )
            for when in whens
        ]
        bare = [replace(row, audio=None, visual_aids=None) for row in rows]
        changes = [Change(row.id, None, (tutor, row)) for row in bare]
        for without, row in zip(bare, rows, strict=True):
            with_audio = replace(without, audio=row.audio)
            seen = None if client.is_serializable else tutor
            changes.append(Change(row.id, (tutor, without), (tutor, with_audio), seen))
            changes.append(Change(row.id, (tutor, with_audio), (tutor, row), seen))
        await self._write(client, write_many(client.platform, {tutor: rows}), changes)

    async def _insert_metrics(self, client: Client, ids: list[UUID], audio: model.Audio, *, visual_aids: bool) -> None:
        rows, tutors = self._rows_for(client), await self._tutors_as_seen(client, ids)

        async def insert() -> None:
            for session_id in ids:
                await client.platform.insert("session_audio_metrics", session_id=session_id, **_columns(audio))
                await client.platform.insert(
                    "session_video_metrics", session_id=session_id, tutor_uses_visual_aids=visual_aids
                )

        changes = []
        for i in ids:
            owner, session = rows[i]
            after = (owner, replace(session, audio=audio, visual_aids=visual_aids))
            changes.append(Change(i, (owner, session), after, tutors.get(i)))
        await self._write(client, insert(), changes)

    async def _update_audio(self, client: Client, ids: list[UUID], metric: str, value: Any) -> None:
        rows, tutors = self._rows_for(client), await self._tutors_as_seen(client, ids)

        def change(session_id: UUID) -> Change:
            tutor, session = rows[session_id]
            assert session.audio
            after = replace(session, audio=replace(session.audio, **{metric: value}))
            return Change(session_id, (tutor, session), (tutor, after), tutors.get(session_id))

        await self._write_returning(
            client,
            f"UPDATE session_audio_metrics SET {METRICS[metric]} = %s WHERE session_id = ANY(%s) RETURNING session_id",
            [value, ids],
            change,
        )

    async def _delete_metrics(self, client: Client, ids: list[UUID]) -> None:
        rows, tutors = self._rows_for(client), await self._tutors_as_seen(client, ids)
        await self._write_returning(
            client,
            "DELETE FROM session_audio_metrics WHERE session_id = ANY(%s) RETURNING session_id",
            [ids],
            lambda i: Change(i, rows[i], (rows[i][0], replace(rows[i][1], audio=None)), tutors.get(i)),
        )

    async def _update(self, client: Client, ids: list[UUID], column: str, value: Any) -> None:
        rows = self._rows_for(client)
        name = {
            "score": "overall_session_score",
            "number": "session_number",
            "student": "student_id",
            "tutor": "tutor_id",
        }.get(column, column)

        def change(session_id: UUID) -> Change:
            owner, session = rows[session_id]
            after = (value, session) if column == "tutor" else (owner, replace(session, **{column: value}))
            return Change(session_id, (owner, session), after)

        await self._write_returning(
            client,
            f"UPDATE sessions SET {name} = %s WHERE id = ANY(%s) RETURNING id",
            [naive(value) if isinstance(value, datetime) else value, ids],
            change,
        )

    async def _delete(self, client: Client, ids: list[UUID]) -> None:
        rows = self._rows_for(client)
        await self._write_returning(
            client,
            "DELETE FROM sessions WHERE id = ANY(%s) RETURNING id",
            [ids],
            lambda i: Change(i, rows[i], None),
        )

    async def _tutors_as_seen(self, client: Client, ids: list[UUID]) -> dict[UUID, str]:
        """What a trigger sees in the client's transaction; in a serializable one it doesn't look."""
        if client.is_serializable or not ids:
            return {}
        return dict(await client.platform.rows("SELECT id, tutor_id FROM sessions WHERE id = ANY(%s)", ids))

    async def _write_returning(self, client: Client, statement: str, values: list[Any], change: Any) -> None:
        changes: list[Change] = []

        async def write() -> None:
            changes.extend(change(session_id) for session_id in await client.platform.rows(statement, *values))

        await self._write(client, write(), changes)

    async def _write(self, client: Client, work: Any, changes: list[Change]) -> None:
        try:
            await work
        except (psycopg.errors.SerializationFailure, psycopg.errors.ForeignKeyViolation) as error:
            if isinstance(error, psycopg.errors.ForeignKeyViolation) and not client.keeps_its_snapshot:
                raise  # in an older snapshot a session may be missing that others have committed since
            await client.platform.connection.execute("ROLLBACK")
            self._end(client)
            return
        if client.is_open:
            client.pending += changes
        else:
            self._apply(changes)

    async def _commit(self, client: Client) -> None:
        if not client.is_open:
            return
        try:
            await client.platform.connection.execute("COMMIT")
        except psycopg.errors.SerializationFailure:
            self._end(client)
            return
        self._apply(client.pending)
        self._end(client)

    def _end(self, client: Client) -> None:
        client.isolation = None
        client.pending = []
        client.savepoints = []

    def _apply(self, changes: list[Change]) -> None:
        """Committed."""
        for change in changes:
            self.concerned |= change.tutors()
            if change.changes_metrics:
                self.concerned_through.add(change.session_id)
            if change.after:
                self.sessions[change.session_id] = change.after
            else:
                self.sessions.pop(change.session_id, None)
                for tutor in self.tutors.values():
                    for alert in tutor.alerts:
                        if alert.names == change.session_id:
                            alert.names = None

    async def _commit_all(self) -> None:
        for client in self.around.clients.values():
            await self._commit(client)

    async def _commit_deletes(self) -> None:
        """A deleted session's alert is locked: a generation would wait for it, and that takes long."""
        for client in self.around.clients.values():
            if client.deletes:
                await self._commit(client)

    async def _about_alert(self, statement: str, *values: Any) -> None:
        await self._commit_deletes()
        await self.around.operator.connection.execute(statement.encode(), values)

    async def _resolve(self, alert: model.Alert, *, is_ours: bool) -> None:
        assert alert.id
        if not is_ours:
            statement = "UPDATE alerts SET resolved = true, resolved_at = %s WHERE id = %s"
            await self._about_alert(statement, naive(self.now), alert.id)
            return
        await self._commit_deletes()
        async with self.around.web_engine.begin() as conn:
            await resolve(conn, alert.id, by=ADMIN, action_taken="Talked", outcome=Outcome.COACHED, now=self.now)

    async def _acknowledge(self, alert: model.Alert) -> None:
        assert alert.id
        await self._commit_deletes()
        async with self.around.web_engine.begin() as conn:
            await acknowledge(conn, alert.id, by=ADMIN, now=self.now)

    async def _insert_alert(self, tutor: str, alert: model.Alert) -> None:
        await self.around.operator.insert(
            "alerts",
            id=alert.id,
            tutor_id=tutor,
            alert_type=alert.alert_type,
            severity="warning",
            title="From before",
            description="From before",
            triggered_date=naive(self.now),
            created_at=naive(self.now),
            resolved=alert.resolved_at is not None,
            resolved_at=alert.resolved_at and naive(alert.resolved_at),
        )


def _columns(audio: model.Audio) -> dict[str, Any]:
    return {column: getattr(audio, metric) for metric, column in METRICS.items()}


@cache
def _limits() -> Thresholds:
    return thresholds()


@cache
def _settings(batch_size: int, attempts: int) -> ListenerSettings:
    """A tutor that was in a crash is tried again at once, and never dead-lettered."""
    return ListenerSettings(
        batch_size=batch_size, transient_attempts=attempts, failure_attempts=100, failure_delay_seconds=1e-9
    )


async def _all(workers: list[Working]) -> None:
    await asyncio.gather(*(working.worker.run() for working in workers))


@pytest.fixture
def around(database_url: str) -> Iterator[Services]:
    """Everybody connected to one database."""
    with asyncio.Runner() as runner:
        connected = services(database_url, runner)
        yield runner.run(connected.__aenter__())
        runner.run(connected.__aexit__(None, None, None))


@pytest.mark.soak_minutes(20)
def test_database_holds_what_the_model_says(
    around: Services, monkeypatch: pytest.MonkeyPatch, fault_record: FaultRecorder
) -> None:
    monkeypatch.setattr(Machine, "around", around, raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not IS_SOAK,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    fault_record("listener's connection killed, in random histories", injected=around.crashes)
