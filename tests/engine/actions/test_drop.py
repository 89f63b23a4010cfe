from __future__ import annotations

from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, scsi_response, write

RULE = "rules:\n  - when: SCSI-Command nth 2\n    do: drop"


def test_only_that_pdu_does_not_go() -> None:
    talk = Dialogue(RULE)
    first, second, third = (write(itt, 8 + itt) for itt in (2, 3, 4))
    assert talk.say(first, second, third) == [first, third]
    assert talk.open_slots == []
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert talk.told("fired") == ["#1: not sent"]


def test_the_target_side_is_not_touched() -> None:
    talk = Dialogue(RULE)
    response = scsi_response(2, 101)
    talk.say(write(2, 10), write(3, 11))
    assert talk.say(response) == [response]
    assert [one.pdu for one in talk.sent(End.INITIATOR)][-1] == response


def test_what_a_later_delay_waits_for_may_be_behind_a_dropped_pdu() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1 as n\n    do: [drop, delay: SCSI-Command as m, note: on]")
    second = write(3, 11)
    assert talk.say(write(2, 10)) == []
    assert talk.open_slots == []
    assert talk.say(second) == [second]
    assert talk.told("noted") == ["#1: on"]
    assert talk.counts() == {"matched": 1, "fired": 1}
