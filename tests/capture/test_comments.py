from __future__ import annotations

from collections.abc import Sequence

from iscsiproxy.capture.comments import Comments
from iscsiproxy.journal import Veil
from iscsiproxy.session.events import Delivered, Event
from tests.journal.story import INITIATOR, TARGET, Story, change, command

__all__: list[str] = []


def comments(events: Sequence[Event]) -> list[str]:
    maker = Comments(Veil())
    found = [
        maker.on_delivered(event) if isinstance(event, Delivered) else maker.on_received(event) for event in events
    ]
    return [comment for comment in found if comment is not None]


def test_what_nobody_touched_has_none() -> None:
    story = Story()
    story.logged_in()
    story.passed(command())
    story.ended()
    assert comments(story.events) == []


def test_a_change_is_told_where_it_was_decided_and_where_it_went() -> None:
    story = Story()
    n = story.came(command(1))
    story.fired("dup/1", "duplicate", n, "sent twice", change("ITT", "0x1", "0x2"))
    story.went(command(1), n)
    story.went(command(2), n, changes=[change("ITT", "0x1", "0x2")], rules=["dup/1"])
    assert comments(story.events) == ["iscsiproxy: rule dup/1 duplicate: ITT 0x1 -> 0x2"] * 2


def test_an_act_without_changes_is_told_in_its_words() -> None:
    story = Story()
    n = story.came(command(1))
    story.fired("slow/1", "delay", n, "held for 2 s")
    story.went(command(1), n, rules=["slow/1"])
    assert comments(story.events) == ["iscsiproxy: rule slow/1 delay: held for 2 s"] * 2


def test_several_rules_are_all_named() -> None:
    story = Story()
    n = story.came(command(1))
    story.fired("a/1", "set", n, "CmdSN 1 -> 2", change("CmdSN", 1, 2))
    story.fired("b/1", "corrupt", n, "header digest")
    story.went(command(2), n, changes=[change("CmdSN", 1, 2), change("header digest", "", "00")], rules=["a/1", "b/1"])
    assert comments(story.events)[-1] == (
        "iscsiproxy: rule a/1 set, rule b/1 corrupt: CmdSN 1 -> 2, header digest  -> 00"
    )


def test_an_act_on_another_PDU_is_not_named() -> None:
    story = Story()
    n = story.came(command(1))
    story.fired("a/1", "set", n, "CmdSN 1 -> 2")
    m = story.came(command(2))
    story.went(command(2), m, rules=["a/1"], changes=[change("CmdSN", 2, 3)])
    assert comments(story.events)[-1] == "iscsiproxy: rule a/1: CmdSN 2 -> 3"


def test_what_the_proxy_sends_of_its_own_is_said_to_be_so() -> None:
    story = Story()
    story.went(command(1), None)
    story.went(command(1), None, rules=["inject/1"])
    n = story.came(command(2))
    story.went(command(3), n, changes=[change("CmdSN", 2, 3)])
    assert comments(story.events) == [
        "iscsiproxy: sent by the proxy",
        "iscsiproxy: rule inject/1: sent by the proxy",
        "iscsiproxy: CmdSN 2 -> 3",
    ]


def test_notes_violations_and_failures_are_told_and_other_decisions_not() -> None:
    story = Story()
    n = story.came(command(1))
    story.noted("r/1", n, "look here")
    story.violated(TARGET, INITIATOR, n, "CmdSN skipped", "4.2.2.1")
    story.violated(TARGET, INITIATOR, n, "CmdSN skipped", "RFC 7143 4.2.2.1")
    story.decided("r/1", "failed", n, "no such field")
    story.decided("r/1", "matched", n, "first")
    story.unframed(TARGET, "garbage")
    assert comments(story.events) == [
        "iscsiproxy: note of rule r/1: look here",
        "iscsiproxy: initiator: CmdSN skipped (RFC 7143 4.2.2.1)",
        "iscsiproxy: initiator: CmdSN skipped (RFC 7143 4.2.2.1)",
        "iscsiproxy: rule r/1 failed: no such field",
        "iscsiproxy: no PDUs any more: garbage; what follows passes raw and is not captured",
    ]


def test_answers_are_left_out() -> None:
    story = Story()
    n = story.came(command(1))
    story.fired("r/1", "set", n, "set text.CHAP_R to 0x5ec2e7", change("text.CHAP_R", "0x5ec2e7", "0x5ec2e8"))
    story.fired("r/1", "set", n, "set text.CHAP_R to 0x5ec2e7")
    story.went(command(1), n, rules=["r/1"], changes=[change("text.CHAP_R", "0x5ec2e7", "0x5ec2e8")])
    assert not any("5ec2" in comment for comment in comments(story.events))


def test_its_repr_tells_its_state() -> None:
    assert repr(Comments(Veil())) == "<Comments 0 PDUs with acts>"
