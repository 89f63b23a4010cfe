from __future__ import annotations

from iscsiproxy.engine.commands import Close
from iscsiproxy.session.events import Bound
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, nop_out, read, scsi_response, write


def test_tokens_are_never_given_twice() -> None:
    engine = Dialogue("rules:\n  - when: R2T as r").engine
    assert len({engine.token() for _ in range(10)}) == 10


def test_what_is_bound_is_told_with_the_event_it_is_bound_to() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command as n\n  - when: NOP-Out as each ping\n    do: {duplicate: {as: copy}}\n"
    )
    talk.say(write(1, 10), nop_out(2, 11, I=1))
    bound = [event for event in talk.tells if isinstance(event, Bound)]
    received = {event.n: event for event in talk.events}
    assert [(one.rule, one.name, one.each, one.made) for one in bound] == [
        ("x/#1", "n", False, False),
        ("x/#2", "ping", True, False),
        ("x/#2", "copy", False, True),
    ]
    assert [type(received[one.of]).__name__ for one in bound] == ["Received", "Received", "Delivered"]


def test_connections_are_open_until_one_of_their_legs_has_ended() -> None:
    talk = Dialogue("rules:\n  - when: R2T as r")
    engine = talk.engine
    assert engine.open_connections() == [1]
    assert engine.alive(1)
    talk.closed(End.TARGET, by="fault")
    assert engine.open_connections() == []
    assert not engine.alive(1)
    assert not engine.alive(2)


def test_a_look_at_a_connection_has_its_state_and_no_pdu() -> None:
    talk = Dialogue("rules:\n  - when: R2T as r")
    look = talk.engine.glance(1)
    assert look.pdu is None
    assert look.session == talk.engine.session(1) != 0
    assert talk.engine.session(9) == 0


def test_the_first_act_that_reaches_the_wire_is_the_fault() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command nth 2\n    do: {set: {LUN: 1}}\n  - when: fault\n    do: {note: now}\n"
    )
    talk.say(read(1, 10))
    assert talk.told("noted") == []
    talk.say(read(2, 11))
    assert talk.told("noted") == ["#2: now"]


def test_ends_that_hold_different_things_are_reset_at_the_end() -> None:
    talk = Dialogue("rules:\n  - when: Text-Request\n    do: {text: {add: [A=b]}}\n")
    talk.end()
    assert not [one for one in talk.commands if isinstance(one, Close)]
    talk = Dialogue("rules:\n  - when: Login-Request\n    do: {text: {add: [MaxBurstLength=512]}}\n")
    talk.say(read(1, 10), scsi_response(1, 101))
    talk.end()
    assert [(one.how, one.end) for one in talk.commands if isinstance(one, Close)] == [("rst", "both")]
