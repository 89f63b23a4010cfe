from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.command import Attribute, Result, Status
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import FileMedium, MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.wire.sense import SenseCode, decode_sense
from tests.peers.scsi.bench import Flushes
from tests.peers.scsi.lab import GOOD, Lab

__all__: list[str] = []

READ, WRITE = "28 00 00000000 00 0001 00", "2a 00 00000000 00 0001 00"
BLOCK = b"x" * 512
CLEARED = SenseCode(6, 0x2F, 0)


def test_a_write_and_a_read() -> None:
    host = Lab().host("one")
    assert host.do(WRITE, BLOCK) == GOOD
    assert host.wanted == 512
    assert host.do(READ) == GOOD
    assert (host.data, host.wanted) == (BLOCK, 0)


def test_what_is_not_known() -> None:
    host = Lab().host("one")
    assert host.do("ee") == "5/20/00"
    assert host.do("5e 1f") == host.do("9e 1f") == "5/24/00"
    assert host.do("7f 00 000000000000 0009") == "5/20/00"


@pytest.mark.parametrize(
    "text", ["00 00000000 04", "25 0000000000000000 04", "a0 00 00 000000 00000100 00 04", "9e 10" + "00" * 13 + "04"]
)
def test_NACA_is_not_supported(text: str) -> None:
    assert Lab().host("one").do(text) == "5/24/00"


def test_the_ACA_attribute_without_an_ACA_condition() -> None:
    assert Lab().host("one").do(READ, attribute=Attribute.ACA) == "5/49/00"


@pytest.mark.parametrize("text", ["12 00 00 00ff 00", "a0 00 00 000000 00000100"])
def test_what_a_unit_attention_does_not_hinder_leaves_it(text: str) -> None:
    lab = Lab()
    host = lab.host("one")
    lab.unit.attentions.post(host.nexus, CLEARED)
    assert host.do(text) == GOOD
    assert host.attentions() == ["6/2F/00"]


def test_REQUEST_SENSE_takes_a_unit_attention() -> None:
    lab = Lab()
    host = lab.host("one")
    lab.unit.attentions.post(host.nexus, CLEARED)
    assert host.do("03 00 0000 ff 00") == GOOD
    assert str(decode_sense(host.data)) == "6/2F/00"
    assert host.do("03 00 0000 ff 00") == GOOD
    assert str(decode_sense(host.data)) == "0/00/00"


def test_a_unit_attention_comes_before_everything_else() -> None:
    lab = Lab()
    host, other = lab.host("one"), lab.host("two")
    assert other.do("16") == GOOD
    for text in (READ, "ee", "00 00000000 04"):
        lab.unit.attentions.post(host.nexus, CLEARED)
        assert host.do(text) == "6/2F/00"
    assert host.do(READ) == "RESERVATION_CONFLICT"
    assert host.do("28 00 ffffffff 00 0001 04") == "RESERVATION_CONFLICT"
    assert host.do("ee") == "5/20/00"


def test_sense_has_the_format_that_the_control_page_asks_for() -> None:
    lab = Lab()
    host = lab.host("one")
    assert host.do("ee") == "5/20/00"
    assert (host.sense[0], len(host.sense)) == (0x70, 18)
    lab.unit.mode.write(bytes.fromhex("0a0a 04 00 00 00 0000 0000 0000"), save=False)
    assert host.do("ee") == "5/20/00"
    assert host.sense == bytes.fromhex("72 05 20 00 00000000")


def test_a_full_task_set_takes_no_more() -> None:
    lab = Lab(task_limit=2)
    host = lab.host("one")
    tasks = [host.submit(READ) for _ in range(2)]
    assert host.do(READ) == "TASK_SET_FULL"
    assert host.do(READ, attribute=Attribute.HEAD_OF_QUEUE) == "TASK_SET_FULL"
    assert host.do(READ, lun=5) == GOOD
    tasks[0].finish()
    assert host.do(READ) == GOOD


def test_a_nexus_that_goes_leaves_no_refused_command_behind() -> None:
    lab = Lab(task_limit=1)
    host = lab.host("one")
    host.submit(READ)
    refused = host.submit(READ)
    host.disconnect()
    assert lab.device.begin(refused.command) == Result(status=Status.TASK_ABORTED)


def test_a_command_that_was_cleared_does_nothing_any_more() -> None:
    lab = Lab()
    host = lab.host("one")
    task = host.submit(WRITE)
    lab.device.begin(task.command)
    lab.device.abort(task.command)
    assert lab.device.execute(task.command, BLOCK) == Result(status=Status.TASK_ABORTED)
    assert lab.device.begin(task.command) == Result(status=Status.TASK_ABORTED)
    assert host.do(READ) == GOOD
    assert host.data == bytes(512)


def test_a_failure_tells_how_much_data_was_wanted() -> None:
    host = Lab().host("one")
    # MODE SELECT with half of its parameter list.
    assert host.do("15 10 0000 18 00", bytes(12)) == "5/1A/00"
    assert host.wanted == 0x18


def test_data_beyond_what_is_wanted_is_not_looked_at() -> None:
    lab = Lab()
    host = lab.host("one")
    task = host.submit(WRITE)
    lab.device.begin(task.command)
    assert lab.device.execute(task.command, BLOCK + b"more").status is Status.GOOD
    task.finish()
    assert host.do(READ) == GOOD
    assert host.data == BLOCK


def test_write_protection_has_two_sources_beside_the_medium() -> None:
    identity = UnitIdentity.derive("iqn.2024-01.example:disk", 0)
    unit = LogicalUnit(0, MemoryMedium(8), identity)
    found = [unit.write_protected]
    unit.mode.write(bytes.fromhex("0a0a 00 00 08 00 0000 0000 0000"), save=False)
    found.append(unit.write_protected)
    unit.mode.reset()
    found.append(unit.write_protected)
    assert found == [False, True, False]
    assert LogicalUnit(0, MemoryMedium(8), identity, write_protected=True).write_protected


def test_a_read_only_file_is_write_protected(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    path.write_bytes(bytes(4096))
    medium = FileMedium(path, read_only=True)
    lab = Lab(medium=medium)
    assert lab.host("one").do(WRITE, b"") == "7/27/00"
    medium.close()


def test_without_a_write_cache_every_write_is_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = Flushes().watch(monkeypatch)
    lab = Lab()
    host = lab.host("one")
    assert host.do(WRITE, BLOCK) == GOOD
    assert flushes.count == 0
    lab.unit.mode.write(bytes.fromhex("0812 00") + bytes(17), save=False)
    assert host.do(WRITE, BLOCK) == host.do(READ) == GOOD
    assert flushes.count == 1
