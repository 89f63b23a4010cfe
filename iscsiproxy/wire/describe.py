"""PDUs in words: one line for logs and ladders, a full listing for those who look closely.

Names and numbers are the standard's, as users write them in scenario files: tags in hexadecimal, `none` for the
reserved tag, code values by name, sequence numbers and lengths in decimal. Any PDU can be described, whatever its
bytes; what cannot be read is said in place of what it would have meant. CHAP answers are never shown.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping

from iscsiproxy.errors import ScsiError
from iscsiproxy.wire.ahs import split_ahs
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.codes import LOGIN_STATUS
from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG, Field, FieldKind, lun_number, lun_value
from iscsiproxy.wire.opcodes import Opcode, label_of
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.reserved import RESERVED_MASKS
from iscsiproxy.wire.secrecy import SECRET_KEYS, mask_secrets, may_be_inside_pair
from iscsiproxy.wire.sense import sense_of_segment
from iscsiproxy.wire.text import split_pairs

__all__ = ["HIDDEN", "field_text", "full", "hexdump", "summary"]

#: What stands for a value that is not shown
HIDDEN = "<hidden>"
#: How many keys a summary names, and how much of each
_SUMMARY_KEYS = 8
_SUMMARY_KEY_LENGTH = 63
#: Bytes in a line of a hex dump
_DUMP_WIDTH = 16
#: The column at which the values of a listing begin
_COLUMN = 36

_LOGIN_PDUS = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
_TEXT_PDUS = _LOGIN_PDUS | {Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE}
_SENSE_PDUS = frozenset({Opcode.SCSI_RESPONSE, Opcode.ASYNC})

#: What a summary says of each PDU beside flags and data; fields that say nothing (`_says_nothing`) are left out.
_SUMMARY: Mapping[int, tuple[str, ...]] = {
    Opcode.NOP_OUT: ("ITT", "TTT", "LUN", "CmdSN", "ExpStatSN"),
    Opcode.SCSI_COMMAND: ("ITT", "LUN", "CmdSN"),
    Opcode.TMF_REQUEST: ("ITT", "LUN", "CmdSN", "Function", "RefTaskTag", "RefCmdSN"),
    Opcode.LOGIN_REQUEST: ("ITT", "CmdSN", "ISID", "TSIH", "CID", "CSG", "NSG"),
    Opcode.TEXT_REQUEST: ("ITT", "TTT", "LUN", "CmdSN"),
    Opcode.DATA_OUT: ("ITT", "TTT", "LUN", "DataSN", "BufferOffset"),
    Opcode.LOGOUT_REQUEST: ("ITT", "CmdSN", "ReasonCode", "CID"),
    Opcode.SNACK: ("ITT", "TTT", "LUN", "Type", "BegRun", "RunLength"),
    Opcode.NOP_IN: ("ITT", "TTT", "LUN", "StatSN"),
    Opcode.SCSI_RESPONSE: ("ITT", "StatSN", "Response", "Status", "ResidualCount", "BidirectionalReadResidualCount"),
    Opcode.TMF_RESPONSE: ("ITT", "StatSN", "Response"),
    Opcode.LOGIN_RESPONSE: ("ITT", "StatSN", "ISID", "TSIH", "CSG", "NSG"),
    Opcode.TEXT_RESPONSE: ("ITT", "TTT", "LUN", "StatSN"),
    Opcode.DATA_IN: ("ITT", "TTT", "StatSN", "Status", "DataSN", "BufferOffset", "ResidualCount"),
    Opcode.LOGOUT_RESPONSE: ("ITT", "StatSN", "Response"),
    Opcode.R2T: ("ITT", "TTT", "LUN", "R2TSN", "BufferOffset", "DesiredDataTransferLength"),
    Opcode.ASYNC: ("StatSN", "LUN", "AsyncEvent", "Parameter1", "Parameter2", "Parameter3"),
    Opcode.REJECT: ("StatSN", "Reason"),
}
#: Fields a summary shows only beside a flag that gives them a meaning.
_NEEDS_FLAG: Mapping[tuple[int, str], str] = {
    (Opcode.LOGIN_REQUEST, "NSG"): "T",
    (Opcode.LOGIN_RESPONSE, "NSG"): "T",
    (Opcode.DATA_IN, "StatSN"): "S",
    (Opcode.DATA_IN, "Status"): "S",
}
#: Flags that are always 1, of which a summary tells only that they are not.
_ALWAYS_SET: Mapping[int, str] = {
    Opcode.LOGIN_REQUEST: "I",
    **dict.fromkeys((Opcode.NOP_OUT, Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST, Opcode.SNACK, Opcode.NOP_IN), "F"),
    **dict.fromkeys((Opcode.SCSI_RESPONSE, Opcode.TMF_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.R2T), "F"),
    **dict.fromkeys((Opcode.ASYNC, Opcode.REJECT), "F"),
}
#: Fields a summary shows only if they are not 0.
_NOT_ZERO = frozenset(
    {"LUN", "ResidualCount", "BidirectionalReadResidualCount", "Parameter1", "Parameter2", "Parameter3"}
)


def field_text(field: Field, value: int) -> str:
    """Write the value of a field as people read it."""
    if field.kind is FieldKind.CODE and field.codes is not None:
        return field.codes.text(value)
    if field.kind is FieldKind.BYTES:
        return value.to_bytes(field.size, "big").hex(" ")
    if field.kind is not FieldKind.TAG:
        return str(value)
    if field.size == 4 and value == NO_TAG:
        return "none"
    if field.name == "LUN" and lun_value(lun_number(value)) == value:
        return str(lun_number(value))
    return f"0x{value:0{2 * field.size}x}"


def summary(pdu: Pdu, *, without: Collection[str] = ()) -> str:
    """Describe a PDU in one line, such as `SCSI-Command ITT=0x00000003 CmdSN=5 W F WRITE(10) LBA=0 blocks=1 data=512`.

    Flags stand as letters where they are set; those that always are, only as `F=0` where they are not. `AHS=`, `keys=`,
    `sense=` and wrong digests or lengths come last. Fields `without` a value yet are left out.
    """
    opcode = pdu.opcode
    parts = [pdu.label]
    for name in _SUMMARY.get(opcode, ("ITT", "LUN")):
        if (opcode, name) not in _NEEDS_FLAG or pdu[_NEEDS_FLAG[opcode, name]]:
            value = pdu[name]
            if name not in without and not _says_nothing(name, value, opcode):
                parts.append(f"{name}={field_text(pdu.fields[name], value)}")
    if opcode == Opcode.LOGIN_RESPONSE:
        parts.append(f"Status={LOGIN_STATUS.text(_login_status(pdu))}")
    flags = {name: field.get(pdu.bhs) for name, field in pdu.fields.items() if field.kind is FieldKind.FLAG}
    if not flags.pop(_ALWAYS_SET.get(opcode, ""), 1):
        parts.append(f"{_ALWAYS_SET[opcode]}=0")
    parts += sorted((name for name, value in flags.items() if value), key="ITCRWASOUouF".index)
    parts += _summary_of_content(pdu)
    if pdu.data or pdu["DataSegmentLength"]:
        parts.append(f"data={len(pdu.data)}")
    if len(pdu.data) != pdu["DataSegmentLength"]:
        parts.append(f"DataSegmentLength={pdu['DataSegmentLength']}")
    if pdu.header_digest_ok() is False:
        parts.append("header-digest=wrong")
    if pdu.data_digest_ok() is False:
        parts.append("data-digest=wrong")
    return " ".join(parts)


def _says_nothing(name: str, value: int, opcode: int) -> bool:
    if name in ("TTT", "RefTaskTag"):
        return value == NO_TAG
    if name == "Response":
        return value == 0 and opcode == Opcode.SCSI_RESPONSE
    return value == 0 and name in _NOT_ZERO


def _summary_of_content(pdu: Pdu) -> Iterator[str]:
    opcode = pdu.opcode
    if opcode == Opcode.SCSI_COMMAND:
        try:
            yield str(decode_cdb(pdu.cdb))
        except ScsiError:
            yield f"CDB={pdu.cdb.hex()}"
    if pdu.ahs:
        segments, rest = split_ahs(pdu.ahs)
        yield "AHS=" + ",".join([segment.label for segment in segments] + ["?"] * bool(rest))
    if not pdu.data:
        return
    if opcode in _TEXT_PDUS:
        pairs, tail = split_pairs(_shown_text(pdu, None))
        keys = [_printable(raw.partition(b"=")[0][:_SUMMARY_KEY_LENGTH]) for raw in (*pairs, tail) if raw]
        more = ["..."] if len(keys) > _SUMMARY_KEYS else []
        yield "keys=" + ",".join(keys[:_SUMMARY_KEYS] + more)
    elif opcode in _SENSE_PDUS:
        try:
            if sense := sense_of_segment(pdu.data):
                yield f"sense={sense}"
        except ScsiError:
            yield "sense=?"
    elif opcode == Opcode.REJECT:
        inner = _embedded(pdu)
        yield "of=?" if inner is None else f"of={inner.label} ITT={field_text(inner.fields['ITT'], inner['ITT'])}"


def full(pdu: Pdu, *, data_limit: int | None = 256, inside_pair: bool | None = None) -> tuple[str, ...]:
    """Describe a PDU in full: every field, AHS, text key, sense, the header inside a Reject, digests and data.

    `data_limit` bounds how many bytes of data are dumped (None: all). `inside_pair` tells whether text data begins
    inside a pair of the PDU before it (C bit), which may be a secret; None: not known, and hidden where it may be.
    """
    return tuple(_full(pdu, data_limit, inside_pair))


def _full(pdu: Pdu, data_limit: int | None, inside_pair: bool | None) -> Iterator[str]:
    yield f"{pdu.label} from {pdu.sender}, {len(pdu)} bytes"
    yield from _header_lines(pdu, 2)
    yield _line("header digest", _digest_text(pdu.header_digest, digest((pdu.bhs, pdu.ahs))))
    opcode = pdu.opcode
    data = pdu.data
    if opcode in _TEXT_PDUS and data:
        data = _shown_text(pdu, inside_pair)
        yield _line("text", "")
        yield from _indented(_text_lines(data))
    elif opcode in _SENSE_PDUS and data:
        yield _line("sense", _sense_text(data))
    elif opcode == Opcode.REJECT and data:
        data = yield from _rejected(pdu)
    missing = pdu["DataSegmentLength"] - len(pdu.data)
    note = "" if not missing else f", but DataSegmentLength is {pdu['DataSegmentLength']}"
    yield _line("data", f"{len(data)} bytes{note}")
    yield from _indented(hexdump(data, limit=data_limit))
    if pdu.pad:
        yield _line("pad", pdu.pad.hex(" "))
    yield _line("data digest", _digest_text(pdu.data_digest, digest((pdu.data, pdu.pad))))


def _header_lines(pdu: Pdu, indent: int) -> Iterator[str]:
    """List the fields, the reserved bits that are set, and the AHS."""
    opcode = pdu.opcode
    for field in sorted(pdu.fields.values(), key=lambda each: (each.offset, -each.mask)):
        value = field.get(pdu.bhs)
        text = field_text(field, value)
        if field.name == "Opcode":
            text = f"0x{value:02x} {pdu.label}"
        elif field.kind is FieldKind.CODE and text != f"0x{value:02x}":
            text = f"{value} {text}"
        elif text == "none":
            text = f"0x{value:08x} (none)"
        elif field.name == "LUN" and not text.startswith("0x"):
            text = f"{text} (0x{value:016x})"
        yield _line(field.name, text, indent)
    if opcode == Opcode.LOGIN_RESPONSE:
        yield _line("Status", f"0x{_login_status(pdu):04x} {LOGIN_STATUS.text(_login_status(pdu))}", indent)
    if opcode == Opcode.SCSI_COMMAND:
        try:
            yield _line("command", str(decode_cdb(pdu.cdb)), indent)
        except ScsiError as error:
            yield _line("command", f"? ({error})", indent)
    odd = [
        f"BHS.{byte}.{bit}"
        for byte, mask in RESERVED_MASKS.get(opcode, {}).items()
        for bit in range(8)
        if pdu.bhs[byte] & mask & 0x80 >> bit
    ]
    if odd:
        yield _line("reserved bits set", " ".join(odd), indent)
    segments, rest = split_ahs(pdu.ahs)
    for segment in segments:
        meaning = f" length={segment.read_edtl}" if segment.read_edtl is not None else ""
        yield _line("AHS", f"{segment.label}{meaning} {segment.raw.hex(' ')}", indent)
    if rest:
        yield _line("AHS", f"? (length does not fit) {rest.hex(' ')}", indent)


def _rejected(pdu: Pdu) -> Generator[str, None, bytes]:
    """List the header inside a Reject; give the data as it may be shown."""
    inner = _embedded(pdu)
    if inner is None:
        yield _line("rejected header", f"? (expected {BHS_LENGTH} bytes, got {len(pdu.data)})")
        return pdu.data
    yield _line("rejected header", label_of(inner.opcode))
    yield from _header_lines(inner, 4)
    if inner.opcode not in _TEXT_PDUS:
        return pdu.data
    # Only a header belongs here; should a target send the data of a login too, its secrets stay hidden.
    used = BHS_LENGTH + len(inner.ahs)
    return pdu.data[:used] + mask_secrets(pdu.data[used:], inside_pair=may_be_inside_pair(pdu.data[used:]))


def _embedded(pdu: Pdu) -> Pdu | None:
    """Take the header out of a Reject (RFC 7143 11.17); None if it is not complete."""
    data = pdu.data
    if len(data) < BHS_LENGTH:
        return None
    return Pdu(data[:BHS_LENGTH], data[BHS_LENGTH : BHS_LENGTH + 4 * data[4]])


def _shown_text(pdu: Pdu, inside_pair: bool | None) -> bytes:
    if inside_pair is None:
        inside_pair = pdu.opcode in _LOGIN_PDUS and may_be_inside_pair(pdu.data)
    return mask_secrets(pdu.data, inside_pair=inside_pair)


def _text_lines(shown: bytes) -> Iterator[str]:
    pairs, tail = split_pairs(shown)
    for raw in pairs:
        key, equals, value = raw.partition(b"=")
        if equals and _printable(key).upper() in SECRET_KEYS:
            yield f"{_printable(key)}={HIDDEN}"
        elif raw and not raw.strip(b"*"):
            yield HIDDEN
        else:
            yield _printable(key + equals + value) or "(empty pair)"
    if tail:
        key, equals, _ = tail.partition(b"=")
        secret = equals and _printable(key).upper() in SECRET_KEYS
        text = f"{_printable(key)}={HIDDEN}" if secret else _printable(tail) if tail.strip(b"*") else HIDDEN
        yield f"{text} (without its NUL)"


def _sense_text(data: bytes) -> str:
    try:
        sense = sense_of_segment(data)
    except ScsiError as error:
        return f"? ({error})"
    return "none" if sense is None else f"{sense} {sense.label}"


def _digest_text(found: bytes, right: bytes) -> str:
    if not found:
        return "none"
    return f"{found.hex(' ')} " + ("right" if found == right else f"wrong, expected {right.hex(' ')}")


def _login_status(pdu: Pdu) -> int:
    return pdu["Status-Class"] << 8 | pdu["Status-Detail"]


def hexdump(data: bytes, *, limit: int | None = None) -> tuple[str, ...]:
    """Dump bytes in lines of sixteen: offset, hexadecimal, ASCII. With `limit` no more bytes than that are shown."""
    shown = data if limit is None else data[:limit]
    lines = []
    for at in range(0, len(shown), _DUMP_WIDTH):
        row = shown[at : at + _DUMP_WIDTH]
        ascii_text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{at:06x}  {row.hex(' '):<{3 * _DUMP_WIDTH}} {ascii_text}")
    if len(shown) < len(data):
        lines.append(f"... {len(data) - len(shown)} more bytes")
    return tuple(lines)


def _line(name: str, text: str, indent: int = 2) -> str:
    return f"{' ' * indent}{name:<{_COLUMN - indent}}{text}".rstrip()


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _printable(data: bytes) -> str:
    r"""Decode text for people: UTF-8 as it is, what cannot be printed as `\x..`."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
