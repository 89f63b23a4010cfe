"""INQUIRY as initiators read it: field by field, page by page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from tests.peers.scsi.bench import TARGET, Bench

__all__: list[str] = []

PAGES = (0x00, 0x80, 0x83, 0x86, 0xB0, 0xB1, 0xB2)


def inquiry(page: int | None = None, room: int = 0xFFFF, *, flags: int = 0) -> bytes:
    return bytes([0x12, flags | (page is not None), page or 0]) + room.to_bytes(2, "big") + bytes(11)


def designators(page: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Take page 83h apart: first byte, second byte, length and value of each designator."""
    rest = page[4:]
    while rest:
        yield rest[0], rest[1], rest[3], rest[4 : 4 + rest[3]]
        rest = rest[4 + rest[3] :]


# --- identity ------------------------------------------------------------------------------------------------------


def test_an_identity_is_derived_always_alike() -> None:
    one = UnitIdentity.derive(TARGET, 1)
    assert one == UnitIdentity.derive(TARGET, 1)
    others = [UnitIdentity.derive(TARGET, 2), UnitIdentity.derive("iqn.x", 1), UnitIdentity.derive(TARGET, 1, "S1")]
    assert len({one.naa, *(other.naa for other in others)}) == 4
    assert len({one.serial, *(other.serial for other in others)}) == 4
    assert one.naa[0] >> 4 == 3
    assert others[-1].serial == "S1"


@pytest.mark.parametrize(
    ("serial", "naa"), [("", bytes(8)), ("x" * 241, bytes(8)), ("\n", bytes(8)), ("ü", bytes(8)), ("1", bytes(7))]
)
def test_an_impossible_identity_is_refused(serial: str, naa: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        UnitIdentity(serial=serial, naa=naa)


# --- standard data -------------------------------------------------------------------------------------------------


def test_standard_data() -> None:
    data = Bench().run(inquiry())
    assert len(data) == 96 == data[4] + 5
    assert data[0] == 0  # qualifier 0, a disk
    assert data[1] == 0  # not removable
    assert data[2] == 6  # SPC-4
    assert data[3] == 0x12  # HISUP, format 2; no NORMACA
    assert data[5] == 0x10  # implicit target port groups; no protection, no third-party copy
    assert data[6:8] == b"\x00\x02"  # CMDQUE
    assert data[8:36] == b"ISCSIPRXEMBEDDED DISK   0001"
    versions = [int.from_bytes(data[at : at + 2], "big") for at in range(58, 74, 2)]
    assert versions == [0x00A0, 0x0460, 0x04C0, 0x0960, 0, 0, 0, 0]


def test_long_names_are_cut() -> None:
    identity = UnitIdentity(vendor="V" * 20, product="P" * 20, revision="R" * 20, serial="1", naa=bytes(8))
    assert Bench(identity=identity).run(inquiry())[8:36] == b"V" * 8 + b"P" * 16 + b"R" * 4


@pytest.mark.parametrize("room", [0, 1, 5, 36, 95, 96, 97, 255, 256, 511, 512])
def test_standard_data_is_cut_to_the_allocation_length(room: int) -> None:
    assert Bench().run(inquiry(room=room)) == Bench().run(inquiry())[:room]


def test_bad_requests_are_refused() -> None:
    bench = Bench()
    page_without_evpd = bytes([0x12, 0, 0x80, 0, 255]) + bytes(11)
    assert bench.refusal(page_without_evpd) == "5/24/00"
    assert bench.refusal(inquiry(flags=2)) == "5/24/00"
    refused = [page for page in range(256) if bench.refusal(inquiry(page)) == "5/24/00"]
    assert refused == sorted(set(range(256)) - set(PAGES))


# --- vital product data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", PAGES)
def test_a_page_says_its_code_and_length(code: int) -> None:
    page = Bench().run(inquiry(code))
    assert page[:2] == bytes([0, code])
    assert int.from_bytes(page[2:4], "big") == len(page) - 4
    assert Bench().run(inquiry(code, 6)) == page[:6]


def test_the_supported_pages_are_listed() -> None:
    assert Bench().run(inquiry(0x00))[4:] == bytes(PAGES)


def test_the_serial_number() -> None:
    bench = Bench(identity=UnitIdentity(serial="0815", naa=bytes(8)))
    assert bench.run(inquiry(0x80))[4:] == b"0815"


def test_the_device_identification() -> None:
    bench = Bench(portal_group=3)
    found = list(designators(bench.run(inquiry(0x83))))
    port = f"{TARGET},t,0x0003".encode()
    assert [one[:2] for one in found] == [
        (0x01, 0x03),  # binary, the unit's NAA
        (0x02, 0x01),  # ASCII, the unit's T10 vendor ID
        (0x51, 0x94),  # iSCSI binary, PIV, the port's relative identifier
        (0x51, 0x95),  # iSCSI binary, PIV, the port's group
        (0x53, 0x98),  # iSCSI UTF-8, PIV, the port's name
        (0x53, 0xA8),  # iSCSI UTF-8, PIV, the device's name
    ]
    assert all(length == len(value) for *_, length, value in found)
    values = [value for *_, value in found]
    assert values[0] == bench.identity.naa
    assert values[1] == b"ISCSIPRX" + bench.identity.serial.encode()
    assert values[2] == values[3] == bytes([0, 0, 0, 3])
    assert values[4].rstrip(b"\0") == port
    assert values[5].rstrip(b"\0") == TARGET.encode()
    assert all(value.endswith(b"\0") and len(value) % 4 == 0 for value in values[4:])


def test_the_longest_target_name_fits() -> None:
    name = "iqn." + "x" * 219
    found = list(designators(Bench(target_name=name).run(inquiry(0x83))))
    assert found[-1][3].rstrip(b"\0") == name.encode()


def test_the_extended_inquiry_data() -> None:
    page = Bench().run(inquiry(0x86))
    assert len(page) == 64
    assert page[5] == 0x07  # head of queue, ordered, simple
    assert not any(page[6:])


@pytest.mark.parametrize(("size", "exponent"), [(512, 0), (512, 3), (4096, 0)])
def test_the_block_limits(size: int, exponent: int) -> None:
    medium = MemoryMedium(64, size, physical_exponent=exponent)
    page = Bench(medium=medium).run(inquiry(0xB0))
    assert len(page) == 64
    number = [int.from_bytes(page[at : at + 4], "big") for at in range(4, 64, 4)]
    assert page[4:6] == bytes([1, 255])  # WSNZ, MAXIMUM COMPARE AND WRITE LENGTH
    assert int.from_bytes(page[6:8], "big") == 1 << exponent
    assert number[1] == (32 << 20) // size
    assert number[2] == (1 << 20) // size
    assert number[3] == 0
    assert number[4] == 1 << 20  # MAXIMUM UNMAP LBA COUNT
    assert number[5] == 4095  # MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT
    assert number[6:8] == [1 << exponent, 0]
    assert int.from_bytes(page[36:44], "big") == (1 << 30) // size
    assert number[10] == min(number[1], 65535)  # MAXIMUM ATOMIC TRANSFER LENGTH
    assert number[11:] == [0, 0, 0, 0]


def test_the_block_device_characteristics() -> None:
    page = Bench().run(inquiry(0xB1))
    assert len(page) == 64
    assert page[4:6] == b"\x00\x01"
    assert not any(page[6:])


def test_the_logical_block_provisioning() -> None:
    page = Bench().run(inquiry(0xB2))
    assert page[4:] == bytes([0, 0xE4, 2, 0])
