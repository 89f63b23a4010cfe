"""What an expectation sees, and what it knows by the names that were bound."""

from __future__ import annotations

from iscsiproxy.wire.opcodes import Opcode
from tests.engine.dialogue import nop_in, nop_out, r2t, read, scsi_response, write
from tests.runs.parts import RESPONSE, Part, answer, barrier, close, fault, late, other, request, told, too_late
from tests.runs.tale import INITIATOR, TARGET, Tale, judged, scenario_of, verdicts

__all__: list[str] = []

NEVER = "never: SCSI-Response of n"
LEAST = "at_least: 1 SCSI-Response of n"


# --- what is seen --------------------------------------------------------------------------------------------------


def test_what_the_victim_received_counts_not_what_was_sent_to_it() -> None:
    rules = "rules: [{when: SCSI-Command nth 1 as n, do: {set: {LUN: 1}}}]"
    scenario = scenario_of("{at_least: 1 SCSI-Command where LUN == 1, after: NOP-Out, until: NOP-In}", rules=rules)
    assert verdicts(scenario, told(request, lambda tale: tale.changed(read(1, 1), read(1, 1, LUN=1 << 48)), late)) == [
        "pass"
    ]
    assert verdicts(scenario, told(request, lambda tale: tale.came(read(1, 1, LUN=1 << 48)), late)) == ["fail"]


def test_what_the_victim_sent_counts_also_when_it_is_swallowed() -> None:
    scenario = scenario_of(LEAST)
    assert verdicts(scenario, told(fault, lambda tale: tale.came(RESPONSE))) == ["pass"]
    # What the initiator alone was told is not the target's.
    forged = told(fault, lambda tale: tale.authored(RESPONSE), too_late)
    assert verdicts(scenario, forged) == ["fail"]
    at_initiator = scenario_of("at_least: 1 SCSI-Response of n at initiator")
    assert verdicts(at_initiator, told(fault, lambda tale: tale.authored(RESPONSE))) == ["pass"]


def test_what_the_proxy_authored_is_seen_and_may_be_asked_for() -> None:
    plain = scenario_of("{at_least: 1 NOP-Out, until: NOP-In}")
    by_proxy = scenario_of("{at_least: 1 NOP-Out from proxy, until: NOP-In}")
    genuine = scenario_of("{at_least: 1 NOP-Out from initiator, until: NOP-In}")
    authored = told(fault, lambda tale: tale.authored(nop_out(9, 2)), late)
    assert [verdicts(one, authored) for one in (plain, by_proxy, genuine)] == [["pass"], ["pass"], ["fail"]]
    passed = told(fault, request, late)
    assert [verdicts(one, passed) for one in (plain, by_proxy, genuine)] == [["pass"], ["fail"], ["pass"]]


def test_escalation_is_a_close_by_the_victim_or_an_async_that_says_so() -> None:
    scenario = scenario_of("{first: [{pass: escalation}, {fail: nothing}]}")

    def tells(number: int) -> Part:
        pdu = nop_in(0xFFFFFFFF, 100)
        pdu = type(pdu).build(Opcode.ASYNC).with_fields({"AsyncEvent": number, "ITT": 0xFFFFFFFF})
        return lambda tale: tale.passed(pdu)

    assert verdicts(scenario, told(fault, close)) == ["pass"]
    for number in (1, 2, 3):
        assert verdicts(scenario, told(fault, tells(number))) == ["pass"]
    for number in (0, 4, 255):
        assert verdicts(scenario, told(fault, tells(number), too_late)) == ["fail"]
    others = told(
        fault, lambda tale: tale.closed(INITIATOR, "rst"), lambda tale: tale.closed(TARGET, "rst", by="proxy")
    )
    too_late(others)
    assert verdicts(scenario, others) == ["fail"]


def test_an_answer_to_a_close_is_no_escalation() -> None:
    scenario = scenario_of("{first: [{pass: escalation}, {fail: nothing}]}")
    tale = told(fault, lambda tale: tale.closed(TARGET, "fin", by="fault"), close, too_late)
    assert verdicts(scenario, tale) == ["fail"]


def test_the_end_of_a_logout_is_no_escalation() -> None:
    scenario = scenario_of("{first: [{pass: escalation}, {fail: nothing}]}")
    logout = read(3, 3).build(Opcode.LOGOUT_REQUEST).with_fields({"ITT": 3, "CmdSN": 3, "F": 1, "I": 1})
    granted = logout.build(Opcode.LOGOUT_RESPONSE).with_fields({"ITT": 3, "StatSN": 100, "F": 1})
    refused = granted.with_fields({"Response": 1})
    for answer_to, verdict in ((granted, "fail"), (refused, "pass")):
        tale = told(fault, lambda tale: tale.passed(logout))
        tale.passed(answer_to)
        close(tale)
        assert verdicts(scenario, tale) == [verdict]


def test_closes_are_told_apart_by_who_and_how() -> None:
    tale = told(fault, lambda tale: tale.closed(TARGET, "rst"), lambda tale: tale.closed(INITIATOR, "rst", by="proxy"))
    too_late(tale)
    for pattern, verdict in (
        ("close", "pass"),
        ("close from target", "pass"),
        ("close from victim", "pass"),
        ("close where how == rst", "pass"),
        ("close where how == fin", "fail"),
        ("close from initiator", "fail"),
        ("close from proxy", "fail"),
    ):
        expectation = f'{{first: [{{pass: "{pattern}"}}, {{fail: nothing}}], until: NOP-In}}'
        assert (pattern, verdicts(scenario_of(expectation), tale)) == (pattern, [verdict])
    scenario = scenario_of("{at_least: 1 close from proxy at initiator, until: NOP-In}")
    assert verdicts(scenario, told(fault, lambda tale: tale.closed(INITIATOR, "rst", by="fault"))) == ["pass"]
    assert verdicts(scenario, told(fault, lambda tale: tale.closed(INITIATOR, "rst"), late)) == ["fail"]


def test_what_comes_behind_a_connection_is_awaited_behind_its_end() -> None:
    for pattern in ("connect", "full-feature", "io-good"):
        scenario = scenario_of(f"at_least: 1 {pattern}", victim="initiator")
        gone = told(fault, lambda tale: tale.closed(INITIATOR, "rst"))
        assert verdicts(scenario, gone) == ["inconclusive"]
        gone.login()
        gone.io("good")
        assert verdicts(scenario, gone) == ["pass"]


def test_settled_keys_are_known_when_full_feature_phase_begins() -> None:
    scenario = scenario_of("{at_least: 1 full-feature where key.MaxBurstLength == 4096, until: io-good}", victim="both")
    for size, verdict in (("4096", "pass"), ("8192", "fail")):
        tale = told(fault)
        tale.conn = 2
        tale.logged_in(f"MaxBurstLength={size}")
        # The proxy tells of it before it lets the response go that brings it.
        events = [event for event in tale.events if not (event.conn == 2 and getattr(event, "leg", None) is INITIATOR)]
        said = [event for event in tale.events if event not in events]
        tale.events = [*events, said[0], said[2], said[1]]
        tale.io("good")
        assert verdicts(scenario, tale) == [verdict]


# --- captures ------------------------------------------------------------------------------------------------------


def test_a_capture_has_its_own_face_on_each_leg() -> None:
    rules = "rules: [{when: SCSI-Command as n, do: {set: {F: 1}}}]"
    after = "after: NOP-Out at initiator, until: NOP-In"
    target = scenario_of(f"{{at_least: 1 SCSI-Response where ExpCmdSN == n.CmdSN + 1, {after}}}", rules=rules)
    initiator = scenario_of(
        f"{{at_least: 1 SCSI-Response at initiator where ExpCmdSN == n.CmdSN + 1, {after}}}", rules=rules
    )

    def on_target(number: int) -> Tale:
        tale = told(request)
        tale.changed(read(1, 7), read(1, 9), "n")
        n = tale.came(scsi_response(1, 100, ExpCmdSN=number))
        tale.went(scsi_response(1, 100, ExpCmdSN=number - 2), n)
        late(tale)
        return tale

    assert (verdicts(target, on_target(10)), verdicts(initiator, on_target(10))) == (["pass"], ["pass"])
    assert (verdicts(target, on_target(8)), verdicts(initiator, on_target(8))) == (["fail"], ["fail"])


def test_what_never_went_has_the_number_that_it_would_have_had() -> None:
    scenario = scenario_of("{never: Target-PDU where ExpCmdSN > n.CmdSN, after: n, until: NOP-In}")

    def run(acknowledged: int) -> Tale:
        tale = Tale()
        n = tale.came(read(5, 10))
        tale.went(read(5, 13), n)  # three numbers were taken by what the proxy sent
        tale.dropped(read(1, 11), "n")
        tale.passed(scsi_response(5, 100, ExpCmdSN=acknowledged))
        late(tale)
        return tale

    assert verdicts(scenario, run(14)) == ["pass"]
    assert verdicts(scenario, run(15)) == ["fail"]


def test_an_expectation_may_capture_for_itself() -> None:
    scenario = scenario_of("{exactly: 1 Status-PDU of m, after: SCSI-Command where W as m, until: NOP-In}")
    tale = told(fault, lambda tale: tale.passed(write(2, 2)), other, answer)
    tale.passed(scsi_response(2, 100))
    late(tale)
    assert verdicts(scenario, tale) == ["pass"]
    tale.events[-2:] = []
    tale.events[-3:-1] = []
    assert verdicts(scenario, tale) == ["inconclusive"]


def test_picks_count_in_the_window() -> None:
    scenario = scenario_of("{never: SCSI-Response of n nth 2, until: NOP-In}")
    assert verdicts(scenario, told(answer, fault, answer, late)) == ["pass"]
    assert verdicts(scenario, told(fault, answer, answer, late)) == ["fail"]


def test_what_an_expectation_has_met_has_a_name_for_the_next() -> None:
    lines = "{at_least: 1 NOP-Out as p, until: R2T}\n  - {exactly: 1 NOP-In of p, after: p, until: R2T}"
    end = r2t(7, 1)
    tale = told(fault, late, request, late, lambda tale: tale.passed(end))
    assert verdicts(scenario_of(lines), tale) == ["pass", "pass"]


def test_what_an_expectation_captures_has_the_face_of_the_other_leg_too() -> None:
    text = "{at_least: 1 SCSI-Response at initiator where ExpCmdSN == m.CmdSN, after: SCSI-Command as m, until: NOP-In}"

    def run(expected: int) -> Tale:
        tale = told(fault)
        n = tale.came(read(2, 7))
        tale.went(read(2, 9), n)
        tale.passed(scsi_response(2, 100, ExpCmdSN=expected))
        late(tale)
        return tale

    assert verdicts(scenario_of(text), run(7)) == ["pass"]
    assert verdicts(scenario_of(text), run(9)) == ["fail"]


def test_a_name_that_is_bound_late_still_knows_how_its_pdu_went() -> None:
    scenario = scenario_of("{at_least: 1 SCSI-Response where ExpCmdSN == n.CmdSN, after: n, until: NOP-In}")
    tale = Tale()
    n = tale.came(read(2, 7))
    tale.went(read(2, 9), n, rules=("x/#1",))
    tale.bound("n", n)
    tale.passed(scsi_response(2, 100, ExpCmdSN=9))
    late(tale)
    assert verdicts(scenario, tale) == ["pass"]


def test_what_a_rule_makes_of_a_number_moves_no_other() -> None:
    scenario = scenario_of("{at_least: 1 SCSI-Response where ExpCmdSN == n.CmdSN, after: n, until: NOP-In}")
    tale = Tale()
    tale.changed(read(5, 10), read(5, 77))
    tale.dropped(read(1, 11), "n")
    tale.passed(scsi_response(5, 100, ExpCmdSN=11))
    late(tale)
    assert verdicts(scenario, tale) == ["pass"]


def test_a_window_is_about_the_connection_on_which_it_opened() -> None:
    scenario = scenario_of("{at_least: 1 SCSI-Response, until: NOP-In}")
    tale = told(lambda tale: tale.login(), lambda tale: tale.on(1), fault, lambda tale: tale.on(2), close)
    tale.on(1)
    answer(tale)
    assert verdicts(scenario, tale) == ["pass"]
    nowhere = scenario_of("{at_least: 1 SCSI-Response, after: fault then 1s, until: NOP-In}")
    early = told(lambda tale: tale.login(), fault, lambda tale: tale.wait(2), close, lambda tale: tale.on(1))
    answer(early)
    assert verdicts(nowhere, early) == ["pass"]
    alone = told(fault, lambda tale: tale.wait(2), close)
    assert verdicts(nowhere, alone) == ["fail"]


def test_a_tag_that_is_used_again_is_another_task() -> None:
    scenario = scenario_of("{never: SCSI-Response of n, until: NOP-In}")
    again = told(fault, lambda tale: tale.passed(read(1, 5)), answer, late)
    assert verdicts(scenario, again) == ["pass"]
    retry = told(fault, lambda tale: tale.passed(read(1, 1)), answer, late)
    assert verdicts(scenario, retry) == ["fail"]


def test_a_name_that_nothing_was_bound_to_proves_nothing() -> None:
    scenario = scenario_of(NEVER)
    (result, *_) = judged(scenario, told(lambda tale: tale.fault(), barrier))
    assert (result.verdict, result.why) == ("inconclusive", "n was never bound: what did not come proves nothing")
    unknown = told(lambda tale: tale.bound("n", 99999), lambda tale: tale.fault(), barrier)
    (result, *_) = judged(scenario, unknown)
    assert (result.verdict, result.why[:36]) == ("inconclusive", "n was bound to #99999, which is not ")


def test_captures_of_another_scenario_are_not_ours() -> None:
    tale = Tale("other")
    fault(tale)
    assert judged(scenario_of(NEVER), tale)[0].why.startswith("the window never opened")
    ours = told(fault)
    ours.name = "other"
    ours.bound("n", ours.passed(read(2, 2)))
    answer(ours)
    assert verdicts(scenario_of(NEVER), ours) == ["fail"]
