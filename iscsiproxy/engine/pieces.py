"""One data transfer made of several PDUs, and several made one (RFC 7143 11.7, 11.8).

What is cut and what is joined here keeps its meaning: each byte stays at its place in the buffer, the flags and the
status stand on the last PDU. The pieces have the sequence number of the PDU they were made of; the numbers that the
receiver sees are made when they are written (`session.numbers`).
"""

from __future__ import annotations

from collections.abc import Sequence

from iscsiproxy.session.events import Change
from iscsiproxy.wire.describe import field_text
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add

__all__ = ["MAX_PIECES", "apart", "differences", "fold", "join", "lengths", "split_data", "split_r2t", "without_status"]

#: More pieces than this of one PDU are a mistake.
MAX_PIECES = 10_000
#: What a Data-In has only on the last piece: its end, its status, and what asks for an acknowledgement.
_STATUS = ("S", "O", "U", "Status", "StatSN", "ResidualCount")
_NO_STATUS = dict.fromkeys(_STATUS, 0)
#: Data segments are filled to whole words of this many bytes, but for the last of a sequence (RFC 7143 11.7.7).
_WORD = 4


def lengths(total: int, *, size: int | None, into: int | None, first: int | None) -> list[int]:
    """Tell how long the pieces of `total` bytes are: `first` bytes, then pieces of `size`, or `into` in all.

    With `first` alone the rest is one piece. Raises ValueError for what cannot be cut so.
    """
    if size is not None and into is not None:
        raise ValueError("`size` and `into` exclude each other")
    head: list[int] = []
    if first is not None:
        if not 0 <= first <= total:
            raise ValueError(f"first is {first}, expected 0 to {total}")
        head, total = [first], total - first
        into = into - 1 if into is not None else 1 if size is None else None
    if into is not None:
        return head + _shares(total, into, len(head))
    if size is None:
        return [total]
    if size < 1:
        raise ValueError(f"size is {size}, expected 1 or more")
    whole, rest = divmod(total, size)
    if len(head) + whole + 1 > MAX_PIECES:
        raise ValueError(f"pieces of {size} bytes are more than {MAX_PIECES}")
    return head + [size] * whole + ([rest] if rest or not whole else [])


def _shares(total: int, into: int, before: int) -> list[int]:
    """Share bytes out as evenly as whole words allow."""
    if not 1 <= into <= MAX_PIECES - before:
        raise ValueError(f"into is {into + before}, expected {before + 1} to {MAX_PIECES}")
    if into == 1:
        return [total]
    unit = _WORD if total >= _WORD * into else 1
    if total < into:
        raise ValueError(f"{total} bytes are too few for {into + before} pieces")
    each, more = divmod(-(-total // unit), into)
    shares = [unit * (each + (number < more)) for number in range(into)]
    shares[-1] -= sum(shares) - total
    return shares


def split_data(pdu: Pdu, parts: Sequence[int]) -> list[Pdu]:
    """Cut a Data-Out or Data-In into pieces of these lengths; only the last one has F, A and the status."""
    offset, at = pdu["BufferOffset"], 0
    pieces = []
    for number, length in enumerate(parts, 1):
        piece = pdu.with_data(pdu.data[at : at + length]) if len(parts) > 1 else pdu
        piece = piece.with_fields({"BufferOffset": (offset + at) & 0xFFFFFFFF})
        if number < len(parts):
            piece = _not_last(piece)
        pieces.append(piece)
        at += length
    return pieces


def _not_last(piece: Pdu) -> Pdu:
    if piece.opcode != Opcode.DATA_IN:
        return piece.with_fields({"F": 0})
    if piece["A"]:
        # The tag and the LUN are there for the acknowledgement (RFC 7143 11.7.4).
        piece = piece.with_fields({"A": 0, "TTT": NO_TAG, "LUN": 0})
    return (without_status(piece) if piece["S"] else piece).with_fields({"F": 0})


def without_status(pdu: Pdu) -> Pdu:
    """Take the status out of a Data-In; what belongs to it is reserved then (RFC 7143 11.7.3)."""
    return pdu.with_fields(_NO_STATUS)


def apart(pdu: Pdu) -> Pdu:
    """Give the SCSI Response that says what the status of a Data-In says (RFC 7143 11.4)."""
    told = {name: pdu[name] for name in (*_STATUS[1:], "ITT", "ExpCmdSN", "MaxCmdSN")}
    return Pdu.build(Opcode.SCSI_RESPONSE).with_fields({**told, "F": 1, "ExpDataSN": add(pdu["DataSN"], 1)})


def fold(pdu: Pdu, response: Pdu) -> Pdu | None:
    """Put the status of a SCSI Response into the last Data-In of its task; None if that cannot carry it.

    Sense data and the residual counts of a bidirectional command have no place there (RFC 7143 11.7.3).
    """
    told = ("Response", "Status", "o", "u")
    if response.data or pdu["S"] or any(response[name] for name in told):
        return None
    names = (*_STATUS[1:], "ExpCmdSN", "MaxCmdSN")
    return pdu.with_fields({"S": 1, **{name: response[name] for name in names}})


def join(pdu: Pdu, following: Pdu) -> Pdu | None:
    """Put the data of the PDU that follows in the same sequence behind that of `pdu`; the flags are then its own.

    None if it does not begin where the other one ends, or if both are too much for one data segment.
    """
    if following["BufferOffset"] != (pdu["BufferOffset"] + len(pdu.data)) & 0xFFFFFFFF:
        return None
    numbers = {name: pdu[name] for name in ("BufferOffset", "DataSN")}
    try:
        return following.with_data(pdu.data + following.data).with_fields(numbers)
    except ValueError:
        return None


def split_r2t(pdu: Pdu, parts: Sequence[int], tags: Sequence[int]) -> list[Pdu]:
    """Cut an R2T into several, each for a part of the data and with a Target Transfer Tag of its own."""
    pieces = []
    offset = pdu["BufferOffset"]
    for length, tag in zip(parts, tags, strict=True):
        values = {"TTT": tag, "BufferOffset": offset & 0xFFFFFFFF, "DesiredDataTransferLength": length}
        pieces.append(pdu.with_fields(values))
        offset += length
    return pieces


def differences(old: Pdu, new: Pdu) -> list[Change]:
    """Say in which fields two PDUs of one kind differ, and whether the lengths of their data do."""
    changes = []
    for name, field in old.fields.items():
        before, after = field.get(old.bhs), field.get(new.bhs)
        if before != after and name != "DataSegmentLength":
            changes.append(Change(what=name, old=field_text(field, before), new=field_text(field, after)))
    if len(old.data) != len(new.data):
        changes.append(Change(what="length", old=str(len(old.data)), new=str(len(new.data))))
    return changes
