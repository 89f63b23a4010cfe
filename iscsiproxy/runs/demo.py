"""The demonstration: clean traffic, then faults one at a time, played live between the embedded peers.

Nothing here is told by heart. Each act sets up a stage of its own, does its I/O, and says what the events, the answers
and the verifying workload say; a fault that did not fire, or traffic that was not clean, is told as that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import trio

from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.errors import CommandFailed, ConnectionLost
from iscsiproxy.peers.initiator.recovery import RecoveringSession
from iscsiproxy.peers.initiator.session import Session, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.initiator.workload import Workload, WorkloadSettings
from iscsiproxy.peers.scsi.command import Status
from iscsiproxy.peers.target.conduct import Conduct, with_quirks
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.ladder import Rung, ladder
from iscsiproxy.runs.library import arm
from iscsiproxy.runs.stage import BLOCK, IQN, Stage, stage
from iscsiproxy.session.events import Closed, Connected, Delivered, Fired, Received
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["Act", "Clean", "Played", "clean", "play"]

#: How large the LUN is, in blocks.
_BLOCKS = 32768
#: How long one act may take before it is given up, in seconds.
_PATIENCE = 8.0
#: Both digests, and small segments, so that a write is a burst of several Data-Outs.
_TARGET = TargetSettings(
    max_recv_data_segment_length=8192, initial_r2t=True, immediate_data=False, time2wait=0, max_outstanding_r2t=1
)
_INITIATOR = InitiatorSettings(
    target=IQN, header_digests=("CRC32C",), data_digests=("CRC32C",), time2wait=0, command_timeout=2.0
)
_WRITE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """What an unarmed proxy did. `untouched` PDUs went on as they came; `latencies` are p50 and p99 in seconds."""

    keys: tuple[tuple[str, str], ...]
    pdus: int
    untouched: int
    commands: int
    bytes: int
    seconds: float
    latencies: tuple[float, float]
    verified: int
    wrong: int
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all went well, and nothing was touched."""
        return not self.problems and not self.wrong and self.pdus == self.untouched > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One fault: the scenario, its parameters, and the I/O that meets it.

    `perform` plays it and gives what the initiator saw, in sentences. `clause` says what is asked of the victim.
    """

    scenario: str
    params: tuple[tuple[str, str], ...] = ()
    clause: str
    perform: Callable[[Stage], AsyncIterator[str]]
    conduct: Callable[[], Conduct] = Conduct
    target: str = "a target that keeps to the standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What an act came to. `fired` is None if the fault never met its PDU: then nothing was shown."""

    act: Act
    scenario: Scenario
    fired: Fired | None
    rungs: tuple[Rung, ...]
    saw: tuple[str, ...]
    seconds: float
