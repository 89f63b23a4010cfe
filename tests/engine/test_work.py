from __future__ import annotations

from iscsiproxy.engine.commands import Report
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, scsi_response, write


def test_a_report_says_what_was_acted_on() -> None:
    talk = Dialogue("rules:\n  - name: zap\n    when: SCSI-Command\n    do: {set: {EDTL: 5}}")
    talk.say(write(2, 10))
    (report,) = [one for one in talk.commands if isinstance(one, Report)]
    assert (report.kind, report.rule, report.act, report.conn) == ("fired", "x/zap", "set", 1)
    assert report.label.startswith("SCSI-Command ITT=0x00000002")
    assert [str(change) for change in report.changes] == ["EDTL 4096 -> 5"]
    assert talk.sent(End.TARGET)[-1].of == report.of


def test_a_value_is_that_of_the_pdu_as_earlier_acts_left_it() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: [set: {EDTL: 5}, set: {EDTL: EDTL + 1}]")
    (sent,) = talk.say(write(2, 10))
    assert sent["EDTL"] == 6


def test_an_act_on_a_capture_needs_it_bound() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Response nth 9 as x\n"
        "  - when: SCSI-Command nth 1\n    do: {close: {how: rst, conn: x}}\n"
    )
    talk.say(write(2, 10))
    assert talk.say(scsi_response(2, 101)) != []
    assert talk.told("failed") == ["#2: close: x is not bound"]
