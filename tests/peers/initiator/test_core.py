from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import CommandAborted, CommandRejected, ConnectionLost, ProtocolError
from iscsiproxy.peers.initiator.session import Session
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.initiator.script import SETTINGS, Script, scripted

WRITE = bytes([0x2A]) + bytes(9)
TUR = bytes(6)
OPCODES = [opcode.value for opcode in Opcode if opcode & 0x20 and opcode != Opcode.LOGIN_RESPONSE]


async def alive(session: Session, target: Script) -> bool:
    """Show that a command still goes through."""
    running = await session.start(0, TUR)
    await target.respond(await target.receive(Opcode.SCSI_COMMAND))
    return (await running.wait()).good


def event(number: int, **fields: int) -> Pdu:
    return Pdu.build(Opcode.ASYNC, F=1, ITT=NO_TAG, AsyncEvent=number).with_fields(fields)


# --- pings ---


@pytest.mark.parametrize("lun", [0, 0x0102030405060708])
async def test_a_ping_is_answered_with_a_copy_of_tag_and_LUN(lun: int) -> None:
    async with scripted() as (session, target):
        statsn = target.statsn
        await target.send(Pdu.build(Opcode.NOP_IN, F=1, ITT=NO_TAG, TTT=77, LUN=lun), advances=False)
        reply = await target.receive(Opcode.NOP_OUT)
        assert (reply["TTT"], reply["LUN"], reply["ITT"], reply["I"]) == (77, lun, NO_TAG, 1)
        assert reply["ExpStatSN"] == 1
        assert statsn == target.statsn
        assert await alive(session, target)
        assert len(session.events.pings) == 1


async def test_a_NOP_In_that_asks_nothing_gets_no_answer() -> None:
    async with scripted() as (session, target):
        await target.send(Pdu.build(Opcode.NOP_IN, F=1, ITT=NO_TAG, TTT=NO_TAG), advances=False)
        assert await alive(session, target)


async def test_a_silent_target_is_asked_and_then_left(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with scripted(SETTINGS.changed(nop_interval=5)) as (session, target):
        ping = await target.receive(Opcode.NOP_OUT)
        assert (ping["I"], ping["TTT"]) == (1, NO_TAG)
        await target.send(Pdu.build(Opcode.NOP_IN, F=1, ITT=ping["ITT"], TTT=NO_TAG))
        await target.receive(Opcode.NOP_OUT)
        assert "silent" in str(await session.ended())
        assert trio.current_time() == 15


# --- asynchronous messages ---


async def test_a_requested_logout_waits_for_commands_and_ends_the_session() -> None:
    async with scripted() as (session, target):
        running = await session.start(0, TUR)
        command = await target.receive()
        await target.send(event(1, Parameter3=10))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ConnectionLost, match="asked for a logout"):
            await session.start(0, TUR)
        await target.respond(command)
        request = await target.receive(Opcode.LOGOUT_REQUEST)
        assert request["ExpStatSN"] == target.statsn
        assert (await running.wait()).good
        await target.send(Pdu.build(Opcode.LOGOUT_RESPONSE, F=1, ITT=request["ITT"], Time2Wait=1))
        assert (await session.ended()).time2wait == 1


async def test_no_command_slips_in_behind_the_request_to_log_out() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        running = await session.start(0, TUR)
        command = await target.receive()

        async def next_one() -> None:
            await running.wait()
            with pytest.raises(ConnectionLost, match=r"asked for a logout|logged out"):
                await session.start(0, TUR)

        nursery.start_soon(next_one)
        await trio.testing.wait_all_tasks_blocked()
        session._on_async(event(1, Parameter3=10))
        await target.respond(command)
        await target.log_out()


async def test_a_requested_logout_is_in_time(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with scripted() as (session, target):
        await session.start(0, TUR)
        await target.receive()
        await target.send(event(1, Parameter3=10))
        await target.log_out()
        assert trio.current_time() < 10


@pytest.mark.parametrize(("number", "cid", "over"), [(2, 0, True), (2, 5, False), (3, 5, True)])
async def test_a_dropped_connection_says_how_long_to_wait(number: int, cid: int, over: bool) -> None:
    async with scripted() as (session, target):
        await target.send(event(number, Parameter1=cid, Parameter2=7, Parameter3=8))
        if over:
            assert (await session.ended()).time2wait == 7
        else:
            assert await alive(session, target)


async def test_a_request_to_negotiate_gets_an_empty_text() -> None:
    async with scripted() as (session, target):
        await target.send(event(4, Parameter3=10))
        request = await target.receive(Opcode.TEXT_REQUEST)
        assert (request.data, request["F"]) == (b"", 1)
        await target.send(Pdu.build(Opcode.TEXT_RESPONSE, F=1, ITT=request["ITT"], TTT=NO_TAG))
        assert await alive(session, target)


async def test_terminated_tasks_end_and_are_acknowledged() -> None:
    async with scripted(InitialR2T="Yes") as (session, target):
        dead, other = await session.start(3, WRITE, data_out=bytes(512)), await session.start(4, TUR)
        await target.receive()
        command = await target.receive()
        await target.send(event(5, LUN=3 << 48))
        nop = await target.receive(Opcode.NOP_OUT)
        assert (nop["ITT"], nop["TTT"], nop["I"], nop["ExpStatSN"]) == (NO_TAG, NO_TAG, 1, target.statsn)
        assert nop["LUN"] == 3 << 48
        with pytest.raises(CommandAborted):
            await dead.wait()
        await target.respond(command)
        assert (await other.wait()).good


async def test_other_messages_are_noted_and_undefined_ones_end_the_session() -> None:
    async with scripted() as (session, target):
        await target.send(event(0))
        await target.send(event(250))
        assert await session.events.until(lambda events: len(events.asyncs) == 2)
        assert await alive(session, target)
        await target.send(event(6))
        assert isinstance(await session.ended(), ProtocolError)


# --- Rejects ---


async def test_a_rejected_command_fails_and_its_place_is_filled() -> None:
    async with scripted() as (session, target):
        running = await session.start(0, TUR)
        command = await target.receive()
        target.exp_cmdsn = command["CmdSN"]
        await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=2, data=command.bhs))
        with pytest.raises(CommandRejected, match="DATA_DIGEST_ERROR"):
            await running.wait()
        plug = await target.receive(Opcode.NOP_OUT)
        assert (plug["CmdSN"], plug["I"], plug["ITT"] != NO_TAG) == (command["CmdSN"], 0, True)
        await target.send(Pdu.build(Opcode.NOP_IN, F=1, ITT=plug["ITT"], TTT=NO_TAG))
        assert await alive(session, target)


async def test_in_a_discovery_session_a_rejected_text_comes_once_more_in_its_place() -> None:
    async with scripted(SETTINGS.changed(target=None)) as (session, target), trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(CommandRejected, match="DATA_DIGEST_ERROR"):
                await session.send_targets()

        nursery.start_soon(ask)
        asked = await target.receive(Opcode.TEXT_REQUEST)
        target.exp_cmdsn = asked["CmdSN"]
        await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=2, data=asked.bhs))
        again = await target.receive()
        assert (again.opcode, again.data, again["CmdSN"]) == (Opcode.TEXT_REQUEST, asked.data, asked["CmdSN"])
        assert again["ITT"] != asked["ITT"]


async def test_a_rejected_command_that_was_counted_leaves_no_hole() -> None:
    async with scripted() as (session, target):
        running = await session.start(0, TUR)
        command = await target.receive()
        await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=9, data=command.bhs))
        with pytest.raises(CommandRejected):
            await running.wait()
        assert await alive(session, target)


async def test_a_place_that_cannot_be_filled_ends_the_session() -> None:
    async with scripted() as (session, target):
        await session.start(0, TUR)
        command = await target.receive()
        target.exp_cmdsn = command["CmdSN"]
        await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=4, data=command.bhs))
        plug = await target.receive(Opcode.NOP_OUT)
        target.exp_cmdsn = command["CmdSN"]
        await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=4, data=plug.bhs))
        assert await target.closed()
        assert "too" in str(session.failure)


async def test_a_target_that_waits_for_a_logout_gets_it() -> None:
    async with scripted() as (session, target):
        running = await session.start(0, TUR)
        await session.start(0, TUR)
        first, second = await target.receive(), await target.receive()
        target.exp_cmdsn = first["CmdSN"]
        for command in (first, second):
            await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=0x0C, data=command.bhs))
        assert (await target.log_out())["ReasonCode"] == 0
        with pytest.raises(CommandRejected, match="WAITING_FOR_LOGOUT"):
            await running.wait()
        assert await target.closed()


async def test_a_rejected_Data_Out_leaves_the_command_to_its_status() -> None:
    async with scripted(InitialR2T="Yes", ImmediateData="No") as (session, target):
        running = await session.start(0, WRITE, data_out=bytes(512))
        command = await target.receive()
        await target.r2t(command, 5, 0, 0, 512)
        out = await target.receive(Opcode.DATA_OUT)
        await target.send(Pdu.build(Opcode.REJECT, F=1, ITT=NO_TAG, Reason=2, data=out.bhs))
        await target.respond(command, Status=8)
        assert (await running.wait()).status == 8
        assert len(session.events.rejects) == 1


# --- what ends a session ---


def task_pdu(opcode: Opcode, **fields: int) -> Pdu:
    return Pdu.build(opcode, F=1, ITT=0x999).with_fields(fields)


@pytest.mark.parametrize(
    "wrong",
    [
        task_pdu(Opcode.SCSI_RESPONSE),
        task_pdu(Opcode.TEXT_RESPONSE),
        task_pdu(Opcode.LOGOUT_RESPONSE),
        task_pdu(Opcode.NOP_IN, TTT=NO_TAG),
        Pdu.build(Opcode.LOGIN_RESPONSE),
        Pdu.build(0x3C, ITT=NO_TAG),
    ],
)
async def test_what_no_task_asked_for_ends_the_session(wrong: Pdu) -> None:
    async with scripted() as (session, target):
        running = await session.start(0, TUR)
        await target.receive()
        await target.stream.send([wrong if "StatSN" not in wrong.fields else wrong.with_fields({"StatSN": 1})])
        with pytest.raises(ProtocolError):
            await running.wait()
        assert await target.closed()


async def test_what_comes_for_an_aborted_command_is_dropped() -> None:
    async with scripted(InitialR2T="Yes", ImmediateData="No") as (session, target), trio.open_nursery() as nursery:
        running = await session.start(0, WRITE, data_out=bytes(512))
        command = await target.receive()
        nursery.start_soon(session.abort, running)
        request = await target.receive(Opcode.TMF_REQUEST)
        for _ in range(2):  # and once more: its task is concluded
            await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))
        await target.r2t(command, 5, 0, 0, 512)
        await target.respond(command)
        with pytest.raises(CommandAborted):
            await running.wait()
        assert await alive(session, target)


async def test_an_answer_of_another_kind_ends_the_session() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:

        async def ping() -> None:
            with pytest.raises(ProtocolError):
                await session.nop()

        nursery.start_soon(ping)
        request = await target.receive()
        await target.send(Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=request["ITT"]))


async def test_a_NOP_In_that_answers_and_asks_ends_the_session() -> None:
    async with scripted() as (session, target), trio.open_nursery() as nursery:

        async def ping() -> None:
            with pytest.raises(ProtocolError, match="at once"):
                await session.nop()

        nursery.start_soon(ping)
        request = await target.receive()
        await target.send(Pdu.build(Opcode.NOP_IN, F=1, ITT=request["ITT"], TTT=5))


async def test_a_conduct_may_let_an_unknown_task_pass() -> None:
    class Deaf(Conduct):
        def unknown_task(self, pdu: Pdu) -> None:
            pass

    async with scripted(conduct=Deaf()) as (session, target):
        await target.send(task_pdu(Opcode.SCSI_RESPONSE))
        assert await alive(session, target)


async def test_everybody_who_waits_hears_of_the_end() -> None:
    heard = []
    async with scripted() as (session, target), trio.open_nursery() as nursery:
        running = await session.start(0, TUR)
        session.max_cmdsn = session.cmdsn - 1

        async def hear(what: str) -> None:
            with pytest.raises(ConnectionLost, match="target closed"):
                await (running.wait() if what == "task" else session.nop() if what == "nop" else session.start(0, TUR))
            heard.append(what)

        for what in ("task", "nop", "window"):
            nursery.start_soon(hear, what)
        tap = session.tap()
        await trio.testing.wait_all_tasks_blocked()
        await target.aclose()
        assert await tap.get() is None
        assert not await session.events.until(lambda events: bool(events.asyncs))
    assert sorted(heard) == ["nop", "task", "window"]


async def test_a_window_that_cannot_be_is_not_believed_and_never_shrinks() -> None:
    async with scripted() as (session, target):
        before = (session.exp_cmdsn, session.max_cmdsn)
        nop = Pdu.build(Opcode.NOP_IN, F=1, ITT=NO_TAG, TTT=NO_TAG, StatSN=1)
        for expected, most in ((50, 48), (0, 20), (0xFFFFFF00, 0xFFFFFF00)):
            await target.stream.send([nop.with_fields({"ExpCmdSN": expected, "MaxCmdSN": most})])
        await trio.testing.wait_all_tasks_blocked()
        assert (session.exp_cmdsn, session.max_cmdsn) == before
        await target.stream.send([nop.with_fields({"ExpCmdSN": 1, "MaxCmdSN": 90})])
        await trio.testing.wait_all_tasks_blocked()
        assert session.max_cmdsn == 90
        target.statsn = 1
        assert await alive(session, target)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(OPCODES), st.binary(min_size=47, max_size=47), st.binary(max_size=40))))
async def test_whatever_a_target_says_the_session_lives_or_ends_with_a_reason(
    said: list[tuple[int, bytes, bytes]],
) -> None:
    async with scripted() as (session, target):
        running = await session.start(0, WRITE, data_out=bytes(512))
        await target.receive()
        pdus = []
        for opcode, rest, data in said:
            # Half of them are for the command that runs.
            pdu = Pdu(bytes([opcode]) + rest[:3] + b"\0" + rest[4:]).with_data(data)
            if rest[0] & 1:
                pdu = pdu.with_fields({"ITT": running.itt})
            if rest[1] & 1:
                pdu = target.stamped(pdu, advances=False)
            pdus.append(pdu)
        await target.stream.send(pdus)
        await trio.testing.wait_all_tasks_blocked()
        if session.failure is not None:
            assert isinstance(session.failure, ConnectionLost)
        await target.aclose()
        if not running.ended:
            await running.answer.over()
