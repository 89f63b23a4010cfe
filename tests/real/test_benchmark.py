"""The relay benchmark works and prints its rows. What it measures is never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import ROWS, Row, Sample, figure, sized
from benchmarks.relays import template
from tests.real.process import run

__all__: list[str] = []

ROOT = Path(__file__).resolve().parents[2]
ROW = Row(name="row", title="a row", size=1 << 20, depth=4)


def samples(*seconds: float, cpu: float | None = None) -> list[Sample]:
    return [Sample(count=100, seconds=one, cpu=cpu) for one in seconds]


def test_ratios_are_taken_within_a_round() -> None:
    # The second round ran at half speed for both, the third for the relay alone.
    measured = {"base": samples(1.0, 2.0, 1.0), "relay": samples(2.0, 4.0, 4.0, cpu=0.5)}
    one = figure(ROW, "relay", measured, "base")
    assert one.median_ratio == pytest.approx(0.5)
    assert one.best_ratio == pytest.approx(0.5)
    assert one.best_iops == pytest.approx(50)
    assert one.best_mib_s == pytest.approx(50)
    assert one.cpu_us == pytest.approx(5000)


def test_without_a_baseline_or_a_process_there_is_no_such_figure() -> None:
    one = figure(ROW, "direct", {"direct": samples(1.0)}, None)
    assert (one.median_ratio, one.best_ratio, one.cpu_us) == (None, None, None)


def test_a_window_is_filled() -> None:
    assert sized(count=100, seconds=0.5, window=0.25, depth=4) == 50
    assert sized(count=100, seconds=100.0, window=0.25, depth=4) == 4
    assert sized(count=4, seconds=0.0, window=0.25, depth=4) == 1000


def test_a_command_says_where_the_target_goes() -> None:
    assert template("proxy --to '{target}' -v") == ("proxy", "--to", "{target}", "-v")
    with pytest.raises(ValueError, match=r"no \{target\} in"):
        template("proxy --to localhost")


@pytest.mark.peers("tgtd", "qemu", "haproxy", "socat")
async def test_the_short_form_prints_every_row_for_every_relay() -> None:
    finished = await run(sys.executable, "-m", "benchmarks.relay", "--quick", "--json", cwd=ROOT, within=120.0)
    printed = json.loads(finished.check().stdout)
    assert printed["baseline"] == "haproxy"
    assert list(printed["rows"]) == [row.name for row in ROWS]
    for row in printed["rows"].values():
        assert [one["relay"] for one in row] == ["direct", "haproxy", "socat", "iscsiproxy"]
        assert all(one["best_iops"] > 0 and one["median_ratio"] > 0 for one in row)
        assert [one["cpu_us"] is None for one in row] == [True, False, False, False]


@pytest.mark.peers("tgtd", "qemu")
async def test_a_relay_that_does_not_come_up_is_an_error() -> None:
    broken = "mute=sh -c 'echo what it says >&2' {target}"
    command = (sys.executable, "-m", "benchmarks.relay", "--quick", "--relays", "direct", "--also", broken)
    finished = await run(*command, cwd=ROOT)
    assert finished.returncode == 1
    assert "did not say that it is ready" in finished.stderr
    assert "what it says" in finished.stderr


def test_a_row_that_is_not_there_is_bad_usage() -> None:
    command = [sys.executable, "-m", "benchmarks.relay", "--rows", "read-4k-1,nope"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "no such name: nope" in finished.stderr
