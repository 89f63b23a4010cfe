"""Which runs there are to be: scenarios by name, file or folder, one run a combination, chosen with `-k`.

    expr = and { "or" and }      and = not { "and" not }      not = "not" not | "(" expr ")" | WORD

A word stands for the runs in whose name, `covers` or axis values it occurs, capitals or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from iscsiproxy.errors import UsageError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import every, groups, shipped

__all__ = ["Choice", "collect", "parse_choice", "run_name"]

Choice = Callable[[Scenario], bool]

_TOKENS = re.compile(r"\s*(\(|\)|[^\s()]+)")


def run_name(scenario: Scenario) -> str:
    """Name a run: the scenario, and in brackets where it is in its matrix."""
    axes = ",".join(f"{axis}={value}" for axis, value in scenario.axes.items())
    return f"{scenario.name}[{axes}]" if axes else scenario.name


def collect(names: Sequence[str], settings: Mapping[str, str], choice: Choice | None = None) -> tuple[Scenario, ...]:
    """Read what is named, all that ships if nothing is; a folder or a group stands for the files in it.

    Raises UsageError and FileError as `library.every` does, and UsageError if there is nothing in a folder.
    """
    wanted: list[str] = []
    ours = groups()
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(map(str, path.rglob("*.yaml")))
            if not inside:
                raise UsageError(f"there is no scenario in {name}")
            wanted += inside
        elif name in ours:
            wanted += ours[name]
        else:
            wanted.append(name)
    scenarios = every(wanted or list(shipped()), settings)
    return tuple(one for one in scenarios if choice is None or choice(one))


def parse_choice(text: str) -> Choice:
    """Read an expression of `-k`. Raises UsageError."""
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over a handful of tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = _TOKENS.findall(text)

    def whole(self) -> Choice:
        choice = self._or()
        if self._tokens:
            raise self._wrong(f"{self._tokens[0]!r} is one too many")
        return choice

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"-k {self._text!r}: {what} (words with and, or, not and brackets)")

    def _take(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            del self._tokens[0]
            return True
        return False

    def _or(self) -> Choice:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else lambda scenario: any(part(scenario) for part in parts)

    def _and(self) -> Choice:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda scenario: all(part(scenario) for part in parts)

    def _not(self) -> Choice:
        if self._take("not"):
            inner = self._not()
            return lambda scenario: not inner(scenario)
        if self._take("("):
            inside = self._or()
            if not self._take(")"):
                raise self._wrong("a bracket is not closed")
            return inside
        if not self._tokens or self._tokens[0] in ("and", "or", ")"):
            raise self._wrong("a word is missing")
        word = self._tokens.pop(0).lower()
        return lambda scenario: any(word in text.lower() for text in _texts(scenario))


def _texts(scenario: Scenario) -> Iterable[str]:
    return (run_name(scenario), *scenario.covers, *scenario.axes.values())
