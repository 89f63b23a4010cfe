from __future__ import annotations

from collections import Counter

from iscsiproxy.engine import SPECS
from iscsiproxy.journal import Record, record_of
from iscsiproxy.language.plans import ChaosPlan, load_plan
from iscsiproxy.runs.storm import Decision, decisions_in, drawn
from iscsiproxy.session.events import Drawn, Event, Staged

__all__: list[str] = []

PLAN = """plan: p
phases:
  - {for: 10s}
  - {for: 1000s, rate: 2/s, faults: [often, seldom]}
  - {for: 10s}
  - {for: 100s, rate: 60/min, faults: other}
faults:
  - {name: often, weight: 3, rules: [{when: R2T, do: drop}]}
  - {name: seldom, rules: [{when: R2T, do: drop}]}
  - {name: other, rules: [{when: R2T, do: drop}]}
"""


def plan() -> ChaosPlan:
    def find(*_: object) -> None:
        raise AssertionError

    return load_plan(PLAN, file="p.yaml", acts=SPECS, find=find)  # type: ignore[arg-type]


def test_a_seed_draws_the_same_again_and_another_one_does_not() -> None:
    assert drawn(plan(), 1) == drawn(plan(), 1)
    assert drawn(plan(), 1) != drawn(plan(), 2)


def test_storms_have_their_rates_and_their_faults() -> None:
    decisions = drawn(plan(), 7)
    assert [one.number for one in decisions] == [*range(1, len(decisions) + 1)]
    assert [one.at for one in decisions] == sorted(one.at for one in decisions)
    first = Counter(one.fault for one in decisions if one.at < 1010)
    assert all(one.at >= 10 for one in decisions)
    assert first.keys() == {"often", "seldom"}
    assert 1800 < first.total() < 2200
    assert 2.5 < first["often"] / first["seldom"] < 3.5
    rest = [one for one in decisions if one.at >= 1010]
    assert {one.fault for one in rest} == {"other"}
    assert all(1020 <= one.at < 1120 for one in rest)
    assert 70 < len(rest) < 130


def test_decisions_are_read_from_a_journal() -> None:
    events: list[Event] = [
        Staged(n=1, at=1.0, conn=0, stage="steady"),
        Staged(n=2, at=2.0, conn=0, stage="aftermath", text="calm"),
        Staged(n=3, at=5.0, conn=0, stage="fault", text="storm"),
        Drawn(n=4, at=6.5, conn=0, number=1, fault="a", what="armed", commands=12),
        Drawn(n=5, at=6.6, conn=0, number=2, fault="a", what="missed", commands=13),
        Drawn(n=6, at=6.7, conn=0, number=1, fault="a", what="fired", commands=14),
        Drawn(n=7, at=7.0, conn=0, number=3, fault="b", what="armed", commands=20),
    ]
    records: list[Record] = [record_of(event) for event in events]
    assert decisions_in(records) == (
        Decision(number=1, fault="a", at=4.5, commands=12),
        Decision(number=3, fault="b", at=5.0, commands=20),
    )
