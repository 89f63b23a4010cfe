from __future__ import annotations

import pytest

from iscsiproxy.capture.links import Link, Links
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
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
    assert [links.went(INITIATOR, command(itt, b"data")).of for itt in range(1, 6)] == [1, 2, 3, 4, 5]
    assert links.went(INITIATOR, command(1, b"data")).of is None


def test_directions_are_kept_apart(links: Links) -> None:
    links.came(TARGET, data_in(1), 6)
    assert links.went(TARGET, command(1, b"data")).of is None
    assert links.went(TARGET, data_in(1)).of == 6
    assert repr(links) == "<Links 5 from the initiator, 0 from the target>"


def test_one_may_be_dropped_and_one_may_overtake(links: Links) -> None:
    assert [links.went(INITIATOR, command(itt, b"data")).of for itt in (3, 2, 5)] == [3, 2, 5]


def test_a_PDU_with_other_numbers_is_the_same(links: Links) -> None:
    assert links.went(INITIATOR, command(2, b"data").with_fields({"CmdSN": 77, "ExpStatSN": 88})).of == 2
    sealed = command(3, b"data").with_fields({"CmdSN": 78}).sealed(header=True, data=True)
    assert links.went(INITIATOR, sealed).of == 3
    assert links.went(INITIATOR, command(4, b"DATA").with_fields({"CmdSN": 79})).of is None


def test_what_a_fault_has_changed_is_known_by_its_task(links: Links) -> None:
    changed = command(2, b"DATA").with_fields({"LUN": 5})
    assert links.went(INITIATOR, changed).of is None
    assert links.went(INITIATOR, changed, touched=True).of == 2
    assert links.went(INITIATOR, command(9, b"data"), touched=True).of is None


def test_of_several_PDUs_of_a_task_the_rule_tells_which() -> None:
    links = Links()
    pieces = [data_out(n) for n in range(4)]
    for n, pdu in enumerate(pieces):
        links.came(INITIATOR, pdu, n, ["a/1"] if n == 2 else ["b/1"] if n == 3 else [])
    half = pieces[2].with_data(b"half")
    assert links.went(INITIATOR, half, ["a/1"], touched=True) == Link(2)
    assert links.went(INITIATOR, half.with_fields({"BufferOffset": 7}), ["a/1"], touched=True) == Link(2)
    assert links.went(INITIATOR, half, ["c/1"], touched=True) == Link(0)
    assert links.went(INITIATOR, pieces[1]) == Link(1)


def data_out(n: int) -> Pdu:
    return Pdu.build(Opcode.DATA_OUT, bytes([n]) * 8, ITT=1, TTT=1, DataSN=n, BufferOffset=8 * n)


def test_a_copy_is_linked_to_what_it_is_a_copy_of(links: Links) -> None:
    assert links.went(INITIATOR, command(1, b"data")).of == 1
    assert links.went(INITIATOR, command(1, b"data"), touched=True) == Link(1, copy=True)
    assert links.went(INITIATOR, command(1, b"data").with_fields({"CmdSN": 9}), touched=True) == Link(1, copy=True)
    assert links.went(INITIATOR, command(2, b"DATA"), touched=True) == Link(2, copy=False)


def test_what_was_never_delivered_is_forgotten_in_time() -> None:
    links = Links()
    for itt in range(1, 2000):
        links.came(INITIATOR, command(itt), itt)
    assert links.went(INITIATOR, command(1)).of is None
    assert links.went(INITIATOR, command(1999)).of == 1999


def test_an_unassigned_opcode_is_linked_too() -> None:
    links = Links()
    odd = command(1).with_fields({"Opcode": 0x1C})
    links.came(INITIATOR, odd, 4)
    assert links.went(INITIATOR, odd).of == 4
