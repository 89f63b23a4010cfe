"""Digests of header and data at work, with the embedded initiator: no other initiator here can have data digests.

As in `test_faults`, the two legs of the capture are compared byte for byte and tshark says which digest is wrong; here
the workload says besides whether what it wrote is there and what it read is right. Targets are tgtd and our own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.real import tshark
from tests.real.address import Address
from tests.real.embedded import running_target
from tests.real.legs import Difference, differences
from tests.real.process import run
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "tshark")

TARGETS = ("tgtd", "embedded")
HEADER, DIGEST, BLOCK = 48, 4, 512
SCSI_COMMAND, LOGIN_REQUEST, DATA_OUT = 0x01, 0x03, 0x05
SCSI_RESPONSE, LOGIN_RESPONSE, DATA_IN, REJECT = 0x21, 0x23, 0x25, 0x3F
#: Reject, reason "Data (payload) digest error" (RFC 7143 11.17.1)
DATA_DIGEST_ERROR = 2
#: The legs as the capture names them
TARGET_LEG, INITIATOR_LEG = "target leg", "initiator leg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run left behind."""

    fired: list[dict[str, Any]]
    connections: int
    #: Which leg's peer was the first to close, for each connection
    closed: dict[int, str]
    differences: list[Difference]
    problems: list[str]
    frames: list[tshark.Frame]
    #: The PDUs that a rule of the scenario has changed, as their victim got them
    commented: list[tshark.Pdu]
    status: int
    report: dict[str, Any]
    #: What the first 4 MiB of the LUN hold afterwards
    disk: bytes

    def leg(self, name: str) -> list[tshark.Pdu]:
        return tshark.pdus(self.frames, interface=name)


def only(run: Run) -> tuple[Difference, bytes, bytes]:
    """Give the one PDU that differs: as it came in, and as it was delivered."""
    assert len(run.differences) == 1, run.differences
    (difference,) = run.differences
    (old,), (new,) = difference.received, difference.delivered
    assert len(old) == len(new)
    return difference, old, new


def bits_apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def of_the_same_task(run: Run, leg: str) -> list[tshark.Pdu]:
    """List what follows the PDU that was changed, of its task, on a leg and in the same session."""
    (changed,) = run.commented
    later = [pdu for pdu in run.leg(leg) if pdu.frame > changed.frame]
    logins = [pdu.frame for pdu in later if pdu.opcode in (LOGIN_REQUEST, LOGIN_RESPONSE)]
    tag = changed.text("iscsi.initiatortasktag")
    return [
        pdu
        for pdu in later
        if pdu.text("iscsi.initiatortasktag") == tag and pdu.frame < min(logins, default=sys.maxsize)
    ]


def unsealed(run: Run) -> list[tshark.Pdu]:
    """List what lacks a right digest of its header, or of its data if it has any; a login has none (RFC 7143 13.1).

    Of a Reject tshark shows the header in it instead of the digest behind it.
    """
    return [
        pdu
        for frame in run.frames
        for pdu in frame.pdus
        if pdu.opcode not in (LOGIN_REQUEST, LOGIN_RESPONSE)
        if pdu.header_digest != "good"
        or (pdu.opcode != REJECT and pdu.number("iscsi.datasegmentlength") and pdu.data_digest != "good")
    ]


def one_wrong_digest(run: Run, *, part: str, leg: str) -> None:
    """See that one bit of one digest is all that differs, and that tshark finds that digest wrong, and no other."""
    difference, old, new = only(run)
    assert difference.to_target == (leg == TARGET_LEG)
    if part == "header":
        assert (old[:HEADER], old[HEADER + DIGEST :]) == (new[:HEADER], new[HEADER + DIGEST :])
    else:
        assert old[:-DIGEST] == new[:-DIGEST]
    assert bits_apart(old, new) == 1
    (changed,) = run.commented
    assert changed in run.leg(leg)
    digests = {"header": changed.header_digest, "data": changed.data_digest}
    assert digests[part] == "bad"
    assert [problem.partition(": ")[2] for problem in run.problems] == [f"{changed.name}: wrong {part} digest"]
    assert unsealed(run) == [changed]


def done_again_and_clean(run: Run) -> None:
    assert (run.connections, run.report["recoveries"]) == (2, 1)
    assert (run.status, run.report["passed"]) == (0, True)
    assert (run.report["mismatch_count"], run.report["errors"]) == (0, {})
    assert run.report["read_back"] > 0


def the_target_closes(part: str, opcode: int) -> Callable[[Run], None]:
    """See what RFC 7143 7.8 has at a wrong header digest, and what tgt 1.0.85 does at a wrong data digest too."""

    def check(run: Run) -> None:
        one_wrong_digest(run, part=part, leg=TARGET_LEG)
        assert run.commented[0].opcode == opcode
        assert run.closed[1] == "target"
        assert of_the_same_task(run, TARGET_LEG) == []
        done_again_and_clean(run)

    return check


def the_target_rejects(opcode: int) -> Callable[[Run], None]:
    """See what RFC 7143 7.8 asks of a target: Reject, and for a Data-Out an error that ends the command."""

    def check(run: Run) -> None:
        one_wrong_digest(run, part="data", leg=TARGET_LEG)
        assert run.commented[0].opcode == opcode
        answers = of_the_same_task(run, INITIATOR_LEG)
        (reject,) = [pdu for pdu in run.leg(INITIATOR_LEG) if pdu.opcode == REJECT]
        assert reject.number("iscsi.reject.reason") == DATA_DIGEST_ERROR
        responses = [pdu for pdu in answers if pdu.opcode == SCSI_RESPONSE]
        if opcode == DATA_OUT:
            (response,) = responses
            sense = (response.number("scsi.sns.key"), response.number("scsi.sns.ascascq"))
            assert sense == (0xB, 0x4705), "protocol service CRC error"
            error = "B/47/05"
        else:
            # The command is not begun: its CmdSN is one that never came (RFC 7143 7.3).
            assert {pdu.opcode for pdu in answers} <= {REJECT}
            error = "rejected: DATA_DIGEST_ERROR"
        assert (run.connections, run.report["recoveries"]) == (1, 0)
        # The application is told, and what it could rely on is there.
        ((name, count),) = run.report["errors"].items()
        assert error in name
        assert (count, run.report["mismatch_count"], run.status) == (1, 0, 1)
        assert run.report["read_back"] > 0

    return check


def the_initiator_leaves(run: Run) -> None:
    """See session recovery, which is all that there is at ErrorRecoveryLevel 0 (RFC 7143 7.8)."""
    one_wrong_digest(run, part="data", leg=INITIATOR_LEG)
    assert run.commented[0].opcode == DATA_IN
    assert run.closed[1] == "initiator"
    assert not [pdu for pdu in of_the_same_task(run, INITIATOR_LEG) if pdu.opcode == SCSI_COMMAND]
    done_again_and_clean(run)


def only_the_application_can_see_it(run: Run) -> None:
    difference, old, new = only(run)
    assert not difference.to_target
    places = [at for at, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    assert places[0] >= HEADER + DIGEST
    assert bits_apart(old[:-DIGEST], new[:-DIGEST]) == 3
    assert old[-DIGEST:] != new[-DIGEST:]
    (changed,) = run.commented
    assert (changed.opcode, changed.header_digest, changed.data_digest) == (DATA_IN, "good", "good")
    assert run.problems == []
    assert (run.connections, run.report["recoveries"], run.report["errors"]) == (1, 0, {})
    # The workload, and it alone, finds just those blocks.
    assert run.status == 1
    tag = changed.text("iscsi.initiatortasktag")
    (command,) = [
        pdu
        for pdu in run.leg(INITIATOR_LEG)
        if pdu.opcode == SCSI_COMMAND and pdu.text("iscsi.initiatortasktag") == tag
    ]
    first, offset = command.number("scsi_sbc.rdwr10.lba"), changed.number("iscsi.bufferOffset")
    assert first is not None
    assert offset is not None
    data = [at - HEADER - DIGEST for at in places if at < len(old) - DIGEST]
    blocks = {first + (offset + at) // BLOCK for at in data}
    assert {mismatch["block"] for mismatch in run.report["mismatches"]} == blocks
    assert run.report["mismatch_count"] == len(blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario, the workload that meets it, and what must be seen."""

    name: str
    scenario: str
    checks: dict[str, Callable[[Run], None]]
    options: tuple[str, ...] = ("--recover",)
    victim: str = "target"


WORKLOAD = ("--count", "30", "--depth", "4", "--size", "4k,16k", "--range", "512k")
NO_IMMEDIATE = ("--recover", "-k", "ImmediateData=No")
CASES = (
    Case(
        name="data_digest_of_immediate_data",
        scenario="data_digest_corrupt",
        checks={"tgtd": the_target_closes("data", SCSI_COMMAND), "embedded": the_target_rejects(SCSI_COMMAND)},
    ),
    Case(
        name="data_digest_of_a_data_out",
        scenario="data_digest_corrupt",
        checks={"tgtd": the_target_closes("data", DATA_OUT), "embedded": the_target_rejects(DATA_OUT)},
        options=NO_IMMEDIATE,
    ),
    Case(
        name="data_digest_of_a_data_in",
        scenario="data_digest_corrupt_read",
        checks=dict.fromkeys(TARGETS, the_initiator_leaves),
        victim="initiator",
    ),
    Case(
        name="payload_under_a_valid_digest",
        scenario="payload_corrupt_valid_digest",
        checks=dict.fromkeys(TARGETS, only_the_application_can_see_it),
        # Without reads among the writes, what is read has been written, and each block is read once.
        options=("--recover", "--read-percent", "0"),
        victim="initiator",
    ),
    Case(
        name="header_digest_of_a_command",
        scenario="header_digest_corrupt",
        checks=dict.fromkeys(TARGETS, the_target_closes("header", SCSI_COMMAND)),
    ),
)
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
BOTH_TARGETS = pytest.mark.parametrize("kind", TARGETS)


@asynccontextmanager
async def both_digests(kind: str, directory: Path) -> AsyncIterator[tuple[Address, Path]]:
    """Start a target that wants both digests, whose initiators may come back at once; its LUN is a file."""
    if kind == "tgtd":
        parameters = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C", "DefaultTime2Wait": "0"}
        async with running_tgtd(parameters=parameters) as target:
            yield target.at, target.lun_files[0]
    else:
        file = directory / "lun"
        options = ("--header-digest", "crc32c", "--data-digest", "crc32c", "-k", "DefaultTime2Wait=0")
        async with running_target(*options, "--lun", f"{file}:64M") as embedded:
            yield embedded.at, file


def in_time(difference: Difference, closed: dict[int, str]) -> Difference | None:
    """Leave out what came too late to be delivered: its receiver had closed the connection."""
    receiver = "target" if difference.to_target else "initiator"
    if not difference.last or closed.get(difference.conn) != receiver:
        return difference
    received = difference.received[: len(difference.delivered)]
    return replace(difference, received=received) if received else None


async def played(
    kind: str, directory: Path, *options: str, scenario: str | None = None, victim: str = "target", name: str = ""
) -> Run:
    """Run the workload through the proxy against a fresh target, and collect what is left. `name` is the scenario's."""
    capture = directory / "capture.pcapng"
    faults = () if scenario is None else ("--faults", scenario)
    async with both_digests(kind, directory) as (address, disk):
        async with running_proxy(address.portal, "-v", "--seed", "1", "--capture", str(capture), *faults) as proxy:
            url = replace(address, host=proxy.host, port=proxy.port).url
            wanted = ("--header-digest", "crc32c", "--data-digest", "crc32c", "-k", "DefaultTime2Wait=0")
            finished = await run(
                *(sys.executable, "-X", "dev", "-W", "error", "-m", "iscsiproxy"),
                *("initiator", "io", url, "--json", "--seed", "1", *wanted, *WORKLOAD, *options),
            )
            assert await proxy.stop() == 0
        frames = await tshark.read(capture, ports=(address.port, proxy.port))
        contents = disk.read_bytes()[: 4 << 20]
    assert finished.stderr == ""
    closed: dict[int, str] = {}
    for event in proxy.named("closed"):
        if event["by"] == "peer":
            closed.setdefault(event["conn"], event["leg"])
    return Run(
        fired=proxy.named("fired"),
        connections=len(proxy.named("connected")),
        closed=closed,
        differences=[one for each in differences(capture) if (one := in_time(each, closed)) is not None],
        problems=tshark.problems(frames),
        frames=frames,
        commented=tshark.pdus(frames, interface=f"{victim} leg", comment=f"rule {name or scenario}/"),
        status=finished.returncode,
        report=json.loads(finished.stdout),
        disk=contents,
    )


def disarmed(directory: Path, name: str) -> str:
    path = directory / f"{name}.yaml"
    path.write_text(f"scenario: {name}\nvictim: both\nrules:\n  - when: SNACK nth 1000\n    do: drop\n")
    return str(path)


@BOTH_TARGETS
@EACH
async def test_a_fault_is_seen_where_it_should_be_and_nowhere_else(case: Case, kind: str, tmp_path: Path) -> None:
    run = await played(kind, tmp_path, *case.options, scenario=case.scenario, victim=case.victim)
    assert len(run.fired) == 1
    case.checks[kind](run)


@BOTH_TARGETS
@EACH
async def test_disarmed_it_does_nothing_and_the_check_sees_that(case: Case, kind: str, tmp_path: Path) -> None:
    scenario = disarmed(tmp_path, case.scenario)
    run = await played(kind, tmp_path, *case.options, scenario=scenario, victim=case.victim, name=case.scenario)
    assert (run.fired, run.differences, run.problems) == ([], [], [])
    assert (run.status, run.report["passed"], run.connections) == (0, True, 1)
    with pytest.raises((AssertionError, ValueError)):
        case.checks[kind](run)


# --- what is done with data under a wrong digest ----------------------------------------------------------------------

CHANGED = """
scenario: changed
victim: target
rules:
  - when: SCSI-Command or Data-Out where length > 0 nth 1
    do:
      - corrupt: {what: data, bits: 3, digest: keep}
"""


@BOTH_TARGETS
@pytest.mark.parametrize("immediate", ["Yes", "No"])
@pytest.mark.parametrize("fault", ["wrong digest", "changed data", "none"])
async def test_data_under_a_wrong_digest_never_reach_the_disk(
    fault: str, immediate: str, kind: str, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(CHANGED)
    scenario = {"wrong digest": "data_digest_corrupt", "changed data": str(changed), "none": None}[fault]
    one_write = ("--count", "1", "--read-percent", "0", "--size", "4k", "-k", f"ImmediateData={immediate}")
    run = await played(kind, tmp_path, *one_write, scenario=scenario)
    if fault == "none":
        assert (run.status, run.problems) == (0, [])
        assert any(run.disk)
    else:
        assert run.status != 0
        assert [problem.partition(": ")[2] for problem in run.problems] == [
            f"SCSI {'Command' if immediate == 'Yes' else 'Data Out'}: wrong data digest"
        ]
        assert not any(run.disk)


@BOTH_TARGETS
async def test_without_recovery_the_initiator_says_why_it_has_left(kind: str, tmp_path: Path) -> None:
    options = ("--read-percent", "0")
    run = await played(kind, tmp_path, *options, scenario="data_digest_corrupt_read", victim="initiator")
    one_wrong_digest(run, part="data", leg=INITIATOR_LEG)
    assert (run.status, run.connections, run.closed) == (1, 1, {1: "initiator"})
    assert "wrong data digest" in run.report["lost"]


# --- no fault at all --------------------------------------------------------------------------------------------------


@BOTH_TARGETS
@pytest.mark.parametrize("immediate", ["Yes", "No"])
async def test_an_unarmed_proxy_changes_no_byte_and_every_digest_is_right(
    immediate: str, kind: str, tmp_path: Path
) -> None:
    options = ("--depth", "16", "--size", "mix", "--range", "2M", "--flush", "8", "-k", f"ImmediateData={immediate}")
    run = await played(kind, tmp_path, *options)
    assert (run.differences, run.problems, unsealed(run)) == ([], [], [])
    assert (run.status, run.report["passed"]) == (0, True)
    sealed = {pdu.opcode for pdu in run.leg(TARGET_LEG) if pdu.data_digest == "good"}
    assert sealed >= {DATA_IN, SCSI_COMMAND if immediate == "Yes" else DATA_OUT}
