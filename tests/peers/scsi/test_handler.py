from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.scsi.handler import Footprint, Reach

__all__: list[str] = []

footprints = st.builds(Footprint, st.integers(0, 12), st.integers(0, 6), st.booleans())


@given(footprints, footprints)
def test_the_order_matters_where_a_block_is_shared_and_one_writes(one: Footprint, other: Footprint) -> None:
    shared = set(range(one.lba, one.lba + one.blocks)) & set(range(other.lba, other.lba + other.blocks))
    assert one.conflicts(other) is other.conflicts(one) is (bool(shared) and (one.writes or other.writes))


@pytest.mark.parametrize("blocks", [1, 2**32])
def test_blocks_far_out(blocks: int) -> None:
    far = Footprint(2**64 - blocks, blocks, writes=True)
    assert far.conflicts(far)
    assert not far.conflicts(Footprint(0, 1, writes=True))


def test_a_command_reaches_nothing_unless_it_says_so() -> None:
    assert Reach() == Reach(reads=False, writes=False, always=False)
