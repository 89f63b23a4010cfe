from __future__ import annotations

import pytest
import trio

from iscsiproxy.errors import PeerError
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.disks import Disk, find_disks
from iscsiproxy.runs.stage import BLOCK, IQN, stage

__all__: list[str] = []


async def test_the_disks_are_found_behind_unit_attentions() -> None:
    with trio.fail_after(10):
        async with (
            stage(seed=1, blocks=64) as here,
            open_session((here.portal.host, here.portal.port), InitiatorSettings(target=IQN)) as session,
        ):
            assert await find_disks(session) == (Disk(lun=0, blocks=64, block_size=BLOCK),)


async def test_a_target_without_any() -> None:
    server = TargetServer(Node({IQN: Device({})}, TargetSettings()))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            (portal, *_) = await nursery.start(server.serve, (("127.0.0.1", 0),))
            async with open_session(portal, InitiatorSettings(target=IQN)) as session:
                with pytest.raises(PeerError, match=r"^the target has no disk$"):
                    await find_disks(session)
            nursery.cancel_scope.cancel()
