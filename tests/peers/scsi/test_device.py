from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.peers.scsi.command import Attribute, Nexus, Status, Want
from iscsiproxy.peers.scsi.commands import COMMANDS
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.wire.sense import SenseCode
from tests.peers.scsi.lab import GOOD, Host, Lab

__all__: list[str] = []

READ, WRITE = "28 00 00000000 00 0001 00", "2a 00 00000000 00 0001 00"
REPORT_LUNS = "a0 00 00 000000 00000100"


def test_a_nexus_begins_with_a_power_on_once_on_every_unit() -> None:
    lab = Lab()
    host = Host(lab.device, Nexus("iqn.2024-01.example:one", 1))
    host.connect()
    assert host.attentions(0) == ["6/29/00"]
    assert host.attentions(5) == ["6/29/00"]
    assert host.do(READ) == GOOD


def test_a_nexus_that_was_lost_learns_of_it() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    waiting = host.submit(WRITE)
    host.disconnect()
    assert waiting.told == ["enabled"]
    assert len(lab.unit.tasks) == 0
    host.connect()
    assert host.attentions() == ["6/29/07"]
    assert other.attentions() == []


def test_what_happens_to_a_lost_nexus_is_told_behind_the_loss() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    lab.device.attend(host.nexus, SenseCode(6, 0x47, 0x7F))
    host.disconnect()
    lab.device.clear_task_set(other.nexus, 0)
    lab.device.attend(host.nexus, SenseCode(6, 0x2A, 0x05))
    host.connect()
    assert host.attentions() == ["6/29/07", "6/2A/05"]


def test_an_event_of_the_protocol_is_told_once_on_every_unit() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    for _ in range(2):
        lab.device.attend(host.nexus, SenseCode(6, 0x47, 0x7F))
    assert host.attentions(0) == host.attentions(5) == ["6/47/7F"]
    assert other.attentions() == []


def test_a_unit_that_is_not_there() -> None:
    lab = Lab()
    host = lab.host("one")
    assert lab.device.has_unit(5)
    assert not lab.device.has_unit(1)
    assert host.do(READ, lun=1) == host.do("ee", lun=1) == host.do("12 01 80 00ff 00", lun=1) == "5/25/00"
    assert host.do("12 00 00 00ff 00", lun=1) == GOOD
    assert (host.data[0], len(host.data)) == (0x7F, 36)
    assert host.do("03 00 0000 12 00", lun=1) == GOOD
    assert (host.data[2], host.data[12], len(host.data)) == (0x05, 0x25, 18)
    assert host.do("03 01 0000 ff 00", lun=1) == GOOD
    assert host.data[:3] == bytes([0x72, 0x05, 0x25])


def test_REPORT_LUNS_is_answered_by_every_logical_unit_number() -> None:
    host = Lab().host("one")
    for lun in (0, 1, 5, 0xC101 << 48):
        assert host.do(REPORT_LUNS, lun=lun) == GOOD
        assert host.data == bytes.fromhex("00000010 00000000 0000000000000000 0005000000000000")
        assert host.do("a0 00 00 000000 0000000f", lun=lun) == "5/24/00"


def test_task_management_where_no_unit_is_does_nothing() -> None:
    lab = Lab()
    host = lab.host("one")
    task = host.submit(WRITE)
    lab.device.abort_task_set(host.nexus, 1)
    lab.device.clear_task_set(host.nexus, 1)
    lab.device.reset_unit(host.nexus, 1)
    lab.device.clear_aca(host.nexus, 0)
    assert task.told == ["enabled"]


def test_ABORT_TASK_calls_nobody_and_lets_the_next_begin() -> None:
    lab = Lab()
    host = lab.host("one")
    first, second = host.submit(WRITE), host.submit(WRITE)
    assert (first.told, second.told) == (["enabled"], [])
    lab.device.abort(first.command)
    assert (first.told, second.told) == (["enabled"], ["enabled"])
    lab.device.abort(first.command)


def test_ABORT_TASK_SET_ends_what_its_nexus_has_on_the_unit() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    mine, waiting, elsewhere, theirs = (
        host.submit(WRITE),
        host.submit(WRITE),
        host.submit(WRITE, lun=5),
        other.submit(READ),
    )
    lab.device.abort_task_set(host.nexus, 0)
    assert [task.told for task in (mine, waiting)] == [["enabled", "ABORTED"], ["ABORTED"]]
    assert elsewhere.told == theirs.told == ["enabled"]
    assert other.attentions() == []


def test_CLEAR_TASK_SET_ends_everything_and_tells_the_others() -> None:
    lab = Lab()
    host, other, idle = lab.host("one"), lab.host("two"), lab.host("three")
    mine, waiting, theirs = host.submit(WRITE), host.submit(WRITE), other.submit(WRITE)
    lab.device.clear_task_set(host.nexus, 0)
    assert mine.told == ["enabled", "ABORTED"]
    assert waiting.told == ["ABORTED"]
    assert theirs.told == ["enabled", "CLEARED"]
    assert host.attentions() == idle.attentions() == []
    assert other.attentions() == ["6/2F/00"]


def test_a_unit_reset_ends_everything_on_the_unit_and_tells_everybody() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    assert host.do("16") == GOOD
    mine, theirs, elsewhere = host.submit(WRITE), other.submit(WRITE), other.submit(WRITE, lun=5)
    lab.device.reset_unit(host.nexus, 0)
    assert mine.told == theirs.told == ["enabled", "RESET"]
    assert elsewhere.told == ["enabled"]
    assert host.attentions() == other.attentions() == ["6/29/03"]
    assert other.do(READ) == GOOD


def test_a_warm_target_reset_resets_every_unit() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    tasks = [host.submit(WRITE), other.submit(WRITE, lun=5)]
    lab.device.reset_target(host.nexus, cold=False)
    assert [task.told for task in tasks] == [["enabled", "RESET"]] * 2
    assert [told for each in (host, other) for lun in (0, 5) for told in each.attentions(lun)] == ["6/29/03"] * 4


def test_a_cold_reset_is_a_power_on() -> None:
    lab = Lab()
    host = lab.host("one")
    assert host.do("5f 06 000000 00000018 00", bytes(8) + b"theirkey" + bytes(8)) == GOOD
    lab.device.reset_target(host.nexus, cold=False)
    assert host.attentions() == ["6/29/03"]
    assert lab.unit.persistent.registered
    lab.device.reset_target(host.nexus, cold=True)
    assert host.attentions() == ["6/29/00"]
    assert not lab.unit.persistent.registered


def test_the_repr_names_the_state() -> None:
    lab = Lab()
    lab.host("one")
    assert repr(lab.device).startswith("<Device of 1 nexuses: <LogicalUnit 0 <MemoryMedium 64")
    assert repr(Device({})) == "<Device of 0 nexuses: >"


opcodes = st.sampled_from(sorted({opcode for opcode, _ in COMMANDS})) | st.integers(0, 0xFF)
cdbs = st.builds(
    lambda opcode, small, rest: (bytes([opcode]) + (bytes(small) if small else rest)).ljust(16, b"\0"),
    opcodes,
    st.lists(st.integers(0, 9), max_size=15),
    st.binary(max_size=40),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 1), cdbs, st.binary(max_size=64), st.sampled_from(Attribute)), max_size=12))
def test_whatever_is_asked_ends_with_a_status(asked: list[tuple[int, bytes, bytes, Attribute]]) -> None:
    lab = Lab()
    hosts = [lab.host("one"), lab.host("two")]
    for who, cdb, data, attribute in asked:
        task = hosts[who].submit(cdb.hex(), attribute=attribute)
        assert task.enabled
        result = lab.device.begin(task.command)
        if isinstance(result, Want):
            result = lab.device.execute(task.command, data[: result.length].ljust(min(result.length, 4096), b"\0"))
        assert (result.status is Status.CHECK_CONDITION) is bool(result.sense)
        task.finish()
    assert len(lab.unit.tasks) == 0
