from __future__ import annotations

import pytest

from iscsiproxy.errors import ScsiError
from iscsiproxy.peers.initiator import commands
from iscsiproxy.wire.cdb import decode_cdb


@pytest.mark.parametrize(
    ("cdb", "said"),
    [
        (commands.test_unit_ready(), "TEST UNIT READY"),
        (commands.request_sense(18), "REQUEST SENSE allocation_length=18"),
        (commands.inquiry(), "INQUIRY allocation_length=255"),
        (commands.inquiry(0x83, 1000), "INQUIRY allocation_length=1000"),
        (commands.mode_sense6(8), "MODE SENSE(6) allocation_length=255"),
        (commands.report_luns(64), "REPORT LUNS allocation_length=64"),
        (commands.read_capacity10(), "READ CAPACITY(10) LBA=0"),
        (commands.read_capacity16(), "READ CAPACITY(16) LBA=0 allocation_length=32"),
        (commands.read10(7, 9), "READ(10) LBA=7 blocks=9"),
        (commands.write10(7, 9, fua=True), "WRITE(10) LBA=7 blocks=9"),
        (commands.read16(1 << 40, 1 << 20), f"READ(16) LBA={1 << 40} blocks={1 << 20}"),
        (commands.write16(7, 9), "WRITE(16) LBA=7 blocks=9"),
        (commands.verify10(7, 9, compare=True), "VERIFY(10) LBA=7 blocks=9"),
        (commands.synchronize_cache10(7), "SYNCHRONIZE CACHE(10) LBA=7 blocks=0"),
        (commands.write_same10(7, 9), "WRITE SAME(10) LBA=7 blocks=9"),
        (commands.compare_and_write(7, 2), "COMPARE AND WRITE LBA=7 blocks=2"),
        (commands.unmap(24), "UNMAP parameter_length=24"),
        (commands.persistent_reserve_in(1), "PERSISTENT RESERVE IN READ RESERVATION allocation_length=4096"),
        (commands.persistent_reserve_out(1, 5), "PERSISTENT RESERVE OUT RESERVE parameter_length=24"),
    ],
)
def test_a_CDB_says_what_was_meant(cdb: bytes, said: str) -> None:
    assert str(decode_cdb(cdb)) == said
    assert len(cdb) in (6, 10, 12, 16)


def test_the_flags_are_where_they_belong() -> None:
    assert commands.write10(0, 1, fua=True)[1] == 0x08
    assert commands.write_same10(0, 1, unmap=True)[1] == 0x08
    assert commands.verify10(0, 1, compare=True)[1] == 0x02
    assert commands.inquiry(0)[1:3] == b"\1\0"
    assert commands.mode_sense6(descriptors=False)[1] == 0x08


def test_parameter_lists() -> None:
    extents = commands.unmap_parameters((16, 8), (1 << 33, 1))
    assert extents.hex() == ("00260020000000000000000000000010000000080000000000000002000000000000000100000000")
    keys = commands.reserve_parameters(1, 2, aptpl=True)
    assert keys.hex() == "000000000000000100000000000000020000000001000000"


def test_answers_are_read() -> None:
    inquiry = bytes([0x25, 0, 5, 0x22, 31, 0, 0, 2]) + b"VENDOR  PRODUCT         0001"
    read = commands.decode_inquiry(inquiry)
    assert (read.device_type, read.qualifier, read.vendor, read.product, read.revision, read.normal_aca) == (
        *(5, 1, "VENDOR", "PRODUCT", "0001", True),
    )
    assert commands.decode_capacity10(bytes.fromhex("000003ff00000200")).length == 512 * 1024
    large = commands.decode_capacity16(bytes.fromhex("00000001ffffffff000010000000c000") + bytes(16))
    assert (large.blocks, large.block_length, large.thin) == (1 << 33, 4096, True)
    assert commands.decode_luns(bytes.fromhex("0000001800000000000000000000000000010000000000004100")) == (0, 1)


@pytest.mark.parametrize(
    "decode",
    [commands.decode_inquiry, commands.decode_capacity10, commands.decode_capacity16, commands.decode_luns],
)
def test_an_answer_that_is_too_short_is_an_error(decode: object) -> None:
    assert callable(decode)
    with pytest.raises(ScsiError, match="at least"):
        decode(bytes(7))
