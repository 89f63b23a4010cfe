"""Each shipped scenario at work between real peers.

The capture says what differs between the two legs: exactly the fault and nothing else, byte for byte; tshark says what
that is to the victim, by the name of its field. Each test is run on a disarmed scenario too, and must then fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real import initiators, tshark
from tests.real.legs import Difference, differences
from tests.real.process import Finished
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu", "tshark")

HEADER = 48
SCSI_COMMAND, LOGIN_REQUEST, TEXT_REQUEST, DATA_OUT = 0x01, 0x03, 0x04, 0x05
DATA_IN, R2T = 0x25, 0x31


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run left behind."""

    fired: list[dict[str, Any]]
    differences: list[Difference]
    target_leg: list[tshark.Pdu]
    initiator_leg: list[tshark.Pdu]
    commented: list[tshark.Pdu]
    finished: Finished


def bits_apart(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def only(found: Sequence[Difference]) -> Difference:
    assert len(found) == 1, found
    return found[0]


def duplicated_write(run: Evidence) -> None:
    difference = only(run.differences)
    assert difference.to_target
    assert difference.received == ()
    (copy,) = difference.delivered
    assert copy[0] == SCSI_COMMAND
    assert copy[1] & 0x20, "a WRITE"
    numbers = [pdu.text("iscsi.cmdsn") for pdu in run.target_leg if pdu.opcode == SCSI_COMMAND]
    twice = [number for number in set(numbers) if numbers.count(number) == 2]
    assert twice == [run.commented[0].text("iscsi.cmdsn")]


def c_bit_in(opcode: int, flag_names: dict[str, tuple[str, str | None]]) -> Callable[[Evidence], None]:
    def check(run: Evidence) -> None:
        difference = only(run.differences)
        (old,), (new,) = difference.received, difference.delivered
        assert old[0] & 0x3F == new[0] & 0x3F == opcode
        assert (new[1] & 0x40, old[1] & 0x40) == (0x40, 0)
        assert (old[:1], old[2:]) == (new[:1], new[2:]), "only byte 1 of the header differs"
        before = next(pdu for pdu in run.initiator_leg if pdu.opcode == opcode)
        (after,) = run.commented
        for name, (was, became) in flag_names.items():
            assert (before.text(name), after.text(name)) == (was, became), name

    return check


def lost_data_out(run: Evidence) -> None:
    difference = only(run.differences)
    (lost,) = difference.received
    assert difference.delivered == ()
    assert not difference.last
    assert lost[0] == DATA_OUT
    assert int.from_bytes(lost[36:40], "big") == 2
    first = next(pdu for pdu in run.target_leg if pdu.opcode == DATA_OUT)
    burst = [
        pdu.number("iscsi.datasn")
        for pdu in run.target_leg
        if pdu.opcode == DATA_OUT and pdu.text("iscsi.targettransfertag") == first.text("iscsi.targettransfertag")
    ]
    assert burst[:3] == [0, 1, 3]


def one_bit_of_the_header_digest(run: Evidence) -> None:
    difference = only(run.differences)
    (old,), (new,) = difference.received, difference.delivered
    assert old[0] == SCSI_COMMAND
    assert old[:HEADER] == new[:HEADER]
    assert old[HEADER + 4 :] == new[HEADER + 4 :]
    assert bits_apart(old[HEADER : HEADER + 4], new[HEADER : HEADER + 4]) == 1
    assert [pdu for pdu in run.target_leg if pdu.header_digest == "bad"] == run.commented
    assert not [pdu for pdu in run.initiator_leg if pdu.header_digest == "bad"]
    assert sum(pdu.header_digest == "good" for pdu in run.target_leg) > 10


def payload_under_a_valid_digest(run: Evidence) -> None:
    difference = only(run.differences)
    assert not difference.to_target
    # A payload of this length lies in several packets: only one of them differs, and not in a header.
    (old,), (new,) = difference.received, difference.delivered
    assert bits_apart(old, new) == 3
    assert old[: HEADER + 4] == new[: HEADER + 4]
    assert not [pdu for pdu in run.initiator_leg if pdu.header_digest == "bad"]
    assert sum(pdu.header_digest == "good" for pdu in run.initiator_leg) > 10
    (changed,) = run.commented
    assert changed.opcode == DATA_IN
    assert "Pattern verification failed" in run.finished.output


def nothing_behind_the_r2t(run: Evidence) -> None:
    difference = only(run.differences)
    assert (difference.conn, difference.to_target, difference.last) == (1, True, True)
    assert difference.delivered == ()
    assert {payload[0] for payload in difference.received} == {DATA_OUT}
    assert int.from_bytes(difference.received[0][36:40], "big") == 0
    r2ts = [pdu for pdu in run.initiator_leg if pdu.opcode == R2T]
    tag = r2ts[0].text("iscsi.targettransfertag")
    answers = [pdu for pdu in run.initiator_leg if pdu.opcode == DATA_OUT]
    assert answers[0].text("iscsi.targettransfertag") == tag
    # Behind the next login tgt may give the same tag again: it is made of where its task lies in memory.
    _, again = (pdu for pdu in run.target_leg if pdu.opcode == LOGIN_REQUEST and pdu.text("iscsi.login.nsg") == "0x03")
    data = [pdu for pdu in run.target_leg if pdu.opcode == DATA_OUT and pdu.frame < again.frame]
    assert not [pdu for pdu in data if pdu.text("iscsi.targettransfertag") == tag]
    # The write was done again on another connection, and is all there.
    run.finished.check()


def readdressed(difference: Difference, portals: tuple[bytes, bytes]) -> bool:
    """Whether a discovery answer differs in nothing but the address that keeps the initiator in the proxy."""
    if difference.to_target or len(difference.received) != 1 or len(difference.delivered) != 1:
        return False
    (old,), (new,) = difference.received, difference.delivered
    text = old[HEADER:].rstrip(b"\0").replace(*portals)
    return (old[:5], old[8:HEADER], text) == (new[:5], new[8:HEADER], new[HEADER:].rstrip(b"\0"))


def too_late(difference: Difference) -> bool:
    """Whether nothing was delivered any more: all there can be where the target has closed the connection."""
    return difference.to_target and difference.last and not difference.delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario, the traffic that meets it, and what must be seen."""

    scenario: str
    check: Callable[[Evidence], None]
    digest: bool = False
    discovery: bool = False
    size: str = "256k"
    victim: str = "target"


CASES = (
    Case(scenario="cmdsn_duplicate_write", check=duplicated_write, size="64k"),
    Case(
        scenario="c_bit_login_request",
        check=c_bit_in(
            LOGIN_REQUEST,
            {"iscsi.login.C": ("0", "1"), "iscsi.login.T": ("1", "0"), "iscsi.login.nsg": ("0x03", None)},
        ),
    ),
    Case(
        scenario="c_bit_text_request",
        check=c_bit_in(TEXT_REQUEST, {"iscsi.text.C": ("0", "1"), "iscsi.text.F": ("1", "0")}),
        discovery=True,
    ),
    Case(scenario="data_out_lost", check=lost_data_out),
    Case(scenario="header_digest_corrupt", check=one_bit_of_the_header_digest, digest=True),
    Case(
        scenario="payload_corrupt_valid_digest",
        check=payload_under_a_valid_digest,
        digest=True,
        size="32k",
        victim="initiator",
    ),
    Case(scenario="reset_between_r2t_and_data_out", check=nothing_behind_the_r2t),
)


async def evidence(case: Case, scenario: str, directory: Path) -> Evidence:
    """Run a scenario in front of a fresh tgtd and collect what it left."""
    capture = directory / "capture.pcapng"
    parameters = {"HeaderDigest": "CRC32C"} if case.digest else {}
    async with running_tgtd(parameters=parameters) as target:
        options = ("-v", "--faults", scenario, "--seed", "1", "--capture", str(capture))
        async with running_proxy(target, *options) as proxy:
            address = target.address(host=proxy.host, port=proxy.port)
            if case.discovery:
                finished, _ = await initiators.targets(address, within=5.0)
            else:
                orders = (
                    f"write -P 0x11 0 {case.size}",
                    f"write -P 0x22 1M {case.size}",
                    f"read -P 0x22 1M {case.size}",
                )
                digest = "crc32c" if case.digest else None
                finished = await initiators.qemu_io(address, *orders, header_digest=digest, within=20.0)
            status = await proxy.stop()
        assert status == 0
        frames = await tshark.read(capture, ports=(target.port, proxy.port))
        closed = {one["conn"] for one in proxy.named("closed") if (one["leg"], one["by"]) == ("target", "peer")}
        portals = (target.at.portal.encode(), address.portal.encode())
    assert not [frame for frame in frames if frame.malformed not in ("", "SCSI") or frame.unread]
    return Evidence(
        fired=proxy.named("fired"),
        differences=[
            one
            for one in differences(capture)
            if not readdressed(one, portals) and not (one.conn in closed and too_late(one))
        ],
        target_leg=tshark.pdus(frames, interface="target leg"),
        initiator_leg=tshark.pdus(frames, interface="initiator leg"),
        commented=tshark.pdus(frames, interface=f"{case.victim} leg", comment=f"rule {case.scenario}/"),
        finished=finished,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.scenario)
async def test_it_does_exactly_what_it_says(case: Case, tmp_path: Path) -> None:
    run = await evidence(case, case.scenario, tmp_path)
    assert len(run.fired) == 1
    assert run.fired[0]["rule"].startswith(f"{case.scenario}/")
    case.check(run)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.scenario)
async def test_disarmed_it_does_nothing_and_the_check_sees_that(case: Case, tmp_path: Path) -> None:
    scenario = tmp_path / f"{case.scenario}.yaml"
    scenario.write_text(f"scenario: {case.scenario}\nvictim: both\nrules:\n  - when: SNACK nth 1000\n    do: drop\n")
    run = await evidence(case, str(scenario), tmp_path)
    assert run.fired == []
    assert run.differences == []
    with pytest.raises((AssertionError, ValueError)):
        case.check(run)


async def test_a_lost_data_out_is_data_lost_on_this_target() -> None:
    """See that tgt 1.0.85 checks neither DataSN nor offsets: it answers GOOD and writes what its buffer held before."""
    async with running_tgtd() as target:
        async with running_proxy(target, "--faults", "data_out_lost") as proxy:
            address = target.address(host=proxy.host, port=proxy.port)
            finished = await initiators.qemu_io(address, "write -P 0x11 0 256k")
        finished.check()
        written = target.lun_files[0].read_bytes()[: 256 * 1024]
    assert written[:24576] == b"\x11" * 24576
    assert b"\x11" not in written[24576 : 24576 + 8192]
    assert written[24576 + 8192 :] == b"\x11" * (256 * 1024 - 24576 - 8192)
