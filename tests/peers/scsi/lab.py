"""A whole device, and hosts that talk to it: a command goes in, its outcome comes out as a line of text."""

from __future__ import annotations

from dataclasses import dataclass, field

from iscsiproxy.peers.scsi.command import Attribute, Clearing, Command, Nexus, Result, Status, Want
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import Medium, MemoryMedium
from iscsiproxy.peers.scsi.taskset import TASK_LIMIT
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.wire.sense import decode_sense

__all__ = ["GOOD", "Host", "Lab", "Task", "cdb_of", "outcome"]

TARGET = "iqn.2024-01.example:disk"
GOOD = "GOOD"


def cdb_of(text: str) -> bytes:
    """Read a CDB in hexadecimal, padded to 16 bytes."""
    return bytes.fromhex(text).ljust(16, b"\0")


def outcome(result: Result | Want) -> str:
    """Say how a command ended."""
    if isinstance(result, Want):
        return f"wants {result.length}"
    if result.status is Status.CHECK_CONDITION:
        return str(decode_sense(result.sense))
    return result.status.name


@dataclass(eq=False)
class Task:
    """A command on its way, and what the device has told of it."""

    command: Command
    device: Device
    told: list[str] = field(default_factory=list)

    @property
    def enabled(self) -> bool:
        """Whether it may begin."""
        return "enabled" in self.told

    def finish(self) -> None:
        """End it."""
        self.device.finish(self.command)


class Host:
    """One I_T nexus."""

    def __init__(self, device: Device, nexus: Nexus) -> None:
        self.device = device
        self.nexus = nexus
        #: What the last command gave
        self.data = b""
        self.sense = b""
        self.wanted = 0

    def connect(self) -> None:
        """Begin; unit attentions stay."""
        self.device.connect(self.nexus)

    def disconnect(self) -> None:
        """Go away."""
        self.device.disconnect(self.nexus)

    def submit(self, text: str, *, lun: int = 0, attribute: Attribute = Attribute.SIMPLE) -> Task:
        """Send a command and leave it where it gets."""
        told: list[str] = []

        def cleared(cause: Clearing) -> None:
            told.append(cause.name)

        command = Command(
            nexus=self.nexus,
            lun=lun,
            cdb=cdb_of(text),
            attribute=attribute,
            tag=0,
            on_enabled=lambda: told.append("enabled"),
            on_cleared=cleared,
        )
        self.device.submit(command)
        return Task(command, self.device, told)

    def do(self, text: str, data: bytes = b"", *, lun: int = 0, attribute: Attribute = Attribute.SIMPLE) -> str:
        """Send a command and carry it through; give how it ended."""
        task = self.submit(text, lun=lun, attribute=attribute)
        assert task.told == ["enabled"]
        result = self.device.begin(task.command)
        if isinstance(result, Want):
            assert len(data) <= result.length
            result = self.device.execute(task.command, data)
        task.finish()
        self.data, self.sense, self.wanted = bytes(result.data), result.sense, result.wanted
        return outcome(result)

    def attentions(self, lun: int = 0) -> list[str]:
        """Take what the unit has to tell."""
        told = []
        while (said := self.do("00", lun=lun)) != GOOD:
            told.append(said)
        return told


class Lab:
    """A device with units 0 and 5, and hosts whose first unit attentions are over."""

    def __init__(self, *, medium: Medium | None = None, task_limit: int = TASK_LIMIT, portal_group: int = 1) -> None:
        self.units = {
            number: LogicalUnit(
                number,
                medium or MemoryMedium(64),
                UnitIdentity.derive(TARGET, number),
                target_name=TARGET,
                portal_group=portal_group,
                task_limit=task_limit,
            )
            for number in (0, 5)
        }
        self.unit = self.units[0]
        self.device = Device(self.units)

    def host(self, name: str) -> Host:
        """Connect a host; the same name is the same nexus. Its power-on attentions are taken."""
        host = Host(self.device, Nexus(f"iqn.2024-01.example:{name}", 0x23D000001))
        host.connect()
        for lun in self.units:
            host.attentions(lun)
        return host
