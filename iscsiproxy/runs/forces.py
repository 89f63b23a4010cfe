"""The faults that chaos has put in force: brought in and taken out of the engine, and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from iscsiproxy.language.plans import Fault
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.runs.storm import Decision
from iscsiproxy.session.events import Drawn, Fired

__all__ = ["Forces", "sleeping"]

What = Literal["armed", "fired", "expired", "missed"]


@dataclass(slots=True, eq=False)
class _Force:
    """A fault in force: until `until`, or until each of its rules has fired more often than in `before`.

    `told` are the rules of which an act has had its effect, even if the firing is not over: a stall that goes on.
    """

    number: int
    fault: Fault
    until: float
    before: dict[str, int]
    told: set[str] = field(default_factory=set)


class Forces:
    """What is in force, and how often each fault was drawn, and has struck.

    `commands` counts the SCSI Commands of initiators since the phase began; who sees them counts them.
    """

    def __init__(self, faults: tuple[Fault, ...], relay: Relay) -> None:
        self._faults = {fault.name: fault for fault in faults}
        self._relay = relay
        self._now: dict[str, _Force] = {}
        self.commands = 0
        self.drawn: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Forces {', '.join(self._now) or 'none'}>"

    @property
    def until(self) -> float:
        """When the first of those in force is over by itself, in seconds of the run."""
        return min((force.until for force in self._now.values()), default=float("inf"))

    def arm(self, decision: Decision) -> bool:
        """Put a fault in force. If it is, a decision that was drawn comes to nothing; an earlier one has to wait."""
        fault = self._faults[decision.fault]
        if fault.name in self._now:
            if decision.commands is not None:
                return False
            self.miss(decision)
            return True
        self._now[fault.name] = _Force(
            decision.number, fault, self._relay.now + fault.lasts, self._fired().get(fault.name, {})
        )
        self.drawn[fault.name] += 1
        self._tell(decision.number, fault.name, "armed")
        # Those that wait for its own `arm` are left to that.
        rules = [f"{fault.name}/{rule.name}" for rule in fault.scenario.rules if rule.armed]
        self._relay.ask(lambda engine: engine.switch(rules, on=True))
        return True

    def take(self, event: Fired) -> None:
        """Take note that an act has had its effect."""
        force = self._now.get(event.rule.partition("/")[0])
        if force is not None:
            force.told.add(event.rule)

    def miss(self, decision: Decision) -> None:
        """Take note of a decision that comes to nothing."""
        self._tell(decision.number, decision.fault, "missed")

    def review(self) -> None:
        """Take out what has struck, and what has had its time."""
        fired = self._fired() if self._now else {}
        for force in [*self._now.values()]:
            if self._relay.now >= force.until or all(fired[force.fault.name][rule] > n for rule, n in _needed(force)):
                self._take_out(force, fired)

    def clear(self) -> None:
        """Take everything out."""
        fired = self._fired() if self._now else {}
        for force in [*self._now.values()]:
            self._take_out(force, fired)

    def _take_out(self, force: _Force, fired: dict[str, dict[str, int]]) -> None:
        name = force.fault.name
        if all(rule in force.told or fired[name][rule] > n for rule, n in _needed(force)):
            self.struck[name] += 1
            self._disarm(force, "fired")
        else:
            self._disarm(force, "expired")

    def _disarm(self, force: _Force, what: What) -> None:
        del self._now[force.fault.name]
        rules = [f"{force.fault.name}/{rule.name}" for rule in force.fault.scenario.rules]
        self._relay.ask(lambda engine: engine.switch(rules, on=False))
        self._tell(force.number, force.fault.name, what)

    def _fired(self) -> dict[str, dict[str, int]]:
        """Give how often each rule has fired, by its fault."""
        assert self._relay.engine is not None
        found: dict[str, dict[str, int]] = {}
        for one in self._relay.engine.counters():
            found.setdefault(one.rule.partition("/")[0], {})[one.rule] = one.fired
        return found

    def _tell(self, number: int, fault: str, what: What) -> None:
        commands = self.commands
        self._relay.tell(
            lambda n, at: Drawn(n=n, at=at, conn=0, number=number, fault=fault, what=what, commands=commands)
        )


def _needed(force: _Force) -> list[tuple[str, int]]:
    """Give the rules that have to fire for a fault to strike, and how often each had fired before."""
    names = [f"{force.fault.name}/{rule.name}" for rule in force.fault.scenario.rules if not rule.optional]
    return [(name, force.before[name]) for name in names]


def sleeping(scenario: Scenario) -> Scenario:
    """Give a scenario whose rules are in force only when they are brought."""
    return replace(scenario, rules=tuple(replace(rule, armed=False) for rule in scenario.rules))
