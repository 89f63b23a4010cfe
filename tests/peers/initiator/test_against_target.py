"""The two embedded peers with nothing between them: what one asks the other does, and neither finds fault."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing

from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.errors import CommandAborted, LoginFailed
from iscsiproxy.peers.initiator.session import Session, discover, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from tests.peers.initiator.script import SETTINGS, TARGET

BLOCK = 512
Connect = Callable[[], Awaitable[trio.abc.Stream]]


@asynccontextmanager
async def served(settings: TargetSettings | None = None) -> AsyncIterator[Connect]:
    """Serve a target with one unit of 1 MiB over memory streams; it may not crash."""
    unit = LogicalUnit(0, MemoryMedium(2048, BLOCK), UnitIdentity(serial="1", naa=bytes.fromhex("3000000000000001")))
    server = TargetServer(Node({TARGET: Device({0: unit})}, settings or TargetSettings()))
    async with trio.open_nursery() as nursery:

        async def connect() -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()

            async def serve() -> None:
                await server.serve_stream(theirs, portal="127.0.0.1:3260")

            nursery.start_soon(serve)
            await trio.lowlevel.checkpoint()
            return ours

        yield connect
    assert server.crashes == []


async def ready(session: Session) -> None:
    """Take the unit attention of a new nexus."""
    assert str((await session.command(0, commands.test_unit_ready())).sense) == "6/29/00"
    assert (await session.command(0, commands.test_unit_ready())).good


@pytest.mark.parametrize("initial_r2t", [True, False])
@pytest.mark.parametrize("immediate_data", [True, False])
@pytest.mark.parametrize("digest", ["CRC32C", "None"])
@pytest.mark.parametrize("segment", [512, 8192, 262144])
async def test_what_is_written_is_read_back(initial_r2t: bool, immediate_data: bool, digest: str, segment: int) -> None:
    wanted = SETTINGS.changed(
        initial_r2t=initial_r2t,
        immediate_data=immediate_data,
        header_digests=(digest,),
        data_digests=(digest,),
        max_recv_data_segment_length=segment,
        first_burst_length=4096,
        max_burst_length=16384,
    )
    data = Random(segment).randbytes(128 * BLOCK)
    async with (
        served(TargetSettings(max_recv_data_segment_length=segment)) as connect,
        open_session(connect, wanted) as session,
    ):
        agreed = session.parameters
        assert (agreed.initial_r2t, agreed.immediate_data) == (initial_r2t, immediate_data)
        assert (agreed.header_digest, agreed.data_digest) == (digest == "CRC32C", digest == "CRC32C")
        await ready(session)
        async with trio.open_nursery() as nursery:
            for at in range(0, 1024, 128):

                async def write(lba: int) -> None:
                    assert (await session.command(0, commands.write10(lba, 128), data_out=data)).good

                nursery.start_soon(write, at)
        for at in range(0, 1024, 128):
            outcome = await session.command(0, commands.read10(at, 128), read_length=len(data))
            assert outcome.good
            assert outcome.data == data


async def test_everything_else_a_session_asks() -> None:
    async with served() as connect:
        [record] = await discover(connect, SETTINGS)
        assert (record.name, record.addresses) == (TARGET, ("127.0.0.1:3260,1",))
        async with open_session(connect, SETTINGS) as session:
            await ready(session)
            assert await session.nop(b"ping!") == b"ping!"
            assert await session.nop(b"", immediate=False) == b""
            assert [one.name for one in await session.send_targets("")] == [TARGET]
            assert ("X-odd", "NotUnderstood") in await session.text([("X-odd", "1")])
            await session.text([("MaxRecvDataSegmentLength", "512")])
            outcome = await session.command(0, commands.read10(0, 4), read_length=4 * BLOCK)
            assert outcome.data == bytes(4 * BLOCK)
            short = await session.command(0, commands.inquiry(), read_length=255)
            assert short.residual == 255 - len(short.data)
            beyond = await session.command(0, commands.read10(2048, 1), read_length=BLOCK)
            assert str(beyond.sense) == "5/21/00"
            assert await session.task_management(1, lun=0, task_tag=0x7777, cmdsn=0xFFFFFF00) == 1
            assert (await session.logout(1, cid=99)).response == 1
            assert session.failure is None


async def test_a_write_that_waits_for_its_data_is_aborted() -> None:
    async with served() as connect, open_session(connect, SETTINGS.changed(initial_r2t=True)) as session:
        await ready(session)
        itt = session.take_itt()
        running = await session.start(0, commands.write10(0, 8), data_out=bytes(8 * BLOCK))
        assert itt != running.itt
        assert (await running.wait()).good
        running = await session.start(0, commands.write10(0, 2000), data_out=bytes(2000 * BLOCK))
        running.task.quiet = True
        assert await session.abort(running) == 0
        with pytest.raises(CommandAborted):
            await running.wait()
        assert (await session.command(0, commands.test_unit_ready())).good


@pytest.mark.parametrize("algorithm", [5, 6, 7])
async def test_CHAP_both_ways(algorithm: int) -> None:
    ours, theirs = Account(name="me", secret=b"my-own-secret"), Account(name="it", secret=b"its-own-secret")
    settings = TargetSettings(accounts=(ours,), mutual=theirs)
    async with served(settings) as connect:
        wanted = SETTINGS.changed(account=ours, mutual=theirs, chap_algorithms=(algorithm,))
        async with open_session(connect, wanted) as session:
            await ready(session)
        with pytest.raises(LoginFailed, match="AUTHENTICATION_FAILURE"):
            async with open_session(connect, wanted.changed(account=Account(name="me", secret=b"a guess"))):
                pass


async def test_a_target_that_is_not_there_is_refused() -> None:
    async with served() as connect:
        with pytest.raises(LoginFailed, match="NOT_FOUND"):
            async with open_session(connect, InitiatorSettings(target="iqn.2026-01.example:none")):
                pass
