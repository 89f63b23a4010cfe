"""Commands of the proxy's own between those of QEMU: neither end can tell, tshark sees both counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from tests.real import initiators
from tests.real.process import run
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "qemu", "tshark")

SIZE = 64 << 20
EVERY_THIRD = """\
scenario: borrowed
victim: target
rules:
  - name: borrow
    when: SCSI-Command every 3
    do:
      - inject: {pdu: NOP-Out, I: 0, data: "not yours"}
"""
NOP_OUT, SCSI_COMMAND, NOP_IN, REJECT = 0x00, 0x01, 0x20, 0x3F
#: PDUs that a target numbers (RFC 7143 4.2.2.2); a Data-In counts only with its status.
STATUS = frozenset({0x20, 0x21, 0x22, 0x24, 0x26, 0x32, REJECT})
DATA_IN = 0x25
FIELDS = (
    "frame.interface_name",
    "tcp.stream",
    "iscsi.opcode",
    "iscsi.I",
    "iscsi.scsidata.S",
    "iscsi.cmdsn",
    "iscsi.statsn",
)
_YES = ("1", "True")


async def rows(capture: Path, *ports: int) -> list[dict[str, str]]:
    """Give the fields of every PDU; the capture has one a packet."""
    decode = [word for port in ports for word in ("-d", f"tcp.port=={port},iscsi")]
    wanted = [word for name in FIELDS for word in ("-e", name)]
    finished = await run(
        "tshark", "-n", "-r", str(capture), *decode, "-Y", "iscsi.opcode", "-T", "fields", *wanted, within=240.0
    )
    finished.check()
    lines = [line.split("\t") for line in finished.stdout.splitlines()]
    return [dict(zip(FIELDS, line, strict=True)) for line in lines]


async def legs_with(capture: Path, text: str) -> set[str]:
    """Name the legs on which some bytes are to be seen."""
    shown = ("-Y", f'frame contains "{text}"', "-T", "fields", "-e", "frame.interface_name")
    finished = await run("tshark", "-n", "-r", str(capture), *shown, within=240.0)
    finished.check()
    return set(finished.stdout.split("\n")) - {""}


@dataclass(slots=True)
class Leg:
    """What was counted on one leg: PDUs by opcode, and the numbers of each connection."""

    pdus: Counter[int]
    commands: dict[str, list[int]]
    statuses: dict[str, list[int]]

    @classmethod
    def of(cls, seen: list[dict[str, str]], name: str) -> Leg:
        """Count the PDUs of the full feature phase."""
        leg = cls(Counter(), defaultdict(list), defaultdict(list))
        for row in seen:
            if row["frame.interface_name"] != name:
                continue
            opcode = int(row["iscsi.opcode"], 16)
            leg.pdus[opcode] += 1
            if opcode in (NOP_OUT, SCSI_COMMAND) and row["iscsi.I"] not in _YES:
                leg.commands[row["tcp.stream"]].append(int(row["iscsi.cmdsn"], 0))
            elif opcode in STATUS or (opcode == DATA_IN and row["iscsi.scsidata.S"] in _YES):
                leg.statuses[row["tcp.stream"]].append(int(row["iscsi.statsn"], 0))
        return leg


def gapless(numbers: dict[str, list[int]]) -> bool:
    """Tell whether the numbers of every connection go on by one, modulo 2^32."""
    return all((b - a) & 0xFFFFFFFF == 1 for each in numbers.values() for a, b in pairwise(each))


async def test_a_borrowed_cmdsn_every_third_command_of_a_64_mib_write(tmp_path: Path) -> None:
    scenario, source, capture = tmp_path / "borrowed.yaml", tmp_path / "source", tmp_path / "capture.pcapng"
    scenario.write_text(EVERY_THIRD)
    source.write_bytes(Random(64).randbytes(SIZE))
    async with running_tgtd() as target:
        async with running_proxy(target, "--faults", str(scenario), "--capture", str(capture), "-v") as proxy:
            through = target.url(host=proxy.host, port=proxy.port)
            convert = ("convert", "-n", "-W", "-m", "8", "-f", "raw", "-O", "raw", str(source), through)
            (await initiators.qemu_img(*convert)).check()
            (await initiators.qemu_img("compare", "-f", "raw", "-F", "raw", str(source), through)).check()
            assert await proxy.stop() == 0
        assert target.lun_files[0].read_bytes()[:SIZE] == source.read_bytes()
        seen = await rows(capture, target.port, proxy.port)
        traces = await legs_with(capture, "not yours")
    own, other = Leg.of(seen, "initiator leg"), Leg.of(seen, "target leg")
    commands = own.pdus[SCSI_COMMAND]
    assert commands == other.pdus[SCSI_COMMAND]
    # The target has got the pings and has answered them; of both the initiator's leg has no trace.
    assert other.pdus[NOP_OUT] - own.pdus[NOP_OUT] == commands // 3 > 20
    assert other.pdus[NOP_IN] - own.pdus[NOP_IN] == commands // 3
    assert traces == {"target leg"}
    # Each end has counted on, one by one, and both counts are legal.
    for leg in (own, other):
        assert gapless(leg.commands)
        assert gapless(leg.statuses)
        assert leg.pdus[REJECT] == 0
        assert len(leg.commands) == len(leg.statuses) == 2, "two sessions"
    assert sum(map(len, other.commands.values())) == sum(map(len, own.commands.values())) + commands // 3
    assert proxy.named("violated") == []
