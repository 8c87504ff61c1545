"""`tutorwatch bench`, run as an operator runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.goals import GOALS

BENCH = (sys.executable, "-c", "from benchmarks.commands import app; app()")
Figures = dict[str, dict[str, Any]]


def run_bench(server_url: str, tmp_path: Path, *arguments: str) -> tuple[Figures, str]:
    """Runs the command in a process of its own; returns its figures by name, and what it printed."""
    json_file = tmp_path / "figures.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TUTORWATCH_")}
    process = subprocess.Popen(
        [*BENCH, *arguments, "--json", str(json_file)],
        env=environment | {"TUTORWATCH_DATABASE_URL": server_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    printed, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert databases_of(server_url, process.pid) == []
    found = json.loads(json_file.read_text(encoding="utf-8"))
    assert found["machine"]["cores"] > 0
    assert found["machine"]["memory_gib"] > 0
    assert found["machine"]["postgresql"]
    assert found["machine"]["settings"]["fsync"] in ("on", "off")
    figures = {figure["name"]: figure for figure in found["benchmarks"][0]["figures"]}
    assert goals_figures(found["benchmarks"][0]["benchmark"]) <= figures.keys()
    for figure in figures.values():
        assert figure["what"].strip() in printed
        assert figure["value"] >= 0
        if figure["spread"]:
            assert 0 < figure["spread"][0] <= figure["spread"][1]
        if figure["yardstick"]:
            assert figure["ratio"] > 0
        if figure["ratio_spread"]:
            assert 0 < figure["ratio_spread"][0] <= figure["ratio_spread"][1]
    return figures, printed


def goals_figures(benchmark: str) -> set[str]:
    """The figures that goals, or their limits, want of a benchmark; where it isn't Linux, less is told."""
    wanted = {goal.figure for goal in GOALS if goal.benchmark == benchmark}
    parts = [part.split(".") for goal in GOALS for limit in goal.limits for part in limit.parts]
    wanted |= {figure for of, figure in parts if of == benchmark}
    if not Path("/proc/self/status").exists():
        wanted = {name for name in wanted if not name.endswith(("_processor", "_memory", "_left", "_busy"))}
    return wanted


def databases_of(server_url: str, process_id: int) -> list[str]:
    with psycopg.connect(server_url) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"tutorwatch_bench_%_{process_id}"]
        )
        return [name for (name,) in rows]
