from __future__ import annotations

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, write


class Marker:
    """Sets the LUN of every command."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[int, End]] = []

    def wants(self, look: Look) -> bool:
        return look.pdu is not None and look.pdu.label == "SCSI-Command"

    def apply(self, hand: Hand) -> None:
        hand.change(hand.pdu.with_fields({"LUN": 7}), [Change(what="LUN", old="0", new="7")], "marker")

    def forget(self, conn: int, leg: End) -> None:
        self.forgotten.append((conn, leg))


def test_it_acts_behind_the_matching_and_before_the_acts() -> None:
    text = "rules:\n  - when: SCSI-Command where LUN == 0\n    do:\n      - set: {BHS.3: BHS.9}\n"
    talk = Dialogue(text)
    marker = Marker()
    talk.engine.standing.append(marker)
    (out,) = talk.say(write(1, 10))
    assert (out["LUN"], out.bhs[3]) == (7, 0)
    assert talk.counts() == {"matched": 1, "fired": 1}
    talk.closed(End.TARGET)
    assert marker.forgotten == [(1, End.TARGET)]


def test_it_goes_on_when_the_rules_are_over() -> None:
    talk = Dialogue("rules:\n  - when: R2T as r")
    talk.engine.standing.append(Marker())
    talk.end()
    assert talk.say(write(1, 10))[0]["LUN"] == 7
