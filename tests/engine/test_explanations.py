from __future__ import annotations

from iscsiproxy.engine.explanations import Explanation, StepFacts, step_facts
from iscsiproxy.engine.misses import Clause, Near
from iscsiproxy.language.spec import NOWHERE, Barrier, Bound, FaultReached, Pattern, Released, Wait
from tests.engine.test_misses import look_at
from tests.journal.story import command


def near(text: str, distance: float) -> Near:
    return Near("of", clauses=(Clause(text=text, found="not so"),), distance=distance)


def test_only_the_nearest_are_kept_nearest_first() -> None:
    facts = StepFacts("SCSI-Command", "pattern")
    for number in (5, 3, 9, 1, 7):
        facts.missed(near(str(number), number), look_at(command()), 0)
    assert [miss.clauses[0].text for miss in facts.misses] == ["1", "3", "5"]


def test_of_those_that_say_the_same_the_nearest_is_kept() -> None:
    facts = StepFacts("SCSI-Command", "pattern")
    for distance in (5, 3, 4):
        facts.missed(near("same", distance), look_at(command()), 0)
    (miss,) = facts.misses
    assert miss.distance == 3


def test_how_often_a_rule_did_something() -> None:
    one = Explanation(rule="x/a", where=NOWHERE, optional=False, when=[], acts=("note", "drop"), matched=5)
    assert one.fired == 0
    one.done.update({"note": 3, "drop": 2})
    assert one.fired == 3
    assert Explanation(rule="x/b", where=NOWHERE, optional=False, when=[], matched=5).fired == 5


def test_a_step_is_of_a_kind() -> None:
    steps = (Wait(low=1, high=1), Wait(low=1, high=2), Barrier(), FaultReached(), Released(), Bound(name="n"))
    assert [(one.text, one.kind) for one in map(step_facts, steps)] == [
        ("1s", "time"),
        ("1s..2s", "time"),
        ("barrier", "barrier"),
        ("fault", "fault"),
        ("released", "released"),
        ("n", "name"),
    ]
    assert step_facts(Pattern(items=(), text="R2T")).kind == "pattern"
