"""Whether a test can be true at all: a row of conditions on names, each of which has only so many values.

A test is taken apart into the ways in which it can be true, each a row of conditions. What is known of one name (the
width of its field, the range of its key, what it is compared with) is put together; where nothing is left, the row is a
contradiction. Everything else counts as possible: this never errs on the side of a contradiction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from typing import Any, Final

from iscsiproxy.language.spec import (
    Absent,
    Binary,
    Call,
    Expr,
    In,
    Literal_,
    Logic,
    Not,
    Position,
    Range,
    Ref,
    Unary,
    ValueKind,
)
from iscsiproxy.language.vocabulary import STATE, TASK_NAMES
from iscsiproxy.language.written import value_text, words_of, written
from iscsiproxy.session.params import KEYS
from iscsiproxy.wire.fields import FieldKind, fields_of
from iscsiproxy.wire.opcodes import Opcode, label_of

__all__ = ["Contradiction", "Surroundings", "contradiction", "names_in", "refs_in", "rows"]

_K = ValueKind
#: More ways to be true than these are not gone through.
_MOST_ROWS: Final = 64
_TOP: Final = (1 << 64) - 1
_INTEGER: Final = frozenset({_K.NUMBER, _K.SERIAL, _K.TAG, _K.FLAG, _K.CODE, _K.DURATION})
#: Durations are reckoned in whole microseconds.
_MICRO: Final = 1_000_000

_Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Why a test is never true, and where that is written."""

    why: str
    where: Position


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known besides the test: the opcode in hand (None: no PDU), and keys that are settled on that leg.

    `known` has the only values that some names can have, whole numbers or texts.
    """

    opcode: int | None = None
    settled: Mapping[str, str] | None = None
    known: Mapping[str, frozenset[int | str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a row: a test that is no logic, and whether it has to be true or false."""

    expr: Expr
    true: bool = True

    def __str__(self) -> str:
        return f"{'' if self.true else 'not '}{written(self.expr)}"


def rows(expr: Expr | None, true: bool = True) -> list[tuple[Condition, ...]] | None:
    """Give the ways in which a test can be true, each a row of conditions; None if they are too many."""
    match expr:
        case None:
            return [()]
        case Not():
            return rows(expr.operand, not true)
        case Logic(op=op, operands=operands):
            parts = [rows(operand, true) for operand in operands]
            found: list[tuple[Condition, ...]] = []
            for part in parts:
                if part is None:
                    return None
            known = [part for part in parts if part is not None]
            if (op == "and") is true:
                total = 1
                for part in known:
                    total *= len(part)
                if total > _MOST_ROWS:
                    return None
                found = [tuple(one for row in choice for one in row) for choice in product(*known)]
            else:
                found = [row for part in known for row in part]
            return found if len(found) <= _MOST_ROWS else None
        case _:
            return [(Condition(expr, true),)]


def contradiction(expr: Expr | None, around: Surroundings) -> Contradiction | None:
    """Say why a test can never be true; None if it may be."""
    ways = rows(expr)
    if expr is None or ways is None:
        return None
    causes = []
    for row in ways:
        cause = _row(row, around)
        if cause is None:
            return None
        causes.append(cause)
    return causes[0]


def _row(row: Sequence[Condition], around: Surroundings) -> Contradiction | None:
    by_name: dict[str, tuple[Ref, list[Condition]]] = {}
    seen: dict[str, Condition] = {}
    for condition in row:
        fixed = _constant(condition)
        if fixed is not None:
            return fixed
        key = written(condition.expr)
        other = seen.setdefault(key, condition)
        if other.true is not condition.true and not _draws(condition.expr):
            return Contradiction(f"`{other}` and `{condition}` are never both true", condition.expr.where)
        if (ref := _subject(condition.expr)) is not None:
            by_name.setdefault(written(ref), (ref, []))[1].append(condition)
    for ref, conditions in by_name.values():
        cause = _of_one_name(ref, conditions, around)
        if cause is not None:
            return cause
    return None


def _draws(expr: Expr) -> bool:
    return any(isinstance(one, Call) and one.function == "random" for one in _walk(expr))


def _constant(condition: Condition) -> Contradiction | None:
    """Find a comparison that is false whatever is looked at."""
    expr = condition.expr
    if not isinstance(expr, Binary) or _draws(expr):
        return None
    left, right, op = expr.left, expr.right, expr.op
    value: bool | None = None
    if isinstance(left, Literal_) and isinstance(right, Literal_):
        value = _compare(op, left.value, right.value) if not expr.serial else None
    elif op in ("!=", "<", ">") and written(left) == written(right):
        value = False
    if value is None or value is condition.true:
        return None
    return Contradiction(f"`{condition}` is never true", expr.where)


# --- one name --------------------------------------------------------------------------------------------------------


def _subject(expr: Expr) -> Ref | None:
    """Give the name that a condition is about, if all else in it is fixed."""
    match expr:
        case Ref():
            return expr
        case Binary(left=Ref() as ref, right=Literal_() | Absent()):
            return ref
        case Binary(left=Literal_() | Absent(), right=Ref() as ref, op=op) if op in ("==", "!=", "<", "<=", ">", ">="):
            return ref
        case In(operand=Ref() as ref, items=items) if all(isinstance(item, Literal_) for item in items):
            return ref
        case Range(operand=Ref() as ref, low=Literal_(), high=Literal_()):
            return ref
        case _:
            return None


def _of_one_name(ref: Ref, conditions: Sequence[Condition], around: Surroundings) -> Contradiction | None:
    """Say why no value of a name fits all conditions on it; None if one does, or nobody can tell."""
    there, missing = _presence(ref, around)
    if missing and all(_absent_fits(one) for one in conditions):
        return None
    if there and _some_value(ref, conditions, around):
        return None
    shown = written(ref)
    last = conditions[-1].expr.where
    if not there:
        wrong = next(one for one in conditions if not _absent_fits(one))
        return Contradiction(f"there is no `{shown}` here, so `{wrong}` is never true", wrong.expr.where)
    for one in conditions:
        if not _some_value(ref, [one], around) and not (missing and _absent_fits(one)):
            return Contradiction(f"`{one}` is never true{_range_of(ref, around)}", one.expr.where)
    distinct = list(dict.fromkeys(f"`{one}`" for one in conditions))
    how = "both" if len(distinct) == 2 else "all"
    return Contradiction(f"{' and '.join(distinct)} are never {how} true", last)


def _presence(ref: Ref, around: Surroundings) -> tuple[bool, bool]:
    """Tell whether a name may have a value, and whether it may have none."""
    if ref.scope != "pdu" or around.opcode is None:
        return True, True
    if "." in ref.path or ref.path in ("AHS", "sense", "CDB", "data", "pad"):
        return True, True
    if ref.path == "length":
        return True, False
    there = ref.path in fields_of(around.opcode)
    return there, not there


def _absent_fits(condition: Condition) -> bool:
    """Tell whether a condition holds of a name that has no value."""
    match condition.expr:
        case Binary(op=op, left=Absent()) | Binary(op=op, right=Absent()):
            holds = op == "=="
        case Binary(op="!="):
            holds = True
        case _:
            holds = False
    return holds is condition.true


def _some_value(ref: Ref, conditions: Sequence[Condition], around: Surroundings) -> bool:
    """Tell whether some value that is there may fit all conditions."""
    settled = (around.settled or {}).get(ref.path) if ref.scope == "key" else None
    only = around.known.get(written(ref))
    if ref.kind in _INTEGER:
        ranges = _domain(ref, around)
        if only is not None:
            ranges = _both(ranges, [(value, value) for value in only if isinstance(value, int)])
        if settled is not None and settled.isdigit():
            ranges = _both(ranges, [(int(settled), int(settled))])
        serial = []
        for one in conditions:
            if isinstance(one.expr, Binary | Range) and one.expr.serial and _ordered(one.expr):
                serial.append(one)  # these have no ends: they only tell among a few
                continue
            held = _ranges_of(one.expr, ref.kind)
            if held is not None:
                ranges = _both(ranges, held if one.true else _others(held))
        return bool(ranges)
    candidates: set[Any] | None = None if settled is None else {settled}
    candidates = candidates if only is None else set(only)
    for one in conditions:
        given = _equals(one)
        if given is not None:
            candidates = given if candidates is None else candidates & given
    if candidates is None:
        return not any(_only_absent(one) for one in conditions)
    return any(all(_fits(one, value) for one in conditions) for value in candidates)


def _ordered(expr: Binary | Range) -> bool:
    return isinstance(expr, Range) or expr.op in ("<", "<=", ">", ">=")


def _only_absent(condition: Condition) -> bool:
    """Tell whether a condition asks for a name to have no value."""
    match condition.expr:
        case Binary(op=op, left=Absent()) | Binary(op=op, right=Absent()):
            return (op == "==") is condition.true
        case _:
            return False


def _domain(ref: Ref, around: Surroundings) -> _Ranges:
    low, high = _bounds(ref, around)
    return [(low, high)]


def _bounds(ref: Ref, around: Surroundings) -> tuple[int, int]:
    """Give the smallest and the largest value that a name may have."""
    path, known = ref.path, None
    if ref.scope in ("pdu", "task"):
        if ref.kind is _K.FLAG:
            return 0, 1
        if path == "length":
            return 0, (1 << 24) - 1
        if path.startswith("BHS."):
            return 0, 0xFF
        opcode = around.opcode if ref.scope == "pdu" else int(Opcode.SCSI_COMMAND)
        field = None if opcode is None else fields_of(opcode).get(path)
        if field is not None and field.kind is not FieldKind.BYTES:
            return 0, field.maximum
        known = TASK_NAMES.get(path) if ref.scope == "task" else None
    elif ref.scope == "key":
        key = KEYS.get(path)
        if key is not None and key.low is not None and key.high is not None:
            return key.low, key.high
    elif ref.scope in ("conn", "session"):
        known = STATE.get(f"{ref.scope}.{path}")
    return 0, _TOP if known is None or known.maximum is None else known.maximum


def _range_of(ref: Ref, around: Surroundings) -> str:
    """Say which values a name has, where that is what makes the contradiction clear."""
    if ref.scope == "key" and (value := (around.settled or {}).get(ref.path)) is not None:
        return f": `negotiate` makes it {value}"
    only = around.known.get(written(ref))
    if only == frozenset({0}):
        return f": `{written(ref)}` is 0"
    if only is not None:
        return f": a {label_of(around.opcode or 0)} comes when `{written(ref)}` is full-feature"
    if ref.kind not in _INTEGER or ref.kind is _K.FLAG:
        return ""
    low, high = _bounds(ref, around)
    if high >= 1 << 48:
        return ""
    text = value_text(high, ref.kind, words_of(ref, frozenset())) if ref.kind is not _K.TAG else f"{high:#x}"
    return f": `{written(ref)}` is {low} to {text}"


def _value(literal: Expr, kind: ValueKind) -> int | None:
    if not isinstance(literal, Literal_) or not isinstance(literal.value, int | float):
        return None
    return round(literal.value * _MICRO) if kind is _K.DURATION else int(literal.value)


_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _ranges_of(expr: Expr, kind: ValueKind) -> _Ranges | None:
    """Give the values for which a condition on a number holds; None if that cannot be said."""
    match expr:
        case Ref():
            return [(1, 1)]
        case Binary(op=op, left=left, right=right):
            if isinstance(left, Absent) or isinstance(right, Absent):
                return [] if op == "==" else [(0, _TOP)]
            if isinstance(left, Literal_):
                left, right, op = right, left, _MIRRORED.get(op, op)
            value = _value(right, kind)
            if value is None:
                return None
            return {
                "==": [(value, value)],
                "!=": _others([(value, value)]),
                "<": [(0, value - 1)] if value > 0 else [],
                "<=": [(0, value)],
                ">": [(value + 1, _TOP)],
                ">=": [(value, _TOP)],
            }.get(op)
        case In(items=items):
            values = [_value(item, kind) for item in items]
            return None if None in values else sorted((value, value) for value in values if value is not None)
        case Range(low=low, high=high):
            least, most = _value(low, kind), _value(high, kind)
            if least is None or most is None:
                return None
            return [(least, most)] if least <= most else []
        case _:
            return None


def _both(one: _Ranges, other: _Ranges) -> _Ranges:
    found = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return [(low, high) for low, high in found if low <= high]


def _others(ranges: _Ranges) -> _Ranges:
    """Give what is in none of the ranges."""
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return [*found, (start, _TOP)] if start <= _TOP else found


# --- texts, bytes and sense ------------------------------------------------------------------------------------------

_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "contains": lambda a, b: b in a,
    "startswith": lambda a, b: a.startswith(b),
    "like": fnmatchcase,
}


def _compare(op: str, left: Any, right: Any) -> bool | None:
    try:
        return _TESTS[op](left, right)
    except (KeyError, TypeError, AttributeError):
        return None


def _equals(condition: Condition) -> set[Any] | None:
    """Give the few values that a condition asks for, or None."""
    if not condition.true:
        return None
    match condition.expr:
        case (
            Binary(op="==", left=Ref(), right=Literal_(value=value))
            | Binary(op="==", left=Literal_(value=value), right=Ref())
        ):
            return {value}
        case In(items=items):
            return {item.value for item in items if isinstance(item, Literal_)}
        case _:
            return None


def _fits(condition: Condition, value: Any) -> bool:
    """Tell whether a value may fulfil a condition."""
    holds: bool | None = None
    match condition.expr:
        case Binary(op=op, left=Absent()) | Binary(op=op, right=Absent()):
            holds = op == "!="
        case Binary(op=op, left=Ref(), right=Literal_(value=other)):
            holds = _compare(op, value, other)
        case Binary(op=op, left=Literal_(value=other), right=Ref()):
            holds = _compare(op, other, value)
        case In(items=items):
            holds = any(isinstance(item, Literal_) and item.value == value for item in items)
        case _:
            pass
    return holds is None or holds is condition.true


# --- names -----------------------------------------------------------------------------------------------------------


def _walk(expr: Expr) -> Iterator[Expr]:
    yield expr
    match expr:
        case Unary() | Not():
            yield from _walk(expr.operand)
        case Binary():
            yield from _walk(expr.left)
            yield from _walk(expr.right)
        case In():
            for one in (expr.operand, *expr.items):
                yield from _walk(one)
        case Range():
            for one in (expr.operand, expr.low, expr.high):
                yield from _walk(one)
        case Call():
            for one in expr.arguments:
                yield from _walk(one)
        case Logic():
            for one in expr.operands:
                yield from _walk(one)
        case _:
            pass


def refs_in(expr: Expr | None) -> Iterator[Ref]:
    """Give every name in an expression."""
    if expr is not None:
        yield from (one for one in _walk(expr) if isinstance(one, Ref))


def names_in(expr: Expr | None) -> frozenset[str]:
    """Give the captures that an expression speaks of."""
    return frozenset(ref.capture for ref in refs_in(expr) if ref.scope == "capture")
