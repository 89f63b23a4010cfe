"""A scenario file, read and checked: the tree that the engine compiles.

Everything is frozen and typed by its place. Positions are those of the YAML file, so that whoever finds a fault in a
tree can say where it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

from iscsiproxy.wire.opcodes import End

__all__ = [
    "Absent",
    "Act",
    "ActSpec",
    "Barrier",
    "Binary",
    "Bound",
    "Call",
    "Capture",
    "Cut",
    "Expectation",
    "Expr",
    "FaultReached",
    "In",
    "Item",
    "Literal_",
    "Logic",
    "Machine",
    "Moment",
    "Not",
    "Outcome",
    "Param",
    "ParamKind",
    "Pattern",
    "Per",
    "Picks",
    "Place",
    "Position",
    "Range",
    "Ref",
    "Released",
    "Rule",
    "Scenario",
    "State",
    "Step",
    "Timing",
    "Unary",
    "Value",
    "ValueKind",
    "Wait",
]


@dataclass(frozen=True, slots=True)
class Position:
    """Where something was written; lines and columns count from 1."""

    file: str
    line: int
    column: int


NOWHERE = Position("", 0, 0)


# --- expressions -----------------------------------------------------------------------------------------------------


class ValueKind(Enum):
    """What a value is, and so what may be done with it."""

    SERIAL = "serial"
    NUMBER = "number"
    TAG = "tag"
    FLAG = "flag"
    CODE = "code"
    TEXT = "text"
    BYTES = "bytes"
    SENSE = "sense"
    DURATION = "duration"
    PRESENCE = "presence"  #: only `== absent` and `!= absent` (AHS)
    TRUTH = "truth"  #: the result of a test


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal_:  # noqa: N801 - `typing.Literal` is used beside it
    """A constant: int (numbers, flags, codes, tags), str, bytes, float seconds, or (key, ASC, ASCQ) for sense."""

    value: int | float | str | bytes | tuple[int, int, int]
    kind: ValueKind
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The word `absent`, or a tag that is not there."""

    kind: ValueKind = ValueKind.PRESENCE
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A name that stands for state.

    `scope` is `pdu` (the PDU in hand), `event` (`how` of a close), `task`, `conn`, `session`, `key`,
    `declared.initiator`, `declared.target`, `run` (profile, initiator.depth, …), `negotiate` (`offer` and `answer`) or
    `capture`; then `capture` names it. `path` is the rest: `CmdSN`, `length`, `text.InitialR2T`, `CDB.LBA`, `BHS.1.6`,
    `header.ITT`, `at`, `count`, or `` for the capture (or the task) itself. `element` is `first` or `last` for a
    collected capture. The pieces of a split are captures of their own, `NAME.1`, `NAME.2`.
    """

    scope: str
    path: str
    kind: ValueKind
    capture: str = ""
    element: Literal["", "first", "last"] = ""
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary:
    """`-x`."""

    operand: Expr
    kind: ValueKind
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """`+ - * / % &`, or a comparison `== != < <= > >= contains startswith like` (kind TRUTH).

    For a comparison or sum of serial numbers `serial` is set: RFC 1982 arithmetic.
    """

    op: str
    left: Expr
    right: Expr
    kind: ValueKind
    serial: bool = False
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class In:
    """`x in (a, b, c)`."""

    operand: Expr
    items: tuple[Expr, ...]
    kind: ValueKind = ValueKind.TRUTH
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """`x in (low .. high)`, both ends included; `serial` as in Binary."""

    operand: Expr
    low: Expr
    high: Expr
    serial: bool = False
    kind: ValueKind = ValueKind.TRUTH
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`min max len random uint replica`. For replica the one argument is a Ref to the capture itself.

    In acts also `fresh`, an unused tag, and `pair` (kind TEXT): a text literal and an expression, joined to one
    `KEY=VALUE`.
    """

    function: str
    arguments: tuple[Expr, ...]
    kind: ValueKind
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """`not x`."""

    operand: Expr
    kind: ValueKind = ValueKind.TRUTH
    where: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic:
    """`a and b and c`, `a or b or c`."""

    op: Literal["and", "or"]
    operands: tuple[Expr, ...]
    kind: ValueKind = ValueKind.TRUTH
    where: Position = NOWHERE


Expr = Literal_ | Absent | Ref | Unary | Binary | In | Range | Call | Not | Logic


# --- patterns and moments --------------------------------------------------------------------------------------------

Per = Literal["run", "session", "connection", "task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picks:
    """Which matches count; applied in the order of these attributes."""

    after: int = 0
    nth: tuple[int, int] | None = None  #: from .. to, counted from 1
    every: int | None = None
    mask: tuple[bool, ...] = ()
    chance: float | None = None  #: 0..1
    times: int | None = None
    per: Per = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A PDU name, with the opcodes it stands for, or an event name (`opcodes` empty).

    `status` is set for Status-PDU: a Data-In counts only with S, a NOP-In only with an ITT.
    """

    name: str
    opcodes: frozenset[int] = frozenset()
    status: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """`as NAME` or `as each NAME`."""

    name: str
    each: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Some PDUs or events. `sender` is `from`, `leg` is `at`; victim is resolved to an end (None for `both`)."""

    items: tuple[Item, ...]
    of: str | None = None
    sender: Literal["initiator", "target", "victim", "proxy"] | None = None
    leg: End | None = None
    where: Expr | None = None
    picks: Picks = Picks()
    capture: Capture | None = None
    text: str = ""  #: as written, for people
    position: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A duration in seconds; a range is drawn with the run's seed."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """The victim has answered a ping, and the quiet time has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReached:
    """The first act of the scenario has reached the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Somebody let the PDU go by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A capture is bound."""

    name: str


Step = Wait | Barrier | FaultReached | Released | Bound | Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Steps that come one after another, others between."""

    steps: tuple[Step, ...]
    text: str = ""
    position: Position = NOWHERE


# --- acts ------------------------------------------------------------------------------------------------------------


class ParamKind(Enum):
    """How the value of an act's parameter is read."""

    MOMENT = "a moment"
    FLAG = "yes or no"
    DURATION = "a duration"
    NUMBER = "a number"  #: an expression of kind number
    RANGE = "a number, or two: low..high"  #: one expression of kind number, or a pair
    CHOICE = "one of a few words"
    PLACE = "a place in the PDU"
    TEXT = "text"
    NAME = "the name of a capture"
    NEW_NAME = "a new name for a capture"
    BYTES = "bytes: 0x… or text in quotes"
    TEXTS = "a list of KEY=VALUE"
    KEYS = "a list of key names"
    PDU = "the name of a PDU"
    STATE = "the name of a state"
    RULE = "the name of a rule"
    OFFER = "keys and their values"  #: a mapping KEY: VALUE
    ROUNDS = "a list of KEY=VALUE for each round"  #: a mapping NUMBER: list
    CUTS = "a place in the text, or several: data+N or KEY+N"
    ACT = "what the act of that name takes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place inside a PDU: `part` plus `offset` bytes. `start`, `end`, or the name of a part."""

    part: Literal["start", "end", "header", "ahs", "header-digest", "data", "pad", "data-digest"]
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a text is cut: `offset` bytes behind the begin of its data, or of the key `key`."""

    key: str = ""
    offset: int = 0


#: What a parameter's value is once read; fields of the PDU are expressions.
Value: TypeAlias = (
    "tuple[Moment, ...] | bool | float | Expr | str | bytes | Place | tuple[str, ...] | tuple[Expr | str, ...]"
    " | tuple[Cut, ...] | Mapping[str, Expr] | Mapping[int, tuple[Expr | str, ...]] | Act"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of an act: how to read it, and what it is when not given.

    `choices` are the words of a CHOICE; any other kind takes them as they are besides what it reads. `goes_with` says
    of a word that it stands only beside some words of another parameter, `excludes` names those that it never stands
    beside. `pdus` are the PDUs that may be named, or captured by what is named; None for any.
    """

    name: str
    kind: ParamKind
    help: str
    default: Value | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    goes_with: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    excludes: tuple[str, ...] = ()
    pdus: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActSpec:
    """What the language knows of one act: its name, parameters and where it may stand.

    `main` is the parameter that a bare value means. `fields` tells that fields of the PDU may be given, with `extra`
    the names allowed besides them (`data`, `pad`, `text`, `BHS`). `on` is the set of opcodes it may act on, None for
    any; `events` tells that it may act on an event or with nothing in hand. `fate`: the PDU goes no further or
    otherwise is settled; `changes`: it changes the PDU. `of` names the parameter that says whose fields may be given (a
    PDU, or a capture); without it they are those of the PDU in hand. One of `one_of` has to be given.
    """

    name: str
    help: str
    main: str | None = None
    params: tuple[Param, ...] = ()
    fields: bool = False
    extra: frozenset[str] = frozenset()
    on: frozenset[int] | None = None
    events: bool = False
    fate: bool = False
    changes: bool = False
    of: str = ""
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act as written: parameters by name (defaults filled in), fields of the PDU by name."""

    name: str
    params: Mapping[str, Value | None]
    fields: Mapping[str, Expr] = field(default_factory=dict)
    text: str = ""
    position: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to do what. Several moments: whichever comes first. One that is not `armed` waits for the act `arm`."""

    name: str
    when: tuple[Moment, ...]
    do: tuple[Act, ...] = ()
    until: tuple[Moment, ...] = ()
    optional: bool = False
    armed: bool = True
    position: Position = NOWHERE


# --- the file --------------------------------------------------------------------------------------------------------

Verdict = Literal["pass", "warn", "fail", "inconclusive", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One line of `first:`; `pattern` is None for `nothing`."""

    verdict: Verdict
    pattern: Pattern | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the victim may do in a window. `count` belongs to exactly, at_least and at_most."""

    head: Literal["first", "never", "exactly", "at_least", "at_most"]
    outcomes: tuple[Outcome, ...] = ()
    pattern: Pattern | None = None
    count: int = 0
    after: tuple[Moment, ...] = ()
    until: tuple[Moment, ...] = ()
    within: float | None = None
    otherwise: Literal["fail", "warn"] = "fail"
    note: str = ""
    position: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state of a machine and the rules in force in it."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A loop or a branch; the first state is the start."""

    name: str
    states: tuple[State, ...]
    per: Per = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds: grace after a barrier, when silence is a hang, the default window."""

    quiet: float = 1.0
    hang: float = 5.0
    within: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One file with its parameters filled in (one combination of its matrix)."""

    name: str
    victim: Literal["initiator", "target", "both"]
    title: str = ""
    about: str = ""
    covers: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    version: int = 1
    params: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, str] = field(default_factory=dict)  #: this combination of the matrix
    needs: tuple[Expr, ...] = ()
    traffic: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    negotiate: Mapping[End, Mapping[str, Expr]] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    machines: tuple[Machine, ...] = ()
    actor: tuple[Act, ...] = ()
    expect: tuple[Expectation, ...] = ()
    aftermath: Literal["recovers", "survives", "ends", "none"] = "recovers"
    timing: Timing = Timing()
    file: str = ""
    sections: Mapping[str, Position] = field(default_factory=dict)  #: where each key of the file stands
