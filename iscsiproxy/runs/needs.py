"""What a scenario needs before it can say anything: facts about the run, and keys that a login has settled.

Facts (`profile`, `initiator.depth`, `initiator.kind`, `target.LUs`, `target.kind`) are put into the tree of the
scenario as constants, so that rules, needs and expectations mean the same by them. What a driven initiator can see to,
such as a key that a need wants at a value, it is made to offer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.values import compile_expr
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
    Scenario,
    Unary,
    ValueKind,
)

__all__ = ["Fact", "asks_login", "offers", "spelled", "unmet", "with_facts"]

Fact = int | str

_T = TypeVar("_T")


def with_facts(scenario: Scenario, facts: Mapping[str, Fact]) -> Scenario:
    """Put the facts into the scenario; one that is not known is absent."""
    return _filled(scenario, facts)


def _filled(value: _T, facts: Mapping[str, Fact]) -> _T:
    """Rebuild what holds a fact, and give everything else as it is."""
    new: Any = value
    if isinstance(value, Ref):
        if value.scope == "run":
            fact = facts.get(value.path)
            if fact is None:
                new = Absent(where=value.where)
            else:
                kind = ValueKind.NUMBER if isinstance(fact, int) else ValueKind.TEXT
                new = Literal_(value=fact, kind=kind, where=value.where)
    elif isinstance(value, tuple):
        parts = tuple(_filled(part, facts) for part in value)
        if any(one is not other for one, other in zip(parts, value, strict=True)):
            new = parts
    elif isinstance(value, Mapping):
        table = {key: _filled(part, facts) for key, part in value.items()}
        if any(table[key] is not value[key] for key in table):
            new = table
    elif is_dataclass(value) and not isinstance(value, type | Position):
        changed = {}
        for field in fields(value):
            old = getattr(value, field.name)
            part = _filled(old, facts)
            if part is not old:
                changed[field.name] = part
        if changed:
            new = replace(value, **changed)
    given: _T = new
    return given


def offers(needs: Iterable[Expr]) -> dict[str, str]:
    """Give the keys that needs want at one value, `key.KEY == "VALUE"`: what a driven initiator can offer."""
    found: dict[str, str] = {}
    for need in needs:
        for part in need.operands if isinstance(need, Logic) and need.op == "and" else (need,):
            if not isinstance(part, Binary) or part.op != "==":
                continue
            for one, other in ((part.left, part.right), (part.right, part.left)):
                if isinstance(one, Ref) and one.scope == "key" and isinstance(other, Literal_):
                    found[one.path] = str(other.value)
    return found


def asks_login(need: Expr) -> bool:
    """Tell whether a need is about what a login settles."""
    return any(isinstance(one, Ref) and one.scope != "run" for one in _walk(need))


def _walk(expr: Expr) -> Iterator[Expr]:
    yield expr
    for part in _parts(expr):
        yield from _walk(part)


def _parts(expr: Expr) -> tuple[Expr, ...]:
    match expr:
        case Binary():
            return expr.left, expr.right
        case Unary() | Not():
            return (expr.operand,)
        case In():
            return expr.operand, *expr.items
        case Range():
            return expr.operand, expr.low, expr.high
        case Call():
            return expr.arguments
        case Logic():
            return expr.operands
        case _:
            return ()


def unmet(needs: Iterable[Expr], look: Look, facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """Give each need that is not met, as it is written, and what was found instead."""
    found = []
    for need in needs:
        if not compile_expr(_filled(need, facts))(look):
            read = [
                f"{spelled(one)} is {_value(compile_expr(_filled(one, facts))(look))}"
                for one in _walk(need)
                if isinstance(one, Ref)
            ]
            found.append(f"{spelled(need)}{': ' if read else ''}{', '.join(dict.fromkeys(read))}")
    return tuple(found)


def _value(value: Any) -> str:
    return "absent" if value is None else str(value)


def spelled(expr: Expr) -> str:
    """Write an expression as the language does."""
    match expr:
        case Literal_(value=bytes() as value):
            return f"0x{value.hex()}"
        case Literal_(value=value):
            return str(value)
        case Absent():
            return "absent"
        case Ref():
            head = {"capture": expr.capture, "pdu": "", "event": "", "run": ""}.get(expr.scope, expr.scope)
            return ".".join(part for part in (head, expr.element, expr.path) if part)
        case Unary():
            return f"-{spelled(expr.operand)}"
        case Binary():
            return f"{spelled(expr.left)} {expr.op} {spelled(expr.right)}"
        case In():
            return f"{spelled(expr.operand)} in ({', '.join(map(spelled, expr.items))})"
        case Range():
            return f"{spelled(expr.operand)} in ({spelled(expr.low)} .. {spelled(expr.high)})"
        case Call():
            return f"{expr.function}({', '.join(map(spelled, expr.arguments))})"
        case Not():
            return f"not {spelled(expr.operand)}"
        case Logic():
            return f" {expr.op} ".join(map(spelled, expr.operands))
