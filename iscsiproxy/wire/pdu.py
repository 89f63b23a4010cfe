"""One PDU, byte for byte (RFC 7143 11.1).

`BHS | AHS* | header digest | data segment | padding | data digest`

A `Pdu` keeps each part exactly as it came and reads fields on demand. It is never changed; `with_…` methods give a
changed copy and touch nothing else, so that a wrong length or digest can be made as well as a right one. `sealed` makes
the digests right again.
"""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.wire.ahs import extended_cdb
from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.fields import BHS_LENGTH, Field, fields_of
from iscsiproxy.wire.opcodes import End, label_of, sender_of

__all__ = ["Pdu", "padding"]

#: The largest data segment that DataSegmentLength can announce (RFC 7143 11.2.1.6)
_MAX_DATA = (1 << 24) - 1


def padding(length: int) -> int:
    """Count the bytes that pad `length` to a multiple of four (RFC 7143 11.1)."""
    return -length & 3


class Pdu:
    """An envelope of exact bytes; treat as immutable.

    `header_digest` and `data_digest` are empty where the connection has none.
    """

    __slots__ = ("ahs", "bhs", "data", "data_digest", "header_digest", "pad")

    def __init__(
        self,
        bhs: bytes,
        ahs: bytes = b"",
        header_digest: bytes = b"",
        data: bytes = b"",
        pad: bytes = b"",
        data_digest: bytes = b"",
    ) -> None:
        self.bhs = bhs
        self.ahs = ahs
        self.header_digest = header_digest
        self.data = data
        self.pad = pad
        self.data_digest = data_digest

    @classmethod
    def build(cls, opcode: int, data: bytes = b"", ahs: bytes = b"", **values: int | bytes) -> Pdu:
        """Make a PDU from field values; lengths and padding are right, digests absent, other fields 0.

        Field names with a hyphen go in by `with_fields({"Status-Class": 1})`. Raises KeyError for a field the PDU does
        not have, ValueError for a value that does not fit.
        """
        bhs = bytearray(BHS_LENGTH)
        bhs[0] = opcode & 0x3F
        return cls(bytes(bhs)).with_ahs(ahs).with_data(data).with_fields(values)

    @property
    def opcode(self) -> int:
        """The six opcode bits."""
        return self.bhs[0] & 0x3F

    @property
    def label(self) -> str:
        """The PDU's name, such as `SCSI-Command`."""
        return label_of(self.bhs[0] & 0x3F)

    @property
    def sender(self) -> End:
        """The end that sends such a PDU, by its opcode."""
        return sender_of(self.bhs[0] & 0x3F)

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields this PDU has, by name."""
        return fields_of(self.bhs[0] & 0x3F)

    @property
    def raw(self) -> bytes:
        """All bytes as they go on the wire."""
        return b"".join(self.parts)

    @property
    def parts(self) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
        """The parts in wire order."""
        return (self.bhs, self.ahs, self.header_digest, self.data, self.pad, self.data_digest)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, name: str) -> int:
        """Read a field as an integer; KeyError if this PDU has none of that name."""
        return fields_of(self.bhs[0] & 0x3F)[name].get(self.bhs)

    def get(self, name: str) -> int | None:
        """Read a field as an integer, or None if this PDU has none of that name."""
        field = fields_of(self.bhs[0] & 0x3F).get(name)
        return None if field is None else field.get(self.bhs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pdu) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"<Pdu {self.label} ITT={self['ITT']:#010x} data={len(self.data)}>"

    @property
    def cdb(self) -> bytes:
        """The CDB of a SCSI Command, with what an extended CDB AHS adds; empty for other PDUs (RFC 7143 11.2.2.3)."""
        field = self.fields.get("CDB")
        return b"" if field is None else field.raw(self.bhs) + extended_cdb(self.ahs)

    def with_bhs(self, bhs: bytes) -> Pdu:
        """Replace the basic header segment and nothing else."""
        return Pdu(bhs, self.ahs, self.header_digest, self.data, self.pad, self.data_digest)

    def with_fields(self, values: Mapping[str, int | bytes]) -> Pdu:
        """Set header fields and nothing else: lengths of other parts and digests stay.

        Raises KeyError for a field the PDU does not have, ValueError for a value that does not fit. A changed Opcode
        takes effect last, so the names are those of the PDU as it was.
        """
        bhs = bytearray(self.bhs)
        table = self.fields
        for name, value in values.items():
            field = table[name]
            if isinstance(value, bytes):
                if len(value) > field.size:
                    raise ValueError(f"{name} takes {field.size} bytes, not {len(value)}")
                value = int.from_bytes(value.ljust(field.size, b"\0"), "big")
            field.put(bhs, value)
        return self.with_bhs(bytes(bhs))

    def with_data(self, data: bytes) -> Pdu:
        """Replace the data segment; DataSegmentLength and padding (zeros) are made right, digests stay.

        Raises ValueError if the length does not fit 24 bits.
        """
        if len(data) > _MAX_DATA:
            raise ValueError(f"a data segment holds at most {_MAX_DATA} bytes, not {len(data)}")
        bhs = self.bhs[:5] + len(data).to_bytes(3, "big") + self.bhs[8:]
        return Pdu(bhs, self.ahs, self.header_digest, data, bytes(padding(len(data))), self.data_digest)

    def with_ahs(self, ahs: bytes) -> Pdu:
        """Replace all AHS bytes (a multiple of four); TotalAHSLength is made right, digests stay."""
        if len(ahs) % 4 or len(ahs) > 4 * 255:
            raise ValueError(f"AHS bytes are a multiple of 4 up to 1020, not {len(ahs)}")
        bhs = self.bhs[:4] + bytes([len(ahs) // 4]) + self.bhs[5:]
        return Pdu(bhs, ahs, self.header_digest, self.data, self.pad, self.data_digest)

    def with_parts(
        self, *, header_digest: bytes | None = None, pad: bytes | None = None, data_digest: bytes | None = None
    ) -> Pdu:
        """Replace digests or padding by exact bytes."""
        return Pdu(
            self.bhs,
            self.ahs,
            self.header_digest if header_digest is None else header_digest,
            self.data,
            self.pad if pad is None else pad,
            self.data_digest if data_digest is None else data_digest,
        )

    def sealed(self, *, header: bool, data: bool) -> Pdu:
        """Give right digests where `header` and `data` ask for them, and none where they do not."""
        return self.with_parts(
            header_digest=digest((self.bhs, self.ahs)) if header else b"",
            data_digest=digest((self.data, self.pad)) if data and self.data else b"",
        )

    def header_digest_ok(self) -> bool | None:
        """Tell whether the header digest is right; None if there is none."""
        return self.header_digest == digest((self.bhs, self.ahs)) if self.header_digest else None

    def data_digest_ok(self) -> bool | None:
        """Tell whether the data digest is right; None if there is none."""
        return self.data_digest == digest((self.data, self.pad)) if self.data_digest else None
