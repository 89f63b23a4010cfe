from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.session.layout import LENGTH, mask, reader
from iscsiproxy.wire.fields import BHS_LENGTH, FIELDS
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []


@given(st.sampled_from(sorted(FIELDS)), st.binary(min_size=BHS_LENGTH, max_size=BHS_LENGTH))
def test_every_readable_field_is_what_the_table_says(opcode: int, body: bytes) -> None:
    bhs = bytes([opcode]) + body[1:]
    for name, field in FIELDS[opcode].items():
        if field.size in (1, 2, 3, 4):
            (value,) = reader(opcode, name)(bhs)
            if field.size == 3:
                value &= LENGTH
            assert (value & mask(opcode, name)) >> field.shift == Pdu(bhs)[name]


def test_several_fields_at_once() -> None:
    pdu = Pdu.build(Opcode.DATA_IN, F=1, S=1, Status=2, ITT=3, StatSN=4, DataSN=5, DataSegmentLength=0x123456)
    read = reader(Opcode.DATA_IN, "S", "Status", "DataSegmentLength", "ITT", "StatSN", "DataSN")
    flags, status, length, *rest = read(pdu.bhs)
    assert flags & mask(Opcode.DATA_IN, "S")
    assert (status, length & LENGTH, *rest) == (2, 0x123456, 3, 4, 5)


@pytest.mark.parametrize(
    "names", [("StatSN", "ITT"), ("ITT", "ITT"), ("S", "F"), ("LUN",), ("TotalAHSLength", "DataSegmentLength")]
)
def test_what_cannot_be_read(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        reader(Opcode.DATA_IN, *names)


def test_a_field_the_PDU_does_not_have() -> None:
    with pytest.raises(KeyError):
        reader(Opcode.DATA_IN, "CmdSN")
