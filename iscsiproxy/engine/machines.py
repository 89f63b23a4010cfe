"""Machines at work: which rules of which state are in force, and where.

A machine has one instance for the run, or one for each session or connection; an instance is in one state. Every rule
of a state stands among the rules of the engine once, as a `StateRule` that is itself never in force: asked about what
was seen somewhere, it gives its copy in the instance there, if that is in its state. A copy lives from the entry of the
state until it is left, so picks, sequences and durations begin anew; the counts of all copies are one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from copy import copy
from typing import Protocol

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.match import scope_of
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.engine.work import ActError, RuleView, Shadowed
from iscsiproxy.language.spec import Machine, Rule, Scenario

__all__ = ["ActiveMachine", "Floor", "Instance", "StateRule", "goto"]

#: Instances of a machine that are kept; the longest unused is forgotten first.
_MAX_INSTANCES = 8192
#: More changes of state than this in a second, by time alone, are a circle that would never end.
_MAX_CHANGES = 1000


class Floor(Protocol):
    """What machines know of the engine."""

    def bring(self, rule: ActiveRule) -> None:
        """Begin to follow the moments of a rule that has come into force."""

    def session(self, conn: int) -> int:
        """Tell which session a connection belongs to now; 0 before there is one."""

    @property
    def now(self) -> float:
        """Seconds since the run began."""


class StateRule(ActiveRule):
    """A rule of one state of a machine; `state` holds its name."""

    def __init__(self, scenario: Scenario, machine: ActiveMachine, state: str, rule: Rule, captures: Book) -> None:
        super().__init__(scenario, rule, captures)
        self.machine = machine
        self.state = state
        self.armed = rule.armed
        self.instance: Instance | None = None  #: of a copy
        self.in_force = False

    @property
    def armed_now(self) -> bool:
        """Whether a copy of it is in force, or may yet be."""
        return self.armed

    def here(self, look: Look) -> ActiveRule | None:
        """Give the copy in the instance that this belongs to, if it is in force."""
        instance = self.machine.instance(look)
        one = None if instance is None else instance.rules.get(self.name)
        return one if one is not None and one.in_force else None

    def enter(self, instance: Instance) -> StateRule:
        """Give a copy for an instance that has entered the state."""
        one = copy(self)
        one.courses, one.ends = {}, []
        one.renew()
        one.instance, one.covers, one.in_force = instance, instance.covers, self.armed
        return one

    def switch(self, on: bool, bring: object = None) -> bool:
        """Arm or disarm the rule in every instance, and in those to come; tell whether that is news."""
        news = on is not self.armed
        self.armed = on
        for one in self.machine.copies():
            if one.name == self.name:
                news = ActiveRule.switch(one, on, self.machine.floor.bring) or news
        return news


class Instance:
    """One machine in one scope; `key` names the scope."""

    def __init__(self, machine: ActiveMachine, key: Hashable) -> None:
        self.machine = machine
        self.key = key
        self.state = ""
        self.rules: dict[str, StateRule] = {}
        self._second = float("-inf")
        self._changes = 0

    def __repr__(self) -> str:
        return f"<Instance {self.machine.name} {self.key} in {self.state or 'no state'}>"

    def enter(self, state: str) -> None:
        """Leave the state it is in, and enter another one or the same anew."""
        self.leave()
        self.state = state
        self.rules = {rule.name: rule.enter(self) for rule in self.machine.states[state]}
        for rule in list(self.rules.values()):
            if rule.in_force:
                self.machine.floor.bring(rule)

    def leave(self) -> None:
        """Take the rules of the state out of force."""
        for rule in self.rules.values():
            rule.retire()
        self.rules = {}

    def goto(self, rule: StateRule, state: str, *, looked: bool) -> None:
        """Go to another state, as a rule of this one says.

        Raises Shadowed if its state has been left, ActError if there is no end of changes.
        """
        if self.rules.get(rule.name) is not rule:
            raise Shadowed(f"state `{rule.state}` has been left already")
        if not looked:
            now = self.machine.floor.now
            if now - self._second >= 1:
                self._second, self._changes = now, 0
            self._changes += 1
            if self._changes > _MAX_CHANGES:
                self.leave()
                raise ActError(f"{_MAX_CHANGES} changes of state in a second: the machine stands still")
        self.enter(state)

    def covers(self, conn: int) -> bool:
        """Tell whether a connection belongs to the scope."""
        machine, key = self.machine, self.key
        if machine.per == "run":
            return True
        if machine.per == "connection":
            return conn == key
        return key in ((conn,), machine.floor.session(conn))


class ActiveMachine:
    """One machine of a scenario, and its instances."""

    def __init__(self, scenario: Scenario, machine: Machine, captures: Book, floor: Floor) -> None:
        self.name = f"{scenario.name}/{machine.name}"
        self.per = machine.per
        self.floor = floor
        self.first = machine.states[0].name
        self.states = {
            state.name: tuple(StateRule(scenario, self, state.name, rule, captures) for rule in state.rules)
            for state in machine.states
        }
        self._instances: OrderedDict[Hashable, Instance] = OrderedDict()

    def __repr__(self) -> str:
        return f"<ActiveMachine {self.name} {len(self._instances)} instances>"

    @property
    def rules(self) -> Iterator[StateRule]:
        """Its rules, in the order of the file."""
        return (rule for rules in self.states.values() for rule in rules)

    def copies(self) -> Iterator[StateRule]:
        """Give the rules of the states that its instances are in."""
        return (rule for instance in list(self._instances.values()) for rule in list(instance.rules.values()))

    def start(self, conns: Iterable[Look]) -> None:
        """Enter the first state: in the run, or on the connections that are there already."""
        if self.per == "run":
            self._instance(None)
        for look in conns:
            self.instance(look)

    def instance(self, look: Look) -> Instance | None:
        """Give the instance that what is looked at belongs to; None for what belongs to no connection."""
        if self.per == "run":
            return self._instance(None)
        if not look.conn:
            return None
        key = scope_of(self.per, look)
        if self.per == "session" and look.session:
            self._grow_up((look.conn,), key)
        return self._instance(key)

    def _instance(self, key: Hashable) -> Instance:
        found = self._instances.get(key)
        if found is not None:
            self._instances.move_to_end(key)
            return found
        made = self._instances[key] = Instance(self, key)
        if len(self._instances) > _MAX_INSTANCES:
            self._instances.popitem(last=False)[1].leave()
        made.enter(self.first)
        return made

    def _grow_up(self, early: Hashable, session: Hashable) -> None:
        """Before there was a session, its connection stood for it; one that has joined a session has its machine."""
        instance = self._instances.pop(early, None)
        if instance is None:
            return
        if session in self._instances:
            instance.leave()
        else:
            instance.key = session
            self._instances[session] = instance


def goto(rule: RuleView, state: str, *, looked: bool) -> None:
    """Put the machine that a rule belongs to into another state; errors as in `Instance.goto`."""
    assert isinstance(rule, StateRule)
    assert rule.instance is not None
    rule.instance.goto(rule, state, looked=looked)
