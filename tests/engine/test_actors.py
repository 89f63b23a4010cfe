from __future__ import annotations

import pytest

from iscsiproxy.engine.actors import Announced
from iscsiproxy.engine.work import ActError
from iscsiproxy.wire.opcodes import End, Opcode
from tests.engine.dialogue import NO_TAG, Dialogue, nop_in, read, scsi_response, write

STEPS = """\
scenario: x
victim: target
actor:
  - login: {as: A}
  - send: {conn: A, pdu: SCSI-Command, CDB: WRITE lba=8 blocks=2, I: 1, as: n}
  - delay: SCSI-Response of n
  - probe: {pdu: NOP-Out, conn: A}
  - delay: barrier
  - send: {pdu: Logout-Request, CID: A.CID, as: gone}
rules:
  - when: SCSI-Command of n nth 1
    do: {note: seen}
"""


class Play:
    """An actor's steps, asked for by hand."""

    def __init__(self) -> None:
        self.talk = Dialogue(STEPS)
        self.steps = self.talk.engine.actors["x"]
        self.ended: list[str] = []

    def ask(self, index: int) -> None:
        """Do an act of the engine's."""
        engine = self.talk.engine
        look = engine.glance(1)
        self.talk._carry_out(
            engine.asked(self.talk.now, lambda _: self.steps.perform(engine, index, look, self.ended.append))
        )

    def announce(self, name: str, tag: int) -> None:
        """Say what is to come."""
        self.steps.announced.append(Announced(name=name, conn=1, opcode=Opcode.SCSI_COMMAND, tag=tag))


def test_a_pdu_is_known_by_its_name_before_rules_see_it() -> None:
    play = Play()
    play.announce("n", 7)
    play.talk.say(write(6, 10))
    assert play.talk.told("noted") == []
    play.talk.say(write(7, 11))
    assert play.talk.told("noted") == ["#1: seen"]
    assert play.steps.announced == []


@pytest.mark.parametrize("values", [{"conn": 2}, {"opcode": Opcode.NOP_OUT}, {"tag": 8}])
def test_only_the_one_that_was_announced(values: dict[str, int]) -> None:
    play = Play()
    announced = {"name": "n", "conn": 1, "opcode": Opcode.SCSI_COMMAND, "tag": 7, **values}
    play.steps.announced.append(Announced(**announced))  # type: ignore[arg-type] # the names are right
    play.talk.say(write(7, 10))
    assert play.talk.told("noted") == []


def test_a_step_waits_for_its_moment() -> None:
    play = Play()
    play.announce("n", 7)
    play.talk.say(read(7, 10))
    play.ask(2)
    play.talk.say(scsi_response(6, 101))
    assert play.ended == []
    play.talk.say(scsi_response(7, 102))
    assert play.ended == ["fired"]


def test_a_probe_is_sent_on_its_connection_and_waits_for_the_answer() -> None:
    play = Play()
    play.talk.engine.christen("x", "A", 1)
    play.ask(3)
    ping = play.talk.sent(End.TARGET)[-1].pdu
    assert (ping.label, ping["I"], ping["CmdSN"]) == ("NOP-Out", 1, 10)
    assert play.ended == []
    play.talk.say(nop_in(ping["ITT"], 101))
    assert play.ended == ["fired"]


def test_a_barrier_passes() -> None:
    play = Play()
    play.ask(4)
    ping = play.talk.sent(End.TARGET)[-1].pdu
    play.talk.say(nop_in(ping["ITT"], 101))
    play.talk.tick(1)
    assert play.ended == ["fired"]


def test_what_still_waits_at_the_end_is_told() -> None:
    play = Play()
    play.ask(2)
    play.talk.end()
    assert play.ended == ["expired"]


def test_a_template_has_the_actors_own_values_where_it_gives_none() -> None:
    play = Play()
    engine = play.talk.engine
    pdu, given = play.steps.template(engine, 1, engine.glance(1), {"ITT": 0x55, "LUN": 3, "I": 0})
    assert (pdu["ITT"], pdu["LUN"], pdu["I"], pdu["W"], pdu["EDTL"]) == (0x55, 3 << 48, 1, 1, 1024)
    assert given == {"CDB", "I"}


def test_a_connection_has_a_name_and_facts() -> None:
    play = Play()
    engine = play.talk.engine
    with pytest.raises(ActError, match="A is not bound"):
        play.steps.values(engine, 5, engine.glance(1))
    engine.christen("x", "A", 1)
    assert play.steps.values(engine, 5, engine.glance(1)) == {"CID": 1}


def test_it_says_how_many_steps_there_are() -> None:
    assert repr(Play().steps) == "<ActorSteps 6 of x>"
    assert NO_TAG == 0xFFFFFFFF
