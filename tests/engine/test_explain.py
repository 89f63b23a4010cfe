from __future__ import annotations

import random

from iscsiproxy.engine import SPECS
from iscsiproxy.engine.explain import Explainer
from iscsiproxy.engine.explanations import Explanation
from iscsiproxy.journal import record_of
from iscsiproxy.language import load
from iscsiproxy.runs.replaying import Replay
from iscsiproxy.session.events import Bound, Event, Pinged
from tests.engine.dialogue import data_out
from tests.journal.story import INITIATOR, TARGET, Story, command, response


def explained(rules: str, story: Story) -> list[Explanation]:
    """Say what became of the rules in a story."""
    scenario = load(f"scenario: x\nvictim: target\n{rules}", file="x.yaml", acts=SPECS, built=False)
    replay = Replay(record_of(event) for event in story.events)
    explainer = Explainer([scenario], rng=random.Random(1), state=replay.state)
    for record in replay:
        entry = record.entry
        assert isinstance(entry, Event)
        explainer.take(entry, record.line)
    return list(explainer.explanations())


def story(*numbers: int) -> Story:
    """Tell of a login, and of commands and their responses by number."""
    told = Story()
    told.logged_in()
    for number in numbers:
        told.passed(command(number, EDTL=number * 100))
        told.passed(response(number))
    return told


def test_a_rule_that_matched_is_counted() -> None:
    (one,) = explained("rules: [{when: SCSI-Command as n}]", story(1, 2, 3))
    assert (one.matched, one.fired, one.when[0].met) == (3, 3, 3)
    assert one.when[0].steps[0].misses == []


def test_the_three_nearest_are_kept() -> None:
    (one,) = explained("rules: [{when: SCSI-Command where EDTL == 500, do: drop}]", story(1, 9, 4, 7, 3, 8))
    step = one.when[0].steps[0]
    assert (step.seen, step.matched, one.matched, one.fired) == (6, 0, 0, 0)
    assert [miss.clauses[0].found for miss in step.misses] == ["EDTL is 400", "EDTL is 700", "EDTL is 300"]


def test_misses_that_say_the_same_are_one() -> None:
    (one,) = explained("rules: [{when: SCSI-Command where W, do: drop}]", story(1, 2, 3, 4))
    (miss,) = one.when[0].steps[0].misses
    assert (miss.clauses[0].text, miss.clauses[0].found) == ("W", "W is 0")
    assert one.when[0].steps[0].seen == 4


def test_picks_say_how_far_they_counted() -> None:
    (one,) = explained("rules: [{when: SCSI-Command where EDTL > 100 nth 3, do: drop}]", story(1, 2, 3))
    step = one.when[0].steps[0]
    assert (step.seen, step.matched, step.passed) == (3, 2, 0)
    assert step.refused is not None
    assert (step.refused.clauses[0].text, step.refused.clauses[0].found) == ("nth 3", "this is match number 2")


def test_a_sequence_hangs_at_its_step() -> None:
    rules = "rules: [{when: SCSI-Command nth 1 as n then SCSI-Response of n where Status == BUSY, do: close}]"
    (one,) = explained(rules, story(1, 2))
    first, second = one.when[0].steps
    assert (first.passed, second.passed) == (1, 0)
    assert [(miss.stage, miss.clauses[0].found) for miss in second.misses] == [
        ("where", "Status is GOOD"),
        ("of", "its ITT is 0x2, that of `n` 0x1"),
    ]


def test_a_name_that_nothing_has_bound() -> None:
    rules = (
        "rules: [{when: R2T nth 1 as r}, {when: SCSI-Command where CmdSN > r.R2TSN, do: drop}, {when: r, do: close}]"
    )
    _, second, third = explained(rules.replace("CmdSN > r.R2TSN", "EDTL > r.R2TSN"), story(1))
    assert second.when[0].steps[0].misses[0].clauses[0].found == "it is not bound"
    assert (third.when[0].steps[0].kind, third.matched) == ("name", 0)


def test_times_and_barriers_and_the_first_fault() -> None:
    rules = (
        "rules: [{when: 2ms, do: close}, {when: 1min, do: close}, {when: barrier, do: close}, {when: fault, do: close}]"
    )
    told = story(1)
    assert [one.matched for one in explained(rules, told)] == [1, 0, 0, 0]
    told.fired("x/#1", "close", None, "rst")
    told.events.append(Pinged(n=90, at=1.0, conn=1, barrier=1, end=TARGET, what="passed"))
    assert [one.matched for one in explained(rules, told)] == [1, 0, 1, 1]


def test_an_end_takes_the_rule_out_of_force() -> None:
    (one,) = explained("rules: [{when: SCSI-Command nth 3, until: SCSI-Response nth 2, do: drop}]", story(1, 2, 3))
    assert one.ended == "SCSI-Response nth 2"
    assert one.ended_at
    assert one.matched == 0


def test_what_acts_did_comes_from_what_is_told_of_them() -> None:
    told = story(1)
    told.fired("x/#1", "drop", 5, "not sent")
    told.decided("x/#2", "shadowed", 5, "drop: x/#1 has settled the fate")
    told.decided("x/#2", "shadowed", 6, "drop: x/#1 has settled the fate")
    first, second = explained("rules: [{when: SCSI-Command, do: drop}, {when: SCSI-Command, do: drop}]", told)
    assert (first.fired, second.fired) == (1, 0)
    assert second.reasons == {"shadowed: drop: x/#1 has settled the fate": 2}


def test_a_firing_of_several_acts_counts_once() -> None:
    told = story(1)
    told.noted("x/#1", 5, "x")
    told.fired("x/#1", "drop", 5, "not sent")
    (one,) = explained("rules: [{when: SCSI-Command, do: [{note: x}, drop]}]", told)
    assert (one.fired, one.done) == (1, {"note": 1, "drop": 1})


def test_a_name_that_an_act_has_bound() -> None:
    rules = "rules: [{when: SCSI-Command nth 1, do: {duplicate: {as: c}}}, {when: SCSI-Response of c, do: drop}]"
    told = Story()
    told.logged_in()
    n = told.came(command(1))
    told.went(command(1), n)
    copy = told.went(command(7), n, rules=("x/#1",))
    told.events.append(Bound(n=99, at=told.events[-1].at, conn=1, rule="x/#1", name="c", of=copy, made=True))
    told.passed(response(7))
    assert explained(rules, told)[1].matched == 1
    told.events = [event for event in told.events if not isinstance(event, Bound)]
    assert explained(rules, told)[1].when[0].steps[0].misses[0].clauses[0].found == "`c` is not bound"


def test_a_rule_that_is_armed_later() -> None:
    rules = (
        "rules: [{when: SCSI-Response nth 1, do: {arm: late}},"
        " {name: late, armed: no, when: SCSI-Command, do: drop}, {name: un, armed: no, when: SCSI-Command, do: drop}]"
    )
    told = story(1)
    told.fired("x/#1", "arm", None, "late")
    told.passed(command(2))
    _, late, un = explained(rules, told)
    assert (late.unarmed, late.matched) == (False, 1)
    assert (un.unarmed, un.matched) == (True, 0)


def test_rules_of_a_state_that_was_entered_or_not() -> None:
    rules = (
        "machines: {m: {states: {a: [{when: SCSI-Command nth 1, do: {goto: b}}],"
        " b: [{when: SCSI-Command, do: drop}], c: [{when: SCSI-Command, do: {goto: a}}]}}}"
    )
    told = story(1)
    told.fired("x/m.a#1", "goto", None, "b")
    told.passed(command(2))
    first, second, third = explained(rules, told)
    assert (first.matched, second.matched, third.matched) == (1, 1, 0)
    assert (second.elsewhere, third.elsewhere) == ("", "c of m")


def test_events_and_what_the_proxy_did() -> None:
    told = story()
    told.closed(INITIATOR, by="fault")
    told.closed(TARGET, "rst")
    rules = "rules: [{when: close as a}, {when: close from proxy as b}, {when: close where how == fin as c}]"
    first, second, third = explained(rules, told)
    assert (first.matched, second.matched, third.matched) == (1, 1, 0)
    assert third.when[0].steps[0].seen == 1
    assert any(miss.stage == "from" for miss in third.when[0].steps[0].misses)


def test_counts_per_session_and_sequences_per_connection() -> None:
    told = story(1, 2)
    told.conn = 2
    told.logged_in()
    told.passed(command(5))
    rules = (
        "rules: [{when: SCSI-Command nth 1 per connection as a}, {when: connect then SCSI-Command per connection as b}]"
    )
    first, second = explained(rules, told)
    assert first.matched == 2
    assert second.matched == 3


def test_many_misses_cost_little_and_a_nearer_one_is_still_found() -> None:
    told = Story()
    told.logged_in()
    for _ in range(1100):
        told.came(data_out(1, 0))
    told.came(data_out(1, 98))
    (one,) = explained("rules: [{when: Data-Out where DataSN == 99, do: drop}]", told)
    assert one.when[0].steps[0].seen == 1101
    assert one.when[0].steps[0].misses[0].clauses[0].found == "DataSN is 98"
