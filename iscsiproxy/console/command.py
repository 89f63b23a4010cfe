"""Commands, and the registry that all is made from: a command is a function, its signature and its docstring.

The first line of the docstring is the help, what follows is told by `help COMMAND`. A name may be an act of the fault
language too; `rule_if` tells from the rest of a line which of both is meant.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from iscsiproxy.api.models import Vocabulary
from iscsiproxy.console.answer import Answer
from iscsiproxy.console.arguments import Argument, arguments_of, bind
from iscsiproxy.console.grammar import has_moment, has_more_acts, nearest
from iscsiproxy.errors import FileError

__all__ = ["GROUPS", "Command", "Registry", "Run", "unless_it_fits", "with_moment"]

#: The groups of commands, in the order of `help`, and what each is for
GROUPS: Final = {
    "state": "what there is",
    "watching": "what happens",
    "rules": "faults",
    "holding": "PDUs held",
    "wire": "on the wire",
    "recording": "files",
    "scripts": "scripts",
    "console": "console",
}

Run: TypeAlias = Callable[..., Coroutine[Any, Any, Answer]]
#: Tells from what stands behind a name whether the line is a rule, and no command
RuleIf: TypeAlias = Callable[["Command", str, Vocabulary], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command; its function gets the desk, and its arguments by their names."""

    name: str
    group: str
    run: Run
    aliases: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    rule_if: RuleIf | None = None
    arguments: tuple[Argument, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", arguments_of(self.run))

    @property
    def help(self) -> str:
        """What it does, in one line."""
        return self._doc()[0].rstrip(".")

    @property
    def more(self) -> list[str]:
        """What else is to be said of it."""
        return self._doc()[2:]

    @property
    def usage(self) -> str:
        """How it is written."""
        return " ".join([self.name, *map(str, self.arguments)])

    def is_rule(self, rest: str, vocabulary: Vocabulary) -> bool:
        """Tell whether a line that begins with its name is a rule of the language."""
        return self.rule_if is not None and self.rule_if(self, rest, vocabulary)

    def _doc(self) -> list[str]:
        return (inspect.getdoc(self.run) or "").splitlines()


def with_moment(command: Command, rest: str, vocabulary: Vocabulary) -> bool:
    """Take a line for a rule if it says when, or if acts follow."""
    return has_more_acts(rest) or has_moment(f"{command.name} {rest}", vocabulary)


def unless_it_fits(command: Command, rest: str, _vocabulary: Vocabulary) -> bool:
    """Take a line for a rule if it has what the command does not take."""
    try:
        bind(command.name, command.arguments, rest, 0)
    except FileError:
        return True
    return False


class Registry:
    """The commands there are."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = tuple(commands)
        self._by_name = {name: one for one in self._commands for name in (one.name, *one.aliases)}

    def __repr__(self) -> str:
        return f"<Registry of {len(self._commands)} commands>"

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands)

    def find(self, name: str) -> Command | None:
        """Give the command of that name; None if there is none."""
        return self._by_name.get(name)

    def nearest(self, name: str, acts: Sequence[str] = ()) -> str | None:
        """Give the hint that names the nearest command or act; None if none is near."""
        return nearest(name, [*self._by_name, *acts])
