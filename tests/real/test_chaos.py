"""Chaos between real peers: tgtd behind it, our own initiator and QEMU before it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real.process import run
from tests.real.served import MODULE
from tests.real.tgtd import Tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu")

PLAN = Path(__file__).resolve().parents[2] / "examples" / "chaos-ci.yaml"
HOLES = """plan: holes
traffic: {io: verify, depth: 4}
phases: [{name: storm, for: 4s, rate: 3/s}, {name: calm, for: 1s}]
faults: [{scenario: data_out_lost}]
"""
KNOWN = ("--known", "tgt-1.0.85", "--known", "libiscsi-1.19")
QEMU = "qemu-io -f raw -c 'write -P 0x5a 0 4M' -c 'read -P 0x5a 0 4M' {url}"


async def chaos(tgtd: Tgtd, plan: Path, *args: str) -> tuple[int, dict[str, Any]]:
    """Run a plan; give the exit code, and the run."""
    command = (*MODULE, "chaos", str(plan), "--seed", "7", "--json", "--scratch", *KNOWN, "--target", tgtd.url())
    done = await run(sys.executable, *command, *args, within=120.0)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    (one,) = (line for line in told if line["event"] == "run")
    return done.returncode, one


def texts(one: dict[str, Any], about: str) -> list[str]:
    return [f"{finding['verdict']}: {finding['text']}" for finding in one["findings"] if finding["about"] == about]


async def test_tgtd_answers_good_to_writes_with_holes(tgtd: Tgtd, tmp_path: Path) -> None:
    """That is found in a storm too."""
    plan = tmp_path / "holes.yaml"
    plan.write_text(HOLES)
    status, one = await chaos(tgtd, plan, "--run-dir", str(tmp_path / "run"))
    assert status == 1, one["findings"]
    assert any(text.startswith("fail: MUST T-033 target") for text in texts(one, "check")), one["findings"]
    assert texts(one, "aftermath")[0].startswith("pass: recovers: good I/O works again")


async def test_qemu_comes_through(tgtd: Tgtd, tmp_path: Path) -> None:
    args = ("--scale", "0.15", "--initiator", QEMU, "--run-dir", str(tmp_path))
    _, one = await chaos(tgtd, PLAN, *args)
    assert texts(one, "steady state")[0].startswith("pass: ")
    assert texts(one, "storm")[0].startswith("pass: ")
    assert texts(one, "aftermath")[0].startswith("pass: ")
