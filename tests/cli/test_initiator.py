from __future__ import annotations

import io
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from iscsiproxy.cli import initiator
from iscsiproxy.cli.screen import Screen
from iscsiproxy.peers.initiator.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.peers.workload.mismatch import Mismatch, MismatchKind
from iscsiproxy.peers.workload.pattern import Stamp
from iscsiproxy.peers.workload.plan import Kind
from iscsiproxy.peers.workload.tally import Progress, Tally, WorkloadReport
from tests.cli.program import PROGRAM, program

__all__: list[str] = []


def _error(*args: str) -> str:
    done = program("initiator", *args)
    assert done.returncode == 2, done
    return done.stderr.strip().splitlines()[-1].removeprefix("iscsiproxy: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("io", "iscsi://storage"),
            "io overwrites the LUN: say that it may with --scratch, or where with --range (or --read-percent 100)",
        ),
        (("discover", "iscsi://storage:x"), "expected host or host:port in the address, got 'storage:x'"),
        (("text", "storage", "SendTargets"), "'SendTargets': expected KEY=VALUE"),
        (
            ("info", "storage/iqn.2004-01.com.example:t/x"),
            "expected the number of a LUN at the end of the address, got 'x'",
        ),
        (("nop",), "Error: Missing argument 'URL'."),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(args: tuple[str, ...], message: str) -> None:
    assert _error(*args) == message


def test_nothing_could_be_done() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        portal = f"127.0.0.1:{nobody.getsockname()[1]}"
        for args in (
            ("discover", portal),
            ("info", f"{portal}/iqn.2004-01.com.example:t"),
            ("io", f"{portal}/iqn.2004-01.com.example:t/0", "--scratch"),
            ("io", portal, "--scratch", "--recover"),
        ):
            done = program("initiator", *args)
            assert done.returncode == 3
            assert done.stderr.startswith("iscsiproxy: no connection: ")
        done = program("initiator", "nop", portal, "--json")
        assert done.returncode == 3
        assert json.loads(done.stdout)["event"] == "failed"


def test_quirks_are_listed() -> None:
    done = program("initiator", "--list-quirks")
    assert done.returncode == 0
    listed = [line.split()[0].rstrip(":") for line in done.stdout.splitlines()]
    assert listed == [*QUIRKS, *PERSONALITIES]


def test_without_a_subcommand_there_is_help() -> None:
    done = program("initiator")
    assert done.returncode == 2
    for name in ("discover", "info", "io", "nop", "text"):
        assert f"\n  {name} " in done.stdout


# --- with an embedded target ------------------------------------------------------------------------------------------


@contextmanager
def _target(*args: str) -> Iterator[tuple[str, str]]:
    """Run an embedded target until the end of the block; gives its portal and name."""
    with subprocess.Popen((*PROGRAM, "target", "--json", *args), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield ready["listen"][0], ready["iqn"]
        finally:
            process.kill()


def _last(*args: str, status: int = 0) -> Any:
    done = program("initiator", *args, "--json")
    assert done.returncode == status, done
    return json.loads(done.stdout.splitlines()[-1])


def test_it_looks_around_on_an_embedded_target() -> None:
    with _target("--lun", "5=8M") as (portal, name):
        assert [target["name"] for target in _last("discover", portal)["targets"]] == [name]
        facts = _last("info", portal, "--header-digest", "crc32c", "-k", "MaxBurstLength=8192")
        assert (facts["target"], facts["parameters"]["max_burst_length"]) == (name, 8192)
        assert facts["parameters"]["header_digest"] is True
        assert [(unit["lun"], unit["capacity"]["blocks"]) for unit in facts["units"]] == [(5, 16384)]
        assert _last("nop", portal)["same"] is True
        assert ["TargetName", name] in _last("text", portal, "SendTargets=All")["pairs"]


@pytest.mark.parametrize(
    "options",
    [
        ("--depth", "1"),
        ("--depth", "32", "--data-digest", "crc32c", "--flush", "10"),
        ("--depth", "32", "--overlap", "-k", "InitialR2T=Yes", "-k", "ImmediateData=No"),
        ("--depth", "32", "--overlap", "--attribute", "simple", "--recover"),
    ],
)
def test_an_embedded_target_passes(options: tuple[str, ...]) -> None:
    with _target("--lun", "8M") as (portal, _):
        report = _last("io", portal, "--scratch", "--count", "200", "--seed", "4", *options)
    assert report["passed"], report
    assert report["read_back"] > 1000
    assert report["reads"]["commands"] + report["writes"]["commands"] + report["flushes"]["commands"] == 200


def test_a_unit_that_cannot_be_written_is_exit_code_3() -> None:
    with _target("--lun", "8M", "--read-only") as (portal, _):
        report = _last("io", portal, "--scratch", "--count", "5", "--read-percent", "0", status=3)
    assert sum(report["errors"].values()) == 5
    assert all("7/27" in error for error in report["errors"])


# --- what is printed -------------------------------------------------------------------------------------------------


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
    initiator._print(report, Screen(out, as_json=False, verbosity=0))
    return out.getvalue().splitlines()


def test_a_good_run_is_told_in_a_few_lines() -> None:
    assert _printed(_report()) == [
        "10 writes, 40.0 KiB; milliseconds: p50 1.00, p90 1.00, p99 1.00, p99.9 1.00, max 1.00",
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


def test_progress_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(
        seconds=2.0, commands=10, bytes=3 << 30, in_flight=4, mismatches=0, errors=1, reading_back=False
    )
    initiator._show_progress(progress)
    initiator._show_progress(replace(progress, reading_back=True))
    assert capsys.readouterr().err == (
        "\r   2.0 s  10 commands  3.0 GiB  5 IOPS  4 in flight  0 mismatches  1 errors"
        "\r   2.0 s  10 commands  3.0 GiB  reading back  4 in flight  0 mismatches  1 errors"
    )


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3.0 TiB")]
)
def test_bytes_are_told_in_units(count: int, text: str) -> None:
    assert initiator._bytes(count) == text
