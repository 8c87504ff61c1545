"""Clients that write all the time and keep a ledger of it, and the judge who holds the database against the truth."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg

from tests.support import model
from tests.support.listening import out_of_groups
from tests.support.model_comparison import difference
from tests.support.platform import Platform, naive
from tests.support.waiting import eventually

logger = logging.getLogger(__name__)

Client = psycopg.AsyncConnection[Any]
SUBJECT = UUID(int=1)
MOST_SESSIONS = 10
"""Of a changing tutor: few, so that each counts in the averages."""
SAMPLE_SECONDS = 0.2
QUIET_SECONDS = 90.0
"""How long the listeners may take to catch up before the judge calls the rest lost."""

_DUPLICATES = b"""
    SELECT (SELECT count(*) FROM (SELECT FROM alerts WHERE NOT resolved
                                  GROUP BY tutor_id, alert_type HAVING count(*) > 1) AS a)
         + (SELECT count(*) FROM (SELECT FROM tutor_insights WHERE is_active
                                  GROUP BY tutor_id, category HAVING count(*) > 1) AS i)
"""
# In this traffic nobody resolves an alert: a second one, open or not, is one too many.
_SECOND_ALERTS = b"SELECT count(*) FROM (SELECT FROM alerts GROUP BY tutor_id, alert_type HAVING count(*) > 1) AS a"
_SESSIONS = b"""
    SELECT s.tutor_id, s.id, s.student_id, s.scheduled_start, s.status::text, s.session_number, s.completed_at,
           s.overall_session_score, s.rescheduled_by::text, a.session_id IS NOT NULL, a.tutor_talk_ratio,
           a.student_engagement_score, a.tutor_checks_understanding_count, a.tutor_positive_reinforcement_count,
           a.open_ended_questions, a.closed_ended_questions, v.tutor_uses_visual_aids
    FROM sessions AS s
    LEFT JOIN session_audio_metrics AS a ON a.session_id = s.id
    LEFT JOIN session_video_metrics AS v ON v.session_id = s.id
    WHERE s.tutor_id = ANY(%s)
"""


@dataclass
class Verdict:
    """What the judge found: tutors and changes that no generation has seen, and second alerts or insights."""

    lost: int
    doubled: int


@dataclass
class Traffic:
    """Clients of the platform. They connect to the database itself, whatever becomes of the services' network.

    Two kinds of tutors. Of `growing` ones each session is evidence for ever: one that no generation saw would be
    missing there. Those of `changing` ones are also changed, moved and deleted, and get their metrics later.
    """

    url: str
    prefix: str = "t"
    tutors: int = 12
    pause_seconds: float = 0.06
    isolation: psycopg.IsolationLevel | None = None
    settings: str = ""
    """What the clients ask of the server for their connections."""
    only_adds: bool = False
    """Whether the clients read nothing, not even to find what they change."""
    survives_outages: bool = False
    """Whether a write may fail because the server itself is gone."""
    latencies: list[float] = field(default_factory=list)
    written: int = 0
    unanswered: int = 0
    """Writes that the server took along when it went."""
    warnings: list[str] = field(default_factory=list)
    doubled: int = 0
    samples: int = 0
    _ledger: dict[UUID, str | None] = field(default_factory=dict)
    _uncertain: set[UUID] = field(default_factory=set)
    _scheduled: list[UUID] = field(default_factory=list)
    _changing_sessions: dict[UUID, str] = field(default_factory=dict)
    _dice: random.Random = field(default_factory=lambda: random.Random(4))

    @property
    def growing(self) -> list[str]:
        return [f"{self.prefix}-growing-{number:02}" for number in range(self.tutors)]

    @property
    def changing(self) -> list[str]:
        return [f"{self.prefix}-changing-{number:02}" for number in range(self.tutors)]

    async def set_up(self) -> None:
        """The people, before anybody writes."""
        async with await self._connect() as client:
            platform = Platform(client)
            await platform.insert("subjects", id=SUBJECT, name="Algebra", category="math")
            await platform.user("student", role="student")
            for tutor in self.growing + self.changing:
                await platform.user(tutor)

    async def write_for_ever(self) -> None:
        """One client. A failed write ends the test, unless the server itself was away."""
        client = await self._connect_patiently()
        try:
            while True:
                await asyncio.sleep(self.pause_seconds * self._dice.uniform(0.5, 1.5))
                if client.closed:
                    client = await self._connect_patiently()
                await self.write(client)
        finally:
            await client.close()

    async def write(self, client: Client) -> None:
        """One write of some kind, in a transaction of its own."""
        additions = (self._miss, self._miss, self._reschedule, self._disappoint)
        kinds = additions if self.only_adds else (*additions, self._finish, self._teach, self._change)
        session_ids, statement, values, after = self._dice.choice(kinds)()
        if not session_ids:
            return
        started = time.monotonic()
        try:
            async with client.transaction():
                await client.execute(statement, values)
        except asyncio.CancelledError:
            self.latencies.append(time.monotonic() - started)  # of a write that still waited at the end
            self._uncertain |= set(session_ids)
            raise
        except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction):
            self._uncertain |= set(session_ids)
            if not self.survives_outages:
                raise
            self.unanswered += 1
            return
        self.latencies.append(time.monotonic() - started)
        self.written += 1
        self._ledger |= after

    def _new(self) -> tuple[UUID, datetime]:
        """A session's id and date: away from the edges of all windows."""
        return uuid4(), naive(datetime.now(UTC) - timedelta(days=self._dice.uniform(1, 5)))

    def _insert(self, tutors: Iterable[str], status: str, **values: Any) -> "_Write":
        rows = [(tutor, *self._new()) for tutor in tutors]
        row = {"number": 2, "score": None, "by": None} | values
        placeholders = ", ".join(["(%s, %s, %s, 'student', %s, 60, %s, %s, %s, %s)"] * len(rows))
        flat = [
            value
            for tutor, session_id, start in rows
            for value in (session_id, tutor, SUBJECT, start, row["number"], status, row["score"], row["by"])
        ]
        statement = (
            "INSERT INTO sessions (id, tutor_id, subject_id, student_id, scheduled_start, scheduled_duration,"
            f" session_number, status, overall_session_score, rescheduled_by) VALUES {placeholders}"
        )
        written = {session_id: tutor for tutor, session_id, _ in rows}
        return list(written), statement.encode(), flat, dict(written)

    def _miss(self) -> "_Write":
        """No-shows of several tutors at once."""
        return self._insert(self._dice.sample(self.growing, k=self._dice.choice((1, 1, 2))), "no_show_tutor")

    def _reschedule(self) -> "_Write":
        return self._insert([self._dice.choice(self.growing)], "rescheduled", by="tutor")

    def _disappoint(self) -> "_Write":
        return self._insert([self._dice.choice(self.growing)], "completed", number=1, score=Decimal("3.0"))

    def _finish(self) -> "_Write":
        """A session that was only scheduled comes to its end; if there is none, one is scheduled."""
        if self._scheduled:
            session_id = self._scheduled.pop()
            return [session_id], b"UPDATE sessions SET status = 'no_show_tutor' WHERE id = %s", [session_id], {}
        session_ids, statement, values, after = self._insert([self._dice.choice(self.growing)], "scheduled")
        self._scheduled += session_ids
        return session_ids, statement, values, after

    def _teach(self) -> "_Write":
        """A session of a changing tutor; its metrics come later, with a change. The oldest makes room."""
        tutor = self._dice.choice(self.changing)
        own = [session_id for session_id, its_tutor in self._changing_sessions.items() if its_tutor == tutor]
        if len(own) >= MOST_SESSIONS:
            self._changing_sessions.pop(own[0])
            return [own[0]], b"DELETE FROM sessions WHERE id = %s", [own[0]], {own[0]: None}
        session_ids, statement, values, after = self._insert([tutor], "completed")
        self._changing_sessions[session_ids[0]] = tutor
        return session_ids, statement, values, after

    def _change(self) -> "_Write":
        """Metrics that arrive or are corrected, or a session that moves to another tutor."""
        if not self._changing_sessions:
            return [], b"", [], {}
        session_id = self._dice.choice(list(self._changing_sessions))
        kind = self._dice.random()
        if kind < 0.1:
            tutor = self._dice.choice(self.changing)
            self._changing_sessions[session_id] = tutor
            return [session_id], b"UPDATE sessions SET tutor_id = %s WHERE id = %s", [tutor, session_id], {}
        if kind < 0.3:
            statement = (
                b"INSERT INTO session_video_metrics (session_id, tutor_uses_visual_aids) SELECT id, %s FROM sessions"
                b" WHERE id = %s FOR KEY SHARE ON CONFLICT (session_id) DO UPDATE SET tutor_uses_visual_aids ="
                b" excluded.tutor_uses_visual_aids"
            )
            return [session_id], statement, [self._dice.random() < 0.8, session_id], {}
        # No figure that an alert asks for: what alerts remember depends on when they looked.
        audio = [
            Decimal(self._dice.randint(300, 600)) / 1000,
            Decimal(self._dice.randint(30, 99)) / 10,
            self._dice.randint(5, 15),
            self._dice.randint(0, 20),
            self._dice.randint(0, 9),
            self._dice.randint(0, 9),
        ]
        statement = (
            b"INSERT INTO session_audio_metrics (session_id, tutor_talk_ratio, student_engagement_score,"
            b" tutor_checks_understanding_count, tutor_positive_reinforcement_count, open_ended_questions,"
            b" closed_ended_questions) SELECT id, %s, %s, %s, %s, %s, %s FROM sessions WHERE id = %s"
            b" FOR KEY SHARE ON CONFLICT (session_id) DO UPDATE SET tutor_talk_ratio = excluded.tutor_talk_ratio,"
            b" student_engagement_score = excluded.student_engagement_score"
        )
        return [session_id], statement, [*audio, session_id], {}

    async def sample_for_ever(self) -> None:
        """Looks for second open alerts and second active insights, again and again."""
        client = await self._connect_patiently()
        try:
            while True:
                try:
                    cursor = await client.execute(_DUPLICATES)
                    row = await cursor.fetchone()
                    assert row
                    self.doubled += row[0]
                    self.samples += 1
                except psycopg.OperationalError:
                    if not self.survives_outages:
                        raise
                    client = await self._connect_patiently()
                await asyncio.sleep(SAMPLE_SECONDS)
        finally:
            await client.close()

    async def _connect(self) -> Client:
        client = await psycopg.AsyncConnection.connect(
            self.url, autocommit=True, application_name="client", options=self.settings
        )
        if self.isolation:
            await client.set_isolation_level(self.isolation)
        client.add_notice_handler(lambda notice: self.warnings.append(notice.message_primary or ""))
        return client

    async def _connect_patiently(self) -> Client:
        while True:
            try:
                return await self._connect()
            except psycopg.OperationalError:
                if not self.survives_outages:
                    raise
            await asyncio.sleep(0.05)

    async def judge(self, *, quiet_within: float = QUIET_SECONDS) -> Verdict:
        """Waits for quiet, then compares the database with the ledger and with the model."""
        async with await self._connect_patiently() as client:
            platform = Platform(client)
            with suppress(AssertionError):  # what is left then is lost
                await eventually(lambda: is_quiet(platform), within=quiet_within)
            stored: dict[UUID, str] = dict(await platform.rows("SELECT id, tutor_id FROM sessions"))
            forgotten = [
                session_id
                for session_id, tutor in self._ledger.items()
                if session_id not in self._uncertain and (stored.get(session_id) is None) != (tutor is None)
            ]
            assert not forgotten, f"the server forgot what it had committed: {forgotten}"
            doubled = self.doubled
            for count in (_DUPLICATES, _SECOND_ALERTS):
                doubled += (await platform.rows(count.decode()))[0]
            differs = {} if doubled else await difference(platform, await self._truth(platform))
            waiting = (await platform.rows("SELECT count(*) FROM tutorwatch.outbox"))[0]
            for tutor, (found, expected) in list(differs.items())[:3]:
                logger.error("%s: the database has %s, the model says %s", tutor, found, expected)
            return Verdict(lost=len(differs) + waiting, doubled=doubled)

    async def _truth(self, platform: Platform) -> dict[str, model.Tutor]:
        tutors = self.growing + self.changing
        sessions: dict[str, list[model.TutoringSession]] = {tutor: [] for tutor in tutors}
        for tutor, *row in await platform.rows(_SESSIONS.decode(), tutors):
            sessions[tutor].append(_session(row))
        truth = {tutor: model.Tutor() for tutor in tutors}
        for tutor, its_model in truth.items():
            its_model.generate(sessions[tutor], datetime.now(UTC))
        return truth


_Write = tuple[list[UUID], bytes, list[Any], dict[UUID, str | None]]
"""The sessions concerned, the statement and its values, and what the ledger says after it."""


def _session(row: list[Any]) -> model.TutoringSession:
    session_id, student, start, status, number, completed, score, by, has_audio, *audio, aids = row
    return model.TutoringSession(
        id=session_id,
        student=student,
        scheduled_start=start.replace(tzinfo=UTC),
        status=status,
        number=number,
        completed_at=completed and completed.replace(tzinfo=UTC),
        score=score,
        rescheduled_by=by,
        audio=model.Audio(*audio) if has_audio else None,
        visual_aids=aids,
    )


@asynccontextmanager
async def flowing(traffic: Traffic, *, clients: int = 3) -> AsyncIterator[Traffic]:
    """Sets up, and lets so many clients write beside the test. A failing write ends the test."""
    await traffic.set_up()
    with out_of_groups():
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(traffic.write_for_ever()) for _ in range(clients)]
            running.append(tasks.create_task(traffic.sample_for_ever()))
            try:
                yield traffic
            finally:
                for task in running:
                    task.cancel()
    assert traffic.written > 0
    assert traffic.samples > 0


async def is_quiet(platform: Platform) -> bool:
    """Whether nothing is left to be generated."""
    rows = await platform.rows(
        "SELECT NOT EXISTS (SELECT FROM tutorwatch.outbox)"
        " AND NOT EXISTS (SELECT FROM tutorwatch.failures WHERE parked_at IS NULL)"
    )
    return rows == [True]


async def seconds_until_caught_up(platform: Platform, *, within: float = 60.0) -> float:
    """How long it takes until all that is committed now has been generated, while clients write on."""
    started = time.monotonic()
    [mark] = await platform.rows("SELECT clock_timestamp()")

    async def is_caught_up() -> bool:
        return await platform.rows(
            "SELECT NOT EXISTS (SELECT FROM tutorwatch.outbox WHERE recorded_at <= %s)"
            " AND NOT EXISTS (SELECT FROM tutorwatch.failures WHERE parked_at IS NULL)",
            mark,
        ) == [True]

    await eventually(is_caught_up, within=within)
    return time.monotonic() - started
