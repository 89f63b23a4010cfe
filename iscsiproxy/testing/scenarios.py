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
from iscsiproxy.language.line import load_line, read_line
from iscsiproxy.language.scenario_text import scenario_text
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import every

__all__ = ["INLINE", "placed", "scenario_of"]

#: What a scenario is called that says no name
INLINE: Final = "inline"
_NAMED: Final = re.compile(r"^scenario\s*:", re.MULTILINE)


def scenario_of(what: str | Path, params: Mapping[str, object] | None = None) -> Scenario:
    """Read what is to be armed; `params` are parameters, and values of matrix axes.

    A text of several lines is a scenario file, one with blanks in it is a line of the console, anything else names a
    file or a scenario that ships. A line without a moment is done when the first connection is in full feature phase.
    Raises UsageError and FileError.
    """
    settings = {name: _written(value) for name, value in (params or {}).items()}
    text = _text(what)
    if text is not None:
        return _of_text(text, settings)
    name = str(what) if isinstance(what, str) or what.is_absolute() else f"./{what}"
    return _the_one(every([name], settings))


def placed(scenario: Scenario, what: str | Path, folder: Path) -> Scenario:
    """Write the text of a scenario into a folder, so that what the journal names can be read; else give it as it is."""
    text = _text(what)
    if text is None:
        return scenario
    path = folder / f"{scenario.name}.yaml"
    try:
        path.write_text(text, encoding="utf-8")
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


def _text(what: str | Path) -> str | None:
    """Give the file that a text or a line is; None if it names one."""
    if isinstance(what, Path):
        return None
    if "\n" in what:
        text = dedent(what)
        # The name comes behind all else: so the lines keep their numbers.
        return text if _NAMED.search(text) else f"{text.rstrip()}\nscenario: {INLINE}\n"
    if " " in what.strip() and not what.endswith((".yaml", ".yml")):
        load_line(what, name=INLINE, acts=SPECS)  # what is wrong with it is told as it stands in the line
        return scenario_text(INLINE, [read_line(what, acts=SPECS)], acts=SPECS, title=what.strip())
    return None


def _written(value: object) -> str:
    """Write a value as a scenario file has it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
