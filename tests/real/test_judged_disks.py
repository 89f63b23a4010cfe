"""What real disks hold, judged from the journal: qemu-io writes to tgtd, and one of its writes is swallowed.

The initiator believes the GOOD that a rule has answered; only what it reads later tells. The journal knows which write
that was, and that the target is not to blame.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real import initiators
from tests.real.process import run
from tests.real.proxied import running_proxy
from tests.real.served import MODULE
from tests.real.tgtd import Tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "qemu")

#: Bytes of a write, all of them immediate data, and where it begins
SIZE, AT = 4096, 65536
LBA, BLOCKS = AT // 512, SIZE // 512

SWALLOWED = f"""
scenario: swallowed
victim: initiator
rules:
  - when: SCSI-Command where W and CDB.LBA == {LBA} nth 2
    do:
      - answer: {{Status: GOOD, U: 0, ResidualCount: 0}}
"""


async def judged(tgtd: Tgtd, folder: Path, *options: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write a block twice and read it, through the proxy; give what the judge finds in the journal, and its end."""
    journal = folder / "journal.jsonl"
    async with running_proxy(tgtd, "--journal", str(journal), *options) as proxy:
        address = tgtd.address(host=proxy.host, port=proxy.port)
        orders = [f"write -P {value} {AT} {SIZE}" for value in ("0x11", "0x22")]
        (await initiators.qemu_io(address, *orders)).check()
        await initiators.qemu_io(address, f"read -P 0x22 {AT} {SIZE}")
    checked = await run(sys.executable, *MODULE, "check", "--json", str(journal))
    assert checked.stderr == ""
    lines = [json.loads(line) for line in checked.stdout.splitlines()]
    return [one for one in lines if one.get("rule", "").startswith("D-")], lines[-1]


async def test_a_swallowed_write_is_named_by_what_is_read_later(tgtd: Tgtd, tmp_path: Path) -> None:
    rules = tmp_path / "swallowed.yaml"
    rules.write_text(SWALLOWED)
    (finding,), end = await judged(tgtd, tmp_path, "--faults", str(rules))
    where = f"LBA {LBA}-{LBA + BLOCKS - 1}"
    assert finding["rule"] == "D-001"
    assert finding["blame"] is None
    assert f"lost write at {where}, seen by READ" in finding["text"]
    assert finding["text"].count(f"of {where}") == 3, "the read, the write that is lost, the write that is there"
    assert end["verdict"] != "fail"


async def test_without_the_rule_all_that_is_read_was_judged_and_is_right(tgtd: Tgtd, tmp_path: Path) -> None:
    found, end = await judged(tgtd, tmp_path)
    assert found == []
    assert end["verdict"] == "pass"
    assert end["evidence"]["D-001"] >= BLOCKS
    assert end["disks"]["judged"] >= 2 * BLOCKS, "on both legs"
