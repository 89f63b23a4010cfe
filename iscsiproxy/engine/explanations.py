"""What is known of a rule that is explained: its moments, their steps, and what came nearest to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.misses import Miss, Near
from iscsiproxy.language.spec import Barrier, Bound, FaultReached, Position, Released, Wait

__all__ = ["Explanation", "MomentFacts", "StepFacts", "step_facts"]

#: How many near misses are kept for each step
_NEAREST: Final = 3
#: After so many misses of a step only nearer ones are looked at
_TRIED: Final = 1000


@dataclass(slots=True)
class StepFacts:
    """One step of a moment: what was `seen` of its kind, what the test `matched`, how often the picks let it `pass`.

    `misses` are the nearest ones, nearest first.
    """

    text: str
    kind: str  #: `pattern`, `time`, `barrier`, `fault`, `released` or `name`
    seen: int = 0
    matched: int = 0
    passed: int = 0
    misses: list[Miss] = field(default_factory=list)
    refused: Miss | None = None  #: the last that only the picks kept out
    _tried: int = 0

    def missed(self, near: Near, look: Look, line: int) -> None:
        """Keep a miss if it is among the nearest; of those that say the same the first."""
        self._tried += 1
        full = len(self.misses) == _NEAREST or self._tried > _TRIED
        if full and self.misses and near.rank >= self.misses[-1].rank:
            return
        miss = near.told(look, line)
        same = [one for one in self.misses if _alike(one, miss)]
        if same and same[0].rank <= miss.rank:
            return
        self.misses = [one for one in self.misses if one not in same] + [miss]
        self.misses.sort(key=lambda one: one.rank)
        del self.misses[_NEAREST:]


def _alike(one: Miss, other: Miss) -> bool:
    """Tell whether two misses say the same of different PDUs."""
    return one.stage == other.stage and one.clauses == other.clauses


@dataclass(slots=True)
class MomentFacts:
    """One moment of a rule: its steps, and how often the last one was met."""

    text: str
    steps: list[StepFacts]
    met: int = 0


@dataclass(slots=True)
class Explanation:
    """What became of one rule. `done` counts for each act how often it took effect."""

    rule: str
    where: Position
    optional: bool
    when: list[MomentFacts]
    acts: tuple[str, ...] = ()
    matched: int = 0
    done: Counter[str] = field(default_factory=Counter)
    ended: str = ""  #: the moment that took it out of force
    ended_at: int = 0  #: and the event at which that came
    unarmed: bool = False  #: nothing ever brought it into force
    elsewhere: str = ""  #: the state of its machine that was never entered
    binders: Mapping[str, str] = field(default_factory=dict)  #: names that it needs, and which rule binds each
    reasons: Counter[str] = field(default_factory=Counter)  #: why acts were not done

    @property
    def fired(self) -> int:
        """How often it did something; of a rule without acts, how often it matched."""
        return max(self.done.values(), default=0) if self.acts else self.matched


def step_facts(step: object) -> StepFacts:
    """Begin the facts of a step."""
    match step:
        case Wait(low=low, high=high):
            return StepFacts(f"{low:g}s" if low == high else f"{low:g}s..{high:g}s", "time")
        case Barrier():
            return StepFacts("barrier", "barrier")
        case FaultReached():
            return StepFacts("fault", "fault")
        case Released():
            return StepFacts("released", "released")
        case Bound(name=name):
            return StepFacts(name, "name")
        case _:
            return StepFacts(getattr(step, "text", ""), "pattern")
