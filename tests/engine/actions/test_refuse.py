from __future__ import annotations

from iscsiproxy.engine.commands import Refuse
from tests.engine.dialogue import Dialogue
from tests.language.samples import outcome

__all__: list[str] = []


def rules(*lines: str) -> str:
    return "rules:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


def test_a_connection_is_not_accepted() -> None:
    talk = Dialogue(rules("when: connect nth 2, do: refuse"))
    talk.connect(2)
    talk.connect(3, ISID=0x800000000003)
    assert [one for one in talk.wire if isinstance(one, str)] == ["refused 2"]
    assert [one.conn for one in talk.commands if isinstance(one, Refuse)] == [2]
    assert talk.told("fired") == ["#1: not accepted"]
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_everybody_sees_a_connection_once_refused_or_not() -> None:
    talk = Dialogue(
        rules(
            "when: connect, do: {note: seen}",
            "when: connect nth 2..3, do: refuse",
            "when: connect then connect then connect then connect, do: {note: fourth}",
        )
    )
    for conn in (2, 3, 4):
        talk.connect(conn, ISID=0x800000000000 + conn)
    assert talk.counts("#1") == {"matched": 4, "fired": 4}
    assert talk.counts("#2") == {"matched": 2, "fired": 2}
    assert talk.told("noted").count("#3: fourth") == 1


def test_a_list_that_waits_for_a_connection_sees_it_once() -> None:
    talk = Dialogue(
        rules(
            "when: connect nth 2, do: [{delay: connect}, {note: one more}, {delay: connect}, {note: two more}]",
            "when: connect nth 4, do: refuse",
        )
    )
    talk.connect(2, ISID=0x800000000002)
    assert talk.told("noted") == []
    talk.connect(3, ISID=0x800000000003)
    assert talk.told("noted") == ["#1: one more"]
    talk.connect(4)
    assert talk.told("noted") == ["#1: one more", "#1: two more"]


def test_the_first_refusal_is_the_fate() -> None:
    talk = Dialogue(rules("when: connect nth 2, do: refuse", "when: connect nth 2, do: [{note: me too}, refuse]"))
    talk.connect(2)
    assert talk.told("shadowed") == ["#2: refuse: it is refused already"]
    assert talk.told("noted") == ["#2: me too"]
    assert talk.counts("#1") == {"matched": 1, "fired": 1}
    assert talk.counts("#2") == {"matched": 1, "shadowed": 1}


def test_the_close_of_a_refused_connection_is_by_the_proxy() -> None:
    talk = Dialogue(
        rules(
            "when: connect nth 2, do: refuse",
            "when: close from proxy, do: {note: closed}",
            "when: fault, do: {note: f}",
        )
    )
    talk.connect(2)
    assert sorted(talk.told("noted")) == ["#2: closed", "#3: f"]


def test_it_may_look_at_the_connection() -> None:
    talk = Dialogue(rules("when: connect where conn.nth in (2 .. 3), do: refuse"))
    for conn in (2, 3, 4):
        talk.connect(conn, ISID=0x800000000000 + conn)
    assert [one for one in talk.wire if isinstance(one, str)] == ["refused 2", "refused 3"]


def test_a_capture_of_a_refused_connection() -> None:
    talk = Dialogue(rules("when: connect nth 2 as c, do: refuse", "when: close of c from proxy, do: {note: its end}"))
    talk.connect(2)
    assert talk.told("noted") == ["#2: its end"]


def test_a_machine_may_refuse() -> None:
    talk = Dialogue(
        "machines: {m: {states: {a: [{when: connect nth 2, do: {goto: b}}],"
        " b: [{when: connect, do: refuse}, {when: connect nth 2, do: {goto: a}}]}}}"
    )
    for conn in (2, 3, 4, 5):
        talk.connect(conn, ISID=0x800000000000 + conn)
    assert [one for one in talk.wire if isinstance(one, str)] == ["refused 3", "refused 4"]


def test_behind_the_end_nothing_is_refused() -> None:
    talk = Dialogue(rules("when: connect after 1, do: refuse"))
    talk.end()
    talk.connect(2, ISID=0x800000000002)
    assert [one for one in talk.wire if isinstance(one, str)] == []


def test_it_stands_before_whatever_takes_time() -> None:
    error = outcome(lambda: Dialogue(rules("when: connect, do: [{delay: 1s}, refuse]")))
    assert "`refuse` comes before `delay`" in str(error)
    error = outcome(lambda: Dialogue(rules("when: close, do: refuse")))
    assert "`refuse` acts on `connect` only" in str(error)
    Dialogue(rules("when: connect after 1, do: [{note: no}, refuse, {delay: 1s}, {note: that was it}]"))
