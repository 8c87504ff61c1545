"""The size of the code: `python -m benchmarks.code_size [REVISION...]`, by default of HEAD and of the working tree.

For each revision a table with a line per folder: files, lines, the longest file and the longest function; and the
lines of the product, which are those of all folders but the tests, the benchmarks and the demo.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
WORKING_TREE = "."
KINDS = (".py", ".sql", ".html", ".js", ".css")
"""Of files that count: Python, SQL, templates, scripts and styles."""
PRODUCT = ("database", "rules", "telling", "listener", "web", "migrations", "scripts")
NOT_THE_PRODUCT = ("scripts/bench", "scripts/demo")
"""Folders within it that aren't counted as the product's: of the benchmarks, where they once lay, and of the demo."""


@dataclass(frozen=True)
class Source:
    """A file: its path, its lines, and its longest function (0 and "" without one)."""

    path: str
    lines: int
    function_lines: int = 0
    function: str = ""

    @property
    def folder(self) -> str:
        """The line of the table that it belongs to."""
        return next((each for each in NOT_THE_PRODUCT if self.path.startswith(each + "/")), self.path.split("/")[0])


def sources(revision: str) -> list[Source]:
    """The files of a revision that count, by path; "." is the working tree, without what git ignores."""
    if revision == WORKING_TREE:
        names = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        texts = {name: ROOT / name for name in names if name.endswith(KINDS) and (ROOT / name).is_file()}
        return [_source(name, path.read_text(encoding="utf-8")) for name, path in sorted(texts.items())]
    names = _git("ls-tree", "-r", "-z", "--name-only", revision).split("\0")
    return [_source(name, _git("show", f"{revision}:{name}")) for name in sorted(names) if name.endswith(KINDS)]


def main(revisions: Annotated[list[str] | None, typer.Argument(help="HEAD and . unless given.")] = None) -> None:
    """Prints a table for each revision; "." is the working tree."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    for revision in revisions or ("HEAD", WORKING_TREE):
        files = sources(revision)
        console.print(_table("working tree" if revision == WORKING_TREE else revision, files))
        product = sum(file.lines for file in files if file.folder in PRODUCT)
        console.print(f"  lines of the product: {product:,}\n")


def _table(title: str, files: list[Source]) -> Table:
    headings = ("folder", "files", "lines", "longest file", "longest function")
    table = Table(*headings, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for folder in sorted({file.folder for file in files}, key=lambda each: (each not in PRODUCT, each)):
        own = [file for file in files if file.folder == folder]
        longest = max(own, key=lambda file: file.lines)
        function = max(own, key=lambda file: file.function_lines)
        table.add_row(
            folder,
            str(len(own)),
            f"{sum(file.lines for file in own):,}",
            f"{longest.lines} {longest.path}",
            f"{function.function_lines} {function.path}:{function.function}" if function.function else "",
        )
    return table


def _source(path: str, text: str) -> Source:
    longest = max(functions(path, text), default=(0, ""))
    return Source(path, len(text.splitlines()), *longest)


def functions(path: str, text: str) -> Iterator[tuple[int, str]]:
    """The lines and names of a Python file's functions."""
    if path.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout.decode()  # noqa: S607


if __name__ == "__main__":
    typer.run(main)
