from __future__ import annotations

from random import Random

from iscsiproxy.engine.facts import Look
from iscsiproxy.runs.faces import Faces
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import data_in, nop_in, r2t, read, scsi_response

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET


class Legs:
    """A book, and looks at what comes in or goes out."""

    def __init__(self) -> None:
        self.trackers = {end: Tracker(end) for end in End}
        self.book = Faces()
        self.n = 0

    def look(self, pdu: Pdu, leg: End | None = None, *, arrival: bool = True) -> Look:
        self.n += 1
        here = leg or pdu.sender
        return Look(
            1,
            0.0,
            here,
            lambda conn, leg, pdu: self.trackers[leg].snapshot(conn, pdu),
            Random(1),
            self.book,
            pdu,
            self.n,
            arrival,
        )

    def capture(self, pdu: Pdu, leg: End | None = None, *, arrival: bool = True) -> Look:
        look = self.look(pdu, leg, arrival=arrival)
        self.book.bind("n", look, each=False)
        return look

    def face(self, leg: End, field: str) -> int:
        face = self.book["n"].face(leg)
        assert face is not None
        return face[field]


def test_the_face_of_a_pdu_that_went_is_what_went() -> None:
    legs = Legs()
    look = legs.capture(read(1, 5))
    assert legs.face(TARGET, "CmdSN") == 5
    legs.book.delivered(look.n, TARGET, read(1, 9))
    legs.book.delivered(look.n, TARGET, read(1, 10))
    assert (legs.face(TARGET, "CmdSN"), legs.face(INITIATOR, "CmdSN")) == (9, 5)


def test_until_it_goes_its_number_is_as_far_away_as_that_of_the_last() -> None:
    legs = Legs()
    legs.book.moved(legs.look(read(1, 0xFFFFFFFE)), read(1, 2))
    look = legs.capture(read(2, 0xFFFFFFFF))
    assert (legs.face(TARGET, "CmdSN"), legs.face(INITIATOR, "CmdSN")) == (3, 0xFFFFFFFF)
    legs.book.delivered(look.n, TARGET, read(2, 7))
    assert legs.face(TARGET, "CmdSN") == 7


def test_each_kind_of_number_has_its_own_distance() -> None:
    legs = Legs()
    legs.book.moved(legs.look(scsi_response(1, 100)), scsi_response(1, 98))
    legs.capture(read(2, 5))
    assert legs.face(TARGET, "CmdSN") == 5
    legs.capture(scsi_response(2, 101))
    assert legs.face(INITIATOR, "StatSN") == 99
    for pdu in (data_in(2, 0, StatSN=0), r2t(2, 5), nop_in(0xFFFFFFFF, 102)):
        legs.capture(pdu)
        assert legs.face(INITIATOR, "StatSN") == pdu["StatSN"]
    legs.capture(data_in(2, 1, S=1, StatSN=102))
    assert legs.face(INITIATOR, "StatSN") == 100


def test_a_request_takes_a_tag_over_from_a_capture_of_its_own_leg_only() -> None:
    for leg, same in ((INITIATOR, 5), (TARGET, 9)):
        for number in (5, 9):
            legs = Legs()
            legs.capture(read(1, same), leg, arrival=leg is INITIATOR)
            legs.book.request(legs.look(read(1, number), leg.other))
            assert not legs.book["n"].superseded
            legs.book.request(legs.look(read(1, number), leg))
            assert legs.book["n"].superseded is (number != same)


def test_the_other_face_of_what_an_expectation_captured() -> None:
    legs = Legs()
    legs.capture(read(1, 9), TARGET, arrival=False)
    legs.book.show("n", INITIATOR, read(1, 5))
    legs.book.show("n", TARGET, read(1, 77))
    assert (legs.face(INITIATOR, "CmdSN"), legs.face(TARGET, "CmdSN")) == (5, 9)
