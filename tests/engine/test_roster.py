from __future__ import annotations

from typing import Final

import pytest

from iscsiproxy.engine.commands import Close, Report, Tell
from iscsiproxy.engine.roster import _MAX_PAST
from iscsiproxy.session.events import Connected
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.engine.dialogue import Dialogue, data_out, nop_in, nop_out, r2t, read, scsi_response, write
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

__all__: list[str] = []

OTHER: Final = 0x80123456789B


def scenario(name: str, rules: str) -> str:
    return f"scenario: {name}\nvictim: target\nrules:\n{rules}"


def rule(when: str, do: str, **more: str) -> str:
    fields = "".join(f"    {key}: {value}\n" for key, value in {"do": do, **more}.items())
    return f"  - when: {when}\n{fields}"


def tags(pdus: list[Pdu]) -> list[int]:
    return [pdu["ITT"] for pdu in pdus]


def counts(talk: Dialogue) -> list[tuple[str, int, int]]:
    return [(one.rule, one.matched, one.fired) for one in talk.engine.counters()]


def two_connections() -> Dialogue:
    talk = Dialogue()
    talk.connect(2, ISID=OTHER)
    return talk


# --- they come -----------------------------------------------------------------------------------------------------


def test_a_rule_acts_from_the_next_pdu_on() -> None:
    talk = Dialogue()
    assert tags(talk.say(write(2, 10))) == [2]
    assert talk.adopt(scenario("a", rule("SCSI-Command", "drop"))) == []
    assert tags(talk.say(write(3, 11), nop_out(9, 12))) == [9]
    assert counts(talk) == [("a/#1", 1, 1)]


def test_rules_that_come_later_act_behind_those_that_are_there() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {set: {EDTL: 1}}\n")
    talk.adopt(scenario("a", rule("SCSI-Command", "{set: {EDTL: EDTL + 1}}")))
    (pdu,) = talk.say(write(2, 10))
    assert pdu["EDTL"] == 2
    assert talk.sent(End.TARGET)[-1].rules == ("x/#1", "a/#1")
    assert [one.name for one in talk.engine.rules()] == ["x/#1", "a/#1"]


def test_full_feature_is_where_it_came_first_too() -> None:
    talk = two_connections()
    talk.connect(3, login=False, ISID=OTHER + 1)
    talk.adopt(scenario("a", rule("full-feature", "{note: ready}")))
    assert [one.conn for one in talk.reports if one.kind == "noted"] == [1, 2]
    talk.say(login_request(NAMES, ISID=OTHER + 1), conn=3)
    talk.say(login_response(TPGT, TSIH=9, ISID=OTHER + 1), conn=3)
    assert [one.conn for one in talk.reports if one.kind == "noted"] == [1, 2, 3]


def test_a_rule_may_come_before_any_connection_and_while_one_logs_in() -> None:
    talk = Dialogue(connect=False)
    talk.adopt(scenario("a", rule("Login-Request nth 1", "{set: {CID: 7}}")))
    talk.connect(login=False)
    talk.adopt(scenario("b", rule("Login-Response nth 1", "{set: {TSIH: 99}}")))
    (asked,) = talk.say(login_request(NAMES))
    (answered,) = talk.say(login_response(TPGT))
    assert (asked["CID"], answered["TSIH"]) == (7, 99)


def test_rules_that_come_while_a_connection_is_made_come_too_late_to_refuse_it() -> None:
    talk = Dialogue(connect=False)
    for leg in End:
        talk.trackers[leg].open(1, talk.now)
    assert talk.engine.accepting(1, 1, talk.now) == []
    talk.adopt(scenario("a", rule("connect", "refuse") + rule("connect", "{note: seen}")))
    here = "127.0.0.1:3260"
    event = Connected(n=1, at=talk.now, conn=1, initiator=here, listen=here, local=here, target=here)
    (report,) = [one for one in talk.engine.happened(event) if not isinstance(one, Tell)]
    assert isinstance(report, Report)
    assert (report.kind, report.text) == ("noted", "seen")


def test_a_rule_for_one_connection_acts_there_only() -> None:
    talk = two_connections()
    talk.arm("drop SCSI-Command", only=[2])
    assert tags(talk.say(write(2, 10))) == [2]
    assert talk.say(write(3, 10), conn=2) == []
    assert counts(talk) == [("line/#1", 1, 1)]


def test_its_picks_count_what_is_there_only() -> None:
    talk = two_connections()
    talk.arm("drop SCSI-Command nth 2", only=[2])
    assert tags(talk.say(write(2, 10), write(3, 11), write(4, 12))) == [2, 3, 4]
    assert tags(talk.say(write(5, 10), write(6, 11), conn=2)) == [5]


def test_a_line_without_a_moment_is_done_now_and_once() -> None:
    talk = two_connections()
    assert [(pdu.opcode, pdu["TTT"]) for pdu in talk.arm("inject NOP-In TTT=0x77", only=[2])] == [(Opcode.NOP_IN, 0x77)]
    assert [one.conn for one in talk.wire[-1:] if not isinstance(one, str)] == [2]
    assert talk.tick(100) == []
    talk.connect(3, ISID=OTHER + 1)
    assert counts(talk) == [("line/#1", 1, 1)]


def test_a_line_on_a_connection_that_has_gone_by_then_is_done_nowhere() -> None:
    talk = two_connections()
    talk.closed(End.INITIATOR, "rst", conn=2)
    assert talk.arm("close rst", only=[2]) == []
    assert not any(isinstance(one, Close) for one in talk.commands)


def test_a_duration_runs_from_when_the_rule_has_come() -> None:
    talk = Dialogue()
    talk.tick(5)
    talk.adopt(scenario("a", rule("2s", "{note: now}")))
    talk.tick(1.9)
    assert talk.told("noted") == []
    talk.tick(0.2)
    assert talk.told("noted") == ["#1: now"]


def test_numbers_are_kept_right_from_then_on_although_nobody_counted_before() -> None:
    talk = Dialogue()
    assert talk.engine.settled not in talk.engine.standing
    talk.say(write(2, 10))
    talk.arm("inject NOP-Out")
    assert talk.engine.settled in talk.engine.standing
    (ping,) = [one.pdu for one in talk.sent(End.TARGET) if one.rules]
    assert (ping.opcode, ping["CmdSN"]) == (Opcode.NOP_OUT, 11)
    talk.arm("inject NOP-Out I=0", name="line-2")
    (late,) = talk.say(write(3, 11))
    assert late["CmdSN"] == 12, "the number that the second one has used up is hidden"


def test_names_are_those_of_their_scenario() -> None:
    talk = Dialogue(scenario("a", rule("SCSI-Command as n", "{note: bound}")))
    talk.adopt(scenario("b", rule("NOP-Out as n", "pass") + rule("SCSI-Response of n", "drop", optional="yes")))
    talk.say(read(2, 10))
    assert tags(talk.say(scsi_response(2, 101))) == [2]


# --- negotiate -----------------------------------------------------------------------------------------------------

NEGOTIATING: Final = (
    "scenario: asym\nvictim: target\nnegotiate: {target: {MaxBurstLength: 512}}\nrules:\n"
    "  - when: R2T as any\n    optional: yes\n"
)
OFFER: Final = {**NAMES, "MaxBurstLength": "4096"}


def offered(talk: Dialogue, conn: int) -> str:
    """Begin a login; give the MaxBurstLength that the target hears of."""
    (out,) = talk.say(login_request(OFFER, ISID=OTHER + conn), conn=conn)
    return out.data.partition(b"MaxBurstLength=")[2].partition(b"\0")[0].decode()


def test_what_is_negotiated_is_for_the_next_login_and_no_other() -> None:
    talk = Dialogue(connect=False)
    talk.connect(1, login=False)
    begun = login_request(OFFER, T=0, NSG=0)
    assert talk.say(begun) == [begun]
    talk.adopt(NEGOTIATING)
    assert offered(talk, 1) == "4096", "this login was under way"
    talk.connect(2, login=False)
    assert offered(talk, 2) == "512"
    talk.dismiss("asym")
    talk.connect(3, login=False)
    assert offered(talk, 3) == "4096"


def test_two_ends_that_hold_different_things_stay_apart_when_what_did_it_has_gone() -> None:
    talk = Dialogue(connect=False)
    talk.adopt(NEGOTIATING)
    talk.connect(1, keys={"MaxBurstLength": "4096"})
    talk.dismiss("asym")
    assert talk.engine.differs(1)
    talk.clear()
    assert [(one.conn, one.how, one.end) for one in talk.commands if isinstance(one, Close)] == [(1, "rst", "both")]


def test_a_login_under_way_is_led_by_one_alone_although_its_scenario_comes_again() -> None:
    talk = Dialogue(connect=False)
    talk.adopt(NEGOTIATING)
    talk.connect(1, login=False)
    assert offered(talk, 1) == "512"
    talk.dismiss("asym")
    talk.adopt(NEGOTIATING)
    mine = [one for one in talk.engine.standing if one in talk.engine.negotiations]
    assert len(mine) == len(talk.engine.negotiations) == 2
    answer = login_response({**TPGT, "MaxBurstLength": "512"}, ISID=OTHER + 1)
    (out,) = talk.say(answer)
    assert encode_text([("MaxBurstLength", "512")]) in out.data
    talk.closed(End.INITIATOR)
    talk.closed(End.TARGET)
    talk.dismiss("asym")
    assert talk.engine.negotiations == []
    assert not [one for one in talk.engine.standing if one in mine]


# --- they go -------------------------------------------------------------------------------------------------------


def test_what_is_taken_out_acts_no_more_and_its_counts_are_still_told() -> None:
    talk = Dialogue("rules:\n  - when: NOP-Out\n    do: drop\n")
    talk.adopt(scenario("a", rule("SCSI-Command", "drop")))
    talk.say(write(2, 10))
    talk.dismiss("a")
    assert tags(talk.say(write(3, 11), nop_out(9, 12))) == [3]
    assert sorted(counts(talk)) == [("a/#1", 1, 1), ("x/#1", 1, 1)]
    assert [one.name for one in talk.engine.rules()] == ["x/#1"]


def test_it_may_come_again_and_begins_from_nothing() -> None:
    talk = Dialogue()
    for itt in (2, 4):
        talk.adopt(scenario("a", rule("SCSI-Command nth 1", "drop")))
        assert tags(talk.say(write(itt, 10), write(itt + 1, 11))) == [itt + 1]
        talk.dismiss("a")
    assert counts(talk) == [("a/#1", 1, 1)] * 2


def test_one_whose_name_begins_alike_stays() -> None:
    talk = Dialogue()
    talk.adopt(scenario("a", rule("SCSI-Command", "drop")))
    talk.adopt(scenario("ab", rule("SCSI-Command nth 1", "{delay: {until: released, at_most: no}}")))
    talk.say(write(2, 10))
    talk.dismiss("a")
    assert talk.engine.waiting() == {"ab/#1": 1}
    talk.dismiss("nothing")
    assert [one.name for one in talk.engine.rules()] == ["ab/#1"]


def test_what_it_holds_goes_on() -> None:
    talk = Dialogue()
    talk.adopt(scenario("a", rule("SCSI-Command", "{delay: {until: released, at_most: no}}")))
    talk.adopt(scenario("b", rule("SCSI-Command nth 1", "{set: {LUN: 3}}")))
    talk.say(write(2, 10), nop_out(9, 11), write(3, 11))
    first, *others = talk.dismiss("a")
    assert [first["LUN"] >> 48, *tags(others)] == [3, 9, 3], "other rules act as they would have"
    assert talk.told("ended") == ["#1: a was taken out"] * 2
    assert not talk.engine.waiting()
    assert talk.open_slots == []


def test_what_else_it_would_have_done_to_what_waited_is_not_done() -> None:
    talk = Dialogue()
    talk.adopt(scenario("a", rule("SCSI-Command nth 1", "{delay: {until: released, at_most: no}}")))
    talk.adopt(scenario("b", rule("Data-Out", "drop") + rule("Data-Out", "{set: {LUN: 1}}")))
    talk.say(write(2, 10), data_out(2, 0))
    assert talk.dismiss("b") == []
    written = talk.by_hand("let_go", talk.number(2))
    assert [(pdu.opcode, pdu.get("LUN")) for pdu in written] == [(Opcode.SCSI_COMMAND, 0), (Opcode.DATA_OUT, 0)]


def test_stalls_and_throttles_of_it_end_and_those_of_others_do_not() -> None:
    talk = Dialogue()
    for name, conn in (("a", 1), ("b", 2)):
        if conn == 2:
            talk.connect(2, ISID=OTHER)
        for number, line in enumerate(("throttle 1000", "stall released at_most=no")):
            talk.arm(line, name=f"{name}{number}", only=[conn])
    assert talk.say(nop_out(2, 10)) == talk.say(nop_out(3, 10), conn=2) == []
    assert len(talk.throttles) == 2
    talk.dismiss("a0")
    assert [conn for conn, *_ in talk.throttles.values()] == [2]
    assert tags(talk.dismiss("a1")) == [2]
    assert len(talk.engine.lasting) == 1


def test_times_that_were_set_for_it_bring_nothing() -> None:
    talk = Dialogue()
    talk.adopt(scenario("a", rule("1s", "{note: late}") + rule("NOP-Out then 1s", "close")))
    talk.adopt(scenario("b", rule("NOP-Out then barrier", "{note: late}")))
    talk.say(nop_out(9, 10))
    for name in ("a", "b"):
        talk.dismiss(name)
    talk.tick(100)
    assert talk.told("noted") == []
    assert not any(isinstance(one, Close) for one in talk.commands)


def test_a_machine_goes_with_its_scenario() -> None:
    talk = Dialogue()
    text = "scenario: m\nvictim: target\nmachines:\n  m:\n    states:\n      a:\n        - {when: NOP-Out, do: drop}\n"
    talk.adopt(text)
    assert talk.say(nop_out(9, 10)) == []
    talk.dismiss("m")
    assert tags(talk.say(nop_out(9, 10))) == [9]
    talk.adopt(text)
    assert talk.say(nop_out(9, 10)) == []


def test_the_counts_of_the_last_ones_are_kept() -> None:
    talk = Dialogue()
    for number in range(_MAX_PAST // 256 + 1):
        rules = "".join(rule("R2T", "drop") for _ in range(256))
        talk.adopt(scenario(f"s{number}", rules))
        talk.dismiss(f"s{number}")
    assert len(talk.engine.counters()) == _MAX_PAST
    assert {one.rule.partition("/")[0] for one in talk.engine.counters()} == {"s1", "s2", "s3", "s4"}


def test_what_waits_on_a_connection_that_has_gone_is_over_when_another_comes() -> None:
    talk = Dialogue()
    talk.arm("stall released at_most=no", name="one", only=[1])
    for leg in End:
        talk.closed(leg, "rst")
        talk.trackers[leg].close(1, talk.now)
    talk.connect(2, ISID=OTHER)
    talk.arm("stall released at_most=no", name="two", only=[2])
    assert talk.engine.waiting() == {"two/#1": 1}


# --- they are switched ---------------------------------------------------------------------------------------------


def test_what_is_switched_on_again_begins_anew_and_counts_on() -> None:
    talk = Dialogue()
    talk.adopt(scenario("a", rule("SCSI-Command nth 1", "drop") + rule("NOP-Out", "drop")))
    assert tags(talk.say(write(2, 10), write(3, 11))) == [3]
    talk.switch("a/#1", on=False)
    assert tags(talk.say(write(4, 12), nop_out(9, 13))) == [4]
    assert [one.armed_now for one in talk.engine.rules()] == [False, True]
    talk.switch("a/#1", on=True)
    assert tags(talk.say(write(5, 13), write(6, 14))) == [6]
    assert counts(talk) == [("a/#1", 2, 2), ("a/#2", 1, 1)]


def test_a_switch_that_is_no_news_changes_nothing() -> None:
    talk = Dialogue()
    talk.adopt(scenario("a", rule("SCSI-Command nth 2", "drop")))
    talk.say(write(2, 10))
    talk.switch("a/#1", on=True)
    assert talk.say(write(3, 11)) == []


# --- cleared -------------------------------------------------------------------------------------------------------


def test_when_everything_is_cleared_others_may_come() -> None:
    talk = Dialogue("rules:\n  - when: NOP-Out\n    do: drop\n")
    talk.arm("throttle 1000", only=[1])
    talk.clear()
    assert talk.engine.rules() == ()
    assert talk.throttles == {}
    assert tags(talk.say(nop_out(9, 10))) == [9]
    talk.adopt("rules:\n  - when: NOP-Out\n    do: drop\n")
    assert talk.say(nop_out(9, 10)) == []
    assert counts(talk) == [("x/#1", 0, 0), ("line/#1", 1, 1), ("x/#1", 1, 1)]


@pytest.mark.parametrize("when", ["1s", "NOP-Out then 1s", "NOP-Out then barrier", "NOP-In then SCSI-Response"])
def test_what_a_cleared_rule_waited_for_brings_nothing(when: str) -> None:
    talk = Dialogue()
    talk.adopt(scenario("a", rule(when, "{note: late}")))
    talk.say(nop_out(9, 10), nop_in(9, 101))
    talk.clear()
    pings = [one.pdu for one in talk.sent(End.TARGET) if one.pdu.opcode == Opcode.NOP_OUT and one.of is None]
    for ping in pings:
        talk.say(nop_in(ping["ITT"], 102))
    talk.say(scsi_response(2, 102), r2t(3, 4))
    talk.tick(100)
    assert talk.told("noted") == []
