"""Go through a checked tree: the moments, patterns and names in its rules, acts and expectations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, get_args

from iscsiproxy.language.possible import names_in
from iscsiproxy.language.spec import Act, Bound, Expectation, Expr, Moment, Pattern, Rule

__all__ = [
    "binds",
    "bounds_in",
    "judged",
    "mentions",
    "moments_of",
    "moments_of_rule",
    "needed",
    "patterns_of",
    "whole",
]

_EXPRESSIONS: Final = get_args(Expr)


def moments_of(act: Act) -> Iterator[Moment]:
    """Give the moments that an act waits for."""
    for value in act.params.values():
        if isinstance(value, tuple):
            yield from (one for one in value if isinstance(one, Moment))


def moments_of_rule(rule: Rule) -> Iterator[Moment]:
    """Give every moment that a rule ever watches."""
    yield from rule.when
    yield from rule.until
    for act in rule.do:
        yield from moments_of(act)


def patterns_of(moments: Iterable[Moment]) -> Iterator[Pattern]:
    """Give the patterns among the steps of some moments."""
    for moment in moments:
        yield from (step for step in moment.steps if isinstance(step, Pattern))


def bounds_in(moments: Iterable[Moment]) -> Iterator[Bound]:
    """Give the steps that wait for a name."""
    for moment in moments:
        yield from (step for step in moment.steps if isinstance(step, Bound))


def judged(expectation: Expectation) -> Iterator[Pattern]:
    """Give the patterns that an expectation is about, those of its window aside."""
    patterns = (expectation.pattern, *(outcome.pattern for outcome in expectation.outcomes))
    yield from (pattern for pattern in patterns if pattern is not None)


def binds(act: Act) -> set[str]:
    """Give the name that an act binds, if any."""
    name = act.params.get("as")
    return {name} if isinstance(name, str) else set()


def mentions(act: Act) -> set[str]:
    """Give every name that an act may speak of; a text that happens to be one counts too."""
    found: set[str] = set()

    def look(value: object) -> None:
        if isinstance(value, str):
            found.add(whole(value))
        elif isinstance(value, Act):
            found.update(mentions(value))
        elif isinstance(value, Mapping):
            for one in value.values():
                look(one)
        elif isinstance(value, tuple):
            for one in value:
                look(one)
        elif isinstance(value, _EXPRESSIONS):
            found.update(whole(name) for name in names_in(value))

    for name, value in act.params.items():
        if name != "as":
            look(value)
    for expr in act.fields.values():
        look(expr)
    return found


def whole(name: str) -> str:
    """Give the name of which NAME.1 is a piece."""
    head, dot, piece = name.rpartition(".")
    return head if dot and piece.isdigit() else name


def needed(pattern: Pattern) -> frozenset[str]:
    """Give the names without which a pattern does not match."""
    names = {whole(name) for name in names_in(pattern.where)}
    return frozenset(names | ({whole(pattern.of)} if pattern.of else set()))
