"""The scenario files: the ones that ship with the program, and the user's own.

A shipped scenario is named by its file's stem. In an installed wheel the files are inside the package, in a checkout
beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from iscsiproxy.errors import UsageError

__all__ = ["find", "shipped", "shipped_folder"]


def shipped_folder() -> Path:
    """Give the folder of the shipped scenarios."""
    package = Path(__file__).parent.parent
    inside = package / "faults"
    return inside if inside.is_dir() else package.parent / "faults"


def shipped() -> Mapping[str, Path]:
    """Give every shipped scenario by name, in alphabetical order."""
    return {path.stem: path for path in sorted(shipped_folder().rglob("*.yaml"))}


def find(name: str) -> Path:
    """Give the file that a user means: a path, or the name of a shipped scenario.

    Raises UsageError, with the nearest shipped name, if there is neither.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no file {name}")
        return path
    library = shipped()
    if name in library:
        return library[name]
    near: Sequence[str] = get_close_matches(name, library, n=1)
    hint = f"did you mean {near[0]}?" if near else "`iscsiproxy faults` lists them"
    raise UsageError(f"no scenario is called {name!r} ({hint})")
