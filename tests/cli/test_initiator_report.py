from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from iscsiproxy.cli.initiator_report import _bytes, _count, print_report, show_progress
from iscsiproxy.cli.screen import Screen
from iscsiproxy.peers.workload.mismatch import Mismatch, MismatchKind
from iscsiproxy.peers.workload.pattern import Stamp
from iscsiproxy.peers.workload.plan import Kind
from iscsiproxy.peers.workload.tally import Progress, Tally, WorkloadReport

__all__: list[str] = []


def _report(**changes: Any) -> WorkloadReport:
    tally = Tally(run=1, kept=5)
    tally.started = 0.0
    for _ in range(10):
        tally.good(Kind.WRITE, 4096, 0.001)
    tally.finished = 2.0
    tally.ended = "done"
    tally.read_back = 80
    tally.verified = 100
    return replace(tally.report(2.0, recoveries=0), **changes)


def _printed(report: WorkloadReport) -> list[str]:
    out = io.StringIO()
    print_report(report, Screen(out, as_json=False, verbosity=0))
    return out.getvalue().splitlines()


def test_a_good_run_is_told_in_a_few_lines() -> None:
    assert _printed(_report()) == [
        "10 writes, 40.0 KiB; ms: p50 1.00, p90 1.00, p99 1.00, p99.9 1.00, max 1.00",
        "10 commands in 2.00 s: 5 IOPS, 20.0 KiB/s; longest stall 0.000 s",
        "100 blocks verified, 80 of them read back at the end; 0 writes uncertain",
        "0 unit attentions, 0 times busy, 0 recoveries",
        "done: everything as it should be",
    ]


def test_what_was_wrong_is_told_in_full() -> None:
    mismatch = Mismatch(
        kind=MismatchKind.STALE, block=7, expected=(5,), found=(Stamp(1, 7, 3),), offset=0, excerpt="00"
    )
    lines = _printed(
        _report(mismatch_count=3, mismatches=(mismatch,), errors={"BUSY": 2}, lost="gone", ended="session lost")
    )
    assert lines[-5:] == [
        "2 times BUSY",
        "session lost: gone",
        "block 7 is stale: expected write 5, found write 3 to block 7 of run 00000001",
        "and 2 more",
        "session lost: 3 blocks wrong",
    ]


def test_progress_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    progress = Progress(
        seconds=2.0, commands=10, bytes=3 << 30, in_flight=4, mismatches=0, errors=1, reading_back=False
    )
    show_progress(progress)
    show_progress(replace(progress, reading_back=True))
    assert capsys.readouterr().err == (
        "\r   2.0 s  0 wrong  1 error  10 commands  3.0 GiB  5 IOPS  4 in flight"
        "\r   2.0 s  0 wrong  1 error  10 commands  3.0 GiB  reading back  4 in flight"
    )


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3.0 TiB")]
)
def test_bytes_are_told_in_units(count: int, text: str) -> None:
    assert _bytes(count) == text


def test_progress_is_cut_where_the_line_would_wrap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    show_progress(Progress(seconds=2.0, commands=10, bytes=0, in_flight=4, mismatches=1, errors=0, reading_back=False))
    assert capsys.readouterr().err == "\r   2.0 s  1 wrong  0 errors  "


def test_a_lost_session_is_not_told_as_no_block_wrong_and_well() -> None:
    lines = _printed(_report(lost="gone", ended="session lost"))
    assert lines[-1] == "session lost: no block was found wrong, but not all went well"


@pytest.mark.parametrize(
    ("number", "what", "text"),
    [(1, "flush", "1 flush"), (2, "flush", "2 flushes"), (0, "recovery", "0 recoveries"), (2, "time", "2 times")],
)
def test_one_and_many(number: int, what: str, text: str) -> None:
    assert _count(number, what) == text
