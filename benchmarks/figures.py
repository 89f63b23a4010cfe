"""What is measured and how the numbers become figures. Pure: no process, no clock.

A machine changes its speed by half for seconds at a time, for everything that runs on it. So every relay is measured
in every round, close together and in a new order each time; a relay is compared with the baseline *within* a round,
and the median of those ratios is the figure. The ratio of the best rounds stands beside it: two figures that agree
can be believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["ROWS", "Figure", "Row", "Sample", "figure", "sized"]

KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of work: `size` bytes a command, `depth` commands at a time.

    With `large` both ends agree on data segments of 256 KiB; otherwise the target is as it is out of the box, which is
    8 KiB for tgtd.
    """

    name: str
    title: str
    size: int
    depth: int
    write: bool = False
    large: bool = False


ROWS = (
    Row(name="read-4k-1", title="4 KiB reads, depth 1", size=4 * KIB, depth=1),
    Row(name="read-256k-8", title="256 KiB reads, depth 8", size=256 * KIB, depth=8),
    Row(name="read-256k-8-large", title="256 KiB reads, depth 8, 256 KiB PDUs", size=256 * KIB, depth=8, large=True),
    Row(name="read-1m-32", title="1 MiB reads, depth 32", size=KIB * KIB, depth=32),
    Row(name="write-1m-32", title="1 MiB writes, depth 32", size=KIB * KIB, depth=32, write=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One window: `count` commands in `seconds`, and the processor time that the relay took for them.

    `cpu` is None where there is no relay.
    """

    count: int
    seconds: float
    cpu: float | None

    @property
    def rate(self) -> float:
        """Commands a second. A window shorter than the clock's resolution counts as one tick of it."""
        return self.count / max(self.seconds, 0.001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One relay in one row.

    `median_ratio` and `best_ratio` are to the baseline, None without one. `cpu_us` is the relay's processor time for
    one command in microseconds, over all rounds.
    """

    relay: str
    best_iops: float
    best_mib_s: float
    median_ratio: float | None
    best_ratio: float | None
    cpu_us: float | None


def sized(count: int, seconds: float, window: float, depth: int) -> int:
    """Return how many commands fill a window, from a trial of `count` in `seconds`; never less than one per slot."""
    return max(depth, round(count * window / max(seconds, 0.001)))


def _best(samples: Sequence[Sample]) -> float:
    return max(sample.rate for sample in samples)


def figure(row: Row, relay: str, samples: Mapping[str, Sequence[Sample]], baseline: str | None) -> Figure:
    """Condense the rounds of one relay. `samples` has as many for each relay, in the order of the rounds."""
    own = samples[relay]
    against = samples[baseline] if baseline else None
    spent = [sample.cpu for sample in own if sample.cpu is not None]
    return Figure(
        relay=relay,
        best_iops=_best(own),
        best_mib_s=_best(own) * row.size / (KIB * KIB),
        median_ratio=median(one.rate / other.rate for one, other in zip(own, against, strict=True))
        if against
        else None,
        best_ratio=_best(own) / _best(against) if against else None,
        cpu_us=1e6 * sum(spent) / sum(sample.count for sample in own) if spent else None,
    )
