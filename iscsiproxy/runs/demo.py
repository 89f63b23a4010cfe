"""The demonstration: clean traffic, then faults one at a time, played live between the embedded peers.

Nothing here is told by heart. Each act sets up a stage of its own, does its I/O, and says what the events, the answers
and the verifying workload say; a fault that did not fire, or traffic that was not clean, is told as that.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import trio

from iscsiproxy.errors import InternalError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.errors import CommandFailed, ConnectionLost
from iscsiproxy.peers.initiator.recovery import recovering_session
from iscsiproxy.peers.initiator.session import Session, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.conduct import Conduct, with_quirks
from iscsiproxy.peers.target.quirks import QUIRKS
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.peers.workload.drive import RecoveringDrive, SessionDrive
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.tally import WorkloadReport
from iscsiproxy.runs.ladder import Rung, ladder
from iscsiproxy.runs.library import arm
from iscsiproxy.runs.stage import BLOCK, IQN, Stage, stage
from iscsiproxy.session.events import Closed, Connected, Delivered, Event, Fired, FullFeature, Received
from iscsiproxy.wire.codes import SCSI_STATUS

__all__ = ["ACTS", "Act", "Clean", "Played", "Saw", "clean", "play"]

#: Who did what.
Saw: TypeAlias = tuple[tuple[str, str], ...]

#: How large the LUN is, in blocks.
_BLOCKS = 32768
#: How long one act may take before it is given up, in seconds.
_PATIENCE = 30.0
#: Small segments and no unsolicited data, so that a write is an R2T and a burst of several Data-Outs.
_TARGET = TargetSettings(
    max_recv_data_segment_length=8192, initial_r2t=True, immediate_data=False, max_burst_length=65536, time2wait=0
)
_INITIATOR = InitiatorSettings(
    target=IQN, header_digests=("CRC32C",), data_digests=("CRC32C",), time2wait=0, command_timeout=5.0
)
#: The write that meets a fault, in blocks.
_WRITE = 128
_SHOWN_KEYS = ("HeaderDigest", "DataDigest", "InitialR2T", "MaxBurstLength", "ErrorRecoveryLevel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """What an unarmed proxy did to a verifying workload: of `pdus` that came in, `untouched` went on as they came."""

    keys: tuple[tuple[str, str], ...]
    pdus: int
    untouched: int
    report: WorkloadReport

    @property
    def passed(self) -> bool:
        """Whether all went well, and nothing was touched."""
        return self.report.passed and self.pdus == self.untouched > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One fault: the scenario, the I/O that meets it, and the target's quirks.

    `perform` plays it and gives what came of it: who, and what they did or were. `asked` says what the standard asks
    of the victim, and where. `expected` has a pattern for what each of those has to do or be, or the act has failed.
    """

    scenario: str
    asked: str
    perform: Callable[[Stage, int], Awaitable[Saw]]
    expected: Saw
    quirks: tuple[str, ...] = ()

    @property
    def conduct(self) -> Conduct:
        """How the target behaves."""
        return with_quirks(QUIRKS[name] for name in self.quirks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What an act came to. `fired` is None if the fault never met its PDU: then nothing was shown."""

    act: Act
    scenario: Scenario
    fired: Fired | None
    rungs: tuple[Rung, ...]
    saw: Saw

    @property
    def as_expected(self) -> bool:
        """Whether the fault fired, and what came of it is what has to come of it."""
        return self.fired is not None and all(
            any(who == name and re.fullmatch(pattern, what) for who, what in self.saw)
            for name, pattern in self.act.expected
        )


async def clean(seed: int) -> Clean:
    """Read and write through the proxy with nothing armed, and verify every block."""
    with trio.fail_after(_PATIENCE):
        async with stage(seed=seed, blocks=_BLOCKS, settings=_TARGET) as here, _session(here) as session:
            report = await _work(SessionDrive(session), seed, count=400, depth=8)
    received = [event for event in here.events if isinstance(event, Received)]
    sent_on = {
        event.of: event.pdu
        for event in here.events
        if isinstance(event, Delivered) and not event.changes and event.start == 0 and event.sent == -1
    }
    settled = next((dict(event.keys) for event in here.events if isinstance(event, FullFeature)), {})
    return Clean(
        keys=tuple((key, settled[key]) for key in _SHOWN_KEYS if key in settled),
        pdus=len(received),
        untouched=sum(sent_on.get(event.n) == event.pdu for event in received),
        report=report,
    )


async def play(act: Act, seed: int) -> Played:
    """Play one act."""
    (scenario,) = arm([act.scenario], {})
    with trio.fail_after(_PATIENCE):
        async with stage(
            seed=seed, blocks=_BLOCKS, scenarios=[scenario], settings=_TARGET, conduct=act.conduct
        ) as here:
            try:
                saw = await act.perform(here, seed)
            except (ConnectionLost, CommandFailed) as error:
                saw = (("the session", f"ended too soon: {error}"),)
    fired = next((event for event in here.events if isinstance(event, Fired)), None)
    return Played(act=act, scenario=scenario, fired=fired, rungs=_rungs(here.events, fired), saw=saw)


def _rungs(events: Sequence[Event], fired: Fired | None) -> tuple[Rung, ...]:
    """Draw the task that the fault met, and what became of its connection."""
    met = next((event for event in events if fired and isinstance(event, Received) and event.n == fired.of), None)
    if met is None:
        return ()
    tag, begin = met.pdu["ITT"], _begin(events, met)
    left = {event.conn for event in events if isinstance(event, Received) and event.pdu.label == "Logout-Request"}
    told = [
        event
        for event in events
        # How an orderly session comes and goes is no part of the story.
        if not (isinstance(event, Closed) and event.conn in left)
        and not (isinstance(event, Connected) and event.conn == met.conn)
    ]
    return ladder(told, lambda event: event.conn == met.conn and event.pdu["ITT"] == tag and event.n >= begin)


def _begin(events: Sequence[Event], met: Received) -> int:
    """Find the first PDU of the task that a PDU belongs to: the tag may have been used before."""
    return max(
        (
            event.n
            for event in events
            if isinstance(event, Received)
            and event.n <= met.n
            and event.conn == met.conn
            and event.pdu.label == "SCSI-Command"
            and event.pdu["ITT"] == met.pdu["ITT"]
        ),
        default=met.n,
    )


def _session(here: Stage) -> AbstractAsyncContextManager[Session]:
    return open_session((here.portal.host, here.portal.port), _INITIATOR)


async def _work(drive: SessionDrive | RecoveringDrive, seed: int, *, count: int, depth: int) -> WorkloadReport:
    settings = WorkloadSettings(
        lun=0,
        first=0,
        blocks=_BLOCKS // 2,
        block_size=BLOCK,
        sizes=((8, 6), (32, 3), (_WRITE, 1)),
        reads=0.5,
        depth=depth,
        count=count,
        run=seed & 0xFFFF,
    )
    return await Workload(drive, settings, Random(seed), recoveries=drive.recoveries).run()


async def _wake(session: Session) -> None:
    """Take the unit attention that a new nexus meets."""
    for _ in range(3):
        if (await session.command(0, commands.test_unit_ready())).good:
            return
    raise InternalError("the logical unit does not become ready")


# --- the acts ------------------------------------------------------------------------------------------------------


async def _write_and_read_back(here: Stage, seed: int) -> Saw:
    """Write once, look at the answer, and read what is there."""
    place, length = _BLOCKS - _WRITE, _WRITE * BLOCK
    data = Random(seed).randbytes(length)
    async with _session(here) as session:
        await _wake(session)
        try:
            outcome = await session.command(0, commands.write10(place, _WRITE), data_out=data)
        except (ConnectionLost, CommandFailed) as error:
            return (("the write", f"ended without a status: {error}"),)
        if not outcome.good:
            sense = f": {outcome.sense}, {outcome.sense.label}" if outcome.sense is not None else ""
            again = await session.command(0, commands.write10(place, _WRITE), data_out=data)
            found = await session.command(0, commands.read10(place, _WRITE), read_length=length)
            healed = again.good and found.data == data
            return (
                ("the target", f"answered {_status(outcome.status)}{sense}"),
                ("the disk", f"has {'all of it' if healed else 'NOT all of it'} once the write is given again"),
            )
        found = await session.command(0, commands.read10(place, _WRITE), read_length=length)
        wrong = [at for at in range(0, length, BLOCK) if found.data[at : at + BLOCK] != data[at : at + BLOCK]]
        verdict = f"{len(wrong)} of {_WRITE} blocks are not what was written" if wrong else "what was written is there"
        return (("the target", "answered GOOD"), ("the disk", verdict))


async def _read_what_was_written(here: Stage, seed: int) -> Saw:
    """Write, read the same blocks, and compare bit by bit."""
    place, length = _BLOCKS - _WRITE, _WRITE * BLOCK
    data = Random(seed).randbytes(length)
    async with _session(here) as session:
        await _wake(session)
        written = await session.command(0, commands.write10(place, _WRITE), data_out=data)
        found = await session.command(0, commands.read10(place, _WRITE), read_length=length)
        once_more = await session.command(0, commands.read10(place, _WRITE), read_length=length)
    if not (written.good and found.good):
        return (
            ("the target", f"answered {_status(written.status)} to the write, {_status(found.status)} to the read"),
        )
    apart = (int.from_bytes(found.data, "big") ^ int.from_bytes(data, "big")).bit_count()
    return (
        ("the initiator", f"took the read for {_status(found.status)}: every digest fits"),
        ("a comparison", f"{_count(apart, 'bit')} wrong" if apart else "finds nothing wrong"),
        ("read again", "all of it is right" if once_more.data == data else "it is still wrong"),
    )


async def _work_through(here: Stage, seed: int) -> Saw:
    """Do a workload over a session that comes back."""
    async with recovering_session((here.portal.host, here.portal.port), _INITIATOR) as keeper:
        report = await _work(RecoveringDrive(keeper), seed, count=60, depth=4)
        saw: list[tuple[str, str]] = []
        for recovery in keeper.recoveries:
            saw.append(("the target", str(recovery.reason).removeprefix("the target ")))
            back = f"; I/O went on after {recovery.duration * 1000:.0f} ms" if recovery.duration is not None else ""
            saw.append(("the initiator", f"logged in again{back}"))
    return (*saw, ("the disk", _verified(report)))


def _verified(report: WorkloadReport) -> str:
    if report.mismatch_count:
        first = f": {report.mismatches[0]}" if report.mismatches else ""
        return f"{report.mismatch_count} blocks were not what they have to be{first}"
    trouble = f", but: {report.errors or report.lost}" if not report.passed else ""
    return f"all {report.blocks_verified} blocks that were read are what was written{trouble}"


def _count(number: int, what: str) -> str:
    return f"1 {what} is" if number == 1 else f"{number} {what}s are"


def _status(status: int) -> str:
    return SCSI_STATUS.text(status).replace("_", " ")


#: The acts, in their order.
ACTS: tuple[Act, ...] = (
    Act(
        scenario="data_out_lost",
        asked="A target must not say GOOD for data it never got (RFC 7143 7.8, 7.9).",
        perform=_write_and_read_back,
        expected=(("the target", "answered CHECK CONDITION.*"), ("the disk", "has all of it .*")),
    ),
    Act(
        scenario="data_out_lost",
        asked="The same fault, a careless target: it behaves as tgt 1.0.85 was seen to (--quirk tgt-holes).",
        perform=_write_and_read_back,
        expected=(("the target", "answered GOOD"), ("the disk", "[1-9].* not what was written")),
        quirks=("tgt-holes",),
    ),
    Act(
        scenario="header_digest_corrupt",
        asked="A header that its digest belies is not to be believed, not even its length (RFC 7143 7.8).",
        perform=_work_through,
        expected=(
            ("the target", "closed the connection|reset the connection|the connection broke"),
            ("the initiator", "logged in again; I/O went on .*"),
            ("the disk", "all [1-9][0-9]* blocks that were read are what was written"),
        ),
    ),
    Act(
        scenario="payload_corrupt_valid_digest",
        asked="Digests protect the wire, not what is behind it (RFC 7143 13.1): only a comparison can tell.",
        perform=_read_what_was_written,
        expected=(
            ("the initiator", "took the read for GOOD.*"),
            ("a comparison", "[1-9].* wrong"),
            ("read again", "all .*"),
        ),
    ),
)
