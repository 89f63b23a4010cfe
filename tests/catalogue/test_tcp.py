"""TCP."""

from __future__ import annotations

from random import Random
from typing import Literal

import pytest
import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.proxy import Address, Proxy, Route
from iscsiproxy.session.events import Closed, Delivered
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.catalogue.harness import Claims, Step, altered, at_initiator, at_target, play, row, runs_of
from tests.catalogue.wired import wired
from tests.engine.dialogue import (
    data_in,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    scsi_response,
    text_request,
    text_response,
    write,
)
from tests.proxy.fakes import Peer, bench
from tests.session.dialogue import NAMES, TPGT, login_request, login_response, request, response

__all__: list[str] = []

LOGIN = login_request(NAMES), login_response(TPGT)
WRITE, ASK, DATA, DONE = write(2, 10), r2t(2, 7), data_out(2, 0, bytes(1024), ttt=7, F=1), scsi_response(2, 101)
TOLD = data_in(3, 0, bytes(1024), F=1)
SESSION: tuple[Step, ...] = (*LOGIN, WRITE, ASK, DATA, DONE, read(3, 11), TOLD, scsi_response(3, 102), nop_out(4, 12))

CUT = """
matrix: {at: [start, header+1, header+20, header+47, data+0, data+100, end]}
params: {pdu: Data-Out}
rules:
  - when: $pdu nth 1
    do: {close: {how: HOW, at: $at}}
"""
PLACES = {"start": 0, "header+1": 1, "header+20": 20, "header+47": 47, "data+0": 48, "data+100": 148, "end": None}


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        pytest.param("rst", "rst", marks=row("TCP-01")),
        pytest.param("half", "fin", marks=row("TCP-02")),
    ],
)
def test_the_connection_is_cut_anywhere_in_a_pdu(how: str, seen: Literal["rst", "fin"]) -> None:
    scenario = CUT.replace("HOW", how)
    for axes in runs_of(scenario):
        at = PLACES[axes["at"]]
        at_target(scenario, *SESSION, login=False, axes=axes).assert_cut(DATA, at, seen)
        played = at_initiator(scenario, *SESSION, login=False, axes=axes, params={"pdu": "Data-In"})
        played.assert_cut(TOLD, at, seen)


@row("TCP-01")
@pytest.mark.parametrize(
    ("pattern", "at", "last", "victim"),
    [
        ("Login-Request nth 1", "start", LOGIN[0], End.TARGET),
        ("Login-Request nth 1", "header+30", LOGIN[0], End.TARGET),
        ("SCSI-Command nth 1", "end", WRITE, End.TARGET),
        ("R2T nth 1", "end", ASK, End.INITIATOR),
        ("SCSI-Response nth 1", "start", DONE, End.INITIATOR),
    ],
)
def test_the_connection_is_reset_anywhere_in_a_session(pattern: str, at: str, last: Pdu, victim: End) -> None:
    place = {"start": 0, "header+30": 30, "end": None}[at]
    played = play(
        f"- {{when: {pattern}, do: {{close: {{how: rst, at: {at}}}}}}}",
        *SESSION,
        login=False,
        victim="target" if victim is End.TARGET else "initiator",
    )
    played.assert_cut(last, place)


@row("TCP-04")
@pytest.mark.parametrize("seconds", [1, 5, 30, 120])
@pytest.mark.parametrize(("label", "end"), [("NOP-Out", "target"), ("NOP-In", "initiator")])
def test_one_direction_stands_still(seconds: int, label: str, end: str) -> None:
    scenario = f"""
    - when: {label} nth 1
      do: {{stall: {{until: {seconds}s, end: {end}, at_most: 5min}}}}
    """
    ping, echo = nop_out(2, 10), nop_in(2, 101)
    if end == "target":
        at_target(scenario, ping, 200, echo).assert_late(ping, seconds)
    else:
        at_initiator(scenario, ping, echo, 200).assert_late(echo, seconds)


@row("TCP-08")
def test_pdus_of_independent_tasks_change_places() -> None:
    text = "- {when: Data-In nth 1, do: {delay: {until: Data-In then 1ms, overtake: yes}}}"
    first, second = data_in(2, 0, bytes(512), F=1), data_in(3, 0, bytes(512), F=1)
    played = at_initiator(text, read(2, 10), read(3, 11), first, second, 1, scsi_response(2, 101))
    played.assert_order(second, first)


@row("TCP-09")
@pytest.mark.parametrize("how", ["rst", "fin"])
def test_the_connection_is_cut_right_behind_the_logout(how: Literal["rst", "fin"]) -> None:
    asked, told = request(6, 5, 10, ReasonCode=0), response(0x26, 5, 101)
    bye = asked, told, nop_out(6, 11), nop_in(6, 102)
    at_target(f"- {{when: Logout-Request, do: {{close: {how}}}}}", *bye).assert_cut(asked, None, how)
    at_initiator(f"- {{when: Logout-Response, do: {{close: {how}}}}}", *bye).assert_cut(told, None, how)


PING, PONG = nop_out(2, 1, bytes(1000)), nop_in(2, 2, bytes(1000))


@row("TCP-03")
@pytest.mark.parametrize("ping", [nop_out(2, 1), nop_in(2, 2)], ids=str)
async def test_a_segment_for_each_byte(ping: Pdu) -> None:
    arrivals = await wired("rules:\n- {when: full-feature, do: {throttle: {rate: 20000, slice: 1}}}", ping, ping)
    # One turn of the loop may bring two.
    assert [len(one.data) for one in arrivals].count(1) > 80


@row("TCP-03")
@pytest.mark.parametrize("pings", [[PING] * 20, [PONG] * 20], ids=["requests", "responses"])
async def test_segments_of_any_length(pings: list[Pdu]) -> None:
    arrivals = await wired("rules:\n- {when: full-feature, do: {throttle: {rate: 1MiB, slice: 1..1460}}}", *pings)
    sizes = [len(one.data) for one in arrivals]
    assert sum(sizes) == 20 * len(PING)
    assert len(set(sizes)) > 10
    assert any(size % len(PING) for size in sizes[:-1])


@row("TCP-03")
@pytest.mark.parametrize("pings", [[PING] * 70, [PONG] * 70], ids=["requests", "responses"])
async def test_many_pdus_in_one_segment(pings: list[Pdu]) -> None:
    # What comes while the connection stands still goes at once when it moves again.
    rules = """
rules:
- when: NOP-Out or NOP-In nth 1
  do: {stall: {until: 50ms, end: END}}
""".replace("END", str(pings[0].sender.other))
    arrivals = await wired(rules, *pings)
    assert max(len(one.data) for one in arrivals) > 2 * len(PING)


@row("TCP-05")
@pytest.mark.parametrize("ping", [PING, PONG], ids=str)
async def test_a_pdu_arrives_byte_by_byte(ping: Pdu) -> None:
    rules = """
params: {rate: 100}
rules:
- when: NOP-Out or NOP-In nth 1
  do: {throttle: {rate: $rate, slice: 1}}
"""
    arrivals = await wired(rules, ping, params={"rate": "5000"})
    assert arrivals[-1].at > len(ping) / 5000 / 2, "not at once"
    assert [len(one.data) for one in arrivals].count(1) > len(ping) // 2


@row("TCP-06")
@pytest.mark.parametrize("ping", [PING, PONG], ids=str)
async def test_little_bandwidth(ping: Pdu) -> None:
    rules = "rules:\n- {when: full-feature, do: {throttle: 50000}}"
    arrivals = await wired(rules, *[ping] * 20)
    assert arrivals[-1].at > 20 * len(ping) / 50000 / 2, "not at once"


@row("TCP-06")
def test_latency_and_jitter() -> None:
    pings = [(nop_out(n, n + 8), nop_in(n, n + 99)) for n in range(2, 22)]
    script = [step for pair in pings for pdu in pair for step in (pdu, 1.0)]
    for leg in End:
        played = play("- {when: NOP-Out or NOP-In, do: {delay: 20ms..80ms}}", *script).at(leg)
        late = played.lateness()
        assert len(set(late)) > 10
        assert 0.02 <= min(late) <= max(late) <= 0.08


IDLE = """
params: {count: 8}
rules:
- when: connect times $count
  do: {close: {how: rst, end: initiator}}
"""


@row("TCP-07")
async def test_connections_that_never_log_in() -> None:
    # Each try of the initiator leaves a connection behind at the target, which is open and says nothing.
    scenario = load(f"scenario: x\nvictim: target\n{IDLE}", file="x.yaml", acts=SPECS, params={"count": "3"})
    async with bench(scenario, pdus=True) as the:
        idle = []
        for _ in range(3):
            initiator, target = await the.connect()
            await initiator.until_reset()
            idle.append(target)
        login, other = await the.login()
        await login.send(PING)
        assert await other.pdu() == PING
        for target in idle:
            assert the.of(Closed)[0].leg is End.INITIATOR
            with trio.move_on_after(0.01):
                raise AssertionError(await target.stream.receive_some(1))
        assert {one.leg for one in the.of(Closed)} == {End.INITIATOR}
        assert [one.conn for one in the.of(Delivered) if one.leg is End.TARGET] == [4, 4]
    Claims.made.add(End.TARGET)


@row("TCP-10")
@pytest.mark.parametrize(
    ("here", "there", "written"), [("::1", "127.0.0.1", "[::1]"), ("127.0.0.1", "::1", "127.0.0.1")]
)
async def test_the_legs_are_of_different_address_families(here: str, there: str, written: str) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host=there)
    behind = Address(there, listener.socket.getsockname()[1])
    proxy = Proxy([Route(Address(here, 0), behind)], rng=Random(1), scenarios=[], sinks=[])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            routes = await nursery.start(proxy.run)
            listen = routes[0].listen
            initiator = Peer(await trio.open_tcp_stream(listen.host, listen.port))
            target = Peer(await listener.accept())
            asked, told = (
                text_request(2, 1, {"SendTargets": "All"}),
                text_response(2, 2, {"TargetAddress": f"{behind},1"}),
            )
            await initiator.send(*LOGIN[:1])
            assert await target.pdu() == LOGIN[0]
            await target.send(LOGIN[1])
            assert await initiator.pdu() == LOGIN[1]
            await initiator.send(asked, PING)
            assert [await target.pdu() for _ in range(2)] == [asked, PING]
            await target.send(told, PONG)
            got = [await initiator.pdu() for _ in range(2)]
            assert got == [altered(told, {"data": f"TargetAddress={written}:{listen.port},1\0".encode()}), PONG]
            await proxy.shutdown()
            for peer in (initiator, target):
                peer.close()
            nursery.cancel_scope.cancel()
    await listener.aclose()
    Claims.made.update(End)
