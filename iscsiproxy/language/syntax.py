"""What was written, before anything is known of its meaning: the result of the grammar, the input of the checker.

The words are those of the checked tree in `spec`, without kinds and with names unresolved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscsiproxy.errors import FileError
from iscsiproxy.language.spec import Barrier, Capture, FaultReached, Item, Picks, Position, Released, Wait

__all__ = [
    "AbsentWord",
    "BinaryNode",
    "CallNode",
    "Constant",
    "InNode",
    "LogicNode",
    "MomentNode",
    "Name",
    "NameStep",
    "Node",
    "NotNode",
    "ParameterNode",
    "PatternNode",
    "RangeNode",
    "StepNode",
    "UnaryNode",
    "Word",
]


@dataclass(frozen=True, slots=True)
class Word:
    """A name and where it stands."""

    text: str
    where: Position


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, text, duration or sense code; `text` as written, for bytes in hexadecimal."""

    value: int | str | float | tuple[int, int, int]
    kind: Literal["number", "text", "duration", "sense"]
    text: str
    where: Position


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the state, or of a code."""

    text: str
    where: Position


@dataclass(frozen=True, slots=True)
class ParameterNode:
    """What `$name` stands for: `text` as given, and what it is as part of an expression, or why it is none."""

    name: str
    text: str
    meaning: Node | FileError
    where: Position


@dataclass(frozen=True, slots=True)
class AbsentWord:
    """The word `absent`."""

    where: Position


@dataclass(frozen=True, slots=True)
class UnaryNode:
    """`-x`."""

    operand: Node
    where: Position


@dataclass(frozen=True, slots=True)
class BinaryNode:
    """A comparison or an arithmetic operation; `sign` is where its operator stands."""

    op: str
    left: Node
    right: Node
    where: Position
    sign: Position


@dataclass(frozen=True, slots=True)
class InNode:
    """`x in (a, b)`."""

    operand: Node
    items: tuple[Node, ...]
    where: Position


@dataclass(frozen=True, slots=True)
class RangeNode:
    """`x in (low .. high)`."""

    operand: Node
    low: Node
    high: Node
    where: Position


@dataclass(frozen=True, slots=True)
class CallNode:
    """`function(a, b)`."""

    function: str
    arguments: tuple[Node, ...]
    where: Position


@dataclass(frozen=True, slots=True)
class NotNode:
    """`not x`."""

    operand: Node
    where: Position


@dataclass(frozen=True, slots=True)
class LogicNode:
    """`a and b`, `a or b`."""

    op: Literal["and", "or"]
    operands: tuple[Node, ...]
    where: Position


Node = (
    Constant
    | Name
    | ParameterNode
    | AbsentWord
    | UnaryNode
    | BinaryNode
    | InNode
    | RangeNode
    | CallNode
    | NotNode
    | LogicNode
)


@dataclass(frozen=True, slots=True)
class PatternNode:
    """A pattern whose names are not resolved; `sender_at`, `per_at` and `capture_at` say where those words stand."""

    items: tuple[Item, ...]
    of: Word | None
    sender: Word | None
    leg: Word | None
    condition: Node | None
    picks: Picks
    per_at: Position | None
    capture: Capture | None
    capture_at: Position | None
    text: str
    where: Position


@dataclass(frozen=True, slots=True)
class NameStep:
    """A step that is a single name: this capture is bound."""

    name: Word


StepNode = Wait | Barrier | FaultReached | Released | NameStep | PatternNode


@dataclass(frozen=True, slots=True)
class MomentNode:
    """The steps of a moment."""

    steps: tuple[StepNode, ...]
    text: str
    where: Position
