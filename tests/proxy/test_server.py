from __future__ import annotations

import gc
import os
import resource
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio

from iscsiproxy.errors import UsageError
from iscsiproxy.proxy import Address, Proxy, Route, Settings
from iscsiproxy.session.events import Closed, Connected, ConnectFailed, Fired, Noted, Refused
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.text import encode_text
from tests.proxy.fakes import FakeTarget, bench, login_request, login_response, nop_in, nop_out, scenario


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_each_route_leads_to_its_own_target() -> None:
    async with bench(targets=3) as the:
        for route in (2, 0, 1):
            _, target = await the.login(route=route)
            await target.send(nop_in(2))
        assert [event.target for event in the.of(Connected)] == [str(the.targets[route].address) for route in (2, 0, 1)]
        assert [route.target for route in the.routes] == [target.address for target in the.targets]


async def test_an_initiator_whose_target_refuses_gets_a_FIN() -> None:
    async with bench() as the:
        the.targets[0].close()
        initiator = await the.dial()
        await initiator.send(login_request())
        assert await initiator.rest() == b""
        event = await the.event(ConnectFailed)
        assert (event.target, event.reason) == (str(the.targets[0].address), "Connection refused")
        assert not the.relay.crashes


async def test_a_target_that_does_not_answer_is_given_up() -> None:
    # A listener with a full backlog drops what comes.
    full = trio.socket.socket()
    await full.bind(("127.0.0.1", 0))
    full.listen(0)
    address = Address.of(full.getsockname())
    fillers = [trio.socket.socket() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for filler in fillers:
            nursery.start_soon(filler.connect, ("127.0.0.1", address.port))
        async with bench(settings=Settings(connect_timeout=0.05)) as the:
            while _queued(address.port) < 1:
                await trio.lowlevel.checkpoint()
            the.proxy._routes[the.routes[0].listen] = address
            late = Proxy(
                [Route(Address("127.0.0.1", 0), address)],
                rng=Random(1),
                sinks=the.proxy._sinks,
                settings=Settings(connect_timeout=0.05),
            )
            (route,) = await nursery.start(late.run)
            initiator = await the.dial(route.listen)
            assert await initiator.rest() == b""
            event = await the.event(ConnectFailed)
            assert event.reason == "no answer in 0.05 s"
        nursery.cancel_scope.cancel()
    for filler in fillers:
        filler.close()
    full.close()


def _queued(port: int) -> int:
    """Count the established connections nobody has accepted."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(
        int(row[4].partition(":")[2], 16) for row in fields if row[1].endswith(f":{port:04X}") and row[3] == "0A"
    )


async def test_an_initiator_that_follows_a_redirect_stays_in_the_proxy() -> None:
    async with bench() as the:
        elsewhere = await FakeTarget.listen()
        the.targets.append(elsewhere)
        initiator, target = await the.connect()
        await initiator.send(login_request())
        await target.pdu()
        text = {"TargetAddress": str(elsewhere.address)}
        moved = login_response().with_data(encode_text(text.items()))
        await target.send(moved.with_fields({"T": 0, "Status-Class": 1, "Status-Detail": 1}))
        answer = await initiator.pdu()
        key, _, value = answer.data.rstrip(b"\0").decode().partition("=")
        assert key == "TargetAddress"
        host, _, port = value.partition(":")
        address = Address(host, int(port))
        assert address not in (elsewhere.address, the.routes[0].listen)
        again = await the.dial(address)
        there = await elsewhere.accept()
        await again.send(login_request())
        assert await there.pdu() == login_request()
        assert (await the.event(Connected, 2)).target == str(elsewhere.address)
        there.close()


async def test_a_listening_address_that_is_taken_is_a_usage_error() -> None:
    async with bench() as the:
        proxy = Proxy(the.routes, rng=Random(1))
        with pytest.raises(UsageError, match=r"cannot listen at 127\.0\.0\.1:\d+: Address already in use"):
            await proxy.run()


@pytest.mark.parametrize("pdus", [False, True])
async def test_a_hundred_connections_leave_nothing_behind(pdus: bool) -> None:
    rules = "  - {name: seen, when: NOP-Out, do: {delay: NOP-Out nth 1}}\n"
    async with bench(scenario(rules), pdus=pdus) as the:
        tasks = before = 0
        for count in range(101):
            initiator, target = await the.login()
            if count % 4 == 0:
                await initiator.send(nop_out(2))
            if count % 2:
                initiator.reset()
                await target.until_reset()
            else:
                await initiator.fin()
                await target.fin()
                await initiator.rest()
            initiator.close()
            target.close()
            await the.no_pairs()
            if not count:
                await _settled(the.proxy)
                gc.collect()  # what an earlier test has left is not to go meanwhile
                before, tasks = _descriptors(), trio.lowlevel.current_statistics().tasks_living
        await _settled(the.proxy)
        assert _descriptors() == before
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert not the.relay.poller._calls
        assert not the.relay._carrier._slots


async def _settled(proxy: Proxy) -> None:
    """Wait until the tasks of connections that have ended are gone."""
    assert proxy._nursery is not None
    while any("_handle" in task.name for task in proxy._nursery.child_tasks):
        await trio.lowlevel.checkpoint()


async def test_a_number_of_a_closed_socket_that_is_used_again_is_not_mixed_up() -> None:
    rules = "  - {name: cut, when: NOP-Out where length == 1, do: {close: {how: rst, end: initiator}}}\n"
    async with bench(scenario(rules)) as the:
        first, first_target = await the.login()
        await first.send(nop_out(2, b"x"))
        await first.until_reset()
        first.close()
        # The pair lives on, for its target has not ended; new ones get the numbers of its sockets.
        for _ in range(3):
            initiator, target = await the.login()
            await initiator.send(nop_out(3))
            assert await target.pdu() == nop_out(3)
        assert len((await first_target.pdu()).data) == 1


async def test_when_descriptors_are_short_connections_wait_and_are_served_later() -> None:
    async with bench() as the:
        await the.login()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        second = trio.socket.socket()
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            await second.connect(("127.0.0.1", the.routes[0].listen.port))
            await trio.testing.wait_all_tasks_blocked()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        target = await the.targets[0].accept()
        await second.send(login_request().raw)
        assert await target.pdu() == login_request()
        target.close()
        second.close()
        assert not the.relay.crashes


async def test_cancelled_it_closes_every_connection_with_a_FIN() -> None:
    async with bench() as the:
        initiator, target = await the.login()
        await the.proxy.shutdown()
        assert await initiator.rest() == await target.rest() == b""
        assert {(event.leg.value, event.how, event.by) for event in the.of(Closed)} == {
            ("initiator", "fin", "proxy"),
            ("target", "fin", "proxy"),
        }
        assert not the.of(Noted)


async def test_a_refused_initiator_is_reset_and_the_target_sees_nothing() -> None:
    refuse = "  - when: connect nth 2..3\n    do: refuse\n  - when: connect\n    do: {note: seen}\n"
    async with bench(scenario(refuse)) as the:
        await the.login()
        for _ in range(2):
            assert await (await the.dial()).until_reset() == b""
        initiator, target = await the.connect()
        await initiator.send(login_request())
        assert await target.pdu() == login_request()
        assert [event.conn for event in the.of(Connected)] == [1, 4]
        assert [event.conn for event in the.of(Refused)] == [2, 3]
        assert {event.listen for event in the.of(Refused)} == {str(the.routes[0].listen)}
        assert [(event.conn, event.leg, event.how, event.by) for event in the.of(Closed)] == [
            (2, End.INITIATOR, "rst", "fault"),
            (3, End.INITIATOR, "rst", "fault"),
        ]
        fired = the.of(Fired)
        refused = {event.n for event in the.of(Refused)}
        assert {event.of for event in fired} == refused
        assert len(the.of(Noted)) == 4
        assert [event.n for event in the.events] == sorted({event.n for event in the.events})
        assert not the.relay.crashes


async def test_a_connection_is_refused_although_its_target_does_not_listen() -> None:
    async with bench(scenario("  - when: connect where conn.nth == 2\n    do: refuse\n")) as the:
        the.targets[0].close()
        for _ in range(3):
            initiator = await the.dial()
            with suppress(trio.BrokenResourceError):
                assert await initiator.rest() == b""
            initiator.close()
        assert [event.conn for event in the.of(ConnectFailed)] == [1, 3]
        assert [event.conn for event in the.of(Refused)] == [2]
        while the.relay._open:
            await trio.lowlevel.checkpoint()


async def test_what_is_open_to_rules_looks_at_no_more_than_any_other() -> None:
    async with bench() as plain, bench(open_to_rules=True) as open_:
        assert plain.relay.engine is None
        assert open_.relay.engine is not None
        for the in (plain, open_):
            await the.login()
        assert [plain.relay.interest(end) for end in End] == [open_.relay.interest(end) for end in End]
        tables = [[the.pair()._links[end].framer.interest for end in End] for the in (plain, open_)]
        assert tables[0] == tables[1]


async def test_rules_may_come_and_go_while_it_runs() -> None:
    drop = scenario("  - {when: NOP-Out, do: drop}\n", "mine")
    async with bench(open_to_rules=True) as the:
        initiator, target = await the.login()
        the.relay.ask(lambda engine: engine.adopt(drop))
        the.relay.refresh()
        await initiator.send(nop_out(2))
        await the.event(Fired)
        the.relay.ask(lambda engine: engine.dismiss("mine"))
        the.relay.refresh()
        await initiator.send(nop_out(3))
        assert await target.pdu() == nop_out(3)


async def test_its_routes_are_those_that_were_asked_for_and_those_of_portals_that_a_target_announced() -> None:
    async with bench(targets=2) as the:
        assert the.proxy.routes == tuple((route.listen, route.target) for route in the.routes)
        initiator, target = await the.connect()
        await initiator.send(login_request())
        await target.pdu()
        text = {"TargetAddress": "127.0.0.1:9"}
        moved = login_response().with_data(encode_text(text.items()))
        await target.send(moved.with_fields({"T": 0, "Status-Class": 1, "Status-Detail": 1}))
        await initiator.pdu()
        assert [target for _, target in the.proxy.routes] == [
            *(route.target for route in the.routes),
            Address("127.0.0.1", 9),
        ]
