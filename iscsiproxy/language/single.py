"""What one pattern says by itself: picks that let nothing through, events told of elsewhere, kinship, unknown codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iscsiproxy.language.findings import Finding, finding
from iscsiproxy.language.possible import rows
from iscsiproxy.language.spec import Binary, In, Item, Literal_, Pattern, Ref, ValueKind
from iscsiproxy.language.written import words_of
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["SCSI", "may_belong", "picks_nothing", "reserved", "wrong_way"]

#: What is of SCSI tasks
SCSI: Final = frozenset(
    {Opcode.SCSI_COMMAND, Opcode.DATA_OUT, Opcode.DATA_IN, Opcode.R2T, Opcode.SCSI_RESPONSE, Opcode.SNACK}
)
#: What shares an Initiator Task Tag (RFC 7143 4.2.5)
_FAMILIES: Final = (
    SCSI,
    frozenset({Opcode.NOP_OUT, Opcode.NOP_IN}),
    frozenset({Opcode.TMF_REQUEST, Opcode.TMF_RESPONSE}),
    frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE}),
    frozenset({Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE}),
    frozenset({Opcode.LOGOUT_REQUEST, Opcode.LOGOUT_RESPONSE}),
)
_FAMILY: Final = {int(opcode): family for family in _FAMILIES for opcode in family}
#: Events that are seen on one leg only, and come from the initiator
_INITIATORS: Final = frozenset({"connect", "full-feature"})


def picks_nothing(pattern: Pattern) -> Finding | None:
    """Find picks that let nothing through: each counts what the one before it lets through."""
    picks = pattern.picks
    if picks.nth is None:
        return None
    reach, shown = picks.nth[1] - picks.nth[0] + 1, f"nth {picks.nth[0]}"
    if picks.nth[1] != picks.nth[0]:
        shown += f"..{picks.nth[1]}"
    if picks.every is not None:
        if picks.every > reach:
            message = f"`every {picks.every}` counts what `{shown}` lets through, which is {reach}"
            return finding("picks", pattern.position, message, "write which ones with `nth` alone")
        reach //= picks.every
    if picks.mask and not any(picks.mask[index % len(picks.mask)] for index in range(min(reach, len(picks.mask)))):
        bits = "".join("1" if bit else "0" for bit in picks.mask)
        message = f"`mask {bits}` picks among what `{shown}` lets through, which is {reach}: none of them"
        return finding("picks", pattern.position, message)
    return None


def wrong_way(pattern: Pattern, item: Item) -> Finding | None:
    """Find an event that is looked for where it is never told of."""
    if item.name not in _INITIATORS:
        return None
    if pattern.sender in ("target", "proxy"):
        message = f"`{item.name}` is never from the {pattern.sender}: an initiator connects, and the proxy for it"
        return finding("direction", pattern.position, message, "leave `from` out")
    if pattern.leg is End.TARGET:
        message = f"`{item.name}` is told of the initiator's leg only"
        return finding("direction", pattern.position, message, "leave `at` out")
    return None


def may_belong(opcode: int, origin: int) -> bool:
    """Tell whether a PDU may belong to another (RFC 7143 4.2.5), by what they are."""
    if Opcode.REJECT in (opcode, origin) or opcode == Opcode.TMF_REQUEST:
        return origin != Opcode.ASYNC or opcode == Opcode.REJECT
    if Opcode.ASYNC in (opcode, origin):
        return False  # it never has an Initiator Task Tag
    family = _FAMILY.get(origin)
    return family is None or opcode not in _FAMILY or opcode in family


def reserved(pattern: Pattern) -> Iterator[Finding]:
    """Find codes that no standard has given a meaning."""
    opcodes = frozenset(opcode for item in pattern.items for opcode in item.opcodes)
    for row in rows(pattern.where) or ():
        for condition in row:
            expr = condition.expr
            pairs: list[tuple[object, object]] = []
            if isinstance(expr, Binary) and expr.op == "==":
                pairs = [(expr.left, expr.right), (expr.right, expr.left)]
            elif isinstance(expr, In):
                pairs = [(expr.operand, item) for item in expr.items]
            for ref, literal in pairs:
                if not (isinstance(ref, Ref) and isinstance(literal, Literal_) and ref.kind is ValueKind.CODE):
                    continue
                words = words_of(ref, opcodes)
                if words and isinstance(literal.value, int) and literal.value not in words:
                    message = f"no standard gives `{ref.path}` a value {literal.value:#x}"
                    yield finding("reserved", literal.where, message, warn=True)
