"""The proxy with no fault armed, between real peers: nobody can tell that it is there."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from random import Random

import pytest
import trio

from tests.real import initiators, tshark
from tests.real.address import Address, Chap
from tests.real.legs import initiator_stream
from tests.real.proxied import Proxied, captive, running_proxy
from tests.real.tgtd import MIB, Tgtd, reserved_port, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu", "tshark")


@pytest.fixture
async def proxy(tgtd: Tgtd) -> AsyncIterator[Proxied]:
    async with running_proxy(tgtd) as running:
        yield running


def through(proxy: Proxied, target: Tgtd) -> Address:
    return target.address(host=proxy.host, port=proxy.port)


@pytest.mark.slow
async def test_the_whole_libiscsi_suite_ends_as_it_does_without_the_proxy() -> None:
    outcomes = []
    for proxied in (False, True):
        async with AsyncExitStack() as stack:
            # A fresh target for each run: the suite leaves reservations and modes behind.
            target = await stack.enter_async_context(running_tgtd())
            address = target.at
            if proxied:
                address = through(await stack.enter_async_context(running_proxy(target)), target)
            finished, suite = await initiators.compliance(address)
            assert suite.complete, finished.output[-2000:]
            outcomes.append(suite.outcomes)
    assert [name for name, _ in outcomes[0]] == await initiators.compliance_tests()
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("digest", [None, "crc32c"])
async def test_qemu_writes_and_verifies(digest: str | None) -> None:
    parameters = {"HeaderDigest": "CRC32C"} if digest else {}
    async with running_tgtd(parameters=parameters) as target, running_proxy(target, "-v") as proxy:
        for length, byte in ((512, 0x01), (65536, 0x5A), (4 * MIB, 0xA5)):
            address = through(proxy, target)
            (await initiators.pattern(address, offset=MIB, length=length, byte=byte, header_digest=digest)).check()
            assert target.lun_files[0].read_bytes()[MIB : MIB + length] == bytes([byte]) * length
        keys = [event["keys"] for event in proxy.named("fullfeature")]
        assert {one["HeaderDigest"] for one in keys} == {"CRC32C" if digest else "None"}


async def test_CHAP_login_works_and_a_wrong_password_does_not() -> None:
    chap = Chap()
    async with running_tgtd(chap=chap) as target, running_proxy(target) as proxy:
        right = target.address(host=proxy.host, port=proxy.port, chap=chap)
        (await initiators.inquiry(right)).check()
        (await initiators.pattern(right)).check()
        wrong = target.address(host=proxy.host, port=proxy.port, chap=Chap(password="another-secret"))
        assert not (await initiators.inquiry(wrong)).ok


async def test_iscsi_ls_stays_in_the_proxy_and_lists_the_luns(tgtd: Tgtd) -> None:
    async with running_proxy(tgtd, "-v") as proxy:
        finished, found = await initiators.targets(through(proxy, tgtd), luns=True)
        finished.check()
        assert [(one.iqn, one.portal) for one in found] == [(tgtd.iqn, f"127.0.0.1:{proxy.port}")]
        assert "Lun:1" in finished.stdout
        # Discovery, and then the login that reads the LUNs: both came to us.
        assert len(proxy.named("connected")) == 2


@pytest.mark.parametrize(("listen", "target_host"), [("[::1]:0", "127.0.0.1"), ("127.0.0.1:0", "::1")])
async def test_IPv4_and_IPv6_may_be_mixed(listen: str, target_host: str) -> None:
    async with running_tgtd(host=target_host) as target, running_proxy(target, listen=listen) as proxy:
        (await initiators.pattern(through(proxy, target))).check()
        finished, found = await initiators.targets(through(proxy, target), luns=True)
        assert [one.portal for one in found] == [through(proxy, target).portal]
        assert "Lun:1" in finished.stdout


async def test_several_routes_in_one_process(tgtd: Tgtd) -> None:
    async with (
        running_tgtd(iqn="iqn.2026-01.example.other:disk") as other,
        running_proxy(tgtd, "--map", f"127.0.0.1:0=127.0.0.1:{other.port}") as proxy,
    ):
        second = int(proxy.ready["listen"][1].rpartition(":")[2])
        (await initiators.pattern(through(proxy, tgtd), byte=1)).check()
        (await initiators.pattern(other.address(port=second), byte=2)).check()
        assert tgtd.lun_files[0].read_bytes()[:1] == b"\x01"
        assert other.lun_files[0].read_bytes()[:1] == b"\x02"


async def test_a_target_that_is_not_there_gives_a_clean_close_and_a_clear_line() -> None:
    with reserved_port() as port:
        async with running_proxy(f"127.0.0.1:{port}") as proxy:
            stream = await trio.open_tcp_stream(proxy.host, proxy.port)
            async with stream:
                await stream.send_all(bytes(48))
                assert await stream.receive_some() == b""  # a FIN: a RST would raise
            (failed,) = await proxy.until("connectfailed")
            assert failed["target"] == f"127.0.0.1:{port}"
            assert "refused" in failed["reason"].lower()


async def conversation(target: Tgtd, directory: Path) -> bytes:
    """Record all that an initiator sends from login to logout: 256 KiB written and read."""
    capture = directory / "conversation.pcapng"
    async with running_proxy(target, "--capture", str(capture)) as proxy:
        (await initiators.pattern(through(proxy, target), length=256 * 1024)).check()
    return initiator_stream(capture)


async def test_200_connections_reset_at_random_points_disturb_nobody(tgtd: Tgtd, tmp_path: Path) -> None:
    rng = Random(200)
    said = await conversation(tgtd, tmp_path)
    async with running_proxy(tgtd) as proxy:
        done = trio.Event()

        async def work() -> None:
            address = through(proxy, tgtd)
            while not done.is_set():
                (await initiators.pattern(address, length=MIB, byte=rng.randrange(256))).check()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            for _ in range(200):
                stream = await trio.open_tcp_stream(proxy.host, proxy.port)
                # From nothing at all over a piece of the login to the middle of a burst.
                length = rng.choice((0, rng.randrange(49), rng.randrange(600), rng.randrange(len(said))))
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(said[:length])
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                await stream.aclose()
            done.set()
        (await initiators.pattern(through(proxy, tgtd))).check()
        assert not proxy.named("noted"), "the proxy met an error of its own"
        # Nothing of the 200 is left open.
        with trio.fail_after(10.0):
            while len(list(Path(f"/proc/{proxy.process.pid}/fd").iterdir())) > 20:
                await trio.sleep(0.01)


async def test_garbage_passes_through_and_disturbs_nobody(tgtd: Tgtd) -> None:
    rng = Random(7)
    async with running_proxy(tgtd) as proxy:
        streams = [await trio.open_tcp_stream(proxy.host, proxy.port) for _ in range(20)]
        for stream in streams:
            await stream.send_all(rng.randbytes(5000))
        (await initiators.pattern(through(proxy, tgtd), length=MIB)).check()
        for stream in streams:
            await stream.aclose()
        (await initiators.pattern(through(proxy, tgtd), length=MIB)).check()
        assert not proxy.named("noted"), "the proxy met an error of its own"
        assert tgtd.alive


async def test_a_killed_proxy_leaves_its_journal_and_capture_readable(tgtd: Tgtd, tmp_path: Path) -> None:
    from iscsiproxy.journal import read

    journal, capture = tmp_path / "journal.jsonl", tmp_path / "capture.pcapng"
    recording = ("--journal", str(journal), "--capture", str(capture))
    async with running_proxy(tgtd, *recording) as proxy, trio.open_nursery() as nursery:
        # The initiator would try to connect again for ever: it is not waited for.
        nursery.start_soon(lambda: initiators.pattern(through(proxy, tgtd), length=32 * MIB, within=5.0))
        while not (capture.exists() and capture.stat().st_size > MIB):
            await trio.sleep(0.005)
        await proxy.stop(signal.SIGKILL)
        nursery.cancel_scope.cancel()
    assert len(list(read(journal))) > 20
    frames = await tshark.read(capture, ports=(tgtd.port, proxy.port), may_be_cut=True)
    assert len(tshark.pdus(frames, interface="target leg")) > 20


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly_with_connections_open(tgtd: Tgtd, how: signal.Signals) -> None:
    async with running_proxy(tgtd, "-v") as proxy:
        stream = await trio.open_tcp_stream(proxy.host, proxy.port)
        async with stream:
            await proxy.until("connected")
            assert await proxy.stop(how) == 0
            assert await stream.receive_some() == b""


async def test_a_captive_command_gets_the_portal_and_its_status_is_ours(tgtd: Tgtd) -> None:
    finished, events = await captive(
        tgtd, [], ["qemu-io", "-f", "raw", "-c", "read 0 64k", f"iscsi://{{portal}}/{tgtd.iqn}/1"]
    )
    finished.check()
    assert "read 65536/65536" in finished.stdout
    assert events[0]["event"] == "ready"
    finished, _ = await captive(tgtd, [], ["sh", "-c", 'test "$ISCSIPROXY_PORTAL" = {portal}; exit $((7 + $?))'])
    assert finished.returncode == 7


async def test_a_listening_address_that_is_taken_is_a_usage_error(tgtd: Tgtd) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        finished, _ = await captive(tgtd, ["--map", f"127.0.0.1:{taken.getsockname()[1]}=127.0.0.1:1"], ["true"])
    assert finished.returncode == 2
    assert "cannot listen at" in finished.stderr


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_seed_repeats_the_run(tmp_path: Path, seed: int) -> None:
    scenario = tmp_path / "now_and_then.yaml"
    scenario.write_text(
        "scenario: now_and_then\nvictim: initiator\nrules:\n"
        "  - when: Data-In where length == 512 as each seen\n    do: {note: seen}\n"
        '  - when: Data-In where length == 512 chance 30%\n    do: {corrupt: {what: data, bits: "random(1, 8)"}}\n'
    )
    runs = []
    for _ in range(2):
        async with (
            running_tgtd() as target,
            running_proxy(target, "--faults", str(scenario), "--seed", str(seed)) as proxy,
        ):
            reads = [f"read {512 * block} 512" for block in range(40)]
            await initiators.qemu_io(through(proxy, target), *reads)
            await proxy.stop()
        told = [one for one in proxy.events if one["event"] in ("fired", "noted")]
        first = next(one["of"] for one in told)
        runs.append([(one["of"] - first, [change["what"] for change in one.get("changes", [])]) for one in told])
    assert runs[0] == runs[1]
    struck = [changes for _, changes in runs[0] if changes]
    assert 3 <= len(struck) <= 25
