"""What may come next on a line: commands and their arguments from the registry, rules from the proxy, names that live.

What there is now (connections, rules, tags of tasks, PDUs in hand) is asked of the proxy, and remembered for a second.
A proxy that does not answer at once is not waited for: then nothing is offered.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from iscsiproxy.api.client import ApiError, Unreachable
from iscsiproxy.console.arguments import Argument, Choice, InHand, Rest, bind
from iscsiproxy.console.command import Command
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.grammar import Word, head_of, split
from iscsiproxy.console.views.state import tag
from iscsiproxy.errors import FileError

__all__ = ["Choices", "Suggestion"]

#: How long is remembered what there is, and how long an answer is waited for, in seconds
_FRESH: Final = 1.0
_PATIENCE: Final = 0.4
#: What stands before a tag of a task
_TAG: Final = re.compile(r"(?:ITT|RefTaskTag)\s*(?:==|!=|=|in\s*\((?:[^()]*,)?)\s*(?P<word>\w*)$")
#: Parts of the language that commands take
_PARTS: Final = frozenset({"pattern", "template", "changes"})
Form: TypeAlias = Literal["line", "acts", "pattern"]
_MOST_FILES: Final = 200


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A word that may stand from the character `start` on, and what it is."""

    text: str
    start: int
    help: str = ""


class Choices:
    """What may come next, by what a desk knows."""

    def __init__(self, desk: Desk, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._clock = clock
        self._known: dict[str, tuple[float, Any]] = {}
        self._sources: dict[str, Callable[[], Awaitable[Iterable[tuple[str, str]]]]] = {
            "armable": self._armable,
            "conns": self._conns,
            "held": self._held,
            "rules": self._rules,
            "scenarios": self._scenarios,
            "sessions": self._sessions,
            "topics": self._topics,
        }

    def __repr__(self) -> str:
        return f"<Choices of {self._desk!r}>"

    async def at(self, line: str) -> list[Suggestion]:
        """Give what may come next behind a line that was typed so far."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._next(line)
        except (TimeoutError, ApiError, Unreachable):
            return []

    async def _next(self, line: str) -> list[Suggestion]:
        head = head_of(line)
        if head is None or (head.end == len(line) and not line.strip().startswith("#")):
            return await self._heads(line, head.start if head is not None else len(line)) if "#" not in line else []
        command = self._desk.commands.find(head.text)
        if command is None or command.is_rule(line[head.end :], await self._desk.vocabulary()):
            return await self._language(line, 0)
        found = await self._arguments(command, line, head)
        if command.rule_if is not None:
            known = {one.text for one in found}
            found += [one for one in await self._language(line, 0, rules=False) if one.text not in known]
        return found

    async def _heads(self, line: str, start: int) -> list[Suggestion]:
        """Offer commands, and acts behind them."""
        words = {name: one.help for one in self._desk.commands for name in (one.name, *one.aliases)}
        for act in (await self._desk.vocabulary()).acts:
            words.setdefault(act.name, act.help)
        return _begun(words.items(), line, start)

    # --- arguments of commands ---

    async def _arguments(self, command: Command, line: str, head: Word) -> list[Suggestion]:
        words = list(split(line, head.end))
        start = len(line) if not words or line[-1].isspace() else words.pop().start
        behind = words[-1].text if words else ""
        free = _free(command, line, head.end, start)
        after = next((one for one in command.arguments if one.after and one.after == behind and not one.switch), None)
        if after is not None:
            return _begun(await self._of(after), line, start)
        found: list[Suggestion] = []
        for argument in free:
            if argument.after:
                found += _begun([(argument.after, "")] if start < len(line) or not _taken(free) else [], line, start)
            elif argument.kind.source in _PARTS:
                found += await self._part(command, argument, line, head.end)
            else:
                found += _begun(await self._of(argument, line[start:]), line, start)
        return found

    async def _of(self, argument: Argument, begun: str = "") -> Iterable[tuple[str, str]]:
        """Give the words that an argument may be."""
        kind = argument.kind
        words = [(word, "") for word in kind.words] if isinstance(kind, Choice | InHand) else []
        if kind.source == "files" or (kind.source == "armable" and begun):
            words += await asyncio.to_thread(_files, begun)
        if kind.source in self._sources:
            words += await self._sources[kind.source]()
        return words

    # --- what there is ---

    async def _fresh(self, name: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        at, known = self._known.get(name, (float("-inf"), None))
        if self._clock() - at > _FRESH:
            known = await ask()
            self._known[name] = (self._clock(), known)
        return known

    async def _conns(self) -> Iterable[tuple[str, str]]:
        found = await self._fresh("conns", self._desk.api.connections)
        return [(str(one.id), f"{one.phase}, {one.address}") for one in found]

    async def _sessions(self) -> Iterable[tuple[str, str]]:
        found = await self._fresh("sessions", self._desk.api.sessions)
        return [(str(one.id), f"{one.type}, {one.InitiatorName or '?'}") for one in found]

    async def _held(self) -> Iterable[tuple[str, str]]:
        return [(str(one.n), one.summary) for one in await self._fresh("held", self._desk.api.held)]

    async def _rules(self) -> Iterable[tuple[str, str]]:
        found = await self._fresh("rules", self._desk.api.rules)
        scenarios = {one.scenario: "a scenario" for one in found}
        return [*scenarios.items(), *((one.name, one.text) for one in found)]

    async def _scenarios(self) -> Iterable[tuple[str, str]]:
        found = await self._fresh("rules", self._desk.api.rules)
        return [(name, "") for name in dict.fromkeys(one.scenario for one in found)]

    async def _armable(self) -> Iterable[tuple[str, str]]:
        found = await self._fresh("rules", self._desk.api.rules)
        shipped = (await self._desk.vocabulary()).scenarios
        disarmed = [(one.name, one.text) for one in found if not one.armed and not one.once]
        return [*disarmed, *((name, "a scenario that ships") for name in shipped)]

    async def _topics(self) -> Iterable[tuple[str, str]]:
        words = {one.name: one.help for one in self._desk.commands}
        return {**{one.name: one.help for one in (await self._desk.vocabulary()).acts}, **words}.items()

    # --- lines of the language ---

    async def _part(self, command: Command, argument: Argument, line: str, end: int) -> list[Suggestion]:
        """Offer what may come next in a part of the language that a command takes."""
        begin = end + len(line[end:]) - len(line[end:].lstrip())
        values = _bound(command, line, end)
        if argument.name in values:
            begin = line.rindex(values[argument.name])
        elif values:
            if not line[-1].isspace():
                return []
            begin = len(line)
        match argument.kind.source:
            case "pattern":
                return await self._language(line, begin, form="pattern")
            case "template":
                return await self._language(line, begin, before="inject ")
        held = values.get("n")
        n = held if isinstance(held, int) else None
        found = await self._language(line, begin, form="acts", n=n)
        if " " not in line[begin:] or "=" in line[begin:].split(maxsplit=1)[0]:
            found += await self._language(line, begin, before="set ", form="acts", n=n)
        return found

    async def _language(
        self, line: str, begin: int, *, before: str = "", form: Form = "line", n: int | None = None, rules: bool = True
    ) -> list[Suggestion]:
        """Ask the proxy what may come next behind what stands from `begin` on, with `before` in front of it."""
        text = before + line[begin:]
        found = await self._desk.api.complete(line=text, form=form, n=n)
        start = max(found.start - len(before) + begin, begin)
        words: list[Suggestion] = []
        if (tagged := _TAG.search(line)) is not None:
            tasks = await self._fresh("tasks", self._desk.api.tasks)
            words = _begun([(tag(one.ITT), one.command) for one in tasks], line, tagged.start("word"))
        words += [Suggestion(one.text, start, one.help) for one in found.candidates]
        if rules and "rule" in found.kinds:
            words += _begun(await self._rules(), line, start)
        return words


def _begun(words: Iterable[tuple[str, str]], line: str, start: int) -> list[Suggestion]:
    """Offer the words that begin with what stands from `start` on."""
    begun = line[start:]
    return [Suggestion(word, start, about) for word, about in words if word.startswith(begun)]


def _bound(command: Command, line: str, end: int) -> dict[str, Any]:
    try:
        return bind(command.name, command.arguments, line, end)
    except FileError:
        return {}


def _free(command: Command, line: str, end: int, start: int) -> list[Argument]:
    """Give the arguments that may still come at `start`: behind the begin of the rest of a line, nothing else does."""
    values = _bound(command, line[:start], end)
    free = [one for one in command.arguments if one.many or one.name not in values]
    rest = next((one for one in command.arguments if isinstance(one.kind, Rest) and one.name in values), None)
    return free if rest is None else [rest, *(one for one in free if one.after)]


def _taken(free: Sequence[Argument]) -> bool:
    """Tell whether the rest of the line has begun."""
    return isinstance(free[0].kind, Rest)


def _files(begun: str) -> list[tuple[str, str]]:
    """List the directories and YAML files that begin so."""
    head, slash, _ = begun.rpartition("/")
    directory = Path(head + slash or ".").expanduser()
    try:
        found = sorted(directory.iterdir())[:_MOST_FILES]
    except (OSError, RuntimeError):
        return []
    shown = [one for one in found if not one.name.startswith(".") and (one.is_dir() or one.suffix in (".yaml", ".yml"))]
    return [(f"{head}{slash}{one.name}{'/' if one.is_dir() else ''}", "") for one in shown]
