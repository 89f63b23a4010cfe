from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.mode import ModePages
from tests.peers.scsi.lab import GOOD, Lab

__all__: list[str] = []

RECOVERY = "810a" + "00" * 10
CACHING = "8812 04" + "00" * 17
CONTROL = "8a0a" + "00" * 10
EXCEPTIONS = "9c0a 08" + "00" * 9
#: Control pages as MODE SELECT sends them
D_SENSE, SWP, BOTH, PLAIN = (
    f"0a0a {sense} 00 {swp}" + "00" * 7 for sense, swp in (("04", "00"), ("00", "08"), ("04", "08"), ("00", "00"))
)
WRITE = "2a 00 00000000 00 0001 00"


def select(pages: str, *, head: str = "00000000", flags: int = 0x10) -> tuple[str, bytes]:
    data = bytes.fromhex(head + pages)
    return f"15 {flags:02x} 0000 {len(data):02x} 00", data


def test_everything_in_six_bytes() -> None:
    host = Lab().host("one")
    assert host.do("1a 00 3f 00 ff 00") == GOOD
    pages = RECOVERY + CACHING + CONTROL + EXCEPTIONS
    assert host.data == bytes.fromhex("43 00 10 08 00000040 00000200" + pages)
    assert host.data[0] == len(host.data) - 1


def test_everything_in_ten_bytes() -> None:
    host = Lab().host("one")
    assert host.do("5a 08 3f ff 000000 00ff 00") == GOOD
    pages = bytes.fromhex(RECOVERY + CACHING + CONTROL + EXCEPTIONS)
    assert host.data == bytes.fromhex("003e 00 10 00 00 0000") + pages
    assert host.do("5a 10 0a 00 000000 00ff 00") == GOOD
    assert host.data == bytes.fromhex("0022 00 10 01 00 0010 0000000000000040 00000000 00000200" + CONTROL)


def test_no_more_than_there_is_room_for() -> None:
    host = Lab().host("one")
    assert host.do("1a 00 3f 00 04 00") == GOOD
    assert host.data == bytes.fromhex("43 00 10 08")
    assert host.do("1a 00 3f 00 00 00") == GOOD
    assert host.data == b""


@pytest.mark.parametrize(("code", "page"), [("01", RECOVERY), ("08", CACHING), ("0a", CONTROL), ("1c", EXCEPTIONS)])
def test_a_single_page(code: str, page: str) -> None:
    host = Lab().host("one")
    for subpage in ("00", "ff"):
        assert host.do(f"1a 08 {code} {subpage} ff 00") == GOOD
        assert host.data[4:] == bytes.fromhex(page)


@pytest.mark.parametrize("page", ["00 00", "02 00", "0a 01", "3f 01", "3e 00"])
def test_pages_that_are_not_there(page: str) -> None:
    assert Lab().host("one").do(f"1a 08 {page} ff 00") == "5/24/00"


def test_what_can_be_changed() -> None:
    host = Lab().host("one")
    assert host.do("1a 08 7f 00 ff 00") == GOOD
    assert host.data[4:] == bytes.fromhex(
        "810a" + "00" * 10 + "8812 04" + "00" * 17 + "8a0a 04 00 08" + "00" * 7 + "9c0a" + "00" * 10
    )


def test_current_default_and_saved_values() -> None:
    lab = Lab()
    host = lab.host("one")

    def values() -> list[bytes]:
        found = []
        for control in ("0a", "8a", "ca"):
            assert host.do(f"1a 08 {control} 00 ff 00") == GOOD
            found.append(host.data[6:])
        return found

    plain, both = (bytes.fromhex(text)[2:] for text in (PLAIN, BOTH))
    assert values() == [plain, plain, plain]
    assert host.do(*select(BOTH)) == GOOD
    assert values() == [both, plain, plain]
    assert host.do(*select(BOTH, flags=0x11)) == GOOD
    assert values() == [both, plain, both]
    assert host.do(*select(PLAIN)) == GOOD
    assert values() == [plain, plain, both]
    lab.device.reset_unit(host.nexus, 0)
    assert host.attentions() == ["6/29/03"]
    assert values() == [both, plain, both]


def test_SWP_forbids_to_write() -> None:
    host = Lab().host("one")
    assert host.do(*select(SWP)) == GOOD
    assert host.do(WRITE) == "7/27/00"
    assert host.do("28 00 00000000 00 0001 00") == GOOD
    assert host.do("1a 08 0a 00 ff 00") == GOOD
    assert host.data[2] == 0x90
    assert host.do(*select(PLAIN)) == GOOD
    assert host.do(WRITE, bytes(512)) == GOOD


def test_the_others_learn_of_a_change_and_of_nothing_else() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    assert host.do(*select(PLAIN)) == GOOD
    assert other.attentions() == []
    assert host.do(*select(D_SENSE)) == GOOD
    assert other.attentions(5) == host.attentions() == []
    assert other.attentions() == ["6/2A/01"]


@pytest.mark.parametrize(
    "pages",
    [
        "0a0a 00 00 00 40" + "00" * 6,  # TAS
        "0a0a 20" + "00" * 9,  # TST
        "0a09" + "00" * 9,
        "020e" + "00" * 14,
        "4a01 0000",  # a subpage
        CONTROL.replace("8a0a", "0a0a") + "1c0a 00" + "00" * 9,
        "0812 05" + "00" * 17,  # RCD
    ],
)
def test_what_cannot_be_changed(pages: str) -> None:
    lab = Lab()
    host = lab.host("one")
    assert host.do(*select(D_SENSE + pages)) == "5/26/00"
    assert not lab.unit.mode.descriptor_sense


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("00000000", GOOD),
        ("ff009000", GOOD),  # The length and the bits of the device are the unit's to say.
        ("00000008 00000040 00000200", GOOD),
        ("00000008 00000000 00000200", GOOD),
        ("00000008 ffffffff 00000200", GOOD),
        ("00000008 00000041 00000200", "5/26/00"),
        ("00000008 00000040 00001000", "5/26/00"),
        ("00010000", "5/26/00"),
        ("00000004 00000040", "5/26/00"),
    ],
)
def test_the_header_of_MODE_SELECT(head: str, said: str) -> None:
    lab = Lab()
    assert lab.host("one").do(*select(D_SENSE, head=head)) == said
    assert lab.unit.mode.descriptor_sense is (said == GOOD)


def test_MODE_SELECT_of_ten_bytes() -> None:
    lab = Lab()
    host = lab.host("one")
    long = bytes.fromhex("0000 00 00 01 00 0010 0000000000000040 00000000 00000200" + D_SENSE)
    assert host.do(f"55 10 00000000 00 {len(long):04x} 00", long) == GOOD
    assert lab.unit.mode.descriptor_sense
    short = bytes.fromhex("0000 00 00 00 00 0000" + PLAIN)
    assert host.do(f"55 10 00000000 00 {len(short):04x} 00", short) == GOOD
    assert not lab.unit.mode.descriptor_sense


def test_the_length_of_the_parameter_list() -> None:
    host = Lab().host("one")
    command, data = select(D_SENSE)
    assert host.do("15 10 0000 00 00") == host.do("15 00 0000 00 00") == GOOD
    for length in range(len(data)):
        assert host.do(command, data[:length]) == "5/1A/00"
        expected = GOOD if length == 4 else "5/1A/00"
        assert length == 0 or host.do(f"15 10 0000 {length:02x} 00", data[:length]) == expected
    assert host.do("15 10 0000 08 00", bytes.fromhex("00000008 00000040")) == "5/1A/00"


@pytest.mark.parametrize("flags", [0x00, 0x01, 0x12])
def test_without_PF_or_with_RTD(flags: int) -> None:
    assert Lab().host("one").do(*select(D_SENSE, flags=flags)[:1]) == "5/24/00"


def test_a_unit_too_big_for_the_short_block_descriptor() -> None:
    host = Lab(medium=MemoryMedium(1 << 33)).host("one")
    assert host.do("1a 00 0a 00 ff 00") == GOOD
    assert host.data[4:12] == bytes.fromhex("ffffffff 00000200")


def test_the_pages_alone() -> None:
    pages = ModePages()
    assert repr(pages) == "<ModePages all as by default>"
    assert pages.write_cache
    assert pages.write(bytes.fromhex(D_SENSE), save=False)
    assert repr(pages) == "<ModePages 0Ah changed>"
    assert not pages.write(bytes.fromhex(D_SENSE), save=True)
    with pytest.raises(CheckCondition, match="5/26/00"):
        pages.write(bytes.fromhex("3f00"), save=False)
