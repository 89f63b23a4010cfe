"""The embedded initiator against a real target, and against a dissector's opinion of what it sends."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.recovery import recovering_session
from iscsiproxy.peers.initiator.session import (
    ConnectionLost,
    LoginFailed,
    Outcome,
    Session,
    discover,
    open_session,
)
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.wire.opcodes import Opcode
from tests.real import tshark
from tests.real.address import Chap
from tests.real.proxied import running_proxy
from tests.real.tgtd import LARGE_SEGMENTS, MIB, Tgtd, running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "tshark")

BLOCK = 512
CRC = ("CRC32C", "None")
NO_CRC = ("None", "CRC32C")


def settings(target: Tgtd, **changes: object) -> InitiatorSettings:
    return InitiatorSettings(target=target.iqn).changed(**changes)


async def ready(session: Session, lun: int = 1) -> None:
    """Take the unit attentions that a new session is told (SPC-4 5.14)."""
    for _ in range(5):
        if (await session.command(lun, commands.test_unit_ready())).good:
            return
    raise AssertionError("the unit does not become ready")


async def write_and_read(session: Session, data: bytes, *, depth: int, chunk: int, lun: int = 1) -> None:
    """Write all of the data and read it back, with so many commands at once, and compare."""

    async def each(give: str) -> None:
        limit = trio.CapacityLimiter(depth)

        async def one(at: int) -> None:
            async with limit:
                part = data[at : at + chunk]
                lba, blocks = at // BLOCK, len(part) // BLOCK
                if give == "write":
                    outcome = await session.command(lun, commands.write10(lba, blocks), data_out=part)
                else:
                    outcome = await session.command(lun, commands.read10(lba, blocks), read_length=len(part))
                    assert outcome.data == part
                assert outcome.good, outcome

        async with trio.open_nursery() as nursery:
            for at in range(0, len(data), chunk):
                nursery.start_soon(one, at)

    await each("write")
    await each("read")


async def test_discovery_and_what_the_unit_says_of_itself() -> None:
    async with running_tgtd(luns=(64 * MIB, MIB)) as target:
        portal = (target.host, target.port)
        [record] = await discover(portal, settings(target))
        assert (record.name, record.addresses) == (target.iqn, (f"127.0.0.1:{target.port},1",))
        async with open_session(portal, settings(target)) as session:
            assert ("TargetPortalGroupTag", "1") in session.login_keys
            await ready(session)
            inquiry = await session.command(1, commands.inquiry(), read_length=255)
            assert commands.decode_inquiry(inquiry.data).vendor == "IET"
            assert inquiry.residual == 255 - len(inquiry.data)
            small = await session.command(1, commands.read_capacity10(), read_length=8)
            large = await session.command(1, commands.read_capacity16(), read_length=32)
            assert commands.decode_capacity10(small.data).length == 64 * MIB
            assert commands.decode_capacity16(large.data).length == 64 * MIB
            luns = await session.command(0, commands.report_luns(), read_length=4096)
            assert commands.decode_luns(luns.data) == (0, 1, 2)
            beyond = await session.command(1, commands.read10(64 * MIB // BLOCK, 1), read_length=BLOCK)
            assert (beyond.status, str(beyond.sense)) == (2, "5/21/00")
        assert await target.sessions() == 0


@pytest.mark.parametrize("digests", [NO_CRC, CRC])
@pytest.mark.parametrize(
    ("initial_r2t", "immediate_data"), [("Yes", "Yes"), ("Yes", "No"), ("No", "Yes"), ("No", "No")]
)
async def test_what_is_written_is_read_back_and_a_dissector_finds_nothing_wrong(
    digests: tuple[str, ...], initial_r2t: str, immediate_data: str, tmp_path: Path
) -> None:
    capture = tmp_path / "capture.pcapng"
    parameters = {
        "InitialR2T": initial_r2t,
        "ImmediateData": immediate_data,
        "MaxOutstandingR2T": "4",
        "HeaderDigest": digests[0],
        "DataDigest": digests[0],
    }
    data = Random(initial_r2t + immediate_data).randbytes(MIB)
    async with running_tgtd(parameters=parameters) as target, running_proxy(target, "--capture", str(capture)) as proxy:
        wanted = settings(target, header_digests=digests, data_digests=digests)
        async with open_session((proxy.host, proxy.port), wanted) as session:
            agreed = session.parameters
            assert (agreed.header_digest, agreed.data_digest) == (digests is CRC, digests is CRC)
            assert (agreed.initial_r2t, agreed.immediate_data) == (initial_r2t == "Yes", immediate_data == "Yes")
            await ready(session)
            await write_and_read(session, data, depth=4, chunk=128 * 1024)
            assert await session.nop(b"ping!") == b"ping!"
            assert await session.nop(b"odd", immediate=False) == b"odd"
            assert await session.task_management(1, lun=1, task_tag=0x7777, cmdsn=1) == 1
            assert await session.task_management(5, lun=1) == 0
            await ready(session)
        assert target.lun_files[0].read_bytes()[:MIB] == data
        assert await proxy.stop() == 0
    frames = await tshark.read(capture, ports=(proxy.port, target.port))
    assert tshark.problems(frames) == []
    outs = tshark.pdus(frames, opcode=Opcode.DATA_OUT)
    unsolicited = [pdu for pdu in outs if pdu.number("iscsi.targettransfertag") == 0xFFFFFFFF]
    assert bool(unsolicited) == (initial_r2t == "No")
    checked = {pdu.data_digest for pdu in outs}, {pdu.header_digest for pdu in outs}
    assert checked == (({"good"}, {"good"}) if digests is CRC else ({None}, {None}))


@pytest.mark.parametrize("depth", [1, 8, 64])
@pytest.mark.parametrize("digests", [NO_CRC, CRC])
async def test_8_MiB_at_several_depths(depth: int, digests: tuple[str, ...]) -> None:
    parameters = {**LARGE_SEGMENTS, "InitialR2T": "No", "HeaderDigest": digests[0], "DataDigest": digests[0]}
    async with running_tgtd(parameters=parameters) as target:
        wanted = settings(target, header_digests=digests, data_digests=digests)
        async with open_session((target.host, target.port), wanted) as session:
            await ready(session)
            await write_and_read(session, Random(depth).randbytes(8 * MIB), depth=depth, chunk=64 * 1024)


async def test_CHAP_is_proved_or_refused() -> None:
    account = Account(name="tester", secret=b"not-a-secret")
    async with running_tgtd(chap=Chap(user="tester", password="not-a-secret")) as target:
        portal = (target.host, target.port)
        for algorithms in ((5,), (6, 5), (5, 6, 7)):
            wanted = settings(target, account=account, chap_algorithms=algorithms)
            async with open_session(portal, wanted) as session:
                await ready(session)
        for wrong in (None, Account(name="tester", secret=b"another-guess")):
            with pytest.raises(LoginFailed) as caught:
                async with open_session(portal, settings(target, account=wrong)):
                    pass
            assert caught.value.status == 0x0201


async def test_a_target_that_proves_itself() -> None:
    account = Account(name="tester", secret=b"not-a-secret")
    async with running_tgtd(chap=Chap(user="tester", password="not-a-secret")) as target:
        for arguments in (
            ("--op", "new", "--user", "target", "--password", "another-secret"),
            ("--op", "bind", "--tid", "1", "--user", "target", "--outgoing"),
        ):
            (await target.admin("--mode", "account", *arguments)).check()
        portal = (target.host, target.port)
        mutual = Account(name="target", secret=b"another-secret")
        async with open_session(portal, settings(target, account=account, mutual=mutual)) as session:
            await ready(session)
        impostor = Account(name="target", secret=b"not-the-secret")
        with pytest.raises(ConnectionLost, match="does not prove itself"):
            async with open_session(portal, settings(target, account=account, mutual=impostor)):
                pass


async def test_a_wrong_target_is_refused() -> None:
    async with running_tgtd() as target:
        with pytest.raises(LoginFailed) as caught:
            async with open_session(
                (target.host, target.port), settings(target).changed(target="iqn.2026-01.example:none")
            ):
                pass
        assert caught.value.status == 0x0203


async def test_tgtd_leaves_at_a_Text_Request_in_a_normal_session_and_that_is_only_a_lost_connection() -> None:
    async with running_tgtd() as target, open_session((target.host, target.port), settings(target)) as session:
        with pytest.raises(ConnectionLost):
            await session.send_targets("")
        assert session.failure is not None


async def test_a_session_that_is_cut_comes_back_and_the_time_is_known() -> None:
    async with running_tgtd() as target, running_proxy(target) as proxy:
        wanted = settings(target, time2wait=0, offers={"DefaultTime2Wait": "0"})
        await target.update({"DefaultTime2Wait": "0"})
        async with recovering_session((proxy.host, proxy.port), wanted) as keeper:
            await ready(await keeper.session())
            stream = (await keeper.session()).connection
            await stream.aclose()
            outcome = await good(keeper.command, commands.read10(0, 8), 8 * BLOCK)
            assert outcome.data == bytes(8 * BLOCK)
            [recovery] = keeper.recoveries
            assert recovery.duration is not None
            assert recovery.attempts == 1


async def good(command: object, cdb: bytes, length: int) -> Outcome:
    """Give a command until the unit attentions are over."""
    assert callable(command)
    for _ in range(5):
        outcome = await command(1, cdb, read_length=length)
        assert isinstance(outcome, Outcome)
        if outcome.good:
            return outcome
    raise AssertionError("the unit does not become ready")
