"""What a name in an expression stands for: the PDU in hand, the state around it, or a capture."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from iscsiproxy.language.captures import EACH_NAMES, OWN_NAMES, Captured, Captures
from iscsiproxy.language.keys import KEYS, is_private
from iscsiproxy.language.problems import nearest, problem, quoted
from iscsiproxy.language.spec import Position, Ref, ValueKind
from iscsiproxy.language.syntax import Name, Word
from iscsiproxy.language.vocabulary import (
    RUN_NAMES,
    SENSE_PDUS,
    STATE,
    TASK_NAMES,
    TASK_PDUS,
    TEXT_PDUS,
    Type,
    describe,
    field_names,
    having_field,
    key_type,
    owners,
    shared_field,
)
from iscsiproxy.wire.cdb import CDB_NAMES
from iscsiproxy.wire.opcodes import GROUPS, Opcode

__all__ = ["NOTHING", "Hand", "Names", "path_type"]

_COMMAND: Final = frozenset({int(Opcode.SCSI_COMMAND)})
#: A name that swallowed a subtraction
_MINUS = re.compile(r".+-[0-9]+")
_MINUS_HINT = "`-` subtracts only with blanks around it"
_BHS = re.compile(r"BHS\.([0-9]{1,2})(?:\.([0-7]))?")
_CDB: dict[str, Type] = {
    "CDB.name": Type(ValueKind.TEXT, "CDB.name", {name: name for name in CDB_NAMES}),
    "CDB.LBA": Type(ValueKind.NUMBER, "CDB.LBA"),
    "CDB.blocks": Type(ValueKind.NUMBER, "CDB.blocks"),
}
_HOW = Type(ValueKind.TEXT, "how", {word: word for word in ("fin", "rst", "timeout")}, closed=True)
_CONNECTION = {
    "CID": Type(ValueKind.TAG, "CID", maximum=0xFFFF),
    "ISID": Type(ValueKind.TAG, "ISID", maximum=(1 << 48) - 1),
    "TSIH": Type(ValueKind.TAG, "TSIH", maximum=0xFFFF),
}
#: Events on a connection, whose capture knows it by its numbers.
_ON_CONNECTION = frozenset({"connect", "full-feature", "close"})


@dataclass(frozen=True, slots=True)
class Hand:
    """What an expression looks at: PDUs of these opcodes, or one of these events; neither is an empty hand.

    `gone`: no PDU is in hand any more, for it is seen at the end of its way.
    """

    opcodes: frozenset[int] = frozenset()
    events: frozenset[str] = frozenset()
    gone: bool = False

    def __str__(self) -> str:
        kinds = [describe(self.opcodes)] if self.opcodes else []
        return " or ".join([*kinds, *sorted(self.events)])


NOTHING = Hand()


class Names:
    """Resolves names in one place of the file.

    `outside` tells that there is no PDU, task, connection or capture at all (`needs`, `negotiate`); `offer` is the type
    of `offer` and `answer`, where these may stand.
    """

    def __init__(
        self, captures: Captures, hand: Hand = NOTHING, *, outside: bool = False, offer: Type | None = None
    ) -> None:
        self.captures = captures
        self.hand = hand
        self._outside = outside
        self._offer = offer

    def __repr__(self) -> str:
        return f"<Names of {self.hand}>"

    def knows(self, name: str) -> bool:
        """Tell whether a name without dots stands for something here."""
        opcodes = self.hand.opcodes
        return (
            name in OWN_NAMES
            or name in RUN_NAMES
            or name == "task"
            or shared_field(opcodes, name) is not None
            or (self._offer is not None and name in ("offer", "answer"))
            or (name == "how" and "close" in self.hand.events)
        )

    def resolve(self, name: Name) -> tuple[Ref, Type]:
        """Give what a name stands for, and its type. Raises FileError with the nearest right name."""
        text, where = name.text, name.where
        head, _, rest = text.partition(".")
        if text in RUN_NAMES:
            return _ref("run", text, RUN_NAMES[text], where)
        if head in ("key", "declared"):
            return self._key(text, where)
        if self._offer is not None and text in ("offer", "answer"):
            return _ref("negotiate", text, self._offer, where)
        if head == "session" or (head == "conn" and not self._outside):
            return self._state(head, rest, where)
        if self._outside:
            raise self._unknown(text, where, [])
        if head == "task":
            return self._task(rest, where)
        if head not in OWN_NAMES and rest and head not in ("initiator", "target"):
            return self._capture(text, where)
        if text == "how" and "close" in self.hand.events:
            return _ref("event", text, _HOW, where)
        return _ref("pdu", text, self._own(text, where), where)

    # --- state ---

    def _state(self, head: str, rest: str, where: Position) -> tuple[Ref, Type]:
        known = STATE.get(f"{head}.{rest}")
        if known is not None:
            return _ref(head, rest, known, where)
        names = [name for name in STATE if name.startswith(f"{head}.")]
        near = nearest(f"{head}.{rest}", names) if rest else None
        raise problem(
            f"there is no `{head}.{rest}`" if rest else f"`{head}` is not a value", where, near or _list(names)
        )

    def _key(self, text: str, where: Position) -> tuple[Ref, Type]:
        parts = text.split(".", 2 if text.startswith("declared.") else 1)
        if parts[0] == "declared" and (len(parts) < 3 or parts[1] not in ("initiator", "target")):
            raise problem(f"there is no `{text}`", where, "`declared.initiator.KEY` or `declared.target.KEY`")
        if len(parts) < 2:
            raise problem("`key` needs the name of a text key", where, "such as `key.MaxBurstLength`")
        key = parts[-1]
        if key not in KEYS and not is_private(key):
            raise problem(f"there is no text key `{key}`", where, nearest(key, KEYS) or "private keys begin with X-")
        return _ref(".".join(parts[:-1]), key, key_type(key, text), where)

    def _task(self, rest: str, where: Position) -> tuple[Ref, Type]:
        opcodes = self.hand.opcodes
        if not opcodes & TASK_PDUS:
            message = f"{self.hand} belongs to no task" if opcodes else "nothing is in hand here that belongs to a task"
            raise problem(message, where, "tasks are those of SCSI commands")
        if not rest:
            return _ref("task", "", Type(ValueKind.PRESENCE, "task"), where)
        if rest in TASK_NAMES:
            return _ref("task", rest, TASK_NAMES[rest], where)
        if rest.split(".", maxsplit=1)[0] in ("text", "sense", "header"):
            raise problem(f"a SCSI command has no `{rest}`", where)
        if _unknown_path(_COMMAND, rest):
            names = [f"task.{name}" for name in (*TASK_NAMES, *field_names(_COMMAND))]
            raise problem(f"there is no `task.{rest}`", where, nearest(f"task.{rest}", names))
        return _ref("task", rest, path_type(_COMMAND, rest, where, "SCSI-Command"), where)

    # --- PDUs ---

    def _own(self, text: str, where: Position) -> Type:
        opcodes = self.hand.opcodes
        if _unknown_path(opcodes, text):
            if self.captures.find(text) is not None:
                raise problem(f"`{text}` is a capture, not a value", where, f"say which of its fields: `{text}.FIELD`")
            raise self._unknown(text, where, field_names(opcodes))
        if not opcodes:
            what = f"{self.hand} has" if self.hand.events else "nothing is in hand here, so there is"
            raise problem(f"{what} no `{text}`", where, "a field of a capture is `NAME.FIELD`")
        return path_type(opcodes, text, where, str(self.hand))

    def _unknown(self, text: str, where: Position, fields: Iterable[str]) -> Exception:
        pdus = having_field(text)
        near = nearest(text, [*fields, *OWN_NAMES, *RUN_NAMES, *STATE, *(f"{name}." for name in self.captures)])
        if pdus and not self._outside:
            hint = owners(text)
            message = (
                f"{self.hand} has no field `{text}`" if str(self.hand) else f"there is no PDU here to have `{text}`"
            )
            return problem(message, where, hint)
        if self._outside:
            what = "session, key, declared, initiator, target and profile"
            names = [*RUN_NAMES, *(name for name in STATE if name.startswith("session."))]
            near = nearest(text, names if self._offer is None else [*names, "offer", "answer"])
            return problem(f"`{text}` has no meaning here", where, near or f"only {what} have")
        if _MINUS.fullmatch(text):
            near = _MINUS_HINT
        if text in ("none", "fresh"):
            near = "`none` stands beside a tag, `fresh` in acts"
        on = f" on {self.hand}" if str(self.hand) else ""
        return problem(f"`{text}` has no meaning{on}", where, near)

    # --- captures ---

    def _capture(self, text: str, where: Position) -> tuple[Ref, Type]:
        head, _, rest = text.partition(".")
        known = self.captures.find(head)
        piece, _, more = rest.partition(".")
        if known is not None and known.pieces and piece.isdigit():
            head, rest = f"{head}.{piece}", more
        known = self.captures.need(Word(head, where), also=[*RUN_NAMES, *STATE, *_candidates(text)])
        element: Literal["", "first", "last"] = ""
        if known.each:
            word, _, more = rest.partition(".")
            if word == "count" and not more:
                kind = Type(ValueKind.NUMBER, text)
                return _ref("capture", "count", kind, where, head)
            if word == "first":
                element, rest = "first", more
            elif word == "last":
                element, rest = "last", more
            else:
                hint = quoted(f"{head}.{name}" for name in EACH_NAMES)
                raise problem(f"`{head}` collects; `{text}` does not say which one", where, hint)
        if not rest:
            raise problem(f"`{text}` is a capture, not a value", where, f"say which of its fields: `{text}.FIELD`")
        kind = _captured_type(known, rest, where, text)
        return _ref("capture", rest, kind, where, head, element)


def _captured_type(known: Captured, path: str, where: Position, text: str) -> Type:
    if path == "at":
        return Type(ValueKind.DURATION, text)
    numbers = known.connection or (known.events & _ON_CONNECTION)
    if numbers and path in _CONNECTION:
        return _CONNECTION[path]
    opcodes = frozenset(known.opcodes)
    names = (*field_names(opcodes), *(OWN_NAMES if opcodes else ()), "at", *(_CONNECTION if numbers else ()))
    if not opcodes or _unknown_path(opcodes, path):
        hint = _MINUS_HINT if _MINUS.fullmatch(path) else nearest(path, names)
        hint = hint or (owners(path) if having_field(path) else _list(names))
        raise problem(f"`{known.name}` is {known} and has no `{path}`", where, hint)
    shared = shared_field(opcodes, path)
    if shared is not None and not shared.same:
        message = f"`{known.name}` is {known}, whose `{path}` differ"
        raise problem(message, where, "bind them under two names")
    return path_type(opcodes, path, where, f"`{known.name}`")


def _unknown_path(opcodes: frozenset[int], path: str) -> bool:
    """Tell that `path` is nothing that any PDU could have; details are told by `path_type`."""
    return path.split(".", maxsplit=1)[0] not in OWN_NAMES and shared_field(opcodes, path) is None


def path_type(opcodes: frozenset[int], path: str, where: Position, owner: str) -> Type:
    """Give the type of something inside a PDU; `path` begins with an own name or a field of `opcodes`."""
    shared = shared_field(opcodes, path)
    if shared is not None:
        return shared.type
    head, _, rest = path.partition(".")
    if head == "CDB":
        if not opcodes & _COMMAND:
            raise problem(f"{owner} has no CDB", where, "SCSI-Command has it; `task.CDB` is that of the task")
        if path not in _CDB:
            raise problem(f"there is no `{path}`", where, nearest(path, _CDB) or _list(_CDB))
        return _CDB[path]
    if head == "BHS":
        return _bhs_type(path, where)
    if head in ("text", "header") and not rest:
        shown = "text.KEY" if head == "text" else "header.FIELD"
        raise problem(f"`{head}` needs the name of what is looked at", where, f"`{shown}`")
    if head == "text":
        if not opcodes & TEXT_PDUS:
            raise problem(f"{owner} has no text keys", where, f"{describe(TEXT_PDUS)} have them")
        return Type(ValueKind.TEXT, path, {word: word for word in key_type(rest, path).words})
    if head == "header":
        return _header_type(opcodes, rest, where, owner)
    if rest:
        raise problem(f"`{head}` has no parts", where)
    if head == "sense":
        if not opcodes & SENSE_PDUS:
            raise problem(f"{owner} has no sense data", where, f"{describe(SENSE_PDUS)} have it")
        return Type(ValueKind.SENSE, "sense")
    if head == "length":
        return Type(ValueKind.NUMBER, "length", maximum=(1 << 24) - 1)
    return Type(ValueKind.PRESENCE if head == "AHS" else ValueKind.BYTES, head)


def _header_type(opcodes: frozenset[int], name: str, where: Position, owner: str) -> Type:
    if Opcode.REJECT not in opcodes:
        raise problem(f"{owner} contains no header", where, "Reject has it")
    shared = shared_field(GROUPS["Initiator-PDU"], name)
    if shared is None:
        names = [f"header.{field}" for field in field_names(GROUPS["Initiator-PDU"])]
        raise problem(f"no request has a field `{name}`", where, nearest(f"header.{name}", names))
    return shared.type


def _bhs_type(path: str, where: Position) -> Type:
    match = _BHS.fullmatch(path)
    if match is None or int(match[1]) > 47:
        raise problem(f"`{path}` is no place in the header", where, "`BHS.0` to `BHS.47`, or a bit of it: `BHS.1.6`")
    if match[2] is None:
        return Type(ValueKind.NUMBER, path, maximum=0xFF)
    return Type(ValueKind.FLAG, path, maximum=1)


def _candidates(text: str) -> list[str]:
    return ["conn", "session", "task", "key", "declared", "text", "header"] if "." in text else []


def _list(names: Iterable[str]) -> str:
    return f"there are {', '.join(names)}"


def _ref(
    scope: str, path: str, kind: Type, where: Position, capture: str = "", element: Literal["", "first", "last"] = ""
) -> tuple[Ref, Type]:
    return Ref(scope=scope, path=path, kind=kind.kind, capture=capture, element=element, where=where), kind
