"""What a workload has done, counted: commands, bytes, latencies, and what went wrong, as a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from iscsiproxy.peers.workload.latency import Histogram, Latency
from iscsiproxy.peers.workload.mismatch import Mismatch
from iscsiproxy.peers.workload.plan import Kind

__all__ = ["KindReport", "Progress", "Tally", "WorkloadReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a workload stands: seconds, commands and bytes so far."""

    seconds: float
    commands: int
    bytes: int
    in_flight: int
    mismatches: int
    errors: int
    reading_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KindReport:
    """The commands of one kind that went well."""

    commands: int = 0
    bytes: int = 0
    latency: Latency = field(default_factory=Latency)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadReport:
    """What came of a workload. Times are seconds.

    `ended` says why it ended, `lost` what became of the session if that was the reason. `errors` counts commands that
    ended badly, by how. `uncertain` writes ended so that nobody knows if they were done. `longest_stall` is how long
    commands were in flight and none was answered. `read_back` is how many blocks were read once more at the end; None
    if that did not come to its end.
    """

    run: int
    ended: str
    lost: str | None
    seconds: float
    reads: KindReport
    writes: KindReport
    flushes: KindReport
    iops: float
    bytes_per_second: float
    blocks_verified: int
    read_back: int | None
    mismatch_count: int
    mismatches: tuple[Mismatch, ...]
    errors: dict[str, int]
    uncertain: int
    unit_attentions: int
    busy: int
    recoveries: int
    longest_stall: float

    @property
    def commands(self) -> int:
        """How many commands went well."""
        return self.reads.commands + self.writes.commands + self.flushes.commands

    @property
    def passed(self) -> bool:
        """Whether everything went well and no block was wrong; a run that was cancelled proves nothing."""
        return not self.mismatch_count and not self.errors and self.lost is None and self.ended != "cancelled"


class Tally:
    """Counts, while a workload runs. Moments are those of its clock, in seconds; `kept` mismatches are kept whole."""

    def __init__(self, *, run: int, kept: int) -> None:
        self._run = run
        self._kept = kept
        self.ended = "not begun"
        self.lost: str | None = None
        self.started = 0.0
        #: When the load ended, before what it wrote is read back.
        self.finished: float | None = None
        self.in_flight = 0
        self.verified = 0
        self.read_back: int | None = None
        self.uncertain = 0
        self.unit_attentions = 0
        self.busy = 0
        self._mismatches: list[Mismatch] = []
        self._mismatch_count = 0
        self._errors: dict[str, int] = {}
        self._histograms = {kind: Histogram() for kind in Kind}
        self._bytes = dict.fromkeys(Kind, 0)
        self._commands = dict.fromkeys(Kind, 0)
        self._quiet_since = 0.0
        self._stall = 0.0

    def __repr__(self) -> str:
        done, errors = sum(self._commands.values()), sum(self._errors.values())
        return f"<Tally: {self.ended}, {done} commands, {self._mismatch_count} mismatches, {errors} errors>"

    def begun(self, now: float) -> None:
        """Count one more command in flight."""
        if not self.in_flight:
            self._quiet_since = now
        self.in_flight += 1

    def over(self, now: float) -> None:
        """Count one less: it was answered, or never will be."""
        self.in_flight -= 1
        self._stall = max(self._stall, now - self._quiet_since)
        self._quiet_since = now

    def good(self, kind: Kind, length: int, seconds: float) -> None:
        """Count a command that went well, with its bytes and its latency."""
        self._commands[kind] += 1
        self._bytes[kind] += length
        self._histograms[kind].add(seconds)

    def wrong(self, mismatches: Sequence[Mismatch]) -> None:
        """Count blocks that were wrong."""
        self._mismatch_count += len(mismatches)
        self._mismatches += mismatches[: max(0, self._kept - len(self._mismatches))]

    def error(self, text: str) -> None:
        """Count a command that ended badly."""
        self._errors[text] = self._errors.get(text, 0) + 1

    def progress(self, now: float) -> Progress:
        """Say how it stands."""
        return Progress(
            seconds=now - self.started,
            commands=sum(self._commands.values()),
            bytes=sum(self._bytes.values()),
            in_flight=self.in_flight,
            mismatches=self._mismatch_count,
            errors=sum(self._errors.values()),
            reading_back=self.finished is not None,
        )

    def report(self, now: float, *, recoveries: int) -> WorkloadReport:
        """Give it all."""
        seconds = (now if self.finished is None else self.finished) - self.started
        rate = 1 / seconds if seconds > 0 else 0.0
        reads, writes, flushes = (
            KindReport(commands=self._commands[kind], bytes=self._bytes[kind], latency=self._histograms[kind].summary())
            for kind in (Kind.READ, Kind.WRITE, Kind.FLUSH)
        )
        return WorkloadReport(
            run=self._run,
            ended=self.ended,
            lost=self.lost,
            seconds=seconds,
            reads=reads,
            writes=writes,
            flushes=flushes,
            iops=sum(self._commands.values()) * rate,
            bytes_per_second=sum(self._bytes.values()) * rate,
            blocks_verified=self.verified,
            read_back=self.read_back,
            mismatch_count=self._mismatch_count,
            mismatches=tuple(self._mismatches),
            errors=dict(self._errors),
            uncertain=self.uncertain,
            unit_attentions=self.unit_attentions,
            busy=self.busy,
            recoveries=recoveries,
            longest_stall=self._stall,
        )
