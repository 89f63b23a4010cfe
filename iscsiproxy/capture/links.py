"""Find out which PDU received a PDU delivered was made of, in a capture of both legs of the proxy.

The bytes say so. Where numbers were translated, the rest of the bytes does, and where a comment tells of a fault, the
opcode and the task tag have to. What passes as it came has its partner at the head of the queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from iscsiproxy.wire.fields import BHS_LENGTH, FIELDS, FieldKind, fields_of
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Link", "Links"]

#: How many PDUs are remembered that were not delivered yet, and that were: dropped ones stay among the former
_WAITING, _GONE = 512, 64
#: What the proxy counts anew beside the fields that are serial numbers
_COUNTED = frozenset({"DataSN", "R2TSN", "ExpDataSN", "BegRun", "RunLength"})
_ALL = (1 << 8 * BHS_LENGTH) - 1


def _kept(opcode: int) -> int:
    """Give the bits of a header that no translation of numbers touches."""
    bits = _ALL
    for field in fields_of(opcode).values():
        if field.kind is FieldKind.SERIAL or field.name in _COUNTED:
            bits &= ~(field.mask << 8 * (BHS_LENGTH - field.offset - field.size))
    return bits


_KEPT = {int(opcode): _kept(opcode) for opcode in FIELDS}


class _Entry:
    """A PDU; hashes stand for its bytes. `rules` are those that its comments name."""

    __slots__ = ("exact", "loose", "n", "rules", "tag")

    def __init__(self, pdu: Pdu, n: int, rules: Iterable[str]) -> None:
        self.n = n
        self.rules = frozenset(rules)
        self.exact = hash(pdu.parts)
        kept = int.from_bytes(pdu.bhs, "big") & _KEPT.get(pdu.opcode, _ALL)
        self.loose = hash((kept, pdu.ahs, pdu.data))
        self.tag = (pdu.opcode, pdu["ITT"])


class Link(NamedTuple):
    """The `n` of the PDU received, None if there is none; `copy` tells that it was delivered once before."""

    of: int | None
    copy: bool = False


class Links:
    """The PDUs of one connection, received and not delivered yet, in each direction."""

    def __init__(self) -> None:
        self._waiting: dict[End, deque[_Entry]] = {end: deque(maxlen=_WAITING) for end in End}
        self._gone: dict[End, deque[_Entry]] = {end: deque(maxlen=_GONE) for end in End}

    def __repr__(self) -> str:
        return f"<Links {', '.join(f'{len(queue)} from the {end}' for end, queue in self._waiting.items())}>"

    def came(self, sender: End, pdu: Pdu, n: int, rules: Iterable[str] = ()) -> None:
        """Take note of a PDU that was received as event `n`, and which rules did something with it."""
        self._waiting[sender].append(_Entry(pdu, n, rules))

    def went(self, sender: End, pdu: Pdu, rules: Iterable[str] = (), *, touched: bool = False) -> Link:
        """Find the PDU that this one was made of.

        `touched` tells that a fault changed or repeated it; `rules` are those that did, as far as that is known.
        """
        waiting, gone, made = self._waiting[sender], self._gone[sender], _Entry(pdu, 0, rules)

        def exact(one: _Entry) -> bool:
            return one.exact == made.exact

        def loose(one: _Entry) -> bool:
            return one.loose == made.loose

        def tag(one: _Entry) -> bool:
            return one.tag == made.tag

        def rule(one: _Entry) -> bool:
            return tag(one) and not one.rules.isdisjoint(made.rules)

        found = _first(waiting, exact) or _first(waiting, loose)
        if found is None and touched:
            found = _first(gone, exact) or _first(gone, loose)
            if found is not None:
                return Link(found.n, copy=True)
            # What a rule made, it has mostly made at once.
            found = _first(reversed(waiting), rule) or _first(reversed(gone), rule) or _first(waiting, tag)
        if found is None:
            return Link(None)
        if found in waiting:
            waiting.remove(found)
            gone.append(found)
        return Link(found.n)


def _first(entries: Iterable[_Entry], alike: Callable[[_Entry], bool]) -> _Entry | None:
    return next((one for one in entries if alike(one)), None)
