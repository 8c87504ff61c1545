"""`python -m benchmarks`: a command per module in `benchmarks.benchmarks`, and `all` of them.

Importing this imports all of them: do so only when a benchmark is asked for.
"""

import signal
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import typer

from benchmarks import benchmarks
from benchmarks.benchmark import Benchmark, JsonFile, MarkdownFile, Quick, run_all
from scripts.log_format import LogFormat, LogLevel
from scripts.logs import configure

app = typer.Typer(
    name="benchmarks",
    help="Measures Tutorwatch on the server of TUTORWATCH_DATABASE_URL, else on an embedded one, each time in a "
    "database of its own that is dropped at the end. Others' work on the machine disturbs the times: trust the "
    "ratios, which are measured in turns.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def every_benchmark() -> list[Benchmark[Any]]:
    """The benchmarks of all modules in `benchmarks.benchmarks`, in the order of their names."""
    names = sorted(module.name for module in iter_modules(benchmarks.__path__))
    return [import_module(f"{benchmarks.__name__}.{name}").BENCHMARK for name in names]


@app.callback()
def prepare() -> None:
    """Logs warnings only, and lets SIGTERM end a benchmark like Ctrl-C: its database goes too."""
    configure(LogFormat.AUTO, LogLevel.WARNING)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


@app.command("all")
def run_every_benchmark(quick: Quick = False, json_file: JsonFile = None, markdown_file: MarkdownFile = None) -> None:
    """Every benchmark, one after the other."""
    run_all(every_benchmark(), quick=quick, json_file=json_file, markdown_file=markdown_file)


for _benchmark in every_benchmark():
    app.command(_benchmark.name)(_benchmark.command)
