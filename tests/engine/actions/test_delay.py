from __future__ import annotations

import pytest

from iscsiproxy.engine.commands import SetTimer
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, Sent, data_out, nop_in, nop_out, scsi_response, write


def rule(delay: str, when: str = "SCSI-Command nth 1 as n") -> str:
    return f"rules:\n  - when: {when}\n    do:\n      - delay: {delay}"


def test_what_is_behind_waits_and_all_goes_in_order() -> None:
    talk = Dialogue(rule("200ms"))
    first, second, third = write(2, 10), data_out(2, 0), write(3, 11)
    assert talk.say(first, second, third) == []
    assert talk.tick(0.1999) == []
    assert talk.tick(0.0002) == [first, second, third]
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert talk.sent(End.TARGET)[1].rules == ("x/#1",)
    assert talk.sent(End.TARGET)[1].pdu == first


def test_the_other_direction_does_not_wait() -> None:
    talk = Dialogue(rule("200ms"))
    response = scsi_response(9, 101)
    assert talk.say(write(2, 10)) == []
    assert talk.say(response) == [response]


def test_overtake_makes_only_that_pdu_late() -> None:
    talk = Dialogue(rule("{until: SCSI-Command where CmdSN == n.CmdSN + 1, overtake: yes}"))
    first, ping, second = write(2, 10), nop_out(9, 10, I=1), write(3, 11)
    assert talk.say(first, ping) == [ping]
    assert [pdu["ITT"] for pdu in talk.say(second)] == [2, 3]
    assert talk.open_slots == []


def test_a_delay_may_wait_for_what_is_queued_behind_it() -> None:
    talk = Dialogue(rule("SCSI-Command where CmdSN == n.CmdSN + 1 as m"))
    first, second = write(2, 10), write(3, 11)
    assert talk.say(first) == []
    assert talk.say(second) == [first, second]


def test_when_at_most_passes_the_pdu_goes_and_the_rule_has_not_fired() -> None:
    talk = Dialogue(rule("{until: Logout-Request, at_most: 5s}").replace("- delay", "- set: {LUN: 1}\n      - delay"))
    talk.say(write(2, 10))
    (pdu,) = talk.tick(5)
    assert pdu["LUN"] >> 48 == 1
    assert talk.counts() == {"matched": 1, "expired": 1}
    assert talk.engine.unfired() == ("x/#1",)
    assert talk.told("expired") == ["#1: Logout-Request did not come in 5 s"]


def test_without_an_at_most_it_waits_for_ever() -> None:
    talk = Dialogue(rule("{until: Logout-Request, at_most: no}"))
    pdu = write(2, 10)
    assert talk.say(pdu) == []
    assert talk.tick(100_000) == []
    assert talk.counts() == {"matched": 1}
    talk.end()
    assert talk.sent(End.TARGET)[-1].pdu == pdu
    assert talk.told("expired") == []


def test_a_moment_that_has_come_already_is_no_pause() -> None:
    talk = Dialogue(rule("n"))
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu]
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_a_list_of_moments_is_over_with_the_first() -> None:
    talk = Dialogue(rule("{until: [SNACK, 1s, NOP-Out]}"))
    pdu, ping = write(2, 10), nop_out(9, 11)
    assert talk.say(pdu) == []
    assert talk.say(ping) == [pdu, ping]
    assert talk.tick(10) == []


def test_the_counts_of_a_moment_begin_with_each_wait() -> None:
    talk = Dialogue(rule("NOP-Out nth 2", "SCSI-Command"))
    for itt in (2, 3):
        pdu = write(itt, 8 + itt)
        assert talk.say(pdu, nop_out(50, 9)) == []
        assert [one["ITT"] for one in talk.say(nop_out(51, 9))] == [itt, 50, 51]


def test_a_held_pdu_whose_sender_has_gone_is_dropped() -> None:
    talk = Dialogue(rule("close from initiator"))
    talk.say(write(2, 10))
    talk.closed(End.INITIATOR)
    assert len(talk.sent(End.TARGET)) == 1  # the login
    assert talk.open_slots == []
    assert talk.told("ended") == ["#1: #1: its sender has gone"]
    assert talk.counts() == {"matched": 1, "expired": 1}


def test_orphans_are_delivered_when_asked() -> None:
    talk = Dialogue(rule("{until: close from initiator, orphans: deliver}"))
    pdu = write(2, 10)
    talk.say(pdu)
    talk.closed(End.INITIATOR)
    last = talk.wire[-1]
    assert isinstance(last, Sent)
    assert last.pdu == pdu


def test_nothing_is_delivered_to_a_receiver_that_has_gone() -> None:
    talk = Dialogue(rule("5s"))
    talk.say(write(2, 10))
    talk.closed(End.TARGET, "rst")
    assert talk.open_slots == []
    assert talk.tick(10) == []
    assert talk.told("fired") == []


def test_at_the_end_held_pdus_go_in_order() -> None:
    talk = Dialogue(rule("Logout-Request", "SCSI-Command"))
    pdus = [write(itt, 8 + itt) for itt in (2, 3, 4)]
    assert talk.say(*pdus) == []
    talk.end()
    assert [one.pdu for one in talk.sent(End.TARGET)][1:] == pdus
    assert talk.open_slots == []
    assert talk.counts() == {"matched": 3, "expired": 3}


def test_a_range_is_drawn_with_the_seed() -> None:
    def times(seed: int) -> list[float]:
        talk = Dialogue(rule("100ms..200ms", "SCSI-Command"), seed=seed)
        talk.say(write(2, 10), write(3, 11))
        return [one.at for one in talk.commands if isinstance(one, SetTimer)]

    assert times(1) == times(1)
    assert times(1) != times(2)
    assert all(at == 60.0 or 0.1 <= at <= 0.2 for at in times(1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_latency_with_jitter_keeps_the_order_and_does_not_add_up(seed: int) -> None:
    talk = Dialogue("rules:\n  - when: Any-PDU\n    do: {delay: 5ms..20ms}", seed=seed, connect=False)
    talk.connect(login=False)
    sent: list[tuple[Pdu, float]] = []
    late: list[float] = []
    for itt in range(400):  # one each millisecond: several are on their way at any time
        if itt < 350:
            sent.append((nop_out(itt, 10), talk.now))
            assert talk.say(sent[-1][0]) == []
        for pdu in talk.tick(0.001):
            first, begun = sent[len(late)]
            assert pdu == first, "in their order"
            late.append(talk.now - begun)
    assert len(late) == 350
    assert 0.005 <= min(late) <= max(late) <= 0.0211, "each waits for itself alone"
    assert max(late) - min(late) > 0.005, "the times are drawn for each"


def test_the_other_way_is_late_too() -> None:
    talk = Dialogue("rules:\n  - when: Any-PDU\n    do: {delay: 5ms..20ms}", connect=False)
    talk.connect(login=False)
    assert talk.say(nop_in(1, 101)) == talk.tick(0.0049) == []
    assert len(talk.tick(0.016)) == 1
