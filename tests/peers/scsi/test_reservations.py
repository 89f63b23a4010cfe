from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.command import Nexus
from iscsiproxy.peers.scsi.reservations import Reservations
from tests.peers.scsi.lab import GOOD, Lab, cdb_of

__all__: list[str] = []

RESERVE, RELEASE = "16", "17"
READ, WRITE = "28 00 00000000 00 0001 00", "2a 00 00000000 00 0001 00"
CONFLICT = "RESERVATION_CONFLICT"
BLOCK = bytes(512)


def test_two_initiators() -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do(RESERVE) == one.do(RESERVE) == GOOD
    assert two.do(RESERVE) == CONFLICT
    assert two.do(RELEASE) == GOOD
    assert one.do("1a 00 3f 00 ff 00") == GOOD
    assert two.do("1a 00 3f 00 ff 00") == CONFLICT
    assert two.do(RESERVE) == CONFLICT
    assert one.do(RELEASE) == GOOD
    assert two.do(RESERVE) == two.do(RELEASE) == GOOD


def test_commands_of_ten_bytes_are_the_same() -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do("56") == GOOD
    assert two.do("56") == two.do(RESERVE) == CONFLICT
    assert one.do("57") == GOOD
    assert two.do("56") == GOOD


@pytest.mark.parametrize("flag", ["01", "02", "10"])
def test_third_parties_and_extents_are_no_more(flag: str) -> None:
    host = Lab().host("one")
    assert host.do(f"16 {flag}") == host.do(f"57 {flag}") == "5/24/00"


def test_one_unit_is_reserved() -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do(RESERVE) == GOOD
    assert two.do(WRITE, BLOCK, lun=5) == GOOD


@pytest.mark.parametrize(
    "text", ["12 00 00 00ff 00", "a0 00 00 000000 00000100", "03 00 0000 ff 00", "1e 00 0000 00 00", RELEASE, "57"]
)
def test_what_others_may_do(text: str) -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do(RESERVE) == GOOD
    assert two.do(text) == GOOD


@pytest.mark.parametrize(
    "text", ["00", READ, WRITE, "1e 00 0000 01 00", "1b 00 00 00 01 00", "35", "5e 00 000000 0000 0100 00"]
)
def test_what_they_may_not(text: str) -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do(RESERVE) == GOOD
    assert two.do(text) == CONFLICT


@pytest.mark.parametrize("way", ["disconnect", "unit", "warm", "cold"])
def test_what_releases_it(way: str) -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do(RESERVE) == GOOD
    match way:
        case "disconnect":
            one.disconnect()
        case "unit":
            lab.device.reset_unit(one.nexus, 0)
        case _:
            lab.device.reset_target(two.nexus, cold=way == "cold")
    two.attentions()
    assert two.do(RESERVE) == GOOD


def test_it_stays_when_another_goes() -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do(RESERVE) == GOOD
    two.disconnect()
    two.connect()
    assert two.do("00") == "6/29/07"
    assert two.do("00") == CONFLICT
    assert lab.unit.reservations.holder == one.nexus


def test_persistent_commands_are_in_conflict_with_it_even_for_the_holder() -> None:
    lab = Lab()
    one = lab.host("one")
    assert one.do(RESERVE) == GOOD
    assert one.do("5e 00 000000 0000 0100 00") == CONFLICT
    assert one.do("5f 06 000000 00000018 00", bytes(8) + b"mine".rjust(8) + bytes(8)) == CONFLICT


def test_it_is_in_conflict_with_registrations_even_for_the_registrant() -> None:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert one.do("5f 06 000000 00000018 00", bytes(8) + b"mine".rjust(8) + bytes(8)) == GOOD
    assert [host.do(text) for host in (one, two) for text in (RESERVE, RELEASE)] == [CONFLICT] * 4


def test_the_repr_names_the_holder() -> None:
    reservations = Reservations()
    assert repr(reservations) == "<Reservations held by nobody>"
    reservations.holder = Nexus("iqn.2024-01.example:host", 1)
    assert repr(reservations) == "<Reservations held by iqn.2024-01.example:host,i,0x000000000001>"
    assert not reservations.conflicts(reservations.holder, cdb_of(READ))
