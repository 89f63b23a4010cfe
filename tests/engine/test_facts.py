from __future__ import annotations

from iscsiproxy.engine.facts import Captured, Look
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, write


def test_the_state_is_read_once_and_only_when_asked() -> None:
    talk = Dialogue("rules:\n  - when: R2T as r")
    asked: list[tuple[int, End]] = []

    def state(conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        asked.append((conn, leg))
        return talk.state(conn, leg, pdu)

    look = Look(1, 0.0, End.TARGET, state, talk.engine.rng, {}, write(2, 10), 5)
    assert asked == []
    assert look.view is look.view
    assert look.session == look.session == 1
    assert asked == [(1, End.TARGET), (1, End.INITIATOR)]
    other = look.of(write(3, 11))
    assert (other.view, other.session, other.n) == (look.view, 1, 5)
    assert len(asked) == 2
    assert look.within(look.captures) is look
    assert look.within({"n": Captured(look, 1, [])}).view is look.view


def test_a_capture_has_a_face_for_each_leg() -> None:
    talk = Dialogue("rules:\n  - when: R2T as r")
    pdu, changed = write(2, 10), write(2, 11)
    captured = Captured(Look(1, 0.0, End.INITIATOR, talk.state, talk.engine.rng, {}, pdu), 1, [])
    assert captured.face(End.TARGET) is pdu
    captured.faces[End.TARGET] = changed
    assert (captured.face(End.INITIATOR), captured.face(End.TARGET), captured.pdu) == (pdu, changed, pdu)
