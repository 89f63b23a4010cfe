"""The model of what blocks may hold, against a naive one and against devices that do what the order allows."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.workload.contents import Contents, End, Ordering, Read, Write
from iscsiproxy.peers.workload.mismatch import Mismatch, MismatchKind
from iscsiproxy.peers.workload.pattern import Pattern

_PATTERN = Pattern(run=7, block_size=64)


def _contents(ordering: Ordering = Ordering.FREE) -> Contents:
    return Contents(_PATTERN, ordering)


def _write(contents: Contents, first: int = 0, count: int = 1, end: End = End.GOOD) -> int:
    write, _ = contents.write(first, count)
    assert contents.written(write, end) == []
    return write.generation


def _look(contents: Contents, data: bytes, first: int = 0) -> list[Mismatch]:
    return contents.found(contents.read(first, len(data) // 64), data)


def _kinds(mismatches: list[Mismatch]) -> list[MismatchKind]:
    return [mismatch.kind for mismatch in mismatches]


# --- one after the other ---------------------------------------------------------------------------------------------


def test_what_was_written_has_to_be_there() -> None:
    contents = _contents()
    _write(contents, count=3)
    assert _look(contents, _PATTERN.blocks(0, [1, 1, 1])) == []
    assert contents.touched() == [0, 1, 2]


def test_a_write_that_was_swallowed_leaves_stale_data() -> None:
    contents = _contents()
    _write(contents)
    _write(contents)
    (mismatch,) = _look(contents, _PATTERN.block(0, 1))
    assert (mismatch.kind, mismatch.expected) == (MismatchKind.STALE, (2,))
    assert str(mismatch) == "block 0 is stale: expected write 2, found write 1 to block 0 of run 00000007"


def test_every_kind_of_wrong_is_told_apart() -> None:
    contents = _contents()
    _write(contents, count=2)
    _write(contents, count=2)
    void, _ = contents.write(0, 2)
    assert contents.written(void, End.VOID) == []
    old, new = _PATTERN.block(0, 1), _PATTERN.block(0, 2)
    cases = {
        MismatchKind.STALE: old,
        MismatchKind.REFUSED: _PATTERN.block(0, 3),
        MismatchKind.MISPLACED: _PATTERN.block(1, 2),
        MismatchKind.TORN: new[:32] + old[32:],
        MismatchKind.DAMAGED: new[:40] + bytes(24),
        MismatchKind.ZEROS: bytes(64),
        MismatchKind.FOREIGN: b"x" * 64,
    }
    for kind, data in cases.items():
        assert _kinds(_look(contents, data)) == [kind]
    assert _kinds(_look(contents, Pattern(run=8, block_size=64).block(0, 2))) == [MismatchKind.FOREIGN]
    assert _kinds(_look(contents, _PATTERN.block(0, 9))) == [MismatchKind.FOREIGN]
    assert _look(contents, new) == []


def test_a_mismatch_says_where_the_block_goes_wrong() -> None:
    contents = _contents()
    _write(contents)
    data = bytearray(_PATTERN.block(0, 1))
    data[50] ^= 0xFF
    (mismatch,) = _look(contents, bytes(data))
    assert (mismatch.offset, mismatch.excerpt) == (50, bytes(data[50:]).hex())
    (mismatch,) = _look(contents, b"x" * 64)
    assert str(mismatch) == f"block 0 is foreign: expected write 1, found {'78' * 16} at byte 0"


def test_blocks_that_were_not_written_may_hold_anything_but_keep_it() -> None:
    contents = _contents()
    assert _look(contents, b"x" * 64) == []
    assert _look(contents, b"x" * 64) == []
    assert _kinds(_look(contents, b"y" * 64)) == [MismatchKind.CHANGED]
    assert _look(contents, b"y" * 64, first=1) == []


def test_this_runs_data_in_a_block_it_has_not_written_is_misplaced() -> None:
    contents = _contents()
    _write(contents)
    assert _kinds(_look(contents, _PATTERN.block(0, 1), first=1)) == [MismatchKind.MISPLACED]


def test_a_write_without_an_end_leaves_the_old_or_the_new() -> None:
    for found in (1, 2):
        contents = _contents()
        _write(contents)
        _write(contents, end=End.MAYBE)
        assert contents.possible(0) == (1, 2)
        assert _look(contents, _PATTERN.block(0, found)) == []
        # Once it was seen it has to stay.
        assert _look(contents, _PATTERN.block(0, found)) == []
        assert _kinds(_look(contents, _PATTERN.block(0, 3 - found))) == [MismatchKind.STALE]


def test_the_first_write_without_an_end_leaves_what_was_there_before() -> None:
    contents = _contents()
    assert _look(contents, b"x" * 64) == []
    _write(contents, end=End.MAYBE)
    assert contents.possible(0) == (0, 1)
    assert _kinds(_look(contents, b"y" * 64)) == [MismatchKind.CHANGED]
    assert _look(contents, b"x" * 64) == []
    assert _kinds(_look(contents, _PATTERN.block(0, 1))) == [MismatchKind.STALE]


def test_a_lost_write_that_lands_after_the_next_one_is_found() -> None:
    contents = _contents()
    _write(contents)
    _write(contents, end=End.MAYBE)
    _write(contents)
    assert _kinds(_look(contents, _PATTERN.block(0, 2))) == [MismatchKind.STALE]


def test_a_refused_write_leaves_no_trace() -> None:
    contents = _contents()
    assert _write(contents, end=End.VOID) == 1
    assert contents.touched() == []
    assert _kinds(_look(contents, _PATTERN.block(0, 1))) == [MismatchKind.REFUSED]


@pytest.mark.parametrize("ordering", Ordering)
def test_memory_is_bounded_when_every_write_ends_badly(ordering: Ordering) -> None:
    contents = _contents(ordering)
    for _ in range(1000):
        _write(contents, end=End.MAYBE)
    assert len(contents._blocks[0]) <= 65
    assert {contents.possible(0)[0], contents.possible(0)[-1]} == {0, 1000}
    for found in (5, 900, 999):
        assert _look(contents, _PATTERN.block(0, found)) == []
    _write(contents)
    assert contents.possible(0) == (1001,)
    assert len(contents._blocks[0]) == 1


def test_a_read_of_another_length_is_a_mistake_of_the_caller() -> None:
    contents = _contents()
    with pytest.raises(ValueError, match="64 bytes of a read of 2 blocks"):
        contents.found(contents.read(0, 2), bytes(64))


# --- in flight together ----------------------------------------------------------------------------------------------


def test_what_is_in_flight_is_known() -> None:
    contents = _contents()
    write, _ = contents.write(8, 8)
    read = contents.read(32, 8)
    assert [contents.busy(first, 8, writing=False) for first in (0, 1, 15, 16, 30)] == [False, True, True, False, False]
    assert contents.busy(39, 1, writing=True)
    assert not contents.busy(40, 1, writing=True)
    contents.written(write, End.GOOD)
    contents.dropped(read)
    assert not contents.busy(0, 64, writing=True)


@pytest.mark.parametrize(
    ("ordering", "possible"), [(Ordering.FREE, (1, 2)), (Ordering.RESTRICTED, (2,)), (Ordering.ORDERED, (2,))]
)
def test_which_of_two_overlapping_writes_is_the_last(ordering: Ordering, possible: tuple[int, ...]) -> None:
    for swapped in (False, True):
        contents = _contents(ordering)
        pair = [contents.write(0, 1)[0], contents.write(0, 1)[0]]
        for write in reversed(pair) if swapped else pair:
            assert contents.written(write, End.GOOD) == []
        assert contents.possible(0) == possible


def test_an_ordered_read_sees_what_came_before_it_and_nothing_else() -> None:
    contents = _contents(Ordering.ORDERED)
    _write(contents)
    second, _ = contents.write(0, 1)
    read = contents.read(0, 1)
    third, _ = contents.write(0, 1)
    assert contents.written(second, End.GOOD) == []
    assert _kinds(contents.found(read, _PATTERN.block(0, 3))) == [MismatchKind.EARLY]
    read = contents.read(0, 1)
    assert contents.written(third, End.GOOD) == []
    assert _kinds(contents.found(read, _PATTERN.block(0, 2))) == [MismatchKind.STALE]


def test_an_ordered_read_whose_answer_is_looked_at_before_that_of_the_write_it_missed() -> None:
    contents = _contents(Ordering.ORDERED)
    _write(contents)
    write, _ = contents.write(0, 1)
    assert contents.found(contents.read(0, 1), _PATTERN.block(0, 1)) == []
    (mismatch,) = contents.written(write, End.GOOD)
    assert (mismatch.kind, mismatch.expected) == (MismatchKind.STALE, (2,))


@pytest.mark.parametrize("end", [End.MAYBE, End.VOID])
def test_there_is_nothing_wrong_if_that_write_was_not_good(end: End) -> None:
    contents = _contents(Ordering.ORDERED)
    _write(contents)
    write, _ = contents.write(0, 1)
    assert contents.found(contents.read(0, 1), _PATTERN.block(0, 1)) == []
    assert contents.written(write, end) == []


def test_a_read_beside_a_write_may_see_it_at_work_unless_ordered() -> None:
    for ordering, expected in ((Ordering.FREE, []), (Ordering.ORDERED, [MismatchKind.TORN])):
        contents = _contents(ordering)
        _write(contents)
        write, _ = contents.write(0, 1)
        read = contents.read(0, 1)
        torn = _PATTERN.block(0, 2)[:32] + _PATTERN.block(0, 1)[32:]
        assert _kinds(contents.found(read, torn)) == expected
        contents.written(write, End.GOOD)
        assert _kinds(_look(contents, torn)) == [MismatchKind.TORN]


@pytest.mark.parametrize("ordering", Ordering)
def test_after_a_session_was_lost_what_was_in_flight_has_no_order(ordering: Ordering) -> None:
    contents = _contents(ordering)
    _write(contents)
    first, _ = contents.write(0, 1)
    second, _ = contents.write(0, 1)
    read = contents.read(0, 1)
    contents.interrupted()
    contents.written(second, End.GOOD)
    # The first one is issued again and comes last.
    assert contents.found(read, _PATTERN.block(0, 1)) == []
    contents.written(first, End.GOOD)
    assert contents.possible(0) == (2, 3)
    _write(contents)
    assert contents.possible(0) == (4,)


def test_an_ordered_read_that_is_issued_again_may_see_what_was_written_meanwhile() -> None:
    contents = _contents(Ordering.ORDERED)
    _write(contents)
    read = contents.read(0, 1)
    contents.interrupted()
    _write(contents)
    assert contents.found(read, _PATTERN.block(0, 2)) == []


# --- against a naive model -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Past:
    generation: int
    issued: int
    ended: int
    end: End


def _naive(past: list[_Past], ordering: Ordering) -> set[int]:
    """Try every way in which the writes can have been done one after the other; give what came last."""
    real = [one for one in past if one.end is not End.VOID]
    maybe = [one for one in real if one.end is End.MAYBE]
    last = set()
    for left_out in (set(some) for size in range(len(maybe) + 1) for some in combinations(maybe, size)):
        for order in permutations([one for one in real if one not in left_out]):
            pairs = combinations(order, 2)
            if ordering is Ordering.FREE:
                possible = not any(later.ended < earlier.issued for earlier, later in pairs)
            else:
                possible = not any(later.generation < earlier.generation for earlier, later in pairs)
            if possible:
                last.add(order[-1].generation if order else 0)
    return last


@given(st.randoms(use_true_random=False), st.sampled_from(Ordering))
def test_the_possible_contents_are_those_of_a_naive_model(rng: random.Random, ordering: Ordering) -> None:
    contents = _contents(ordering)
    flying: list[tuple[Write, int]] = []
    past: list[_Past] = []
    for moment in range(10):
        if flying and (rng.random() < 0.5 or len(past) + len(flying) == 5):
            write, issued = flying.pop(rng.randrange(len(flying)))
            end = rng.choice((End.GOOD, End.GOOD, End.MAYBE, End.VOID))
            contents.written(write, end)
            past.append(_Past(write.generation, issued, moment, end))
        elif len(past) + len(flying) < 5:
            flying.append((contents.write(0, 1)[0], moment))
    for moment, (write, issued) in enumerate(flying, 10):
        contents.written(write, End.GOOD)
        past.append(_Past(write.generation, issued, moment, End.GOOD))
    assert set(contents.possible(0)) == _naive(past, ordering)


# --- against devices that do what they may ---------------------------------------------------------------------------


@dataclass(eq=False)
class _Task:
    ticket: Write | Read
    data: bytes
    done: bool = False
    lost: bool = False


_BLOCKS = 6


class _Machine:
    """A device and an initiator, interleaved at random as an ordering allows."""

    def __init__(self, rng: random.Random, ordering: Ordering) -> None:
        self.rng = rng
        self.ordering = ordering
        self.contents = _contents(ordering)
        self.medium = bytearray(rng.randbytes(_BLOCKS * 64))
        self.tasks: list[_Task] = []
        self.wrong: list[Mismatch] = []
        self.swallow = 0

    def issue(self) -> None:
        count = self.rng.randint(1, 3)
        first = self.rng.randint(0, _BLOCKS - count)
        if self.rng.random() < 0.5:
            self.tasks.append(_Task(self.contents.read(first, count), b""))
        else:
            self.tasks.append(_Task(*self.contents.write(first, count)))

    def execute(self, task: _Task) -> None:
        """Do a command and what has to be done before it."""
        if task.done:
            return
        if self.ordering is not Ordering.FREE:
            before = self.tasks[: self.tasks.index(task)]
            for earlier in before:
                if self.ordering is Ordering.ORDERED or isinstance(earlier.ticket, Write):
                    self.execute(earlier)
        span = slice(task.ticket.first * 64, (task.ticket.first + task.ticket.count) * 64)
        if isinstance(task.ticket, Read):
            task.data = bytes(self.medium[span])
        elif not (task.lost and self.rng.random() < 0.5) and self.swallow != task.ticket.generation:
            self.medium[span] = task.data
        task.done = True

    def end(self, task: _Task) -> None:
        task.lost = isinstance(task.ticket, Write) and not task.done and self.rng.random() < 0.2
        self.execute(task)
        self.tasks.remove(task)
        if isinstance(task.ticket, Read):
            self.wrong += self.contents.found(task.ticket, task.data)
        else:
            self.wrong += self.contents.written(task.ticket, End.MAYBE if task.lost else End.GOOD)

    def run(self, steps: int) -> list[Mismatch]:
        for _ in range(steps):
            choice = self.rng.random()
            if choice < 0.4 and len(self.tasks) < 8:
                self.issue()
            elif choice < 0.7 and self.tasks:
                self.execute(self.rng.choice(self.tasks))
            elif self.tasks:
                self.end(self.rng.choice(self.tasks))
        while self.tasks:
            self.end(self.rng.choice(self.tasks))
        self.wrong += self.contents.found(self.contents.read(0, _BLOCKS), bytes(self.medium))
        return self.wrong


@given(st.randoms(use_true_random=False), st.sampled_from(Ordering))
def test_a_device_that_keeps_the_order_is_never_found_wrong(rng: random.Random, ordering: Ordering) -> None:
    assert _Machine(rng, ordering).run(120) == []


@given(st.randoms(use_true_random=False), st.sampled_from([Ordering.RESTRICTED, Ordering.ORDERED]))
def test_the_last_write_cannot_be_swallowed(rng: random.Random, ordering: Ordering) -> None:
    machine = _Machine(rng, ordering)
    machine.run(60)
    write, data = machine.contents.write(0, _BLOCKS)
    machine.swallow = write.generation
    machine.tasks.append(_Task(write, data, done=True))
    machine.end(machine.tasks[0])
    assert len(machine.contents.found(machine.contents.read(0, _BLOCKS), bytes(machine.medium))) == _BLOCKS


def test_a_device_that_is_less_strict_than_it_says_is_found() -> None:
    found = 0
    for seed in range(50):
        machine = _Machine(random.Random(seed), Ordering.FREE)
        machine.contents = _contents(Ordering.ORDERED)
        found += bool(machine.run(120))
    assert found > 45
