from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.errors import CommandTimeout, ConnectionLost
from iscsiproxy.peers.initiator.recovery import RecoveryPolicy, recovering_session
from iscsiproxy.peers.scsi.command import Attribute
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.peers.workload.drive import RecoveringDrive, SessionDrive
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.initiator.script import SETTINGS, Script, scripted

__all__: list[str] = []

_IMPATIENT = SETTINGS.changed(command_timeout=10.0)


async def test_commands_leave_in_the_order_given() -> None:
    async with scripted() as (session, target):
        drive = SessionDrive(session)
        running = [
            await drive.start(1, commands.write10(n, 1), data_out=bytes(512), attribute=Attribute.ORDERED)
            for n in range(3)
        ]
        received = [await target.receive(Opcode.SCSI_COMMAND) for _ in range(3)]
        assert [pdu["CmdSN"] for pdu in received] == [1, 2, 3]
        assert [pdu["ATTR"] for pdu in received] == [2, 2, 2]
        for pdu in reversed(received):
            await target.respond(pdu)
        assert all([(await one.wait()).good for one in running])
        assert drive.recoveries() == 0


async def test_a_command_that_takes_too_long_is_aborted(autojump_clock: MockClock) -> None:
    async with scripted(_IMPATIENT) as (session, target):
        running = await SessionDrive(session).start(1, commands.test_unit_ready())
        command = await target.receive(Opcode.SCSI_COMMAND)

        async def abort() -> None:
            request = await target.receive(Opcode.TMF_REQUEST)
            assert (request["Function"], request["RefTaskTag"]) == (1, command["ITT"])
            await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(abort)
            with pytest.raises(CommandTimeout, match=r"no answer in 10\.0 seconds"):
                await running.wait()
        assert autojump_clock.current_time() == 10.0
        assert session.failure is None


async def test_a_target_that_does_not_even_abort_has_lost_its_session(autojump_clock: MockClock) -> None:
    async with scripted(_IMPATIENT) as (session, _):
        running = await SessionDrive(session).start(1, commands.test_unit_ready())
        with pytest.raises(ConnectionLost, match="neither a command nor its ABORT TASK was answered"):
            await running.wait()
        assert autojump_clock.current_time() == 20.0


async def test_a_window_that_stays_closed_is_not_waited_for_without_end(autojump_clock: MockClock) -> None:
    async with scripted(_IMPATIENT) as (session, _):
        drive = SessionDrive(session)
        for _ in range(32):
            await drive.start(1, commands.test_unit_ready())
        with pytest.raises(CommandTimeout, match="no place in the command window"):
            await drive.start(1, commands.test_unit_ready())
        assert autojump_clock.current_time() == 10.0


async def test_a_command_that_was_lost_is_given_again(autojump_clock: MockClock) -> None:
    targets: list[Script] = []
    async with trio.open_nursery() as nursery:

        async def connect() -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            targets.append(Script(PduStream(theirs, max_segment=1 << 24)))
            nursery.start_soon(targets[-1].log_in, {"DefaultTime2Wait": "3"})
            return ours

        async with recovering_session(connect, SETTINGS, policy=RecoveryPolicy(most=1)) as keeper:
            drive = RecoveringDrive(keeper)
            running = await drive.start(1, commands.read10(0, 1), read_length=512)
            await targets[0].receive(Opcode.SCSI_COMMAND)
            assert drive.recoveries() == 0
            await targets[0].aclose()

            async def answer() -> None:
                while not (len(targets) == 2 and targets[1].offers):
                    await trio.sleep(1)
                await targets[1].data_in(await targets[1].receive(Opcode.SCSI_COMMAND), b"x" * 512, status=True)

            nursery.start_soon(answer)
            assert (await running.wait()).data == b"x" * 512
            assert drive.recoveries() == 1
            assert keeper.recoveries[0].duration is not None
            assert autojump_clock.current_time() >= 3.0
            # The second loss is one too many.
            lost = await drive.start(1, commands.read10(0, 1), read_length=512)
            await targets[1].aclose()
            with pytest.raises(ConnectionLost):
                await lost.wait()
            with pytest.raises(ConnectionLost):
                await drive.start(1, commands.test_unit_ready())
            assert repr(drive).startswith("<RecoveringDrive of <RecoveringSession ")
