"""A PDU opened: its line, every field, text, sense, digests, data and bytes, and where its two legs differ.

All of it is what the journal keeps, which has no CHAP answer; those that are not known to have been left out are hidden
here once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from iscsiproxy.errors import ScsiError
from iscsiproxy.journal import Record
from iscsiproxy.wire.ahs import split_ahs
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.codes import LOGIN_STATUS
from iscsiproxy.wire.describe import field_text, summary
from iscsiproxy.wire.fields import BHS_LENGTH, FieldKind
from iscsiproxy.wire.opcodes import Opcode, label_of
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.reserved import RESERVED_MASKS
from iscsiproxy.wire.secrecy import SECRET_KEYS, mask_secrets
from iscsiproxy.wire.sense import sense_of_segment
from iscsiproxy.wire.text import split_pairs

__all__ = ["HIDDEN", "Byte", "Detail", "Part", "detail", "line"]

#: What stands for a value that is not shown
HIDDEN: Final = "<hidden>"
_TEXT = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})
_SENSE = frozenset({Opcode.SCSI_RESPONSE, Opcode.ASYNC})
#: How much of anything long is shown: pairs of text, and characters of one; bytes of data; hashes of blocks
_PAIRS, _PAIR = 64, 256
_BYTES, _HASHES = 64, 4
#: Of a list of keys, the first ones and the others
_KEYS = re.compile(r"(\bkeys=(?:[^ ,]+,){2}[^ ,]+),[^ ]+")
#: Bytes in a line of hexadecimal
_WIDTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One fact of a PDU. `before` is what it was when it came, where that is something else."""

    name: str
    value: str
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Byte:
    """A few bytes in hexadecimal, with a blank behind each; `changed` if they came as others."""

    text: str
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A PDU opened. `fields` are those of its header, `parts` what is behind it; `bytes_` are lines of the header.

    `renumbered` tells that it differs on the two legs though no fault touched it.
    """

    fields: tuple[Part, ...]
    text: tuple[Part, ...]
    parts: tuple[Part, ...]
    bytes_: tuple[tuple[Byte, ...], ...]
    renumbered: bool = False
    more_text: int = 0


def line(record: Record) -> str:
    """Say a PDU in one line, without its name."""
    pdu = record.pdu
    assert pdu is not None
    # A journal does not keep the data of most PDUs, and how much there was is told; a digest over it proves nothing.
    length = record.data_length
    whole = Pdu(pdu.bhs, pdu.ahs, pdu.header_digest, pdu.data if len(pdu.data) == length else bytes(length), pdu.pad)
    text = _KEYS.sub(r"\1,…", summary(whole).removeprefix(pdu.label).strip())
    return f"{text} data-digest=wrong" if record.data_digest_ok is False else text


def detail(came: Record | None, went: Sequence[Record]) -> Detail:
    """Open a PDU that came and went, as far as it did."""
    first = came or went[0]
    last = next((one for one in reversed(went) if not one.same), first)
    old, new = first.pdu, last.pdu
    assert old is not None
    assert new is not None
    fields = _both(list(_fields(old)), list(_fields(new)))
    pairs = _both(list(_pairs(old)), list(_pairs(new)))
    return Detail(
        fields=fields,
        text=pairs[:_PAIRS],
        parts=_both(list(_parts(first, old)), list(_parts(last, new))),
        bytes_=tuple(_hex(old.bhs + old.ahs, new.bhs + new.ahs)),
        renumbered=old.bhs != new.bhs and not any(_changed(one) for one in went),
        more_text=max(0, len(pairs) - _PAIRS),
    )


def _changed(record: Record) -> bool:
    return bool(getattr(record.entry, "changes", ()))


def _both(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> tuple[Part, ...]:
    """Put what came beside what went: what is gone, what is new, and what is something else now."""
    if old == new:
        return tuple(Part(name=name, value=value) for name, value in old)
    before, after = dict(old), dict(new)
    if len(before) != len(old) or len(after) != len(new):  # the same key twice: told one after the other
        gone = [Part(name=name, value="", before=value) for name, value in old if (name, value) not in new]
        return (*gone, *(Part(name=n, value=v, before=None if (n, v) in old else "") for n, v in new))
    names = dict.fromkeys([*(name for name, _ in old), *(name for name, _ in new)])
    return tuple(
        Part(
            name=name,
            value=after.get(name, ""),
            before=None if before.get(name) == after.get(name) else before.get(name, ""),
        )
        for name in names
    )


def _fields(pdu: Pdu) -> Iterator[tuple[str, str]]:
    opcode = pdu.opcode
    for field in sorted(pdu.fields.values(), key=lambda each: (each.offset, each.name != "Opcode", -each.mask)):
        value = field.get(pdu.bhs)
        text = field_text(field, value)
        if field.name == "Opcode":
            text = f"0x{value:02x} {pdu.label}"
        elif field.kind is FieldKind.CODE and text != f"0x{value:02x}":
            text = f"{value} {text}"
        elif text == "none":
            text = f"0x{value:08x} (none)"
        yield field.name, text
    if opcode == Opcode.LOGIN_RESPONSE:
        status = pdu["Status-Class"] << 8 | pdu["Status-Detail"]
        yield "Status", f"0x{status:04x} {LOGIN_STATUS.text(status)}"
    if opcode == Opcode.SCSI_COMMAND:
        try:
            yield "command", str(decode_cdb(pdu.cdb))
        except ScsiError as error:
            yield "command", f"? ({error})"
    odd = [
        f"BHS.{byte}.{bit}"
        for byte, mask in RESERVED_MASKS.get(opcode, {}).items()
        for bit in range(8)
        if pdu.bhs[byte] & mask & 0x80 >> bit
    ]
    if odd:
        yield "reserved bits set", " ".join(odd)
    segments, rest = split_ahs(pdu.ahs)
    for number, segment in enumerate(segments, 1):
        yield f"AHS {number}", f"{segment.label} {segment.raw.hex(' ')}"
    if rest:
        yield "AHS rest", rest.hex(" ")


def _pairs(pdu: Pdu) -> Iterator[tuple[str, str]]:
    if pdu.opcode not in _TEXT or not pdu.data:
        return
    pairs, tail = split_pairs(mask_secrets(pdu.data))
    for raw in (*pairs, *((tail,) if tail else ())):
        key, equals, value = (part.decode("utf-8", "backslashreplace") for part in raw.partition(b"="))
        if not raw:
            yield "(empty pair)", ""
        elif key.upper() in SECRET_KEYS or not raw.strip(b"*"):
            yield key.strip("*") or HIDDEN, HIDDEN
        else:
            yield _cut(key), _cut(value) if equals else "(no =)"


def _cut(text: str) -> str:
    return text if len(text) <= _PAIR else f"{text[:_PAIR]}… ({len(text)} characters)"


def _parts(record: Record, pdu: Pdu) -> Iterator[tuple[str, str]]:
    """Say what is behind the header."""
    if pdu.header_digest:
        yield "header digest", f"{pdu.header_digest.hex(' ')}{_right(record.header_digest_ok)}"
    data = pdu.data
    if pdu.opcode in _SENSE and data:
        try:
            sense = sense_of_segment(data)
            yield "sense", "none" if sense is None else f"{sense} {sense.label}"
        except ScsiError as error:
            yield "sense", f"? ({error})"
    if pdu.opcode == Opcode.REJECT and len(data) >= BHS_LENGTH:
        yield "rejected", f"{label_of(data[0] & 0x3F)}: {data[:BHS_LENGTH].hex(' ')}"
    if record.data_length:
        yield "data", f"{record.data_length:,} bytes"
    if record.withheld:
        yield "content", f"{HIDDEN} (a secret is in it)"
    elif record.data_length and len(data) == record.data_length:
        if pdu.opcode not in _TEXT and len(data) <= _BYTES:
            yield "content", data.hex(" ")
    elif (payload := record.payload) is not None:
        hashes = [piece.hash.hex() for piece, _ in zip(payload, range(_HASHES + 1), strict=False)]
        more = f" … {payload.pieces:,} in all" if len(hashes) > _HASHES else ""
        yield "hashes of blocks", " ".join(hashes[:_HASHES]) + more
    if pdu.pad.strip(b"\0"):
        yield "pad", pdu.pad.hex(" ")
    if pdu.data_digest:
        yield "data digest", f"{pdu.data_digest.hex(' ')}{_right(record.data_digest_ok)}"


def _right(ok: bool | None) -> str:
    return "" if ok is None else " right" if ok else " wrong"


def _hex(old: bytes, new: bytes) -> Iterator[tuple[Byte, ...]]:
    """Write what went, a line of 16 bytes at a time; bytes that are others than those that came are apart."""
    for at in range(0, len(new), _WIDTH):
        pieces: list[tuple[bytearray, bool]] = []
        for place in range(at, min(at + _WIDTH, len(new))):
            changed = new[place : place + 1] != old[place : place + 1]
            if not pieces or pieces[-1][1] != changed:
                pieces.append((bytearray(), changed))
            pieces[-1][0].append(new[place])
        yield tuple(Byte(text=raw.hex(" "), changed=changed) for raw, changed in pieces)
