from __future__ import annotations

import trio
import trio.testing

from iscsiproxy.api import models
from iscsiproxy.api.server.control import Control
from iscsiproxy.api.server.presence import _LINGER, Run
from iscsiproxy.proxy.pair import Pair
from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End, Opcode
from tests.api.server.stand import LIBRARY, ping, stand
from tests.proxy.fakes import bench

__all__: list[str] = []


# --- what is looked at -----------------------------------------------------------------------------------------------


async def test_while_nobody_is_there_nothing_is_looked_at_and_back_again() -> None:
    async with bench() as plain:
        nothing = [plain.relay.interest(end) for end in End]
    async with stand() as the:
        assert [the.relay.interest(end) for end in End] == nothing
        await the.login()
        pair = the.relay.pairs[1]
        assert isinstance(pair, Pair)
        assert [link.framer.interest for link in pair._links.values()] == nothing

        first = the.read()
        headers = [the.relay.interest(end) for end in End]
        assert {one for table in headers for one in table} == {Interest.HEADER, Interest.WHOLE}
        assert headers[0][Opcode.SCSI_COMMAND] is Interest.HEADER
        second, third = the.read(pdus=True), the.read(where="SCSI-Command")
        assert [the.relay.interest(end) for end in End] == [EVERYTHING] * 2
        second.stream.close()
        assert [the.relay.interest(end) for end in End] == [EVERYTHING] * 2
        third.stream.close()
        assert [the.relay.interest(end) for end in End] == headers
        first.stream.close()
        assert [the.relay.interest(end) for end in End] == headers, "it may well come again"
        the.control._called -= _LINGER
        the.control._follow()
        assert [the.relay.interest(end) for end in End] == nothing


async def test_who_only_asks_has_headers_looked_at_for_a_while(mock_clock: trio.testing.MockClock) -> None:
    async with stand(patience=10 * _LINGER) as the, trio.open_nursery() as nursery:
        nursery.start_soon(the.control.keep_up)
        the.control.called()
        followed = []
        for _ in range(6):
            await trio.testing.wait_all_tasks_blocked()
            followed.append(the.relay.follows)
            mock_clock.jump(_LINGER / 4)
        assert followed == [True, True, True, True, False, False]
        nursery.cancel_scope.cancel()


async def test_a_run_of_its_own_console_is_followed_from_the_start() -> None:
    async with stand(always=True) as the:
        assert the.relay.follows
        the.control._called -= 10 * _LINGER
        the.control._follow()
        assert the.relay.follows


async def test_who_asks_why_has_everything_looked_at_while_somebody_is_there() -> None:
    async with stand() as the:
        the.control.called()
        the.control.explain(models.ExplanationQuery())
        assert the.relay.interest(End.INITIATOR) == EVERYTHING
        the.control._called -= _LINGER
        the.control._follow()
        assert the.relay.interest(End.INITIATOR) != EVERYTHING


async def test_who_reads_pdus_has_them_although_somebody_has_asked_why() -> None:
    async with stand() as the:
        initiator, _ = await the.login()
        the.control.explain(models.ExplanationQuery())
        reader = the.read(pdus=True)
        await initiator.send(ping(5))
        assert (await reader.kind("received")).label == "NOP-Out"
        reader.stream.close()
        assert not the.control._keeping.pdus


async def test_where_pdus_are_recorded_anyhow_they_are_kept_for_whoever_is_there() -> None:
    async with stand(pdus=True) as the:
        assert not the.control._keeping.pdus, "nobody has asked for anything"
        the.control.called()
        await the.login()
        events = await the.read(since=0, follow=False, pdus=True).rest()
        assert [event.label for event in events if event.event == "received"] == ["Login-Request", "Login-Response"]
        assert the.control.pdu(next(event.n for event in events if event.event == "received")).label == "Login-Request"
        the.control._follow()
        assert the.relay.interest(End.TARGET) == EVERYTHING


async def test_every_stream_ends_with_the_run() -> None:
    async with bench(open_to_rules=True) as the:
        control = Control(the.proxy, Run(seed=1, library=LIBRARY))
        control.begin()
        stream = control.events(models.EventQuery())
        control.close()
        assert await stream.batch() == ()
        assert control.proxy().clients == 0
