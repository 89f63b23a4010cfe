from __future__ import annotations

from collections.abc import Mapping

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.language import load
from iscsiproxy.language.plans import ChaosPlan, load_plan
from iscsiproxy.language.spec import Scenario

__all__: list[str] = []

LOST = "scenario: lost\nvictim: target\nparams: {nth: 1}\nrules: [{name: hole, when: Data-Out nth $nth, do: drop}]\n"
MACHINE = """scenario: flaps
victim: both
machines: {link: {states: {up: [{when: 1s, do: {goto: down}}], down: [{when: 1s, do: {goto: up}}]}}}
"""
HEAD = "plan: p\nphases: [{name: storm, for: 10s, rate: 2/s}]\n"
FAULTS = "faults: [{scenario: lost}]\n"


def find(name: str, params: Mapping[str, str]) -> Scenario:
    texts = {"lost": LOST, "flaps": MACHINE}
    if name not in texts:
        raise UsageError(f"no scenario is called {name!r}")
    return load(texts[name], file=name, acts=SPECS, params=params)


def plan(text: str, file: str = "p.yaml") -> ChaosPlan:
    return load_plan(text, file=file, acts=SPECS, find=find)


def test_a_plan() -> None:
    made = plan("""
plan: p
title: Rain
target: embedded:tgt-holes
traffic: {io: read, depth: 4}
phases:
  - {for: 2s}
  - {name: storm, for: 1min, rate: 30/min, faults: reset}
  - {name: other, for: 1s, rate: 2/s}
faults:
  - {scenario: lost, name: second, weight: 3, params: {nth: 2}, lasts: 2s}
  - {name: reset, rules: [{when: SCSI-Command nth 1, do: close}]}
""")
    assert (made.name, made.title, made.target, made.initiator) == ("p", "Rain", "embedded:tgt-holes", "embedded")
    assert (made.traffic["io"], made.traffic["depth"], made.seconds) == ("read", "4", 63)
    assert [(phase.name, phase.rate, phase.faults) for phase in made.phases] == [
        ("phase 1", 0, ()),
        ("storm", 0.5, ("reset",)),
        ("other", 2, ("second", "reset")),
    ]
    second, reset = made.faults
    assert (second.name, second.scenario.name, second.weight, second.lasts) == ("second", "second", 3, 2)
    assert second.scenario.params["nth"] == "2"
    assert (reset.weight, reset.lasts, reset.scenario.victim) == (1, 5, "both")
    assert reset.scenario.rules[0].do[0].name == "close"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("phases: []", "1:1", "`plan` is missing"),
        ("plan: q\nphases: [{for: 1s}]", "1:7", "the plan is called `q` and its file `p.yaml`"),
        ("plan: p\nversion: 2\nphases: [{for: 1s}]", "2:10", "version `2` of plans is not known"),
        ("plan: p", "1:1", "`phases` is missing"),
        ("plan: p\nphases: []", "2:9", "`phases` is empty"),
        ("plan: p\nphase: []\nphases: [{for: 1s}]", "2:1", "a plan has no key `phase` (did you mean `phases`?)"),
        ("plan: p\nphases: [{name: x}]", "2:10", "a phase needs `for`"),
        ("plan: p\nphases: [{for: 10}]", "2:16", "`for` is a duration, not `10`"),
        (
            "plan: p\nphases: [{for: 1s, rate: 5s}]",
            "2:26",
            "not `5s` (how often, not how long: `2/s`)",
        ),
        ("plan: p\nphases: [{for: 1s, rate: 0/s}]", "2:26", "`rate` is a number of faults per s or min"),
        ("plan: p\nphases: [{for: 1s, rate: 1/s}]", "2:10", "a storm needs `faults` to draw from"),
        (HEAD + "faults: [{scenario: lost}, {scenario: lost}]", "3:28", "two faults are called `lost`"),
        (HEAD + "faults: [{weight: 2}]", "3:10", "a fault is either a `scenario` or `rules`"),
        (HEAD + "faults: [{rules: [{when: R2T, do: drop}]}]", "3:10", "a fault with `rules` needs a `name`"),
        (HEAD + "faults: [{name: x, rules: [{when: R2D, do: drop}]}]", "3:35", "did you mean `R2T`?"),
        (HEAD + "faults: [{scenario: flaps}]", "3:21", "flaps has `machines`, and a storm draws from what has rules"),
        (HEAD + "faults: [{scenario: lost, weight: 0}]", "3:35", "`weight` is a number of at least 1"),
        ("plan: p\nphases: [{for: 1s, faults: lost}]\n" + FAULTS, "2:28", "a phase with `faults` needs a `rate`"),
        (
            "plan: p\nphases: [{for: 1s, rate: 1/s, faults: [lots]}]\n" + FAULTS,
            "2:40",
            "no fault is called `lots` (did you mean `lost`?)",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, place: str, message: str) -> None:
    with pytest.raises(FileError) as raised:
        plan(text)
    assert str(raised.value).startswith(f"p.yaml:{place}: ")
    assert message in str(raised.value)


def test_all_that_is_wrong_is_told() -> None:
    with pytest.raises(FileError) as raised:
        plan("plan: q\nphases: [{for: 1}]\nfaults: [{scenario: lost, weight: x}]\n")
    assert len(raised.value.others) == 2


def test_a_scenario_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no scenario is called 'nowhere'"):
        plan(HEAD + "faults: [{scenario: nowhere}]\n")
