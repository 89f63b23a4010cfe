"""Who sees what: the rules that look at a PDU or an event, and what comes of their looking.

From the moments of all rules tables are made that say by opcode which rules, and which PDUs, have to be looked at at
all; they are made anew when rules come or go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from iscsiproxy.engine.captures import REQUESTS
from iscsiproxy.engine.doorway import Doorway
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.firing import Chain
from iscsiproxy.engine.hosting import Hosting
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.moments import Course, Path
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.engine.sieve import Sieve
from iscsiproxy.language.spec import Expr
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["Looking"]

#: What acts on what is the proxy's own stands before the tasks that it has settled.
_BEHIND_OWN = 2


class Looking(Hosting):
    """The rules at their looking. `_compile` has to be called when there are others."""

    _by_opcode: list[Sieve[ActiveRule] | None]

    def _compile(self) -> None:
        """Work out what has to be looked at, and by whom, for the rules there are."""
        self._by_opcode = [self._about(opcode) for opcode in range(64)]
        waited = [path for rule in self._rules for path in rule.all_paths()]
        waited += [path for steps in self.actors.values() for path in steps.paths()]
        matchers = [matcher for path in waited for matcher in path.matchers]
        self._delivered_opcodes = _opcodes(
            matcher for matcher in matchers if matcher.pattern.leg is not None or matcher.pattern.sender == "proxy"
        )
        self._watched = _opcodes(matchers)
        if any(matcher.pattern.of for matcher in matchers):
            self._watched |= REQUESTS  # they may take over the tag of a capture
        self._escalating = any("escalation" in matcher.events for matcher in matchers)
        if self._escalating:
            self._watched |= {Opcode.ASYNC}
        self._naming = any(matcher.pattern.capture is not None for matcher in matchers)
        self._doorway = Doorway(self._rules)
        if not self._counts_apart and self._will_count_apart():
            self._counts_apart = True
            self.standing.insert(_BEHIND_OWN, self.settled)

    def _about(self, opcode: int) -> Sieve[ActiveRule] | None:
        members: list[tuple[ActiveRule, list[Expr | None]]] = []
        for rule in self._rules:
            matchers = [one for one in _matchers((*rule.when, *rule.until)) if opcode in one.opcodes]
            if matchers:
                members.append((rule, [matcher.pattern.where for matcher in matchers]))
        return Sieve(opcode, members) if members else None

    def _match(self, rules: Sequence[ActiveRule], look: Look, *, first: bool = False) -> list[tuple[ActiveRule, Look]]:
        """Let all rules, and all that waits, see what is looked at; then bind captures; then say which rules fire.

        What waited for it goes on before anything is done about it. With `first` other rules will see it later, and so
        will what waits.
        """
        firings: list[tuple[ActiveRule, Look]] = []
        for one in rules:
            rule = one.here(look)
            if rule is not None:
                if look.captures is not rule.captures:
                    look = look.within(rule.captures)
                if rule.ends and _any_met(rule.ends, look):
                    rule.retire()
                elif rule.look(look, self._follow):
                    rule.counts.matched += 1
                    firings.append((rule, look))
        for chain, courses in () if first else self._waiting.items():
            if courses and _any_met(courses, look.within(courses[0].captures)):
                self._due.append(partial(self._proceed, chain, "met", courses))
        if self._pending or self._due:
            self._settle()
        return firings

    def _escalate(self, seen: Look) -> None:
        """Look at a close or an Async once more, as an escalation, with nothing in hand."""
        if not self._escalating:
            return
        look = self._look(seen.conn, seen.leg, n=seen.n or 0, event="escalation")
        look.how = seen.how
        self._see(self._rules, look)

    def _see(self, rules: Sequence[ActiveRule], look: Look, *, first: bool = False) -> None:
        """Let rules see what leaves nothing in hand; each that fires has a list of its own."""
        for rule, own in self._match(rules, look, first=first):
            Chain(self, None, [(rule, own)], partial(self._covered, rule)).start()


def _matchers(paths: Iterable[Path]) -> Iterator[Matcher]:
    for path in paths:
        yield from path.matchers


def _opcodes(matchers: Iterable[Matcher]) -> frozenset[int]:
    return frozenset(opcode for matcher in matchers for opcode in matcher.opcodes)


def _any_met(courses: Iterable[Course], look: Look) -> bool:
    return any(course.look(look) is not None for course in courses)
