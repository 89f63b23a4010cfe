"""How the subcommands of `iscsiproxy initiator` come to a session, a target and a logical unit."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio

from iscsiproxy.cli.initiator_options import PeerOptions
from iscsiproxy.cli.peers import near
from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.trace import TracedStream
from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.commands import Capacity
from iscsiproxy.peers.initiator.recovery import RecoveringSession, recovering_session
from iscsiproxy.peers.initiator.session import Connector, Session, discover, open_session
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = [
    "DISK",
    "AnySession",
    "ask",
    "choose_lun",
    "connector",
    "find_capacity",
    "list_luns",
    "logged_in",
    "nearest_target",
    "recovering",
    "target_name",
]

AnySession: TypeAlias = Session | RecoveringSession

#: Peripheral device type of a disk (SBC, SPC-4 6.4.2)
DISK = 0
#: UNIT ATTENTION (SPC-4 4.5.6), and how many of them in a row are taken
_UNIT_ATTENTION = 0x6
_ATTENTIONS = 10


def connector(peer: PeerOptions) -> Connector:
    """Give the portal, or what connects to it and shows every PDU."""
    if not peer.verbose:
        return peer.portal
    trace = Screen(sys.stderr, as_json=peer.as_json, verbosity=2)

    def show(pdu: Pdu) -> None:
        if peer.as_json:
            trace.json({"event": "pdu", "sender": str(pdu.sender), "pdu": summary(pdu)})
        else:
            trace.line(f"{'>' if pdu.sender is End.INITIATOR else '<'} {summary(pdu)}", dim=True)

    async def connect() -> trio.abc.Stream:
        return TracedStream(await trio.open_tcp_stream(*peer.portal), show)

    return connect


async def target_name(peer: PeerOptions) -> str:
    """Give the name of the target, the portal's only one if the URL has none."""
    if peer.settings.target is not None:
        return peer.settings.target
    names = [record.name for record in await discover(connector(peer), peer.settings, conduct=peer.conduct)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise PeerError("the portal offers no target")
    raise UsageError(f"which target? add one of them to the address: {', '.join(names)}")


async def nearest_target(peer: PeerOptions) -> str:
    """Ask the portal for a target whose name is near; nothing if it has none or does not tell."""
    try:
        records = await discover(peer.portal, peer.settings, conduct=peer.conduct)
    except PeerError:
        return ""
    return near(peer.settings.target or "", [record.name for record in records])


@asynccontextmanager
async def logged_in(peer: PeerOptions) -> AsyncIterator[Session]:
    """Log in to the target that is meant; log out at the end of the block."""
    settings = peer.settings.changed(target=await target_name(peer))
    async with open_session(connector(peer), settings, conduct=peer.conduct) as session:
        yield session


@asynccontextmanager
async def recovering(peer: PeerOptions) -> AsyncIterator[RecoveringSession]:
    """Log in, and come back when the session is lost."""
    settings = peer.settings.changed(target=await target_name(peer))
    async with recovering_session(connector(peer), settings, conduct=peer.conduct) as session:
        yield session


async def ask(session: AnySession, lun: int, cdb: bytes, length: int = 0) -> Outcome:
    """Give a command, again after unit attentions."""
    outcome = await session.command(lun, cdb, read_length=length)
    for _ in range(_ATTENTIONS):
        if outcome.sense is None or outcome.sense.key != _UNIT_ATTENTION:
            break
        outcome = await session.command(lun, cdb, read_length=length)
    return outcome


async def list_luns(session: AnySession) -> tuple[int, ...]:
    """Give the numbers of the logical units; 0 alone where the target does not tell."""
    outcome = await ask(session, 0, commands.report_luns(), 4096)
    return commands.decode_luns(outcome.data) if outcome.good else (0,)


async def choose_lun(peer: PeerOptions, session: AnySession) -> int:
    """Give the number of the LUN, the first disk's if the URL has none."""
    if peer.lun is not None:
        return peer.lun
    for lun in await list_luns(session):
        outcome = await ask(session, lun, commands.inquiry(), 255)
        if outcome.good:
            found = commands.decode_inquiry(outcome.data)
            if (found.qualifier, found.device_type) == (0, DISK):
                return lun
    raise PeerError("the target has no disk")


async def find_capacity(session: AnySession, lun: int) -> Capacity | None:
    """Ask for the size, with READ CAPACITY(16) or (10); None if the unit tells neither."""
    outcome = await ask(session, lun, commands.read_capacity16(), 32)
    if outcome.good:
        return commands.decode_capacity16(outcome.data)
    outcome = await ask(session, lun, commands.read_capacity10(), 8)
    return commands.decode_capacity10(outcome.data) if outcome.good else None
