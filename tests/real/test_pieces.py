"""Data transfers cut into pieces between real peers: the data is the same, and tshark finds every number in its place.

qemu-io writes to tgtd and reads back. On each leg the pieces of a sequence must count without a hole, and its F bit
must stand where it ends, as an independent dissector sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real import initiators, tshark
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "qemu", "tshark")

SCSI_COMMAND, DATA_OUT, SCSI_RESPONSE, DATA_IN, R2T = 0x01, 0x05, 0x21, 0x25, 0x31
#: What is written, in bytes: several R2Ts of this target.
SIZE = 512 * 1024

SPLIT = """
scenario: pieces
victim: both
rules:
  - when: R2T
    do: {split: 16384}
  - when: Data-Out
    do: {split: 512}
  - when: Data-In where length > 1000
    do: {split: {size: 1000, status: apart}}
"""
NOTHING = """
scenario: pieces
victim: both
rules:
  - when: SNACK nth 1000
    do: drop
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run left behind."""

    fired: list[dict[str, Any]]
    problems: list[str]
    target_leg: list[tshark.Pdu]
    initiator_leg: list[tshark.Pdu]
    written: bytes

    def check(self) -> None:
        """Make sure that it is cut as the rules say, and right in every number."""
        assert self.problems == []
        assert self.written == b"\x5a" * SIZE
        assert {one["act"] for one in self.fired} == {"split"}
        immediate = sum(one.number("iscsi.datasegmentlength") or 0 for one in of(self.target_leg, SCSI_COMMAND))
        to_target = of(self.target_leg, DATA_OUT)
        assert len(to_target) == (SIZE - immediate) // 512
        assert {one.number("iscsi.datasegmentlength") for one in to_target} == {512}
        for sequence in sequences(to_target):
            assert numbers(sequence, "iscsi.datasn") == list(range(len(sequence)))
            assert len({one.text("iscsi.targettransfertag") for one in sequence}) == 1
        assert len(sequences(to_target)) == len(of(self.target_leg, R2T))
        asked = of(self.initiator_leg, R2T)
        assert len(asked) >= 30
        assert max(one.number("iscsi.desireddatalength") or 0 for one in asked) == 16384
        for task in tasks(asked):
            assert numbers(task, "iscsi.r2tsn") == list(range(len(task)))
        reads = [task for task in tasks(of(self.initiator_leg, DATA_IN, SCSI_RESPONSE)) if len(task) > 2]
        assert sum(len(task) - 1 for task in reads) > SIZE // 1000
        for *data, response in reads:
            assert numbers(data, "iscsi.datasn") == list(range(len(data)))
            assert response.number("iscsi.expdatasn") == len(data)


def of(pdus: Iterable[tshark.Pdu], *opcodes: int) -> list[tshark.Pdu]:
    return [pdu for pdu in pdus if pdu.opcode in opcodes]


def numbers(pdus: Iterable[tshark.Pdu], name: str) -> list[int | None]:
    return [pdu.number(name) for pdu in pdus]


def sequences(pdus: Sequence[tshark.Pdu]) -> list[list[tshark.Pdu]]:
    """Cut Data-Outs behind each F."""
    found: list[list[tshark.Pdu]] = [[]]
    for pdu in pdus:
        found[-1].append(pdu)
        if pdu.number("iscsi.scsidata.F"):
            found.append([])
    assert found[-1] == [], "the last sequence has no end"
    return found[:-1]


def tasks(pdus: Iterable[tshark.Pdu]) -> list[list[tshark.Pdu]]:
    """Sort PDUs by task; a tag may be used again, but numbers then begin again at 0."""
    found: list[list[tshark.Pdu]] = []
    open_ones: dict[str | None, list[tshark.Pdu]] = {}
    for pdu in pdus:
        tag = pdu.text("iscsi.initiatortasktag")
        first = 0 in (pdu.number("iscsi.datasn"), pdu.number("iscsi.r2tsn"))
        if tag not in open_ones or first:
            open_ones[tag] = []
            found.append(open_ones[tag])
        open_ones[tag].append(pdu)
        if pdu.opcode == SCSI_RESPONSE:
            del open_ones[tag]
    return found


async def carried(scenario: str, directory: Path, *, digests: bool) -> Run:
    file, capture = directory / "pieces.yaml", directory / "capture.pcapng"
    file.write_text(scenario.lstrip())
    async with running_tgtd(parameters={"HeaderDigest": "CRC32C"} if digests else {}) as target:
        async with running_proxy(target, "--faults", str(file), "--seed", "1", "--capture", str(capture)) as proxy:
            address = target.address(host=proxy.host, port=proxy.port)
            finished = await initiators.pattern(
                address, byte=0x5A, length=SIZE, header_digest="crc32c" if digests else None
            )
            finished.check()
            status = await proxy.stop()
        assert status == 0
        frames = await tshark.read(capture, ports=(target.port, proxy.port))
        written = target.lun_files[0].read_bytes()[:SIZE]
    return Run(
        fired=proxy.named("fired"),
        problems=tshark.problems(frames),
        target_leg=tshark.pdus(frames, interface="target leg"),
        initiator_leg=tshark.pdus(frames, interface="initiator leg"),
        written=written,
    )


@pytest.mark.parametrize("digests", [False, True], ids=["plain", "digests"])
async def test_pieces_are_the_same_data_in_the_right_numbers(digests: bool, tmp_path: Path) -> None:
    (await carried(SPLIT, tmp_path, digests=digests)).check()


async def test_disarmed_it_does_nothing_and_the_check_sees_that(tmp_path: Path) -> None:
    run = await carried(NOTHING, tmp_path, digests=False)
    assert (run.fired, run.problems, run.written) == ([], [], b"\x5a" * SIZE)
    with pytest.raises(AssertionError):
        run.check()
