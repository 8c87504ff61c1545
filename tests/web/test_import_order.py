"""No modules import each other in a circle: whichever a program begins with, it can be imported."""

from collections.abc import Iterator
from graphlib import TopologicalSorter

import grimp

PACKAGES = ("database", "rules", "listener", "web", "scripts", "migrations", "telling")


def with_packages(module: str) -> Iterator[str]:
    """The module, and the packages around it, whose `__init__` is executed first."""
    parts = module.split(".")
    yield from (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES)
    needed = {
        module: {
            each
            for imported in graph.find_modules_directly_imported_by(module)
            for each in with_packages(imported)
            if each not in with_packages(module)  # being imported already
        }
        for module in graph.modules
    }
    TopologicalSorter(needed).prepare()  # raises CycleError, which names them
