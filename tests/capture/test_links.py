from __future__ import annotations

import pytest

from iscsiproxy.capture.links import Links
from iscsiproxy.wire.opcodes import End
from tests.journal.story import command, data_in

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET


@pytest.fixture
def links() -> Links:
    links = Links()
    for itt in range(1, 6):
        links.came(INITIATOR, command(itt, b"data"), itt)
    return links


def test_what_passes_is_linked_in_order(links: Links) -> None:
    assert [links.went(INITIATOR, command(itt, b"data")) for itt in range(1, 6)] == [1, 2, 3, 4, 5]
    assert links.went(INITIATOR, command(1, b"data")) is None


def test_directions_are_kept_apart(links: Links) -> None:
    links.came(TARGET, data_in(1), 6)
    assert links.went(TARGET, command(1, b"data")) is None
    assert links.went(TARGET, data_in(1)) == 6
    assert repr(links) == "<Links 5 from the initiator, 0 from the target>"


def test_one_may_be_dropped_and_one_may_overtake(links: Links) -> None:
    assert [links.went(INITIATOR, command(itt, b"data")) for itt in (3, 2, 5)] == [3, 2, 5]


def test_a_PDU_with_other_numbers_is_the_same(links: Links) -> None:
    assert links.went(INITIATOR, command(2, b"data").with_fields({"CmdSN": 77, "ExpStatSN": 88})) == 2
    sealed = command(3, b"data").with_fields({"CmdSN": 78}).sealed(header=True, data=True)
    assert links.went(INITIATOR, sealed) == 3
    assert links.went(INITIATOR, command(4, b"DATA").with_fields({"CmdSN": 79})) is None


def test_what_a_fault_has_changed_is_known_by_its_task(links: Links) -> None:
    changed = command(2, b"DATA").with_fields({"LUN": 5})
    assert links.went(INITIATOR, changed) is None
    assert links.went(INITIATOR, changed, touched=True) == 2
    assert links.went(INITIATOR, command(9, b"data"), touched=True) is None


def test_a_copy_is_linked_to_what_it_is_a_copy_of(links: Links) -> None:
    assert links.went(INITIATOR, command(1, b"data")) == 1
    assert links.went(INITIATOR, command(1, b"data"), touched=True) == 1
    assert links.went(INITIATOR, command(1, b"data").with_fields({"CmdSN": 9}), touched=True) == 1
    assert links.went(INITIATOR, command(1, b"DATA"), touched=True) == 1


def test_what_was_never_delivered_is_forgotten_in_time() -> None:
    links = Links()
    for itt in range(1, 2000):
        links.came(INITIATOR, command(itt), itt)
    assert links.went(INITIATOR, command(1)) is None
    assert links.went(INITIATOR, command(1999)) == 1999


def test_an_unassigned_opcode_is_linked_too() -> None:
    links = Links()
    odd = command(1).with_fields({"Opcode": 0x1C})
    links.came(INITIATOR, odd, 4)
    assert links.went(INITIATOR, odd) == 4
