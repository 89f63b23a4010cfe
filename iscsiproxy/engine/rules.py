"""A rule in force: its moments, its acts, and how often what happened."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from iscsiproxy.engine.actions import RUNNERS, SPECS
from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.match import captures_in
from iscsiproxy.engine.moments import Course, Path, paths
from iscsiproxy.engine.values import Fn, compile_expr
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import (
    Absent,
    Act,
    Barrier,
    Binary,
    Call,
    Expr,
    In,
    Literal_,
    Logic,
    Moment,
    Not,
    Range,
    Ref,
    Rule,
    Scenario,
    Unary,
)
from iscsiproxy.language.steps import STEPS

__all__ = ["ActiveRule", "Counts", "build_act"]

Victim = Literal["initiator", "target", "both"]
#: Acts after which the two ends still count alike, or differ by just the fault.
_COUNT_ALIKE = frozenset(
    {
        "arm",
        "close",
        "corrupt",
        "delay",
        "disarm",
        "drop",
        "duplicate",
        "goto",
        "note",
        "pass",
        "refuse",
        "resize",
        "set",
        "stall",
        "text",
        "throttle",
    }
)
#: Fields that say whether a PDU uses up a number; a copy with another tag is answered to nobody.
_RENUMBERING = frozenset({"BHS", "I", "ITT", "Opcode", "S", "TTT"})
_EXPRESSIONS = (Absent, Binary, Call, In, Literal_, Logic, Not, Range, Ref, Unary)


@dataclass(slots=True)
class Counts:
    """How often a rule matched, fired, and could not."""

    rule: str
    optional: bool
    matched: int = 0
    fired: int = 0
    failed: int = 0
    shadowed: int = 0
    expired: int = 0
    skipped: int = 0

    def facts(self) -> dict[str, Any]:
        """Give them as a plain mapping."""
        return asdict(self)


#: Begins to follow a moment of a rule in the scope of what is looked at.
Follow = Callable[["ActiveRule", Path, Look | None], Course]


class ActiveRule:
    """One rule of one scenario. `captures` are shared by the scenario."""

    def __init__(self, scenario: Scenario, rule: Rule, captures: Book) -> None:
        self.name = f"{scenario.name}/{rule.name}"
        self.scenario = scenario.name
        self.victim = scenario.victim
        self.rule = rule
        self.captures = captures
        self.counts = Counts(self.name, rule.optional)
        self.acts = tuple(build_act(act, scenario.victim) for act in rule.do)
        self.when = paths(rule.when, scenario.victim)
        self.until = paths(rule.until, scenario.victim)
        self.in_force = rule.armed
        #: The connections that it is about; None: all there are, and will be.
        self.only: frozenset[int] | None = None
        #: Where its acts work with nothing in hand; None: on every connection.
        self.covers: Callable[[int], bool] | None = None
        self.courses: dict[tuple[int, Hashable], Course] = {}
        self.ends: list[Course] = []
        self._in_run: tuple[Course, ...] | None = None
        self._scoped: list[tuple[int, Path]] = []

    def __repr__(self) -> str:
        return f"<ActiveRule {self.name} {'in force' if self.in_force else 'over'}>"

    @property
    def counts_apart(self) -> bool:
        """Whether the two ends may count differently by what it does: what is added, or hidden, has numbers."""
        if any(isinstance(step, Barrier) for path in self.all_paths() for step in path.steps):
            return True
        return any(
            one.act.name not in _COUNT_ALIKE
            or (one.act.params.get("numbers") == "translate" and one.act.name != "set")
            or not _RENUMBERING.isdisjoint(name.partition(".")[0] for name in one.fields)
            for one in self.acts
        )

    @property
    def armed_now(self) -> bool:
        """Whether it is in force, somewhere at least."""
        return self.in_force

    @property
    def holds(self) -> bool:
        """Whether it keeps PDUs until somebody lets them go."""
        return any(path.by_hand for path in self.all_paths())

    def ended(self, how: str) -> None:
        """Count how a firing ended."""
        setattr(self.counts, how, getattr(self.counts, how) + 1)

    def retire(self) -> None:
        """Take the rule out of force."""
        self.in_force = False

    def renew(self) -> None:
        """Make ready to come into force anew: picks and sequences start from nothing, counts go on."""
        for course in (*self.courses.values(), *self.ends):
            course.over = True
        self.when = tuple(path.anew() for path in self.when)
        self.until = tuple(path.anew() for path in self.until)
        self.in_force = True
        self.courses, self.ends, self._in_run, self._scoped = {}, [], None, []

    def switch(self, on: bool, bring: Callable[[ActiveRule], None]) -> bool:
        """Arm the rule, `bring` it into force, or disarm it; tell whether that is news."""
        if on is self.in_force:
            return False
        if on:
            self.renew()
            bring(self)
        else:
            self.retire()
        return True

    def here(self, look: Look) -> ActiveRule | None:
        """Give the rule that is in force where this was seen, if there is one: a state of a machine has many."""
        return self if self.in_force and (self.only is None or look.conn in self.only) else None

    def begin(self, follow: Follow) -> None:
        """Begin with what is followed once in a run."""
        for index, path in enumerate(self.when):
            if path.per == "run":
                self.courses[index, None] = follow(self, path, None)
            else:
                self._scoped.append((index, path))
        self._in_run = tuple(self.courses.values())

    def look(self, look: Look, follow: Follow) -> bool:
        """Look at a PDU or an event; tell whether the rule fires on it."""
        if self._in_run is None:
            self.begin(follow)  # nobody has started the engine: in force from what it sees first
        fires = False
        for course in self._in_run or ():
            if course.look(look) is not None:
                fires = True
        for index, path in self._scoped:
            scope = path.scope(look)
            scoped = self.courses.get((index, scope))
            if scoped is None:
                scoped = self.courses[index, scope] = follow(self, path, look)
            if scoped.look(look) is not None:
                fires = True
        return fires

    def all_paths(self) -> Iterator[Path]:
        """Give every moment the rule may ever watch, those of its acts too."""
        yield from self.when
        yield from self.until
        for act in self.acts:
            for value in act.params.values():
                if isinstance(value, tuple):
                    yield from (one for one in value if isinstance(one, Path))


def build_act(act: Act, victim: Victim) -> Built:
    """Compile an act."""
    params = {name: _compiled(value, victim) for name, value in act.params.items()}
    fields = {name: _value_of(expr) for name, expr in act.fields.items()}
    if act.name not in RUNNERS:
        return Built(act, STEPS[act.name], _not_ours, fields, params)
    return Built(act, SPECS[act.name], RUNNERS[act.name], fields, params)


def _not_ours(act: Built, _: Work) -> Pause | None:
    raise ActError(f"`{act.act.name}` is done by an actor")


def _value_of(expr: Expr) -> Fn:
    """Compile a right side, which raises ActError when a capture that it speaks of is not bound."""
    fn, names = compile_expr(expr), frozenset(captures_in(expr))
    if not names:
        return fn

    def value(look: Look) -> Any:
        if missing := names - look.captures.keys():
            raise ActError(f"{', '.join(sorted(missing))} is not bound")
        return fn(look)

    return value


def _compiled(value: object, victim: Victim) -> Any:
    """Compile what is in a parameter: expressions, moments, lists with expressions among them."""
    if isinstance(value, _EXPRESSIONS):
        return _value_of(value)
    if isinstance(value, Moment):
        return Path(value, victim)
    if isinstance(value, tuple):
        return tuple(_compiled(item, victim) for item in value)
    if isinstance(value, Act):
        return build_act(value, victim)
    if isinstance(value, Mapping):
        return {key: _compiled(item, victim) for key, item in value.items()}
    return value
