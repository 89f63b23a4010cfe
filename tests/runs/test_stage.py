from __future__ import annotations

import pytest
import trio

from iscsiproxy.errors import InternalError
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.runs.stage import BLOCK, IQN, stage
from iscsiproxy.session.events import Delivered, Event, Received

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
