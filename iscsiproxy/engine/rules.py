"""A rule in force: its moments, its acts, and how often what happened."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from iscsiproxy.engine.actions import RUNNERS
from iscsiproxy.engine.facts import Captured, Look
from iscsiproxy.engine.firing import Built
from iscsiproxy.engine.moments import Course, Path, paths
from iscsiproxy.engine.values import compile_expr
from iscsiproxy.errors import FileError
from iscsiproxy.language.spec import (
    Absent,
    Act,
    Binary,
    Call,
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

__all__ = ["ActiveRule", "Counts", "build_act"]

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

    def facts(self) -> dict[str, Any]:
        """Give them as a plain mapping."""
        return asdict(self)


class ActiveRule:
    """One rule of one scenario. `captures` are shared by the scenario."""

    def __init__(self, scenario: Scenario, rule: Rule, captures: dict[str, Captured]) -> None:
        self.name = f"{scenario.name}/{rule.name}"
        self.scenario = scenario.name
        self.victim = scenario.victim
        self.rule = rule
        self.captures = captures
        self.counts = Counts(self.name, rule.optional)
        self.acts = tuple(build_act(act) for act in rule.do)
        self.when = paths(rule.when, scenario.victim)
        self.until = paths(rule.until, scenario.victim)
        self.in_force = True
        self.courses: dict[tuple[int, Hashable], Course] = {}
        self.ends: list[Course] = []

    def __repr__(self) -> str:
        return f"<ActiveRule {self.name} {'in force' if self.in_force else 'over'}>"

    def ended(self, how: str) -> None:
        """Count how a firing ended."""
        setattr(self.counts, how, getattr(self.counts, how) + 1)

    def retire(self) -> None:
        """Take the rule out of force."""
        self.in_force = False

    def look(self, look: Look, follow: Callable[[Path], Course]) -> bool:
        """Look at a PDU or an event; tell whether the rule fires on it."""
        for index, path in enumerate(self.when):
            scope = path.scope(look) if len(path.steps) > 1 else None
            course = self.courses.get((index, scope))
            if course is None:
                course = self.courses[index, scope] = follow(path)
            if course.look(look) is not None:
                return True
        return False

    def all_paths(self) -> Iterator[Path]:
        """Give every moment the rule may ever watch, those of its acts too."""
        yield from self.when
        yield from self.until
        for act in self.acts:
            for value in act.act.params.values():
                if isinstance(value, tuple):
                    yield from paths([one for one in value if isinstance(one, Moment)], self.victim)


def build_act(act: Act) -> Built:
    """Compile an act. Raises FileError for what the language has but nobody has built."""
    if act.params.get("numbers") == "translate":
        raise FileError(
            f"`numbers: translate` of `{act.name}` is part of the language but not built yet",
            file=act.position.file,
            line=act.position.line,
            column=act.position.column,
        )
    params = {name: _compiled(value) for name, value in act.params.items()}
    fields = {name: compile_expr(expr) for name, expr in act.fields.items()}
    return Built(act, RUNNERS[act.name], fields, params)


def _compiled(value: object) -> Any:
    if isinstance(value, _EXPRESSIONS):
        return compile_expr(value)
    if isinstance(value, tuple) and any(isinstance(item, _EXPRESSIONS) for item in value):
        return tuple(compile_expr(item) if isinstance(item, _EXPRESSIONS) else item for item in value)
    return value
