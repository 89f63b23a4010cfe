from __future__ import annotations

from collections.abc import Sequence

import pytest

from iscsiproxy.engine.commands import Refuse
from iscsiproxy.engine.doorway import Doorway
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.engine.work import Shadowed
from tests.engine.dialogue import Dialogue

__all__: list[str] = []

RULES = """rules:
  - {when: connect, do: {note: x}}
  - {when: connect after 9, do: [{note: y}, refuse]}
  - {when: connect after 9, do: refuse}
  - {when: R2T, do: drop}
"""


def test_who_may_refuse_sees_a_connection_first() -> None:
    talk = Dialogue(RULES)
    doorway = Doorway(talk.engine._rules)
    seen: list[tuple[list[str], bool]] = []

    def see(rules: Sequence[ActiveRule], first: bool) -> None:
        seen.append(([rule.name for rule in rules], first))

    doorway.come(3, see)
    assert seen == [(["x/#2", "x/#3"], True)], "the others see it when it has come in"
    assert repr(doorway) == "<Doorway 2 may refuse, nobody in it>"


def test_a_refused_connection_is_seen_by_the_others_at_once() -> None:
    talk = Dialogue(RULES)
    doorway = Doorway(talk.engine._rules)
    seen: list[list[str]] = []

    def see(rules: Sequence[ActiveRule], first: bool) -> None:
        seen.append([rule.name for rule in rules])
        if first:
            assert repr(doorway) == "<Doorway 2 may refuse, 3 in it>"
            assert doorway.refuse(3) == Refuse(conn=3)
        with pytest.raises(Shadowed, match="it is refused already"):
            doorway.refuse(3)

    doorway.come(3, see)
    assert seen == [["x/#2", "x/#3"], ["x/#1", "x/#4"]]
