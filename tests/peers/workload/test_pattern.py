from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.workload.pattern import CELL, Look, Pattern, Stamp

_RUN = 0xC0FFEE
_PATTERN = Pattern(run=_RUN, block_size=512)

_blocks = st.integers(0, (1 << 64) - 1)
_generations = st.integers(0, (1 << 32) - 1)


@given(_blocks, _generations, st.sampled_from([32, 512, 4096]))
def test_a_block_says_which_write_it_came_from(block: int, generation: int, size: int) -> None:
    pattern = Pattern(run=_RUN, block_size=size)
    data = pattern.block(block, generation)
    assert len(data) == size
    content = pattern.identify(data)
    assert (content.look, content.stamps) == (Look.WHOLE, (Stamp(_RUN, block, generation),))


def test_blocks_are_put_together() -> None:
    assert _PATTERN.blocks(7, [3, 4]) == _PATTERN.block(7, 3) + _PATTERN.block(8, 4)


@pytest.mark.parametrize("size", [0, 31, 33, -32])
def test_a_block_is_a_whole_number_of_cells(size: int) -> None:
    with pytest.raises(ValueError, match="expected a multiple of 32"):
        Pattern(run=0, block_size=size)


@given(_generations, _generations, st.integers(1, 512 // CELL - 1))
def test_half_of_each_of_two_writes_is_torn(old: int, new: int, cells: int) -> None:
    data = _PATTERN.block(1, new)[: cells * CELL] + _PATTERN.block(1, old)[cells * CELL :]
    content = _PATTERN.identify(data)
    if old == new:
        assert content.look is Look.WHOLE
    else:
        assert content.look is Look.TORN
        assert content.stamps == (Stamp(_RUN, 1, new), Stamp(_RUN, 1, old))


@given(st.integers(0, 511), st.integers(1, 255))
def test_one_wrong_byte_is_damage(offset: int, flip: int) -> None:
    data = bytearray(_PATTERN.block(5, 6))
    data[offset] ^= flip
    content = _PATTERN.identify(bytes(data))
    assert (content.look, content.stamps) == (Look.DAMAGED, (Stamp(_RUN, 5, 6),))


@given(st.integers(1, 511))
def test_bytes_that_have_moved_within_a_block_are_damage(shift: int) -> None:
    data = _PATTERN.block(5, 6)
    assert _PATTERN.identify(data[shift:] + data[:shift]).look in (Look.DAMAGED, Look.FOREIGN)


@given(st.integers(1, 511))
def test_a_block_that_is_cut_short_or_goes_on_with_zeros_is_damage(length: int) -> None:
    data = _PATTERN.block(5, 6)[:length]
    assert _PATTERN.identify(data.ljust(512, b"\0")).look in (Look.DAMAGED, Look.FOREIGN)
    assert _PATTERN.identify(data).look in (Look.DAMAGED, Look.FOREIGN)


def test_zeros_and_other_bytes_are_no_pattern() -> None:
    assert _PATTERN.identify(bytes(512)).look is Look.ZEROS
    assert _PATTERN.identify(b"\xa5" * 512).look is Look.FOREIGN


def test_another_runs_data_names_that_run() -> None:
    content = _PATTERN.identify(Pattern(run=2, block_size=512).block(5, 6))
    assert (content.look, content.stamps) == (Look.WHOLE, (Stamp(2, 5, 6),))
    assert str(content.stamps[0]) == "write 6 to block 5 of run 00000002"


@given(st.binary(max_size=600))
def test_any_bytes_can_be_identified(data: bytes) -> None:
    assert _PATTERN.identify(data).hash == _PATTERN.identify(data).hash
