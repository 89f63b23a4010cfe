"""`text`: add and remove keys of a login or text negotiation, across PDUs."""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.engine.firing import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import split_pairs

__all__ = ["SPEC", "Editor", "run"]

SPEC = ActSpec(
    name="text",
    help="edit the keys of a text, also where it goes on in further PDUs",
    params=(
        Param(name="add", kind=ParamKind.TEXTS, help="KEY=VALUE pairs to put at its end; a key may be there already"),
        Param(name="remove", kind=ParamKind.KEYS, help="keys to take out, wherever they are"),
        Param(name="raw", kind=ParamKind.BYTES, help="these bytes instead of the text"),
    ),
    on=frozenset(
        {Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE},
    ),
    changes=True,
)


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
            return self._fitted(pdu, data, limit), [
                Change(what="text", old=f"{len(pdu.data)} bytes", new=f"{len(data)} bytes")
            ]
        changes: list[Change] = []
        pairs, tail = split_pairs(self.carried + pdu.data)
        self.carried = b""
        if pdu["C"] and tail:
            self.carried, tail = tail, b""
        written = []
        for pair in pairs:
            key, _, value = pair.decode("utf-8", "replace").partition("=")
            if key in self.remove:
                changes.append(Change(what=f"text.{key}", old=value, new="removed"))
            else:
                written.append(pair)
        if not pdu["C"]:
            for text in self.add:
                key, _, value = text.partition("=")
                changes.append(Change(what=f"text.{key}", old="absent", new=value))
                written.append(text.encode("utf-8", "surrogateescape"))
        data = b"".join(pair + b"\0" for pair in written) + tail
        return self._fitted(pdu, data, limit), changes

    @staticmethod
    def _fitted(pdu: Pdu, data: bytes, limit: int) -> Pdu:
        if len(data) > limit:
            raise ActError(f"the text gets {len(data)} bytes long, the receiver takes {limit}")
        return pdu if data == pdu.data else pdu.with_data(data)


def run(act: Built, work: Work) -> Pause | None:
    """Edit what is in hand, and see that what follows of the same text is edited too."""
    hand = work.need_hand()
    add = tuple(item if isinstance(item, str) else str(work.value(item, "add")) for item in act.params["add"] or ())
    editor = Editor(work.rule.name, add, tuple(act.params["remove"] or ()), act.params["raw"])
    pdu, changes = editor.apply(hand.pdu, work.host.text_limit(hand.look))
    if pdu["C"]:
        work.host.edit(hand.look, editor)
    hand.change(pdu, changes, work.rule.name)
    work.fired(act.act, "edited" if changes else "nothing to edit", changes)
    return None
