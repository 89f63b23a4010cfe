from __future__ import annotations

from iscsiproxy.engine.commands import Finish, Report, Send
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, write


def test_an_untouched_pdu_needs_no_command() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command as n\n  - when: SCSI-Command\n    do: {note: seen}")
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu]
    assert not any(isinstance(command, Send | Finish) for command in talk.commands)
    assert talk.counts("#1") == {"matched": 1, "fired": 1}


def test_every_slot_is_finished_once() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: [duplicate, delay: 1s, pass, delay: 1s, note: end]")
    talk.say(write(2, 10))
    talk.tick(3)
    assert len([command for command in talk.commands if isinstance(command, Finish)]) == 1
    assert talk.told("noted") == ["#1: end"]


def test_rules_see_the_state_before_the_pdu_also_behind_a_pause() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: [delay: 1s, set: {EDTL: conn.outstanding}]")
    talk.say(write(2, 10), write(3, 11))
    (first, _) = talk.tick(1)
    assert first["EDTL"] == 0


def test_an_act_that_cannot_be_done_stops_the_list_behind_a_pause_too() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command nth 1\n    do: [set: {LUN: 1}, delay: 1s, set: {EDTL: n.EDTL}, note: never]"
        "\n  - when: SCSI-Command nth 2 as n\n  - when: SCSI-Command nth 1\n    do: {set: {EDTL: 5}}"
    )
    pdu = write(2, 10)
    talk.say(pdu)
    (out,) = talk.tick(1)
    assert out == pdu.with_fields({"EDTL": 5})
    assert talk.told("failed") == ["#1: set: EDTL is absent"]
    assert talk.told("noted") == []
    assert talk.counts("#3") == {"matched": 1, "fired": 1}


def test_a_report_says_what_was_acted_on() -> None:
    talk = Dialogue("rules:\n  - name: zap\n    when: SCSI-Command\n    do: {set: {EDTL: 5}}")
    talk.say(write(2, 10))
    (report,) = [one for one in talk.commands if isinstance(one, Report)]
    assert (report.kind, report.rule, report.act, report.conn) == ("fired", "x/zap", "set", 1)
    assert report.label.startswith("SCSI-Command ITT=0x00000002")
    assert [str(change) for change in report.changes] == ["EDTL 4096 -> 5"]
    assert talk.sent(End.TARGET)[-1].of == report.of
