"""The verifying workload and `iscsiproxy initiator` on real targets: they pass there, and find what a proxy breaks."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from iscsiproxy.peers.initiator.recovery import recovering_session
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.workload.contents import Ordering
from iscsiproxy.peers.workload.drive import RecoveringDrive, SessionDrive
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.mismatch import MismatchKind
from iscsiproxy.peers.workload.tally import WorkloadReport
from tests.real.address import Address, Chap
from tests.real.process import Finished, run
from tests.real.proxied import running_proxy
from tests.real.tgtd import MIB, Tgtd, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd")

_PROGRAM = (sys.executable, "-X", "dev", "-W", "error", "-m", "iscsiproxy", "initiator")

#: Writes whose data goes with the command: up to 8 KiB, tgtd's MaxRecvDataSegmentLength.
_IMMEDIATE = ((1, 1), (8, 4), (16, 1))


def _settings(**changes: Any) -> WorkloadSettings:
    values: dict[str, Any] = {
        "lun": 1,
        "first": 64,
        "blocks": 2048,
        "block_size": 512,
        "sizes": ((1, 1), (8, 4), (128, 1), (600, 1)),
        "count": 400,
        "flush_every": 25,
        "run": 0x1234,
    }
    return WorkloadSettings(**values | changes)


def _initiator(at: Address, **changes: Any) -> InitiatorSettings:
    return InitiatorSettings(target=at.iqn, **changes)


async def _work(at: Address, *, load: Mapping[str, Any], **changes: Any) -> WorkloadReport:
    with trio.fail_after(60):
        async with open_session((at.host, at.port), _initiator(at, **changes)) as session:
            return await Workload(SessionDrive(session), _settings(**load), random.Random(5)).run()


# --- what a target that works gives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 32])
@pytest.mark.parametrize("overlap", [None, Ordering.ORDERED, Ordering.FREE])
async def test_everything_is_as_it_should_be(tgtd: Tgtd, depth: int, overlap: Ordering | None) -> None:
    load: dict[str, Any] = {"depth": depth, "overlap": overlap is not None, "ordering": overlap or Ordering.FREE}
    if overlap is Ordering.ORDERED:
        load["sizes"] = _IMMEDIATE
    report = await _work(tgtd.at, load=load)
    assert report.passed, report
    assert report.commands >= 400
    assert report.flushes.commands > 3
    assert report.read_back is not None


async def test_tgtd_lets_commands_overtake_a_write_that_waits_for_its_data(tgtd: Tgtd) -> None:
    # Commands have to be delivered in the order of CmdSN (RFC 7143 4.2.2.1), and ORDERED ones done in it (SAM-5 8.6).
    report = await _work(tgtd.at, load={"depth": 32, "overlap": True, "sizes": ((600, 1),), "count": 80})
    assert report.mismatch_count > 100
    assert {mismatch.kind for mismatch in report.mismatches} <= {MismatchKind.STALE, MismatchKind.EARLY}


async def test_with_digests_and_small_segments(tgtd: Tgtd) -> None:
    await tgtd.update({"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"})
    report = await _work(
        tgtd.at,
        load={"depth": 8},
        header_digests=("CRC32C",),
        data_digests=("CRC32C",),
        max_recv_data_segment_length=1024,
    )
    assert report.passed, report


# --- what a proxy in between breaks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [False, True])
async def test_bits_that_flip_under_a_right_digest_are_found(tgtd: Tgtd, overlap: bool) -> None:
    async with running_proxy(tgtd, "--faults", "payload_corrupt_valid_digest", "-p", "nth=100") as proxy:
        at = tgtd.address(host=proxy.host, port=proxy.port)
        # By the hundredth read every block was written.
        report = await _work(at, load={"depth": 4, "overlap": overlap, "sizes": ((8, 1),), "blocks": 64})
    assert report.mismatch_count == len(report.mismatches) >= 1
    assert {mismatch.kind for mismatch in report.mismatches} <= {
        MismatchKind.DAMAGED,
        MismatchKind.TORN,
    }
    assert not report.errors
    assert report.lost is None


async def test_a_session_that_is_lost_is_said_to_be(tgtd: Tgtd) -> None:
    async with running_proxy(tgtd, "--faults", "reset_between_r2t_and_data_out", "-p", "nth=5") as proxy:
        at = tgtd.address(host=proxy.host, port=proxy.port)
        report = await _work(at, load={"depth": 4})
    assert report.ended == "session lost"
    assert report.lost is not None
    assert report.uncertain >= 1
    assert not report.mismatch_count


@pytest.mark.parametrize("overlap", [False, True])
async def test_a_session_that_comes_back_goes_on(tgtd: Tgtd, overlap: bool) -> None:
    async with running_proxy(tgtd, "--faults", "reset_between_r2t_and_data_out", "-p", "nth=5") as proxy:
        settings = _initiator(tgtd.at, time2wait=0)
        with trio.fail_after(60):
            async with recovering_session((proxy.host, proxy.port), settings) as keeper:
                drive = RecoveringDrive(keeper)
                workload = Workload(
                    drive,
                    _settings(depth=8, overlap=overlap, ordering=Ordering.FREE),
                    random.Random(5),
                    recoveries=drive.recoveries,
                )
                report = await workload.run()
                assert keeper.recoveries[0].duration is not None
    assert report.passed, report
    assert report.recoveries == 1
    assert report.read_back is not None


# --- the command line ------------------------------------------------------------------------------------------------


async def _program(*args: str, env: Mapping[str, str] | None = None) -> Finished:
    return await run(*_PROGRAM, *args, env=env, within=60)


async def test_what_there_is_can_be_seen(tgtd: Tgtd) -> None:
    discovered = await _program("discover", tgtd.at.portal)
    assert discovered.stdout.splitlines() == [tgtd.iqn, f"  {tgtd.at.portal},1"]
    (line,) = (await _program("discover", tgtd.at.portal, "--json")).stdout.splitlines()
    assert json.loads(line)["targets"] == [{"name": tgtd.iqn, "addresses": [f"{tgtd.at.portal},1"]}]
    shown = await _program("info", tgtd.at.portal)
    assert "LUN 1: disk, IET VIRTUAL-DISK 0001, 131072 blocks of 512" in shown.stdout.splitlines()
    (line,) = (await _program("info", tgtd.url(), "--json")).stdout.splitlines()
    facts = json.loads(line)
    assert facts["target"] == tgtd.iqn
    assert [unit["lun"] for unit in facts["units"]] == [1]
    assert facts["units"][0]["capacity"]["blocks"] == 131072
    assert facts["parameters"]["max_burst_length"] == 262144


async def test_login_keys_go_out_as_asked(tgtd: Tgtd) -> None:
    await tgtd.update({"HeaderDigest": "CRC32C"})
    done = await _program(
        "info", tgtd.url(), "--json", "-k", "MaxBurstLength=4096", "-k", "X-example=1", "--header-digest", "crc32c",
        "--isid", "800000000001",
    )  # fmt: skip
    facts = json.loads(done.check().stdout)
    assert facts["parameters"]["max_burst_length"] == 4096
    assert facts["parameters"]["header_digest"] is True
    assert ["X-example", "NotUnderstood"] in facts["said"]
    assert facts["isid"] == "800000000001"


async def test_pings_and_texts_are_answered(tgtd: Tgtd) -> None:
    done = await _program("nop", tgtd.url(), "--count", "3", "-v")
    assert [line.split(" in ")[0] for line in done.stdout.splitlines()] == [f"ping {n}: 4 bytes" for n in (1, 2, 3)]
    trace = [line.split()[:2] for line in done.stderr.splitlines()]
    assert trace == [
        [">", "Login-Request"],
        ["<", "Login-Response"],
        *[[">", "NOP-Out"], ["<", "NOP-In"]] * 3,
        [">", "Logout-Request"],
        ["<", "Logout-Response"],
    ]
    done = await _program("text", tgtd.at.portal, "SendTargets=All")
    assert done.stdout.splitlines()[0] == f"TargetName={tgtd.iqn}"


async def test_a_load_from_the_command_line(tgtd: Tgtd) -> None:
    done = await _program(
        "io", tgtd.at.portal, "--scratch", "--count", "300", "--depth", "16", "--overlap", "--size", "4k"
    )
    assert done.returncode == 0, done.output
    assert done.stdout.splitlines()[-1] == "done: everything as it should be"
    done = await _program("io", tgtd.url(), "--range", "1M", "--count", "100", "--seed", "3", "--json")
    (line,) = done.check().stdout.splitlines()
    report = json.loads(line)
    assert (report["event"], report["passed"], report["seed"]) == ("report", True, 3)
    assert report["reads"]["commands"] + report["writes"]["commands"] == 100
    assert not tgtd.lun_files[0].read_bytes()[64 * MIB - 512 :].strip(b"\0")


async def test_reading_alone_needs_no_leave(tgtd: Tgtd) -> None:
    before = tgtd.lun_files[0].read_bytes()
    done = await _program("io", tgtd.url(), "--read-percent", "100", "--no-verify", "--count", "50", "--json")
    assert json.loads(done.check().stdout)["reads"]["commands"] == 50
    assert tgtd.lun_files[0].read_bytes() == before


async def test_a_mismatch_is_exit_code_1(tgtd: Tgtd) -> None:
    async with running_proxy(tgtd, "--faults", "payload_corrupt_valid_digest", "-p", "nth=100") as proxy:
        url = tgtd.url(host=proxy.host, port=proxy.port)
        done = await _program("io", url, "--range", "32k", "--count", "400", "--size", "4k")
    assert done.returncode == 1
    # Three bits may hit three blocks.
    assert done.stdout.splitlines()[-1] in {f"done: {count} blocks wrong" for count in (1, 2, 3)}


async def test_a_lost_session_is_exit_code_1_unless_it_may_come_back(tgtd: Tgtd) -> None:
    for options, status in (((), 1), (("--recover", "-k", "DefaultTime2Wait=0"), 0)):
        async with running_proxy(tgtd, "--faults", "reset_between_r2t_and_data_out", "-p", "nth=5") as proxy:
            url = tgtd.url(host=proxy.host, port=proxy.port)
            done = await _program(
                "io", url, "--range", "8M", "--count", "200", "--size", "256k", "--json", "--seed", "1", *options
            )
        assert done.returncode == status, done.output
        assert json.loads(done.stdout.splitlines()[-1])["recoveries"] == (1 if options else 0)


async def test_ctrl_c_gives_the_report_so_far(tgtd: Tgtd) -> None:
    process = await trio.lowlevel.open_process(
        [*_PROGRAM, "io", tgtd.url(), "--range", "1M", "--seconds", "1000"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            printed = bytes(await process.stdout.receive_some())
            assert printed.startswith(b"blocks 0+2048 of 512 bytes on LUN 1")
            while not await tgtd.sessions():
                await trio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            async for chunk in process.stdout:
                printed += chunk
            assert await process.wait() in (0, 3)
    finally:
        process.kill()
        await process.stdout.aclose()
    assert printed.decode().splitlines()[-1].startswith("stopped: ")


async def test_accounts_are_proved() -> None:
    chap = Chap()
    async with running_tgtd(chap=chap) as tgtd:
        bare = tgtd.at.portal
        done = await _program("info", f"{bare}/{tgtd.iqn}/1")
        assert done.returncode == 3
        assert "login refused: 0201" in done.stderr
        account = f"{chap.user}:{chap.password}"
        for args, env in (
            ((tgtd.url(),), {}),
            ((f"{bare}/{tgtd.iqn}/1", "--chap", account), {}),
            ((f"{bare}/{tgtd.iqn}/1",), {"ISCSIPROXY_CHAP": account}),
        ):
            (await _program("info", *args, env=env)).check()


async def test_which_target_has_to_be_said_where_there_are_several(tgtd: Tgtd) -> None:
    other = "iqn.2026-01.example.iscsiproxy:other"
    await tgtd.admin("--mode", "target", "--op", "new", "--tid", "2", "--targetname", other)
    await tgtd.admin("--mode", "target", "--op", "bind", "--tid", "2", "--initiator-address", "ALL")
    done = await _program("info", tgtd.at.portal)
    assert done.returncode == 2
    assert other in done.stderr
    done = await _program("io", f"{tgtd.at.portal}/{other}", "--scratch")
    assert done.returncode == 3
    assert done.stderr.strip().endswith("iscsiproxy: the target has no disk")
