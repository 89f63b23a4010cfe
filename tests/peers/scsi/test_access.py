"""What the commands that touch blocks have in common."""

from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi import access
from iscsiproxy.peers.scsi.handler import Footprint
from iscsiproxy.peers.scsi.medium import MemoryMedium
from tests.peers.scsi.bench import Bench, refusal

__all__: list[str] = []

READ_10 = bytes.fromhex("28 00 00000102 00 0003 00 000000000000")
READ_6 = bytes.fromhex("08 1fffff 00 00") + bytes(10)
UNMAP = bytes.fromhex("42 00 00000000 00 0018 00 000000000000")


def test_where_a_command_goes() -> None:
    assert access.extent(READ_10) == (0x102, 3)
    assert access.extent(READ_6) == (0x1FFFFF, 256)
    assert access.extent(UNMAP) == (0, 0)
    assert access.reading(READ_10) == Footprint(0x102, 3, writes=False)
    assert access.writing(READ_10) == Footprint(0x102, 3, writes=True)
    assert access.number(READ_10, 7, 9) == 3


@pytest.mark.parametrize(
    ("lba", "count", "said"),
    [(0, 64, "none"), (63, 1, "none"), (64, 0, "none"), (65, 0, "5/21/00"), (64, 1, "5/21/00"), (0, 65, "5/21/00")],
)
def test_the_end_of_the_medium(lba: int, count: int, said: str) -> None:
    assert refusal(lambda: access.check_range(Bench().unit, lba, count)) == said


def test_a_transfer_can_be_too_long() -> None:
    bench = Bench(medium=MemoryMedium(1 << 20))
    assert refusal(lambda: access.check_transfer(bench.unit, 0, 65536)) == "none"
    assert refusal(lambda: access.check_transfer(bench.unit, 0, 65537)) == "5/24/00"
    assert refusal(lambda: access.check_transfer(bench.unit, 1 << 20, 65537)) == "5/21/00"


def test_what_is_write_protected() -> None:
    assert refusal(lambda: access.check_writable(Bench().unit)) == "none"
    assert refusal(lambda: access.check_writable(Bench(write_protected=True).unit)) == "7/27/00"


@pytest.mark.parametrize("bits", [0x20, 0x40, 0x80, 0xE0])
def test_protection_information_is_refused(bits: int) -> None:
    assert refusal(lambda: access.refuse_protection(bytes([0x28, bits]))) == "5/24/00"
    assert refusal(lambda: access.refuse_protection(bytes([0x28, 0x1F]))) == "none"


def test_data_that_is_not_all_there() -> None:
    data = memoryview(b"abc")
    assert access.whole(data, 3) is data
    assert refusal(lambda: access.whole(data, 4)) == "5/0E/03"
