"""What the header of a PDU alone rules out, so that a PDU that no rule wants costs next to nothing.

A `where` that is a row of tests joined by `and` can only be true if every test on a field and a literal is. Those tests
are done on the bytes of the header; a rule that asks for one value of a field is found by that value, whatever the
number of rules.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Generic, TypeVar

from iscsiproxy.language.spec import Binary, Expr, In, Literal_, Logic, Not, Ref, ValueKind
from iscsiproxy.wire.fields import Field, FieldKind, fields_of

__all__ = ["Sieve"]

T = TypeVar("T")
_Test = Callable[[bytes], bool]
_ORDER: dict[str, Callable[[int, int], bool]] = {
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Sieve(Generic[T]):
    """Members, each with the tests of its patterns; gives those that may match a header, in their order."""

    def __init__(self, opcode: int, members: Iterable[tuple[T, Iterable[Expr | None]]]) -> None:
        self._members: list[T] = []
        self._loose: list[tuple[int, tuple[_Test, ...]]] = []
        self._keyed: dict[Field, dict[int, list[tuple[int, tuple[_Test, ...]]]]] = {}
        for member, wheres in members:
            self._add(member, [_read(where, opcode) for where in wheres])

    def __repr__(self) -> str:
        return f"<Sieve of {len(self._members)}>"

    def __call__(self, bhs: bytes) -> list[T]:
        """Give what may match a PDU with this header."""
        hits = [at for at, tests in self._loose if all(test(bhs) for test in tests)] if self._loose else []
        for field, by_value in self._keyed.items():
            value = (int.from_bytes(bhs[field.offset : field.offset + field.size], "big") & field.mask) >> field.shift
            for at, tests in by_value.get(value, ()):
                if all(test(bhs) for test in tests):
                    hits.append(at)
        hits.sort()
        return [self._members[at] for at in hits]

    def _add(self, member: T, patterns: list[_Needs | None]) -> None:
        possible = [needs for needs in patterns if needs is not None]
        if not possible:
            return
        at = len(self._members)
        self._members.append(member)
        if len(possible) > 1:
            self._loose.append((at, ()))
            return
        equal, tests = possible[0]
        if not equal:
            self._loose.append((at, tests))
            return
        # The widest field tells most members apart.
        (field, value), *others = sorted(equal, key=lambda pair: -pair[0].mask.bit_count())
        more = tuple(partial(_is, other, wanted) for other, wanted in others)
        self._keyed.setdefault(field, {}).setdefault(value, []).append((at, (*more, *tests)))


_Needs = tuple[list[tuple[Field, int]], tuple[_Test, ...]]


def _read(where: Expr | None, opcode: int) -> _Needs | None:
    """Give what a header must have: values of fields, and tests. None: no PDU of this opcode has it."""
    equal: list[tuple[Field, int]] = []
    tests: list[_Test] = []
    for test in _conjuncts(where):
        match test:
            case Ref(scope="pdu", kind=ValueKind.FLAG):
                field, wanted = _field(test, opcode), 1
            case Not(operand=Ref(scope="pdu", kind=ValueKind.FLAG) as ref):
                field, wanted = _field(ref, opcode), 0
                if field is None:
                    continue  # a flag that is not there is not set
            case Binary(op="==", left=Ref(scope="pdu") as ref, right=Literal_(value=int() as wanted)):
                field = _field(ref, opcode)
            case Binary(op=op, left=Ref(scope="pdu") as ref, right=Literal_(value=int() as limit), serial=False) if (
                op in _ORDER and (found := _field(ref, opcode)) is not None
            ):
                tests.append(partial(_compares, found, _ORDER[op], limit))
                continue
            case In(operand=Ref(scope="pdu") as ref, items=items) if (found := _field(ref, opcode)) is not None:
                values = [item.value for item in items if isinstance(item, Literal_) and isinstance(item.value, int)]
                if len(values) == len(items):
                    tests.append(partial(_is_one_of, found, frozenset(values)))
                continue
            case _:
                continue
        if field is None:
            if _special(test):
                continue
            return None
        equal.append((field, wanted))
    return equal, tuple(tests)


def _conjuncts(expr: Expr | None) -> Iterator[Expr]:
    if isinstance(expr, Logic) and expr.op == "and":
        for operand in expr.operands:
            yield from _conjuncts(operand)
    elif expr is not None:
        yield expr


def _field(ref: Ref, opcode: int) -> Field | None:
    """Give the header field that a name stands for; a LUN is compared as a number, which its bytes are not."""
    name = "DataSegmentLength" if ref.path == "length" else ref.path
    field = fields_of(opcode).get(name)
    return None if name == "LUN" or (field is not None and field.kind is FieldKind.BYTES) else field


def _special(test: Expr) -> bool:
    """Whether a test is on something that is no header field of any PDU (`text.KEY`, `CDB.LBA`, a LUN)."""
    ref = test.left if isinstance(test, Binary) else test
    return isinstance(ref, Ref) and (
        "." in ref.path or ref.path in ("LUN", "CDB", "data", "pad", "AHS", "sense") or ref.kind is ValueKind.BYTES
    )


def _value(field: Field, bhs: bytes) -> int:
    return (int.from_bytes(bhs[field.offset : field.offset + field.size], "big") & field.mask) >> field.shift


def _is(field: Field, wanted: int, bhs: bytes) -> bool:
    return _value(field, bhs) == wanted


def _is_one_of(field: Field, wanted: frozenset[int], bhs: bytes) -> bool:
    return _value(field, bhs) in wanted


def _compares(field: Field, how: Callable[[int, int], bool], limit: int, bhs: bytes) -> bool:
    return how(_value(field, bhs), limit)
