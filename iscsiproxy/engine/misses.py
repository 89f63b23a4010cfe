"""Why a pattern does not mean what is looked at: the first thing that is not so, with the values on both sides.

A pattern is tried in the order in which it is written: what it is, where it was seen, who sent it, what it belongs to,
what its test says. A test that is a row joined by `and` is tried condition by condition, each compiled on its own, so
that the ones that fail can be told from those that hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from iscsiproxy.engine.captures import belongs
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.match import Matcher, captures_in
from iscsiproxy.engine.values import Fn, compile_expr
from iscsiproxy.language.possible import refs_in
from iscsiproxy.language.spec import Absent, Binary, Call, Expr, Literal_, Logic, Pattern, Picks, ValueKind
from iscsiproxy.language.vocabulary import TEXT_PDUS
from iscsiproxy.language.written import value_text, words_of, written
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.secrecy import SECRET_KEYS

__all__ = ["Clause", "Conditions", "Miss", "Near", "conditions_of", "diagnose", "picks_text", "seen_by"]

Stage = Literal["kind", "from", "of", "names", "where", "picks"]
#: The farther down, the nearer the miss.
_STAGES: Final[tuple[Stage, ...]] = ("kind", "from", "of", "names", "where", "picks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One thing that was not so: as it was written, and what was found instead."""

    text: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Something that was seen and did not match.

    `n` is its event, `line` its line in the journal (0: none); `passed` of `total` conditions of its test were true.
    """

    n: int
    line: int
    at: float
    conn: int
    label: str
    stage: Stage
    clauses: tuple[Clause, ...]
    passed: int = 0
    total: int = 0
    distance: float = float("inf")  #: how far the first number that was wrong is from a right one

    @property
    def rank(self) -> tuple[float, ...]:
        """Sort by this: the nearest first."""
        wanting = 1 - self.passed / self.total if self.total else 0.0
        return (-_STAGES.index(self.stage), wanting, self.distance)


def seen_by(matcher: Matcher, look: Look) -> bool:
    """Tell whether a look is at something of the kind that a pattern is about, on the leg where it is watched."""
    pattern = matcher.pattern
    if look.pdu is None:
        return look.event in matcher.events and pattern.leg in (None, look.leg)
    if look.pdu.opcode not in matcher.opcodes:
        return False
    return look.leg is pattern.leg or (pattern.leg is None and look.arrival)


@dataclass(frozen=True, slots=True)
class Near:
    """How near something came, before any words are made of it: small enough to be made for every PDU."""

    stage: Stage
    failed: tuple[Expr, ...] = ()
    clauses: tuple[Clause, ...] = ()
    total: int = 0
    distance: float = float("inf")

    @property
    def rank(self) -> tuple[float, ...]:
        """Sort by this: the nearest first."""
        return (-_STAGES.index(self.stage), len(self.failed) / self.total if self.total else 0.0, self.distance)

    def told(self, look: Look, line: int = 0) -> Miss:
        """Put it into words, with the values there are now."""
        clauses = self.clauses or tuple(_clause(condition, look) for condition in self.failed)
        return Miss(
            n=look.n or 0,
            line=line,
            at=look.at,
            conn=look.conn,
            label=summary(_whole(look.pdu)) if look.pdu is not None else look.event,
            stage=self.stage,
            clauses=clauses,
            passed=self.total - len(self.failed),
            total=self.total,
            distance=self.distance,
        )


def _whole(pdu: Pdu) -> Pdu:
    """Fill up data that nobody has kept, as of a journal, so that its length is told right."""
    length = pdu["DataSegmentLength"]
    return pdu if len(pdu.data) == length else Pdu(pdu.bhs, pdu.ahs, b"", bytes(length))


Conditions = tuple[tuple[Expr, Fn], ...]


def conditions_of(pattern: Pattern) -> Conditions:
    """Take the test of a pattern apart, each of its conditions compiled on its own."""
    if pattern.where is None:
        return ()
    return tuple((condition, compile_expr(condition)) for condition in _conditions(pattern.where))


def diagnose(pattern: Pattern, conditions: Conditions, look: Look) -> Near:
    """Say why a pattern does not match what it has seen; `conditions` are those of its test."""
    sender = look.pdu.sender if look.pdu is not None else look.leg
    if look.by_proxy and pattern.sender != "proxy":
        return Near("from", clauses=(Clause(text="what a peer has sent", found="the proxy did it"),))
    if pattern.sender is not None and pattern.sender not in ("victim", sender.value) and not look.by_proxy:
        return Near("from", clauses=(Clause(text=f"from {pattern.sender}", found=f"it is from the {sender}"),))
    if pattern.of is not None:
        captured = look.captures.get(pattern.of)
        if captured is None:
            return Near("of", clauses=(Clause(text=f"of {pattern.of}", found=f"`{pattern.of}` is not bound"),))
        if not any(belongs(look, one) for one in captured.members):
            return Near("of", clauses=(Clause(text=f"of {pattern.of}", found=_stranger(look, pattern.of)),))
    lacking = {name for condition, _ in conditions for name in captures_in(condition)} - look.captures.keys()
    if lacking:
        return Near("names", clauses=tuple(Clause(text=one, found="it is not bound") for one in sorted(lacking)))
    failed = tuple(condition for condition, holds in conditions if not holds(look))
    if failed:
        return Near("where", failed, total=len(conditions), distance=_distance(failed[0], look))
    return Near("kind", clauses=(Clause(text=" or ".join(item.name for item in pattern.items), found=_other(look)),))


def _other(look: Look) -> str:
    """Say what something is that is no status, or no escalation of the victim."""
    return "it advances no StatSN" if look.pdu is not None else "the victim did not do it"


def _stranger(look: Look, name: str) -> str:
    """Say what tells a PDU from those that belong to a capture."""
    captured = look.captures[name]
    if captured.superseded:
        return f"the tag of `{name}` has gone to another task since"
    own = look.pdu.get("ITT") if look.pdu is not None else None
    other = captured.pdu.get("ITT") if captured.pdu is not None else None
    if own is None or other is None:
        return f"it is on connection {look.conn}, `{name}` on {captured.look.conn}"
    if own == other:
        return f"it has the tag of `{name}`, and is not of its kind or session"
    return f"its ITT is {value_text(own, ValueKind.TAG)}, that of `{name}` {value_text(other, ValueKind.TAG)}"


# --- tests -----------------------------------------------------------------------------------------------------------


def _conditions(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, Logic) and expr.op == "and":
        for operand in expr.operands:
            yield from _conditions(operand)
    else:
        yield expr


def _clause(expr: Expr, look: Look) -> Clause:
    """Say what the values in a condition are."""
    opcodes = frozenset({look.pdu.opcode}) if look.pdu is not None else frozenset[int]()
    sides: tuple[Expr, ...] = (expr.left, expr.right) if isinstance(expr, Binary) else ()
    if not any(isinstance(side, Logic) for side in sides) and sides:
        values = [side for side in sides if not isinstance(side, Literal_ | Absent)]
    else:
        values = list(refs_in(expr))
    words = (words_of(side, opcodes) for side in (*sides, *values))
    named: Mapping[int, str] = next((one for one in words if one), {})
    found = dict.fromkeys(f"{written(value, opcodes)} is {_value(value, look, named)}" for value in values)
    if isinstance(expr, Call):
        return Clause(text=written(expr, opcodes), found="it is another one")
    return Clause(text=written(expr, opcodes), found=", ".join(found) or "it is false")


def _value(expr: Expr, look: Look, words: Mapping[int, str]) -> str:
    if _secret(expr, look):
        return "not shown"
    value = compile_expr(expr)(look)
    return value_text(value, expr.kind, words)


def _secret(expr: Expr, look: Look) -> bool:
    """Tell whether a value may hold the proof of a secret (RFC 7143 12.1.3)."""
    for ref in refs_in(expr):
        key = ref.path.partition(".")[2]
        if ref.path.startswith("text.") and key in SECRET_KEYS:
            return True
        if ref.path == "data" and (ref.scope == "capture" or (look.pdu is not None and look.pdu.opcode in TEXT_PDUS)):
            return True
    return False


def picks_text(picks: Picks) -> str:
    """Write picks as they are written in a pattern."""
    nth = (
        "" if picks.nth is None else f"nth {picks.nth[0]}{'' if picks.nth[0] == picks.nth[1] else f'..{picks.nth[1]}'}"
    )
    parts = [
        f"after {picks.after}" if picks.after else "",
        nth,
        f"every {picks.every}" if picks.every is not None else "",
        f"mask {''.join('01'[bit] for bit in picks.mask)}" if picks.mask else "",
        f"chance {picks.chance * 100:g}%" if picks.chance is not None else "",
        f"times {picks.times}" if picks.times is not None else "",
        f"per {picks.per}" if picks.per != "run" else "",
    ]
    return " ".join(part for part in parts if part)


def _distance(expr: Expr, look: Look) -> float:
    """Tell how far the two sides of a comparison are apart: numbers by their difference, texts by where they differ."""
    if not isinstance(expr, Binary) or expr.left.kind in (ValueKind.TAG, ValueKind.CODE):
        return float("inf")
    left, right = compile_expr(expr.left)(look), compile_expr(expr.right)(look)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return float(abs(left - right))
    if isinstance(left, str) and isinstance(right, str):
        same = next((at for at, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), len(right))
        return float(max(len(left), len(right)) - same)
    return float("inf")
