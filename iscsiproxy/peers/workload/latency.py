"""Latencies in a histogram of bounded size: each power of two is cut into 64, so they are off by 1.6 % at most."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Histogram", "Latency"]

#: Each power of two is cut into as many buckets as this has bits' worth.
_BITS = 6
_SPLIT = 1 << _BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long commands took, in seconds; all 0 if there were none."""

    count: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class Histogram:
    """Counts latencies by bucket, at the resolution of a microsecond."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._count = 0
        self._sum = 0.0
        self._max = 0.0

    def __repr__(self) -> str:
        return f"<Histogram of {self._count}, at most {self._max:.6f} s>"

    def add(self, seconds: float) -> None:
        """Count one latency."""
        number = _bucket(max(0, int(seconds * 1_000_000)))
        self._counts[number] = self._counts.get(number, 0) + 1
        self._count += 1
        self._sum += seconds
        self._max = max(self._max, seconds)

    def percentile(self, fraction: float) -> float:
        """Give the latency, in seconds, that this fraction of all did not exceed; the end of its bucket."""
        due = fraction * self._count
        seen = 0
        for number in sorted(self._counts):
            seen += self._counts[number]
            if seen >= due:
                return min(_end(number) / 1_000_000, self._max)
        return self._max

    def summary(self) -> Latency:
        """Give the figures."""
        if not self._count:
            return Latency()
        return Latency(
            count=self._count,
            mean=self._sum / self._count,
            p50=self.percentile(0.5),
            p90=self.percentile(0.9),
            p99=self.percentile(0.99),
            p999=self.percentile(0.999),
            max=self._max,
        )


def _bucket(value: int) -> int:
    """Give the number of a value's bucket: the small values themselves, then 64 for each power of two."""
    shift = max(0, value.bit_length() - _BITS - 1)
    return shift * _SPLIT + (value >> shift)


def _end(number: int) -> int:
    """Give the first value beyond a bucket."""
    if number < 2 * _SPLIT:
        return number + 1
    shift = number // _SPLIT - 1
    return (number - shift * _SPLIT + 1) << shift
