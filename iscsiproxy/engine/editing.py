"""Texts that are edited while they pass, in one PDU or in several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.firing import ActError
from iscsiproxy.engine.hand import Hand
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import split_pairs

__all__ = ["Editor", "Editors", "limit_of"]

_TEXT = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})
#: During login the default MaxRecvDataSegmentLength holds (RFC 7143 6.3, 13.12).
_LOGIN_LIMIT = 8192


@dataclass(slots=True)
class Editor:
    """The editing of one text. A pair that straddles PDUs (C bit, RFC 7143 6.2) waits for its end."""

    rule: str
    add: tuple[str, ...]
    remove: tuple[str, ...]
    raw: bytes | None
    carried: bytes = b""

    def apply(self, pdu: Pdu, limit: int) -> tuple[Pdu, list[Change]]:
        """Edit the part of the text that is in this PDU. Raises ActError if it gets longer than `limit` bytes."""
        if self.raw is not None:
            data, self.raw = self.raw, b""
            change = Change(what="text", old=f"{len(pdu.data)} bytes", new=f"{len(data)} bytes")
            return self._fitted(pdu, data, limit), [change]
        if pdu["C"] and not self.remove:
            return pdu, []  # what is added comes at the end
        changes: list[Change] = []
        text = self.carried + pdu.data
        pairs, tail = split_pairs(text)
        if not pdu["C"] and tail:
            pairs, tail = (*pairs, tail), b""  # the last pair of the text, its NUL forgotten
        written = []
        for pair in pairs:
            key, _, value = pair.decode("utf-8", "replace").partition("=")
            if key in self.remove:
                changes.append(Change(what=f"text.{key}", old=value, new="removed"))
            else:
                written.append(pair)
        for added in self.add if not pdu["C"] else ():
            key, _, value = added.partition("=")
            changes.append(Change(what=f"text.{key}", old="absent", new=value))
            written.append(added.encode("utf-8", "surrogateescape"))
        data = b"".join(pair + b"\0" for pair in written)
        if not changes:
            data = text.removesuffix(tail)
        edited = self._fitted(pdu, data, limit)
        self.carried = tail
        return edited, changes

    def give_up(self, pdu: Pdu) -> Pdu:
        """Give the PDU as it would be without any editing, with what was kept back for it."""
        carried, self.carried = self.carried, b""
        return pdu.with_data(carried + pdu.data) if carried else pdu

    @staticmethod
    def _fitted(pdu: Pdu, data: bytes, limit: int) -> Pdu:
        if len(data) > limit:
            raise ActError(f"the text gets {len(data)} bytes long, the receiver takes {limit}")
        return pdu if data == pdu.data else pdu.with_data(data)


class Editors:
    """The texts that go on in further PDUs, by connection and leg."""

    def __init__(self) -> None:
        self._editors: dict[tuple[int, End], list[Editor]] = {}

    def __repr__(self) -> str:
        return f"<Editors of {len(self._editors)} texts>"

    def __bool__(self) -> bool:
        return bool(self._editors)

    def begin(self, look: Look, editor: Editor) -> None:
        """Go on editing the text in the PDUs that continue it."""
        self._editors.setdefault((look.conn, look.leg), []).append(editor)

    def of(self, look: Look) -> list[Editor]:
        """Give who edits the text that goes on in this PDU."""
        pdu = look.pdu
        return self._editors.get((look.conn, look.leg), []) if pdu is not None and pdu.opcode in _TEXT else []

    def go_on(self, hand: Hand) -> Iterator[tuple[Editor, str]]:
        """Edit what is in hand; tell of the editors that cannot, and why."""
        key = (hand.look.conn, hand.look.leg)
        over = not hand.pdu["C"]
        going_on = []
        for editor in self._editors.pop(key, []):
            changes: list[Change] = []
            hand.edited.add(editor.rule)
            try:
                pdu, changes = editor.apply(hand.pdu, limit_of(hand.look))
                if not over:
                    going_on.append(editor)
            except ActError as error:
                pdu = editor.give_up(hand.pdu)
                yield editor, f"text: {error}"
            if changes or pdu is not hand.pdu:
                hand.change(pdu, changes, editor.rule)
        if going_on:
            self._editors[key] = going_on

    def forget(self, conn: int, leg: End) -> None:
        """Drop the texts of a leg that has ended."""
        self._editors.pop((conn, leg), None)


def limit_of(look: Look) -> int:
    """Give how long a text may be for the receiver of this PDU (RFC 7143 13.12)."""
    pdu = look.pdu
    if pdu is None or pdu.opcode in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE):
        return _LOGIN_LIMIT
    declared = look.view.declared[look.leg.other].get("MaxRecvDataSegmentLength", "")
    try:
        return int(declared, 0)
    except ValueError:
        return _LOGIN_LIMIT
