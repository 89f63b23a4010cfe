from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.command import Nexus
from iscsiproxy.peers.scsi.persistent import ReservationType
from iscsiproxy.peers.scsi.reserve_in import transport_id
from tests.peers.scsi.lab import GOOD, Host, Lab

__all__: list[str] = []

KEY = 0x1122334455667788


def ask(host: Host, action: int, room: int = 0x4000) -> bytes:
    assert host.do(f"5e {action:02x} 0000000000 {room:04x} 00") == GOOD
    return host.data


def registered() -> tuple[Lab, Host, Host]:
    lab = Lab(portal_group=7)
    one, two = lab.host("one"), lab.host("two")
    lab.unit.persistent.register(one.nexus, 0, KEY, ignore=False)
    lab.unit.persistent.register(two.nexus, 0, KEY + 1, ignore=False)
    return lab, one, two


def test_nothing_is_registered() -> None:
    host = Lab().host("one")
    assert ask(host, 0) == ask(host, 1) == ask(host, 3) == bytes(8)


def test_READ_KEYS() -> None:
    _, one, _ = registered()
    whole = bytes.fromhex("00000002 00000010 1122334455667788 1122334455667789")
    assert ask(one, 0) == whole
    for room in (0, 8, 12):
        assert ask(one, 0, room) == whole[:room]


@pytest.mark.parametrize("kind", list(ReservationType))
def test_READ_RESERVATION(kind: ReservationType) -> None:
    lab, one, two = registered()
    lab.unit.persistent.reserve(one.nexus, KEY, kind)
    key = 0 if kind in (7, 8) else KEY
    assert ask(two, 1) == bytes.fromhex(f"00000002 00000010 {key:016x} 00000000 00 {kind:02x} 0000")


def test_REPORT_CAPABILITIES() -> None:
    assert ask(Lab().host("one"), 2) == bytes.fromhex("0008 00 80 ea01 0000")


def test_READ_FULL_STATUS() -> None:
    lab, one, two = registered()
    name = b"iqn.2024-01.example:one,i,0x000023d00001"
    assert len(transport_id(one.nexus)) % 4 == 0
    one_id, two_id = transport_id(one.nexus), transport_id(two.nexus)
    assert one_id.startswith(bytes([0x45, 0]) + (len(one_id) - 4).to_bytes(2, "big") + name[:20])

    def entry(key: int, held: str, port: bytes) -> bytes:
        return bytes.fromhex(f"{key:016x} 00000000 {held} 00000000 0001 {len(port):08x}") + port

    lab.unit.persistent.reserve(two.nexus, KEY + 1, ReservationType.EXCLUSIVE_ACCESS)
    entries = entry(KEY, "00 00", one_id) + entry(KEY + 1, "01 03", two_id)
    assert ask(one, 3) == bytes.fromhex("00000002") + len(entries).to_bytes(4, "big") + entries
    lab.unit.persistent.release(two.nexus, KEY + 1, ReservationType.EXCLUSIVE_ACCESS)
    lab.unit.persistent.reserve(two.nexus, KEY + 1, ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS)
    entries = entry(KEY, "01 07", one_id) + entry(KEY + 1, "01 07", two_id)
    assert ask(one, 3) == bytes.fromhex("00000002") + len(entries).to_bytes(4, "big") + entries


def test_a_TransportID() -> None:
    assert transport_id(Nexus("iqn.a", 1)) == bytes.fromhex("45 00 0018") + b"iqn.a,i,0x000000000001\0\0"
    assert transport_id(Nexus("a", 1)) == bytes.fromhex("45 00 0014") + b"a,i,0x000000000001\0\0"


@pytest.mark.parametrize("action", range(4, 0x20))
def test_service_actions_that_are_not_there(action: int) -> None:
    assert Lab().host("one").do(f"5e {action:02x} 0000000000 4000 00") == "5/24/00"


def test_it_may_be_asked_whoever_holds_a_reservation() -> None:
    lab, one, _ = registered()
    stranger = lab.host("three")
    lab.unit.persistent.reserve(one.nexus, KEY, ReservationType.EXCLUSIVE_ACCESS)
    assert stranger.do("28 00 00000000 00 0001 00") == "RESERVATION_CONFLICT"
    for action in range(4):
        ask(stranger, action)
