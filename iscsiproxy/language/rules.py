"""Rules and machines: when to do what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast, get_args

from iscsiproxy.language import shapes
from iscsiproxy.language.acts import ActNode, ActReader, check_acts, collect
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.document import Entry, Node, Table
from iscsiproxy.language.moments import check_new_name, moments
from iscsiproxy.language.names import NOTHING, Hand
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.patterns import Patterns, hand_of
from iscsiproxy.language.problems import Problems, problem
from iscsiproxy.language.spec import Machine, Moment, Per, Position, Rule, State
from iscsiproxy.language.syntax import MomentNode, PatternNode, Word
from iscsiproxy.language.values import Values

__all__ = ["MachineNode", "RuleNode", "RuleReader", "check_machine", "check_rules", "collect_rules"]

#: What stands in the place of a rule's name for all that `negotiate` does
_TAKEN = "negotiate"
_RULE_KEYS = ("when", "do", "name", "until", "optional", "armed")
_SCOPES = tuple(scope for scope in get_args(Per) if scope != "task")


@dataclass(frozen=True, slots=True)
class RuleNode:
    """A rule whose shape is right; `named` tells that its name was given and not made up.

    `when` is empty if it could not be read; then nobody knows what is in hand.
    """

    name: str
    named: bool
    when: tuple[MomentNode, ...]
    acts: tuple[ActNode, ...]
    until: tuple[MomentNode, ...]
    optional: bool
    armed: bool
    hand: Hand
    where: Position


@dataclass(frozen=True, slots=True)
class MachineNode:
    """A machine whose shape is right: its states in the order of the file."""

    name: str
    per: Per
    states: tuple[tuple[str, tuple[RuleNode, ...]], ...]

    @property
    def rules(self) -> Iterator[RuleNode]:
        """The rules of all states."""
        return (rule for _, rules in self.states for rule in rules)


@dataclass
class RuleReader:
    """Reads the shape of rules and machines, and tells what is wrong with it."""

    acts: ActReader
    parameters: Parameters
    problems: Problems
    _names: dict[str, Position] = field(default_factory=dict)

    def rules(self, node: Node, prefix: str = "") -> tuple[RuleNode, ...]:
        """Read a list of rules; those that are wrong are left out."""
        found = []
        for number, item in enumerate(shapes.as_list(node), 1):
            with self.problems.part(binds=True):
                found.append(self._rule(item, f"{prefix}#{number}"))
        return tuple(found)

    def _rule(self, node: Node, number: str) -> RuleNode:
        table = shapes.as_table(node, "a rule")
        shapes.check_keys(table, _RULE_KEYS, "a rule", self.problems)
        name, named = self._name(table, number)
        when_node = table.get("when")
        if when_node is None:
            raise problem("a rule needs `when`", table.position, "such as `when: SCSI-Command nth 1`")
        when: tuple[MomentNode, ...] = ()
        until: tuple[MomentNode, ...] = ()
        optional = False
        with self.problems.part(binds=True):
            when = moments(when_node, self.parameters)
        do_node, until_node, optional_node = table.get("do"), table.get("until"), table.get("optional")
        acts = self.acts.acts_of(do_node, self.problems) if do_node is not None else ()
        if until_node is not None:
            with self.problems.part(binds=True):
                until = moments(until_node, self.parameters)
        if optional_node is not None:
            with self.problems.part():
                optional = shapes.yes_no(optional_node, "`optional`", self.parameters)
        armed = self._armed(table, named)
        if when and do_node is None and not any(_captures(moment) for moment in when):
            hint = "give it `do`, or bind a name with `as`"
            self.problems.add(problem("this rule does nothing", table.position, hint))
        return RuleNode(name, named, when, acts, until, optional, armed, hand_of(when), table.position)

    def _armed(self, table: Table, named: bool) -> bool:
        node = table.get("armed")
        if node is None:
            return True
        with self.problems.part():
            armed = shapes.yes_no(node, "`armed`", self.parameters)
            if not armed and not named:
                hint = "give it a `name`, for `arm` to call it by"
                raise problem("a rule that is not armed needs a name", node.position, hint)
            return armed
        return True

    def _name(self, table: Table, number: str) -> tuple[str, bool]:
        node = table.get("name")
        if node is None:
            return number, False
        with self.problems.part(binds=True):
            scalar = shapes.as_scalar(node, "a name")
            name = check_new_name(Word(self.parameters.fill(scalar).text, scalar.position))
            if name == _TAKEN:
                raise problem(
                    f"`{name}` is what reports call the work of `negotiate`; a rule needs another name", scalar.position
                )
            if name in self._names:
                hint = f"see line {self._names[name].line}"
                raise problem(f"two rules are called `{name}`", scalar.position, hint)
            self._names[name] = scalar.position
            return name, True
        return number, False

    def machines(self, node: Node) -> tuple[MachineNode, ...]:
        """Read the table of machines; those that are wrong are left out."""
        found = []
        with self.problems.part(binds=True):
            for entry in shapes.entries(node, "`machines`"):
                with self.problems.part(binds=True):
                    found.append(self._machine(entry))
        return tuple(found)

    def _machine(self, entry: Entry) -> MachineNode:
        name = check_new_name(Word(entry.key.text, entry.key.position))
        table = shapes.as_table(entry.value, f"machine `{name}`")
        shapes.check_keys(table, ("per", "states"), "a machine", self.problems)
        states_node, per_node = table.get("states"), table.get("per")
        if states_node is None:
            raise problem(f"machine `{name}` needs `states`", entry.key.position)
        per: Per = "run"
        if per_node is not None:
            with self.problems.part():
                per = cast(Per, shapes.choice(per_node, _SCOPES, "`per`", self.parameters))
        states = []
        for state in shapes.entries(states_node, "`states`"):
            state_name = check_new_name(Word(state.key.text, state.key.position))
            states.append((state_name, self.rules(state.value, f"{name}.{state_name}")))
        return MachineNode(name, per, tuple(states))


def _captures(moment: MomentNode) -> bool:
    return any(isinstance(step, PatternNode) and step.capture for step in moment.steps)


def collect_rules(rules: Iterable[RuleNode], captures: Captures, parameters: Parameters, problems: Problems) -> None:
    """Note every name that some rules bind."""
    for rule in rules:
        for moment in (*rule.when, *rule.until):
            with problems.part(binds=True):
                captures.add_moments([moment])
        for act in rule.acts:
            with problems.part(binds=True):
                collect(act, rule.hand, captures, parameters)


def check_rules(
    rules: Sequence[RuleNode],
    patterns: Patterns,
    parameters: Parameters,
    problems: Problems,
    *,
    names: Iterable[str],
    states: Iterable[str] = (),
) -> tuple[Rule, ...]:
    """Check some rules; `names` are those of all rules, `states` those of the machine they are in."""
    checked = []
    for rule in rules:
        values = Values(parameters, patterns.captures, rule.hand, names, states)
        when, until = _checked(rule.when, patterns, problems), _checked(rule.until, patterns, problems)
        in_doubt = not rule.when or (len(when) < len(rule.when) and rule.hand == NOTHING)
        acts = () if in_doubt else check_acts(rule.acts, values, patterns, problems)
        checked.append(
            Rule(
                name=rule.name,
                when=when,
                do=acts,
                until=until,
                optional=rule.optional,
                armed=rule.armed,
                position=rule.where,
            )
        )
    return tuple(checked)


def _checked(nodes: Iterable[MomentNode], patterns: Patterns, problems: Problems) -> tuple[Moment, ...]:
    checked = []
    for node in nodes:
        with problems.part():
            checked.append(patterns.moment(node))
    return tuple(checked)


def check_machine(
    machine: MachineNode, patterns: Patterns, parameters: Parameters, problems: Problems, names: Iterable[str]
) -> Machine:
    """Check a machine and the rules of its states."""
    state_names = [name for name, _ in machine.states]
    states = tuple(
        State(name=name, rules=check_rules(rules, patterns, parameters, problems, names=names, states=state_names))
        for name, rules in machine.states
    )
    return Machine(name=machine.name, states=states, per=machine.per)
