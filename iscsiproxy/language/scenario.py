"""One combination of a file, from the YAML tree to the checked tree.

First all is read whose shape can be told alone; then the names that the file binds are gathered; then everything is
checked with these names. Each part is left out when it is wrong, and the next one is still read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final, Literal

from iscsiproxy.language import sections, shapes
from iscsiproxy.language.acts import ActNode, ActReader, check_act, collect
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.document import Table
from iscsiproxy.language.expectations import (
    ExpectationNode,
    check_expectations,
    collect_expectations,
    read_expectations,
)
from iscsiproxy.language.moments import check_new_name
from iscsiproxy.language.names import NOTHING
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.patterns import Patterns, Victim
from iscsiproxy.language.problems import Problems, problem
from iscsiproxy.language.rules import (
    RuleNode,
    RuleReader,
    check_machine,
    check_rules,
    collect_rules,
)
from iscsiproxy.language.spec import Act, ActSpec, Expr, Param, ParamKind, Position, Scenario, Timing
from iscsiproxy.language.steps import STEPS
from iscsiproxy.language.syntax import Word
from iscsiproxy.language.values import Values
from iscsiproxy.wire.opcodes import End, sender_of

__all__ = ["ACTOR_ACTS", "CONN", "KEYS", "name_of", "read_scenario"]

_Aftermath = Literal["recovers", "survives", "ends", "none"]

#: The keys of a file
KEYS: Final = (
    "scenario",
    "version",
    "title",
    "about",
    "covers",
    "cites",
    "victim",
    "needs",
    "params",
    "matrix",
    "traffic",
    "negotiate",
    "rules",
    "machines",
    "actor",
    "expect",
    "aftermath",
    "timing",
)
_VICTIMS: Final[tuple[Victim, ...]] = ("target", "initiator", "both")
_AFTERMATHS: Final[tuple[_Aftermath, ...]] = ("recovers", "survives", "ends", "none")
#: Acts of the proxy that an actor may do too
ACTOR_ACTS: Final = ("close", "stall", "throttle", "delay", "probe", "note")
CONN: Final = Param(name="conn", kind=ParamKind.NAME, help="the connection it is done on")


def read_scenario(
    table: Table,
    *,
    file: str,
    acts: Mapping[str, ActSpec],
    params: Mapping[str, str],
    axes: Mapping[str, str],
    problems: Problems,
) -> tuple[Scenario, frozenset[str]]:
    """Read one combination of a file; what is wrong is told to `problems`.

    Gives the scenario, which is only whole if nothing was wrong, and the names of the parameters that were used.
    """
    reader = _Reader(table, file, acts, Parameters({**params, **axes}), problems)
    return reader.scenario(params, axes), frozenset(reader.parameters.used)


def name_of(table: Table, kind: str, file: str) -> str:
    """Give the name that stands under the key `kind`; a file is called by it. Raises FileError."""
    node = table.get(kind)
    if node is None:
        raise problem(f"`{kind}` is missing: every file says its name", table.position)
    scalar = shapes.as_scalar(node, f"the name of the {kind}")
    name = check_new_name(Word(scalar.text, scalar.position))
    path = PurePath(file)
    if path.suffix in (".yaml", ".yml") and path.stem != name:
        hint = f"`{kind}: {path.stem}`, or call the file {name}.yaml"
        raise problem(f"the {kind} is called `{name}` and its file `{path.name}`", scalar.position, hint)
    return name


class _Reader:
    """Reads one combination."""

    def __init__(
        self, table: Table, file: str, acts: Mapping[str, ActSpec], parameters: Parameters, problems: Problems
    ) -> None:
        self.table = table
        self.file = file
        self.acts = acts
        self.parameters = parameters
        self.problems = problems

    def scenario(self, params: Mapping[str, str], axes: Mapping[str, str]) -> Scenario:
        right = shapes.check_keys(self.table, KEYS, "a scenario", self.problems)
        if right and not any(self.table.get(key) for key in ("rules", "machines", "actor")):
            self.problems.add(problem("a scenario has `rules`, `machines` or `actor`", self.table.position))
        name = self._head()

        reader = RuleReader(ActReader(self.acts, self.parameters), self.parameters, self.problems)
        rules = reader.rules(node) if (node := self.table.get("rules")) is not None else ()
        machines = reader.machines(node) if (node := self.table.get("machines")) is not None else ()
        steps = self._steps()
        expectations: tuple[ExpectationNode, ...] = ()
        if (node := self.table.get("expect")) is not None:
            expectations = read_expectations(node, self.parameters, self.problems)

        everything = (*rules, *(rule for machine in machines for rule in machine.rules))
        captures = Captures()
        for _ in range(2):  # an act may bind a name to the PDU of a name that is bound below it
            collect_rules(everything, captures, self.parameters, self.problems)
            for step in steps:
                with self.problems.part(binds=True):
                    collect(step, NOTHING, captures, self.parameters)
        collect_expectations(expectations, captures, self.problems)

        victim = self._victim(everything, steps)
        patterns = Patterns(captures, victim)
        names = [rule.name for rule in everything if rule.named]
        checked_rules = check_rules(rules, patterns, self.parameters, self.problems, names=names)
        checked_machines = tuple(
            check_machine(machine, patterns, self.parameters, self.problems, names) for machine in machines
        )
        actor = self._check_steps(steps, patterns)
        expect = check_expectations(expectations, patterns, self.problems)
        return Scenario(
            name=name,
            victim=victim,
            title=self._prose("title"),
            about=self._prose("about"),
            covers=self._prose_list("covers"),
            cites=self._prose_list("cites"),
            params=dict(params),
            axes=dict(axes),
            needs=self._needs(),
            traffic=self._traffic(),
            negotiate=self._negotiate(),
            rules=checked_rules,
            machines=checked_machines,
            actor=actor,
            expect=expect,
            aftermath=self._word("aftermath", _AFTERMATHS, "recovers"),
            timing=self._timing(),
            file=self.file,
            sections={entry.key.text: entry.key.position for entry in self.table.entries},
        )

    # --- the head ---

    def _head(self) -> str:
        name = ""
        with self.problems.part():
            name = name_of(self.table, "scenario", self.file)
        with self.problems.part():
            node = self.table.get("version")
            if node is not None and (scalar := shapes.as_scalar(node, "the version")).text != "1":
                raise problem(f"version `{scalar.text}` of the language is not known", scalar.position, "this is 1")
        return name

    def _prose(self, key: str) -> str:
        node = self.table.get(key)
        if node is not None:
            with self.problems.part():
                text = shapes.as_scalar(node, "a text").text
                if key == "title" and "\n" in text:
                    raise problem("a title is one line", node.position, "more of it is `about`")
                return text
        return ""

    def _prose_list(self, key: str) -> tuple[str, ...]:
        node = self.table.get(key)
        if node is not None:
            with self.problems.part():
                return tuple(shapes.as_scalar(item, "a text").text for item in shapes.as_list(node))
        return ()

    def _word(self, key: str, words: Sequence[_Aftermath], default: _Aftermath) -> _Aftermath:
        node = self.table.get(key)
        if node is not None:
            with self.problems.part():
                return shapes.choice(node, words, f"`{key}`", self.parameters)
        return default

    # --- sections ---

    def _needs(self) -> tuple[Expr, ...]:
        node = self.table.get("needs")
        return () if node is None else sections.read_needs(node, self.parameters, self.problems)

    def _traffic(self) -> Mapping[str, str | Mapping[str, str]]:
        with self.problems.part():
            return sections.read_traffic(self.table.get("traffic"), self.parameters, self.problems)
        return {}

    def _negotiate(self) -> Mapping[End, Mapping[str, Expr]]:
        node = self.table.get("negotiate")
        if node is not None:
            with self.problems.part():
                return sections.read_negotiate(node, self.parameters, self.problems)
        return {}

    def _timing(self) -> Timing:
        node = self.table.get("timing")
        if node is not None:
            with self.problems.part():
                return sections.read_timing(node, self.parameters, self.problems)
        return Timing()

    # --- the victim ---

    def _victim(self, rules: Sequence[RuleNode], steps: Sequence[ActNode]) -> Victim:
        """Give the victim: what the file says, else the one end that receives what the rules act on."""
        node = self.table.get("victim")
        if node is not None:
            with self.problems.part():
                return shapes.choice(node, _VICTIMS, "`victim`", self.parameters)
            return "both"
        receivers = {sender_of(opcode).other for rule in rules if rule.acts for opcode in rule.hand.opcodes}
        if not receivers and steps:
            return "target"
        if len(receivers) == 1:
            return receivers.pop().value
        if not self.problems:
            hint = "`victim: target`, `victim: initiator` or `victim: both`"
            self.problems.add(problem("the rules do not tell who the victim is", self._place("scenario"), hint))
        return "both"

    def _place(self, key: str) -> Position:
        where = next((entry.key.position for entry in self.table.entries if entry.key.text == key), None)
        return where or self.table.position

    # --- the actor ---

    def _steps(self) -> tuple[ActNode, ...]:
        node = self.table.get("actor")
        if node is None:
            return ()
        acts = {**{name: self.acts[name] for name in ACTOR_ACTS if name in self.acts}, **STEPS}
        steps = ActReader(acts, self.parameters, (CONN,)).acts_of(node, self.problems)
        for step in steps:
            with self.problems.part():
                _check_step(step)
        return steps

    def _check_steps(self, steps: Sequence[ActNode], patterns: Patterns) -> tuple[Act, ...]:
        checked = []
        values = Values(self.parameters, patterns.captures, NOTHING)
        for step in steps:
            with self.problems.part():
                checked.append(check_act(step, values, patterns, self.problems))
        return tuple(checked)


def _check_step(step: ActNode) -> None:
    if step.spec.name == "login":
        ways = [given for given in step.given if given.param.name in ("join", "reinstate", "resume")]
        if len(ways) > 1:
            raise problem("a login has one of `join`, `reinstate` and `resume`", step.where)
    if step.spec.name == "send" and not (step.get("pdu") or step.get("again")):
        raise problem("`send` needs `pdu` or `again`", step.where)
