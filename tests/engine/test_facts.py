from __future__ import annotations

from random import Random

import pytest

from iscsiproxy.engine.facts import Captured, Look
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, read, write
from tests.session.dialogue import NAMES, login_request


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


@pytest.mark.parametrize(("field", "bits"), [("CID", 16), ("TSIH", 16), ("ISID", 48)])
def test_a_fresh_name_is_none_that_is_in_hand(field: str, bits: int) -> None:
    text = f"rules:\n  - when: Login-Request\n    do: {{set: {{{field}: fresh}}}}\n"
    drawn = set()
    for seed in range(40):
        talk = Dialogue(text, seed=seed, connect=False)
        talk.connect(login=False)
        (out,) = talk.say(login_request(NAMES, CID=1, TSIH=1, ISID=0x800000000001))
        drawn.add(out[field])
        assert 0 < out[field] < 1 << bits
        assert out[field] not in (1, 0x800000000001)
    assert len(drawn) == 40
    assert field != "ISID" or {value >> 40 for value in drawn} == {0x80}


def test_a_fresh_name_in_a_template_is_not_that_of_the_connection() -> None:
    class Stubborn(Random):
        """Draws what is taken first."""

        def randint(self, a: int, b: int) -> int:
            return next(draws, super().randint(a, b))

    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {inject: {pdu: Logout-Request, CID: fresh}}\n")
    draws = iter([1, 0x1234, 77])
    talk.engine.rng = Stubborn(1)
    logout, _ = talk.say(read(1, 10))
    assert (logout["CID"], logout["ITT"]) == (0x1234, 77)


def test_a_capture_has_a_face_for_each_leg() -> None:
    talk = Dialogue("rules:\n  - when: R2T as r")
    pdu, changed = write(2, 10), write(2, 11)
    captured = Captured(Look(1, 0.0, End.INITIATOR, talk.state, talk.engine.rng, {}, pdu), 1, [])
    assert captured.face(End.TARGET) is pdu
    captured.faces[End.TARGET] = changed
    assert (captured.face(End.INITIATOR), captured.face(End.TARGET), captured.pdu) == (pdu, changed, pdu)
