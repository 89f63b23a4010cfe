"""Read the plain parts of a file: tables with known keys, lists, words, numbers and durations.

Each function takes a node, gives its value, and raises FileError with what was expected when it is something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from iscsiproxy.language.document import Entry, Listing, Node, Scalar, Table
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.problems import Problems, nearest, problem, quoted
from iscsiproxy.language.tokens import duration_value, meant, number_value

__all__ = [
    "as_list",
    "as_scalar",
    "as_table",
    "check_keys",
    "choice",
    "duration",
    "entries",
    "text_of",
    "truth_of",
    "whole",
    "yes_no",
]

#: What is written elsewhere for yes and no, or for a flag
_TRUTHS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}

_Word = TypeVar("_Word", bound=str)


def as_scalar(node: Node, what: str) -> Scalar:
    """Give a text that is there."""
    if isinstance(node, Scalar):
        if node.text or node.quoted:
            return node
        raise problem(f"{what} is missing here", node.position)
    shape = "a list" if isinstance(node, Listing) else "a mapping"
    raise problem(f"expected {what}, not {shape}", node.position)


def as_table(node: Node, what: str) -> Table:
    """Give a mapping."""
    if isinstance(node, Table):
        return node
    shape = "a list" if isinstance(node, Listing) else f"`{node.text}`" if node.text else "nothing"
    raise problem(f"expected {what}: a mapping of keys and values, not {shape}", node.position)


def as_list(node: Node) -> tuple[Node, ...]:
    """Give the items of a list; a single value is a list of one."""
    return node.items if isinstance(node, Listing) else (node,)


def entries(node: Node, what: str) -> tuple[Entry, ...]:
    """Give the entries of a mapping that is not empty."""
    found = as_table(node, what).entries
    if not found:
        raise problem(f"{what} is empty", node.position)
    return found


def check_keys(table: Table, known: Sequence[str], what: str, problems: Problems) -> bool:
    """Tell of every key that is not known, and whether all are."""
    right = True
    for entry in table.entries:
        if entry.key.text not in known:
            hint = nearest(entry.key.text, known) or f"there are {', '.join(known)}"
            problems.add(problem(f"{what} has no key `{entry.key.text}`", entry.key.position, hint))
            right = False
    return right


def text_of(node: Node, what: str, parameters: Parameters) -> str:
    """Give a text, its parameters filled in."""
    return parameters.fill(as_scalar(node, what)).text


def choice(node: Node, words: Iterable[_Word], what: str, parameters: Parameters) -> _Word:
    """Give one of a few words."""
    scalar = as_scalar(node, what)
    text = parameters.fill(scalar).text
    known = list(words)
    for word in known:
        if word == text:
            return word
    raise problem(f"{what} is {quoted(known)}, not `{text}`", scalar.position, nearest(text, known))


def yes_no(node: Node, what: str, parameters: Parameters) -> bool:
    """Give `yes` or `no`."""
    scalar = as_scalar(node, what)
    text = parameters.fill(scalar).text
    if text not in ("yes", "no") and (truth := truth_of(text)) is not None:
        raise problem(
            f"{what} is `yes` or `no`, not `{text}`", scalar.position, _did_you_mean("yes" if truth else "no")
        )
    return choice(node, ("yes", "no"), what, parameters) == "yes"


def truth_of(text: str) -> bool | None:
    """Tell whether a text says yes or no, as it may be written anywhere; None if it says neither."""
    return _TRUTHS.get(text.lower(), {"1": True, "0": False}.get(text))


def _did_you_mean(near: str | None) -> str | None:
    return near and f"did you mean `{near}`?"


def duration(node: Node, what: str, parameters: Parameters) -> float:
    """Give a duration in seconds."""
    scalar = as_scalar(node, what)
    text = parameters.fill(scalar).text
    value = duration_value(text)
    if value is None:
        hint = _did_you_mean(meant(text, time=True))
        hint = hint or "a duration is a number and ms, s or min, without a blank: `200ms`"
        raise problem(f"{what} is a duration, not `{text}`", scalar.position, hint)
    return value


def whole(node: Node, what: str, parameters: Parameters, *, least: int = 1) -> int:
    """Give a whole number, or a size."""
    scalar = as_scalar(node, what)
    text = parameters.fill(scalar).text
    value = number_value(text)
    if value is None or not least <= value < 1 << 64:
        hint = _did_you_mean(meant(text, time=False))
        raise problem(f"{what} is a number of at least {least}, not `{text}`", scalar.position, hint)
    return value
