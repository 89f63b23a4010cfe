"""A logical unit with a medium, and how to run a command's two steps on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from iscsiproxy.peers.scsi import atomic, blocks, inquiry, opcodes, primary, provisioning
from iscsiproxy.peers.scsi.command import CheckCondition, Nexus
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import Medium, MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.handler import Commands

__all__ = ["COMMANDS", "NEXUS", "Bench", "Flushes", "block", "refusal"]

NEXUS = Nexus("iqn.2024-01.example:host", 0x023D00000001)
TARGET = "iqn.2024-01.example:disk"
COMMANDS: Commands = {
    **atomic.COMMANDS,
    **blocks.COMMANDS,
    **inquiry.COMMANDS,
    **opcodes.COMMANDS,
    **primary.COMMANDS,
    **provisioning.COMMANDS,
}


def block(letter: str, count: int = 1, size: int = 512) -> bytes:
    """Make blocks full of one letter."""
    return letter.encode() * (count * size)


@dataclass
class Bench:
    """A logical unit with the commands of this directory, and short ways to run them without a device around it."""

    medium: Medium = field(default_factory=lambda: MemoryMedium(64))
    identity: UnitIdentity = field(default_factory=lambda: UnitIdentity.derive(TARGET, 1))
    write_protected: bool = False
    portal_group: int = 1
    target_name: str = TARGET
    unit: LogicalUnit = field(init=False)

    def __post_init__(self) -> None:
        self.unit = LogicalUnit(
            1,
            self.medium,
            self.identity,
            write_protected=self.write_protected,
            target_name=self.target_name,
            portal_group=self.portal_group,
            commands=COMMANDS,
        )

    def run(self, cdb: bytes, data: bytes = b"") -> bytes:
        """Carry out a command that is given exactly what it wants, or less, and give its data-in."""
        handler = self.unit.find(cdb)
        wanted = handler.wants(self.unit, NEXUS, cdb)
        assert len(data) <= wanted, f"{handler.name} wants {wanted} bytes"
        return bytes(handler.perform(self.unit, NEXUS, cdb, memoryview(data)))

    def wants(self, cdb: bytes) -> int:
        """Tell how many bytes of data-out the command needs."""
        handler = self.unit.find(cdb)
        return handler.wants(self.unit, NEXUS, cdb)

    def refusal(self, cdb: bytes, data: bytes = b"") -> str:
        """Carry out a command that ends with CHECK CONDITION, and give its sense, with INFORMATION if there is any."""
        return refusal(lambda: self.run(cdb, data))


@dataclass
class Flushes:
    """Counts how often a medium is flushed."""

    count: int = 0

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> Flushes:
        """Count from now on, for every medium in memory."""

        def flush(_: object) -> None:
            self.count += 1

        monkeypatch.setattr(MemoryMedium, "flush", flush)
        return self


def refusal(act: Callable[[], object]) -> str:
    """Tell with which sense something is refused."""
    try:
        act()
    except CheckCondition as condition:
        return f"{condition.code}" + ("" if condition.information is None else f" at {condition.information}")
    return "none"
