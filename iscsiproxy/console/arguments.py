"""The arguments of commands: what kinds there are, and how the words of a line become values.

A command is a function, and its signature says what it takes: a `Literal` is a choice of words, a `bool` a switch
(`--armed`), a kind in `Annotated` all else. Optional arguments may be left out and come in any order, as far as a word
shows what it is: `kill 2 fin` and `kill fin 2` are the same.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from iscsiproxy.console.grammar import Word, nearest, split
from iscsiproxy.errors import FileError

__all__ = [
    "Argument",
    "Changes",
    "Choice",
    "Conn",
    "Count",
    "FileOrRule",
    "Filename",
    "For",
    "From",
    "HeldOrAll",
    "HeldPdu",
    "HeldRef",
    "InHand",
    "Kind",
    "NewName",
    "Pair",
    "Pairs",
    "Pattern",
    "Rest",
    "RuleName",
    "Scenario",
    "Session",
    "Template",
    "Text",
    "Time",
    "Topic",
    "arguments_of",
    "bind",
    "duration",
]

_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|min)")


def duration(word: str) -> float | None:
    """Read `200ms`, `1.5s` or `2min` as seconds; None if it is none of them."""
    match = _DURATION.fullmatch(word)
    return float(match[1]) * _UNITS[match[2]] if match else None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of argument: how help calls it, and where what completes it comes from."""

    metavar: str
    source: str = ""

    def fits(self, word: str) -> bool:
        """Tell whether a word may be meant for it."""
        return True

    def value(self, word: str) -> Any:
        """Give what the word stands for."""
        return word


class Name(Kind):
    """A name: any word."""


class Rest(Kind):
    """All that follows on the line, as it was typed."""


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A number that the proxy gave something."""

    def fits(self, word: str) -> bool:
        """Tell whether it is a number."""
        return word.isascii() and word.isdecimal()

    def value(self, word: str) -> int:
        """Give the number."""
        return int(word)


@dataclass(frozen=True, slots=True)
class InHand(Number):
    """A held PDU: its number, or one of `words`."""

    words: tuple[str, ...] = ("last", "first")

    def fits(self, word: str) -> bool:
        """Tell whether it is a number or one of the words."""
        return word in self.words or Number.fits(self, word)

    def value(self, word: str) -> Any:
        """Give the number, or the word."""
        return word if word in self.words else int(word)


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some words."""

    words: tuple[str, ...] = ()

    def fits(self, word: str) -> bool:
        """Tell whether it is one of the words."""
        return word in self.words


@dataclass(frozen=True, slots=True)
class Seconds(Kind):
    """How long."""

    def fits(self, word: str) -> bool:
        """Tell whether it is a duration."""
        return duration(word) is not None

    def value(self, word: str) -> float:
        """Give the seconds."""
        seconds = duration(word)
        assert seconds is not None  # it fits
        return seconds


@dataclass(frozen=True, slots=True)
class Pair(Kind):
    """`name=value`."""

    def fits(self, word: str) -> bool:
        """Tell whether there is a name and a `=`."""
        return word.partition("=")[0] not in ("", word)

    def value(self, word: str) -> tuple[str, str]:
        """Give both."""
        name, _, value = word.partition("=")
        return name, value


@dataclass(frozen=True, slots=True)
class After:
    """That an argument stands behind a word of its own: `for 5s`."""

    word: str


HeldRef: TypeAlias = int | Literal["last", "first"]
HeldPdu: TypeAlias = Annotated[HeldRef, InHand("N", "held")]
HeldOrAll: TypeAlias = Annotated[HeldRef | Literal["all"], InHand("N", "held", words=("last", "first", "all"))]
Conn: TypeAlias = Annotated[int, Number("CONN", "conns")]
Session: TypeAlias = Annotated[int, Number("SESSION", "sessions")]
From: TypeAlias = Annotated[int, Number("N")]
Count: TypeAlias = Annotated[int, Number("N"), After("count")]
Time: TypeAlias = Annotated[float, Seconds("TIME")]
For: TypeAlias = Annotated[float, Seconds("TIME"), After("for")]
RuleName: TypeAlias = Annotated[str, Name("RULE", "rules")]
Scenario: TypeAlias = Annotated[str, Name("SCENARIO", "scenarios")]
FileOrRule: TypeAlias = Annotated[str, Name("NAME|FILE|RULE", "armable")]
NewName: TypeAlias = Annotated[str, Name("NAME")]
Filename: TypeAlias = Annotated[str, Name("FILE", "files")]
Topic: TypeAlias = Annotated[str, Name("COMMAND|ACT", "topics")]
Pairs: TypeAlias = Annotated[tuple[tuple[str, str], ...], Pair("NAME=VALUE"), After("-p")]
Pattern: TypeAlias = Annotated[str, Rest("PATTERN", "pattern")]
Template: TypeAlias = Annotated[str, Rest("PDU FIELD=VALUE", "template")]
Changes: TypeAlias = Annotated[str, Rest("FIELD=VALUE", "changes")]
Text: TypeAlias = Annotated[str, Rest("TEXT")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a command; `after` is the word that it stands behind, if any."""

    name: str
    kind: Kind
    required: bool = False
    after: str = ""
    many: bool = False
    switch: bool = False

    def __str__(self) -> str:
        shown = "|".join(self.kind.words) if isinstance(self.kind, Choice) else self.kind.metavar
        if self.switch:
            shown = self.after
        elif self.after:
            shown = f"{self.after} {shown}"
        return (shown if self.required else f"[{shown}]") + ("…" if self.many or isinstance(self.kind, Rest) else "")


def arguments_of(function: Callable[..., Any]) -> tuple[Argument, ...]:
    """Read the arguments of a command off its function; the first parameter is the desk, and none."""
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return tuple(_argument(parameter, hints[parameter.name]) for parameter in parameters)


def _argument(parameter: inspect.Parameter, hint: Any) -> Argument:
    required = parameter.default is inspect.Parameter.empty
    if get_origin(hint) in (Union, types.UnionType):
        [hint] = [one for one in get_args(hint) if one is not type(None)]
    if hint is bool:
        switch = f"--{parameter.name}"
        return Argument(name=parameter.name, kind=Kind(switch), after=switch, switch=True)
    if get_origin(hint) is Literal:
        return Argument(
            name=parameter.name, kind=Choice(parameter.name.upper(), words=get_args(hint)), required=required
        )
    many = get_origin(get_args(hint)[0]) is tuple
    [kind] = [one for one in hint.__metadata__ if isinstance(one, Kind)]
    after = next((one.word for one in hint.__metadata__ if isinstance(one, After)), "")
    return Argument(name=parameter.name, kind=kind, required=required, after=after, many=many)


def bind(command: str, arguments: Sequence[Argument], text: str, start: int) -> dict[str, Any]:
    """Give each argument its value from a line, which begins at `start`; raises FileError, with the column."""
    values: dict[str, Any] = {}
    end = len(text)
    if any(isinstance(argument.kind, Rest) for argument in arguments):
        end = _take_tail(arguments, text, start, values)
    words = split(text[:end], start)
    for word in words:
        argument = _argument_for(command, arguments, word, values)
        if isinstance(argument.kind, Rest):
            values[argument.name] = text[word.start : end].rstrip()
            break
        if argument.switch:
            values[argument.name] = True
        elif argument.after:
            _keep(argument, _behind(argument, word, words), values)
        else:
            _keep(argument, word, values)
    for argument in arguments:
        if argument.required and argument.name not in values:
            raise _wrong(
                f"`{command}` needs {argument.kind.metavar}", len(text.rstrip()) + 1, _usage(command, arguments)
            )
    return values


def _take_tail(arguments: Sequence[Argument], text: str, start: int, values: dict[str, Any]) -> int:
    """Take what stands behind words of its own off the end of a line; gives where the line ends then."""
    words = list(split(text, start))
    while words:
        for argument in arguments:
            if argument.switch and words[-1].text == argument.after:
                values[argument.name] = True
                del words[-1:]
                break
            if argument.after and len(words) > 1 and words[-2].text == argument.after:
                if not argument.kind.fits(words[-1].text):
                    continue
                _keep(argument, words[-1], values)
                del words[-2:]
                break
        else:
            break
    return words[-1].end if words else start


def _argument_for(command: str, arguments: Sequence[Argument], word: Word, values: dict[str, Any]) -> Argument:
    for argument in arguments:
        if argument.after and word.text == argument.after:
            return argument
    free = [one for one in arguments if not one.after and (one.many or one.name not in values)]
    for argument in free:
        if argument.kind.fits(word.text):
            return argument
    if not arguments:
        raise _wrong(f"`{command}` takes nothing more", word.start)
    wanted = [choice for one in free if isinstance(one.kind, Choice) for choice in one.kind.words]
    raise _wrong(
        f"`{word.text}` is nothing that `{command}` takes",
        word.start,
        nearest(word.text, wanted) or _usage(command, arguments),
    )


def _behind(argument: Argument, word: Word, words: Iterator[Word]) -> Word:
    value = next(words, None)
    if value is None or not argument.kind.fits(value.text):
        place = word if value is None else value
        raise _wrong(f"{argument.kind.metavar} has to stand behind `{word.text}`", place.start)
    return value


def _keep(argument: Argument, word: Word, values: dict[str, Any]) -> None:
    value = argument.kind.value(word.text)
    values[argument.name] = (*values.get(argument.name, ()), value) if argument.many else value


def _usage(command: str, arguments: Sequence[Argument]) -> str:
    return f"usage: {' '.join([command, *map(str, arguments)])}"


def _wrong(message: str, start: int, hint: str | None = None) -> FileError:
    return FileError(message, column=start + 1, hint=hint)
