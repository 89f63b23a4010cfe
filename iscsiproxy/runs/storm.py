"""Which faults chaos puts in force, and when: drawn from a plan with a seed, or as it was done in an earlier run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from iscsiproxy.journal import Record
from iscsiproxy.language.plans import ChaosPlan
from iscsiproxy.session.events import Drawn, Staged

__all__ = ["Decision", "decisions_in", "drawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Put a fault in force: `at` so many seconds behind the beginning of the first phase.

    `commands` is how many SCSI Commands initiators had sent in its phase by then, where that was seen: what is done
    again is done at the same command.
    """

    number: int
    fault: str
    at: float
    commands: int | None = None


def drawn(plan: ChaosPlan, seed: int) -> tuple[Decision, ...]:
    """Draw all decisions of a plan; the same seed gives the same ones."""
    return tuple(_drawn(plan, Random(f"{seed}/storm")))


def _drawn(plan: ChaosPlan, rng: Random) -> Iterator[Decision]:
    weights = {fault.name: fault.weight for fault in plan.faults}
    number, begin = 0, 0.0
    for phase in plan.phases:
        at = begin
        while phase.rate:
            at += rng.expovariate(phase.rate)
            if at >= begin + phase.seconds:
                break
            number += 1
            (fault,) = rng.choices(phase.faults, weights=[weights[name] for name in phase.faults])
            yield Decision(number=number, fault=fault, at=at)
        begin += phase.seconds


def decisions_in(records: Iterable[Record]) -> tuple[Decision, ...]:
    """Give the decisions that a journal tells of, in its order, but for those that came to nothing."""
    begin = 0.0
    found: list[Decision] = []
    for record in records:
        entry = record.entry
        if isinstance(entry, Staged) and entry.stage != "steady" and not begin:
            begin = entry.at
        elif isinstance(entry, Drawn) and entry.what == "armed":
            at = entry.at - begin
            found.append(Decision(number=entry.number, fault=entry.fault, at=at, commands=entry.commands))
    return tuple(found)
