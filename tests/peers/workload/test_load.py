from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.scsi.command import Attribute, Status
from iscsiproxy.peers.workload.contents import Ordering
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.mismatch import MismatchKind
from iscsiproxy.peers.workload.tally import Progress, WorkloadReport
from tests.peers.workload.disk import BLOCK, Disk, Lie, Task, check_condition


def _settings(**changes: Any) -> WorkloadSettings:
    values: dict[str, Any] = {
        "lun": 1,
        "first": 16,
        "blocks": 64,
        "block_size": BLOCK,
        "sizes": ((1, 1), (4, 1), (8, 1)),
        "depth": 4,
        "count": 200,
        "run": 0xBEEF,
    }
    return WorkloadSettings(**values | changes)


async def _run(disk: Disk, seed: int = 3, **changes: Any) -> WorkloadReport:
    return await Workload(disk, _settings(**changes), random.Random(seed)).run()


# --- an honest disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 32])
@pytest.mark.parametrize("overlap", [None, Ordering.ORDERED, Ordering.FREE])
@pytest.mark.parametrize("seed", range(5))
async def test_an_honest_disk_passes(depth: int, overlap: Ordering | None, seed: int) -> None:
    disk = Disk(seed=seed)
    report = await _run(
        disk, seed, depth=depth, overlap=overlap is not None, ordering=overlap or Ordering.FREE, flush_every=10
    )
    assert report.passed, report.mismatches
    assert report.ended == "done"
    assert report.commands == 200
    assert report.read_back is not None
    assert 32 < report.read_back <= 64
    assert disk.most <= depth
    assert depth == 1 or disk.most > 2
    # Nothing outside the range was touched.
    assert not any(disk.medium[: 16 * BLOCK])
    assert not any(disk.medium[80 * BLOCK :])


async def test_the_report_counts_what_was_done() -> None:
    report = await _run(Disk(), sizes=((8, 1),), flush_every=10, reads=0.25)
    assert report.reads.bytes == report.reads.commands * 8 * BLOCK
    assert report.writes.bytes == report.writes.commands * 8 * BLOCK
    assert report.flushes.commands == report.writes.commands // 10
    assert report.reads.latency.count == report.reads.commands
    assert report.run == 0xBEEF
    assert 0 <= report.writes.latency.p50 <= report.writes.latency.max


async def test_the_same_seed_does_the_same() -> None:
    one, other = Disk(seed=1), Disk(seed=2)
    await _run(one, count=50)
    await _run(other, count=50)
    assert one.names == other.names
    assert one.medium == other.medium


async def test_without_overlap_nothing_is_in_flight_beside_a_write() -> None:
    def watch(disk: Disk, task: Task) -> bool:
        for other in disk.queue:
            apart = task.span.stop <= other.span.start or other.span.stop <= task.span.start
            both_read = task.cdb.name == other.cdb.name == "READ(10)"
            assert other is task or apart or both_read or not task.span.stop
        return False

    await _run(Disk(lie=watch), depth=16, flush_every=5)


async def test_ordered_overlap_asks_for_ordered_tasks() -> None:
    seen = set()

    def watch(_disk: Disk, task: Task) -> bool:
        seen.add(task.attribute)
        return False

    await _run(Disk(lie=watch), overlap=True, count=20, ordering=Ordering.FREE)
    assert seen == {Attribute.SIMPLE}
    await _run(Disk(lie=watch), overlap=True, count=20)
    assert Attribute.ORDERED in seen


async def test_without_verification_anything_goes() -> None:
    disk = Disk(lie=_swallow)
    report = await _run(disk, verify=False)
    assert report.passed
    assert (report.blocks_verified, report.read_back) == (0, None)


# --- lying ones ------------------------------------------------------------------------------------------------------


def _late_write(task: Task) -> bool:
    """Pick the last writes, so that nothing true comes after them."""
    return task.number >= 150 and task.cdb.name == "WRITE(10)"


def _lied(task: Task) -> bool:
    task.outcome = Outcome()
    return True


def _swallow(_disk: Disk, task: Task) -> bool:
    return _late_write(task) and _lied(task)


def _tear_blocks(disk: Disk, task: Task) -> bool:
    """Write the first half of every block."""
    if not _late_write(task):
        return False
    for start in range(0, len(task.data), BLOCK):
        at = task.span.start + start
        disk.medium[at : at + BLOCK // 2] = task.data[start : start + BLOCK // 2]
    return _lied(task)


def _half(disk: Disk, task: Task) -> bool:
    """Write the first half of the blocks."""
    if not _late_write(task) or len(task.data) == BLOCK:
        return False
    half = len(task.data) // 2
    disk.medium[task.span.start : task.span.start + half] = task.data[:half]
    return _lied(task)


def _swap(disk: Disk, task: Task) -> bool:
    """Write the halves to each other's place."""
    if not _late_write(task) or len(task.data) == BLOCK:
        return False
    half = len(task.data) // 2
    disk.medium[task.span] = task.data[half:] + task.data[:half]
    return _lied(task)


def _beside(disk: Disk, task: Task) -> bool:
    """Write one block too far."""
    if not _late_write(task):
        return False
    disk.medium[task.span.start + BLOCK : task.span.stop + BLOCK] = task.data
    return _lied(task)


def _zero(disk: Disk, task: Task) -> bool:
    if not _late_write(task):
        return False
    disk.medium[task.span] = bytes(len(task.data))
    return _lied(task)


def _flip(disk: Disk, task: Task) -> bool:
    if not _late_write(task):
        return False
    disk.medium[task.span] = task.data
    disk.medium[task.span.start + 77] ^= 0x10
    return _lied(task)


def _refused_but_done(disk: Disk, task: Task) -> bool:
    """Refuse a write and do it all the same."""
    if not _late_write(task):
        return False
    disk.medium[task.span] = task.data
    task.outcome = Outcome(status=Status.RESERVATION_CONFLICT)
    return True


def _old_read(disk: Disk, task: Task) -> bool:
    """Answer the reads from a cache that was filled long ago."""
    if task.number == 100:
        disk.cache = bytes(disk.medium)  # type: ignore[attr-defined]
    if task.number <= 100 or task.cdb.name != "READ(10)":
        return False
    cache: bytes = disk.cache  # type: ignore[attr-defined]
    task.outcome = Outcome(data=cache[task.span])
    return True


_LIES: dict[Lie, set[MismatchKind]] = {
    _swallow: {MismatchKind.STALE},
    _tear_blocks: {MismatchKind.TORN},
    _half: {MismatchKind.STALE},
    _swap: {MismatchKind.MISPLACED},
    _beside: {MismatchKind.MISPLACED, MismatchKind.STALE},
    _zero: {MismatchKind.ZEROS},
    _flip: {MismatchKind.DAMAGED},
    _refused_but_done: {MismatchKind.REFUSED},
    _old_read: {MismatchKind.STALE, MismatchKind.ZEROS},
}


@pytest.mark.parametrize("lie", _LIES, ids=lambda lie: lie.__name__)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_each_lie_is_caught_and_named(lie: Lie, overlap: bool, seed: int) -> None:
    report = await _run(Disk(seed=seed, lie=lie), seed, count=160, reads=0.1, overlap=overlap, kept=1000)
    assert not report.passed
    assert report.mismatch_count
    assert {mismatch.kind for mismatch in report.mismatches} & _LIES[lie]


async def test_a_disk_that_takes_ordered_for_simple_is_caught() -> None:
    def unordered(disk: Disk, task: Task) -> bool:
        disk.honest(task)
        return True

    disk = Disk()
    real = disk.execute

    def execute(task: Task) -> None:
        task.attribute = Attribute.SIMPLE
        real(task)

    disk.execute = execute  # type: ignore[method-assign]
    report = await _run(disk, overlap=True, depth=16, blocks=16)
    assert {mismatch.kind for mismatch in report.mismatches} & {MismatchKind.STALE, MismatchKind.EARLY}


async def test_mismatches_are_kept_up_to_a_number_and_counted_beyond() -> None:
    def blank(_disk: Disk, task: Task) -> bool:
        if task.cdb.name != "READ(10)":
            return False
        task.outcome = Outcome(data=b"\xff" * (task.span.stop - task.span.start))
        return True

    report = await _run(Disk(lie=blank), kept=3)
    assert len(report.mismatches) == 3
    assert report.mismatch_count > 50


# --- what is no mismatch ---------------------------------------------------------------------------------------------


async def test_unit_attentions_at_the_start_are_no_errors() -> None:
    disk = Disk()
    disk.answers = [check_condition(6, 0x29), check_condition(6, 0x3F, 0x0E)]
    report = await _run(disk)
    assert report.passed
    assert report.unit_attentions == 2
    assert disk.names[:3] == ["TEST UNIT READY"] * 3


async def test_a_unit_attention_later_makes_the_command_be_given_again(autojump_clock: MockClock) -> None:
    disk = Disk()
    disk.answers = [Outcome(), check_condition(6, 0x29, 7)]
    report = await _run(disk)
    assert report.passed
    assert (report.commands, report.unit_attentions) == (200, 1)
    assert autojump_clock.current_time() == 0.0


async def test_busy_is_tried_again_and_counted(autojump_clock: MockClock) -> None:
    def busy(disk: Disk, task: Task) -> bool:
        if disk.rng.random() < 0.5:
            return False
        task.outcome = Outcome(status=disk.rng.choice((Status.BUSY, Status.TASK_SET_FULL)))
        return True

    report = await _run(Disk(lie=busy))
    assert report.passed
    assert report.commands == 200
    assert report.busy > 100
    assert autojump_clock.current_time() > 0.3


async def test_busy_for_ever_becomes_an_error(autojump_clock: MockClock) -> None:
    def busy(_disk: Disk, task: Task) -> bool:
        if task.cdb.name == "WRITE(10)":
            task.outcome = Outcome(status=Status.BUSY)
        return task.cdb.name == "WRITE(10)"

    report = await _run(Disk(lie=busy), reads=0.0, count=3)
    assert report.errors == {"BUSY": 3}
    assert report.busy == 3 * 21
    assert not report.mismatch_count
    assert autojump_clock.current_time() == pytest.approx(2.0)


async def test_a_unit_that_is_never_ready_ends_it(autojump_clock: MockClock) -> None:
    disk = Disk()
    disk.answers = [check_condition(2, 4, 1)] * 100
    report = await _run(disk)
    assert (report.ended, report.commands) == ("not ready", 0)
    assert autojump_clock.current_time() == pytest.approx(5.0)
    assert report.errors == {
        "CHECK CONDITION 2/04/01 (NOT_READY, logical unit is in process of becoming ready)": 1,
    }


async def test_a_write_that_fails_may_have_been_done_or_not() -> None:
    def fail(disk: Disk, task: Task) -> bool:
        if task.cdb.name != "WRITE(10)" or disk.rng.random() < 0.8:
            return False
        if disk.rng.random() < 0.5:
            disk.honest(task)
        task.outcome = check_condition(3, 0x0C)
        return True

    report = await _run(Disk(lie=fail))
    assert not report.mismatch_count
    assert report.uncertain == sum(report.errors.values()) > 5
    assert not report.passed


async def test_a_command_without_an_answer_is_an_error() -> None:
    def hang(disk: Disk, task: Task) -> bool:
        if task.number % 20:
            return False
        disk.time_out(task)
        return True

    report = await _run(Disk(lie=hang))
    assert not report.mismatch_count
    assert sum(report.errors.values()) >= 10
    assert set(report.errors) <= {f"{kind} CommandTimeout: no answer in 60 s" for kind in ("read", "write")}


async def test_a_short_read_is_an_error_and_not_a_mismatch() -> None:
    def short(disk: Disk, task: Task) -> bool:
        if task.cdb.name != "READ(10)":
            return False
        task.outcome = Outcome(data=bytes(disk.medium[task.span])[:-1], residual=1)
        return True

    report = await _run(Disk(lie=short))
    assert set(report.errors) == {"short read"}
    assert not report.mismatch_count


async def test_a_session_that_is_lost_ends_it() -> None:
    disk = Disk()
    disk.lost_after = 100
    report = await _run(disk, depth=8)
    assert (report.ended, report.lost) == ("session lost", "the other end closed")
    assert not report.passed
    assert not report.errors
    assert report.read_back is None
    assert 80 < report.commands <= 100


async def test_a_session_that_comes_back_goes_on() -> None:
    recoveries = 0

    def lose(disk: Disk, task: Task) -> bool:
        nonlocal recoveries
        if task.number % 50 == 0:
            recoveries += 1
            # Everything in flight is done again, in any order.
            for other in disk.rng.sample(disk.queue, len(disk.queue)):
                disk.honest(other)
                other.outcome = None
        return False

    workload = Workload(
        Disk(lie=lose), _settings(overlap=True, depth=16), random.Random(1), recoveries=lambda: recoveries
    )
    report = await workload.run()
    assert report.passed, report.mismatches
    assert report.recoveries == recoveries >= 4


# --- time ------------------------------------------------------------------------------------------------------------


class _Slow(Disk):
    async def start(self, *args: Any, **kwargs: Any) -> Task:
        task = await super().start(*args, **kwargs)
        await trio.sleep(0.5 if self.count != 10 else 3)
        return task


async def test_it_ends_in_time_and_says_how_it_goes(autojump_clock: MockClock) -> None:
    seen: list[Progress] = []
    workload = Workload(
        _Slow(), _settings(count=None, seconds=20.0), random.Random(1), on_progress=seen.append, progress_every=0.7
    )
    report = await workload.run()
    assert report.seconds == pytest.approx(20.0, abs=0.6)
    assert autojump_clock.current_time() >= 20.9
    assert report.commands == pytest.approx(35, abs=3)
    assert report.iops == pytest.approx(report.commands / report.seconds)
    assert report.longest_stall == pytest.approx(3.0)
    assert [later.seconds - earlier.seconds for earlier, later in pairwise(seen)] == pytest.approx(
        [0.7] * (len(seen) - 1)
    )
    assert seen[5].commands < seen[10].commands
    assert seen[-1].reading_back


async def test_it_can_be_stopped(autojump_clock: MockClock) -> None:
    workload = Workload(_Slow(), _settings(count=None, seconds=1e6), random.Random(1))
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.sleep(10)
            workload.stop()

        nursery.start_soon(stop)
        report = await workload.run()
    assert autojump_clock.current_time() == pytest.approx(10.0, abs=3)
    assert report.ended == "stopped"
    assert report.commands > 10
    assert report.seconds < 15
    assert report.read_back is None


async def test_a_report_can_be_had_after_a_cancellation(autojump_clock: MockClock) -> None:
    workload = Workload(_Slow(), _settings(), random.Random(1))
    with trio.move_on_after(10):
        await workload.run()
    assert autojump_clock.current_time() == 10.0
    assert workload.report().ended == "cancelled"
    assert not workload.report().passed
    assert workload.report().seconds == pytest.approx(10, abs=1)


def test_it_has_to_end_some_time() -> None:
    with pytest.raises(ValueError, match="a number of commands or of seconds"):
        Workload(Disk(), _settings(count=None), random.Random(1))


def test_it_says_what_it_is() -> None:
    assert repr(Workload(Disk(), _settings(), random.Random(1))) == "<Workload on LUN 1: not begun, 0 in flight>"
