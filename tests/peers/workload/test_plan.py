from __future__ import annotations

import random
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.workload.plan import Kind, Operation, Plan, extents


def _plan(seed: int = 1, **changes: Any) -> Plan:
    arguments: dict[str, Any] = {"first": 100, "blocks": 50, "sizes": ((1, 3), (8, 1), (64, 9))}
    return Plan(random.Random(seed), **arguments | changes)


@given(st.integers(0, 1 << 32), st.integers(0, 8), st.integers(1, 300))
def test_every_command_is_inside_the_range(seed: int, overlap: int, blocks: int) -> None:
    for operation in islice(_plan(seed, blocks=blocks, overlap=overlap), 50):
        assert operation.first >= 100
        assert operation.first + operation.count <= 100 + blocks
        assert operation.count in (1, 8, 64)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert list(islice(_plan(), 100)) == list(islice(_plan(), 100))
    assert list(islice(_plan(), 100)) != list(islice(_plan(2), 100))


@pytest.mark.parametrize("reads", [0.0, 0.3, 1.0])
def test_the_mix_is_what_was_asked_for(reads: float) -> None:
    kinds = [operation.kind for operation in islice(_plan(reads=reads), 2000)]
    assert abs(kinds.count(Kind.READ) / 2000 - reads) < 0.05


def test_sizes_come_as_often_as_their_weights_say() -> None:
    counts = [operation.count for operation in islice(_plan(), 2000)]
    assert set(counts) == {1, 8}  # 64 blocks do not fit
    assert abs(counts.count(1) / 2000 - 0.75) < 0.05


def test_a_flush_follows_so_many_writes() -> None:
    kinds = [operation.kind for operation in islice(_plan(reads=0.0, flush_every=3), 8)]
    assert kinds == [Kind.WRITE] * 3 + [Kind.FLUSH] + [Kind.WRITE] * 3 + [Kind.FLUSH]


def _overlapping(operations: list[Operation]) -> int:
    pairs = pairwise(operations)
    return sum(a.first < b.first + b.count and b.first < a.first + a.count for a, b in pairs)


def test_commands_lie_near_each_other_if_they_are_to_overlap() -> None:
    wide: dict[str, Any] = {"blocks": 100_000, "sizes": ((8, 1),)}
    assert _overlapping(list(islice(_plan(**wide), 1000))) < 10
    assert _overlapping(list(islice(_plan(**wide, overlap=1), 1000))) > 500


def test_commands_do_not_straddle_others_of_their_size_without_overlap() -> None:
    assert all((operation.first - 100) % operation.count == 0 for operation in islice(_plan(), 200))


def test_sizes_that_do_not_fit_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="fits into 3 blocks"):
        _plan(blocks=3, sizes=((4, 1),))


def test_operations_can_be_read() -> None:
    assert (str(Operation(Kind.WRITE, 8, 4)), str(Operation(Kind.FLUSH))) == ("write 8+4", "flush")


@given(st.sets(st.integers(0, 60)))
def test_extents_are_the_same_blocks(blocks: set[int]) -> None:
    found = list(extents(sorted(blocks)))
    assert {block for first, count in found for block in range(first, first + count)} == blocks
    assert all(first + count < later for (first, count), (later, _) in pairwise(found))
