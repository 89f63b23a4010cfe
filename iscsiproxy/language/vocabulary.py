"""The words of the language that are fixed: PDUs, events, fields, state, and what kind of value each one is.

Names, kinds and code names of fields come from the wire tables and from nowhere else. A name that several PDUs have is
one name only if it means the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from iscsiproxy.language.keys import key_words
from iscsiproxy.language.spec import Item, ValueKind
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import Field, FieldKind, fields_of
from iscsiproxy.wire.opcodes import GROUPS, LABELS, Opcode, label_of, opcode_of

__all__ = [
    "ANSWERS",
    "EVENTS",
    "FUNCTIONS",
    "HEADS",
    "ITEMS",
    "PDU_NAMES",
    "RESERVED",
    "RUN_NAMES",
    "SENSE_PDUS",
    "STATE",
    "TASK_NAMES",
    "TASK_PDUS",
    "TEXT_PDUS",
    "Shared",
    "Type",
    "describe",
    "field_names",
    "having_field",
    "item_of",
    "key_type",
    "owners",
    "shared_field",
]

#: Everything that is not a PDU; `nothing` only in `first:`.
EVENTS = ("connect", "full-feature", "close", "escalation", "io-good", "io-error", "io-mismatch")
#: PDUs and groups of them, as users write them.
PDU_NAMES = (*LABELS.values(), *GROUPS)
#: All that a pattern may begin with.
ITEMS = (*PDU_NAMES, *EVENTS)

#: The words of the grammars; they name nothing else.
RESERVED = frozenset(
    [
        "then",
        "or",
        "and",
        "not",
        "in",
        "of",
        "from",
        "at",
        "where",
        "as",
        "each",
        "after",
        "nth",
        "every",
        "mask",
        "chance",
        "times",
        "per",
        "run",
        "session",
        "connection",
        "task",
        "initiator",
        "target",
        "victim",
        "proxy",
        "barrier",
        "fault",
        "released",
        "contains",
        "startswith",
        "like",
        "absent",
        "nothing",
    ]
)
FUNCTIONS = ("min", "max", "len", "random", "uint", "replica")
#: First parts of the names of state.
HEADS = ("task", "conn", "session", "key", "declared", "initiator", "target")

#: PDUs that carry text keys (RFC 7143 6)
TEXT_PDUS = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})
#: PDUs whose data segment holds SCSI sense data (RFC 7143 11.4.7, 11.9.4)
SENSE_PDUS = frozenset({Opcode.SCSI_RESPONSE, Opcode.ASYNC})
#: PDUs that belong to a SCSI command (RFC 7143 4.2.5), or name or contain one
TASK_PDUS = frozenset(
    {
        Opcode.SCSI_COMMAND,
        Opcode.DATA_OUT,
        Opcode.DATA_IN,
        Opcode.R2T,
        Opcode.SCSI_RESPONSE,
        Opcode.SNACK,
        Opcode.TMF_REQUEST,
        Opcode.REJECT,
    }
)
#: The response that a request awaits (RFC 7143 11)
ANSWERS: Mapping[int, int] = MappingProxyType(
    {
        Opcode.NOP_OUT: Opcode.NOP_IN,
        Opcode.SCSI_COMMAND: Opcode.SCSI_RESPONSE,
        Opcode.TMF_REQUEST: Opcode.TMF_RESPONSE,
        Opcode.LOGIN_REQUEST: Opcode.LOGIN_RESPONSE,
        Opcode.TEXT_REQUEST: Opcode.TEXT_RESPONSE,
        Opcode.LOGOUT_REQUEST: Opcode.LOGOUT_RESPONSE,
    }
)


@dataclass(frozen=True, slots=True)
class Type:
    """What a value is.

    `words` are names for values that may stand beside it, with what they mean; a `closed` text is always one of them.
    `partly` are code names that only some of the PDUs of a pattern know. `maximum` bounds a number, `what` names it.
    """

    kind: ValueKind
    what: str = ""
    words: Mapping[str, int | str] = field(default_factory=dict)
    closed: bool = False
    partly: frozenset[str] = frozenset()
    maximum: int | None = None


def _words(*names: str) -> dict[str, int | str]:
    return {name: name for name in names}


def _text(what: str, *names: str, closed: bool = True) -> Type:
    return Type(ValueKind.TEXT, what, _words(*names), closed=closed and bool(names))


def _number(what: str, maximum: int | None = None) -> Type:
    return Type(ValueKind.NUMBER, what, maximum=maximum)


def _serial(what: str) -> Type:
    return Type(ValueKind.SERIAL, what, maximum=0xFFFFFFFF)


def _tag(what: str, bits: int) -> Type:
    return Type(ValueKind.TAG, what, maximum=(1 << bits) - 1)


_STATUS = {name: value for value, name in codes.SCSI_STATUS.items()}

#: `conn.` and `session.` names.
STATE: Mapping[str, Type] = MappingProxyType(
    {
        "conn.CID": _tag("conn.CID", 16),
        "conn.phase": _text("conn.phase", *(phase.value for phase in Phase)),
        "conn.nth": _number("conn.nth"),
        "conn.age": Type(ValueKind.DURATION, "conn.age"),
        "conn.outstanding": _number("conn.outstanding"),
        "conn.StatSN": _serial("conn.StatSN"),
        "conn.ExpStatSN": _serial("conn.ExpStatSN"),
        "session.type": _text("session.type", "Normal", "Discovery"),
        "session.TargetName": _text("session.TargetName"),
        "session.InitiatorName": _text("session.InitiatorName"),
        "session.ISID": _tag("session.ISID", 48),
        "session.TSIH": _tag("session.TSIH", 16),
        "session.CmdSN": _serial("session.CmdSN"),
        "session.ExpCmdSN": _serial("session.ExpCmdSN"),
        "session.MaxCmdSN": _serial("session.MaxCmdSN"),
        "session.window": _number("session.window"),
        "session.outstanding": _number("session.outstanding"),
        "session.conns": _number("session.conns"),
    }
)
#: Facts about the run.
RUN_NAMES: Mapping[str, Type] = MappingProxyType(
    {
        "profile": _text("profile", "rfc3720", "rfc5048", "rfc7143", "rfc7144"),
        "initiator.depth": _number("initiator.depth"),
        "initiator.kind": _text("initiator.kind", "embedded", "external", "command", closed=False),
        "target.LUs": _number("target.LUs"),
        "target.kind": _text("target.kind", "embedded", "external", "command", closed=False),
    }
)
#: `task.` names besides the fields of its command.
TASK_NAMES: Mapping[str, Type] = MappingProxyType(
    {
        "received": _number("task.received"),
        "sent": _number("task.sent"),
        "R2Ts": _number("task.R2Ts"),
        "age": Type(ValueKind.DURATION, "task.age"),
        "status": Type(ValueKind.CODE, "task.status", _STATUS, maximum=0xFF),
    }
)


def key_type(key: str, what: str) -> Type:
    """Give the type of a settled or declared key (RFC 7143 13)."""
    words = key_words(key)
    if words is None:
        return Type(ValueKind.TEXT, what)
    return _text(what, *words, closed=False) if words else _number(what)


def item_of(name: str) -> Item | None:
    """Give the PDU, group or event that `name` stands for, or None."""
    if name in EVENTS:
        return Item(name=name)
    if name in GROUPS:
        return Item(name=name, opcodes=GROUPS[name], status=name == "Status-PDU")
    opcode = opcode_of(name)
    return None if opcode is None else Item(name=name, opcodes=frozenset({opcode}))


def describe(opcodes: Iterable[int]) -> str:
    """Name some PDUs for a message, in few words."""
    given = frozenset(opcodes)
    group = next((name for name, members in GROUPS.items() if members == given), None)
    if group is not None:
        return group
    names = [label_of(opcode) for opcode in sorted(given)]
    return " or ".join(names) if len(names) < 5 else f"{', '.join(names[:3])} and {len(names) - 3} others"


@dataclass(frozen=True, slots=True)
class Shared:
    """One field name over several PDUs: its type, and whether it is the same field in all that have it."""

    type: Type
    same: bool
    opcodes: frozenset[int]


_KINDS = {
    FieldKind.NUMBER: ValueKind.NUMBER,
    FieldKind.SERIAL: ValueKind.SERIAL,
    FieldKind.TAG: ValueKind.TAG,
    FieldKind.FLAG: ValueKind.FLAG,
    FieldKind.CODE: ValueKind.CODE,
    FieldKind.BYTES: ValueKind.BYTES,
}


@lru_cache(maxsize=1024)
def shared_field(opcodes: frozenset[int], name: str) -> Shared | None:
    """Look a field up in all of `opcodes`; None if none has it."""
    found: dict[int, Field] = {
        opcode: fields_of(opcode)[name] for opcode in sorted(opcodes) if name in fields_of(opcode)
    }
    if not found:
        return None
    fields = list(found.values())
    tables = [{name: value for value, name in (entry.codes or {}).items()} for entry in fields]
    words: dict[str, int | str] = {
        word: value for word, value in tables[0].items() if all(table.get(word) == value for table in tables)
    }
    partly = frozenset(word for table in tables for word in table) - words.keys()
    same = len({(entry.offset, entry.size, entry.mask, entry.kind) for entry in fields}) == 1 and not partly
    kind = _KINDS[fields[0].kind]
    maximum = None if kind is ValueKind.BYTES else min(entry.maximum for entry in fields)
    return Shared(Type(kind, name, words, partly=partly, maximum=maximum), same, frozenset(found))


@lru_cache(maxsize=256)
def field_names(opcodes: frozenset[int]) -> tuple[str, ...]:
    """List all field names that some of `opcodes` have."""
    return tuple(dict.fromkeys(name for opcode in sorted(opcodes) for name in fields_of(opcode)))


@lru_cache(maxsize=256)
def having_field(name: str) -> tuple[str, ...]:
    """List the PDUs that have a field of that name."""
    return tuple(label for opcode, label in LABELS.items() if name in fields_of(opcode))


def owners(name: str) -> str:
    """Say which PDUs have a field of that name, for a hint."""
    pdus = having_field(name)
    return f"it is a field of {', '.join(pdus[:4])}{' and others' if len(pdus) > 4 else ''}"
