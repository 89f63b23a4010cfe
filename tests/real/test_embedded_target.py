"""The embedded target before real initiators: they find nothing to object to, and tshark does not either."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random

import pytest
import trio

from tests.real import initiators, tshark
from tests.real.address import Address, Chap
from tests.real.cunit import Outcome, Suite
from tests.real.embedded import Embedded, running_target
from tests.real.process import Finished
from tests.real.proxied import running_proxy
from tests.real.tgtd import MIB, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("libiscsi", "qemu")


@pytest.fixture
async def target() -> AsyncIterator[Embedded]:
    async with running_target() as running:
        yield running


# --- libiscsi's whole suite -----------------------------------------------------------------------------------------

_REMOVABLE = "the medium cannot be taken out"
_COPY = "there is no EXTENDED COPY (third-party copy is no subject of SBC-3)"
_SANITIZE = "iscsi-test-cu wants --allow-sanitize before it erases a disk; there is no SANITIZE either"
_PHYSICAL = "a physical block is one logical block: nothing is unaligned"
_ALL_BLOCKS = (
    "WSNZ is 1: WRITE SAME of no blocks is refused, which the test has seen by then, and so is a runaway command"
)
_MULTIPATH = "wants the URLs of several paths to the same unit"

#: The tests of iscsi-test-cu that skip themselves here, and why each of them may.
SKIPPED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "NoMedia.NoMediaSBC",
            "StartStopUnit.Simple",
            "StartStopUnit.PwrCnd",
            "StartStopUnit.NoLoej",
            "PreventAllow.Simple",
            "PreventAllow.Eject",
            "PreventAllow.ITNexusLoss",
            "PreventAllow.Logout",
            "PreventAllow.WarmReset",
            "PreventAllow.ColdReset",
            "PreventAllow.LUNReset",
            "PreventAllow.2ITNexuses",
        ),
        _REMOVABLE,
    ),
    **dict.fromkeys(
        (
            "ExtendedCopy.Simple",
            "ExtendedCopy.ParamHdr",
            "ExtendedCopy.DescrLimits",
            "ExtendedCopy.DescrType",
            "ExtendedCopy.ValidTgtDescr",
            "ExtendedCopy.ValidSegDescr",
            "ReceiveCopyResults.CopyStatus",
            "ReceiveCopyResults.OpParams",
        ),
        _COPY,
    ),
    **dict.fromkeys(
        (
            "Sanitize.BlockErase",
            "Sanitize.BlockEraseReserved",
            "Sanitize.CryptoErase",
            "Sanitize.CryptoEraseReserved",
            "Sanitize.ExitFailureMode",
            "Sanitize.InvalidServiceAction",
            "Sanitize.Overwrite",
            "Sanitize.OverwriteReserved",
            "Sanitize.Readonly",
            "Sanitize.Reservations",
            "Sanitize.Reset",
        ),
        _SANITIZE,
    ),
    **dict.fromkeys(
        (
            "CompareAndWrite.InvalidDataOutSize",
            "WriteSame10.InvalidDataOutSize",
            "WriteSame10.UnmapUnaligned",
            "WriteSame16.InvalidDataOutSize",
            "WriteSame16.UnmapUnaligned",
        ),
        _PHYSICAL,
    ),
    **dict.fromkeys(("WriteSame10.ZeroBlocks", "WriteSame16.ZeroBlocks"), _ALL_BLOCKS),
    **dict.fromkeys(
        (
            "MultipathIO.Simple",
            "MultipathIO.Reset",
            "MultipathIO.CompareAndWrite",
            "MultipathIO.CompareAndWriteAsync",
        ),
        _MULTIPATH,
    ),
    "ReadOnly.ReadOnlySBC": "wants a unit that is write-protected: a test of its own below",
    "ReportSupportedOpcodes.OneCommand": "libiscsi takes INVALID FIELD IN CDB, which it has asked for and SPC-4 6.35.1 "
    "wants, for a command that is not there",
    "WriteAtomic16.VPD": "atomic writes may begin anywhere and have any length",
}

#: The tests that tgtd fails, all of which pass here, and what tgtd does wrong.
TGTD_FAILS: Mapping[str, str] = {
    "GetLBAStatus.BeyondEol": "takes LBA 2^63 for one that is there",
    "PrinServiceactionRange.Range": "has no READ FULL STATUS",
    **dict.fromkeys(
        (
            "ProutReserve.OwnershipEA",
            "ProutReserve.OwnershipWE",
            "ProutReserve.OwnershipEARO",
            "ProutReserve.OwnershipWERO",
        ),
        "tells the initiator that has released a reservation of it with unit attention 2A/04, like the others",
    ),
    "Reserve6.2Initiators": "lets MODE SENSE through in spite of another initiator's RESERVE(6)",
    "iSCSIdatasn.iSCSIDataSnInvalid": "takes Data-Out whose DataSN is not the next",
}

#: What passes on tgtd and is not run to its end here.
LESS_THAN_TGTD = {"WriteSame10.ZeroBlocks", "WriteSame16.ZeroBlocks"}


async def whole_suite(address: Address) -> Suite:
    finished, suite = await initiators.compliance(address)
    assert suite.complete, finished.output[-2000:]
    assert [case.name for case in suite.cases] == await initiators.compliance_tests()
    return suite


@pytest.mark.slow
@pytest.mark.peers("tgtd", "libiscsi")
async def test_the_whole_libiscsi_suite_passes_where_it_passes_on_tgtd() -> None:
    async with running_target("-v") as target:
        ours = await whole_suite(target.at)
        assert not target.named("crashed")
    async with running_tgtd() as tgtd:
        theirs = await whole_suite(tgtd.at)
    assert [str(case) for case in ours.cases if case.outcome is Outcome.FAILED] == []
    assert set(ours.named(Outcome.SKIPPED)) == set(SKIPPED)
    assert set(theirs.named(Outcome.PASSED)) - set(ours.named(Outcome.PASSED)) == LESS_THAN_TGTD
    assert set(theirs.named(Outcome.FAILED)) == set(TGTD_FAILS)


async def test_a_write_protected_unit_passes_the_test_for_one() -> None:
    async with running_target("--read-only") as target:
        finished, suite = await initiators.compliance(target.at, "ALL.ReadOnly")
        assert suite.outcomes == (("ReadOnly.ReadOnlySBC", Outcome.PASSED),), finished.output[-2000:]


# --- QEMU -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [None, "crc32c", "none-crc32c", "crc32c-none"])
async def test_qemu_writes_and_verifies(target: Embedded, digest: str | None) -> None:
    for length, byte in ((512, 0x01), (65536, 0x5A), (4 * MIB, 0xA5)):
        (await initiators.pattern(target.at, offset=MIB, length=length, byte=byte, header_digest=digest)).check()
    wrong = await initiators.qemu_io(target.at, f"read -P 0x5a {MIB} 4096", header_digest=digest)
    assert wrong.returncode == 1
    assert "Pattern verification failed" in wrong.output


@pytest.mark.peers("qemu", "tshark")
@pytest.mark.parametrize("digest", [None, "crc32c"])
async def test_tshark_finds_nothing_wrong(target: Embedded, tmp_path: Path, digest: str | None) -> None:
    capture = tmp_path / "capture.pcapng"
    async with running_proxy(target.at.portal, "--capture", str(capture)) as proxy:
        through = target.address(host=proxy.host, port=proxy.port)
        (await initiators.pattern(through, length=2 * MIB, header_digest=digest)).check()
        (await initiators.qemu_io(through, "discard 0 1M", "write -z 1M 1M", "flush", header_digest=digest)).check()
    frames = await tshark.read(capture, ports=(target.port, proxy.port))
    assert tshark.problems(frames) == []
    pdus = [pdu for pdu in tshark.pdus(frames, interface="target leg") if pdu.opcode not in (0x03, 0x23)]
    assert len(pdus) > 20
    assert {pdu.header_digest for pdu in pdus} == {"good" if digest else None}


async def test_qemu_img_copies_in_and_out(target: Embedded, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(Random(1).randbytes(3 * MIB) + bytes(MIB))
    raw = ("-f", "raw", "-O", "raw")
    (await initiators.qemu_img("convert", "-n", *raw, str(image), target.at.url)).check()
    compare = ("compare", "-f", "raw", "-F", "raw", target.at.url, str(image))
    assert "Images are identical" in (await initiators.qemu_img(*compare)).check().stdout
    with image.open("r+b") as file:
        file.write(b"another")
    assert (await initiators.qemu_img(*compare)).returncode == 1


async def test_load_is_borne(target: Embedded) -> None:
    assert await initiators.bench(target.at, count=2000, depth=32) > 0
    assert await initiators.bench(target.at, count=500, depth=32, size=65536, write=True) > 0
    assert (await initiators.perf(target.at, depth=32, random=True)).iops > 100
    assert (await initiators.perf(target.at, depth=4, blocks=2048)).iops > 1


@pytest.mark.parametrize(
    "keys",
    [
        ("InitialR2T=Yes", "ImmediateData=No"),
        ("InitialR2T=Yes", "ImmediateData=Yes"),
        ("InitialR2T=No", "ImmediateData=No", "FirstBurstLength=1024"),
        ("MaxBurstLength=4096", "MaxOutstandingR2T=1", "MaxRecvDataSegmentLength=512"),
    ],
)
async def test_writes_work_whatever_was_negotiated(keys: tuple[str, ...]) -> None:
    options = [word for key in keys for word in ("-k", key)]
    async with running_target(*options, "--window", "2") as target:
        (await initiators.pattern(target.at, offset=512, length=MIB)).check()
        await initiators.bench(target.at, count=100, depth=8, size=8192, write=True)


# --- logins ---------------------------------------------------------------------------------------------------------


async def test_CHAP_lets_in_who_knows_the_secret() -> None:
    chap = Chap()
    async with running_target(chap=chap) as target:
        (await initiators.inquiry(target.at)).check()
        (await initiators.pattern(target.at)).check()
        assert not (await initiators.inquiry(target.address(chap=Chap(password="another-secret")))).ok
        assert not (await initiators.inquiry(target.address(chap=Chap(user="stranger")))).ok
    async with running_target(env={"ISCSIPROXY_CHAP": f"{chap.user}:{chap.password}"}) as target:
        assert not (await initiators.inquiry(target.at)).ok
        (await initiators.inquiry(target.address(chap=chap))).check()


async def test_iscsi_ls_lists_the_target_and_its_LUNs() -> None:
    async with running_target("--lun", "1M", "--lun", "7=2M") as target:
        finished, found = await initiators.targets(target.at, luns=True)
        finished.check()
        assert found == [initiators.Listed(iqn=target.iqn, portal=target.at.portal)]
        assert "Lun:0    Type:DIRECT_ACCESS" in finished.stdout
        assert "Lun:7    Type:DIRECT_ACCESS" in finished.stdout


async def test_LUNs_keep_apart() -> None:
    async with running_target("--lun", "1M", "--lun", "2M") as target:
        first, second = target.address(lun=0), target.address(lun=1)
        (await initiators.qemu_io(first, "write -P 1 0 1M")).check()
        (await initiators.qemu_io(second, "write -P 2 0 2M")).check()
        (await initiators.qemu_io(first, "read -P 1 0 1M")).check()
        assert f"Total size:{2 * MIB}" in (await initiators.readcapacity16(second)).check().stdout
        assert not (await initiators.inquiry(target.address(lun=2))).ok


async def test_a_file_keeps_its_contents_over_a_restart(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    async with running_target("--lun", f"{disk}:8M") as target:
        (await initiators.qemu_io(target.at, "write -P 0x5a 1M 1M", "flush")).check()
    assert disk.read_bytes()[MIB : 2 * MIB] == b"\x5a" * MIB
    async with running_target("--lun", str(disk)) as target:
        (await initiators.qemu_io(target.at, "read -P 0x5a 1M 1M", "read -P 0 0 1M")).check()
    async with running_target("--lun", str(disk), "--read-only") as target:
        (await initiators.qemu_img("compare", "-f", "raw", "-F", "raw", target.at.url, str(disk))).check()
        assert not (await initiators.qemu_io(target.at, "write 0 512")).ok


@pytest.mark.parametrize("listen", ["[::1]:0", "localhost:0"])
async def test_it_listens_on_other_addresses_too(listen: str) -> None:
    async with running_target(listen=listen) as target:
        finished, found = await initiators.targets(target.at, luns=True)
        finished.check()
        assert [one.portal for one in found] == [target.at.portal]
        (await initiators.pattern(target.at)).check()


# --- trouble --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly_under_load(how: signal.Signals) -> None:
    async with running_target() as target, trio.open_nursery() as nursery:
        done: list[Finished] = []

        async def work() -> None:
            # It would try to connect again for ever.
            done.append(await initiators.qemu_io(target.at, *["write 0 32M", "read 0 32M"] * 50, within=5.0))

        for _ in range(3):
            nursery.start_soon(work)
        await trio.sleep(0.5)
        assert await target.stop(how) == 0
        assert not done
        nursery.cancel_scope.cancel()


async def test_garbage_and_resets_disturb_nobody(target: Embedded) -> None:
    rng = Random(7)
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def work() -> None:
            while not done.is_set():
                (await initiators.pattern(target.at, length=MIB, byte=rng.randrange(256))).check()

        nursery.start_soon(work)
        for _ in range(100):
            stream = await trio.open_tcp_stream(target.host, target.port)
            # Some of it begins as a login does.
            head = b"\x43\x87" + bytes(46) if rng.randrange(2) else b""
            await stream.send_all(head + rng.randbytes(rng.randrange(5000)))
            if rng.randrange(2):
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await stream.aclose()
        done.set()
    (await initiators.pattern(target.at)).check()
    # Nothing of the hundred is left open.
    with trio.fail_after(10.0):
        while len(list(Path(f"/proc/{target.process.pid}/fd").iterdir())) > 20:
            await trio.sleep(0.01)
