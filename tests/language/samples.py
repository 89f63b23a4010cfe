"""The acts of an engine as far as the language knows them, and short ways to read a piece of a scenario."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language.document import Scalar
from iscsiproxy.language.loader import lint, load
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.spec import NOWHERE, ActSpec, Param, ParamKind, Position, Scenario
from iscsiproxy.language.vocabulary import TEXT_PDUS
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["ACTS", "NO_PARAMETERS", "WORKED", "errors_of", "outcome", "read", "scalar", "shape", "worked"]

_Result = TypeVar("_Result")

WORKED = Path(__file__).parent / "worked"
NO_PARAMETERS = Parameters({})

_NUMBERS = Param(
    name="numbers", kind=ParamKind.CHOICE, help="raw or translated", default="raw", choices=("raw", "translate")
)
_END = Param(
    name="end", kind=ParamKind.CHOICE, help="which end", default="both", choices=("initiator", "target", "both")
)
_AT_MOST = Param(name="at_most", kind=ParamKind.DURATION, help="no longer than this", default=60.0)
_AS = Param(name="as", kind=ParamKind.NEW_NAME, help="a name for the copies")
_UNTIL = Param(name="until", kind=ParamKind.MOMENT, help="until then", required=True)

_SPECS = (
    ActSpec(name="pass", help="let it go now"),
    ActSpec(name="drop", help="it does not go", params=(_NUMBERS,), fate=True),
    ActSpec(
        name="delay",
        help="keep it until then",
        main="until",
        params=(
            _UNTIL,
            Param(name="overtake", kind=ParamKind.FLAG, help="others may pass", default=False),
            _AT_MOST,
            Param(name="orphans", kind=ParamKind.CHOICE, help="…", default="drop", choices=("drop", "deliver")),
        ),
        events=True,
    ),
    ActSpec(name="duplicate", help="send copies", params=(_NUMBERS, _AS), fields=True),
    ActSpec(
        name="split",
        help="several for one",
        main="size",
        params=(Param(name="size", kind=ParamKind.NUMBER, help="bytes in each"), _AS),
        on=frozenset({Opcode.DATA_OUT, Opcode.DATA_IN, Opcode.R2T}),
        fate=True,
    ),
    ActSpec(
        name="merge",
        help="one for several",
        main="count",
        params=(Param(name="count", kind=ParamKind.NUMBER, help="how many"),),
        on=frozenset({Opcode.DATA_OUT, Opcode.DATA_IN}),
        fate=True,
    ),
    ActSpec(
        name="set",
        help="give fields new values",
        params=(_NUMBERS, Param(name="fix", kind=ParamKind.CHOICE, help="…", choices=("none",))),
        fields=True,
        extra=frozenset({"data", "pad", "text", "BHS"}),
        changes=True,
    ),
    ActSpec(
        name="text",
        help="edit keys",
        params=(
            Param(name="add", kind=ParamKind.TEXTS, help="keys to add"),
            Param(name="remove", kind=ParamKind.KEYS, help="keys to take away"),
            Param(name="raw", kind=ParamKind.BYTES, help="other bytes"),
        ),
        on=TEXT_PDUS,
        changes=True,
    ),
    ActSpec(
        name="corrupt",
        help="flip bits",
        main="what",
        params=(
            Param(
                name="what",
                kind=ParamKind.CHOICE,
                help="the part",
                required=True,
                choices=("header", "ahs", "data", "pad", "header-digest", "data-digest"),
            ),
            Param(name="at", kind=ParamKind.PLACE, help="where"),
            Param(name="bits", kind=ParamKind.NUMBER, help="how many"),
            Param(name="digest", kind=ParamKind.CHOICE, help="…", default="right", choices=("right", "keep")),
        ),
        changes=True,
    ),
    ActSpec(
        name="resize",
        help="cut or fill the data segment",
        main="to",
        params=(
            Param(name="to", kind=ParamKind.NUMBER, help="the new length", required=True),
            Param(name="fill", kind=ParamKind.NUMBER, help="the byte that fills"),
        ),
        changes=True,
    ),
    ActSpec(
        name="close",
        help="close the connection",
        main="how",
        params=(
            Param(name="how", kind=ParamKind.CHOICE, help="how", default="rst", choices=("rst", "fin", "half")),
            _END,
            Param(name="at", kind=ParamKind.PLACE, help="how much of the PDU goes first"),
            Param(name="conn", kind=ParamKind.NAME, help="which connection"),
        ),
        events=True,
        fate=True,
    ),
    ActSpec(
        name="stall",
        help="neither read nor write",
        main="until",
        params=(_UNTIL, _END, Param(name="at", kind=ParamKind.PLACE, help="where"), _AT_MOST),
        events=True,
    ),
    ActSpec(
        name="note",
        help="leave a note",
        main="text",
        params=(Param(name="text", kind=ParamKind.TEXT, help="what to say", required=True),),
        events=True,
    ),
    ActSpec(
        name="throttle",
        help="slow",
        main="rate",
        params=(
            Param(name="rate", kind=ParamKind.NUMBER, help="bytes in a second", required=True),
            Param(name="slice", kind=ParamKind.NUMBER, help="bytes at a time"),
            Param(name="until", kind=ParamKind.MOMENT, help="when it ends"),
        ),
        events=True,
    ),
    ActSpec(name="refuse", help="do not accept it", on=frozenset(), events=True, fate=True),
    ActSpec(
        name="goto",
        help="go to another state",
        main="state",
        params=(Param(name="state", kind=ParamKind.STATE, help="which", required=True),),
        events=True,
    ),
    *(
        ActSpec(
            name=name,
            help="switch another rule",
            main="rule",
            params=(Param(name="rule", kind=ParamKind.RULE, help="which", required=True),),
            events=True,
        )
        for name in ("arm", "disarm")
    ),
)
#: What an engine would bring: those above as the tests of this room need them, the others as they are.
ACTS: Mapping[str, ActSpec] = {**SPECS, **{spec.name: spec for spec in _SPECS}}


def worked() -> list[Path]:
    """List the worked scenarios."""
    return sorted(WORKED.glob("*.yaml"))


def scalar(text: str) -> Scalar:
    """Make a text that stands in line 1 from column 1."""
    return Scalar(text, Position("x", 1, 1))


def read(body: str, **params: str) -> Scenario:
    """Read a scenario called x of which only `body` is said."""
    return load(f"scenario: x\nvictim: both\n{body}", file="x.yaml", acts=ACTS, params=params, built=False)


def errors_of(body: str, *, built: bool = False) -> list[FileError]:
    """List what is wrong with a scenario called x of which only `body` is said; its lines count from 3."""
    return list(lint(f"scenario: x\nvictim: both\n{body}", file="x.yaml", acts=ACTS, built=built))


def outcome(read: Callable[[], _Result]) -> _Result | FileError:
    """Give what comes of a reading: its result, or the error that it ended with; any other exception passes."""
    try:
        return read()
    except FileError as error:
        return error


def shape(value: Any) -> Any:
    """Give a tree without its places, as nested tuples that compare by what they say."""
    if isinstance(value, Position):
        return NOWHERE
    if isinstance(value, Enum):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ((field.name, shape(getattr(value, field.name))) for field in dataclasses.fields(value))
        return (type(value).__name__, *parts)
    if isinstance(value, tuple | list):
        return tuple(shape(item) for item in value)
    if isinstance(value, Mapping):
        return tuple((key, shape(item)) for key, item in value.items())
    return value
