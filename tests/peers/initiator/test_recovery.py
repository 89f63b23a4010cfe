from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest
import trio
import trio.testing

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import ConnectionLost, LoginFailed
from iscsiproxy.peers.initiator.recovery import RecoveryPolicy, recovering_session
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.initiator.script import SETTINGS, Script, login_response

TUR = bytes(6)
Play = Callable[[Script], Awaitable[None]]


def stages(nursery: trio.Nursery, plays: Sequence[Play]) -> Callable[[], Awaitable[trio.abc.Stream]]:
    """Give a connector that plays one after the other, and then nobody is there."""
    left = list(plays)

    async def connect() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if not left:
            raise ConnectionRefusedError
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(left.pop(0), Script(PduStream(theirs)))
        return ours

    return connect


def group(tag: int | None) -> dict[str, str]:
    return {} if tag is None else {"TargetPortalGroupTag": str(tag)}


async def die_at_command(target: Script, *, tag: int | None = None) -> None:
    await target.log_in({"DefaultTime2Wait": "4", **group(tag)})
    await target.receive(Opcode.SCSI_COMMAND)
    await target.aclose()


async def drop_with_wait(target: Script) -> None:
    await target.log_in({})
    await target.receive(Opcode.SCSI_COMMAND)
    await target.send(Pdu.build(Opcode.ASYNC, F=1, ITT=NO_TAG, AsyncEvent=3, Parameter2=9))
    assert await target.closed()


async def be_busy(target: Script) -> None:
    await target.send(login_response(await target.receive(), Status_Class=3, Status_Detail=1))


async def be_gone(target: Script) -> None:
    await target.send(login_response(await target.receive(), Status_Class=2, Status_Detail=4))


async def be_left(target: Script, *, tag: int | None = None) -> None:
    await target.log_in(group(tag))
    assert await target.closed()


async def serve(target: Script, *, tag: int | None = None) -> None:
    await target.log_in(group(tag))
    while (pdu := await target.receive()).opcode == Opcode.SCSI_COMMAND:
        await target.respond(pdu)
    await target.send(Pdu.build(Opcode.LOGOUT_RESPONSE, F=1, ITT=pdu["ITT"]))


async def test_an_unanswered_command_is_given_again_after_Time2Wait(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [die_at_command, serve])
        async with recovering_session(connect, SETTINGS) as keeper:
            assert (await keeper.command(0, TUR)).good
            [recovery] = keeper.recoveries
            assert (recovery.lost, recovery.attempts, recovery.duration) == (0, 1, 4)
            assert recovery.logged_in == 4
    assert len(keeper.recoveries) == 1


async def test_whoever_logs_in_instead_is_told_how_long_to_wait(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [die_at_command, serve])
        async with recovering_session(connect, SETTINGS) as keeper:
            await keeper.session()
            assert keeper.time2wait == 4
            await keeper.command(0, TUR)
            assert keeper.time2wait == 2


async def test_what_the_target_says_about_waiting_counts(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [drop_with_wait, serve])
        async with recovering_session(connect, SETTINGS) as keeper:
            assert (await keeper.command(0, TUR)).good
            assert keeper.recoveries[0].duration == 9


async def test_the_same_port_logs_in_again_for_a_new_session(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    logins = []

    async def note(target: Script) -> None:
        request = await target.receive()
        logins.append((request["ISID"], request["TSIH"]))
        await target.aclose()

    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [die_at_command, note, serve])
        async with recovering_session(connect, SETTINGS) as keeper:
            await keeper.command(0, TUR)
            assert logins == [(SETTINGS.isid, 0)]
            assert keeper.recoveries[0].attempts == 2


async def test_what_was_lost_is_taken_up_in_no_other_portal_group(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [partial(die_at_command, tag=0), partial(be_left, tag=4711), partial(serve, tag=0)])
        async with recovering_session(connect, SETTINGS) as keeper:
            assert (await keeper.command(0, TUR)).good
            assert keeper.recoveries[0].attempts == 2


async def test_a_command_that_may_not_be_repeated_is_not(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [die_at_command, serve])
        async with recovering_session(connect, SETTINGS) as keeper:
            with pytest.raises(ConnectionLost):
                await keeper.command(0, TUR, repeatable=False)
            assert (await keeper.command(0, TUR, repeatable=False)).good


async def test_a_target_error_is_tried_again_and_an_initiator_error_is_not(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [die_at_command, be_busy, be_gone])
        async with recovering_session(connect, SETTINGS) as keeper:
            with pytest.raises(LoginFailed, match="REMOVED"):
                await keeper.command(0, TUR)
            assert keeper.recoveries[0].attempts == 2


async def test_the_policy_ends_it(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [die_at_command])
        async with recovering_session(connect, SETTINGS, policy=RecoveryPolicy(deadline=20)) as keeper:
            with pytest.raises(ConnectionLost, match="not back in 20 seconds"):
                await keeper.command(0, TUR)
            assert trio.current_time() == 20
        connect = stages(nursery, [die_at_command, die_at_command, serve])
        async with recovering_session(connect, SETTINGS, policy=RecoveryPolicy(most=1)) as keeper:
            with pytest.raises(ConnectionLost):
                await keeper.command(0, TUR)


async def test_a_conduct_may_wait_longer(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    class Slow(Conduct):
        def reconnect_after(self, time2wait: float, *, told: bool) -> float:
            return 30

    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [die_at_command, serve])
        async with recovering_session(connect, SETTINGS, conduct=Slow()) as keeper:
            await keeper.command(0, TUR)
            assert keeper.recoveries[0].duration == 30


async def test_a_session_that_is_lost_again_at_once_comes_back_ever_more_slowly(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    class Quick(Conduct):
        def reconnect_after(self, time2wait: float, *, told: bool) -> float:
            return 0

    async with trio.open_nursery() as nursery:
        connect = stages(nursery, [*[die_at_command] * 7, serve])
        async with recovering_session(connect, SETTINGS, conduct=Quick()) as keeper:
            assert (await keeper.command(0, TUR)).good
            times = [(one.logged_in or 0) - one.lost for one in keeper.recoveries]
    assert times == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0])


async def test_the_first_login_is_not_tried_again_and_errors_come_through_as_they_are() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectionLost, match="no connection"):
            async with recovering_session(stages(nursery, []), SETTINGS):
                pass
        with pytest.raises(KeyError, match="mine"):
            async with recovering_session(stages(nursery, [be_left]), SETTINGS):
                raise KeyError("mine")
