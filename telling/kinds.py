"""All kinds of channels: what is found in `telling.channels`, by name and by a URL's scheme."""

import importlib
import pkgutil
from collections.abc import Mapping

from telling import channels
from telling.channel import Kind, TargetError


def _find() -> Mapping[str, Kind]:
    modules = pkgutil.iter_modules(channels.__path__)
    kinds: list[Kind] = [
        importlib.import_module(f"{channels.__name__}.{module.name}").KIND
        for module in modules
        if not module.name.startswith("_")
    ]
    return {kind.name: kind for kind in kinds}


KINDS = _find()
"""By name."""


def kind_of(url: str) -> Kind:
    """Return the kind that has the URL's scheme. Raises TargetError."""
    scheme = url.partition(":")[0].lower()
    for kind in KINDS.values():
        if scheme in kind.schemes:
            return kind
    forms = ", ".join(kind.form for kind in KINDS.values())
    raise TargetError(f"{scheme!r} is no kind of channel; there are {forms}")
