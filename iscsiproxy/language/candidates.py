"""The words that may stand in one place of a line, each with what it is and what it is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from iscsiproxy.errors import FileError
from iscsiproxy.language import glossary
from iscsiproxy.language.captures import OWN_NAMES, Captures
from iscsiproxy.language.cdbs import CDB_WORDS
from iscsiproxy.language.keys import KEYS, key_words
from iscsiproxy.language.names import Hand, Names, path_type
from iscsiproxy.language.rendering import HOLD
from iscsiproxy.language.schema import field_help, key_help
from iscsiproxy.language.spec import NOWHERE, ActSpec, Param, ParamKind, ValueKind
from iscsiproxy.language.syntax import Name
from iscsiproxy.language.vocabulary import (
    FUNCTIONS,
    RUN_NAMES,
    SENSE_PDUS,
    STATE,
    TASK_NAMES,
    TASK_PDUS,
    TEXT_PDUS,
    Type,
    field_names,
    having_field,
    item_of,
    shared_field,
)
from iscsiproxy.wire.opcodes import GROUPS, LABELS, Opcode, sender_of

__all__ = [
    "ANY",
    "Candidate",
    "Kind",
    "acts",
    "compared",
    "fields",
    "hand_of",
    "items",
    "names",
    "params",
    "pdus",
    "values",
    "words",
]

#: What a word is, or what may stand in a place beside the words that are known here: a `number`, a new `name` or the
#: `capture`, `rule` or `state` of such a name are of nobody's list.
Kind = Literal[
    "act",
    "capture",
    "clause",
    "duration",
    "event",
    "field",
    "function",
    "key",
    "name",
    "number",
    "operator",
    "param",
    "pdu",
    "rule",
    "state",
    "text",
    "value",
]

#: The opcodes of all PDUs: what may be in hand while nobody has said
ANY: Final = frozenset(LABELS)
_COMMAND: Final = frozenset({int(Opcode.SCSI_COMMAND)})
_PARTS: Final = ("start", "end", "header", "ahs", "header-digest", "data", "pad", "data-digest")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One word: `text` as it would be typed, what `kind` of word it is, and what it is for."""

    text: str
    kind: Kind
    help: str = ""


def words(texts: Mapping[str, str] | Iterable[str], kind: Kind) -> Iterator[Candidate]:
    """Give some words, with their help if they have any."""
    for text in texts:
        yield Candidate(text, kind, texts[text] if isinstance(texts, Mapping) else "")


def acts(specs: Mapping[str, ActSpec]) -> Iterator[Candidate]:
    """Give the acts."""
    for name, spec in specs.items():
        yield Candidate(name, "act", spec.help)
    if "delay" in specs:
        yield Candidate(HOLD, "act", "keep the PDU, and what follows it, until it is released by hand")


def pdus(opcodes: frozenset[int] = ANY) -> Iterator[Candidate]:
    """Give the PDUs of some opcodes."""
    for opcode, label in LABELS.items():
        if opcode in opcodes:
            yield Candidate(label, "pdu", f"0x{opcode:02x}, sent by the {sender_of(opcode)}")


def items() -> Iterator[Candidate]:
    """Give all that a pattern may begin with."""
    yield from pdus()
    yield from words(glossary.GROUPS, "pdu")
    yield from words(glossary.EVENTS, "event")


def params(spec: ActSpec, given: Iterable[str]) -> Iterator[Candidate]:
    """Give the parameters of an act, but for those that are given already."""
    for param in spec.params:
        if param.name not in given:
            yield Candidate(f"{param.name}=", "param", param.help)


def fields(spec: ActSpec, opcodes: frozenset[int], given: Iterable[str]) -> Iterator[Candidate]:
    """Give the fields that an act may be given."""
    if not spec.fields:
        return
    for name in _fields(opcodes):
        if name not in given:
            yield Candidate(f"{name}=", "field", field_help(name))
    for name in ("data", "pad", "AHS"):
        if name in spec.extra and name not in given:
            yield Candidate(f"{name}=", "field", glossary.NAMES[name])
    if "sense" in spec.extra and opcodes & SENSE_PDUS:
        yield Candidate("sense=", "field", glossary.NAMES["sense"])
    if "CDB" in spec.extra and opcodes & _COMMAND:
        for name in ("CDB.LBA", "CDB.blocks"):
            yield Candidate(f"{name}=", "field", glossary.NAMES[name])
    if "text" in spec.extra and opcodes & TEXT_PDUS:
        for key in KEYS:
            yield Candidate(f"text.{key}=", "field", key_help(key))
    if "BHS" in spec.extra:
        yield Candidate("BHS.", "field", glossary.NAMES["BHS.N"])


# --- values ----------------------------------------------------------------------------------------------------------


def values(param: Param | None, name: str, opcodes: frozenset[int]) -> Iterator[Candidate]:
    """Give the values of the parameter `param`, or of the field `name`."""
    if param is None:
        yield from _assigned(name, opcodes)
        return
    yield from words(param.choices, "value")
    match param.kind:
        case ParamKind.FLAG:
            yield from words(("yes", "no"), "value")
        case ParamKind.PDU:
            yield from pdus(ANY if param.pdus is None else param.pdus)
        case ParamKind.PLACE:
            yield from words(_PARTS, "value")
        case ParamKind.NUMBER | ParamKind.RANGE:
            yield from names(opcodes)
        case ParamKind.TEXTS:
            yield from (Candidate(f"{key}=", "key", key_help(key)) for key in KEYS)
        case ParamKind.KEYS:
            yield from (Candidate(key, "key", key_help(key)) for key in KEYS)
        case ParamKind.CUTS:
            yield Candidate("data+", "value", "so many bytes behind the begin of the text")
            yield from (Candidate(f"{key}+", "key", "so many bytes behind the begin of this key") for key in KEYS)
        case _:
            pass


def _assigned(name: str, opcodes: frozenset[int]) -> Iterator[Candidate]:
    """Give the values that a field may be given."""
    if name == "CDB":
        yield from words(CDB_WORDS, "value")
        return
    head, _, key = name.partition(".")
    if head == "text":
        yield from words(key_words(key) or (), "value")
        return
    if head not in OWN_NAMES and shared_field(opcodes, name) is None:
        return
    try:
        kind = path_type(opcodes, name, NOWHERE, "")
    except FileError:
        return
    yield from _of_type(kind)
    if kind.kind is ValueKind.TAG:
        yield Candidate("fresh", "value", "a tag that is not in use")
    yield from names(opcodes)


def compared(name: str, hand: Hand) -> Iterator[Candidate]:
    """Give what a name may be compared with."""
    try:
        _, kind = Names(Captures(), hand).resolve(Name(name, NOWHERE))
    except FileError:
        return
    yield from _of_type(kind)


def _of_type(kind: Type) -> Iterator[Candidate]:
    if kind.kind is ValueKind.TEXT:
        yield from (Candidate(f'"{word}"', "value") for word in kind.words)
    else:
        yield from words(kind.words, "value")
    if kind.kind is ValueKind.FLAG:
        yield from words(("0", "1"), "value")
    if kind.kind is ValueKind.TAG:
        yield Candidate("none", "value", glossary.NAMES["none"])


# --- names -----------------------------------------------------------------------------------------------------------


def _fields(opcodes: frozenset[int]) -> list[str]:
    """Give the fields of some PDUs, those first that few others have: they tell most of it."""
    return sorted(field_names(opcodes), key=lambda name: len(having_field(name)))


def names(opcodes: frozenset[int], events: Iterable[str] = (), word: str = "") -> Iterator[Candidate]:
    """Give the names of an expression; those with dots only when `word`, which is being typed, has one."""
    head, dot, _ = word.rpartition(".")
    if dot:
        yield from _inside(head, opcodes)
        return
    for name in _fields(opcodes):
        yield Candidate(name, "name", field_help(name))
    for name in OWN_NAMES:
        if _has(name, opcodes):
            dotted = name in ("CDB", "BHS", "text", "header")
            yield Candidate(f"{name}." if dotted else name, "name", glossary.NAMES.get(name, ""))
    if "close" in events:
        yield Candidate("how", "name", glossary.NAMES["how"])
    heads = ("task.", "conn.", "session.", "key.", "declared.")
    yield from words(heads if opcodes & TASK_PDUS else heads[1:], "name")
    yield from ((Candidate(name, "name", glossary.NAMES[name])) for name in RUN_NAMES)
    yield from words({name: glossary.FUNCTIONS[name] for name in FUNCTIONS}, "function")


def _has(name: str, opcodes: frozenset[int]) -> bool:
    """Tell whether one of some PDUs has a part of this name."""
    having = {"sense": SENSE_PDUS, "text": TEXT_PDUS, "CDB": _COMMAND, "header": frozenset({int(Opcode.REJECT)})}
    return bool(opcodes & having.get(name, ANY))


def _inside(head: str, opcodes: frozenset[int]) -> Iterator[Candidate]:
    """Give the names that begin with `head` and a dot."""
    known: Mapping[str, Iterable[str]] = {
        "task": (*TASK_NAMES, *field_names(_COMMAND), "CDB.name", "CDB.LBA", "CDB.blocks"),
        "conn": [name.partition(".")[2] for name in STATE if name.startswith("conn.")],
        "session": [name.partition(".")[2] for name in STATE if name.startswith("session.")],
        "initiator": ("depth", "kind"),
        "target": ("LUs", "kind"),
        "key": KEYS,
        "declared": ("initiator.", "target."),
        "declared.initiator": KEYS,
        "declared.target": KEYS,
        "text": KEYS if opcodes & TEXT_PDUS else (),
        "CDB": ("name", "LBA", "blocks") if opcodes & _COMMAND else (),
        "task.CDB": ("name", "LBA", "blocks"),
        "header": field_names(GROUPS["Initiator-PDU"]) if Opcode.REJECT in opcodes else (),
        "BHS": (),
    }
    # Any other word is a name that has been given; what it is bound to is not known here.
    for part in known.get(head, ("at", *field_names(ANY), "length")):
        yield Candidate(f"{head}.{part}", "name", glossary.NAMES.get(f"{head}.{part}", ""))


def hand_of(found: Iterable[str]) -> Hand:
    """Give what is in hand when one of these PDUs or events is met."""
    known = [item for name in found if (item := item_of(name)) is not None]
    opcodes = frozenset(opcode for item in known for opcode in item.opcodes)
    return Hand(opcodes, frozenset(item.name for item in known if not item.opcodes))
