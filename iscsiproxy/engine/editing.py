"""Texts that are edited while they pass, in one PDU or in several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.work import ActError
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["TEXT", "Editor", "Editors", "Strainer", "appended", "filling", "fitted", "limit_of", "shown"]

#: The PDUs that carry text.
TEXT = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})
#: During login the default MaxRecvDataSegmentLength holds (RFC 7143 6.3, 13.12).
_LOGIN_LIMIT = 8192
#: What a data segment holds (RFC 7143 11.2.1.6)
_MOST = (1 << 24) - 1
#: The longest value of a key for which the standard says nothing else (RFC 7143 6.1)
_LONGEST_VALUE = 255
#: What is left for the last key that fills a text: its name, and a little more
_ROOM = 32
#: How many bytes of those behind the keys are shown
_SHOWN = 16


@dataclass(slots=True)
class Strainer:
    """Takes the pairs of some keys out of a text that comes in pieces, and puts what `instead` gives in their place.

    A text may be cut inside a pair (C bit, RFC 7143 6.2). Only the beginning of a key that may turn out to be one of
    them waits for its end, and one of them for its own end; all else passes where it came, byte for byte. `instead`
    takes key and value, and gives a pair without its NUL or None for nothing.
    """

    keys: Collection[str]
    instead: Callable[[str, str], str | None]
    carried: bytes = b""  #: the beginning of a key that may be one of them
    inside: Literal["", "kept", "taken"] = ""  #: what is done with a pair that was cut
    taken: bytes = b""  #: what has come of a pair that is being taken out

    def strain(self, data: bytes, *, more: bool) -> bytes:
        """Take the next piece; `more` is its C bit. Give what goes on of the text."""
        written = bytearray()
        text, self.carried = self.carried + data, b""
        while text:
            pair, nul, text = text.partition(b"\0")
            if not self.inside:
                key, equals, _ = pair.partition(b"=")
                if more and not nul and not equals and any(one.encode().startswith(key) for one in self.keys):
                    self.carried = pair
                    break
                self.inside = "taken" if key.decode("utf-8", "replace") in self.keys else "kept"
                self.taken = b""
            if self.inside == "kept":
                written += pair + nul
                self.inside = "" if nul else "kept"
            else:
                self.taken += pair
                if nul:
                    written += self._replaced(nul)
        if not more:
            if self.inside == "taken":
                written += self._replaced(b"")  # a last pair may come without its NUL
            self.inside = ""
        return bytes(written)

    def _replaced(self, nul: bytes) -> bytes:
        key, _, value = self.taken.decode("utf-8", "surrogateescape").partition("=")
        self.inside = ""
        pair = self.instead(key, value)
        return b"" if pair is None else pair.encode("utf-8", "surrogateescape") + nul

    def give_back(self) -> bytes:
        """Give what waits for its end, and forget it: it is not to be taken out after all."""
        held = self.taken if self.inside == "taken" else self.carried
        self.carried, self.inside = b"", "kept" if self.inside else ""
        return held

    def back_to(self, before: Strainer) -> None:
        """Make things as they were."""
        self.carried, self.inside, self.taken = before.carried, before.inside, before.taken


def appended(data: bytes, pairs: Iterable[str]) -> bytes:
    """Give a text with pairs at its end; a last pair may have come without its NUL."""
    for pair in pairs:
        ended = not data or data.endswith(b"\0")
        data += (b"" if ended else b"\0") + pair.encode("utf-8", "surrogateescape") + b"\0"
    return data


def shown(value: str) -> str:
    """Give a value as people, and the journal, can have it: what is not UTF-8 in it is replaced."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def fitted(pdu: Pdu, data: bytes, limit: int) -> Pdu:
    """Give the PDU with another text. Raises ActError if that is longer than `limit` bytes."""
    if len(data) > limit:
        raise ActError(f"the text gets {len(data)} bytes long, the receiver takes {limit}")
    return pdu if data == pdu.data else pdu.with_data(data)


def filling(length: int) -> list[str]:
    """Make private keys that are so many bytes of text, each with its NUL (RFC 7143 6.1: no value is longer than 255).

    Raises ActError for a length that no key has.
    """
    pairs: list[str] = []
    while length:
        name = f"X-pad.example.{len(pairs) + 1}="
        value = min(length - len(name) - 1, _LONGEST_VALUE)
        left = length - len(name) - 1 - value
        if 0 < left < _ROOM:
            value -= _ROOM
        if value < 1:
            raise ActError(f"fill: {length} bytes are missing, and a key takes at least {len(name) + 2}")
        pairs.append(name + "x" * value)
        length -= len(name) + 1 + value
    return pairs


class Editor:
    """The editing of one text, which may go on in further PDUs; a PDU never gets longer by more than a key's name.

    At the end of the text come the pairs of `add`, keys that fill it up to `fill` bytes, and the bytes of `append`.
    With `long` it may be longer than its receiver takes.
    """

    def __init__(
        self,
        rule: str,
        add: tuple[str, ...],
        remove: tuple[str, ...],
        raw: bytes | None,
        *,
        append: bytes = b"",
        fill: int | None = None,
        long: bool = False,
    ) -> None:
        self.rule = rule
        self._add = add
        self._raw = raw
        self._append = append
        self._fill = fill
        self._long = long
        self._written = 0  # bytes of the text in the PDUs before
        self._strainer = Strainer(remove, self._out)
        self._changes: list[Change] = []

    def __repr__(self) -> str:
        return f"<Editor of {self.rule} {self._strainer.inside or 'between pairs'}>"

    def apply(self, pdu: Pdu, limit: int) -> tuple[Pdu, list[Change]]:
        """Edit the part of the text that is in this PDU. Raises ActError if it gets longer than `limit` bytes."""
        more = bool(pdu["C"])
        before, raw, changes = replace(self._strainer), self._raw, list[Change]()
        self._changes = changes
        if raw is not None:
            data, self._raw = raw, b""
            changes.append(Change(what="text", old=f"{len(pdu.data)} bytes", new=f"{len(data)} bytes"))
        else:
            data = self._strainer.strain(pdu.data, more=more) if self._strainer.keys else pdu.data
        try:
            if not more:
                data = self._end(data)
            edited = fitted(pdu, data, _MOST if self._long else limit)
        except ActError:
            self._strainer.back_to(before)
            self._raw = raw
            raise
        self._written += len(data)
        return edited, changes

    def _end(self, data: bytes) -> bytes:
        """Give the last part of the text with all that comes at its end."""
        for pair in self._add:
            key, _, value = pair.partition("=")
            self._changes.append(Change(what=f"text.{key}", old="absent", new=value))
        data = appended(data, self._add)
        if self._fill is not None:
            data = self._filled(data, self._fill - len(self._append) - self._written)
        if self._append:
            shown = f"0x{self._append[:_SHOWN].hex()}{'…' if len(self._append) > _SHOWN else ''}"
            new = f"{len(data) + len(self._append)} bytes, the last {len(self._append)} {shown}"
            self._changes.append(Change(what="text", old=f"{len(data)} bytes", new=new))
        return data + self._append

    def _filled(self, data: bytes, to: int) -> bytes:
        if len(data) > to:
            raise ActError(f"fill is too little by {len(data) - to} bytes: the text has more without it")
        if to > _MOST:
            raise ActError(f"fill: a PDU holds {_MOST} bytes")
        if data and to > len(data) and not data.endswith(b"\0"):
            data += b"\0"  # a last pair may have come without
        pairs = filling(to - len(data))
        if pairs:
            new = f"{len(pairs)} keys, {to - len(data)} bytes"
            self._changes.append(Change(what="text.X-pad.example", old="absent", new=new))
        return appended(data, pairs)

    def give_up(self, pdu: Pdu) -> Pdu:
        """Give the PDU as it would be without any editing: with what was kept back for it, and no half of a pair."""
        data = pdu.data
        if self._strainer.inside == "taken":
            data = data.partition(b"\0")[2]
            self._strainer.give_back()
        data = self._strainer.give_back() + data
        return pdu if data == pdu.data else pdu.with_data(data)

    def _out(self, key: str, value: str) -> None:
        self._changes.append(Change(what=f"text.{key}", old=shown(value), new="removed"))


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
