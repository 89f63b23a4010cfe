from __future__ import annotations

import pytest
import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import InternalError
from iscsiproxy.language import load
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.recovery import recovering_session
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.stage import BLOCK, IQN, stage
from iscsiproxy.session.events import Closed, Connected, Delivered, Event, Fired, Received, Refused

__all__: list[str] = []


async def test_a_session_through_the_proxy_reads_what_it_wrote() -> None:
    seen: list[Event] = []
    with trio.fail_after(10):
        async with (
            stage(seed=1, blocks=64, on_event=seen.append) as here,
            open_session((here.portal.host, here.portal.port), InitiatorSettings(target=IQN)) as session,
        ):
            assert not (await session.command(0, commands.test_unit_ready())).good  # the nexus is new
            data = b"\xa5" * BLOCK
            assert (await session.command(0, commands.write10(7, 1), data_out=data)).good
            assert (await session.command(0, commands.read10(7, 1), read_length=BLOCK)).data == data
    assert seen == here.events
    assert {type(event) for event in seen} >= {Received, Delivered}


async def test_a_crash_of_ours_is_no_result() -> None:
    with pytest.raises(InternalError, match="1 crashes on the stage"), trio.fail_after(10):
        async with stage(seed=1, blocks=64) as here:
            here.server.crashes.append(ValueError("a bug"))


#: The worked example of a state machine, in a hurry
LINK_FLAPS = """scenario: link_flaps
victim: initiator
traffic: {io: verify, depth: 8}
machines:
  link:
    states:
      up:
        - when: 200ms..300ms
          do: {goto: down}
      down:
        - when: 0s
          do: {close: rst}
        - when: connect
          do: refuse
        - when: 350ms
          do: {goto: up}
"""


async def test_a_session_comes_back_through_a_flapping_link_with_its_data() -> None:
    flaps = load(LINK_FLAPS, file="link_flaps.yaml", acts=SPECS)
    settings = InitiatorSettings(target=IQN, time2wait=0)
    written: dict[int, bytes] = {}
    with trio.fail_after(30):
        async with (
            stage(seed=3, blocks=64, scenarios=[flaps], settings=TargetSettings(time2wait=0)) as here,
            recovering_session((here.portal.host, here.portal.port), settings) as keeper,
        ):

            async def command(cdb: bytes, *, data: bytes = b"", length: int = 0) -> bytes:
                """Give a command until it goes well: a nexus that is new begins with a unit attention."""
                while not (outcome := await keeper.command(0, cdb, data_out=data, read_length=length)).good:
                    pass
                return outcome.data

            while sum(recovery.first_good is not None for recovery in keeper.recoveries) < 3:
                at = len(written) % 64
                written[at] = bytes([len(keeper.recoveries) + 1]) * BLOCK
                await command(commands.write10(at, 1), data=written[at])
                assert await command(commands.read10(at, 1), length=BLOCK) == written[at]
            for at, data in written.items():
                assert await command(commands.read10(at, 1), length=BLOCK) == data
            engine = here.proxy.relay.engine if here.proxy.relay is not None else None
    assert engine is not None
    assert engine.unfired() == ()
    refused = [event for event in here.events if isinstance(event, Refused)]
    connected = [event for event in here.events if isinstance(event, Connected)]
    assert len(refused) >= 3, "it came back too soon each time"
    assert len(connected) >= 4
    assert not {event.conn for event in refused} & {event.conn for event in connected}
    turns = [event.text for event in here.events if isinstance(event, Fired) and event.act == "goto"]
    assert turns[:4] == ["to state down", "to state up"] * 2
    by_fault = {event.conn for event in here.events if isinstance(event, Closed) and event.by == "fault"}
    assert {event.conn for event in refused} <= by_fault
    # Nobody has seen anything of the link while it was down.
    down = False
    for event in here.events:
        if isinstance(event, Fired) and event.act == "goto":
            down = event.text == "to state down"
        assert not (down and isinstance(event, Connected))
