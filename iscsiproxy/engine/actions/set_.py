"""`set`: give fields new values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.errors import PeerError, ScsiError
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind
from iscsiproxy.session.events import Change
from iscsiproxy.wire.cdb import changed_cdb, decode_cdb
from iscsiproxy.wire.describe import field_text
from iscsiproxy.wire.fields import lun_value
from iscsiproxy.wire.pdu import Pdu, padding
from iscsiproxy.wire.sense import SenseCode, encode_sense, sense_of_segment
from iscsiproxy.wire.text import split_pairs

__all__ = ["PARTS", "SPEC", "assign", "run"]

#: What may be given a value besides fields.
PARTS = frozenset({"data", "pad", "text", "BHS", "sense", "AHS"})
#: What is set last: bytes of the data, and its padding, when all of it is there; the opcode, which says what fields
#: there are; lengths, which are made right by what is set before them.
_INSIDE, _OPCODE, _LENGTH = 1, 2, 3
_LATE = {
    "pad": _INSIDE,
    "CDB.LBA": _INSIDE,
    "CDB.blocks": _INSIDE,
    "Opcode": _OPCODE,
    "DataSegmentLength": _LENGTH,
    "TotalAHSLength": _LENGTH,
}

#: The numbers that a PDU may use up (RFC 7143 4.2.2).
_NUMBERS = frozenset({"CmdSN", "StatSN"})
#: SenseLength, before sense data (RFC 7143 11.4.7)
_SENSE_LENGTH = 2

SPEC = ActSpec(
    name="set",
    help="give fields new values; right sides see the PDU as earlier acts left it",
    params=(
        Param(
            name="numbers",
            kind=ParamKind.CHOICE,
            help=(
                "translate: a number that the PDU uses up by this, or no longer does, is hidden from both ends; "
                "raw: it is not"
            ),
            default="translate",
            choices=("raw", "translate"),
        ),
        Param(
            name="fix",
            kind=ParamKind.CHOICE,
            help="none: leave lengths, padding and digests as they were",
            choices=("none",),
        ),
    ),
    fields=True,
    extra=PARTS | {"CDB"},
    changes=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Change what is in hand."""
    hand = work.need_hand()
    values = {name: work.value(fn, name) for name, fn in act.fields.items()}
    pdu, changes = assign(hand.pdu, values, fix=act.params["fix"] != "none")
    # A number that was written down goes as it was written; one that was computed is in the numbers of this leg.
    hand.named |= _NUMBERS if act.params["numbers"] == "raw" else _NUMBERS & values.keys()
    hand.exact |= {name for name, expr in act.act.fields.items() if isinstance(expr, Literal_)}
    if act.params["fix"] == "none":
        # The digests that were right, or wrong, before are the ones that stay.
        sealed = hand.outgoing()
        hand.keep_digests(pdu.with_parts(header_digest=sealed.header_digest, data_digest=sealed.data_digest))
    hand.change(pdu, changes, work.rule.name)
    if any(change.what.startswith("text.") for change in changes):
        work.host.apart.add(hand.look.conn)
    work.fired(act.act, "changed" if changes else "had these values already", changes)
    return None


def assign(pdu: Pdu, values: Mapping[str, Any], *, fix: bool = True) -> tuple[Pdu, list[Change]]:
    """Give fields and parts new values, and say what has changed.

    Lengths and padding follow the data unless `fix` is false or they are among the fields. Raises ActError for a value
    that does not fit.
    """
    changes: list[Change] = []
    for name in sorted(values, key=_turn):
        value, before = values[name], pdu
        try:
            pdu, old, new = _assigned(pdu, name, value)
        except KeyError as error:
            raise ActError(f"{pdu.label} has no {name}") from error
        except (ValueError, OverflowError) as error:
            raise ActError(f"{name}: {error}") from error
        if not fix and _turn(name) != _LENGTH:
            bhs = pdu.bhs[:4] + before.bhs[4:8] + pdu.bhs[8:]
            pad = pdu.pad if name == "pad" else before.pad
            pdu = pdu.with_bhs(bhs).with_parts(pad=pad)
        if pdu != before:
            changes.append(Change(what=name, old=old, new=new))
    return pdu, changes


def _turn(name: str) -> int:
    return _INSIDE if name.startswith("data+") else _LATE.get(name, 0)


def _assigned(pdu: Pdu, name: str, value: Any) -> tuple[Pdu, str, str]:
    head, _, rest = name.partition(".")
    if name.startswith("data+"):
        return _with_bytes(pdu, int(name[5:]), value)
    if name == "sense":
        sense = encode_sense(SenseCode(*value))
        changed = pdu.with_data(len(sense).to_bytes(_SENSE_LENGTH, "big") + sense)  # RFC 7143 11.4.7
        return changed, _sense_text(pdu), _sense_text(changed)
    if name == "AHS":
        changed = pdu.with_ahs(value + bytes(padding(len(value))))
        return changed, _bytes(pdu.ahs), _bytes(changed.ahs)
    if name == "data":
        data = value.encode() if isinstance(value, str) else value
        return pdu.with_data(data), _bytes(pdu.data), _bytes(data)
    if name == "pad":
        pad = value.encode() if isinstance(value, str) else value
        return pdu.with_parts(pad=pad), _bytes(pdu.pad), _bytes(pad)
    if head == "text":
        data, old = _with_key(pdu.data, rest.encode(), str(value).encode())
        return pdu.with_data(data), old, str(value)
    if head == "CDB" and rest:
        return _with_cdb(pdu, rest, value)
    if head == "BHS":
        byte, _, bit = rest.partition(".")
        at = int(byte)
        before = pdu.bhs[at]
        mask = 0x80 >> int(bit) if bit else 0xFF
        if not 0 <= value <= (1 if bit else 0xFF):
            raise ValueError(f"takes 0 to {1 if bit else 255}, not {value}")
        after = (before & ~mask) | (value and mask if bit else value)
        bhs = pdu.bhs[:at] + bytes([after]) + pdu.bhs[at + 1 :]
        return pdu.with_bhs(bhs), f"{before:#04x}", f"{after:#04x}"
    field = pdu.fields[name]
    raw = lun_value(value) if name == "LUN" else value
    changed = pdu.with_fields({name: raw})
    return changed, field_text(field, field.get(pdu.bhs)), field_text(field, field.get(changed.bhs))


def _with_key(data: bytes, key: bytes, value: bytes) -> tuple[bytes, str]:
    """Give the text with another value of its first such key, or with the key added, and the old value."""
    pairs, tail = split_pairs(data)
    old = "absent"
    written = []
    for pair in pairs:
        if old == "absent" and pair.startswith(key + b"="):
            old = pair[len(key) + 1 :].decode("utf-8", "replace")
            pair = key + b"=" + value
        written.append(pair)
    if old == "absent":
        written.append(key + b"=" + value)
    return b"".join(pair + b"\0" for pair in written) + tail, old


def _with_cdb(pdu: Pdu, number: str, value: int) -> tuple[Pdu, str, str]:
    """Give a command with another number in its CDB; what an AHS has of the CDB stays as it is."""
    if not pdu.cdb:
        raise ValueError(f"{pdu.label} has none")
    field = pdu.fields["CDB"]
    old = pdu.cdb
    try:
        new = changed_cdb(old, number, value)
        before = getattr(decode_cdb(old), number)
    except ScsiError as error:
        raise ValueError(str(error)) from error
    if new[field.size :] != old[field.size :]:
        raise ValueError("it is in an additional header segment")
    return pdu.with_fields({"CDB": new[: field.size]}), str(before), str(value)


def _with_bytes(pdu: Pdu, at: int, new: bytes) -> tuple[Pdu, str, str]:
    """Give a PDU with other bytes from offset `at` of its data on; nothing else changes."""
    old = pdu.data[at : at + len(new)]
    if len(old) < len(new):
        raise ValueError(f"{len(new)} bytes from there are out of range: the data segment has {len(pdu.data)} bytes")
    data = pdu.data[:at] + new + pdu.data[at + len(new) :]
    return Pdu(pdu.bhs, pdu.ahs, pdu.header_digest, data, pdu.pad, pdu.data_digest), _bytes(old), _bytes(new)


def _sense_text(pdu: Pdu) -> str:
    try:
        return str(sense_of_segment(pdu.data) or "absent")
    except PeerError:
        return _bytes(pdu.data)


def _bytes(data: bytes) -> str:
    shown = data[:16].hex()
    return f"{len(data)} bytes {shown}{'…' if len(data) > 16 else ''}"
