"""What a test arms: a scenario that ships, a file, the text of one, or one line of the console."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Final

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import UsageError
from iscsiproxy.language import load_all
from iscsiproxy.language.line import load_line
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import every

__all__ = ["INLINE", "placed", "scenario_of"]

#: What a scenario is called that says no name
INLINE: Final = "inline"
_NAMED: Final = re.compile(r"^scenario\s*:", re.MULTILINE)


def scenario_of(what: str | Path, params: Mapping[str, object] | None = None) -> Scenario:
    """Read what is to be armed; `params` are parameters, and values of matrix axes.

    A text of several lines is a scenario file, one with blanks in it is a line of the console, anything else names a
    file or a scenario that ships. Raises UsageError and FileError.
    """
    settings = {name: _written(value) for name, value in (params or {}).items()}
    text = str(what)
    if isinstance(what, str) and "\n" in text:
        return _of_text(_with_name(text), settings)
    if isinstance(what, str) and " " in text.strip() and not text.endswith((".yaml", ".yml")):
        line = text.strip()
        return replace(load_line(line, name=INLINE, acts=SPECS, params=settings), title=line, file="")
    name = str(what) if isinstance(what, str) or what.is_absolute() else f"./{what}"
    return _the_one(every([name], settings))


def placed(scenario: Scenario, what: str | Path, folder: Path) -> Scenario:
    """Write the text of a scenario into a folder, so that what the journal names can be read; else give it as it is."""
    if not (isinstance(what, str) and "\n" in what):
        return scenario
    path = folder / f"{scenario.name}.yaml"
    try:
        path.write_text(_with_name(what), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return replace(scenario, file=str(path))


def _of_text(text: str, settings: Mapping[str, str]) -> Scenario:
    plain = load_all(text, file=INLINE, acts=SPECS)[0]
    params = {name: value for name, value in settings.items() if name not in plain.axes}
    axes = {name: value for name, value in settings.items() if name in plain.axes}
    found = load_all(text, file=INLINE, acts=SPECS, params=params, axes=axes)
    return replace(_the_one(found), file="")


def _the_one(found: Sequence[Scenario]) -> Scenario:
    if len(found) > 1:
        first = found[0]
        raise UsageError(f"{first.name} has a matrix of {len(found)} runs: choose one, as in params={dict(first.axes)}")
    return found[0]


def _with_name(text: str) -> str:
    """Take the indentation away, and give it a name behind all else: the lines keep their numbers."""
    text = dedent(text)
    return text if _NAMED.search(text) else f"{text.rstrip()}\nscenario: {INLINE}\n"


def _written(value: object) -> str:
    """Write a value as a scenario file has it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
