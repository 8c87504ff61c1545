"""The benchmarks of listeners at work and at rest run, at sizes too small to mean anything."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from benchmarks import changes, dataset, peers
from benchmarks.changes import record_anew, switch_on
from benchmarks.commands import every_benchmark
from benchmarks.draining import warm_listeners
from benchmarks.giant import GIANT, make_giant
from benchmarks.listening import wait_until_drained, wait_until_none
from benchmarks.relay import counting
from scripts.errors import CommandError
from tests.benchmarks.bench_command import run_bench


@pytest.mark.soak
def test_drain_generates_for_every_tutor(server_url: str, tmp_path: Path) -> None:
    sizes = ("--tutors", "30", "--sessions", "20", "--rounds", "1")
    figures, _ = run_bench(server_url, tmp_path, "drain", "--quick", *sizes)
    assert figures["drain_seconds"]["yardstick"] == "plain join"
    assert figures["drain_rate"]["value"] == pytest.approx(30 / figures["drain_seconds"]["value"])
    assert figures["drain_two_rate"]["yardstick"] == "one listener"
    assert figures["statistics_seconds"]["yardstick"] == "plain join"
    assert figures["writing_seconds"]["value"] < figures["drain_seconds"]["value"]
    assert figures["alerts"]["value"] > 0
    assert figures["insights"]["value"] > 0


def test_changes_are_of_so_many_tutors_and_visible_with_results_gone(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        changes.record_anew(connection, changes=50, tutors=10)
        changes.record_anew(connection, changes=50, tutors=10)
        found = connection.execute(
            "SELECT tutor_id, count(*) FROM tutorwatch.outbox GROUP BY tutor_id ORDER BY tutor_id"
        ).fetchall()
    assert sorted(found) == sorted((f"bench-tutor-{number}", 5) for number in range(1, 11))


@pytest.mark.soak
def test_idle_services_are_looked_at(server_url: str, tmp_path: Path) -> None:
    figures, _ = run_bench(server_url, tmp_path, "idle", "--quick", "--seconds", "11", "--starts", "1")
    assert figures["help_seconds"]["ratio"] > 1
    assert figures["listen_seconds"]["value"] > figures["nothing_seconds"]["value"]
    for service in ("listen", "run"):
        assert figures[f"{service}_statements"]["value"] > 0, "the heartbeat of every ten seconds"
        if Path("/proc/self/stat").exists():
            assert 20 < figures[f"{service}_memory"]["value"] < 500
            assert figures[f"{service}_processor"]["value"] < 100


def test_relay_counts_statements_of_all_connections(database_url: str) -> None:
    with counting(database_url) as (url, counted):
        with psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as second:
            first.execute("SELECT 1")  # with its BEGIN
            second.execute("SELECT length(%s)", ["x" * 200_000], prepare=True)
            second.execute("SELECT length(%s)", ["y"], prepare=True)
            with second.cursor() as cursor, cursor.copy("COPY public.subjects TO STDOUT") as copy:
                list(copy)
            first.commit()
        assert counted.statements == 6


TINY_SCALE = ("--sessions", "400", "--sessions", "2000", "--generations", "2", "--rounds", "1")


@pytest.mark.soak
def test_scale_compares_sizes_and_giants(server_url: str, tmp_path: Path) -> None:
    giant = ("--giant", "200", "--seconds", "1")
    figures, printed = run_bench(server_url, tmp_path, "scale", "--quick", *TINY_SCALE, *giant)
    assert figures["generation_largest"]["yardstick"] == "400 sessions"
    assert figures["generation_400"]["value"] > 0
    assert figures["giant_generation"]["yardstick"] == "an ordinary tutor"
    assert figures["giant_p50"]["value"] <= figures["giant_p95"]["value"]
    assert figures["giant_p95"]["yardstick"] == "giant at rest"
    assert figures["giant_to_rest"]["value"] == figures["giant_generation"]["value"]
    assert "200 sessions in the window" in printed


def test_giant_gets_sessions_and_metrics_of_its_own(database_url: str) -> None:
    dataset.fill(database_url, dataset.Size(tutors=10, sessions_each=40), datetime.now(UTC))
    of_others = "SELECT tutor_id, count(*) FROM sessions WHERE tutor_id <> %s GROUP BY tutor_id ORDER BY tutor_id"
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = connection.execute(of_others, [GIANT]).fetchall()
        make_giant(database_url, 1000)  # more than all others have
        assert connection.execute(of_others, [GIANT]).fetchall() == before
        found = connection.execute(
            "SELECT count(*), count(audio.session_id), count(video.session_id) > 100 FROM sessions"
            " LEFT JOIN session_audio_metrics AS audio ON audio.session_id = sessions.id"
            " LEFT JOIN session_video_metrics AS video ON video.session_id = sessions.id"
            " WHERE tutor_id = %s AND status = 'completed' AND scheduled_start > now() - interval '30 days'",
            [GIANT],
        ).fetchone()
        connection.execute("TRUNCATE sessions CASCADE")
    assert found
    assert 1000 <= found[0] == found[1] <= 1020, "and what it had"
    assert found[2]
    with pytest.raises(CommandError, match="no completed sessions"):
        make_giant(database_url, 1000)


def test_each_of_two_listeners_is_warm(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORWATCH_HEARTBEAT_SECONDS", "1")  # with which a listener says what it has done
    switch_on(database_url)
    dataset.fill(database_url, dataset.Size(tutors=5, sessions_each=8), datetime.now(UTC))
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        warm_listeners(database_url, connection, 2, tutors=5) as up,
    ):
        assert len({each.process_id for each in up}) == 2
        wait_until_none(database_url, IDLE_LISTENER, "A listener has worked off nothing")
        record_anew(connection, 5, 5)
        wait_until_drained(database_url)  # by either: the paused one goes on


IDLE_LISTENER = "SELECT FROM tutorwatch.listeners WHERE (figures ->> 'batches')::integer = 0"


TINY_PEERS = {"changes": 30, "tutors": 15, "few": 3, "sessions": 10, "sample": 20, "rounds": 1}


@pytest.mark.soak
def test_peers_do_the_same_work(server_url: str, tmp_path: Path) -> None:
    sizes = [part for name, size in TINY_PEERS.items() for part in (f"--{name}", str(size))]
    figures, printed = run_bench(server_url, tmp_path, "peers", "--quick", *sizes)
    for tutors in ("many", "few"):
        assert figures[f"changes_of_{tutors}_tutorwatch"]["yardstick"] in peers.PEERS
        for peer in peers.PEERS:
            assert figures[f"changes_of_{tutors}_{peer}"]["value"] > 0
    assert "measured on 20 of 30 jobs and scaled up" in printed


def test_peers_that_are_missing_are_named_with_what_to_install(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda _name: None)
    (benchmark,) = (each for each in every_benchmark() if each.name == "peers")
    report = benchmark.measure(server_url, benchmark.quick)
    assert not report.figures
    assert "pip install 'tutorwatch[bench]'" in report.notes[0]


def test_failed_job_of_a_peer_is_no_measurement(database_url: str) -> None:
    name, peer = "procrastinate", peers.PEERS["procrastinate"]
    asyncio.run(peer.install(database_url))
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE public.users RENAME TO people")
    with peers.worker(name, database_url), pytest.raises(CommandError, match="jobs of procrastinate failed"):
        peers.work_off(name, database_url, ["bench-tutor-1"])


def test_peer_that_does_not_come_up_is_not_waited_for(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(peers.PEERS["procrastinate"].install(database_url))
    monkeypatch.setenv("TUTORWATCH_NO_SUCH_SETTING", "1")
    with (
        pytest.raises(CommandError, match="procrastinate didn't begin to work: its process has ended"),
        peers.worker("procrastinate", database_url),
    ):
        pass
