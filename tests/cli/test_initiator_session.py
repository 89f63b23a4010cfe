"""How a session, a target and a LUN are found, on a target of our own over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from iscsiproxy.cli.initiator_options import PeerOptions
from iscsiproxy.cli.initiator_session import (
    ask,
    choose_lun,
    find_capacity,
    list_luns,
    logged_in,
    nearest_target,
    recovering,
    target_name,
)
from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings

__all__: list[str] = []

DISK, TAPE = "iqn.2026-01.example:disk", "iqn.2026-01.example:tape"


@asynccontextmanager
async def peer(targets: Sequence[str] = (DISK,), luns: Sequence[int] = (4, 7)) -> AsyncIterator[PeerOptions]:
    """Serve targets with LUNs of 64 blocks, and give what the command line would say of the portal."""

    def device(name: str) -> Device:
        return Device({lun: LogicalUnit(lun, MemoryMedium(64), UnitIdentity.derive(name, lun)) for lun in luns})

    server = TargetServer(Node({name: device(name) for name in targets}, TargetSettings()))
    async with trio.open_nursery() as nursery:
        (portal,) = await nursery.start(server.serve, [("127.0.0.1", 0)])
        yield PeerOptions(
            portal=portal, lun=None, settings=InitiatorSettings(), conduct=Conduct(), as_json=False, verbose=False
        )
        nursery.cancel_scope.cancel()
    assert server.crashes == []


def named(options: PeerOptions, target: str) -> PeerOptions:
    return replace(options, settings=options.settings.changed(target=target))


async def test_the_only_target_needs_no_name() -> None:
    async with peer() as options:
        assert await target_name(options) == DISK
        assert await target_name(named(options, TAPE)) == TAPE


async def test_of_several_one_has_to_be_named() -> None:
    async with peer((DISK, TAPE)) as options:
        with pytest.raises(UsageError, match=f"which target.*{DISK}, {TAPE}"):
            await target_name(options)
        assert await nearest_target(named(options, "iqn.2026-01.example:dsk")) == f" (did you mean {DISK}?)"
    async with peer(()) as options:
        with pytest.raises(PeerError, match="offers no target"):
            await target_name(options)


async def test_the_first_disk_is_taken_unless_a_number_was_given() -> None:
    async with peer() as options, logged_in(options) as session:
        assert await list_luns(session) == (4, 7)
        assert await choose_lun(options, session) == 4
        assert await choose_lun(replace(options, lun=9), session) == 9
        capacity = await find_capacity(session, 7)
        assert capacity is not None
        assert (capacity.blocks, capacity.block_length) == (64, 512)
        assert await find_capacity(session, 9) is None


async def test_unit_attentions_are_taken() -> None:
    async with peer() as options, recovering(options) as session:
        assert (await ask(session, 4, commands.test_unit_ready())).good
