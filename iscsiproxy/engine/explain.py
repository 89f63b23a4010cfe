"""Why a rule fired or did not: how far each of its moments has come, and what came nearest to going on.

An `Explainer` is told of the events of a run, while it goes on or from its journal, and follows the moments of every
rule as the engine does, but does nothing: acts are known by what the events tell of them. What it keeps is bounded: for
each step of a moment how often something of its kind was seen, and the three nearest misses.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import count
from typing import Final

from iscsiproxy.engine.captures import REQUESTS, Book
from iscsiproxy.engine.explanations import Explanation, MomentFacts, step_facts
from iscsiproxy.engine.facts import Look, Reader, Rng
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.misses import Clause, Conditions, Near, conditions_of, diagnose, picks_text, seen_by
from iscsiproxy.engine.moments import Course, Path, paths
from iscsiproxy.language.spec import (
    Machine,
    Pattern,
    Rule,
    Scenario,
)
from iscsiproxy.language.walking import binds, bounds_in, moments_of, needed, patterns_of, whole
from iscsiproxy.session import events
from iscsiproxy.session.events import (
    Closed,
    Connected,
    Decided,
    Delivered,
    Event,
    Fired,
    FullFeature,
    IoDone,
    Noted,
    Pinged,
    Received,
    Refused,
)
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Explainer"]

#: How many looks are remembered for names that acts bind
_REMEMBERED: Final = 4096
#: How many different reasons are kept for which acts were not done
_REASONS: Final = 5
#: Async events that end a connection or a session (RFC 7143 11.9.1)
_ESCALATIONS: Final = frozenset({1, 2, 3})


class Explainer:
    """Follows the rules of some scenarios, in force since `at`. `state` reads what has been said so far on a leg."""

    def __init__(self, scenarios: Sequence[Scenario], *, rng: Rng, state: Reader, at: float = 0.0) -> None:
        self._rng = rng
        self._state = state
        self._now = at
        self._line = 0
        self._conns: set[int] = set()
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._conditions: dict[int, Conditions] = {}
        self._scenarios = tuple(scenarios)
        self._pending: list[tuple[Book, Matcher, Look]] = []
        self._barriers: list[Callable[[float], None]] = []
        self._reached: set[str] = set()
        self._looks: OrderedDict[int, Look] = OrderedDict()
        #: What came in and happened, by its name
        self.kinds: Counter[str] = Counter()
        self._followed = [one for scenario in scenarios for one in self._rules(scenario)]
        self._books = {id(one.book): one.book for one in self._followed}
        self._made = frozenset(name for one in self._followed for name in one.made)
        for one in self._followed:
            if one.in_force:
                self._begin(one)

    def __repr__(self) -> str:
        return f"<Explainer of {len(self._followed)} rules at {self._now:g} s>"

    def _rules(self, scenario: Scenario) -> Iterator[_Followed]:
        book = Book()
        for rule in scenario.rules:
            yield _Followed(scenario, rule, book)
        for machine in scenario.machines:
            for state in machine.states:
                for rule in state.rules:
                    yield _Followed(scenario, rule, book, machine, state.name)

    def explanations(self) -> tuple[Explanation, ...]:
        """Say what became of every rule, in the order of the files."""
        for one in self._followed:
            wanted = {name for pattern in patterns_of(one.rule.when) for name in needed(pattern)}
            wanted |= {whole(step.name) for step in bounds_in(one.rule.when)}
            others = [other for other in self._followed if other.scenario == one.scenario]
            one.explanation.binders = {
                name: other.name for other in others for name in wanted if name in other.made or name in other.bound
            }
        return tuple(one.explanation for one in self._followed)

    # --- what happens ---

    def take(self, event: Event, line: int = 0) -> None:
        """Take note of an event, in the order of the run; `line` is where it stands in a journal."""
        self._line = line
        while self._timers and self._timers[0][0] <= event.at:
            self._now, _, due = heapq.heappop(self._timers)
            due(self._now)
        self._now = event.at
        match event:
            case Received():
                self._received(event)
            case Delivered():
                self._delivered(event)
            case Connected() | Refused():
                self._conns.add(event.conn)
                self._happened(event, End.INITIATOR, "connect")
            case FullFeature():
                if event.leg is End.INITIATOR:
                    self._happened(event, event.leg, "full-feature")
            case IoDone():
                self._happened(event, End.INITIATOR, f"io-{event.what}")
            case Closed():
                self._happened(event, event.leg, "close", how=event.how, by_proxy=event.by != "peer")
            case events.Bound():
                self._bound(event)
            case Fired():
                self._fired(event)
            case Noted():
                self._did(event.rule, "note")
            case Decided():
                self._decided(event)
            case Pinged(what="passed"):
                waiting, self._barriers = self._barriers, []
                for call in waiting:
                    call(event.at)
            case _:
                pass

    def _received(self, event: Received) -> None:
        self.kinds[event.pdu.label] += 1
        look = self._look(event.conn, event.leg, event.n, pdu=event.pdu)
        if event.pdu.opcode in REQUESTS:
            for book in self._books.values():
                book.request(look)
        self._show(look)
        if event.pdu.opcode == Opcode.ASYNC and event.pdu["AsyncEvent"] in _ESCALATIONS:
            self._show(self._look(event.conn, event.leg, event.n, event="escalation"))

    def _delivered(self, event: Delivered) -> None:
        for rule in event.rules:
            self._reach(rule)
        for book in self._books.values():
            book.delivered(event.of, event.leg, event.pdu)
        if event.sent == -1:
            look = self._look(event.conn, event.leg, event.n, pdu=event.pdu, arrival=False)
            look.by_proxy = bool(event.author)
            self._show(look)

    def _happened(self, event: Event, leg: End, name: str, *, how: str = "", by_proxy: bool = False) -> None:
        self.kinds[name] += 1
        look = self._look(event.conn, leg, event.n, event=name)
        look.how, look.by_proxy = how, by_proxy
        self._show(look)
        if name == "close" and not by_proxy:
            look = self._look(event.conn, leg, event.n, event="escalation")
            look.how = how
            self._show(look)

    def _look(
        self, conn: int, leg: End, n: int, *, pdu: Pdu | None = None, arrival: bool = True, event: str = ""
    ) -> Look:
        return Look(conn, self._now, leg, self._state, self._rng, _NO_NAMES, pdu, n, arrival, event)

    def _show(self, look: Look) -> None:
        """Let every rule see what is looked at; then bind names, and see what they let go on."""
        for one in self._followed:
            if one.in_force:
                one.show(look.within(one.book), self)
        if self._made and look.n is not None:
            look.view  # noqa: B018 - the state that a name bound to this will have is that of now
            self._looks[look.n] = look
            if len(self._looks) > _REMEMBERED:
                self._looks.popitem(last=False)
        pending, self._pending = self._pending, []
        for book, matcher, own in pending:
            capture = matcher.pattern.capture
            if capture is not None:
                book.bind(capture.name, own, each=capture.each)
        if pending:
            self._recheck()

    # --- what acts did ---

    def _bound(self, event: events.Bound) -> None:
        """Bind a name that an act has bound."""
        look = self._looks.get(event.of)
        scenario = event.rule.partition("/")[0]
        if event.name not in self._made or look is None:
            return
        for book in {id(one.book): one.book for one in self._followed if one.scenario == scenario}.values():
            book.bind(event.name, look.within(book), each=event.each, made=event.made)
        self._recheck()

    def _fired(self, event: Fired) -> None:
        self._reach(event.rule)
        self._did(event.rule, event.act)
        for one in self._followed:
            if one.name == event.rule:
                if event.act in ("arm", "disarm"):
                    self._switch(one, event.act)
                elif event.act == "goto":
                    self._goto(one)

    def _did(self, rule: str, act: str) -> None:
        for one in self._followed:
            if one.name == rule:
                one.explanation.done[act] += 1

    def _switch(self, by: _Followed, act: str) -> None:
        named = {done.params.get("rule") for done in by.rule.do if done.name == act}
        for one in self._followed:
            if one.scenario == by.scenario and one.rule.name in named:
                if act == "arm" and not one.in_force:
                    one.in_force = True
                    one.explanation.unarmed = False
                    self._begin(one)
                elif act == "disarm":
                    one.in_force = False

    def _goto(self, by: _Followed) -> None:
        """Change the state of a machine that is one for the run; of others every state counts as entered."""
        machine = by.machine
        state = next((act.params.get("state") for act in by.rule.do if act.name == "goto"), None)
        if machine is None or machine.per != "run":
            return
        for one in self._followed:
            if one.scenario == by.scenario and one.machine is machine:
                one.in_force = one.state == state and one.rule.armed
                if one.in_force:
                    one.explanation.elsewhere = ""
                    one.renew()
                    self._begin(one)

    def _decided(self, event: Decided) -> None:
        if event.what not in ("failed", "shadowed", "expired", "skipped", "ended"):
            return
        for one in self._followed:
            if one.name == event.rule:
                reasons = one.explanation.reasons
                text = f"{event.what}: {event.text}"
                if text in reasons or len(reasons) < _REASONS:
                    reasons[text] += 1

    def _reach(self, rule: str) -> None:
        scenario = rule.partition("/")[0]
        if scenario not in self._reached:
            self._reached.add(scenario)
            self._recheck()

    # --- courses ---

    def _begin(self, one: _Followed) -> None:
        for index, path in enumerate(one.paths):
            if path.per == "run":
                one.courses[index, None] = self.follow(one, path, one.explanation.when[index])
        one.ends = [self.follow(one, path, None) for path in one.until]

    def follow(self, one: _Followed, path: Path, facts: MomentFacts | None) -> _Course:
        """Begin to follow a moment; without facts it is one that ends the rule."""

        def met(_: float) -> None:
            if facts is None:
                one.retire(path, 0)
            elif one.in_force:
                facts.met += 1
                one.explanation.matched += 1
                facts.steps[-1].passed += 1

        course = _Course(
            path,
            captures=one.book,
            rng=self._rng,
            clock=self._after,
            faulted=lambda: one.scenario in self._reached,
            bind=lambda matcher, look: self._pending.append((one.book, matcher, look)),
            met=met,
            barrier=lambda _, call: self._barriers.append(call),
        )
        course.facts, course.conditions = facts, self._conditions_of
        course.begin(self._now)
        return course

    def _conditions_of(self, pattern: Pattern) -> Conditions:
        """Give the conditions of a pattern, compiled once."""
        key = id(pattern)  # the scenarios are kept, so it is that of no other
        if key not in self._conditions:
            self._conditions[key] = conditions_of(pattern)
        return self._conditions[key]

    def _after(self, seconds: float, call: Callable[[float], None]) -> None:
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), call))

    def _recheck(self) -> None:
        for one in self._followed:
            if one.in_force:
                for course in (*one.courses.values(), *one.ends):
                    course.recheck(self._now)

    @property
    def line(self) -> int:
        """Where the event that is looked at stands in its journal."""
        return self._line


_NO_NAMES: Final = Book()


class _Course(Course):
    """A course that keeps what it has seen."""

    facts: MomentFacts | None = None
    conditions: Callable[[Pattern], Conditions] = staticmethod(conditions_of)

    def see(self, look: Look, line: int) -> bool:
        """Look, and note why it did not go on; tell whether the last step was met."""
        at, matcher = self._at, self._matcher
        if matcher is None or self.over or not seen_by(matcher, look):
            return False
        if self.facts is None:
            return self.look(look) is not None
        facts, pattern = self.facts.steps[at], matcher.pattern
        facts.seen += not look.by_proxy or pattern.sender == "proxy"
        if not matcher.test(look):
            facts.missed(diagnose(pattern, self.conditions(pattern), look), look, line)
            return False
        found = self.look(look)
        facts.matched += 1
        if found is None and self._at == at and not self.over:
            clause = Clause(text=picks_text(pattern.picks), found=f"this is match number {facts.matched}")
            facts.refused = Near("picks", clauses=(clause,)).told(look, line)
        else:
            facts.passed += 1
        return found is not None


class _Followed:
    """One rule, and how far its moments have come."""

    def __init__(
        self, scenario: Scenario, rule: Rule, book: Book, machine: Machine | None = None, state: str = ""
    ) -> None:
        self.scenario = scenario.name
        self.name = f"{scenario.name}/{rule.name}"
        self.rule = rule
        self.book = book
        self.machine = machine
        self.state = state
        self.victim = scenario.victim
        self.in_force = rule.armed
        self.explanation = Explanation(
            rule=self.name,
            where=rule.position,
            optional=rule.optional,
            when=[MomentFacts(moment.text, [step_facts(step) for step in moment.steps]) for moment in rule.when],
            acts=tuple(act.name for act in rule.do),
            unarmed=not rule.armed,
        )
        if machine is not None and machine.per == "run" and machine.states[0].name != state:
            self.in_force = False
            self.explanation.elsewhere = f"{state} of {machine.name}"
        #: Names that its acts bind
        self.made = frozenset(
            name
            for act in rule.do
            for name in (
                *binds(act),
                *(one.capture.name for one in patterns_of(moments_of(act)) if one.capture is not None),
            )
        )
        #: Names that its moments bind
        self.bound = frozenset(one.capture.name for one in patterns_of(rule.when) if one.capture is not None)
        self.courses: dict[tuple[int, Hashable], _Course] = {}
        self.ends: list[_Course] = []
        self.paths: tuple[Path, ...] = ()
        self.until: tuple[Path, ...] = ()
        self.renew()

    def __repr__(self) -> str:
        return f"<_Followed {self.name} {'in force' if self.in_force else 'not in force'}>"

    def renew(self) -> None:
        """Begin anew: sequences and picks start from nothing."""
        self.paths = paths(self.rule.when, self.victim)
        self.until = paths(self.rule.until, self.victim)
        self.courses, self.ends = {}, []

    def retire(self, path: Path, n: int) -> None:
        """Take the rule out of force, because its end has come."""
        if self.in_force:
            self.in_force = False
            self.explanation.ended, self.explanation.ended_at = path.moment.text, n

    def show(self, look: Look, host: Explainer) -> None:
        """Look at a PDU or an event."""
        for path, course in zip(self.until, self.ends, strict=True):
            if course.see(look, host.line):
                self.retire(path, look.n or 0)
                return
        fires = False
        for index, path in enumerate(self.paths):
            scope = None if path.per == "run" else path.scope(look)
            one = self.courses.get((index, scope))
            if one is None:
                one = self.courses[index, scope] = host.follow(self, path, self.explanation.when[index])
            if one.see(look, host.line):
                self.explanation.when[index].met += 1
                fires = True
        self.explanation.matched += fires
