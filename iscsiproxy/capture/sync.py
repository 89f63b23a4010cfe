"""Find where a PDU begins in the middle of a stream, and which digests there are.

A place is believed when a row of PDUs begins there: each header looks like one, each length leads to the next header,
and the digests, if there are any, are right. A CRC32C that is right decides alone; without digests three headers in a
row do, or fewer where they fit exactly into the packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iscsiproxy.capture.likeness import looks_alike, looks_exact, places
from iscsiproxy.wire.digest import DIGEST_LENGTH, digest
from iscsiproxy.wire.fields import BHS_LENGTH, FIELDS
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import padding

__all__ = ["Digests", "Found", "find", "header_length", "pdu_length"]

#: Whether there are header digests and data digests; None where that is not known
Digests = tuple[bool | None, bool | None]

#: Headers in a row that are no accident: with every reserved bit 0, and otherwise
_ROW, _LONG_ROW = 3, 6
_LOGIN = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
_OPCODE = FIELDS[Opcode.SCSI_COMMAND]["Opcode"]
_AHSL = FIELDS[Opcode.SCSI_COMMAND]["TotalAHSLength"]
_DSL = FIELDS[Opcode.SCSI_COMMAND]["DataSegmentLength"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A PDU begins at `offset`; it is a Login PDU if `login` says so, which never has digests.

    Otherwise `header_digest` is known; `data_digest` is None as long as no PDU with data was seen whose end is sure.
    """

    offset: int
    login: bool
    header_digest: bool = False
    data_digest: bool | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """PDUs one behind another.

    `login` tells that the first is a Login PDU. `exact` counts headers with every reserved bit 0, `proved` right
    digests. `settled` tells that a header came where data ended, `flush` that the last PDU ends where the bytes do.
    """

    login: bool
    headers: int
    exact: int
    proved: int
    data_proved: int
    settled: bool
    flush: bool


def header_length(header: bytes | memoryview, header_digest: bool) -> int:
    """Count the bytes in front of the data segment of a PDU: the header, its AHS and its digest."""
    return BHS_LENGTH + 4 * _AHSL.get(header) + DIGEST_LENGTH * header_digest


def pdu_length(header: bytes | memoryview, header_digest: bool, data_digest: bool) -> int:
    """Count all bytes of the PDU that a header announces."""
    length = _DSL.get(header)
    return header_length(header, header_digest) + (
        length + padding(length) + DIGEST_LENGTH * data_digest if length else 0
    )


def find(
    data: bytes,
    sender: End,
    *,
    starts: Sequence[int] = (0,),
    digests: Digests = (None, None),
    aligned: bool = False,
    trusted: bool = False,
    final: bool = False,
) -> Found | None:
    """Find the first place in `data` where `sender` surely begins a PDU; None if there is none yet.

    `starts` are the offsets at which packets begin. `aligned` tells that a PDU begins at the first byte, so that only
    its digests are in question, `trusted` that these are PDUs for other reasons, `final` that no more bytes will come:
    then less is asked for.
    """
    fresh = frozenset(starts)
    settings = [(header, data_digest) for header in _either(digests[0]) for data_digest in _either(digests[1])]
    boundaries = (0, *starts) if aligned else starts
    for offset in sorted({*places(data, sender), *(one for one in boundaries if one + BHS_LENGTH <= len(data))}):
        rows = {}
        for header, data_digest in settings:
            row = _row(data, offset, sender, header, data_digest)
            sure = row is not None and (
                (aligned and offset == 0 and (row.headers > 1 or row.flush or final))
                or _is_sure(row, at_packet=trusted and offset in fresh, final=final)
            )
            if row is not None and sure:
                rows[header, data_digest] = row
        if rows:
            return _best(offset, rows, digests)
    return None


def _either(known: bool | None) -> tuple[bool, ...]:
    return (True, False) if known is None else (known,)


def _best(offset: int, rows: dict[tuple[bool, bool], _Row], digests: Digests) -> Found:
    """Choose among the settings under which the same bytes are PDUs: what is proved, then what has no digests."""
    (header, data_digest), row = max(rows.items(), key=lambda item: (item[1].proved, not item[0][1], item[1].headers))
    if row.login:
        return Found(offset=offset, login=True)
    sure = digests[1] is not None or row.data_proved or row.settled
    return Found(offset=offset, login=False, header_digest=header, data_digest=data_digest if sure else None)


def _is_sure(row: _Row, *, at_packet: bool, final: bool) -> bool:
    if row.proved or (at_packet and row.flush):
        return True
    if row.exact == row.headers:
        return row.headers >= (1 if at_packet and final else _ROW - final)
    return row.headers >= _LONG_ROW


def _row(data: bytes, offset: int, sender: End, header_digest: bool, data_digest: bool) -> _Row | None:
    """Go from header to header; None if one is none, or a digest is wrong."""
    size, at = len(data), offset
    headers = exact = proved = data_proved = 0
    owed = settled = begins = False
    while at + BHS_LENGTH <= size:
        header = data[at : at + BHS_LENGTH]
        if not looks_alike(header, sender):
            return None
        settled = settled or owed
        login = _OPCODE.get(header) in _LOGIN
        begins = begins or (login and not headers)
        start = at + header_length(header, header_digest and not login)
        if header_digest and not login:
            if start > size:
                break
            if digest((data[at : start - DIGEST_LENGTH],)) != data[start - DIGEST_LENGTH : start]:
                return None
            proved += 1
        headers += 1
        exact += looks_exact(header, sender)
        end = at + pdu_length(header, header_digest and not login, data_digest and not login)
        if end > start and not login:
            owed = True
            if data_digest and end <= size:
                if digest((data[start : end - DIGEST_LENGTH],)) != data[end - DIGEST_LENGTH : end]:
                    return None
                proved += 1
                data_proved += 1
        at = end
    return _Row(begins, headers, exact, proved, data_proved, settled, at == size) if headers else None
