from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import UsageError
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.initiators import InitiatorSpec, parse_initiator
from iscsiproxy.runs.scratch import Extent, Permission, check_permission, parse_extent, writes
from iscsiproxy.runs.targets import parse_target

__all__: list[str] = []

_OURS, _THEIRS = parse_target("embedded"), parse_target("storage:3260")
_EMBEDDED, _COMMAND = parse_initiator("embedded"), parse_initiator("iscsi-inq {url}")
_ALL = Permission(everything=True)
_SOME = Permission(extent=Extent(0, 99))


def _scenario(io: str = "read", do: str = "drop") -> Scenario:
    text = f"scenario: x\nvictim: target\ntraffic: {{io: {io}}}\nrules:\n  - when: SCSI-Command\n    do: [{do}]\n"
    return load(text, file="x.yaml", acts=SPECS, built=False)


@pytest.mark.parametrize("io", ["verify", "write"])
def test_traffic_that_writes(io: str) -> None:
    assert writes(_scenario(io)) == f"traffic: {io}"


@pytest.mark.parametrize("io", ["read", "discovery", "none"])
def test_traffic_that_does_not(io: str) -> None:
    assert writes(_scenario(io)) == ""


@pytest.mark.parametrize(
    ("do", "can"),
    [
        ("{set: {ITT: 7}}", False),
        ("{set: {BHS.32: 0x2a}}", True),
        ("{set: {LUN: 1}}", True),
        ("{inject: {pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8}}", True),
        ("{inject: {pdu: SCSI-Command, CDB: READ lba=0 blocks=8}}", False),
        ("{inject: {pdu: SCSI-Command, CDB: TEST_UNIT_READY}}", False),
        ("{inject: {pdu: NOP-Out}}", False),
    ],
)
def test_acts_that_can_write(do: str, *, can: bool) -> None:
    assert bool(writes(_scenario(do=do))) is can


def test_the_embedded_target_is_scratch() -> None:
    check_permission([_scenario("write")], _OURS, _COMMAND, Permission())


def test_a_target_that_is_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"^x can write to storage:3260 \(traffic: write\).* --scratch, or where with"):
        check_permission([_scenario(), _scenario("write")], _THEIRS, _EMBEDDED, Permission())
    check_permission([_scenario("write")], _THEIRS, _EMBEDDED, _ALL)
    check_permission([_scenario("read")], _THEIRS, _EMBEDDED, Permission())


def test_a_range_binds_the_traffic_and_nothing_else() -> None:
    check_permission([_scenario("write")], _THEIRS, _EMBEDDED, _SOME)
    with pytest.raises(UsageError, match=r"overwritten with --scratch; "):
        check_permission([_scenario("write", "{set: {BHS.32: 0x2a}}")], _THEIRS, _EMBEDDED, _SOME)


@pytest.mark.parametrize("permission", [Permission(), _SOME])
def test_for_a_command_the_user_has_to_answer(permission: Permission) -> None:
    with pytest.raises(UsageError, match=r"nobody knows what the initiator writes to storage:3260: .* --scratch"):
        check_permission([_scenario("read")], _THEIRS, _COMMAND, permission)
    check_permission([_scenario("read")], _THEIRS, _COMMAND, _ALL)


@pytest.mark.parametrize("initiator", [_EMBEDDED, _COMMAND])
def test_the_ways_to_say_it_may_be_others(initiator: InitiatorSpec) -> None:
    with pytest.raises(UsageError, match=r"with scratch=True$"):
        check_permission([_scenario("write")], _THEIRS, initiator, Permission(), ways="scratch=True")


def test_a_range_of_blocks() -> None:
    assert parse_extent("2048..4095") == Extent(2048, 4095)
    assert parse_extent("7..7").blocks == 1
    for text in ("5..4", "5", "a..b", "-1..3", "1...3"):
        with pytest.raises(UsageError, match=r"--scratch-range"):
            parse_extent(text)
