from __future__ import annotations

import pytest

from iscsiproxy.capture.comments import Comments
from iscsiproxy.capture.marks import CAPTURE, Act, Closing, Delivery, acts_of, closing_of, delivery_of, garbage_of
from iscsiproxy.journal import Veil
from iscsiproxy.session.events import Change, Delivered, Event
from tests.journal.story import TARGET, Story, change, command

__all__: list[str] = []


def said(*events: Event) -> list[str]:
    """Give what the writer of captures says of events."""
    maker = Comments(Veil())
    found = [
        maker.on_delivered(event) if isinstance(event, Delivered) else maker.on_received(event) for event in events
    ]
    return [comment for comment in found if comment is not None]


def test_an_act_with_changes_is_read_back_on_both_sides() -> None:
    story = Story()
    n = story.came(command(1))
    changes = (change("ITT", "0x1", "0x2"), change("text.TargetName", "iqn.a", "iqn.b"))
    story.fired("dup/1", "duplicate", n, "sent twice", *changes)
    story.went(command(2), n, changes=changes, rules=["dup/1"])
    on_received, on_delivered = said(*story.events)
    assert acts_of([on_received]) == [
        Act(rule="dup/1", act="duplicate", text="ITT 0x1 -> 0x2, text.TargetName iqn.a -> iqn.b", changes=changes)
    ]
    assert delivery_of([on_delivered]) == Delivery(rules=("dup/1",), changes=changes)


def test_an_act_in_words_is_read_back() -> None:
    story = Story()
    n = story.came(command(1))
    story.fired("slow/later", "delay", n, "held for 2 s, or so")
    story.went(command(1), n, rules=["slow/later"])
    on_received, on_delivered = said(*story.events)
    assert acts_of([on_received]) == [Act(rule="slow/later", act="delay", text="held for 2 s, or so")]
    assert delivery_of([on_delivered]) == Delivery(rules=("slow/later",))


def test_several_rules_are_read_back() -> None:
    story = Story()
    n = story.came(command(1))
    story.fired("a/1", "set", n, "CmdSN 1 -> 2", change("CmdSN", 1, 2))
    changes = (change("CmdSN", 1, 2), change("header-digest", "", "00"))
    story.went(command(2), n, changes=changes, rules=["a/1", "b/1"])
    assert delivery_of(said(*story.events)[-1:]) == Delivery(rules=("a/1", "b/1"), changes=changes)


def test_decisions_and_notes_are_read_back() -> None:
    story = Story()
    n = story.came(command(1))
    story.decided("r/1", "failed", n, "no such field: x")
    story.noted("r/1", n, "look: here")
    story.violated(TARGET, TARGET, n, "CmdSN skipped")
    assert acts_of(said(*story.events)) == [
        Act(rule="r/1", decision="failed", text="no such field: x"),
        Act(rule="r/1", text="look: here"),
    ]


def test_what_the_proxy_made_is_told_from_what_it_changed() -> None:
    story = Story()
    story.went(command(1), None)
    story.went(command(1), None, rules=["inject/1"])
    n = story.came(command(2))
    story.went(command(3), n, changes=[change("text.TargetAddress", "10.0.0.2:3260", "10.0.0.1:3261")])
    made, injected, changed = said(*story.events)
    assert delivery_of([made]) == Delivery(authored=True)
    assert delivery_of([injected]) == Delivery(rules=("inject/1",), authored=True)
    assert delivery_of(["iscsiproxy: rule : sent by the proxy"]) == Delivery(rules=("",), authored=True)
    assert delivery_of([changed]) == Delivery(
        changes=(Change(what="text.TargetAddress", old="10.0.0.2:3260", new="10.0.0.1:3261"),)
    )


def test_a_PDU_that_nobody_touched_has_nothing_to_read() -> None:
    assert delivery_of([]) == Delivery()
    assert delivery_of(["somebody else: rule a/1 set: A 1 -> 2"]) == Delivery()
    assert acts_of(["somebody else: rule a/1 set: A 1 -> 2"]) == []


def test_words_that_are_not_known_tell_of_a_fault_all_the_same() -> None:
    assert delivery_of(["iscsiproxy: something is different"]) == Delivery(rules=(CAPTURE,))


def test_a_part_of_a_PDU_is_one() -> None:
    comments = ["iscsiproxy: rule a/1 split: cut in two", "iscsiproxy: bytes 0 to 10 of 48"]
    assert delivery_of(comments) == Delivery(rules=("a/1",), piece=(0, 10, 48))


@pytest.mark.parametrize(
    ("comments", "closing"),
    [
        ([], Closing()),
        (["iscsiproxy: closed by a fault"], Closing(fault=True)),
        (["iscsiproxy: the connection timed out; no such packet was seen"], Closing(timeout=True)),
    ],
)
def test_ends_are_read_back(comments: list[str], closing: Closing) -> None:
    assert closing_of(comments) == closing


def test_garbage_is_read_back() -> None:
    story = Story()
    story.unframed(TARGET, "a data segment of 1000000 bytes during login; really")
    assert garbage_of(said(*story.events)) == "a data segment of 1000000 bytes during login; really"
    assert garbage_of(["iscsiproxy: sent by the proxy"]) is None
