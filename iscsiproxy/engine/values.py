"""Expressions compiled to closures.

A compiled expression takes a `Look` and gives a value: int for numbers, tags, codes and flags, str, bytes, float
seconds, a (key, ASC, ASCQ) tuple for sense, bool for tests, and None for what is absent. Nothing raises: what has no
value is absent.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, assert_never

from iscsiproxy.engine.facts import Captured, Look, fresh_name, fresh_tag
from iscsiproxy.errors import PeerError
from iscsiproxy.language.spec import (
    Absent,
    Binary,
    Call,
    Expr,
    In,
    Literal_,
    Logic,
    Not,
    Range,
    Ref,
    Unary,
    ValueKind,
)
from iscsiproxy.session.snapshot import TaskView
from iscsiproxy.wire import serial
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.fields import BHS_LENGTH, lun_number
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import sense_of_segment
from iscsiproxy.wire.text import split_pairs

__all__ = ["Fn", "compile_expr", "pdu_value"]

Fn = Callable[[Look], Any]

_SERIAL: dict[str, Callable[[int, int], bool]] = {
    "<": serial.lt,
    "<=": serial.le,
    ">": serial.gt,
    ">=": serial.ge,
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SUM: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
}
#: What has no value when the right side is 0; a quotient is rounded down.
_QUOTIENT: dict[str, Callable[[int, int], int]] = {"/": operator.floordiv, "%": operator.mod}
_U32 = 0xFFFFFFFF
#: What may differ between a status PDU and its repetition (RFC 7143 11.16).
_REPLICA_FREE = ("ExpCmdSN", "MaxCmdSN", "ExpDataSN")


def compile_expr(expr: Expr) -> Fn:
    """Compile a checked expression."""
    match expr:
        case Literal_(value=value):
            return lambda _: value
        case Absent():
            return lambda _: None
        case Ref():
            return _ref(expr)
        case Unary(operand=operand):
            inner = compile_expr(operand)
            return lambda look: None if (value := inner(look)) is None else -value
        case Binary():
            return _binary(expr)
        case In(operand=operand, items=items):
            one, many = compile_expr(operand), [compile_expr(item) for item in items]
            return lambda look: _among(one(look), many, look)
        case Range():
            return _range(expr)
        case Call():
            return _call(expr)
        case Not(operand=operand):
            inner = compile_expr(operand)
            return lambda look: not inner(look)
        case Logic(op=op, operands=operands):
            parts = [compile_expr(operand) for operand in operands]
            if op == "and":
                return lambda look: all(part(look) for part in parts)
            return lambda look: any(part(look) for part in parts)
        case _:
            assert_never(expr)


def _binary(expr: Binary) -> Fn:
    left, right, op = compile_expr(expr.left), compile_expr(expr.right), expr.op
    if op == "==" and isinstance(expr.right, Literal_):
        value = expr.right.value
        return lambda look: left(look) == value
    if op == "==":
        return lambda look: left(look) == right(look)
    if op == "!=":
        return lambda look: left(look) != right(look)
    compare = (_SERIAL if expr.serial else _ORDER).get(op)
    if compare is not None:
        return lambda look: _both(left(look), right(look), compare, False)
    if op in ("+", "-") and expr.serial:
        sign = 1 if op == "+" else -1
        return lambda look: _both(left(look), right(look), lambda a, b: (a + sign * b) & _U32, None)
    if op in _SUM:
        return lambda look: _both(left(look), right(look), _SUM[op], None)
    if op in _QUOTIENT:
        divide = _QUOTIENT[op]
        return lambda look: _both(left(look), right(look), lambda a, b: divide(a, b) if b else None, None)
    test: Callable[[Any, Any], bool] = {
        "contains": lambda a, b: b in a,
        "startswith": lambda a, b: a.startswith(b),
        "like": fnmatchcase,
    }[op]
    return lambda look: _both(left(look), right(look), test, False)


def _both(left: Any, right: Any, act: Callable[[Any, Any], Any], otherwise: Any) -> Any:
    return otherwise if left is None or right is None else act(left, right)


def _among(value: Any, items: list[Fn], look: Look) -> bool:
    return any(value == item(look) for item in items)


def _range(expr: Range) -> Fn:
    one, low, high = compile_expr(expr.operand), compile_expr(expr.low), compile_expr(expr.high)
    within = _SERIAL["<="] if expr.serial else _ORDER["<="]

    def test(look: Look) -> bool:
        value, least, most = one(look), low(look), high(look)
        if value is None or least is None or most is None:
            return False
        return within(least, value) and within(value, most)

    return test


def _call(expr: Call) -> Fn:
    if expr.function == "replica":
        name = expr.arguments[0].capture if isinstance(expr.arguments[0], Ref) else ""
        return lambda look: _is_replica(look.pdu, look.captures.get(name))
    parts = [compile_expr(argument) for argument in expr.arguments]
    function = expr.function

    def call(look: Look) -> Any:
        values = [part(look) for part in parts]
        if any(value is None for value in values):
            return None
        match function:
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "len":
                return len(values[0])
            case "random":
                return look.rng.randint(values[0], values[1]) if values[0] <= values[1] else None
            case "uint":
                data, at, size = values
                inside = at >= 0 and size > 0 and at + size <= len(data)
                return int.from_bytes(data[at : at + size], "big") if inside else None
            case "fresh":
                return fresh_name(look, values[0]) if values else fresh_tag(look)
            case "pair":
                return "=".join(map(str, values))
        return None

    return call


def _is_replica(pdu: Pdu | None, captured: Captured | None) -> bool:
    other = captured.pdu if captured is not None else None
    if pdu is None or other is None or pdu.opcode != other.opcode:
        return False

    def bare(one: Pdu) -> Pdu:
        plain = one.with_fields({name: 0 for name in _REPLICA_FREE if name in one.fields})
        return plain.with_parts(header_digest=b"", data_digest=b"")

    return bare(pdu) == bare(other)


# --- names ---


def _ref(ref: Ref) -> Fn:
    path, kind = ref.path, ref.kind
    match ref.scope:
        case "pdu":
            read = pdu_value(path)
            return lambda look: None if look.pdu is None else read(look.pdu)
        case "event":
            return lambda look: look.how or None
        case "task":
            return _task(path)
        case "conn":
            return _conn(path)
        case "session":
            return lambda look: None if (session := look.view.session) is None else getattr(session, path)
        case "key":
            return lambda look: _typed(look.view.keys.get(path), kind)
        case "declared.initiator":
            return lambda look: _typed(look.view.declared[End.INITIATOR].get(path), kind)
        case "declared.target":
            return lambda look: _typed(look.view.declared[End.TARGET].get(path), kind)
        case "run":
            return lambda _: "rfc7143" if path == "profile" else None
        case "negotiate":
            return lambda look: _typed(look.offer if path == "offer" else look.answer, kind)
        case "capture":
            return _capture(ref)
        case _:
            return lambda _: None


def _typed(value: str | None, kind: ValueKind) -> str | int | None:
    if value is None or kind is not ValueKind.NUMBER:
        return value
    try:
        return int(value, 0)
    except ValueError:
        return None


def _task(path: str) -> Fn:
    if not path:
        return lambda look: look.view.task
    if path in ("received", "sent", "R2Ts", "status"):
        return lambda look: None if (task := look.view.task) is None else getattr(task, path)
    if path == "age":
        return lambda look: None if (task := look.view.task) is None else look.at - task.started
    read = pdu_value(path)

    def of(task: TaskView | None) -> Any:
        return None if task is None else read(task.command)

    return lambda look: of(look.view.task)


def _conn(path: str) -> Fn:
    if path == "age":
        return lambda look: look.at - look.view.conn.opened
    if path == "phase":
        return lambda look: look.view.conn.phase.value
    return lambda look: getattr(look.view.conn, path)


def _capture(ref: Ref) -> Fn:
    name, path, element = ref.capture, ref.path, ref.element

    def find(look: Look) -> Captured | None:
        captured = look.captures.get(name)
        if captured is not None and element:
            return captured.members[0 if element == "first" else -1]
        return captured

    if not path:
        return lambda look: None if (captured := find(look)) is None else captured.count
    if path == "count":
        return lambda look: None if (captured := find(look)) is None else captured.count
    if path == "at":
        return lambda look: None if (captured := find(look)) is None else captured.look.at
    if path in ("CID", "ISID", "TSIH"):
        return lambda look: None if (captured := find(look)) is None else _identity(captured, path)
    read = pdu_value(path)

    def field(look: Look) -> Any:
        captured = find(look)
        pdu = None if captured is None else captured.face(look.leg)
        return None if pdu is None else read(pdu)

    return field


def _identity(captured: Captured, path: str) -> Any:
    """Give what names a connection; one that had not logged in yet when it was captured is looked up now."""
    if captured.pdu is not None and (value := captured.pdu.get(path)) is not None:
        return value
    look = captured.look
    for view in (look.view, look.state(look.conn, look.leg, None)):
        value = view.conn.CID if path == "CID" else getattr(view.session, path, None)
        if value is not None:
            return value
    return None


# --- what is inside a PDU ---


def pdu_value(path: str) -> Callable[[Pdu], Any]:
    """Give what reads a field or a part of a PDU by its name in the language; None where the PDU has no such thing."""
    head, _, rest = path.partition(".")
    special: dict[str, Callable[[Pdu], Any]] = {
        "length": lambda pdu: pdu["DataSegmentLength"],
        "data": lambda pdu: pdu.data,
        "pad": lambda pdu: pdu.pad,
        "AHS": lambda pdu: pdu.ahs or None,
        "sense": _sense,
        "LUN": lambda pdu: None if (value := pdu.get("LUN")) is None else lun_number(value),
    }
    if path in special:
        return special[path]
    if head == "text" and rest:
        return lambda pdu: _text(pdu, rest)
    if head == "header" and rest:
        read = pdu_value(rest)
        return lambda pdu: read(inner) if (inner := _embedded(pdu)) is not None else None
    if head == "CDB":
        return lambda pdu: _cdb(pdu, rest)
    if head == "BHS":
        byte, _, bit = rest.partition(".")
        if bit:
            return lambda pdu: pdu.bhs[int(byte)] >> (7 - int(bit)) & 1
        return lambda pdu: pdu.bhs[int(byte)]
    return lambda pdu: pdu.get(path)


def _sense(pdu: Pdu) -> tuple[int, int, int] | None:
    if pdu.opcode not in (Opcode.SCSI_RESPONSE, Opcode.ASYNC):
        return None
    try:
        sense = sense_of_segment(pdu.data)
    except PeerError:
        return None
    return None if sense is None else (sense.key, sense.asc, sense.ascq)


def _text(pdu: Pdu, key: str) -> str | None:
    wanted = key.encode() + b"="
    for pair in split_pairs(pdu.data)[0]:
        if pair.startswith(wanted):
            return pair[len(wanted) :].decode("utf-8", "surrogateescape")
    return None


def _embedded(pdu: Pdu) -> Pdu | None:
    if pdu.opcode != Opcode.REJECT or len(pdu.data) < BHS_LENGTH:
        return None
    return Pdu(pdu.data[:BHS_LENGTH])


def _cdb(pdu: Pdu, part: str) -> Any:
    if not (cdb := pdu.cdb):
        return None
    if not part:
        return cdb
    try:
        return getattr(decode_cdb(cdb), part)
    except PeerError:
        return None
