from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.peers.scsi.command import Attribute, Clearing, Command, Nexus
from iscsiproxy.peers.scsi.handler import Footprint
from iscsiproxy.peers.scsi.taskset import TaskSet

__all__: list[str] = []

ONE, TWO = Nexus("iqn.2024-01.example:one", 1), Nexus("iqn.2024-01.example:two", 1)
SIMPLE, ORDERED, HEAD = Attribute.SIMPLE, Attribute.ORDERED, Attribute.HEAD_OF_QUEUE


@dataclass
class Watch:
    """A task set, and the order in which its commands were enabled."""

    tasks: TaskSet = field(default_factory=TaskSet)
    enabled: list[str] = field(default_factory=list)
    cleared: list[tuple[str, Clearing]] = field(default_factory=list)

    def submit(
        self,
        name: str,
        attribute: Attribute = SIMPLE,
        *,
        nexus: Nexus = ONE,
        footprint: Footprint | None = None,
        then: Callable[[Command], None] = lambda _: None,
    ) -> Command:
        def enabled() -> None:
            self.enabled.append(name)
            then(command)

        def cleared(cause: Clearing) -> None:
            self.cleared.append((name, cause))

        command = Command(
            nexus=nexus, lun=0, cdb=bytes(16), attribute=attribute, tag=0, on_enabled=enabled, on_cleared=cleared
        )
        self.tasks.submit(command, footprint)
        return command


def writes(lba: int, blocks: int = 1) -> Footprint:
    return Footprint(lba, blocks, writes=True)


def reads(lba: int, blocks: int = 1) -> Footprint:
    return Footprint(lba, blocks, writes=False)


def test_SIMPLE_commands_begin_at_once() -> None:
    watch = Watch()
    for name in "abc":
        watch.submit(name, Attribute.UNTAGGED if name == "b" else SIMPLE)
    assert watch.enabled == ["a", "b", "c"]


def test_ORDERED_waits_for_all_before_and_all_after_wait_for_it() -> None:
    watch = Watch()
    first, second = watch.submit("first"), watch.submit("second", nexus=TWO)
    ordered = watch.submit("ordered", ORDERED)
    watch.submit("after", nexus=TWO)
    watch.tasks.finish(second)
    assert watch.enabled == ["first", "second"]
    watch.tasks.finish(first)
    assert watch.enabled == ["first", "second", "ordered"]
    watch.tasks.finish(ordered)
    assert watch.enabled == ["first", "second", "ordered", "after"]


def test_HEAD_OF_QUEUE_passes_whoever_waits() -> None:
    watch = Watch()
    first = watch.submit("first")
    watch.submit("ordered", ORDERED)
    watch.submit("simple")
    head = watch.submit("head", HEAD)
    second = watch.submit("second head", HEAD)
    assert watch.enabled == ["first", "head", "second head"]
    watch.submit("new")
    for command in (first, head):
        watch.tasks.finish(command)
    assert watch.enabled == ["first", "head", "second head"]
    watch.tasks.finish(second)
    assert watch.enabled[3:] == ["ordered"]


@pytest.mark.parametrize(
    ("older", "newer", "waits"),
    [
        (writes(0), writes(0), True),
        (writes(0), reads(0), True),
        (reads(0), writes(0), True),
        (reads(0), reads(0), False),
        (writes(0, 8), writes(7), True),
        (writes(0, 8), writes(8), False),
        (writes(0, 0), writes(0), False),
        (writes(0), None, False),
        (None, writes(0), False),
    ],
)
def test_commands_of_a_nexus_that_touch_the_same_blocks_keep_their_order(
    older: Footprint | None, newer: Footprint | None, waits: bool
) -> None:
    watch = Watch()
    first = watch.submit("older", footprint=older)
    watch.submit("newer", footprint=newer)
    watch.submit("another's", nexus=TWO, footprint=newer)
    assert ("newer" not in watch.enabled) is waits
    assert "another's" in watch.enabled
    watch.tasks.finish(first)
    assert "newer" in watch.enabled


def test_what_ends_in_its_own_call_does_not_pile_up() -> None:
    watch = Watch(TaskSet(limit=10_000))
    first = watch.submit("0", footprint=writes(0))
    for number in range(1, 1200):
        watch.submit(str(number), footprint=writes(0), then=watch.tasks.finish)
    assert watch.enabled == ["0"]
    watch.tasks.finish(first)
    assert watch.enabled == [str(number) for number in range(1200)]
    assert len(watch.tasks) == 0


def test_what_is_cleared_does_not_begin_because_others_are_cleared() -> None:
    watch = Watch()
    watch.submit("first", footprint=writes(0))
    watch.submit("second", footprint=writes(0))
    watch.submit("theirs", ORDERED, nexus=TWO)
    watch.tasks.clear(lambda nexus: Clearing.ABORTED if nexus == ONE else None)
    assert watch.enabled == ["first", "theirs"]
    assert watch.cleared == [("first", Clearing.ABORTED), ("second", Clearing.ABORTED)]
    assert watch.tasks.nexuses == {TWO}


def test_what_is_dropped_hears_nothing() -> None:
    watch = Watch()
    watch.submit("first", footprint=writes(0))
    waiting = watch.submit("second", footprint=writes(0))
    watch.tasks.drop(ONE)
    assert (watch.enabled, watch.cleared, len(watch.tasks)) == (["first"], [], 0)
    watch.tasks.finish(waiting)


def test_a_command_may_be_ended_by_the_one_that_is_enabled_before_it() -> None:
    watch = Watch()
    first = watch.submit("first", ORDERED)
    watch.submit("killer", then=lambda _: watch.tasks.drop(TWO))
    watch.submit("victim", nexus=TWO)
    watch.tasks.finish(first)
    assert watch.enabled == ["first", "killer"]


def test_one_that_fails_does_not_stop_the_others() -> None:
    def fail(_: Command) -> None:
        raise RuntimeError("the transport is broken")

    watch = Watch()
    with pytest.raises(RuntimeError):
        watch.submit("broken", then=fail)
    watch.submit("next")
    assert watch.enabled == ["broken", "next"]


def test_the_limit_and_the_repr() -> None:
    watch = Watch(TaskSet(limit=1))
    full = [watch.tasks.full]
    command = watch.submit("only")
    full.append(watch.tasks.full)
    assert full == [False, True]
    assert command in watch.tasks
    assert repr(watch.tasks) == "<TaskSet 1 of 1 commands, 1 enabled>"


# --- against a model that looks at everything, every time ------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """A command of the model; `number` says when it came."""

    number: int
    attribute: Attribute
    nexus: Nexus
    footprint: Footprint | None

    def waits_for(self, other: Order) -> bool:
        if self.attribute is HEAD:
            return False
        if other.attribute is HEAD:
            return True
        if other.number > self.number:
            return False
        if ORDERED in (self.attribute, other.attribute):
            return True
        mine, its = self.footprint, other.footprint
        return mine is not None and its is not None and self.nexus == other.nexus and mine.conflicts(its)


footprints = st.none() | st.builds(Footprint, st.integers(0, 3), st.integers(0, 2), st.booleans())
arrivals = st.tuples(st.sampled_from([SIMPLE, SIMPLE, SIMPLE, ORDERED, HEAD]), st.sampled_from([ONE, TWO]), footprints)
#: Something comes, or the nth of what is there ends, or all of a nexus is cleared
steps = st.lists(arrivals | st.integers(0, 7) | st.sampled_from([ONE, TWO]), max_size=40)
Step = tuple[Attribute, Nexus, Footprint | None] | int | Nexus


def model_after(steps: Sequence[Step]) -> tuple[list[Order], set[int]]:
    """Give what is left after the steps, and which have been enabled at any time."""
    there: list[Order] = []
    enabled: set[int] = set()
    came = 0
    for step in steps:
        if isinstance(step, Nexus):
            there = [order for order in there if order.nexus != step]
        elif isinstance(step, int):
            able = [order for order in there if order.number in enabled]
            if able:
                there.remove(able[step % len(able)])
        else:
            there.append(Order(came, *step))
            came += 1
        enabled |= {one.number for one in there if not any(one.waits_for(other) for other in there if other is not one)}
    return there, enabled


@settings(max_examples=300, deadline=None, derandomize=True)
@given(steps)
def test_it_does_what_the_model_does(steps: list[Step]) -> None:
    watch = Watch()
    commands: dict[int, Command] = {}
    for done, step in enumerate(steps, 1):
        if isinstance(step, Nexus):
            watch.tasks.clear(lambda nexus, gone=step: Clearing.RESET if nexus == gone else None)  # type: ignore[misc]
        elif isinstance(step, int):
            able = [n for n in commands if commands[n] in watch.tasks and str(n) in watch.enabled]
            if able:
                watch.tasks.finish(commands[able[step % len(able)]])
        else:
            attribute, nexus, footprint = step
            number = len(commands)
            commands[number] = watch.submit(str(number), attribute, nexus=nexus, footprint=footprint)
        there, enabled = model_after(steps[:done])
        assert [n for n, command in commands.items() if command in watch.tasks] == [order.number for order in there]
        assert {int(name) for name in watch.enabled} == enabled
        assert len(watch.enabled) == len(set(watch.enabled))
    # Nothing is lost: when all that may has ended, nothing is left.
    for _ in range(len(watch.tasks)):
        watch.tasks.finish(next(c for n, c in commands.items() if c in watch.tasks and str(n) in watch.enabled))
    assert len(watch.tasks) == 0


def test_the_model_can_be_disagreed_with() -> None:
    write = (SIMPLE, ONE, writes(0))
    assert model_after([write, write])[1] == {0}
    assert model_after([write, (SIMPLE, TWO, writes(0))])[1] == {0, 1}
    assert model_after([write, write, 0])[1] == {0, 1}
    assert model_after([write, (ORDERED, ONE, None), (HEAD, ONE, None)])[1] == {0, 2}
