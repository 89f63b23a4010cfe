"""Plans of chaos: phases of calm and storm, and the faults that a storm draws from.

    plan: nightly                 # the name; equals the file's
    title: …                      # one line; `about`: prose
    target: embedded              # as in `iscsiproxy test`; `initiator` likewise
    traffic: {io: verify, depth: 4}
    phases:
      - {name: before, for: 10s}
      - {name: storm, for: 60s, rate: 2/s}
      - {name: after, for: 10s}
    faults:
      - {scenario: data_out_lost, weight: 3}        # one that ships, or a file; `params` as with -p
      - name: reset                                 # or rules of the plan's own
        rules: [{when: SCSI-Command nth 1, do: close}]

A phase with a `rate` is a storm; `faults` names those that it draws from, all without. A fault is in force from when it
is drawn until all its rules have fired, or for `lasts` (5s).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from iscsiproxy.language import sections, shapes
from iscsiproxy.language.document import Entry, Node, Scalar, Table, read_yaml
from iscsiproxy.language.moments import check_new_name
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.problems import Problems, nearest, problem
from iscsiproxy.language.scenario import name_of, read_scenario
from iscsiproxy.language.spec import ActSpec, Position, Scenario
from iscsiproxy.language.syntax import Word
from iscsiproxy.language.tokens import duration_value

__all__ = ["ChaosPlan", "Fault", "Find", "Phase", "load_plan"]

#: Gives a scenario by what a plan calls it, with `params` set. Raises UserError.
Find = Callable[[str, Mapping[str, str]], Scenario]

_KEYS: Final = ("plan", "version", "title", "about", "target", "initiator", "traffic", "phases", "faults")
_PHASE_KEYS: Final = ("name", "for", "rate", "faults")
_FAULT_KEYS: Final = ("name", "scenario", "rules", "weight", "params", "lasts")
_LASTS: Final = 5.0
_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)/(s|min)")
_SECONDS: Final = {"s": 1.0, "min": 60.0}
#: The fastest storm, in faults a second
_MOST: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that a storm may do: the rules of `scenario`, for `lasts` seconds at most."""

    name: str
    scenario: Scenario
    weight: int
    lasts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """`seconds` of calm (`rate` 0), or of a storm with `rate` faults a second, drawn from those in `faults`."""

    name: str
    seconds: float
    rate: float
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosPlan:
    """One plan. `target` and `initiator` are as on the command line; phases last `scale` times what the file says."""

    name: str
    title: str
    about: str
    target: str
    initiator: str
    traffic: Mapping[str, str | Mapping[str, str]]
    phases: tuple[Phase, ...]
    faults: tuple[Fault, ...]
    file: str
    scale: float = 1.0

    @property
    def seconds(self) -> float:
        """How long its phases last."""
        return sum(phase.seconds for phase in self.phases)


def load_plan(text: str, *, file: str, acts: Mapping[str, ActSpec], find: Find) -> ChaosPlan:
    """Read a plan. Raises FileError for one that is wrong (all its errors are in `others`), and what `find` raises."""
    table = shapes.as_table(read_yaml(text, file), "a plan")
    problems = Problems(None)
    plan = _Reader(table, file, acts, find, problems).plan()
    problems.raise_if_any()
    return plan


class _Reader:
    """Reads one plan; what is wrong is told to `problems`, and the next part is still read."""

    def __init__(self, table: Table, file: str, acts: Mapping[str, ActSpec], find: Find, problems: Problems) -> None:
        self.table = table
        self.file = file
        self.acts = acts
        self.find = find
        self.problems = problems
        self.none = Parameters({})

    def plan(self) -> ChaosPlan:
        shapes.check_keys(self.table, _KEYS, "a plan", self.problems)
        faults = tuple(self._faults())
        return ChaosPlan(
            name=self._name(),
            title=self._text("title"),
            about=self._text("about"),
            target=self._text("target") or "embedded",
            initiator=self._text("initiator") or "embedded",
            traffic=self._traffic(),
            phases=tuple(self._phases([fault.name for fault in faults])),
            faults=faults,
            file=self.file,
        )

    def _name(self) -> str:
        with self.problems.part():
            name = name_of(self.table, "plan", self.file)
            version = self.table.get("version")
            if version is not None and (scalar := shapes.as_scalar(version, "the version")).text != "1":
                raise problem(f"version `{scalar.text}` of plans is not known", scalar.position, "this is 1")
            return name
        return ""

    def _text(self, key: str) -> str:
        node = self.table.get(key)
        if node is not None:
            with self.problems.part():
                return shapes.as_scalar(node, "a text").text
        return ""

    def _traffic(self) -> Mapping[str, str | Mapping[str, str]]:
        with self.problems.part():
            return sections.read_traffic(self.table.get("traffic"), self.none, self.problems)
        return {}

    # --- phases ---

    def _phases(self, known: list[str]) -> list[Phase]:
        found: list[Phase] = []
        with self.problems.part():
            node = self.table.get("phases")
            if node is None:
                raise problem("`phases` is missing: when it is calm, and when it storms", self.table.position)
            for item in shapes.as_list(node):
                with self.problems.part():
                    found.append(self._phase(shapes.as_table(item, "a phase"), known, len(found) + 1))
            if not found and not self.problems:
                raise problem("`phases` is empty", node.position)
        return found

    def _phase(self, table: Table, known: list[str], number: int) -> Phase:
        shapes.check_keys(table, _PHASE_KEYS, "a phase", self.problems)
        length = table.get("for")
        if length is None:
            raise problem("a phase needs `for`: how long it lasts", table.position)
        seconds = shapes.duration(length, "`for`", self.none)
        node = table.get("name")
        name = f"phase {number}" if node is None else shapes.as_scalar(node, "a name").text
        rate = 0.0 if (node := table.get("rate")) is None else _rate(shapes.as_scalar(node, "`rate`"))
        chosen = table.get("faults")
        faults = tuple(self._chosen(item, known) for item in shapes.as_list(chosen)) if chosen is not None else ()
        if rate and not known and not self.problems:
            raise problem("a storm needs `faults` to draw from", table.position)
        if chosen is not None and not rate:
            raise problem("a phase with `faults` needs a `rate`", chosen.position, "`rate: 2/s`")
        return Phase(name=name, seconds=seconds, rate=rate, faults=faults or (tuple(known) if rate else ()))

    def _chosen(self, node: Node, known: list[str]) -> str:
        scalar = shapes.as_scalar(node, "the name of a fault")
        if scalar.text not in known and not self.problems:
            raise problem(f"no fault is called `{scalar.text}`", scalar.position, nearest(scalar.text, known))
        return scalar.text

    # --- faults ---

    def _faults(self) -> list[Fault]:
        found: list[Fault] = []
        node = self.table.get("faults")
        for item in shapes.as_list(node) if node is not None else ():
            with self.problems.part():
                fault = self._fault(shapes.as_table(item, "a fault"))
                if any(one.name == fault.name for one in found):
                    raise problem(f"two faults are called `{fault.name}`", item.position, "give one of them a `name`")
                found.append(fault)
        return found

    def _fault(self, table: Table) -> Fault:
        shapes.check_keys(table, _FAULT_KEYS, "a fault", self.problems)
        scenario, rules = table.get("scenario"), table.get("rules")
        if (scenario is None) == (rules is None):
            raise problem("a fault is either a `scenario` or `rules`", table.position)
        made = self._named(table, scenario) if scenario is not None else self._own(table, rules)
        weight = 1 if (node := table.get("weight")) is None else shapes.whole(node, "`weight`", self.none)
        lasts = _LASTS if (node := table.get("lasts")) is None else shapes.duration(node, "`lasts`", self.none)
        if (node := table.get("name")) is not None:
            scalar = shapes.as_scalar(node, "a name")
            made = replace(made, name=check_new_name(Word(scalar.text, scalar.position)))
        return Fault(name=made.name, scenario=made, weight=weight, lasts=lasts)

    def _named(self, table: Table, node: Node) -> Scenario:
        scalar = shapes.as_scalar(node, "the name of a scenario")
        given = table.get("params")
        pairs = shapes.as_table(given, "`params`").entries if given is not None else ()
        params = {pair.key.text: shapes.as_scalar(pair.value, "a value").text for pair in pairs}
        scenario = self.find(scalar.text, params)
        for what in ("machines", "actor", "negotiate"):
            if getattr(scenario, what):
                message = f"{scenario.name} has `{what}`, and a storm draws from what has rules alone"
                raise problem(message, scalar.position, "a scenario of its own runs it: `iscsiproxy test`")
        return scenario

    def _own(self, table: Table, rules: Node | None) -> Scenario:
        node = table.get("name")
        if node is None:
            raise problem("a fault with `rules` needs a `name`", table.position)
        assert rules is not None
        where = table.position
        entries = (_entry("scenario", node), _entry("victim", Scalar("both", where)), _entry("rules", rules))
        made = Table(tuple(entries), where)
        scenario, _ = read_scenario(
            made, file=self.file.removesuffix(".yaml"), acts=self.acts, params={}, axes={}, problems=self.problems
        )
        return replace(scenario, file=self.file)


def _entry(key: str, value: Node) -> Entry:
    where: Position = value.position
    return Entry(Scalar(key, where), value)


def _rate(scalar: Scalar) -> float:
    match = _RATE.fullmatch(scalar.text)
    rate = float(match[1]) / _SECONDS[match[2]] if match is not None else 0.0
    if not 0 < rate <= _MOST:
        hint = "`2/s` or `30/min`" if duration_value(scalar.text) is None else "how often, not how long: `2/s`"
        raise problem(f"`rate` is a number of faults per s or min, not `{scalar.text}`", scalar.position, hint)
    return rate
