"""READ CAPACITY, GET LBA STATUS, UNMAP and WRITE SAME."""

from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.handler import Footprint
from iscsiproxy.peers.scsi.medium import MemoryMedium
from tests.peers.scsi.bench import COMMANDS, Bench, block

__all__: list[str] = []

CAPACITY_10 = bytes([0x25]) + bytes(15)
ANCHOR, UNMAP, PBDATA, LBDATA, NDOB = 0x10, 0x08, 0x04, 0x02, 0x01

both = pytest.mark.parametrize("opcode", [0x41, 0x93])


def capacity_16(room: int = 32) -> bytes:
    return bytes([0x9E, 0x10]) + bytes(8) + room.to_bytes(4, "big") + bytes(2)


def lba_status(lba: int, room: int = 24) -> bytes:
    return bytes([0x9E, 0x12]) + lba.to_bytes(8, "big") + room.to_bytes(4, "big") + bytes(2)


def unmap(length: int, flags: int = 0) -> bytes:
    return bytes([0x42, flags]) + bytes(5) + length.to_bytes(2, "big") + bytes(7)


def unmap_list(*ranges: tuple[int, int]) -> bytes:
    body = b"".join(lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4) for lba, count in ranges)
    return (len(body) + 6).to_bytes(2, "big") + len(body).to_bytes(2, "big") + bytes(4) + body


def same(opcode: int, lba: int, count: int, flags: int = 0) -> bytes:
    if opcode == 0x93:
        return bytes([opcode, flags]) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2)
    return bytes([opcode, flags]) + lba.to_bytes(4, "big") + bytes(1) + count.to_bytes(2, "big") + bytes(7)


def full(blocks: int = 64) -> Bench:
    bench = Bench(medium=MemoryMedium(blocks))
    bench.medium.fill(0, blocks, block("a"))
    return bench


# --- READ CAPACITY -------------------------------------------------------------------------------------------------


def test_read_capacity_10() -> None:
    assert Bench().run(CAPACITY_10) == bytes.fromhex("0000003f 00000200")
    assert Bench(medium=MemoryMedium(8, 4096)).run(CAPACITY_10) == bytes.fromhex("00000007 00001000")


def test_a_big_medium_is_too_big_for_read_capacity_10() -> None:
    assert Bench(medium=MemoryMedium(1 << 32)).run(CAPACITY_10)[:4] == b"\xff" * 4
    assert Bench(medium=MemoryMedium((1 << 32) - 1)).run(CAPACITY_10)[:4] == b"\xff\xff\xff\xfe"


def test_read_capacity_16() -> None:
    medium = MemoryMedium(1 << 33, 4096, physical_exponent=2)
    data = Bench(medium=medium).run(capacity_16())
    assert data == bytes.fromhex("00000001ffffffff 00001000 00 02 c000") + bytes(16)


@pytest.mark.parametrize("room", [0, 1, 12, 15, 31, 32, 33, 0xFFFFFFFF])
def test_read_capacity_16_is_cut_to_the_allocation_length(room: int) -> None:
    assert Bench().run(capacity_16(room)) == Bench().run(capacity_16())[:room]


# --- GET LBA STATUS ------------------------------------------------------------------------------------------------


def status(data: bytes) -> list[tuple[int, int, int]]:
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    descriptors = [data[at : at + 16] for at in range(8, len(data), 16)]
    return [(int.from_bytes(one[:8], "big"), int.from_bytes(one[8:12], "big"), one[12]) for one in descriptors]


def test_the_status_of_blocks() -> None:
    bench = Bench()
    bench.medium.write(8, block("a", 4))
    assert status(bench.run(lba_status(0, 1024))) == [(0, 8, 1), (8, 4, 0), (12, 52, 1)]
    assert status(bench.run(lba_status(9, 40))) == [(9, 3, 0), (12, 52, 1)]
    assert status(bench.run(lba_status(63))) == [(63, 1, 1)]


def test_the_status_is_cut_to_the_allocation_length() -> None:
    whole = Bench().run(lba_status(0))
    assert [Bench().run(lba_status(0, room)) for room in (0, 4, 23)] == [whole[:0], whole[:4], whole[:23]]


def test_the_status_of_blocks_that_are_not_there() -> None:
    for lba in (64, 65, 1 << 63, (1 << 64) - 1):
        assert Bench().refusal(lba_status(lba)) == "5/21/00"


def test_the_status_of_very_many_blocks() -> None:
    bench = Bench(medium=MemoryMedium(1 << 34))
    assert status(bench.run(lba_status(0))) == [(0, 0xFFFFFFFF, 1)]
    bench = Bench(medium=MemoryMedium(4096))
    for lba in range(0, 4096, 2):
        bench.medium.write(lba, block("a"))
    assert len(status(bench.run(lba_status(0, 0xFFFFFFFF)))) == 1024


# --- UNMAP ---------------------------------------------------------------------------------------------------------


def test_unmap() -> None:
    bench = full()
    data = unmap_list((0, 2), (10, 1), (63, 1))
    assert bench.wants(unmap(len(data))) == len(data) == 56
    assert bench.run(unmap(len(data)), data) == b""
    gone = {0, 1, 10, 63}
    assert bench.medium.read(0, 64) == b"".join(block("\0" if lba in gone else "a") for lba in range(64))
    assert bench.medium.mapped(10) == (False, 1)


def test_unmap_nothing() -> None:
    bench = full()
    for data in (
        unmap_list(),
        unmap_list((0, 0)),
        unmap_list((64, 0)),
        unmap_list(*((lba // 2, 0) for lba in range(64))),
    ):
        assert bench.run(unmap(len(data)), data) == b""
    assert bench.run(unmap(0)) == b""
    assert bench.medium.mapped(0) == (True, 64)


def test_unmap_checks_all_before_it_does_any() -> None:
    bench = full()
    for bad in ((64, 1), (0, 65), (65, 0), ((1 << 64) - 1, 1)):
        data = unmap_list((0, 1), bad)
        assert bench.refusal(unmap(len(data)), data) == "5/21/00"
    assert bench.medium.mapped(0) == (True, 64)


def test_unmap_has_limits() -> None:
    bench = Bench(medium=MemoryMedium(1 << 30))
    half = (1 << 19, 1 << 19)
    data = unmap_list(half, half)
    assert bench.run(unmap(len(data)), data) == b""
    data = unmap_list(half, half, (0, 1))
    assert bench.refusal(unmap(len(data)), data) == "5/26/00"


def test_unmap_of_a_bad_list() -> None:
    bench = full()
    data = unmap_list((0, 1))
    assert bench.refusal(unmap(7)) == "5/1A/00"
    assert bench.refusal(unmap(23), data[:23]) == "5/1A/00"
    assert bench.refusal(unmap(24), data[:20]) == "5/0E/03"
    assert bench.medium.mapped(0) == (True, 64)


def test_unmap_leaves_out_what_is_no_whole_descriptor() -> None:
    bench = full()
    data = bytes([0, 30, 0, 24]) + bytes(4) + unmap_list((0, 1))[8:] + bytes(8)
    assert bench.run(unmap(len(data)), data) == b""
    assert bench.medium.mapped(0) == (False, 1)


def test_unmap_refuses_to_anchor_and_to_write() -> None:
    assert full().refusal(unmap(24, flags=1)) == "5/24/00"
    assert Bench(write_protected=True).refusal(unmap(24)) == "7/27/00"


# --- WRITE SAME ----------------------------------------------------------------------------------------------------


@both
def test_write_same(opcode: int) -> None:
    bench = full()
    assert bench.wants(same(opcode, 2, 3)) == 512
    assert bench.run(same(opcode, 2, 3), block("Z")) == b""
    assert bench.medium.read(0, 6) == block("a", 2) + block("Z", 3) + block("a")


@both
def test_write_same_of_no_blocks_is_refused(opcode: int) -> None:
    for flags in (0, UNMAP):
        assert full().refusal(same(opcode, 0, 0, flags)) == "5/24/00"
        assert full().refusal(same(opcode, 64, 0, flags)) == "5/24/00"
        assert full().refusal(same(opcode, 65, 0, flags)) == "5/21/00"


@both
def test_write_same_unmaps_what_is_zero(opcode: int) -> None:
    bench = full()
    bench.run(same(opcode, 2, 3, UNMAP), bytes(512))
    assert bench.medium.mapped(2) == (False, 3)
    assert bench.medium.read(2, 3) == bytes(3 * 512)


@both
def test_write_same_writes_what_is_not_zero(opcode: int) -> None:
    bench = full()
    bench.run(same(opcode, 2, 3, UNMAP), block("Z"))
    assert bench.medium.read(2, 3) == block("Z", 3)
    bench.run(same(opcode, 2, 3), bytes(512))
    assert bench.medium.mapped(0) == (True, 64)
    assert bench.medium.read(2, 3) == bytes(3 * 512)


def test_write_same_16_without_data() -> None:
    bench = full()
    assert bench.wants(same(0x93, 0, 2, NDOB)) == 0
    bench.run(same(0x93, 0, 2, NDOB))
    assert bench.medium.read(0, 3) == bytes(1024) + block("a")
    assert bench.medium.mapped(0) == (True, 64)
    bench.run(same(0x93, 0, 2, NDOB | UNMAP))
    assert bench.medium.mapped(0) == (False, 2)


def test_write_same_10_knows_no_ndob() -> None:
    assert Bench().wants(same(0x41, 0, 2, NDOB)) == 512


@both
@pytest.mark.parametrize("flags", [0x20, 0xE0, ANCHOR, ANCHOR | UNMAP, PBDATA, LBDATA])
def test_what_write_same_refuses(opcode: int, flags: int) -> None:
    assert full().refusal(same(opcode, 0, 1, flags)) == "5/24/00"


@both
def test_write_same_beyond_the_end(opcode: int) -> None:
    for lba, count in ((63, 2), (64, 1), (65, 0), (0x80000000, 1), (0xFFFFFFFF, 0)):
        assert Bench().refusal(same(opcode, lba, count, UNMAP)) == "5/21/00"


@both
def test_write_same_is_write_protected(opcode: int) -> None:
    for flags in (0, UNMAP):
        assert Bench(write_protected=True).refusal(same(opcode, 0, 1, flags)) == "7/27/00"


@both
def test_write_same_wants_a_whole_block(opcode: int) -> None:
    bench = full()
    assert bench.refusal(same(opcode, 0, 1), bytes(256)) == "5/0E/03"
    assert bench.medium.read(0, 1) == block("a")


def test_write_same_has_a_limit() -> None:
    bench = Bench(medium=MemoryMedium(1 << 31))
    assert bench.refusal(same(0x93, 0, 1 << 21)) == "5/0E/03"
    assert bench.refusal(same(0x93, 0, (1 << 21) + 1)) == "5/24/00"


# --- what others are told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cdb", "footprint"),
    [
        (same(0x41, 5, 3), Footprint(5, 3, writes=True)),
        (same(0x93, 5, 4), Footprint(5, 4, writes=True)),
        (unmap(24), Footprint(0, 1 << 64, writes=True)),
        (lba_status(5), Footprint(5, 1 << 64, writes=False)),
    ],
)
def test_footprints(cdb: bytes, footprint: Footprint) -> None:
    handler = COMMANDS[cdb[0], cdb[1] if cdb[0] == 0x9E else None]
    assert handler.footprint is not None
    assert handler.footprint(cdb) == footprint
    assert handler.reach.writes == footprint.writes


def test_write_same_does_nothing_by_halves() -> None:
    assert {key for key, handler in COMMANDS.items() if handler.exact} == {(0x41, None), (0x93, None), (0x89, None)}
