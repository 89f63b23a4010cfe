from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from iscsiproxy.cli import initiator
from iscsiproxy.peers.initiator.errors import ConnectionLost
from iscsiproxy.peers.initiator.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.peers.initiator.recovery import Recovery
from iscsiproxy.peers.workload.tally import Tally
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
        (
            ("discover", "::1:3260"),
            "expected host or host:port in the address, an IPv6 host in brackets as in [::1]:3260, got '::1:3260'",
        ),
        (("text", "storage", "SendTargets"), "'SendTargets': expected KEY=VALUE"),
        (
            ("info", "storage/iqn.2004-01.com.example:t/x"),
            "expected the number of a LUN at the end of the address, got 'x'",
        ),
        (
            ("io", "storage", "--scratch", "--seconds", "nan"),
            "Error: Invalid value for '--seconds': 'nan' is not a number of seconds.",
        ),
        (
            ("nop", "storage", "--timeout", "inf"),
            "Error: Invalid value for '--timeout': 'inf' is not a number of seconds.",
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
            assert done.stderr.startswith("iscsiproxy: no connection to 127.0.0.1 port ")
            assert done.stderr.endswith(": Connection refused\n")
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


def test_what_is_not_there_is_said_with_what_is() -> None:
    with _target("--lun", "5=8M") as (portal, name):
        wrong = program("initiator", "nop", f"{portal}/{name}s")
        nowhere = program("initiator", "io", f"{portal}/{name}/7", "--scratch")
        shown = program("initiator", "info", f"{portal}/{name}/7")
    assert (wrong.returncode, wrong.stderr) == (
        3,
        f"iscsiproxy: login refused: 0203 NOT_FOUND (did you mean {name}?)\n",
    )
    assert (nowhere.returncode, nowhere.stderr) == (
        3,
        "iscsiproxy: LUN 7 does not say how big it is: the target has LUN 5\n",
    )
    assert shown.stdout.splitlines()[-1] == "LUN 7: not there"


def test_a_session_that_is_not_back_at_the_end_is_lost() -> None:
    tally = Tally(run=1, kept=5)
    tally.started, tally.finished, tally.ended = 0.0, 2.0, "stopped"
    report = tally.report(2.0, recoveries=1)
    away = Recovery(reason=ConnectionLost("the target closed the connection"), lost=1.0)
    assert report.passed
    assert initiator._still_away(report, []) == report
    assert initiator._still_away(report, [replace(away, logged_in=1.5)]) == report
    lost = initiator._still_away(report, [away])
    assert (lost.passed, lost.recoveries) == (False, 0)
    assert lost.lost == "the target closed the connection, and it was not back yet"
