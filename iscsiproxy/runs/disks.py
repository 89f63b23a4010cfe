"""What a target has: its logical units and how large they are, asked over a session."""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.errors import PeerError
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import Session
from iscsiproxy.peers.initiator.tasks import Outcome

__all__ = ["Disk", "find_disks"]

#: Peripheral device type of a disk (SPC-4 6.4.2)
_DISK = 0
#: UNIT ATTENTION (SPC-4 4.5.6), and how many of them in a row are taken
_UNIT_ATTENTION = 0x6
_ATTENTIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A logical unit that is a disk: so many blocks of so many bytes."""

    lun: int
    blocks: int
    block_size: int


async def _ask(session: Session, lun: int, cdb: bytes, length: int) -> Outcome:
    """Give a command, again after unit attentions."""
    outcome = await session.command(lun, cdb, read_length=length)
    for _ in range(_ATTENTIONS):
        if outcome.sense is None or outcome.sense.key != _UNIT_ATTENTION:
            break
        outcome = await session.command(lun, cdb, read_length=length)
    return outcome


async def find_disks(session: Session) -> tuple[Disk, ...]:
    """Give the target's disks by LUN. Raises as commands do; PeerError if there is none."""
    outcome = await _ask(session, 0, commands.report_luns(), 4096)
    disks = []
    for lun in commands.decode_luns(outcome.data) if outcome.good else (0,):
        outcome = await _ask(session, lun, commands.inquiry(), 255)
        if not outcome.good:
            continue
        found = commands.decode_inquiry(outcome.data)
        if (found.qualifier, found.device_type) != (0, _DISK):
            continue
        outcome = await _ask(session, lun, commands.read_capacity16(), 32)
        if outcome.good:
            capacity = commands.decode_capacity16(outcome.data)
        else:
            outcome = await _ask(session, lun, commands.read_capacity10(), 8)
            if not outcome.good:
                continue
            capacity = commands.decode_capacity10(outcome.data)
        disks.append(Disk(lun=lun, blocks=capacity.blocks, block_size=capacity.block_length))
    if not disks:
        raise PeerError("the target has no disk")
    return tuple(disks)
