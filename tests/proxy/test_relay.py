from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from iscsiproxy.engine import Engine
from iscsiproxy.engine.commands import Command, SetTimer
from iscsiproxy.proxy import Sink
from iscsiproxy.session.events import Closed, Delivered, Event, Noted, Received
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.framing import Interest
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.proxy.fakes import NONE, Bench, bench, login_request, login_response, nop_in, nop_out, scenario

_ANY = "  - {name: seen, when: NOP-Out, do: {note: here}}\n"


class Broken(Engine):
    """An engine with an error for every PDU that carries `boom`."""

    def received(self, event: Received, digests: tuple[bool, bool]) -> list[Command]:
        if event.pdu.data == b"boom":
            raise ZeroDivisionError("boom")
        return super().received(event, digests)


def _swap_engine(the: Bench, make: Callable[..., Engine]) -> None:
    relay = the.relay
    relay.engine = make(the.proxy._scenarios, rng=the.proxy._rng, state=relay._state)


@pytest.mark.parametrize("pdus", [False, True])
async def test_an_error_of_ours_costs_one_connection_and_is_told(pdus: bool) -> None:
    async with bench(scenario(_ANY), pdus=pdus) as the:
        _swap_engine(the, Broken)
        spared, spared_target = await the.login()
        initiator, target = await the.login()
        await initiator.send(nop_out(2, b"boom"))
        await initiator.until_reset()
        await target.until_reset()
        event = await the.event(Noted)
        assert (event.conn, event.text) == (2, "internal error: ZeroDivisionError('boom')")
        assert [type(error) for error in the.relay.crashes] == [ZeroDivisionError]
        await spared.send(nop_out(2))
        assert await spared_target.pdu() == nop_out(2)
        assert list(the.relay.pairs) == [1]


async def test_an_error_while_only_headers_are_looked_at_costs_one_connection_too() -> None:
    async with bench(scenario("  - {name: seen, when: NOP-In, do: {note: here}, optional: yes}\n")) as the:
        spared, spared_target = await the.login()
        initiator, target = await the.login()

        def broken(*_: object) -> Any:
            raise ZeroDivisionError("boom")

        trackers = the.relay.trackers
        observe = trackers[End.INITIATOR].observe
        trackers[End.INITIATOR].observe = broken  # type: ignore[method-assign,assignment]
        await initiator.send(nop_out(2))
        await initiator.until_reset()
        await target.until_reset()
        trackers[End.INITIATOR].observe = observe  # type: ignore[method-assign]
        await spared.send(nop_out(2))
        assert await spared_target.pdu() == nop_out(2)
        assert len(the.relay.crashes) == 1


async def test_an_error_at_the_end_of_a_connection_leaves_no_socket_open() -> None:
    class AtTheEnd(Engine):
        def happened(self, event: Any) -> list[Command]:
            if isinstance(event, Closed):
                raise ZeroDivisionError
            return super().happened(event)

    async with bench(scenario(_ANY)) as the:
        _swap_engine(the, AtTheEnd)
        initiator, target = await the.login()
        await initiator.fin()
        await target.until_reset()
        await the.no_pairs()
        assert not the.relay.poller._calls
        await the.login()


async def test_a_sink_that_fails_costs_no_more_than_the_connection() -> None:
    def take(event: Event) -> None:
        if isinstance(event, Received) and event.pdu.opcode == Opcode.NOP_OUT:
            raise BrokenPipeError

    async with bench(sinks=[Sink(take, pdus=True)]) as the:
        initiator, _ = await the.login()
        await initiator.send(nop_out(2))
        await initiator.until_reset()
        await the.event(Noted)
        # Nobody says that a peer has reset the connection.
        assert not [event for event in the.of(Closed) if event.by == "peer"]


async def test_timers_run_in_the_order_in_which_they_are_due() -> None:
    called: list[int] = []

    class Timed(Engine):
        def timer(self, token: int, now: float) -> list[Command]:
            called.append(token)
            return [SetTimer(at=now, token=4)] if token == 3 else []

    async with bench(scenario(_ANY)) as the:
        _swap_engine(the, Timed)
        now = the.relay.now
        the.relay.carry_out([SetTimer(at=now + at, token=token) for at, token in ((0.02, 3), (0.01, 2), (-1.0, 1))])
        while len(called) < 4:
            await trio.lowlevel.checkpoint()
        assert called == [1, 2, 3, 4]


async def test_an_error_in_a_timer_is_told_and_the_others_go_on() -> None:
    called = trio.Event()

    class Timed(Engine):
        def timer(self, token: int, now: float) -> list[Command]:
            if token == 1:
                raise ZeroDivisionError
            called.set()
            return []

    async with bench(scenario(_ANY)) as the:
        _swap_engine(the, Timed)
        the.relay.carry_out([SetTimer(at=0.0, token=1), SetTimer(at=0.0, token=2)])
        await called.wait()
        assert (await the.event(Noted)).conn == 0
        assert len(the.relay.crashes) == 1


async def test_trackers_forget_what_they_no_longer_follow() -> None:
    async with bench() as the:
        await the.login()
        relay, pair = the.relay, the.pair()
        assert pair._blind
        for tracker in relay.trackers.values():
            assert tracker.snapshot(1).keys["MaxBurstLength"]
            assert tracker.snapshot(1).conn.StatSN is None


async def test_rules_that_come_into_force_later_open_the_eyes_of_every_pair() -> None:
    async with bench() as the:
        initiator, target = await the.login()
        relay, pair = the.relay, the.pair()
        relay.engine = Engine([scenario(_ANY)], rng=the.proxy._rng, state=relay._state)
        relay.refresh()
        assert not pair._blind
        link = pair._links[End.INITIATOR]
        assert link.framer.interest[Opcode.NOP_OUT] is Interest.WHOLE
        await initiator.send(nop_out(2))
        await target.pdu()
        assert (await the.event(Noted)).text == "here"
        relay.end()
        assert link.framer.interest[Opcode.NOP_OUT] is Interest.NONE


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_what_a_list_sends_goes_before_it_closes(how: str) -> None:
    rules = f"""
  - when: NOP-Out then 1ms
    do:
      - inject: {{pdu: Async, AsyncEvent: 2}}
      - close: {how}
"""
    async with bench(scenario(rules), pdus=True) as the:
        initiator, _ = await the.login()
        await initiator.send(nop_out(2))
        await the.event(Closed)
        came = [event for event in the.events if isinstance(event, Closed | Delivered)]
        told = [isinstance(event, Delivered) and event.pdu.opcode == Opcode.ASYNC for event in came]
        assert told.index(True) < next(at for at, event in enumerate(came) if isinstance(event, Closed))


@pytest.mark.parametrize(
    ("acts", "passed"),
    [
        ("[answer, {close: fin}]", 0),
        ("[{inject: {pdu: Async, AsyncEvent: 2}}, {close: fin}]", 48),
        ("[{inject: {pdu: Async, AsyncEvent: 2}}, {close: {how: fin, at: header+20}}]", 20),
        ("[pass, {inject: {pdu: Async, AsyncEvent: 2}}, {close: fin}]", 48),
    ],
)
async def test_what_goes_back_before_a_close_is_not_lost(acts: str, passed: int) -> None:
    async with bench(scenario(f"  - when: NOP-Out nth 1\n    do: {acts}\n")) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2), nop_out(3))
        assert len(await initiator.rest()) == 48
        assert await target.rest() == nop_out(2).raw[:passed]


# --- who comes and goes --------------------------------------------------------------------------------------------


async def test_a_sink_is_told_from_when_it_comes_until_it_goes() -> None:
    async with bench() as the:
        told: list[Event] = []
        sink = Sink(told.append)
        await the.login()
        the.relay.listen(sink)
        the.relay.tell(lambda n, at: Noted(n=n, at=at, conn=0, rule="", of=None, text="one"))
        the.relay.unlisten(sink)
        the.relay.tell(lambda n, at: Noted(n=n, at=at, conn=0, rule="", of=None, text="two"))
        assert [event.text for event in told if isinstance(event, Noted)] == ["one"]
        assert [event.text for event in the.of(Noted)] == ["one", "two"], "the others are told of all"


async def test_pdus_are_told_and_everything_is_looked_at_as_long_as_somebody_wants_them() -> None:
    async with bench() as the:
        initiator, target = await the.login()
        before = [the.relay.interest(end) for end in End]
        told: list[Event] = []
        first, second = Sink(told.append, pdus=True), Sink(told.append, pdus=True)
        for sink in (first, second):
            the.relay.listen(sink)
            the.relay.refresh()
        await initiator.send(nop_out(2))
        await target.pdu()
        the.relay.unlisten(first)
        the.relay.refresh()
        recorded = [the.relay.records]
        assert the.relay.interest(End.INITIATOR)[Opcode.NOP_OUT] is Interest.WHOLE
        the.relay.unlisten(second)
        the.relay.refresh()
        assert [*recorded, the.relay.records] == [True, False]
        assert [the.relay.interest(end) for end in End] == before
        await initiator.send(nop_out(3))
        await target.pdu()
        assert [event.pdu["ITT"] for event in told if isinstance(event, Received)] == [2, 2]


async def test_two_sinks_that_are_equal_are_two() -> None:
    async with bench() as the:
        told: list[Event] = []
        one, other = Sink(told.append), Sink(told.append)
        assert one == other
        the.relay.listen(one, other)
        the.relay.unlisten(one)
        the.relay.tell(lambda n, at: Noted(n=n, at=at, conn=0, rule="", of=None, text="x"))
        assert len(told) == 1


async def test_who_follows_has_headers_looked_at_and_numbers_known() -> None:
    async with bench() as the:
        await the.login()
        plain = [the.relay.interest(end) for end in End]
        pair = the.pair()
        blind = [pair._blind]
        the.relay.follow(True)
        assert the.relay.follows
        blind.append(pair._blind)
        assert {one for end in End for one in the.relay.interest(end)} == {Interest.HEADER, Interest.WHOLE}
        initiator, target = await the.login()
        await initiator.send(nop_out(2))
        await target.pdu()
        session = the.relay.trackers[End.INITIATOR].snapshot(2).session
        assert session is not None
        assert session.CmdSN == 1
        the.relay.follow(False)
        assert [*blind, pair._blind] == [True, False, True]
        assert [the.relay.interest(end) for end in End] == plain


_COMMAND = Pdu.build(Opcode.SCSI_COMMAND, F=1, R=1, ITT=2, CmdSN=1, ExpStatSN=2)
_WRITE = Pdu.build(Opcode.SCSI_COMMAND, W=1, ITT=2, CmdSN=1, ExpStatSN=2)
_DATA_OUT = Pdu.build(Opcode.DATA_OUT, b"data", F=1, ITT=2, TTT=NONE, ExpStatSN=2)
_DONE = Pdu.build(Opcode.SCSI_RESPONSE, ITT=2, StatSN=2, ExpCmdSN=2, MaxCmdSN=65)
_DATA_IN = Pdu.build(Opcode.DATA_IN, b"data", F=1, S=1, ITT=2, TTT=NONE, StatSN=2, ExpCmdSN=2, MaxCmdSN=65)
_ASKED = nop_in(NONE).with_fields({"TTT": 5})
_TOLD = nop_out(NONE).with_fields({"TTT": 5})
_REFUSED = Pdu.build(Opcode.REJECT, _COMMAND.bhs, F=1, ITT=NONE, StatSN=2, ExpCmdSN=1, MaxCmdSN=64)


@pytest.mark.parametrize(
    ("passing", "gone"),
    [
        ([], set()),
        ([_COMMAND, _DONE], set()),
        ([_COMMAND, _DATA_IN], set()),
        ([nop_out(2), nop_in(2)], set()),
        ([_ASKED, _TOLD], set()),
        ([_COMMAND, _REFUSED], set()),
        # Only commands have a CmdSN, and a write may end with its data.
        ([_WRITE, _DATA_OUT, _DONE], {"CmdSN", "window"}),
    ],
)
async def test_what_went_by_unseen_is_recalled_by_its_last_pdus(passing: list[Pdu], gone: set[str]) -> None:
    seen = []
    for follow in (True, False):
        async with bench() as the:
            the.relay.follow(follow)
            initiator, target = await the.login()
            for pdu in passing:
                source, destination = (initiator, target) if pdu.sender is End.INITIATOR else (target, initiator)
                await source.send(pdu)
                await destination.pdu()
            the.relay.follow(True)
            snapshots = [the.relay.trackers[end].snapshot(1) for end in End]
            seen.append([told for each in snapshots for told in numbers_in(each)])
    followed, recalled = seen
    expected = [(name, None if name in gone else number) for name, number in followed]
    assert recalled == expected
    assert dict(recalled)["MaxCmdSN"] is not None


def numbers_in(snapshot: Snapshot) -> list[tuple[str, int | None]]:
    session, conn = snapshot.session, snapshot.conn
    assert session is not None
    names = ("CmdSN", "ExpCmdSN", "MaxCmdSN", "window", "outstanding")
    told = [(name, getattr(session, name)) for name in names]
    return [*told, *((name, getattr(conn, name)) for name in ("StatSN", "ExpStatSN"))]


async def test_a_session_recalls_what_all_its_connections_sent_last() -> None:
    """The connection looked at first has had the later command."""
    async with bench() as the:
        initiator, target = await the.login()
        joined, joined_target = await the.connect()
        await joined.send(login_request().with_fields({"TSIH": 7, "CID": 1, "CmdSN": 1}))
        await joined_target.pdu()
        await joined_target.send(login_response())
        await joined.pdu()
        for source, destination, cmd_sn in ((joined, joined_target, 1), (initiator, target, 2)):
            await source.send(_COMMAND.with_fields({"CmdSN": cmd_sn, "ITT": cmd_sn + 1}))
            await destination.pdu()
        the.relay.follow(True)
        for end in End:
            sessions = [the.relay.trackers[end].snapshot(conn).session for conn in (1, 2)]
            assert [each and (each.id, each.CmdSN, each.outstanding) for each in sessions] == [(1, 3, 0)] * 2


async def test_what_is_due_can_be_done_now() -> None:
    async with bench(scenario(_ANY)) as the:
        await the.login()
        more = scenario("  - {when: 0s, do: {note: now}}\n  - {when: 60s, do: {note: late}}\n", "more")
        the.relay.ask(lambda engine: engine.adopt(more))
        assert not the.of(Noted)
        the.relay.run_due()
        assert [event.text for event in the.of(Noted)] == ["now"]
        the.relay.run_due()
        assert len(the.of(Noted)) == 1
