from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language.loader import load
from iscsiproxy.language.spec import ActSpec
from iscsiproxy.language.steps import STEPS

__all__: list[str] = []


def test_a_step_is_no_act() -> None:
    assert set(STEPS) == {"login", "send", "io"}
    assert not STEPS.keys() & SPECS.keys()


@pytest.mark.parametrize("spec", [*SPECS.values(), *STEPS.values()], ids=lambda spec: spec.name)
def test_a_specification_holds_together(spec: ActSpec) -> None:
    names = [param.name for param in spec.params]
    assert len(names) == len(set(names))
    assert spec.main is None or spec.main in names
    assert all(isinstance(param.default, bool) or param.default is None or param.default for param in spec.params)
    assert spec.help
    assert all(param.help for param in spec.params)
    words = {param.name: param.choices for param in spec.params}
    for param in spec.params:
        for word, other, beside in param.goes_with:
            assert word in param.choices
            assert set(beside) <= set(words[other])


def test_an_actor_may_send_an_AHS_and_any_bit_of_the_header() -> None:
    text = "scenario: x\nactor:\n  - login: {as: A}\n  - send: {pdu: SCSI-Command, AHS: 0x0001ff00, BHS.1.3: 1}\n"
    step = load(text, file="x.yaml", acts=SPECS).actor[1]
    assert list(step.fields) == ["AHS", "BHS.1.3"]
