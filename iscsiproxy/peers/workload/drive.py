"""Sessions as a workload drives them: commands leave in the order given, and none is waited for without end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from iscsiproxy.peers.initiator.errors import CommandAborted, CommandTimeout, ConnectionLost
from iscsiproxy.peers.initiator.recovery import RecoveringSession
from iscsiproxy.peers.initiator.running import Running
from iscsiproxy.peers.initiator.session import Session
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.scsi.command import Attribute

__all__ = ["Drive", "OnItsWay", "RecoveringDrive", "SessionDrive"]


class OnItsWay(Protocol):
    """A command that was sent."""

    async def wait(self) -> Outcome:
        """Wait for its answer; raises CommandFailed or ConnectionLost if there is none."""


class Drive(Protocol):
    """What takes commands: a `Session`, or one that comes back after a loss."""

    async def start(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: Attribute = Attribute.SIMPLE,
    ) -> OnItsWay:
        """Send a command; it has its CmdSN when this returns."""


@dataclass(slots=True, eq=False)
class _Patient:
    """A command on its way that is aborted when it takes too long."""

    session: Session
    running: Running
    deadline: float

    async def wait(self) -> Outcome:
        """Wait for the answer; raises CommandTimeout, and other errors as `Running.wait` does."""
        with trio.move_on_at(self.deadline):
            return await self.running.wait()
        seconds = self.session.settings.command_timeout
        with trio.move_on_after(seconds):
            await self.session.abort(self.running)
            try:
                return await self.running.wait()
            except CommandAborted:
                raise CommandTimeout(f"no answer in {seconds} seconds") from None
        self.session.fail(ConnectionLost("neither a command nor its ABORT TASK was answered"))
        return await self.running.wait()


class SessionDrive:
    """Gives the commands of a workload to a session, with its `command_timeout`; a lost session stays lost."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __repr__(self) -> str:
        return f"<SessionDrive of {self.session!r}>"

    def recoveries(self) -> int:
        """Count the recoveries: none."""
        return 0

    async def start(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: Attribute = Attribute.SIMPLE,
    ) -> _Patient:
        """Send a command; raises CommandTimeout where the command window stays closed."""
        seconds = self.session.settings.command_timeout or float("inf")
        deadline = trio.current_time() + seconds
        with trio.move_on_at(deadline):
            running = await self.session.start(
                lun, cdb, data_out=data_out, read_length=read_length, attribute=attribute
            )
            return _Patient(self.session, running, deadline)
        raise CommandTimeout(f"no place in the command window in {seconds} seconds")


@dataclass(slots=True, eq=False)
class _Persistent:
    """A command on its way that is given again when its session is lost."""

    keeper: RecoveringSession
    patient: _Patient
    again: Callable[[], Awaitable[_Patient]]

    async def wait(self) -> Outcome:
        """Wait for the answer; raises ConnectionLost when the session will not come back."""
        while True:
            try:
                outcome = await self.patient.wait()
            except ConnectionLost:
                self.patient = await self.again()
                continue
            if outcome.good:
                self.keeper.note_good()
            return outcome


class RecoveringDrive:
    """Gives the commands of a workload to a session that comes back, and those that were lost with it once more.

    Those have no order then, neither among each other nor with new ones.
    """

    def __init__(self, keeper: RecoveringSession) -> None:
        self.keeper = keeper

    def __repr__(self) -> str:
        return f"<RecoveringDrive of {self.keeper!r}>"

    def recoveries(self) -> int:
        """Count the losses so far."""
        return len(self.keeper.recoveries)

    async def start(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: Attribute = Attribute.SIMPLE,
    ) -> _Persistent:
        """Send a command, when there is a session; raises as `SessionDrive.start`, and when there will be none."""

        async def send() -> _Patient:
            while True:
                drive = SessionDrive(await self.keeper.session())
                try:
                    return await drive.start(lun, cdb, data_out=data_out, read_length=read_length, attribute=attribute)
                except ConnectionLost:
                    await trio.lowlevel.checkpoint()

        return _Persistent(self.keeper, await send(), send)
