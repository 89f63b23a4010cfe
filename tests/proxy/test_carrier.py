from __future__ import annotations

from iscsiproxy.engine.commands import Resume, Send, Stall
from iscsiproxy.session.events import Decided, Fired
from iscsiproxy.wire.opcodes import End
from tests.proxy.fakes import bench, nop_in, nop_out, scenario

_ANY = "  - {name: seen, when: NOP-Out, do: {note: here}}\n"


async def test_a_stall_whose_end_comes_before_its_turn_does_not_begin() -> None:
    async with bench(scenario(_ANY)) as the:
        initiator, target = await the.login()
        relay, pair = the.relay, the.pair()
        link = pair._links[End.INITIATOR]
        relay.hold(pair, link.line, 1000, nop_out(8))
        relay.hold(pair, link.line, 1001, nop_out(9))
        relay.carry_out([Stall(conn=1, end="both", token=7, slot=1001)])
        relay.carry_out([Resume(token=7)])
        relay.carry_out([Send(slot=1000, pdu=nop_out(8)), Send(slot=1001, pdu=nop_out(9))])
        relay.end()
        for n in (1000, 1001):
            relay._carrier._slots[n][2].finished = True
        pair.wake(link.line)
        assert [(await target.pdu())["ITT"] for _ in range(2)] == [8, 9]
        await initiator.send(nop_out(10))
        assert (await target.pdu())["ITT"] == 10


async def test_what_a_rule_holds_is_not_sent_by_itself() -> None:
    rules = "  - {name: wait, when: NOP-Out where length == 1, do: {delay: connect}}\n"
    async with bench(scenario(rules), pdus=True) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2, b"x"))
        await the.event(Decided)
        await the.until(lambda: the.relay._carrier._slots)
        await target.send(nop_in(2))
        assert await initiator.pdu() == nop_in(2)
        assert the.pair()._links[End.INITIATOR].line.holding
        await the.connect()
        assert await target.pdu() == nop_out(2, b"x")
        assert (await the.event(Fired)).act == "delay"


async def test_the_slots_of_a_pair_that_has_ended_are_forgotten() -> None:
    rules = "  - {name: wait, when: NOP-Out, do: {delay: connect}}\n"
    async with bench(scenario(rules), pdus=True) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2, b"x"))
        await the.event(Decided)
        await the.until(lambda: the.relay._carrier._slots)
        assert repr(the.relay._carrier) == "<Carrier 1 PDUs in hand>"
        initiator.reset()
        await target.until_reset()
        await the.no_pairs()
        assert the.relay._carrier._slots == {}
