"""Every command a logical unit knows, by operation code and service action."""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.peers.scsi import (
    atomic,
    blocks,
    inquiry,
    mode,
    opcodes,
    primary,
    provisioning,
    report,
    reservations,
    reserve_in,
    reserve_out,
)
from iscsiproxy.peers.scsi.handler import Commands, Handler

__all__ = ["COMMANDS", "merged"]


def merged(tables: Iterable[Commands]) -> Commands:
    """Put tables of commands together. Raises ValueError where two have the same command."""
    commands: dict[tuple[int, int | None], Handler] = {}
    for table in tables:
        if twice := commands.keys() & table.keys():
            raise ValueError(f"commands that are there twice: {sorted(twice, key=str)}")
        commands.update(table)
    return commands


#: What a disk can do (SPC-4 6, SBC-3 5)
COMMANDS: Commands = merged(
    module.COMMANDS
    for module in (
        primary,
        inquiry,
        opcodes,
        report,
        mode,
        reservations,
        reserve_in,
        reserve_out,
        blocks,
        provisioning,
        atomic,
    )
)
