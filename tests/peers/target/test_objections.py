from __future__ import annotations

import pytest

from iscsiproxy.peers.target.objections import NUMBERED, Reason, command_objection, misfit, objection
from iscsiproxy.wire.ahs import Ahs, AhsType, encode_ahs
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

BIDIRECTIONAL = encode_ahs([Ahs.build(AhsType.BIDIRECTIONAL_READ_EDTL, bytes(5))])
LONG_CDB = encode_ahs([Ahs.build(AhsType.EXTENDED_CDB, bytes(17))])


@pytest.mark.parametrize("opcode", range(64))
def test_every_opcode_has_its_place(opcode: int) -> None:
    taken = {*NUMBERED, Opcode.DATA_OUT}
    if opcode in taken:
        expected = None
    elif opcode & 0x20 or opcode in (Opcode.LOGIN_REQUEST, Opcode.SNACK):
        expected = Reason.PROTOCOL_ERROR
    else:
        expected = Reason.NOT_SUPPORTED
    assert misfit(opcode, discovery=False) == expected
    allowed = opcode in (Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST)
    assert (misfit(opcode, discovery=True) is None) == allowed


@pytest.mark.parametrize("opcode", sorted({*NUMBERED, Opcode.DATA_OUT}))
def test_headers_have_no_more_than_is_theirs(opcode: int) -> None:
    plain = Pdu.build(opcode, ITT=1)
    assert objection(plain) is None
    data, ahs = objection(plain.with_data(b"data")), objection(plain.with_ahs(LONG_CDB))
    assert data == (Reason.INVALID_FIELD if opcode in (Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST) else None)
    assert ahs == (None if opcode == Opcode.SCSI_COMMAND else Reason.INVALID_FIELD)


@pytest.mark.parametrize("opcode", sorted({*NUMBERED, Opcode.DATA_OUT}))
def test_the_reserved_tag_names_no_task(opcode: int) -> None:
    pdu = Pdu.build(opcode, ITT=NO_TAG)
    assert objection(pdu) == Reason.INVALID_FIELD
    if opcode == Opcode.NOP_OUT:
        assert objection(pdu.with_fields({"I": 1})) is None


@pytest.mark.parametrize("opcode", [Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TEXT_REQUEST])
def test_a_wrong_data_digest_is_told(opcode: int) -> None:
    pdu = Pdu.build(opcode, b"data", ITT=1).sealed(header=True, data=True)
    assert objection(pdu) is None
    assert objection(pdu.with_parts(data_digest=bytes(4))) == Reason.DATA_DIGEST


@pytest.mark.parametrize(
    "fields",
    [
        {"F": 1},
        {"F": 1, "R": 1},
        {"F": 1, "R": 1, "EDTL": 512},
        {"F": 1, "W": 1, "EDTL": 512},
        {"F": 0, "W": 1, "EDTL": 512},
        {"F": 1, "ATTR": 4},
    ],
)
def test_commands_that_are_right(fields: dict[str, int]) -> None:
    assert command_objection(Pdu.build(Opcode.SCSI_COMMAND).with_fields(fields)) is None


@pytest.mark.parametrize(
    ("fields", "data", "ahs"),
    [
        ({"F": 0}, b"", b""),
        ({"F": 0, "R": 1, "EDTL": 512}, b"", b""),
        ({"F": 1, "EDTL": 512}, b"", b""),
        ({"F": 1, "R": 1, "EDTL": 512}, b"data", b""),
        ({"F": 0, "W": 1, "EDTL": 4}, b"data", b""),
        ({"F": 0, "W": 1}, b"", b""),
        ({"F": 1, "ATTR": 5}, b"", b""),
        ({"F": 1, "ATTR": 7}, b"", b""),
        ({"F": 1, "R": 1, "W": 1, "EDTL": 512}, b"", b""),
        ({"F": 1, "R": 1, "EDTL": 512}, b"", BIDIRECTIONAL),
        ({"F": 1}, b"", LONG_CDB + LONG_CDB),
        ({"F": 1}, b"", encode_ahs([Ahs.build(7, b"12345")])),
        ({"F": 1}, b"", b"\xff\xff\x01\0"),
    ],
)
def test_commands_that_are_wrong(fields: dict[str, int], data: bytes, ahs: bytes) -> None:
    pdu = Pdu.build(Opcode.SCSI_COMMAND, data, ahs).with_fields(fields)
    assert command_objection(pdu) == Reason.INVALID_FIELD


def test_additional_headers_that_fit() -> None:
    assert command_objection(Pdu.build(Opcode.SCSI_COMMAND, ahs=LONG_CDB, F=1)) is None
    assert command_objection(Pdu.build(Opcode.SCSI_COMMAND, ahs=BIDIRECTIONAL, F=1, R=1, W=1, EDTL=512)) is None
