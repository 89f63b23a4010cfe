"""Texts that are edited while they pass, in one PDU or in several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.firing import ActError
from iscsiproxy.engine.hand import Hand
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["TEXT", "Editor", "Editors", "limit_of"]

#: The PDUs that carry text.
TEXT = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})
#: During login the default MaxRecvDataSegmentLength holds (RFC 7143 6.3, 13.12).
_LOGIN_LIMIT = 8192


@dataclass(slots=True)
class Editor:
    """The editing of one text, which may go on in further PDUs and be cut inside a pair (C bit, RFC 7143 6.2).

    Only the beginning of a key that may turn out to be one to remove waits for its end, so a PDU never gets longer by
    more than that. `inside` tells of a pair that was cut whether it is kept or removed.
    """

    rule: str
    add: tuple[str, ...]
    remove: tuple[str, ...]
    raw: bytes | None
    carried: bytes = b""
    inside: Literal["", "kept", "removed"] = ""
    removed: bytes = b""  #: what has come of a pair that is being removed

    def apply(self, pdu: Pdu, limit: int) -> tuple[Pdu, list[Change]]:
        """Edit the part of the text that is in this PDU. Raises ActError if it gets longer than `limit` bytes."""
        if self.raw is not None:
            data, self.raw = self.raw, b""
            change = Change(what="text", old=f"{len(pdu.data)} bytes", new=f"{len(data)} bytes")
            return self._fitted(pdu, data, limit), [change]
        more = bool(pdu["C"])
        if more and not self.remove:
            return pdu, []  # what is added comes at the end
        before = replace(self)
        data, changes = self._without(pdu.data, more=more)
        for added in self.add if not more else ():
            key, _, value = added.partition("=")
            changes.append(Change(what=f"text.{key}", old="absent", new=value))
            ended = not data or data.endswith(b"\0")  # a last pair may have come without its NUL
            data += (b"" if ended else b"\0") + added.encode("utf-8", "surrogateescape") + b"\0"
        try:
            return self._fitted(pdu, data, limit), changes
        except ActError:
            self.carried, self.inside, self.removed = before.carried, before.inside, before.removed
            raise

    def give_up(self, pdu: Pdu) -> Pdu:
        """Give the PDU as it would be without any editing: with what was kept back for it, and no half of a pair."""
        data = self.carried + pdu.data
        if self.inside == "removed":
            data = data.partition(b"\0")[2]
        self.carried, self.inside = b"", ""
        return pdu if data == pdu.data else pdu.with_data(data)

    def _without(self, data: bytes, *, more: bool) -> tuple[bytes, list[Change]]:
        """Take keys out; give what is left and what has changed."""
        written, changes = bytearray(), list[Change]()
        text, self.carried = self.carried + data, b""
        while text:
            pair, nul, text = text.partition(b"\0")
            if not self.inside:
                key, equals, _ = pair.partition(b"=")
                if more and not nul and not equals and any(one.encode().startswith(key) for one in self.remove):
                    self.carried = pair
                    break
                self.inside = "removed" if key.decode("utf-8", "replace") in self.remove else "kept"
                self.removed = b""
            if self.inside == "kept":
                written += pair + nul
            else:
                self.removed += pair
            if nul or not more:
                if self.inside == "removed":
                    name, _, value = self.removed.decode("utf-8", "replace").partition("=")
                    changes.append(Change(what=f"text.{name}", old=value, new="removed"))
                self.inside = ""
        return bytes(written), changes

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
        return self._editors.get((look.conn, look.leg), []) if pdu is not None and pdu.opcode in TEXT else []

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

    def revoke(self, look: Look, rule: str) -> None:
        """Do not go on with what a rule has begun on this PDU: its acts are undone."""
        key = (look.conn, look.leg)
        left = [editor for editor in self._editors.pop(key, []) if editor.rule != rule]
        if left:
            self._editors[key] = left

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
