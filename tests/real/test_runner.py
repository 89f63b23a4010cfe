"""`iscsiproxy test` between real peers: tgtd behind it, QEMU's and libiscsi's tools before it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.cli.program import PROGRAM
from tests.real.address import Chap
from tests.real.tgtd import Tgtd, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu")

_QEMU = "qemu-io -f raw -c 'write -P 0x5a 0 1M' -c 'read -P 0x5a 0 1M' {url}"
_PERF = "iscsi-perf -b 64 -m 4 -t 1 {url}"
#: What these peers are known to do against the standard, with a fault or without
_KNOWN = ("--known", "tgt-1.0.85", "--known", "libiscsi-1.19")


class _Done:
    """What the program printed, and how it ended."""

    def __init__(self, done: Any) -> None:
        self.status: int = done.returncode
        self.text: str = done.stdout.decode() + done.stderr.decode()
        lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
        self.runs: dict[str, dict[str, Any]] = {line["name"]: line for line in lines if line["event"] == "run"}

    @property
    def verdicts(self) -> dict[str, str]:
        return {name: run["verdict"] for name, run in self.runs.items()}

    def about(self, name: str, about: str) -> list[str]:
        return [finding["verdict"] for finding in self.runs[name]["findings"] if finding["about"] == about]


async def _test(folder: Path, *args: str) -> _Done:
    with trio.fail_after(120):
        done = await trio.run_process(
            [*PROGRAM, "test", "--json", "--quiet", "0.2", "--run-dir", str(folder / "runs"), *_KNOWN, *args],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=folder,
        )
    return _Done(done)


async def test_tgtd_and_our_initiator(tgtd: Tgtd, tmp_path: Path) -> None:
    done = await _test(
        tmp_path,
        *("c_bit_login_request", "data_out_lost", "header_digest_corrupt", "payload_corrupt_valid_digest"),
        *("reset_between_r2t_and_data_out", "--target", tgtd.url(), "--scratch"),
    )
    # What tgt 1.0.85 was seen to do: it answers keys that are to be continued, GOOD to a write with a hole; no digests.
    assert done.verdicts == {
        "c_bit_login_request": "fail",
        "data_out_lost": "fail",
        "header_digest_corrupt": "skipped",
        "payload_corrupt_valid_digest": "pass",
        "reset_between_r2t_and_data_out": "pass",
    }, done.text
    assert done.status == 1
    failed = {one["about"]: one for one in done.runs["data_out_lost"]["findings"] if one["verdict"] == "fail"}
    assert "Status=GOOD" in failed["expectation"]["evidence"][-1]["text"]


async def test_tgtd_and_qemu(tgtd: Tgtd, tmp_path: Path) -> None:
    done = await _test(
        tmp_path,
        *("data_out_lost", "reset_between_r2t_and_data_out"),
        *("--target", tgtd.url(), "--scratch", "--initiator", _QEMU),
    )
    assert done.verdicts == {"data_out_lost": "fail", "reset_between_r2t_and_data_out": "pass"}, done.text
    assert done.about("data_out_lost", "aftermath") == ["pass"]


async def test_tgtd_and_libiscsi_without_a_name_or_a_LUN(tgtd: Tgtd, tmp_path: Path) -> None:
    portal = f"{tgtd.host}:{tgtd.port}"
    done = await _test(tmp_path, "payload_corrupt_valid_digest", "--target", portal, "--scratch", "--initiator", _PERF)
    assert done.verdicts == {"payload_corrupt_valid_digest": "pass"}, done.text
    assert done.status == 0


async def test_a_fault_that_the_command_does_not_meet_proves_nothing(tgtd: Tgtd, tmp_path: Path) -> None:
    args = ("--target", tgtd.url(), "--scratch", "--initiator", "iscsi-inq {url}", "--timeout", "3")
    done = await _test(tmp_path, "data_out_lost", *args)
    assert (done.verdicts, done.status) == ({"data_out_lost": "inconclusive"}, 3)


async def test_a_command_starts_the_target(tmp_path: Path) -> None:
    quirks = "--quirk tgt-holes -k MaxRecvDataSegmentLength=8192"
    target = f"{sys.executable} -m iscsiproxy target --listen {{portal}} {quirks}"
    done = await _test(tmp_path, "data_out_lost", "--target", target, "--scratch")
    assert done.verdicts == {"data_out_lost": "fail"}, done.text


@pytest.mark.parametrize("initiator", ["embedded", _QEMU])
async def test_an_account_is_used_and_never_shown(initiator: str, tmp_path: Path) -> None:
    chap = Chap()
    async with running_tgtd(chap=chap) as tgtd:
        args = ("--target", tgtd.url(), "--scratch", "--initiator", initiator)
        done = await _test(tmp_path, "payload_corrupt_valid_digest", *args)
    # What is read is changed, which QEMU's own comparison sees.
    assert done.verdicts == {"payload_corrupt_valid_digest": "pass"}, done.text
    assert chap.password not in done.text
    kept = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert {path.name for path in kept} >= {"journal.jsonl", "capture.pcapng", "result.json", "report.html"}
    assert not any(chap.password.encode() in path.read_bytes() for path in kept)
