from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.persistent import ReservationType
from tests.peers.scsi.lab import GOOD, Host, Lab

__all__: list[str] = []

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE = range(7)
KA, KB = 0xA, 0xB
CONFLICT = "RESERVATION_CONFLICT"
READ, WRITE = "28 00 00000000 00 0001 00", "2a 00 00000000 00 0001 00"
BLOCK = bytes(512)


def order(host: Host, action: int, key: int = 0, new: int = 0, kind: int = 0, *, flags: int = 0) -> str:
    data = key.to_bytes(8, "big") + new.to_bytes(8, "big") + bytes([0, 0, 0, 0, flags, 0, 0, 0])
    return host.do(f"5f {action:02x} {kind:02x} 0000 00000018 00", data)


def two_registered(kind: int = 0) -> tuple[Lab, Host, Host]:
    lab = Lab()
    one, two = lab.host("one"), lab.host("two")
    assert order(one, REGISTER, 0, KA) == GOOD
    assert order(two, REGISTER_AND_IGNORE, 0x99, KB) == GOOD
    if kind:
        assert order(one, RESERVE, KA, 0, kind) == GOOD
    return lab, one, two


@pytest.mark.parametrize("kind", list(ReservationType))
def test_who_owns_it_after_the_holder_has_unregistered(kind: int) -> None:
    lab, one, two = two_registered(kind)
    assert order(one, REGISTER, KA, 0) == GOOD
    if kind in (7, 8):
        assert lab.unit.persistent.type == kind
        assert order(two, RELEASE, KB, 0, kind) == GOOD
    assert lab.unit.persistent.type is None
    assert two.attentions() == (["6/2A/04"] if kind in (5, 6) else [])
    assert order(two, REGISTER, KB, 0) == GOOD
    assert not lab.unit.persistent.registered


@pytest.mark.parametrize(
    ("kind", "registrant", "stranger"),
    [(1, "r", "r"), (3, "", ""), (5, "rw", "r"), (6, "rw", ""), (7, "rw", "r"), (8, "rw", "")],
)
def test_who_has_access(kind: int, registrant: str, stranger: str) -> None:
    _, one, two = two_registered(kind)

    def access(host: Host) -> str:
        reads, writes = host.do(READ), host.do(WRITE, BLOCK if host.do(WRITE, b"") != CONFLICT else b"")
        assert {reads, writes} <= {GOOD, CONFLICT}
        return "r" * (reads == GOOD) + "w" * (writes == GOOD)

    assert access(one) == "rw"
    assert access(two) == registrant
    assert order(two, REGISTER, KB, 0) == GOOD
    assert access(two) == stranger
    assert order(one, RELEASE, KA, 0, kind) == GOOD
    assert access(two) == "rw"


def test_it_outlives_the_session() -> None:
    _, one, two = two_registered(3)
    one.disconnect()
    assert two.do(READ) == CONFLICT
    one.connect()
    assert one.attentions() == ["6/29/07"]
    assert one.do(READ) == GOOD
    assert two.do(READ) == CONFLICT
    assert order(one, RESERVE, KA, 0, 3) == GOOD


def test_it_outlives_a_reset() -> None:
    lab, one, two = two_registered(3)
    lab.device.reset_unit(two.nexus, 0)
    assert [one.attentions(), two.do("00")] == [["6/29/03"], "6/29/03"]
    assert two.do(READ) == CONFLICT


def test_one_who_is_preempted_learns_of_it() -> None:
    lab, one, two = two_registered(3)
    waiting = one.submit(READ)
    assert order(two, PREEMPT, KB, KA, 3) == GOOD
    assert waiting.told == ["enabled"]
    waiting.finish()
    assert one.do(READ) == "6/2A/05"
    assert one.do(READ) == CONFLICT
    assert two.do(READ) == GOOD
    assert lab.unit.persistent.generation == 3


def test_one_who_is_lost_and_preempted_learns_of_both() -> None:
    _, one, two = two_registered(3)
    one.disconnect()
    assert order(two, PREEMPT, KB, KA, 3) == GOOD
    one.connect()
    assert [one.do(READ) for _ in range(3)] == ["6/29/07", "6/2A/05", CONFLICT]


def test_PREEMPT_AND_ABORT_ends_the_commands_of_its_victims() -> None:
    lab, one, two = two_registered(5)
    three = lab.host("three")
    theirs, queued, bystander = one.submit(WRITE), one.submit(WRITE), three.submit(READ)
    data = KB.to_bytes(8, "big") + KA.to_bytes(8, "big") + bytes(8)
    abort = two.submit("5f 05 05 0000 00000018 00")
    lab.device.begin(abort.command)
    lab.device.execute(abort.command, data)
    abort.finish()
    assert (theirs.told, queued.told) == (["enabled", "CLEARED"], ["CLEARED"])
    assert bystander.told == ["enabled"]
    assert one.attentions() == ["6/2F/00", "6/2A/05"]
    assert two.attentions() == three.attentions() == []


def test_it_keeps_its_turn_among_what_its_own_nexus_does() -> None:
    _, one, two = two_registered()
    two.submit(WRITE)
    writing = one.submit(WRITE)
    asked = one.submit("5f 03 00 0000 00000018 00")
    assert not asked.enabled
    writing.finish()
    assert asked.enabled


def test_CLEAR() -> None:
    lab, one, two = two_registered(1)
    assert order(two, CLEAR, KA) == CONFLICT
    assert order(two, CLEAR, KB) == GOOD
    assert one.attentions() == ["6/2A/03"]
    assert (lab.unit.persistent.registered, lab.unit.persistent.generation) == ({}, 3)


@pytest.mark.parametrize(
    ("action", "key", "new", "kind", "said"),
    [
        (RESERVE, KA, 0, 0x00, "5/24/00"),
        (RESERVE, KA, 0, 0x02, "5/24/00"),
        (RESERVE, KA, 0, 0x04, "5/24/00"),
        (RESERVE, KA, 0, 0x0F, "5/24/00"),
        (RESERVE, KA, 0, 0x13, "5/24/00"),
        (RESERVE, KB, 0, 0x03, CONFLICT),
        (RELEASE, KB, 0, 0x03, CONFLICT),
        (RELEASE, KA, 0, 0x01, "5/26/04"),
        (RELEASE, KA, 0, 0x13, "5/26/04"),
        (REGISTER, KB, 0xC, 0x00, CONFLICT),
        (PREEMPT, KA, 0xC, 0x03, CONFLICT),
        (PREEMPT, KA, 0, 0x03, "5/26/00"),
        (PREEMPT_AND_ABORT, KA, KA, 0x00, "5/24/00"),
        (7, KA, 0, 0, "5/24/00"),
    ],
)
def test_what_is_refused(action: int, key: int, new: int, kind: int, said: str) -> None:
    lab, one, _ = two_registered(3)
    if action == 7:
        assert one.do("5f 07 00 0000 00000018 00") == said
    else:
        assert order(one, action, key, new, kind) == said
    persistent = lab.unit.persistent
    assert (len(persistent.registered), persistent.type, persistent.generation) == (2, 3, 2)


@pytest.mark.parametrize("flags", [0x01, 0x04, 0x08])
def test_what_registering_cannot_do(flags: int) -> None:
    _, one, _ = two_registered()
    for action in (REGISTER, REGISTER_AND_IGNORE):
        assert order(one, action, KA, 0xC, flags=flags) == "5/26/00"
    assert order(one, RESERVE, KA, 0, 3, flags=flags) == GOOD


@pytest.mark.parametrize("length", ["00000000", "00000017", "00000019", "0000001c", "ffffffff"])
def test_the_parameter_list_has_one_length(length: str) -> None:
    assert Lab().host("one").do(f"5f 00 00 0000 {length} 00") == "5/1A/00"


def test_a_parameter_list_that_is_cut_short() -> None:
    host = Lab().host("one")
    assert host.do("5f 06 00 0000 00000018 00", bytes(23)) == "5/1A/00"
