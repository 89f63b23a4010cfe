from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Final

import pytest

from iscsiproxy.engine.explained import explanation_facts, explanation_lines
from iscsiproxy.engine.explanations import Explanation, MomentFacts, StepFacts
from iscsiproxy.engine.misses import Clause, Miss
from iscsiproxy.language.spec import Position

__all__: list[str] = []

_WHERE: Final = Position(file="x.yaml", line=7, column=5)
_MISS: Final = Miss(
    n=40,
    line=41,
    at=1.25,
    conn=2,
    label="SCSI-Command ITT=0x1",
    stage="where",
    clauses=(Clause(text="EDTL == 500", found="EDTL is 400"), Clause(text="W", found="W is 0")),
    passed=1,
    total=3,
)


def rule(*when: MomentFacts, **more: object) -> Explanation:
    return replace(Explanation(rule="x/cut", where=_WHERE, optional=False, when=list(when), acts=("drop",)), **more)  # type: ignore[arg-type] # a test names its fields


def moment(*steps: StepFacts, met: int = 0) -> MomentFacts:
    return MomentFacts(text=" then ".join(step.text for step in steps), steps=list(steps), met=met)


def pattern(text: str = "SCSI-Command", **more: object) -> StepFacts:
    return replace(StepFacts(text, "pattern"), **more)  # type: ignore[arg-type] # a test names its fields


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (rule(), "never fired"),
        (rule(optional=True), "never fired, as it may"),
        (rule(acts=()), "never matched"),
        (rule(done=Counter(drop=1), matched=1), "fired once"),
        (rule(done=Counter(drop=3, note=2), matched=3), "fired 3 times"),
        (rule(acts=(), matched=2), "matched 2 times"),
        (rule(matched=1), "its moment came once, but drop did nothing"),
        (rule(unarmed=True), "never armed"),
        (rule(elsewhere="b"), "never in force: its machine never was in the state b"),
        (rule(ended="NOP-Out", ended_at=9), "never fired; `until NOP-Out` took it out of force at event 9"),
    ],
)
def test_the_first_line_says_what_became_of_it(one: Explanation, outcome: str) -> None:
    assert explanation_lines(one)[0] == f"rule x/cut (x.yaml:7): {outcome}"
    assert explanation_facts(one)["outcome"] == outcome


def test_the_nearest_misses_are_told_with_what_was_not_so() -> None:
    lines = explanation_lines(rule(moment(pattern(seen=6, misses=[_MISS, replace(_MISS, line=0, clauses=())]))))
    assert lines[1:] == [
        "  when SCSI-Command",
        "    6 seen, none matched; the nearest:",
        "      line 41, event 40 at 1.2500s on connection 2: SCSI-Command ITT=0x1",
        "        not `EDTL == 500`: EDTL is 400",
        "        not `W`: W is 0",
        "      event 40 at 1.2500s on connection 2: SCSI-Command ITT=0x1",
    ]


def test_where_nothing_came_that_is_said() -> None:
    assert explanation_lines(rule(moment(pattern())))[2] == "    nothing of this kind was seen"


def test_where_only_the_picks_kept_it_out_the_last_one_is_told() -> None:
    refused = replace(_MISS, stage="picks", clauses=(Clause(text="nth 3", found="it was number 2"),))
    lines = explanation_lines(rule(moment(pattern(seen=5, matched=2, refused=refused, misses=[_MISS]))))
    assert lines[2] == "    5 seen, 2 matched but for the picks; the last:"
    assert lines[4] == "        not `nth 3`: it was number 2"
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        ("time", "this time has not passed"),
        ("barrier", "no barrier has passed"),
        ("fault", "no act has reached the wire"),
        ("released", "nobody has let it go by hand"),
        ("name", "this name was never bound"),
    ],
)
def test_of_several_steps_it_is_told_where_it_hangs(kind: str, waits: str) -> None:
    steps = (pattern(seen=1, matched=1, passed=1), StepFacts("the second", kind), pattern("R2T"))
    assert explanation_lines(rule(moment(*steps)))[1:] == [
        "  when SCSI-Command then the second then R2T",
        "    step 1 of 3, `SCSI-Command`: came",
        f"    step 2 of 3, `the second`: {waits}",
    ]


def test_a_step_that_only_a_later_one_shows_to_have_come_has_come() -> None:
    steps = (pattern(passed=1), StepFacts("1s", "time"), pattern("R2T", seen=2))
    assert explanation_lines(rule(moment(*steps)))[2:5] == [
        "    step 1 of 3, `SCSI-Command`: came",
        "    step 2 of 3, `1s`: came",
        "    step 3 of 3, `R2T`: 2 seen, none matched; the nearest:",
    ]


def test_of_a_rule_that_has_fired_only_the_moments_that_never_came_are_explained() -> None:
    came, never = moment(pattern(seen=1, matched=1, passed=1), met=1), moment(pattern("R2T"))
    assert explanation_lines(rule(came, never, done=Counter(drop=1), matched=1))[1:] == [
        "  when SCSI-Command",
        "  when R2T",
        "    nothing of this kind was seen",
    ]


def test_who_should_have_bound_a_name_is_told() -> None:
    miss = replace(_MISS, stage="names", clauses=(Clause(text="n", found="it is not bound"),))
    one = rule(moment(pattern(seen=1, misses=[miss])), binders={"n": "x/first", "m": "x/cut"})
    assert explanation_lines(one)[-1] == "  `n` is bound by rule x/first"
    one.binders = {"n": "x/cut"}
    assert explanation_lines(one)[-1] == "  `n` is bound by this very rule"
    one.done = Counter(drop=1)
    assert not any("bound by" in line for line in explanation_lines(one))


def test_reasons_are_told_last_with_how_often() -> None:
    reasons = Counter({"failed: ITT is absent": 1, "shadowed: drop": 3})
    assert explanation_lines(rule(reasons=reasons))[1:] == ["  failed: ITT is absent", "  shadowed: drop (3 times)"]


def test_as_values_it_has_the_same_in_it() -> None:
    one = rule(moment(pattern(seen=6, matched=0, misses=[_MISS])), matched=0, reasons=Counter({"why": 2}))
    facts = json.loads(json.dumps(explanation_facts(one)))
    assert (facts["rule"], facts["file"], facts["line"], facts["column"]) == ("x/cut", "x.yaml", 7, 5)
    assert (facts["matched"], facts["fired"], facts["optional"], facts["reasons"]) == (0, 0, False, {"why": 2})
    ((step,),) = [when["steps"] for when in facts["when"]]
    assert (step["text"], step["kind"], step["seen"]) == ("SCSI-Command", "pattern", 6)
    assert step["misses"] == [
        {
            "event": 40,
            "line": 41,
            "at": 1.25,
            "conn": 2,
            "what": "SCSI-Command ITT=0x1",
            "stage": "where",
            "clauses": [{"text": "EDTL == 500", "found": "EDTL is 400"}, {"text": "W", "found": "W is 0"}],
            "passed": 1,
            "total": 3,
        }
    ]
    refused = replace(_MISS, n=50)
    one.when[0].steps[0].refused = refused
    (step,) = explanation_facts(one)["when"][0]["steps"]
    assert [miss["event"] for miss in step["misses"]] == [50]
