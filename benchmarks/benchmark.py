"""What a benchmark is, and the way from its options to a report on stdout."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import typer

from benchmarks import goals, machine
from benchmarks.databases import kept_for_copies, open_server
from benchmarks.dataset import Size
from benchmarks.progress import elapsed_seconds
from benchmarks.report import Report, aligned, as_markdown, as_table, markdown_table
from scripts.errors import CommandError

logger = logging.getLogger(__name__)

Options = TypeVar("Options", bound=Any)

Quick = Annotated[bool, typer.Option("--quick", help="Small sizes: well under a minute, for a first look.")]
JsonFile = Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write the figures to this file too.")]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", dir_okay=False, help="Write the tables to this file too, as Markdown.")
]


@dataclass(frozen=True)
class Benchmark(Generic[Options]):
    """One benchmark: the function behind its command, its options (a frozen dataclass), and what it does.

    A module in `benchmarks.benchmarks` has one, named BENCHMARK; that is all it takes to add one.
    """

    name: str
    command: Callable[..., None]
    full: Options
    quick: Options
    measure: Callable[[str, Options], Report]
    """Takes a server's URL; leaves nothing behind there."""
    size: Callable[[Options], Size] | None = None
    """Of its database, if others may have one of the same size."""

    def options(self, *, quick: bool, **given: object) -> Options:
        """The full or the quick options, with those replaced that were given (None: not given)."""
        chosen: Options = replace(
            self.quick if quick else self.full, **{name: value for name, value in given.items() if value is not None}
        )
        return chosen

    def run(self, *, quick: bool, json_file: Path | None, **given: Any) -> None:
        """Measures and prints; the whole of a benchmark's command."""
        run_all([self], quick=quick, json_file=json_file, **given)


def run_all(
    benchmarks: Sequence[Benchmark[Any]],
    *,
    quick: bool,
    json_file: Path | None,
    markdown_file: Path | None = None,
    **given: object,
) -> None:
    """Runs the benchmarks on one server, prints each report as soon as it is there, writes all to the files.

    Of several, one that fails doesn't stop the others: its report says so, and CommandError is raised at the end.
    """
    with ExitStack() as stack:
        server_url = stack.enter_context(open_server())
        where = machine.describe(server_url)
        typer.echo(str(where))
        reports: list[Report] = []
        failed: list[str] = []
        chosen = [(benchmark, benchmark.options(quick=quick, **given)) for benchmark in benchmarks]
        sizes = Counter(benchmark.size(options) for benchmark, options in chosen if benchmark.size)
        stack.enter_context(kept_for_copies(server_url, [size for size, times in sizes.items() if times > 1]))
        for benchmark, options in chosen:
            try:
                report = benchmark.measure(server_url, options)
            except Exception as error:
                if len(chosen) == 1:
                    raise
                logger.exception("%s failed; the others go on", benchmark.name)
                failed.append(benchmark.name)
                report = Report(benchmark.name, asdict(options), (), [f"it failed: {type(error).__name__}: {error}"])
            typer.echo(f"\n{as_table(report)}")
            reports.append(report)
            if json_file:
                found = {"machine": where.as_json(), "benchmarks": [each.as_json() for each in reports]}
                json_file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            if markdown_file:
                markdown_file.write_text(_as_page(where, reports, quick=quick), encoding="utf-8")
        if len(benchmarks) > 1:
            typer.echo(f"\ngoals{_at_full_size(quick=quick)}\n\n{aligned(goals.HEADINGS, goals.judged(reports))}")
            typer.echo(f"\n{_how_long()}")
        if failed:
            raise CommandError(f"Failed: {', '.join(failed)}")


def _as_page(where: machine.Machine, reports: Sequence[Report], *, quick: bool) -> str:
    command = f"tutorwatch bench all{' --quick' if quick else ''} --markdown FILE"
    about = f"Written by `{command}`, {datetime.now(UTC):%Y-%m-%d}, on this machine: {where}. {_how_long()}"
    reached = f"## goals\n\n{markdown_table(goals.HEADINGS, goals.judged(reports))}"
    return "\n\n".join(["# Benchmarks", about, reached, *map(as_markdown, reports)]) + "\n"


def _how_long() -> str:
    return f"It took {elapsed_seconds() / 60:.0f} minutes."


def _at_full_size(*, quick: bool) -> str:
    return " (they are meant for the full sizes)" if quick else ""
