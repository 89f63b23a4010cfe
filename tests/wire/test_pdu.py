from __future__ import annotations

import pytest

from iscsiproxy.wire.fields import FIELDS
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu, padding
from tests.wire.samples import SAMPLES, Sample

__all__: list[str] = []

#: Fields that building sets by itself
MADE = {"Opcode", "TotalAHSLength", "DataSegmentLength"}

samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.built.label)


def test_there_is_a_sample_of_every_opcode() -> None:
    assert {sample.opcode for sample in SAMPLES} > set(FIELDS)


@samples
def test_the_table_tells_every_field(sample: Sample) -> None:
    assert set(sample.values) == set(sample.built.fields) - MADE


@samples
def test_values_make_these_bytes(sample: Sample) -> None:
    assert sample.built.raw == sample.wire


@samples
def test_bytes_give_these_values(sample: Sample) -> None:
    ahs = len(sample.ahs)
    bhs, rest = sample.wire[:48], sample.wire[48:]
    pdu = Pdu(bhs, rest[:ahs], b"", sample.data, rest[ahs + len(sample.data) :])
    assert pdu == sample.built
    assert pdu.opcode == sample.opcode
    assert pdu["DataSegmentLength"] == len(sample.data)
    assert pdu["TotalAHSLength"] == ahs // 4
    for name, value in sample.values.items():
        assert pdu[name] == (int.from_bytes(value, "big") if isinstance(value, bytes) else value), name
        assert pdu.get(name) == pdu[name]


@samples
def test_label_and_sender(sample: Sample) -> None:
    pdu = sample.built
    assert pdu.sender is (End.TARGET if sample.opcode >= 0x20 else End.INITIATOR)
    assert repr(pdu).startswith(f"<Pdu {pdu.label} ITT=0x")
    assert len(pdu) == len(sample.wire)


def test_a_field_that_is_not_there() -> None:
    pdu = Pdu.build(Opcode.R2T)
    assert pdu.get("CDB") is None
    with pytest.raises(KeyError):
        pdu["CDB"]
    with pytest.raises(KeyError):
        pdu.with_fields({"CmdSN": 1})


def test_a_value_that_does_not_fit() -> None:
    pdu = Pdu.build(Opcode.SCSI_COMMAND)
    with pytest.raises(ValueError, match=r"ATTR takes 0\.\.0x7, not 0x8"):
        pdu.with_fields({"ATTR": 8})
    with pytest.raises(ValueError, match="CDB takes 16 bytes, not 17"):
        pdu.with_fields({"CDB": bytes(17)})


def test_fields_are_set_and_nothing_else() -> None:
    pdu = Pdu.build(Opcode.SCSI_COMMAND, b"data", ITT=1).sealed(header=True, data=True)
    changed = pdu.with_fields({"ITT": 2, "F": 1, "CDB": b"\x28"})
    assert (changed["ITT"], changed["F"], changed["CDB"] >> 120) == (2, 1, 0x28)
    assert changed.with_fields({"ITT": 1, "F": 0, "CDB": 0}) == pdu
    assert changed.header_digest == pdu.header_digest
    assert changed.header_digest_ok() is False
    assert changed.data_digest_ok() is True
    assert changed.sealed(header=True, data=True).header_digest_ok() is True


def test_a_changed_opcode_takes_effect_last() -> None:
    changed = Pdu.build(Opcode.NOP_OUT).with_fields({"Opcode": Opcode.R2T, "CmdSN": 7})
    assert changed.opcode == Opcode.R2T
    assert changed["StatSN"] == 7


@pytest.mark.parametrize(("length", "pad"), [(0, 0), (1, 3), (2, 2), (3, 1), (4, 0), (5, 3)])
def test_data_gets_its_length_and_padding(length: int, pad: int) -> None:
    pdu = Pdu.build(Opcode.DATA_IN, b"xxxxxxx").with_data(b"a" * length)
    assert (pdu["DataSegmentLength"], pdu.pad, padding(length)) == (length, bytes(pad), pad)
    assert len(pdu) % 4 == 0


def test_data_that_no_length_can_tell() -> None:
    pdu = Pdu.build(Opcode.DATA_IN)
    assert pdu.with_data(bytes((1 << 24) - 1))["DataSegmentLength"] == (1 << 24) - 1
    with pytest.raises(ValueError, match="at most 16777215 bytes"):
        pdu.with_data(bytes(1 << 24))


def test_ahs_get_their_length() -> None:
    pdu = Pdu.build(Opcode.SCSI_COMMAND, b"data").with_ahs(bytes(1020))
    assert pdu["TotalAHSLength"] == 255
    assert pdu.data == b"data"
    for length in (1, 1024):
        with pytest.raises(ValueError, match="multiple of 4 up to 1020"):
            pdu.with_ahs(bytes(length))


def test_parts_are_replaced_as_they_are() -> None:
    pdu = Pdu.build(Opcode.NOP_OUT, b"ping!")
    odd = pdu.with_parts(header_digest=b"1234", pad=b"xyz", data_digest=b"5678")
    assert odd.raw == pdu.bhs + b"1234ping!xyz5678"
    assert (odd.header_digest_ok(), odd.data_digest_ok()) == (False, False)
    assert odd.with_parts() == odd
    assert odd.with_bhs(bytes(48)).bhs == bytes(48)


def test_seals_are_made_and_taken_off() -> None:
    pdu = Pdu.build(Opcode.NOP_OUT, b"ping!")
    sealed = pdu.sealed(header=True, data=True)
    assert (sealed.header_digest_ok(), sealed.data_digest_ok()) == (True, True)
    assert sealed.data_digest == bytes.fromhex("8aedfc72")
    assert sealed.sealed(header=False, data=False) == pdu
    assert (pdu.header_digest_ok(), pdu.data_digest_ok()) == (None, None)


def test_no_data_has_no_digest() -> None:
    assert Pdu.build(Opcode.R2T).sealed(header=True, data=True).data_digest == b""


def test_the_cdb_of_a_command_has_its_extended_part() -> None:
    sample = next(sample for sample in SAMPLES if sample.opcode == Opcode.SCSI_COMMAND)
    cdb = sample.built.cdb
    assert len(cdb) == 32
    assert cdb[:16] == sample.values["CDB"]
    assert cdb[16:] == sample.ahs[4:20]
    assert sample.built.with_ahs(b"\xff" * 8).cdb == sample.values["CDB"]
    assert Pdu.build(Opcode.R2T).cdb == b""


def test_equality_and_hash_are_of_the_bytes() -> None:
    one, same, other = Pdu.build(0x31, ITT=1), Pdu.build(0x31, ITT=1), Pdu.build(0x31, ITT=2)
    assert one == same
    assert len({one, same, other}) == 2
    assert one != one.raw
