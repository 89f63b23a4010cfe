from __future__ import annotations

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.settling import Settled, Unsolicited
from iscsiproxy.engine.standing import Standing
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, data_in, data_out, nop_in, r2t, read, scsi_response, write


def look_at(talk: Dialogue, pdu: Pdu) -> Look:
    return Look(1, 0.0, pdu.sender, talk.state, talk.engine.rng, {}, pdu, 9)


def test_the_commands_without_a_status_are_known() -> None:
    talk, settled = Dialogue("rules:\n  - when: R2T as r"), Settled()
    for pdu in (write(1, 10), read(2, 11), read(3, 12), data_in(2, 0, S=1, F=1), scsi_response(3, 102), data_in(1, 0)):
        assert not settled.wants(look_at(talk, pdu))
    session = look_at(talk, write(1, 10)).session
    assert [look.pdu and look.pdu["ITT"] for look in settled.commands(session)] == [1]
    assert settled.commands(session + 1) == []
    settled.forget(1, End.TARGET)
    assert settled.commands(session) == []
    assert repr(settled) == "<Settled 0 commands open, 0 settled>"


def test_what_comes_of_a_settled_task_is_wanted_until_its_tag_is_used_again() -> None:
    talk, settled = Dialogue("rules:\n  - when: R2T as r"), Settled()
    settled.wants(look_at(talk, write(1, 10)))
    settled.add(look_at(talk, write(1, 10)).session, 1)
    for pdu in (data_out(1, 0), r2t(1, 5), scsi_response(1, 101), data_in(1, 0)):
        assert settled.wants(look_at(talk, pdu))
    assert not settled.wants(look_at(talk, data_out(2, 0)))
    assert not settled.wants(look_at(talk, nop_in(1, 101)))
    assert not settled.wants(look_at(talk, write(1, 11)))
    assert not settled.wants(look_at(talk, data_out(1, 0)))


def test_the_end_of_unsolicited_data_is_waited_for() -> None:
    talk, done, standing = Dialogue("rules:\n  - when: R2T as r"), [], list[Standing]()
    session = look_at(talk, write(1, 10)).session
    waits = Unsolicited(standing, session, 1, 1, lambda: done.append(True))
    standing.append(waits)
    assert not waits.wants(look_at(talk, data_out(1, 0)))
    assert not waits.wants(look_at(talk, data_out(2, 0, F=1)))
    assert waits.wants(look_at(talk, data_out(1, 1, F=1)))
    assert "0x1" in repr(waits)
    waits.forget(2, End.TARGET)
    assert standing == [waits]
    waits.forget(1, End.TARGET)
    assert standing == []
    assert not done
