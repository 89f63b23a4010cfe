from __future__ import annotations

from collections import Counter
from contextlib import suppress
from random import Random

import pytest
import trio
import trio.testing

from iscsiproxy.proxy import Settings
from iscsiproxy.session.events import Closed, Connected, Decided, Fired, Noted
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.proxy.fakes import Bench, Peer, bench, nop_in, nop_out, pdus_of, scenario

_PARTIAL = nop_out(3, b"never whole").raw[:30]


def _ends(the: Bench) -> list[tuple[str, str, str]]:
    return [(event.leg.value, event.how, event.by) for event in the.of(Closed)]


@pytest.mark.parametrize("pdus", [False, True])
async def test_a_FIN_comes_behind_all_data_and_the_beginning_of_a_PDU(pdus: bool) -> None:
    async with bench(pdus=pdus) as the:
        initiator, target = await the.login()
        ping = nop_out(2, bytes(9000)).raw
        await initiator.raw(ping + _PARTIAL)
        await initiator.fin()
        assert await target.rest() == ping + _PARTIAL
        # The other direction still flows.
        await target.send(nop_in(2, b"late"))
        await target.raw(b"\x20")
        await target.fin()
        assert await initiator.rest() == nop_in(2, b"late").raw + b"\x20"
        await the.no_pairs()
        assert _ends(the) == [
            ("initiator", "fin", "peer"),
            ("target", "fin", "proxy"),
            ("target", "fin", "peer"),
            ("initiator", "fin", "proxy"),
        ]


@pytest.mark.parametrize("end", End)
async def test_a_RST_becomes_a_RST(end: End) -> None:
    async with bench() as the:
        initiator, target = await the.login()
        one, other = (initiator, target) if end is End.INITIATOR else (target, initiator)
        one.reset()
        assert await other.until_reset() == b""
        await the.no_pairs()
        assert _ends(the) == [(end.value, "rst", "peer"), (end.other.value, "rst", "proxy")]


@pytest.mark.parametrize("pdus", [False, True])
async def test_a_reader_that_stops_blocks_the_sender_and_loses_nothing(pdus: bool) -> None:
    settings = Settings(max_held=1 << 16)
    async with bench(pdus=pdus, settings=settings) as the:
        initiator, target = await the.login()
        ping = nop_out(2, bytes(60000)).raw
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(1000):
                with trio.move_on_after(0.2) as patience:
                    await initiator.raw(ping)
                if patience.cancelled_caught:
                    return  # part of it went; how much, the target will say
                sent += 1

        await send()
        assert sent < 1000
        line = the.pair()._links[End.INITIATOR].line
        assert line._waiting <= settings.max_held + len(ping)
        await initiator.fin()
        data = await target.rest()
        assert data[: sent * len(ping)] == ping * sent
        assert ping.startswith(data[sent * len(ping) :])


async def test_a_RST_goes_on_at_once_although_the_other_peer_does_not_read() -> None:
    async with bench() as the:
        initiator, target = await the.login()
        with trio.move_on_after(0.2):
            while True:
                await initiator.raw(bytes(1 << 20))
        initiator.reset()
        await the.no_pairs()
        assert _ends(the)[0] == ("initiator", "rst", "peer")
        await target.until_reset()


def _close(how: str, end: str, at: str = "end") -> str:
    return f"  - {{name: cut, when: NOP-Out nth 2, do: {{close: {{how: {how}, end: {end}, at: {at}}}}}}}\n"


@pytest.mark.parametrize("at", [0, 1, 20, 48, 50])
@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_a_close_inside_a_PDU_lets_exactly_that_much_through(how: str, at: int) -> None:
    place = {0: "start", 48: "data"}.get(at, f"header+{at}" if at < 48 else f"data+{at - 48}")
    async with bench(scenario(_close(how, "both", place))) as the:
        initiator, target = await the.login()
        first, second, third = (nop_out(n, b"abcdefgh") for n in (2, 3, 4))
        await initiator.send(first, second, third)
        expected = first.raw + second.raw[:at]
        if how == "rst":
            # A RST overtakes what the peer has not read yet; what came is the beginning of it.
            assert expected.startswith(await target.until_reset())
            assert await initiator.until_reset() == b""
        else:
            assert await target.rest() == expected
            assert await initiator.rest() == b""
            await target.fin()
            await initiator.fin()
        await the.no_pairs()
        assert {end for end in _ends(the) if end[2] == "fault"} == {(leg.value, how, "fault") for leg in End}
        assert not the.relay.crashes


@pytest.mark.parametrize("end", End)
async def test_a_RST_on_one_leg_leaves_the_other_as_it_is(end: End) -> None:
    async with bench(scenario(_close("rst", end.value))) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2), nop_out(3))
        hit, spared = (initiator, target) if end is End.INITIATOR else (target, initiator)
        await hit.until_reset()
        await spared.raw(b"into the void")
        if spared is target:
            assert pdus_of(await target.exactly(96)) == [nop_out(2), nop_out(3)]
        await spared.fin()
        assert await spared.rest() == b""
        await the.no_pairs()
        assert not the.relay.crashes


@pytest.mark.parametrize("end", End)
async def test_a_half_close_leaves_what_comes_in_flowing(end: End) -> None:
    async with bench(scenario(_close("half", end.value))) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2), nop_out(3))
        if end is End.TARGET:
            assert pdus_of(await target.rest()) == [nop_out(2), nop_out(3)]
            await target.send(nop_in(2))
            assert await initiator.pdu() == nop_in(2)
        else:
            assert await initiator.rest() == b""
            await initiator.send(nop_out(4))
            assert pdus_of(await target.exactly(144)) == [nop_out(2), nop_out(3), nop_out(4)]
        await target.fin()
        await initiator.fin()
        await the.no_pairs()


@pytest.mark.parametrize("how", ["rst", "fin", "half"])
async def test_a_connection_closed_by_a_rule_before_anything_was_said(how: str) -> None:
    rules = f"  - {{name: shut, when: connect, do: {{close: {how}}}}}\n"
    async with bench(scenario(rules)) as the:
        initiator, target = await the.connect()
        if how == "rst":
            await initiator.until_reset()
            await target.until_reset()
        else:
            assert await initiator.rest() == await target.rest() == b""
            await initiator.fin()
            await target.fin()
        await the.no_pairs()
        assert not the.relay.crashes


_STALL = """\
  - name: still
    when: NOP-Out nth 1
    do: {stall: {until: 'connect', at: %s, end: %s}}
"""


@pytest.mark.parametrize("end", ["initiator", "target", "both"])
async def test_a_stall_inside_a_PDU_ends_when_it_is_to_and_loses_nothing(end: str) -> None:
    async with bench(scenario(_STALL % ("header+10", end))) as the:
        initiator, target = await the.login()
        pings = [nop_out(n, bytes(n)) for n in range(2, 40)]
        await initiator.send(*pings)
        whole = b"".join(ping.raw for ping in pings)
        assert await target.exactly(10) == whole[:10]
        await target.send(nop_in(2, b"back"))
        await the.connect()  # another connection is not hindered, and ends the stall
        assert await target.exactly(len(whole) - 10) == whole[10:]
        assert await initiator.pdu() == nop_in(2, b"back")
        await initiator.send(nop_out(90))
        assert await target.exactly(48) == nop_out(90).raw


@pytest.mark.parametrize("at", ["start", "header+10", "end"])
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_stalled_target_does_not_learn_that_the_initiator_has_gone(how: str, at: str) -> None:
    async with bench(scenario(_STALL % (at, "target"))) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2))
        await the.event(Fired)
        if how == "fin":
            await initiator.fin()
        else:
            initiator.reset()
        await the.until(lambda: _ends(the) == [("initiator", how, "peer")])
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        again, _ = await the.connect()  # ends the stall, as said above
        came = await (target.rest() if how == "fin" else target.until_reset())
        assert nop_out(2).raw.startswith(came)
        assert how == "rst" or len(came) == {"start": 0, "header+10": 10, "end": 48}[at]
        assert _ends(the) == [("initiator", how, "peer"), ("target", how, "proxy")]
        events = [event for event in the.events if isinstance(event, Closed | Connected)]
        assert [type(event) for event in events] == [Connected, Closed, Connected, Closed]
        if how == "fin":
            await target.fin()
        again.reset()
        await the.no_pairs()
        assert not the.relay.crashes


async def test_a_RST_does_not_reach_a_stalled_target_past_what_waits_for_it() -> None:
    settings = Settings(max_held=1 << 16)
    async with bench(scenario(_STALL % ("end", "target")), settings=settings) as the:
        initiator, target = await the.login()
        # More than the proxy takes: its link waits for the target when the RST comes.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_give_up, initiator, nop_out(2).raw + nop_out(3, bytes(60000)).raw * 200)
            await the.event(Fired)
            await trio.testing.wait_all_tasks_blocked(0.01)
            initiator.reset()
        await the.until(lambda: _ends(the) == [("initiator", "rst", "peer")])
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert len(_ends(the)) == 1
        await the.connect()
        await target.until_reset()
        assert _ends(the)[1] == ("target", "rst", "proxy")


async def _give_up(peer: Peer, data: bytes) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await peer.raw(data)


@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_a_leg_that_was_closed_alone_leaves_the_other_half_open(how: str) -> None:
    rules = _close(how, "initiator") + "  - {name: later, when: connect nth 2, do: {note: another one}}\n"
    async with bench(scenario(rules)) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2), nop_out(3))
        assert pdus_of(await target.exactly(96)) == [nop_out(2), nop_out(3)]
        if how == "rst":
            await initiator.until_reset()
        else:
            assert await initiator.rest() == b""
            await initiator.fin()
        await the.connect()
        await the.event(Noted)
        assert [end for end in _ends(the) if end[0] == "target"] == []
        await target.fin()
        assert await target.rest() == b""


_DELAY = """\
  - name: late
    when: NOP-Out nth 1
    do: {delay: {until: NOP-Out nth %d, overtake: %s}}
"""


async def test_a_delay_holds_what_follows() -> None:
    async with bench(scenario(_DELAY % (3, "no"))) as the:
        initiator, target = await the.login()
        for n in range(2, 6):
            await initiator.send(nop_out(n))
        assert [(await target.pdu())["ITT"] for _ in range(4)] == [2, 3, 4, 5]


async def test_a_delay_with_overtaking_makes_one_PDU_late() -> None:
    async with bench(scenario(_DELAY % (2, "yes"))) as the:
        initiator, target = await the.login()
        for n in range(2, 5):
            await initiator.send(nop_out(n))
        # The PDU that lets it go is the one that has overtaken it.
        assert [(await target.pdu())["ITT"] for _ in range(3)] == [3, 4, 2]


async def test_a_late_PDU_goes_out_although_backpressure_cut_the_one_before_it() -> None:
    rules = "  - {name: late, when: NOP-Out where length == 4, do: {delay: {until: connect, overtake: yes}}}\n"
    async with bench(scenario(rules)) as the:
        initiator, target = await the.login()
        big = Pdu.build(0x05, bytes(8 << 20))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(initiator.send, big, nop_out(2, b"late"))
            assert await target.exactly(len(big)) == big.raw
        await the.event(Decided)
        await the.connect()
        assert await target.pdu() == nop_out(2, b"late")


async def test_shutdown_lets_what_was_held_go_in_order_and_ends_stalls() -> None:
    rules = "  - {name: hold, when: NOP-Out, do: {delay: {until: connect, at_most: 60min}}}\n"
    stall = "  - {name: still, when: NOP-In, do: {stall: {until: connect, end: initiator}}}\n"
    async with bench(scenario(rules), scenario(stall, name="other")) as the:
        initiator, target = await the.login()
        pings = [nop_out(n, bytes(n)) for n in range(2, 12)]
        await initiator.send(*pings)
        await the.until(lambda: sum(event.what == "held" for event in the.of(Decided)) == len(pings))
        await target.send(nop_in(2))
        await the.event(Fired)
        await the.proxy.shutdown()
        assert pdus_of(await target.rest()) == pings
        assert pdus_of(await initiator.rest()) == [nop_in(2)]


_STORM = """\
  - {name: last, when: NOP-Out where ITT == 299, do: {note: all of it}}
  - {name: end, when: NOP-In where ITT == 299, do: {note: all of it}}
  - {name: twice, when: NOP-Out chance 20%, do: duplicate}
  - {name: late, when: NOP-Out chance 20%, do: {delay: {until: NOP-Out nth 2, overtake: yes}}}
  - {name: slow, when: NOP-Out chance 5%, do: {delay: 1ms}}
  - {name: inside, when: NOP-Out chance 5%, do: {stall: {until: 1ms, at: header+7}}}
  - {name: back, when: NOP-In chance 20%, do: duplicate}
  - {name: hold, when: NOP-In chance 10%, do: {delay: NOP-In nth 1}}
"""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pdus", [False, True])
async def test_in_a_storm_of_delays_and_copies_every_PDU_is_accounted_for(seed: int, pdus: bool) -> None:
    rng = Random(seed)
    sizes = (0, 1, 3, 100, 4096, 66000)
    outs = [nop_out(n, rng.randbytes(rng.choice(sizes))) for n in range(2, 300)]
    backs = [nop_in(n, rng.randbytes(rng.choice(sizes))) for n in range(2, 300)]

    async def feed(peer: Peer, pdus: list[Pdu]) -> None:
        data = b"".join(pdu.raw for pdu in pdus)
        at = 0
        while at < len(data):
            size = rng.choice((10, 1000, 65000, 300000))
            await peer.raw(data[at : at + size])
            at += size

    async with bench(scenario(_STORM), pdus=pdus, seed=seed, settings=Settings(max_held=200000)) as the:
        initiator, target = await the.login()
        async with trio.open_nursery() as nursery:
            came: dict[str, bytes] = {}

            async def collect(peer: Peer, name: str) -> None:
                came[name] = await peer.rest()

            nursery.start_soon(collect, target, "out")
            nursery.start_soon(collect, initiator, "back")
            async with trio.open_nursery() as feeding:
                feeding.start_soon(feed, initiator, outs)
                feeding.start_soon(feed, target, backs)
            await the.event(Noted, 2)
            # A rule that waits for a PDU that never comes is ended by the shutdown.
            await the.proxy.shutdown()
        assert not the.relay.crashes
        for name, sent, rules in (("out", outs, {"made_up/twice"}), ("back", backs, {"made_up/back"})):
            copies = Counter(event.of for event in the.of(Fired) if event.rule in rules)
            got = Counter(pdus_of(came[name]))
            assert set(got) == set(sent)
            assert sum(got.values()) == len(sent) + len(copies)


@pytest.mark.parametrize("pdus", [False, True])
@pytest.mark.parametrize("way", End)
async def test_a_throttled_connection_gets_one_byte_at_a_time_both_ways(pdus: bool, way: End) -> None:
    slow = "  - when: full-feature\n    do: {throttle: {rate: 20000, slice: 1}}\n"
    async with bench(scenario(slow), pdus=pdus) as the:
        initiator, target = await the.login()
        ping = nop_out(2) if way is End.INITIATOR else nop_in(2)
        one, other = (initiator, target) if way is End.INITIATOR else (target, initiator)
        await one.send(ping, ping)
        sizes = []
        data = b""
        while len(data) < 96:
            data += (more := await other.stream.receive_some(4096))
            sizes.append(len(more))
        assert data == ping.raw * 2
        assert max(sizes) <= 2, "what one turn of the loop has brought"
        assert sizes.count(1) > 80


@pytest.mark.parametrize("way", [End.INITIATOR, End.TARGET])
async def test_a_connection_is_cut_into_segments_of_drawn_sizes_and_loses_nothing(way: End) -> None:
    slow = "  - when: full-feature\n    do: {throttle: {rate: 1GiB, slice: 1..1460}}\n"
    async with bench(scenario(slow), pdus=True) as the:
        initiator, target = await the.login()
        pings = [(nop_out if way is End.INITIATOR else nop_in)(itt, bytes([itt]) * 500 * itt) for itt in range(2, 12)]
        one, other = (initiator, target) if way is End.INITIATOR else (target, initiator)
        await one.send(*pings)
        assert [await other.pdu() for _ in pings] == pings


async def test_other_connections_are_not_slow() -> None:
    slow = "  - when: NOP-Out nth 1\n    do: {throttle: 1}\n"
    async with bench(scenario(slow)) as the:
        first, _ = await the.login()
        await first.send(nop_out(2))
        initiator, target = await the.login()
        await initiator.send(nop_out(3, bytes(8000)))
        assert len((await target.pdu()).data) == 8000


async def test_a_slow_connection_blocks_the_sender_and_loses_nothing() -> None:
    slow = "  - when: NOP-Out nth 1\n    do: {throttle: {rate: 1, slice: 1}}\n"
    settings = Settings(max_held=1 << 16)
    async with bench(scenario(slow), settings=settings) as the:
        initiator, target = await the.login()
        ping = nop_out(2, bytes(60000)).raw
        sent = 0
        for _ in range(1000):
            with trio.move_on_after(0.2) as patience:
                await initiator.raw(ping)
            if patience.cancelled_caught:
                break  # part of it went; how much, the target will say
            sent += 1
        assert sent < 1000
        assert the.pair()._links[End.INITIATOR].line._waiting <= settings.max_held + len(ping)
        the.relay.end()
        await initiator.fin()
        data = await target.rest()
        assert data[: sent * len(ping)] == ping * sent
        assert ping.startswith(data[sent * len(ping) :])


async def test_the_end_of_a_run_ends_a_throttle() -> None:
    slow = "  - when: NOP-Out\n    do: {throttle: {rate: 1, slice: 1}}\n"
    async with bench(scenario(slow)) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2, bytes(8000)), nop_out(3))
        assert len(await target.stream.receive_some(100)) == 1
        the.relay.end()
        assert len(await target.exactly(48 + 8000 + 48 - 1)) == 8095


async def test_a_RST_overtakes_what_is_slow() -> None:
    slow = "  - when: NOP-Out nth 1\n    do: {throttle: {rate: 1, slice: 1}}\n"
    async with bench(scenario(slow)) as the:
        initiator, target = await the.login()
        await initiator.send(nop_out(2, bytes(8000)))
        assert len(await target.stream.receive_some(100)) == 1
        initiator.reset()
        await target.until_reset()
        await the.no_pairs()
        assert not the.relay.crashes


async def test_a_pair_tells_its_four_addresses_and_gives_its_legs() -> None:
    async with bench() as the:
        initiator, target = await the.login()
        pair, (event,) = the.pair(), the.of(Connected)
        assert pair.addresses == (event.initiator, event.listen, event.local, event.target)
        assert str(pair.initiator) == event.initiator
        for end, peer in ((End.INITIATOR, initiator), (End.TARGET, target)):
            leg = pair.leg(end)
            assert leg.end is end
            assert leg.peer.port == peer.stream.socket.getsockname()[1]
        initiator.reset()
        await target.until_reset()
        await the.no_pairs()
        assert pair.addresses[0] == event.initiator, "it is known when all is over"
        assert pair.leg(End.INITIATOR).closed
