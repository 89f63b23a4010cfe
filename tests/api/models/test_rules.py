from __future__ import annotations

from iscsiproxy.api.models import Armed, Arming, Cleared, Rule, RuleSwitch
from tests.api.models.wire import read, refused, said

__all__: list[str] = []

RULE = Rule(
    name="mine/#1", scenario="mine", text="drop NOP-In", armed=True, optional=False, once=False, conn=None,
    matched=3, fired=2, failed=0, shadowed=0, expired=0, skipped=1, waiting=0,
)  # fmt: skip


def test_what_is_armed_without_more_needs_no_more() -> None:
    arming = read(Arming, line="drop NOP-In")
    assert (arming.file, arming.params, arming.conn, arming.name, arming.confirm) == ("scenario", {}, None, None, False)
    assert arming.params is not read(Arming, line="drop NOP-In").params


def test_parameters_are_texts() -> None:
    assert read(Arming, scenario="x", params={"nth": "3"}).params == {"nth": "3"}
    assert "$.params" in refused(Arming, scenario="x", params={"nth": 3})


def test_a_switch_has_to_say_which_way() -> None:
    assert read(RuleSwitch, armed=False) == RuleSwitch(armed=False)
    assert "required field `armed`" in refused(RuleSwitch)
    assert "Expected `bool`" in refused(RuleSwitch, armed="no")


def test_what_came_into_force_and_what_was_cleared() -> None:
    armed = Armed(scenario="mine", rules=(RULE,), n=17)
    assert said(armed)["rules"][0]["fired"] == 2
    assert read(Armed, **said(armed)) == armed
    cleared = Cleared(rules=1, held=2, stalled=0, reset=(3,))
    assert said(cleared) == {"rules": 1, "held": 2, "stalled": 0, "reset": [3]}
