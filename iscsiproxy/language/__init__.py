"""The fault language: the text of a scenario file becomes a checked tree, or a list of what is wrong with it.

A file goes through four readings, each with its own modules and no knowledge of the next.

YAML is only the skin (`document`): texts, lists and mappings with their places, and nothing else of YAML.
The grammar (`tokens`, `expressions`, `moments`, `syntax`) makes trees of what was written, not asking what it means.
The meaning (`vocabulary`, `captures`, `names`, `checker`, `patterns`) gives every name its state and every value its
kind; fields, kinds and code names come from the wire tables.
The file (`acts`, `rules`, `expectations`, `sections`, `matrix`, `scenario`, `loader`) puts it together; the acts that
there are come in as specifications, so that this package does not know who carries them out.

What comes out is in `spec`: frozen, typed, with names resolved, so that nobody behind has to doubt it. Nothing here
opens a file, and nothing that is written in one is ever run.

The reader is imported when it is first asked for: whoever only carries out a checked tree needs `spec` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iscsiproxy.language.loader import lint, load, load_all
    from iscsiproxy.language.spec import ActSpec, Scenario
    from iscsiproxy.language.steps import STEPS

__all__ = ["STEPS", "ActSpec", "Scenario", "lint", "load", "load_all"]

_HOMES = {
    "lint": "loader",
    "load": "loader",
    "load_all": "loader",
    "ActSpec": "spec",
    "Scenario": "spec",
    "STEPS": "steps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"iscsiproxy.language.{_HOMES[name]}"), name)
