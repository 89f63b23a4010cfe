"""Checked expressions written again as text, and their values as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

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
from iscsiproxy.language.vocabulary import TASK_NAMES, shared_field
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["value_text", "words_of", "written"]

_K = ValueKind
_NO_WORDS: Final[Mapping[int, str]] = {}
_COMMAND: Final = frozenset({int(Opcode.SCSI_COMMAND)})
#: How tightly what is written holds together, loosest first.
_OR, _AND, _NOT, _TEST, _SUM, _PRODUCT, _UNARY = range(7)
#: The longest run of bytes, and the longest text, that is shown
_SHOWN: Final = 16
_SHOWN_TEXT: Final = 60


def words_of(expr: Expr, opcodes: frozenset[int]) -> Mapping[int, str]:
    """Give the names of the codes that an expression may be; `opcodes` are those of the PDU in hand."""
    if not isinstance(expr, Ref) or expr.kind is not _K.CODE:
        return _NO_WORDS
    if expr.scope == "task" and expr.path in TASK_NAMES:
        words = TASK_NAMES[expr.path].words
    else:
        shared = shared_field(_COMMAND if expr.scope == "task" else opcodes, expr.path)
        words = {} if shared is None or expr.scope not in ("pdu", "task") else shared.type.words
    return {value: word for word, value in words.items() if isinstance(value, int)}


def value_text(value: Any, kind: ValueKind, words: Mapping[int, str] = _NO_WORDS) -> str:
    """Write a value; None is `absent`."""
    if value is None:
        return "absent"
    match kind:
        case _K.CODE:
            return words.get(value, str(value))
        case _K.TAG:
            return "none" if value == NO_TAG else f"{value:#x}"
        case _K.DURATION:
            return f"{round(value * 1000)}ms" if abs(value) < 1 else f"{value:g}s"
        case _K.SENSE:
            key, asc, ascq = value
            return f"{key:X}/{asc:02X}/{ascq:02X}"
        case _K.BYTES:
            shown = f"0x{value[:_SHOWN].hex()}{'…' if len(value) > _SHOWN else ''}"
            return shown if len(value) <= _SHOWN else f"{shown} ({len(value)} bytes)"
        case _K.TEXT:
            return f'"{value[:_SHOWN_TEXT]}{"…" if len(value) > _SHOWN_TEXT else ""}"'
        case _K.TRUTH:
            return "true" if value else "false"
        case _K.PRESENCE:
            return "there"
        case _:
            return str(value)


def written(expr: Expr, opcodes: frozenset[int] = frozenset()) -> str:
    """Write an expression; `opcodes` are those of the PDU in hand, for the names of codes."""
    return _Writer(opcodes).write(expr, _OR)


class _Writer:
    def __init__(self, opcodes: frozenset[int]) -> None:
        self._opcodes = opcodes

    def write(self, expr: Expr, at_least: int, beside: Expr | None = None) -> str:
        """Write an expression where it has to hold together so tightly; `beside` is what it is compared with."""
        text, tightness = self._written(expr, beside)
        return text if tightness >= at_least else f"({text})"

    def _written(self, expr: Expr, beside: Expr | None) -> tuple[str, int]:
        match expr:
            case Literal_():
                return self._literal(expr, beside), _UNARY
            case Absent():
                return "none" if expr.kind is _K.TAG else "absent", _UNARY
            case Ref():
                return _name(expr), _UNARY
            case Unary():
                return f"-{self.write(expr.operand, _UNARY)}", _UNARY
            case Binary(op=op) if op in ("+", "-"):
                return f"{self.write(expr.left, _SUM)} {op} {self.write(expr.right, _PRODUCT)}", _SUM
            case Binary(op=op) if op in ("*", "/", "%", "&"):
                return f"{self.write(expr.left, _PRODUCT)} {op} {self.write(expr.right, _UNARY)}", _PRODUCT
            case Binary():
                left = self.write(expr.left, _SUM, expr.right)
                return f"{left} {expr.op} {self.write(expr.right, _SUM, expr.left)}", _TEST
            case In():
                items = ", ".join(self.write(item, _SUM, expr.operand) for item in expr.items)
                return f"{self.write(expr.operand, _SUM)} in ({items})", _TEST
            case Range():
                low, high = (self.write(end, _SUM, expr.operand) for end in (expr.low, expr.high))
                return f"{self.write(expr.operand, _SUM)} in ({low} .. {high})", _TEST
            case Call():
                return self._call(expr), _UNARY
            case Not():
                return f"not {self.write(expr.operand, _NOT)}", _NOT
            case Logic(op=op):
                own, inner = (_AND, _NOT) if op == "and" else (_OR, _AND)
                return f" {op} ".join(self.write(operand, inner) for operand in expr.operands), own
            case _:
                assert_never(expr)

    def _literal(self, expr: Literal_, beside: Expr | None) -> str:
        words = _NO_WORDS if beside is None else words_of(beside, self._opcodes)
        if expr.kind is _K.BYTES and isinstance(expr.value, bytes):
            return f"0x{expr.value.hex()}"
        if expr.kind is _K.TEXT and isinstance(expr.value, str):
            return f'"{expr.value}"'
        return value_text(expr.value, expr.kind, words)

    def _call(self, expr: Call) -> str:
        arguments = ", ".join(self.write(argument, _OR) for argument in expr.arguments)
        return expr.function if expr.function == "fresh" else f"{expr.function}({arguments})"


def _name(ref: Ref) -> str:
    if ref.scope == "capture":
        return ".".join(part for part in (ref.capture, ref.element, ref.path) if part)
    if ref.scope in ("pdu", "event", "run", "negotiate"):
        return ref.path
    return f"{ref.scope}.{ref.path}" if ref.path else ref.scope
