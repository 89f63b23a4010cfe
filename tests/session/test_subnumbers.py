from __future__ import annotations

from iscsiproxy.session.subnumbers import TASKS_KEPT, Tags, TaskNumbers
from iscsiproxy.wire.fields import NO_TAG

__all__: list[str] = []


def test_no_map_without_need() -> None:
    tasks = TaskNumbers()
    assert not tasks
    assert tasks.answers(1) is None
    assert tasks.burst(1, NO_TAG) is None
    tasks.want_ack(1, 5)
    assert tasks.acked_by(5) is None


def test_each_burst_counts_for_itself() -> None:
    tasks = TaskNumbers()
    assert tasks.part_burst(1, 7).insert(1) == 1
    assert tasks.part_burst(1, 7).insert(1) == 2
    burst = tasks.burst(1, 7)
    assert burst is not None
    assert burst.forward(1) == 3
    assert tasks.burst(1, 8) is None
    assert tasks.burst(2, 7) is None
    # An R2T with the same tag begins a new one.
    tasks.solicit(1, 7)
    tasks.solicit(2, 7)
    assert tasks.burst(1, 7) is None


def test_a_new_task_counts_anew() -> None:
    tasks = TaskNumbers()
    tasks.part_answers(1).remove(0)
    tasks.want_ack(1, 5)
    acked = tasks.acked_by(5)
    assert acked is not None
    assert acked.back_expected(0) == 1
    tasks.begin(1)
    assert tasks.answers(1) is None
    assert tasks.acked_by(5) is None
    assert not tasks


def test_what_is_kept_is_bounded() -> None:
    tasks = TaskNumbers()
    for itt in range(TASKS_KEPT + 5):
        tasks.part_answers(itt).insert(1)
        tasks.want_ack(itt, itt)
        tasks.part_burst(TASKS_KEPT + 4, itt).insert(1)
    assert tasks.answers(4) is None
    assert tasks.answers(TASKS_KEPT + 4) is not None
    assert tasks.acked_by(4) is None
    assert tasks.burst(TASKS_KEPT + 4, 0) is None
    assert repr(tasks) == f"<TaskNumbers of {TASKS_KEPT} tasks>"


def test_a_tag_of_the_proxy() -> None:
    tags = Tags()
    assert not tags
    tags.own(5)
    assert tags
    assert tags.begin(4) == 4
    assert tags.begin(NO_TAG) == NO_TAG
    other = tags.begin(5)
    assert other not in (5, NO_TAG)
    assert tags.forward(5) == tags.begin(5) == other
    assert tags.back(other) == 5
    # The other tag is taken now: an initiator that picks it gets a third.
    third = tags.begin(other)
    assert third not in (5, other)
    assert tags.back(third) == other
    # A task that had another tag once keeps it: references and retries stay right.
    tags.disown(5)
    assert tags.begin(5) == other
    assert tags.back(5) == 5


def test_disowned_in_time() -> None:
    tags = Tags()
    tags.own(5)
    tags.disown(5)
    assert not tags
    assert tags.begin(5) == 5


def test_tags_are_bounded() -> None:
    tags = Tags()
    for itt in range(5000):
        tags.own(itt)
        tags.begin(itt)
    assert tags.forward(0) == 0
    assert tags.back(tags.forward(4999)) == 4999
    assert repr(tags) == "<Tags 5000 own, 4096 changed>"
