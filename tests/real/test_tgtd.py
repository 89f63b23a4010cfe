from __future__ import annotations

import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
import trio

from tests.real import initiators
from tests.real.address import Chap
from tests.real.process import running
from tests.real.tgtd import IQN, LARGE_SEGMENTS, MIB, Tgtd, TgtdError, reserved_port, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu")


def listens(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as caller:
        return caller.connect_ex((host, port)) == 0


async def test_it_is_ready_alive_and_gone_afterwards() -> None:
    async with running_tgtd() as running_one:
        assert running_one.alive
        assert listens(running_one.host, running_one.port)
        assert running_one.url() == f"iscsi://127.0.0.1:{running_one.port}/{IQN}/1"
        assert "alive" in repr(running_one)
        assert "bs_init" in running_one.log
        directory = running_one.directory
    assert running_one.process.poll() is not None
    assert "dead" in repr(running_one)
    assert not listens(running_one.host, running_one.port)
    assert not directory.exists()


async def test_two_run_side_by_side(tgtd: Tgtd) -> None:
    async with running_tgtd(iqn="iqn.2026-01.example.other:disk") as other:
        assert other.port != tgtd.port
        for one in (tgtd, other):
            _, found = await initiators.targets(one.at)
            assert [target.iqn for target in found] == [one.iqn]


async def test_it_listens_on_IPv6() -> None:
    async with running_tgtd(host="::1") as running_one:
        assert running_one.url() == f"iscsi://[::1]:{running_one.port}/{running_one.iqn}/1"
        (await initiators.pattern(running_one.at)).check()


async def test_LUNs_are_the_sizes_asked_and_hold_what_is_written() -> None:
    async with running_tgtd(luns=(8 * MIB, 16 * MIB)) as running_one:
        assert [file.stat().st_size for file in running_one.lun_files] == [8 * MIB, 16 * MIB]
        for lun, byte in ((1, 0x11), (2, 0x22)):
            (await initiators.pattern(running_one.address(lun=lun), byte=byte, length=4096)).check()
        assert [file.read_bytes()[:4096] for file in running_one.lun_files] == [b"\x11" * 4096, b"\x22" * 4096]


async def test_parameters_are_set() -> None:
    async with running_tgtd(parameters={"InitialR2T": "No", **LARGE_SEGMENTS}) as running_one:
        await running_one.update({"MaxBurstLength": "131072"})
        shown = (await running_one.admin("--mode", "target", "--op", "show", "--tid", "1")).stdout.split()
        assert {"InitialR2T=No", "MaxRecvDataSegmentLength=262144", "MaxBurstLength=131072"} <= set(shown)


async def test_a_parameter_that_it_does_not_know_is_an_error() -> None:
    with pytest.raises(TgtdError, match="NoSuchKey"):
        async with running_tgtd(parameters={"NoSuchKey": "1"}):
            pytest.fail("it came up")


async def test_CHAP_is_asked_for() -> None:
    async with running_tgtd(chap=Chap()) as running_one:
        (await initiators.inquiry(running_one.at)).check()
        (await initiators.pattern(running_one.at)).check()
        wrong = running_one.address(chap=Chap(password="not-the-right-one"))
        for refused in (await initiators.inquiry(wrong), await initiators.pattern(wrong)):
            assert refused.returncode > 0
            assert "Authentication failure(513)" in refused.output


async def test_it_ends_while_somebody_is_logged_in(tmp_path: Path) -> None:
    async with running_tgtd() as running_one:
        command = ("qemu-io", "-f", "raw", "-c", "sleep 60000", running_one.url())
        async with running(*command, log=tmp_path / "log"):
            with trio.fail_after(10):
                while await running_one.sessions() == 0:
                    await trio.sleep(0.005)
            await running_one.kill()
            assert not running_one.alive
    assert not running_one.directory.exists()


async def test_a_portal_that_it_cannot_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken: int = somebody.getsockname()[1]
        monkeypatch.setattr("tests.real.tgtd.reserved_port", lambda _host: nullcontext(taken))
        with pytest.raises(TgtdError, match=f"does not listen on 127.0.0.1:{taken}"):
            async with running_tgtd():
                pytest.fail("it came up")


def test_a_reserved_port_is_nobody_elses_and_can_be_listened_on() -> None:
    with reserved_port() as port:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen()
