"""Every head with every way its window opens and closes: good, bad and too short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine.facts import Look
from iscsiproxy.journal import Lost, Record, record_of
from iscsiproxy.language.spec import Verdict
from iscsiproxy.runs.expectations import BarrierWanted, Watch, judge
from iscsiproxy.runs.witness import Witness
from tests.engine.dialogue import nop_out, r2t, read
from tests.runs.parts import BAD, Part, answer, barrier, close, fault, hung, late, other, request, told, too_late, twice
from tests.runs.tale import INITIATOR, TARGET, Tale, judged, results_of, scenario_of, verdicts

__all__: list[str] = []

NEVER = "never: SCSI-Response of n"
ONE = "exactly: 1 SCSI-Response of n"
MOST = "at_most: 1 SCSI-Response of n"
LEAST = "at_least: 1 SCSI-Response of n"
FIRST = "{first: [{pass: SCSI-Response of n where Status == GOOD}, {warn: SCSI-Response of n}, {fail: nothing}]}"
UNTIL = "until: NOP-Out"
WITHIN = "within: 2s"
AFTER = "after: NOP-Out"


def bad_answer(tale: Tale) -> None:
    tale.passed(BAD)


def expect(head: str, *more: str) -> str:
    return "{" + ", ".join([head.strip("{}") if head is not FIRST else head[1:-1], *more]) + "}"


CASES: list[tuple[str, tuple[str, ...], tuple[Part, ...], Verdict]] = [
    # never
    (NEVER, (), (fault, other, barrier), "pass"),
    (NEVER, (), (fault, answer, barrier), "fail"),
    (NEVER, (), (fault, other), "inconclusive"),
    (NEVER, (), (fault, barrier, answer), "pass"),
    (NEVER, (), (answer, fault, barrier), "pass"),
    (NEVER, (), (barrier, fault, other), "inconclusive"),
    (NEVER, (), (fault, close), "pass"),
    (NEVER, (UNTIL,), (fault, request, answer), "pass"),
    (NEVER, (UNTIL,), (fault, answer, request), "fail"),
    (NEVER, (UNTIL,), (fault, barrier), "inconclusive"),
    (NEVER, (UNTIL,), (fault, close), "pass"),
    (NEVER, (WITHIN,), (fault, late, answer), "pass"),
    (NEVER, (WITHIN,), (fault, answer, late), "fail"),
    (NEVER, (WITHIN,), (fault, barrier), "inconclusive"),
    (NEVER, (AFTER,), (fault, answer, request, barrier), "pass"),
    (NEVER, (AFTER,), (fault, request, answer, barrier), "fail"),
    (NEVER, (AFTER,), (fault, barrier), "inconclusive"),
    (NEVER, ("else: warn",), (fault, answer), "warn"),
    # exactly
    (ONE, (), (fault, answer, barrier), "pass"),
    (ONE, (), (fault, other, barrier), "fail"),
    (ONE, (), (fault, twice), "fail"),
    (ONE, (), (fault, answer), "inconclusive"),
    (ONE, (UNTIL,), (fault, answer, request, answer), "pass"),
    (ONE, (UNTIL,), (fault, request, answer), "fail"),
    (ONE, (UNTIL,), (fault, answer), "inconclusive"),
    (ONE, (WITHIN,), (fault, answer, late), "pass"),
    (ONE, (WITHIN,), (fault, late, answer), "fail"),
    (ONE, (WITHIN,), (fault, answer, barrier), "inconclusive"),
    (ONE, (WITHIN,), (fault, answer, close), "pass"),
    (ONE, (WITHIN,), (fault, close), "fail"),
    (ONE, (AFTER, WITHIN), (fault, answer, request, answer, late), "pass"),
    (ONE, ("else: warn",), (fault, close), "warn"),
    # at_most
    (MOST, (), (fault, answer, barrier), "pass"),
    (MOST, (), (fault, barrier), "pass"),
    (MOST, (), (fault, twice), "fail"),
    (MOST, (), (fault, answer), "inconclusive"),
    (MOST, (UNTIL,), (fault, answer, request, twice), "pass"),
    (MOST, (UNTIL,), (fault, twice, request), "fail"),
    (MOST, (WITHIN,), (fault, answer, late, answer), "pass"),
    (MOST, (WITHIN,), (fault, answer, answer), "fail"),
    (MOST, (WITHIN,), (fault, close), "pass"),
    (MOST, (AFTER,), (fault, twice, request, answer, barrier), "pass"),
    # at_least
    (LEAST, (), (fault, answer), "pass"),
    (LEAST, (), (fault, too_late), "fail"),
    (LEAST, (), (fault, late), "inconclusive"),
    (LEAST, (), (fault, barrier), "inconclusive"),
    (LEAST, (), (fault, close), "fail"),
    (LEAST, (UNTIL,), (fault, answer, request), "pass"),
    (LEAST, (UNTIL,), (fault, request, answer), "fail"),
    (LEAST, (UNTIL,), (fault, too_late), "inconclusive"),
    (LEAST, (WITHIN,), (fault, answer), "pass"),
    (LEAST, (WITHIN,), (fault, late, answer), "fail"),
    (LEAST, (WITHIN,), (fault, other), "inconclusive"),
    (LEAST, (AFTER,), (fault, answer, request, answer), "pass"),
    (LEAST, (AFTER,), (fault, answer, request, too_late), "fail"),
    (LEAST, (AFTER,), (fault, answer), "inconclusive"),
    # first
    (FIRST, (), (fault, answer), "pass"),
    (FIRST, (), (fault, bad_answer, answer), "warn"),
    (FIRST, (), (fault, answer, bad_answer), "pass"),
    (FIRST, (), (fault, too_late), "fail"),
    (FIRST, (), (fault, late, barrier), "inconclusive"),
    (FIRST, (), (fault, close), "fail"),
    (FIRST, (UNTIL,), (fault, request, answer), "fail"),
    (FIRST, (UNTIL,), (fault, bad_answer, request), "warn"),
    (FIRST, (UNTIL,), (fault, too_late), "inconclusive"),
    (FIRST, (WITHIN,), (fault, late, answer), "fail"),
    (FIRST, (WITHIN,), (fault, answer), "pass"),
    (FIRST, (AFTER,), (fault, bad_answer, request, answer), "pass"),
    (FIRST, (AFTER,), (fault, bad_answer), "inconclusive"),
]


@pytest.mark.parametrize(("head", "more", "parts", "verdict"), CASES)
def test_a_window(head: str, more: tuple[str, ...], parts: tuple[Part, ...], verdict: Verdict) -> None:
    assert verdicts(scenario_of(expect(head, *more)), told(*parts)) == [verdict]


@pytest.mark.parametrize("head", [NEVER, ONE, MOST, LEAST, FIRST])
def test_a_window_that_never_opens_is_inconclusive(head: str) -> None:
    (result, *_) = judged(scenario_of(expect(head)), told(request, answer, barrier, too_late))
    assert result.verdict == "inconclusive"
    assert result.why == "the window never opened: fault did not come"


# --- moments -------------------------------------------------------------------------------------------------------


def test_a_window_opens_with_a_capture() -> None:
    scenario = scenario_of("{never: SCSI-Response of n, after: n, until: NOP-Out}")
    tale = told(answer)
    n = tale.came(read(1, 1))
    answer(tale)
    tale.bound("n", n)
    request(tale)
    assert verdicts(scenario, tale) == ["pass"]


def test_steps_follow_one_another_and_time_runs_from_the_last() -> None:
    scenario = scenario_of("{never: SCSI-Response of n, after: fault then NOP-Out then 1s, within: 2s}")
    assert verdicts(scenario, told(request, fault, request, answer, late, too_late)) == ["pass"]
    assert verdicts(scenario, told(request, fault, request, lambda tale: tale.wait(1.5), answer)) == ["fail"]
    assert verdicts(scenario, told(request, fault, too_late)) == ["inconclusive"]


def test_whichever_moment_comes_first_opens_and_closes() -> None:
    scenario = scenario_of("{never: SCSI-Response of n, after: [R2T, NOP-Out], until: [5s, NOP-In]}")
    r2t_first = told(fault, lambda tale: tale.passed(r2t(7, 1)), answer)
    assert verdicts(scenario, r2t_first) == ["fail"]
    assert verdicts(scenario, told(fault, request, late, answer)) == ["pass"]
    assert verdicts(scenario, told(fault, request, lambda tale: tale.wait(6), answer)) == ["pass"]


def test_a_barrier_may_open_a_window() -> None:
    scenario = scenario_of("{at_least: 1 SCSI-Response of n, after: fault then barrier}")
    assert verdicts(scenario, told(fault, answer, barrier, too_late)) == ["fail"]
    assert verdicts(scenario, told(fault, barrier, answer)) == ["pass"]
    assert verdicts(scenario, told(fault, hung, answer)) == ["inconclusive", "fail"]
    closed = told(fault, close, lambda tale: tale.barrier(how="closed"), answer)
    assert verdicts(scenario, closed) == ["pass"]


def test_a_window_opens_when_a_pdu_is_let_go_by_hand() -> None:
    scenario = scenario_of("{at_least: 1 SCSI-Response of n, after: released}")
    assert verdicts(scenario, told(fault, lambda tale: tale.decide("released"), answer)) == ["pass"]
    assert verdicts(scenario, told(fault, answer)) == ["inconclusive"]


def test_the_fault_is_the_first_act_that_reaches_the_wire() -> None:
    scenario = scenario_of("{at_least: 1 SCSI-Response, until: NOP-In}", rules="rules: [{when: R2T, do: drop}]")
    noted = told(lambda tale: tale.act("note", None), answer, late)
    assert verdicts(scenario, noted) == ["inconclusive"]
    foreign = told(lambda tale: tale.fired("other/#1", "drop", None, "…"), answer, late)
    assert verdicts(scenario, foreign) == ["inconclusive"]
    changed = told(lambda tale: tale.changed(read(1, 1), read(1, 1, LUN=1)), answer)
    assert verdicts(scenario, changed) == ["pass"]
    only_said = told(lambda tale: tale.act("set", tale.came(read(1, 1))), answer, late)
    assert verdicts(scenario, only_said) == ["inconclusive"]


def test_nor_is_one_inside_that_opens_by_the_step_behind_it() -> None:
    scenario = scenario_of("{never: NOP-Out, after: NOP-Out then n, until: NOP-In}")
    assert verdicts(scenario, told(fault, request, late)) == ["pass"]
    assert verdicts(scenario, told(fault, request, request, late)) == ["fail"]


def test_without_acts_the_fault_is_what_a_rule_has_waited_for() -> None:
    rules = "rules: [{when: SCSI-Command as n}]\nnegotiate: {target: {MaxBurstLength: 512}}"
    scenario = scenario_of("{at_least: 1 SCSI-Response, until: NOP-In}", rules=rules)

    def captured(tale: Tale) -> None:
        tale.bound("n", tale.passed(read(1, 1)))

    def told_otherwise(tale: Tale) -> None:
        tale.changed(read(9, 1), read(9, 1), rule="negotiate")

    assert verdicts(scenario, told(told_otherwise, captured, answer)) == ["pass"]
    assert verdicts(scenario, told(told_otherwise, answer, captured, late)) == ["fail"]
    assert verdicts(scenario, told(told_otherwise, answer, late)) == ["inconclusive"]
    noting = scenario_of(
        "{at_least: 1 SCSI-Response, until: NOP-In}", rules=rules.replace("as n", "as n, do: {note: x}")
    )
    seen = told(lambda tale: tale.noted("x/#1", None, "x"), answer)
    assert verdicts(noting, seen) == ["pass"]


def test_steps_of_an_actor_are_what_is_waited_for_too() -> None:
    rules = "actor:\n  - login: {as: A}\n  - send: {conn: A, pdu: NOP-Out, as: n}"
    scenario = scenario_of("{exactly: 1 NOP-In, until: R2T}", rules=rules)
    tale = Tale()
    tale.bound("A", 1, rule="")
    late(tale)
    tale.bound("n", tale.passed(nop_out(5, 2)), rule="")
    late(tale)
    tale.passed(r2t(7, 1))
    assert verdicts(scenario, tale) == ["pass"]


def test_neither_the_event_that_opens_nor_the_one_that_closes_is_inside() -> None:
    scenario = scenario_of("{never: NOP-Out or NOP-In, after: NOP-Out, until: NOP-In}")
    assert verdicts(scenario, told(fault, request, late)) == ["pass"]
    assert verdicts(scenario, told(fault, request, request, late)) == ["fail"]


# --- barriers ------------------------------------------------------------------------------------------------------


def feed(watch: Watch, tale: Tale) -> None:
    """Give a watch what it has not seen yet."""
    for event in tale.events:
        watch.take(record_of(event))
    tale.events.clear()


def test_a_barrier_is_asked_for_once_and_for_all_that_open_together() -> None:
    scenario = scenario_of("never: SCSI-Response of n\n  - at_most: 1 R2T\n  - {never: Reject, within: 1s}")
    tale, watch = Tale(), Watch(scenario)
    feed(watch, tale)
    assert watch.wanted() == ()
    fault(tale)
    feed(watch, tale)
    text = "expectation 1, expectation 2"
    assert watch.wanted() == (BarrierWanted(end=TARGET, conn=1, text=text, expectations=(0, 1)),)
    assert watch.wanted() == ()
    due = watch.due()
    assert due is not None
    tale.wait(0.5).barrier(*text.split(", "))
    feed(watch, tale)
    assert [result.verdict for result in watch.results()] == ["pass", "pass"]
    before = watch.decided
    watch.tick(due)
    assert (before, watch.decided, watch.due()) == (False, True, None)


def test_any_barrier_will_do_that_was_sent_behind_the_opening() -> None:
    scenario = scenario_of(NEVER)
    tale = told(lambda tale: tale.sent("another"), fault, lambda tale: tale.barrier_ended("another"))
    assert verdicts(scenario, tale) == ["inconclusive"]
    assert verdicts(scenario, told(fault, lambda tale: tale.barrier("another"))) == ["pass"]
    wrong_end = told(fault, lambda tale: tale.barrier("another", end=INITIATOR))
    assert verdicts(scenario, wrong_end) == ["inconclusive"]


def test_a_barrier_of_another_connection_proves_nothing() -> None:
    tale = told(lambda tale: tale.login(), lambda tale: tale.on(1), fault, lambda tale: tale.on(2))
    tale.barrier("another")
    assert verdicts(scenario_of(NEVER), tale) == ["inconclusive"]
    tale.barrier("expectation 1")
    assert verdicts(scenario_of(NEVER), tale) == ["pass"]


def test_a_hang_is_a_fail_of_its_own() -> None:
    results = judged(scenario_of(NEVER), told(fault, hung))
    assert [(one.verdict, one.kind) for one in results] == [("inconclusive", "expectation"), ("fail", "hang")]
    results = judged(scenario_of(NEVER), told(fault, lambda tale: tale.barrier("mine", end=INITIATOR, how="hung")))
    assert [(one.verdict, one.kind) for one in results] == [("inconclusive", "expectation"), ("inconclusive", "hang")]


def test_a_close_ends_the_wait_for_a_barrier() -> None:
    def closed_by(leg: str, by: str) -> Tale:
        tale = told(fault, lambda tale: tale.sent())
        tale.closed(TARGET if leg == "target" else INITIATOR, "rst", by=by)  # type: ignore[arg-type]
        tale.barrier_ended(how="closed")
        return tale

    scenario = scenario_of(NEVER)
    assert verdicts(scenario, closed_by("target", "peer")) == ["pass"]
    assert verdicts(scenario, closed_by("target", "fault")) == ["pass"]
    # Why the initiator went away is not known, nor what the target would have said.
    assert verdicts(scenario, closed_by("initiator", "peer")) == ["inconclusive"]
    assert verdicts(scenario, closed_by("target", "proxy")) == ["inconclusive"]
    assert verdicts(scenario, told(fault, lambda tale: tale.barrier(how="closed"))) == ["inconclusive"]


def test_both_ends_have_to_answer_when_both_are_victims() -> None:
    scenario = scenario_of("never: Reject", victim="both")
    tale, watch = told(fault), Watch(scenario)
    feed(watch, tale)
    assert [(one.end, one.conn) for one in watch.wanted()] == [(INITIATOR, 1), (TARGET, 1)]
    tale.barrier(end=TARGET)
    feed(watch, tale)
    assert not watch.decided
    tale.barrier(end=INITIATOR)
    feed(watch, tale)
    assert [result.verdict for result in watch.results()] == ["pass"]


def test_on_a_connection_that_is_gone_no_barrier_is_asked_for() -> None:
    scenario = scenario_of("{never: connect, after: close from proxy}", victim="target")
    tale, watch = told(fault), Watch(scenario)
    tale.closed(TARGET, "rst", by="fault")
    feed(watch, tale)
    assert [one.conn for one in watch.wanted()] == [0]


# --- the run -------------------------------------------------------------------------------------------------------


def test_missing_records_take_the_proof_from_silence_but_not_from_what_was_seen() -> None:
    lost = Record(Lost(count=3))

    def run(head: str, before: tuple[Part, ...], after: tuple[Part, ...]) -> list[str]:
        tale = told(*before)
        records = [record_of(event) for event in tale.events]
        tale.events.clear()
        for part in after:
            part(tale)
        return [
            one.verdict for one in results_of(scenario_of(expect(head)), [*records, lost, *map(record_of, tale.events)])
        ]

    assert run(NEVER, (fault,), (barrier,))[0] == "inconclusive"
    assert run(NEVER, (fault,), (answer,))[0] == "fail"
    assert run(FIRST, (fault,), (answer,))[0] == "inconclusive"
    assert run(FIRST, (fault,), (too_late,))[0] == "inconclusive"
    assert run(LEAST, (fault,), (answer,))[0] == "pass"
    assert run(LEAST, (fault,), (too_late,))[0] == "inconclusive"
    assert run(ONE, (fault,), (answer, barrier))[0] == "inconclusive"
    assert run(MOST, (fault,), (twice,))[0] == "fail"
    assert run(NEVER, (fault, barrier), (request,)) == ["pass"]
    assert run(NEVER, (fault,), (answer,)) == ["fail", "inconclusive"]


def test_a_first_without_a_line_for_nothing_is_inconclusive() -> None:
    scenario = scenario_of("{first: [{pass: SCSI-Response of n}], within: 1s}")
    assert verdicts(scenario, told(fault, late)) == ["inconclusive"]


def test_the_topmost_line_counts_for_one_event() -> None:
    lines = "[{warn: SCSI-Response of n}, {pass: SCSI-Response of n where Status == GOOD}, {fail: nothing}]"
    assert verdicts(scenario_of(f"{{first: {lines}}}"), told(fault, answer)) == ["warn"]


def test_stages_hold_back_and_end() -> None:
    scenario = scenario_of("at_least: 1 SCSI-Response")
    tale = Tale()
    tale.stage("steady")
    tale.fault()
    answer(tale)
    tale.stage("fault")
    assert verdicts(scenario, tale) == ["inconclusive"]
    tale.fault()
    tale.stage("aftermath")
    answer(tale)
    assert verdicts(scenario, tale) == ["inconclusive"]
    before = Tale()
    before.fault()
    before.stage("steady")
    before.stage("fault")
    answer(before)
    assert verdicts(scenario, before) == ["inconclusive"]
    in_time = Tale()
    in_time.stage("steady")
    in_time.stage("fault")
    in_time.fault()
    answer(in_time)
    in_time.stage("aftermath")
    assert verdicts(scenario, in_time) == ["pass"]


def test_a_judgement_that_breaks_is_inconclusive() -> None:
    scenario = scenario_of("{never: Reject, until: NOP-In}")
    watch = Watch(scenario)
    tale = told(fault)
    feed(watch, tale)

    class Broken(Witness):
        def test(self, look: Look) -> bool:
            raise ZeroDivisionError("of ours")

    pattern = scenario.expect[0].pattern
    assert pattern is not None
    watch._windows[0]._pattern = Broken(pattern, "target")
    answer(tale)
    feed(watch, tale)
    (result,) = watch.results()
    assert result.verdict == "inconclusive"
    assert "of ours" in result.why
    assert "SCSI-Response" in str(result.evidence[-1])


def test_a_result_names_its_evidence() -> None:
    scenario = scenario_of('{never: SCSI-Response of n where Status == GOOD, until: NOP-In, note: "silence is golden"}')
    tale = told(fault, answer)
    (result, *_) = judge(scenario, map(record_of, tale.events))
    assert result.text == "never: SCSI-Response of n where Status == GOOD (until NOP-In)"
    assert (result.verdict, result.why, result.note) == ("fail", "it came", "silence is golden")
    named, opened, seen = result.evidence
    assert "initiator leg: n is SCSI-Command ITT=0x00000001 " in str(named)
    assert str(opened).endswith("s conn 1: drop by rule x/#1 on SCSI-Command ITT=0x1: drop")
    number = tale.events[-2].n
    assert str(seen).startswith(f"#{number} ")
    assert "conn 1, target leg: SCSI-Response ITT=0x00000001 StatSN=100" in str(seen)
    assert (result.position.file, result.position.line) == ("x.yaml", 5)


PARTS = st.lists(st.sampled_from([fault, answer, bad_answer, other, request, late, barrier, hung, close]), max_size=8)


@given(
    head=st.sampled_from([NEVER, ONE, MOST, LEAST, FIRST]),
    more=st.sampled_from([(), (UNTIL,), (WITHIN,), (AFTER,), (AFTER, UNTIL), ("until: 4s",)]),
    parts=PARTS,
    steps=st.lists(st.floats(0, 1, allow_nan=False), max_size=4),
)
def test_it_does_not_matter_when_the_time_is_told(
    head: str, more: tuple[str, ...], parts: list[Part], steps: list[float]
) -> None:
    scenario, tale = scenario_of(expect(head, *more)), told(*parts)
    untold = results_of(scenario, map(record_of, tale.events))
    watch, last = Watch(scenario), 0.0
    for event in tale.events:
        for step in sorted(steps):
            watch.tick(last + step * (event.at - last))
            watch.wanted()
        watch.take(record_of(event))
        last = event.at
    watch.finish(last)
    assert (*watch.results(), *watch.troubles()) == untold


def test_with_no_expectation_all_is_decided() -> None:
    scenario = scenario_of("{never: Reject, until: NOP-In}").__class__(name="x", victim="target")
    watch = Watch(scenario)
    assert watch.decided
    assert watch.results() == ()
