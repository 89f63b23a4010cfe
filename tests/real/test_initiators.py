from __future__ import annotations

import pytest

from tests.real import initiators
from tests.real.address import Chap
from tests.real.cunit import Outcome
from tests.real.process import ProgramError
from tests.real.tgtd import Tgtd, reserved_port, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu")


async def test_iscsi_ls_lists_the_target(tgtd: Tgtd) -> None:
    finished, found = await initiators.targets(tgtd.at)
    finished.check()
    assert found == [initiators.Listed(iqn=tgtd.iqn, portal=tgtd.at.portal)]


async def test_iscsi_ls_lists_LUNs(tgtd: Tgtd) -> None:
    finished, found = await initiators.targets(tgtd.at, luns=True)
    assert [one.portal for one in found] == [tgtd.at.portal]
    assert "Lun:1    Type:DIRECT_ACCESS" in finished.stdout


async def test_small_tools_read_the_LUN(tgtd: Tgtd) -> None:
    assert "Vendor:IET" in (await initiators.inquiry(tgtd.at)).check().stdout
    assert f"Total size:{64 << 20}" in (await initiators.readcapacity16(tgtd.at)).check().stdout


async def test_an_initiator_that_cannot_connect_says_so() -> None:
    async with running_tgtd() as gone:
        pass
    with reserved_port() as nobody:
        finished = await initiators.inquiry(gone.address(port=nobody))
    assert finished.returncode > 0
    assert not finished.timed_out


@pytest.mark.parametrize("header_digest", [None, "crc32c", "none-crc32c"])
async def test_qemu_io_writes_and_verifies(header_digest: str | None) -> None:
    async with running_tgtd(parameters={"HeaderDigest": "CRC32C"}) as target:
        (await initiators.pattern(target.at, length=1 << 20, header_digest=header_digest)).check()
        wrong = await initiators.qemu_io(target.at, "read -P 0x5a 0 4096", header_digest=header_digest)
        assert wrong.returncode == 1
        assert "Pattern verification failed" in wrong.output


async def test_qemu_img_converts_and_compares(tgtd: Tgtd) -> None:
    (await initiators.pattern(tgtd.at, offset=1 << 20, length=65536)).check()
    compare = ("compare", "-f", "raw", "-F", "raw", tgtd.url(), str(tgtd.lun_files[0]))
    assert "Images are identical" in (await initiators.qemu_img(*compare)).check().stdout


async def test_benches_measure(tgtd: Tgtd) -> None:
    assert await initiators.bench(tgtd.at, count=200, depth=4) >= 0
    assert await initiators.bench(tgtd.at, count=20, depth=4, size=65536, write=True) >= 0
    measured = await initiators.perf(tgtd.at, depth=4)
    assert measured.iops > 0


async def test_a_bench_that_cannot_log_in_is_an_error() -> None:
    async with running_tgtd(chap=Chap()) as target:
        wrong = target.address(chap=Chap(password="not-the-right-one"))
        with pytest.raises(ProgramError, match="Authentication failure"):
            await initiators.bench(wrong, count=1)
        with pytest.raises(ProgramError, match="Authentication failure"):
            await initiators.perf(wrong)


async def test_one_suite_of_the_compliance_tests(tgtd: Tgtd) -> None:
    finished, suite = await initiators.compliance(tgtd.at, "ALL.Read10")
    assert finished.ok
    assert suite.complete
    assert [case.name for case in suite.cases] == [
        name for name in await initiators.compliance_tests() if name.startswith("Read10.")
    ]
    assert suite.named(Outcome.PASSED) == [case.name for case in suite.cases]


async def test_a_compliance_test_that_does_not_exist_runs_nothing(tgtd: Tgtd) -> None:
    finished, suite = await initiators.compliance(tgtd.at, "ALL.NoSuchSuite")
    assert finished.ok
    assert suite.cases == ()


async def test_a_compliance_run_that_is_cut_off_tells_where(tgtd: Tgtd) -> None:
    finished, suite = await initiators.compliance(tgtd.at, "ALL.iSCSIcmdsn", within=2.0)
    assert finished.timed_out
    assert not suite.complete
    assert suite.cases[-1].outcome is Outcome.UNFINISHED


@pytest.mark.slow
async def test_the_whole_compliance_suite_is_read(tgtd: Tgtd) -> None:
    finished, suite = await initiators.compliance(tgtd.at)
    assert not finished.timed_out
    assert suite.complete
    assert [case.name for case in suite.cases] == await initiators.compliance_tests()
    assert suite.said is not None
    _, _, passed, failed = suite.said
    assert len(suite.named(Outcome.FAILED)) == failed
    assert len(suite.named(Outcome.PASSED)) + len(suite.named(Outcome.SKIPPED)) == passed
    assert suite.named(Outcome.SKIPPED)
    assert tgtd.alive
