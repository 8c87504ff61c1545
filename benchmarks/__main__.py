"""`python -m benchmarks`: runs the benchmarks that are named, else all, and prints what they found."""

import logging
import signal
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import machine
from benchmarks.databases import open_server
from benchmarks.harness import Report
from benchmarks.report import as_json, as_markdown, print_report
from scripts.logs import configure

NAMES = ("writer", "latency", "drain", "backfill", "peers", "dashboard")
logger = logging.getLogger("benchmarks")


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Of {', '.join(NAMES)}.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, which show only that it works.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write the results here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", dir_okay=False, help="Write tables here.")] = None,
) -> None:
    """Measures Tutorwatch on the server of TUTORWATCH_DATABASE_URL, else on an embedded one, in databases of its own.

    Others' work on the machine disturbs the times: trust the ratios to the baselines, which are interleaved.
    """
    if unknown := set(names or ()) - set(NAMES):
        raise typer.BadParameter(f"no benchmark is called {', '.join(sorted(unknown))}")
    configure("auto", "warning")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # the databases go, too
    console = Console(width=None if sys.stdout.isatty() else 200)
    with open_server() as server_url:
        where = machine.describe(server_url)
        console.print(where, highlight=False)
        reports: list[Report] = []
        failed: list[str] = []
        for name in names or NAMES:
            report = run(name, server_url, quick=quick)
            if report is None:
                failed.append(name)
                continue
            reports.append(report)
            print_report(console, report)
            if json_file:
                json_file.write_text(as_json(where, reports), encoding="utf-8")
            if markdown_file:
                page = as_markdown(where, reports, version=version("tutorwatch"), quick=quick)
                markdown_file.write_text(page, encoding="utf-8")
    if failed:
        console.print(f"Failed: {', '.join(failed)}")
        raise typer.Exit(1)


def run(name: str, server_url: str, *, quick: bool) -> Report | None:
    """The benchmark's report; None if it fails, which is logged and doesn't stop the others."""
    try:
        report: Report = import_module(f"benchmarks.{name}").measure(server_url, quick=quick)
    except Exception:
        logger.exception("%s failed (its packages are those of tutorwatch[bench])", name)
        return None
    return report


if __name__ == "__main__":
    typer.run(main)
