from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import STEPS, load_all
from iscsiproxy.language.examples import EXAMPLES, STEP_EXAMPLES
from iscsiproxy.language.never import never
from iscsiproxy.language.walking import moments_of


def test_every_act_and_step_has_an_example() -> None:
    assert set(EXAMPLES) == set(SPECS)
    assert set(STEP_EXAMPLES) == set(STEPS)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "goto"])
def test_an_example_is_right_and_shows_its_act(name: str) -> None:
    lines = "\n  ".join(EXAMPLES[name].splitlines())
    text = f"scenario: x\nvictim: both\nrules:\n  {lines}\n"
    (scenario,) = load_all(text, file="x.yaml", acts=SPECS, built=False)
    assert name in [act.name for rule in scenario.rules for act in rule.do]
    assert [one for one in never([scenario]) if one.severity == "error"] == []


def test_the_example_of_goto_is_right_in_a_machine() -> None:
    rule = EXAMPLES["goto"].splitlines()[-1]
    text = f"scenario: x\nvictim: both\nmachines: {{m: {{states: {{up: [{rule[2:]}]}}}}}}\n"
    (scenario,) = load_all(text, file="x.yaml", acts=SPECS, built=False)
    assert scenario.machines[0].states[0].rules[0].do[0].name == "goto"


@pytest.mark.parametrize("name", STEP_EXAMPLES)
def test_an_example_of_a_step_is_right_and_shows_it(name: str) -> None:
    lines = "\n  ".join(STEP_EXAMPLES[name].splitlines())
    (scenario,) = load_all(f"scenario: x\nactor:\n  {lines}\n", file="x.yaml", acts=SPECS, built=False)
    assert name in [step.name for step in scenario.actor]
    assert not any(list(moments_of(step)) for step in scenario.actor)
