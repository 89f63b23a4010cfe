"""Our own initiator as the driver of a run: it does what `traffic` says, verifies it, and comes back when lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import trio

from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.errors import CommandFailed, ConnectionLost
from iscsiproxy.peers.initiator.recovery import RecoveringSession
from iscsiproxy.peers.initiator.session import Session, log_in, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings, random_isid
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.scsi.command import Attribute, Status
from iscsiproxy.peers.workload.drive import Drive, OnItsWay, RecoveringDrive, SessionDrive
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.tally import WorkloadReport
from iscsiproxy.runs.disks import Disk, find_disks
from iscsiproxy.runs.driving import Behind, Context, Tell
from iscsiproxy.runs.needs import offers
from iscsiproxy.runs.scratch import Extent

__all__ = ["EmbeddedDriver"]

#: Between two rounds of I/O once every rule has fired, and before a login that failed is tried again, in seconds
_PAUSE = 0.1
#: Between two SendTargets then: there are targets that answer only a few of them in a session
_DISCOVERED = 2.0
#: How long commands in flight have to end when the fault is over, in seconds
_GRACE = 0.5
#: The smallest time that a login is given, in seconds
_LOGIN = 10.0
#: So little goes out unasked that a larger write is asked for by an R2T, whatever the target would take
_UNSOLICITED = 65536
#: Small enough that a read of 64 KiB is a burst of several Data-Ins
_SEGMENT = 8192
#: How many mismatches of one round are told one by one
_TOLD = 5


@dataclass(slots=True, eq=False)
class _ToldWay:
    """A command on its way, whose end is told."""

    running: OnItsWay
    tell: Tell
    what: str
    length: int  #: bytes that are to be written or read

    async def wait(self) -> Outcome:
        """Wait for its answer."""
        try:
            outcome = await self.running.wait()
        except (ConnectionLost, CommandFailed) as error:
            self.tell("error", f"{self.what}: {error}")
            raise
        if outcome.good and outcome.residual > 0 and self.length:
            self.tell("error", f"{self.what}: {min(outcome.residual, self.length)} of them were left out")
        elif outcome.good:
            self.tell("good", self.what)
        elif not _passing(outcome):
            sense = f" {outcome.sense} ({outcome.sense.label})" if outcome.sense is not None else ""
            self.tell("error", f"{self.what}: {_status(outcome.status)}{sense}")
        return outcome


def _passing(outcome: Outcome) -> bool:
    """Tell whether the command was not begun, and is only to be given again."""
    attention = outcome.sense is not None and outcome.sense.key == 0x6  # UNIT ATTENTION (SPC-4 4.5.6)
    return attention or outcome.status in (Status.BUSY, Status.TASK_SET_FULL)


def _status(status: int) -> str:
    try:
        return Status(status).name.replace("_", " ")
    except ValueError:
        return f"status {status:#04x}"


@dataclass(slots=True, eq=False)
class _ToldDrive:
    """A drive that tells how each command ended."""

    drive: Drive
    tell: Tell

    async def start(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: Attribute = Attribute.SIMPLE,
    ) -> _ToldWay:
        """Send a command."""
        what = f"{'write' if data_out else 'read' if read_length else 'command'} on LUN {lun}"
        if data_out or read_length:
            what += f", {len(data_out) or read_length} bytes"
        try:
            running = await self.drive.start(lun, cdb, data_out=data_out, read_length=read_length, attribute=attribute)
        except (ConnectionLost, CommandFailed) as error:
            self.tell("error", f"{what}: {error}")
            raise
        return _ToldWay(running, self.tell, what, len(data_out) or read_length)


class EmbeddedDriver:
    """Drives one run. `home` is a nursery that outlives all phases; `busy` tells that rules have yet to fire."""

    def __init__(
        self,
        context: Context,
        scenario: Scenario,
        home: trio.Nursery,
        *,
        extent: Extent | None = None,
        busy: Callable[[], bool] = lambda: True,
    ) -> None:
        traffic = scenario.traffic
        self._context = context
        self._home = home
        self._extent = extent
        self._busy = busy
        self._judged = scenario.victim == "initiator"
        self.io = str(traffic.get("io", "verify"))
        self._size = int(str(traffic.get("size", "65536")))
        self._depth = int(str(traffic.get("depth", "1")))
        self._luns = int(str(traffic.get("luns", "1")))
        offer = traffic.get("offer", {})
        timing = scenario.timing
        self._settings = InitiatorSettings(
            target=context.target.name,
            isid=random_isid(str(context.seed)),
            account=context.target.spec.account,
            max_recv_data_segment_length=_SEGMENT,
            initial_r2t=True,
            first_burst_length=_UNSOLICITED,
            time2wait=0,
            offers={**offers(scenario.needs), **(offer if not isinstance(offer, str) else {})},
            # What is not answered is a target's to be judged by, and an initiator's to do something about.
            command_timeout=timing.hang if self._judged else timing.within + timing.hang,
            login_timeout=max(_LOGIN, 2 * timing.hang),
            logout_timeout=2.0,
        )
        self._conduct = context.initiator.conduct
        self.disks: tuple[Disk, ...] = ()
        self._keeper: RecoveringSession | None = None
        self._scope = trio.CancelScope()
        self._workloads: set[Workload] = set()
        self._rounds = 0
        self._ending = False

    def __repr__(self) -> str:
        return f"<EmbeddedDriver {self.io}, {self._keeper or 'no session'}>"

    # --- before the fault -----------------------------------------------------------------------------------------

    async def steady(self) -> str:
        """Log in, look what is there, do one round of I/O, log out."""
        portal = (self._context.portal.host, self._context.portal.port)
        named = 0
        if self.io == "discovery":
            discovery = self._settings.changed(target=None)
            async with open_session(portal, discovery, conduct=self._conduct) as session:
                named = len(await session.send_targets())
        if self._settings.target is None:
            return f"discovery named {named} targets"
        async with open_session(portal, self._settings, conduct=self._conduct) as session:
            self.disks = await find_disks(session)
            reports = await self._round(lambda: SessionDrive(session), Random(self._context.seed))
        for report in reports:
            if (wrong := _wrong(report)) is not None:
                raise PeerError(wrong)
        blocks = sum(report.blocks_verified for report in reports)
        count = sum(report.commands for report in reports)
        return f"{count} commands went well, {blocks} blocks were compared"

    # --- while it lasts -------------------------------------------------------------------------------------------

    async def fault(self, over: trio.Event) -> None:
        """Do what `traffic` says until `over`."""
        async with trio.open_nursery() as nursery:
            done = trio.Event()

            async def traffic() -> None:
                while not self._ending:
                    try:
                        await self._traffic(over)
                    except PeerError as error:
                        self._context.say(f"the initiator: {error}")
                    if not self._ending:
                        await trio.sleep(_PAUSE)
                done.set()

            nursery.start_soon(traffic)
            await over.wait()
            self._ending = True
            if self.io != "none":
                # The round that met the fault is read back, if it can be: what was lost is found by that.
                with trio.move_on_after(_GRACE):
                    await done.wait()
                for workload in self._workloads:
                    workload.stop()
                with trio.move_on_after(_GRACE if self._workloads else 0):
                    await done.wait()
            nursery.cancel_scope.cancel()

    async def _traffic(self, over: trio.Event) -> None:
        """Go on until the end comes, or the session is given up. Raises PeerError."""
        keeper = await self._session()
        while not self._ending:
            if self.io == "discovery":
                await self._ask_targets(keeper)
            else:
                if self.io != "none":
                    await self._one_round(keeper)
                    if self._busy():
                        self.disks = ()  # it may be what the target says of them that a rule waits for
                await self._ping(keeper)
            await trio.sleep(0 if self._busy() else _DISCOVERED if self.io == "discovery" else _PAUSE)

    async def _one_round(self, keeper: RecoveringSession) -> None:
        if not self.disks:
            self.disks = await find_disks(await keeper.session())
        self._rounds += 1
        drive = RecoveringDrive(keeper)
        told = _ToldDrive(drive, self._context.tell)
        rng = Random(f"{self._context.seed}/{self._rounds}")
        for report in await self._round(lambda: told, rng, recoveries=drive.recoveries):
            for mismatch in report.mismatches[:_TOLD]:
                self._context.tell("mismatch", str(mismatch))
        if keeper.failure is not None:
            raise keeper.failure.again()

    async def _ask_targets(self, keeper: RecoveringSession) -> None:
        session = await keeper.session()
        try:
            records = await session.send_targets()
        except PeerError as error:
            self._context.tell("error", f"SendTargets: {error}")
            raise
        self._context.tell("good", f"SendTargets named {len(records)} targets")

    async def _ping(self, keeper: RecoveringSession) -> None:
        """Send a NOP-Out, as initiators do now and then.

        An answer that does not come is the judge's business; an initiator that is judged itself gives the session up.
        """
        session = await keeper.session()
        with trio.move_on_after(self._settings.command_timeout) as waiting, suppress(CommandFailed, ConnectionLost):
            await session.nop(b"are you there?")
        if waiting.cancelled_caught and self._judged:
            session.fail(ConnectionLost("a ping was not answered"))

    async def _session(self) -> RecoveringSession:
        """Give the session, a new one if there is none or it was given up. Raises as `log_in` does."""
        if self._keeper is not None and self._keeper.failure is None:
            return self._keeper
        portal = (self._context.portal.host, self._context.portal.port)
        settings = self._settings.changed(target=None) if self.io == "discovery" else self._settings
        session = await log_in(portal, settings, conduct=self._conduct)
        self._scope = trio.CancelScope()
        self._keeper = RecoveringSession(portal, settings, conduct=self._conduct)
        self._home.start_soon(self._keep, self._keeper, session, self._scope)
        if self.io not in ("discovery", "none"):
            # What every initiator begins with, and the one command that no unit attention is the answer to.
            with suppress(CommandFailed):
                await self._keeper.command(self._context.target.lun or 0, commands.inquiry(), read_length=255)
        return self._keeper

    async def _keep(self, keeper: RecoveringSession, session: Session, scope: trio.CancelScope) -> None:
        with scope:
            await keeper.keep(session)

    # --- behind it ------------------------------------------------------------------------------------------------

    async def behind(self, *, anew: bool) -> Behind:
        """Do a round of I/O that is verified."""
        if anew:
            wait = 0.0 if self._keeper is None else self._keeper.time2wait
            self._scope.cancel()
            self._keeper = None
            self.disks = ()
            await trio.sleep(wait)
        with trio.move_on_after(self._context.patience):
            try:
                keeper = await self._session()
                if self.io == "discovery":
                    await self._ask_targets(keeper)
                    return Behind(good=True, text="SendTargets was answered")
                drive = RecoveringDrive(keeper)
                if not self.disks:
                    self.disks = await find_disks(await keeper.session())
                told = _ToldDrive(drive, self._context.tell)
                rng = Random(f"{self._context.seed}/behind")
                reports = await self._round(lambda: told, rng, recoveries=drive.recoveries)
            except PeerError as error:
                return Behind(good=False, text=str(error))
            wrong = next((text for report in reports if (text := _wrong(report)) is not None), None)
            if wrong is not None:
                return Behind(good=False, text=wrong)
            return Behind(good=True, text=f"{sum(report.commands for report in reports)} commands went well")
        return Behind(good=False, text=f"no good I/O in {self._context.patience:g} s")

    async def close(self) -> None:
        """Log out and be gone."""
        if self._keeper is not None:
            await self._keeper.log_out()
        self._scope.cancel()

    # --- one round of I/O -----------------------------------------------------------------------------------------

    async def _round(
        self, drive: Callable[[], Drive], rng: Random, *, recoveries: Callable[[], int] = lambda: 0
    ) -> tuple[WorkloadReport, ...]:
        """Do some commands on each of the logical units that are wanted, and check what can be checked."""
        lun = self._context.target.lun or 0
        disks = [disk for disk in self.disks if disk.lun >= lun][: self._luns]
        if not disks:
            there = ", ".join(str(disk.lun) for disk in self.disks)
            raise PeerError(f"the target has no disk at LUN {lun} (it has one at {there or 'none'})")
        workloads = [
            Workload(drive(), self._workload(disk), Random(rng.random()), recoveries=recoveries) for disk in disks
        ]
        self._workloads = set(workloads)
        reports: dict[Workload, WorkloadReport] = {}

        async def run(workload: Workload) -> None:
            reports[workload] = await workload.run()

        async with trio.open_nursery() as nursery:
            for workload in workloads:
                nursery.start_soon(run, workload)
        self._workloads = set()
        return tuple(reports[workload] for workload in workloads)

    def _workload(self, disk: Disk) -> WorkloadSettings:
        size = max(1, self._size // disk.block_size)
        first, blocks = 0, disk.blocks
        if self._extent is not None:
            first, blocks = self._extent.first, self._extent.blocks
            if self._extent.last >= disk.blocks:
                raise UsageError(f"--scratch-range {self._extent}: LUN {disk.lun} has {disk.blocks} blocks")
        if size > blocks:
            raise UsageError(f"a command of {self._size} bytes does not fit into the {blocks} blocks that it may use")
        return WorkloadSettings(
            lun=disk.lun,
            first=first,
            # Little enough that blocks are met again, enough that commands need not wait for each other.
            blocks=min(blocks, size * 4 * max(4, self._depth)),
            block_size=disk.block_size,
            sizes=((size, 1),),
            reads={"verify": 0.5, "write": 0.0}.get(self.io, 1.0),
            depth=self._depth,
            count=max(8, 2 * self._depth),
            # Even a run with the same seed must not take the data of an earlier one for its own.
            run=random.SystemRandom().randrange(1 << 32),
        )


def _wrong(report: WorkloadReport) -> str | None:
    """Say what is wrong with a round of I/O, if anything is."""
    if report.mismatch_count:
        return str(report.mismatches[0]) if report.mismatches else f"{report.mismatch_count} blocks were wrong"
    if report.errors:
        return next(iter(report.errors))
    if report.lost is not None:
        return report.lost
    return None if report.commands or report.blocks_verified else f"no command was answered: {report.ended}"
