from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.workload.latency import Histogram, Latency


def test_nothing_has_no_latency() -> None:
    assert Histogram().summary() == Latency()
    assert Histogram().percentile(0.5) == 0.0


@given(st.lists(st.integers(0, 1 << 36), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 0.999, 1.0]))
def test_percentiles_are_right_within_a_bucket(values: list[int], fraction: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value / 1_000_000)
    exact = sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)] / 1_000_000
    assert exact * 0.999999 <= histogram.percentile(fraction) <= exact * (1 + 1 / 64) + 0.000_001


def test_a_summary() -> None:
    histogram = Histogram()
    for _ in range(99):
        histogram.add(0.001)
    histogram.add(0.1)
    summary = histogram.summary()
    assert summary.count == 100
    assert summary.max == 0.1
    assert summary.p50 <= summary.p90 <= summary.p99 < 0.00102
    assert summary.p999 == 0.1
    assert abs(summary.mean - 0.00199) < 1e-9


@given(st.lists(st.floats(0, 1e6), max_size=2000))
def test_its_size_is_bounded(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert len(histogram._counts) <= 64 * 42
