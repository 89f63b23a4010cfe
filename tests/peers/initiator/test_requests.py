from __future__ import annotations

import pytest
import trio
import trio.testing

from iscsiproxy.peers.initiator.errors import CommandAborted, CommandRejected, CommandTimeout, ConnectionLost
from iscsiproxy.peers.initiator.requests import TargetRecord
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.peers.initiator.script import SETTINGS, Script, scripted

READ = bytes([0x28]) + bytes(9)
WRITE = bytes([0x2A]) + bytes(9)
TUR = bytes(6)


async def test_a_read_and_a_write_with_digests() -> None:
    async with scripted(HeaderDigest="CRC32C", DataDigest="CRC32C", InitialR2T="Yes") as (session, target):
        data = bytes(range(256)) * 64
        read = await session.start(3, READ, read_length=1024)
        command = await target.receive(Opcode.SCSI_COMMAND)
        assert (command["LUN"], command["R"], command["EDTL"], command["ATTR"]) == (3 << 48, 1, 1024, 1)
        await target.data_in(command, data[:1024], status=True)
        assert (await read.wait()).data == data[:1024]

        write = await session.start(3, WRITE, data_out=data)
        command = await target.receive(Opcode.SCSI_COMMAND)
        await target.r2t(command, 5, 0, 8192, 8192)
        out = await target.receive(Opcode.DATA_OUT)
        assert command.data + out.data == data
        assert out["F"] == 1
        await target.respond(command)
        assert (await write.wait()).good


async def test_CmdSN_rises_and_wraps_and_ITTs_are_their_own() -> None:
    settings = SETTINGS.changed(first_cmdsn=0xFFFFFFFE, first_itt=0xFFFFFFFE)
    async with scripted(settings) as (session, target):
        commands = []
        for immediate in (False, True, False, False):
            await session.start(0, TUR, immediate=immediate)
            commands.append(await target.receive(Opcode.SCSI_COMMAND))
        assert [command["CmdSN"] for command in commands] == [0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF, 0]
        assert [command["I"] for command in commands] == [0, 1, 0, 0]
        assert [command["ITT"] for command in commands] == [0xFFFFFFFE, 0, 1, 2]


async def test_every_PDU_acknowledges_what_came() -> None:
    async with scripted() as (session, target):
        for expected in (1, 2, 3):
            running = await session.start(0, TUR)
            command = await target.receive(Opcode.SCSI_COMMAND)
            assert command["ExpStatSN"] == target.statsn or expected == 1
            await target.respond(command)
            await running.wait()
        assert session.connection.exp_statsn == target.statsn


async def test_no_command_goes_beyond_MaxCmdSN_and_waiting_ones_go_in_order() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        target.window = 1
        running = await session.start(0, TUR)
        first = await target.receive()
        session.max_cmdsn = first["CmdSN"]
        answers: list[int] = []

        async def one(lun: int) -> None:
            await session.command(lun, TUR)
            answers.append(lun)

        for lun in (1, 2, 3):
            nursery.start_soon(one, lun)
            await trio.testing.wait_all_tasks_blocked()
        # Nothing but an immediate ping may leave.
        ping = await _pinged(nursery, session, target)
        await target.send(Pdu.build(Opcode.NOP_IN, F=1, ITT=ping["ITT"], TTT=NO_TAG))
        await target.respond(first)
        await running.wait()
        for lun in (1, 2, 3):
            command = await target.receive(Opcode.SCSI_COMMAND)
            assert command["LUN"] == lun << 48
            await target.respond(command)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [1, 2, 3]


async def _pinged(nursery: trio.Nursery, session: object, target: Script) -> Pdu:
    from iscsiproxy.peers.initiator.session import Session

    assert isinstance(session, Session)
    nursery.start_soon(session.nop)
    return await target.receive(Opcode.NOP_OUT)


async def test_a_window_that_opens_too_late_is_a_timeout(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with scripted(SETTINGS.changed(command_timeout=5)) as (session, target):
        session.max_cmdsn = session.cmdsn - 1
        with pytest.raises(CommandTimeout, match="window"):
            await session.command(0, TUR)
        assert session.cmdsn == 1
        assert target.exp_cmdsn == 1


# --- task management ---


async def test_ABORT_TASK_refers_to_its_task_and_ends_it() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        running = await session.start(4, READ, read_length=512)
        command = await target.receive()
        nursery.start_soon(session.abort, running)
        request = await target.receive(Opcode.TMF_REQUEST)
        assert (request["Function"], request["I"], request["LUN"]) == (1, 1, 4 << 48)
        assert (request["RefTaskTag"], request["RefCmdSN"]) == (command["ITT"], command["CmdSN"])
        assert request["CmdSN"] == command["CmdSN"] + 1
        assert not running.ended
        await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))
        with pytest.raises(CommandAborted):
            await running.wait()


async def test_a_status_before_the_abort_counts() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        running = await session.start(0, TUR)
        command = await target.receive()
        nursery.start_soon(session.abort, running)
        request = await target.receive(Opcode.TMF_REQUEST)
        await target.respond(command)
        await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"], Response=1))
        assert (await running.wait()).good


async def test_a_status_right_behind_the_response_is_too_late() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        running = await session.start(0, TUR)
        command = await target.receive()
        nursery.start_soon(session.abort, running)
        request = await target.receive(Opcode.TMF_REQUEST)
        gone = target.stamped(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))
        late = target.stamped(Pdu.build(Opcode.SCSI_RESPONSE, F=1, ITT=command["ITT"]))
        await target.stream.send([gone.sealed(header=False, data=False), late.sealed(header=False, data=False)])
        with pytest.raises(CommandAborted):
            await running.wait()


async def test_a_function_for_a_unit_ends_its_commands_and_no_others() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        ours, other = await session.start(1, TUR), await session.start(2, TUR)
        await target.receive()
        rest = await target.receive()

        async def reset() -> None:
            assert await session.task_management(5, lun=1) == 0

        nursery.start_soon(reset)
        request = await target.receive(Opcode.TMF_REQUEST)
        assert (request["LUN"], request["RefTaskTag"], request["RefCmdSN"]) == (1 << 48, NO_TAG, 0)
        await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))
        with pytest.raises(CommandAborted):
            await ours.wait()
        await target.respond(rest)
        assert (await other.wait()).good


async def test_with_FastAbort_no_more_data_goes_out_for_what_is_aborted() -> None:
    settings = SETTINGS.changed(task_reporting=("FastAbort", "RFC3720", "ResponseFence"), immediate_data=False)
    for reporting, sent in (("FastAbort", False), ("RFC3720", True)):
        async with scripted(settings, TaskReporting=reporting, InitialR2T="Yes") as (session, target):
            async with trio.open_nursery() as nursery:
                running = await session.start(1, WRITE, data_out=bytes(512))
                command = await target.receive()
                nursery.start_soon(lambda: session.task_management(2, lun=1))
                request = await target.receive(Opcode.TMF_REQUEST)
                await target.r2t(command, 5, 0, 0, 512)
                if sent:
                    await target.receive(Opcode.DATA_OUT)
                await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))
            with pytest.raises(CommandAborted):
                await running.wait()


async def test_a_command_that_takes_too_long_is_aborted(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with scripted(SETTINGS.changed(command_timeout=5)) as (session, target), trio.open_nursery() as nursery:

        async def late() -> None:
            with pytest.raises(CommandTimeout):
                await session.command(0, TUR)

        nursery.start_soon(late)
        await target.receive(Opcode.SCSI_COMMAND)
        request = await target.receive(Opcode.TMF_REQUEST)
        assert trio.current_time() >= 5
        await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))


async def test_a_target_that_does_not_answer_the_abort_either_is_left(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with scripted(SETTINGS.changed(command_timeout=5)) as (session, _):
        with pytest.raises(ConnectionLost, match="ABORT TASK"):
            await session.command(0, TUR)


# --- NOP, Text, Logout ---


async def test_a_ping_is_echoed() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        echo: list[bytes] = []

        async def ping() -> None:
            echo.append(await session.nop(b"ping!", immediate=False))

        nursery.start_soon(ping)
        request = await target.receive(Opcode.NOP_OUT)
        assert (request["TTT"], request["F"], request["I"], request.data) == (NO_TAG, 1, 0, b"ping!")
        await target.send(Pdu.build(Opcode.NOP_IN, data=request.data, F=1, ITT=request["ITT"], TTT=NO_TAG))
        await trio.testing.wait_all_tasks_blocked()
        assert echo == [b"ping!"]
        assert session.cmdsn == 2


async def test_SendTargets_over_several_responses() -> None:
    text = encode_text(
        [("TargetName", "iqn.a"), ("TargetAddress", "h:1,1"), ("TargetAddress", "h:2,1"), ("TargetName", "iqn.b")]
    )
    async with scripted(SETTINGS.changed(target=None)) as (session, target), trio.open_nursery() as nursery:
        found: list[tuple[TargetRecord, ...]] = []

        async def ask() -> None:
            found.append(await session.send_targets())

        nursery.start_soon(ask)
        request = await target.receive(Opcode.TEXT_REQUEST)
        assert (request.data, request["F"], request["C"], request["TTT"]) == (b"SendTargets=All\0", 1, 0, NO_TAG)
        reply = Pdu.build(Opcode.TEXT_RESPONSE, ITT=request["ITT"], TTT=9, LUN=5, C=1, data=text[:20])
        await target.send(reply)
        again = await target.receive(Opcode.TEXT_REQUEST)
        assert (again.data, again["TTT"], again["LUN"], again["ITT"]) == (b"", 9, 5, request["ITT"])
        assert again["CmdSN"] == request["CmdSN"] + 1
        await target.send(Pdu.build(Opcode.TEXT_RESPONSE, ITT=request["ITT"], TTT=NO_TAG, F=1, data=text[20:]))
        await trio.testing.wait_all_tasks_blocked()
        assert found == [
            (TargetRecord(name="iqn.a", addresses=("h:1,1", "h:2,1")), TargetRecord(name="iqn.b", addresses=())),
        ]


async def test_a_declared_segment_length_takes_effect() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        nursery.start_soon(session.text, [("MaxRecvDataSegmentLength", "512")])
        request = await target.receive(Opcode.TEXT_REQUEST)
        answer = encode_text([("MaxRecvDataSegmentLength", "1024")])
        await target.send(Pdu.build(Opcode.TEXT_RESPONSE, ITT=request["ITT"], TTT=NO_TAG, F=1, data=answer))
        await trio.testing.wait_all_tasks_blocked()
        assert (session.parameters.send_segment, session.parameters.receive_segment) == (1024, 512)


async def test_a_logout_ends_the_session_and_takes_no_more_commands() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        outcome = []

        async def leave() -> None:
            outcome.append(await session.logout())

        nursery.start_soon(leave)
        request = await target.receive(Opcode.LOGOUT_REQUEST)
        assert (request["ReasonCode"], request["I"], request["CID"]) == (0, 1, 0)
        with pytest.raises(ConnectionLost, match="logged out"):
            await session.command(0, TUR)
        await target.send(Pdu.build(Opcode.LOGOUT_RESPONSE, F=1, ITT=request["ITT"], Time2Wait=3, Time2Retain=4))
        assert await target.closed()
        assert (outcome[0].response, outcome[0].time2wait, outcome[0].time2retain) == (0, 3, 4)
        assert session.failure is not None
        assert session.failure.time2wait == 3


async def test_a_logout_that_is_refused_leaves_the_session() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: session.logout(1, cid=0x7777))
        request = await target.receive(Opcode.LOGOUT_REQUEST)
        assert (request["ReasonCode"], request["CID"]) == (1, 0x7777)
        await target.send(Pdu.build(Opcode.LOGOUT_RESPONSE, F=1, ITT=request["ITT"], Response=1))
        running = await session.start(0, TUR)
        await target.respond(await target.receive(Opcode.SCSI_COMMAND))
        assert (await running.wait()).good


# --- raw access ---


async def test_a_raw_PDU_goes_as_it_is_or_numbered() -> None:
    async with scripted(HeaderDigest="CRC32C") as (session, target):
        odd = Pdu.build(Opcode.NOP_OUT, ITT=5, TTT=6, CmdSN=77, ExpStatSN=88)
        await session.send_raw(odd)
        assert (await target.receive()).bhs == odd.bhs
        sent = await session.send_raw(odd, cmdsn=True, expstatsn=True)
        got = await target.receive()
        assert (got["CmdSN"], got["ExpStatSN"], sent["CmdSN"]) == (1, session.connection.exp_statsn, 1)
        assert session.cmdsn == 2
        target.header_digest = False
        wrong = odd.with_parts(header_digest=b"oops")
        await session.send_raw(wrong, digests=False)
        received = await target.stream.receive()
        assert received is not None
        assert received.header_digest == b"oops"


async def test_a_claimed_tag_is_not_the_sessions_and_a_tap_shows_all() -> None:
    async with scripted() as (session, target):
        itt = session.take_itt()
        with session.claim(itt) as claim, session.tap() as tap:
            await session.send_raw(Pdu.build(Opcode.SCSI_COMMAND, F=1, ITT=itt), cmdsn=True)
            command = await target.receive()
            await target.respond(command, Status=8)
            answer = await claim.get()
            assert answer is not None
            assert answer["Status"] == 8
            await target.send(
                Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=4, data=Pdu.build(Opcode.SNACK, ITT=itt).bhs)
            )
            assert await claim.find(Opcode.REJECT) is not None
            seen = [await tap.get(), await tap.get()]
            assert [pdu.opcode for pdu in seen if pdu] == [Opcode.SCSI_RESPONSE, Opcode.REJECT]
        # Released, the tag means nothing: an answer to it ends the session.
        await target.respond(command)
        assert "no task" in str(await session.ended())


async def test_a_rejected_text_is_said_so() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(CommandRejected, match="PROTOCOL_ERROR"):
                await session.text([("X-odd", "1")])

        nursery.start_soon(ask)
        request = await target.receive(Opcode.TEXT_REQUEST)
        await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=4, data=request.bhs))
