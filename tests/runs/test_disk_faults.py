"""Each kind of wrong data, made between live peers: by a fault of the proxy, and by a target that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.report.model import RunResult
from tests.runs.playing import Own, play, shipped_one, written

__all__: list[str] = []

#: Bytes of a write or read of an actor, of eight blocks
_LENGTH = 4096
#: The first half of a write that the proxy or a target may tear comes in one Data-Out, the second in another.
_SETTINGS = TargetSettings(initial_r2t=True, max_recv_data_segment_length=8192, time2wait=0)


def write(name: str, blocks: int = 8) -> tuple[str, str]:
    """Write blocks from 0 on, each time something else, and wait for the answer."""
    return _command(name, f"WRITE lba=0 blocks={blocks}"), f"delay: SCSI-Response of {name}"


def read(name: str, blocks: int = 8) -> tuple[str, str]:
    """Read blocks from 0 on, and wait for the answer."""
    return _command(name, f"READ lba=0 blocks={blocks}"), f"delay: Status-PDU of {name}"


def _command(name: str, cdb: str, more: str = "") -> str:
    return f"send: {{conn: A, pdu: SCSI-Command, CDB: {cdb}, {more}as: {name}}}"


#: COMPARE AND WRITE of block 0, with data that is not there
COMPARE = (
    _command("compare", "0x89000000000000000000000000010000", "W: 1, EDTL: 1024, "),
    "delay: SCSI-Response of compare",
)


def acted(folder: Path, steps: Sequence[str], *rules: str) -> Scenario:
    """Make the scenario of an actor that has got over the unit attention, and does these steps."""
    begin = ("login: {as: A}", _command("ready", "TEST_UNIT_READY"), "delay: SCSI-Response of ready")
    lines = "".join(f"  - {step}\n" for step in (*begin, *steps))
    faults = "".join(f"  - {{{rule}}}\n" for rule in rules or ("when: SCSI-Command of ready, do: {note: here}",))
    expect = "expect:\n  - never: Async\n    within: 50ms\n"
    return written(f"victim: target\nactor:\n{lines}rules:\n{faults}{expect}aftermath: none\n", folder)


def disks(run: RunResult) -> list[str]:
    """List what was found wrong with data, as in `D-001 target`."""
    texts = [one.text.removeprefix("MUST ").removeprefix("heuristic ") for one in run.findings if one.about == "check"]
    return [text.partition(":")[0] for text in texts if text.startswith("D-")]


# --- by a fault -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    rule: str
    steps: tuple[str, ...]
    faults: tuple[str, ...]


_TWO = (*write("one"), *write("two"))
_TORN = (*write("one", 32), *write("two", 32), *read("r", 32))
_FAULTS = {
    "a write goes to other blocks": _Fault(
        rule="D-001",
        steps=(*_TWO, *read("r")),
        faults=("when: SCSI-Command of two, do: {set: {CDB: WRITE lba=800 blocks=8}}",),
    ),
    "a read brings what an earlier one brought": _Fault(
        rule="D-002",
        steps=(*write("one"), *read("early"), *write("two"), *read("right"), *read("r")),
        faults=("when: Data-In of early as old", "when: Data-In of r, do: {set: {data: old.data}}"),
    ),
    "half of a write is that of the one before": _Fault(
        rule="D-003",
        steps=_TORN,
        faults=(
            "when: Data-Out of one where DataSN == 1 as old",
            "when: Data-Out of two where DataSN == 1, do: {set: {data: old.data}}",
        ),
    ),
    "two writes change places": _Fault(
        rule="D-004",
        steps=(write("one")[0], write("two")[0], write("one")[1], *read("r")),
        faults=(
            "when: SCSI-Command of one, do: {set: {CmdSN: one.CmdSN + 1}}",
            "when: SCSI-Command of two, do: {set: {CmdSN: two.CmdSN - 1}}",
        ),
    ),
    "the answer to a write says that it was not done": _Fault(
        rule="D-005",
        steps=(*_TWO, *read("r")),
        faults=("when: SCSI-Response of two, do: {set: {Status: BUSY}}",),
    ),
    "what is read is changed, under digests that fit": _Fault(
        rule="D-006",
        steps=(*write("one"), *read("r")),
        faults=("when: Data-In of r, do: {corrupt: {what: data, bits: 3}}",),
    ),
    "what is written is changed, under digests that fit": _Fault(
        rule="D-006",
        steps=(*write("one"), *read("r")),
        faults=("when: Data-Out of one, do: {corrupt: {what: data, bits: 3}}",),
    ),
    "the answer to a compare says that it found what is there": _Fault(
        rule="D-007",
        steps=(*write("one"), *COMPARE),
        faults=("when: SCSI-Response of compare, do: {set: {Status: GOOD, data: ''}}",),
    ),
}


@pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS)
async def test_what_a_fault_has_done_to_data_is_told_and_is_nobodys_fault(fault: _Fault, tmp_path: Path) -> None:
    run = await play(acted(tmp_path, fault.steps, *fault.faults))
    assert disks(run) == [f"{fault.rule} fault"], [str(one) for one in run.findings]
    assert run.verdict == "pass"


@pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS)
async def test_the_same_commands_without_the_fault(fault: _Fault, tmp_path: Path) -> None:
    run = await play(acted(tmp_path, fault.steps))
    assert disks(run) == []
    assert run.verdict == "pass"


@pytest.mark.parametrize(("more", "told"), [("", []), (", U: 0, ResidualCount: 0", ["D-001 fault"])])
async def test_a_write_that_is_swallowed_and_answered_good(more: str, told: list[str], tmp_path: Path) -> None:
    """An answer that says of all the data that it was not taken makes nobody expect it."""
    rules = f"rules:\n  - {{when: SCSI-Command where W nth 10, do: {{answer: {{Status: GOOD{more}}}}}}}\n"
    traffic = "traffic: {io: verify, size: 8KiB}\n"
    expect = "expect:\n  - at_least: 1 io-mismatch\n    within: 2s\n"
    run = await play(written(f"victim: target\n{traffic}{rules}{expect}", tmp_path))
    assert disks(run) == told, [str(one) for one in run.findings]
    if told:
        assert run.verdict == "pass"


# --- by a target ------------------------------------------------------------------------------------------------------


class _Bad(MemoryMedium):
    """Is wrong about what the actor writes and reads: `_LENGTH` bytes. What finds out what is there is larger."""

    def __init__(self) -> None:
        super().__init__(65536)
        self.written: list[bytes] = []
        self.given: list[bytes] = []

    def write(self, lba: int, data: bytes | bytearray | memoryview) -> None:
        if len(data) == _LENGTH:
            self.written.append(bytes(data))
            self.put(lba)
        else:
            super().write(lba, data)

    def read(self, lba: int, count: int) -> bytes:
        data = super().read(lba, count)
        if len(data) != _LENGTH:
            return data
        self.given.append(data)
        return self.give()

    def put(self, lba: int) -> None:
        super().write(lba, self.written[-1])

    def give(self) -> bytes:
        return self.given[-1]


class _Forgetful(_Bad):
    """Writes once."""

    def put(self, lba: int) -> None:
        super(_Bad, self).write(lba, self.written[0])


class _Stale(_Bad):
    """Gives at the third read what the first one gave."""

    def give(self) -> bytes:
        return self.given[0] if len(self.given) == 3 else self.given[-1]


class _Torn(_Bad):
    """Writes the first half of what is written from the second time on."""

    def put(self, lba: int) -> None:
        data = self.written[-1]
        super(_Bad, self).write(lba, data if len(self.written) == 1 else data[: _LENGTH // 2])


class _Turned(_Bad):
    """Writes what was written first last."""

    def put(self, lba: int) -> None:
        for data in reversed(self.written):
            super(_Bad, self).write(lba, data)


class _Coy(_Bad):
    """Writes what it says it refuses."""

    def put(self, lba: int) -> None:
        super().put(lba)
        if len(self.written) > 1:
            raise CheckCondition(0x5, 0x24, 0x00)


class _Rotten(_Bad):
    """Flips a bit of what is read."""

    def give(self) -> bytes:
        return self.given[-1][:-1] + bytes([self.given[-1][-1] ^ 1])


_BAD = {
    "D-001": (_Forgetful(), (*_TWO, *read("r"))),
    "D-002": (_Stale(), (*write("one"), *read("early"), *write("two"), *read("right"), *read("r"))),
    "D-003": (_Torn(), (*_TWO, *read("r"))),
    "D-004": (_Turned(), (write("one")[0], *write("two"), *read("r"))),
    "D-005": (_Coy(), (*_TWO, *read("r"))),
    "D-006": (_Rotten(), (*write("one"), *read("r"))),
}


@pytest.mark.parametrize("rule", _BAD)
async def test_what_a_target_does_wrong_is_its_fault(rule: str, tmp_path: Path) -> None:
    medium, steps = _BAD[rule]
    scenario = acted(tmp_path, steps)
    run = await play(scenario, target=Own(settings=_SETTINGS, medium=medium))
    assert disks(run) == [f"{rule} target"], [str(one) for one in run.findings]
    # Which of two writes is the last depends on how the target may reorder them, which it was not asked.
    assert run.verdict == ("warn" if rule == "D-004" else "fail")


async def test_a_target_that_takes_a_hole_for_data_has_said_what_is_not_true(tmp_path: Path) -> None:
    """What should be in the hole the target was never told: that it is not there, only the other leg can say."""
    scenario = acted(tmp_path, _TORN, "when: Data-Out of two where DataSN == 0, do: drop")
    for quirks, weighed, told in ((("tgt-holes",), "fail", ["D-006 fault"]), ((), "pass", [])):
        run = await play(scenario, target=Own(settings=_SETTINGS, quirks=quirks))
        assert disks(run) == told, [str(one) for one in run.findings]
        assert run.verdict == weighed
        holes = [one.verdict for one in run.findings if one.text.startswith("MUST T-033 target")]
        assert holes == ["fail"] * len(told)


# --- nothing wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["target", "initiator"])
async def test_traffic_that_is_left_alone_is_judged_and_nothing_is_found(victim: str, tmp_path: Path) -> None:
    traffic = "traffic: {io: verify, depth: 8, size: 16KiB}"
    run = await play(
        written(f"victim: {victim}\n{traffic}\nrules: [{{when: Data-In, do: {{note: here}}}}]\n", tmp_path)
    )
    assert disks(run) == []
    assert run.verdict == "pass"


#: What is done to data here is what the scenario is about.
_CHANGES_DATA = {"payload_corrupt_valid_digest"}
_OTHERS = ("cmdsn_duplicate_write", "data_digest_corrupt", "data_digest_corrupt_read", "data_out_lost")


@pytest.mark.parametrize("name", [*_OTHERS, *_CHANGES_DATA])
async def test_only_a_fault_of_the_data_is_seen_in_the_data(name: str) -> None:
    run = await play(shipped_one(name))
    expected = {"D-006 fault"} if name in _CHANGES_DATA else set()
    assert set(disks(run)) == expected, [str(one) for one in run.findings]
