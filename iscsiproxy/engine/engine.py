"""Decides what happens to every PDU; does nothing itself (LANGUAGE: execution).

The relay tells the engine what has come in, what has gone out, and when a timer is due; the engine answers with
commands. The same calls with the same seed give the same commands: there is no clock and no randomness here but what is
handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

from iscsiproxy.engine.captures import REQUESTS, Book
from iscsiproxy.engine.commands import Command, Report, SetTimer
from iscsiproxy.engine.editing import TEXT, Editors
from iscsiproxy.engine.facts import Look, Reader, Rng
from iscsiproxy.engine.firing import Chain, Outcome, Pause, RuleView
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.moments import Course, Path
from iscsiproxy.engine.rules import ActiveRule, Counts
from iscsiproxy.engine.sieve import Sieve
from iscsiproxy.language.spec import Expr, Scenario
from iscsiproxy.session.events import Closed, Connected, Delivered, FullFeature, Received
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.framing import Interest
from iscsiproxy.wire.opcodes import End, sender_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Engine"]


class Engine:
    """The rules of some scenarios in force. `state` reads what has been said so far on a leg."""

    def __init__(self, scenarios: Sequence[Scenario], *, rng: Rng, state: Reader) -> None:
        self.rng = rng
        self.commands: list[Command] = []
        self._state = state
        self._now = 0.0
        self._rules: list[ActiveRule] = []
        self._books: list[Book] = []
        for scenario in scenarios:
            book = Book()
            self._books.append(book)
            self._rules += [ActiveRule(scenario, rule, book) for rule in scenario.rules]
        self._book = self._books[0] if self._books else Book()  # most runs have one
        self._armed = True
        self._reached: set[str] = set()
        self._timers: dict[int, Callable[[float], None]] = {}
        self._token = 0
        self._waiting: dict[Chain, list[Course]] = {}
        self._pending: list[tuple[Book, Matcher, Look]] = []
        #: What has become due while something else was being done.
        self._due: deque[Callable[[], None]] = deque()
        self.editors = Editors()
        self._conns: dict[int, set[End]] = {}  #: with the legs that have ended
        self._by_opcode = [self._about(opcode) for opcode in range(64)]
        matchers = [matcher for rule in self._rules for path in rule.all_paths() for matcher in path.matchers]
        self._delivered_opcodes = _opcodes(matcher for matcher in matchers if matcher.pattern.leg is not None)
        self._watched = _opcodes(matchers)
        if any(matcher.pattern.of for matcher in matchers):
            self._watched |= REQUESTS  # they may take over the tag of a capture

    def __repr__(self) -> str:
        return f"<Engine {len(self._rules)} rules, {len(self._waiting)} waiting{'' if self._armed else ', disarmed'}>"

    def _about(self, opcode: int) -> Sieve[ActiveRule] | None:
        members: list[tuple[ActiveRule, list[Expr | None]]] = []
        for rule in self._rules:
            matchers = [one for one in _matchers((*rule.when, *rule.until)) if opcode in one.opcodes]
            if matchers:
                members.append((rule, [matcher.pattern.where for matcher in matchers]))
        return Sieve(opcode, members) if members else None

    # --- what the relay asks ---

    def interest(self, sender: End) -> tuple[Interest, ...]:
        """Say how closely PDUs from `sender` have to be looked at, by opcode.

        As long as anything is armed every header is, so that the state that rules read is true.
        """
        if not self._armed or not self._rules:
            texts = TEXT if self.editors else frozenset[int]()  # one that was begun is edited to its end
            return tuple(Interest.WHOLE if opcode in texts else Interest.NONE for opcode in range(64))
        return tuple(
            Interest.WHOLE if opcode in self._watched and sender_of(opcode) is sender else Interest.HEADER
            for opcode in range(64)
        )

    def counters(self) -> tuple[Counts, ...]:
        """Give the counts of every rule, in the order of the files."""
        return tuple(rule.counts for rule in self._rules)

    def unfired(self) -> tuple[str, ...]:
        """Name the rules that had to fire and never did."""
        return tuple(rule.name for rule in self._rules if not rule.rule.optional and not rule.counts.fired)

    # --- what the relay tells ---

    def start(self, now: float) -> list[Command]:
        """Bring the rules into force."""
        self._now = now
        for rule in self._rules:
            rule.begin(self._follow)
            rule.ends = [self._course(path, rule.captures, rule.scenario, rule.retire) for path in rule.until]
            for course in rule.ends:
                course.begin(now)
        return self._done()

    def received(self, event: Received, digests: tuple[bool, bool]) -> list[Command]:
        """Decide about a PDU that came in; `digests` are those of the leg it will go to."""
        pdu = event.pdu
        opcode = pdu.opcode
        self._now = event.at
        if not self._armed:
            return self._edit_to_the_end(event, digests) if self.editors else []
        sieve = self._by_opcode[opcode]
        interested = sieve(pdu.bhs) if sieve is not None else ()
        if not interested and not self._waiting and not self.editors and not (opcode in REQUESTS and any(self._books)):
            return []
        look = Look(event.conn, event.at, event.leg, self._state, self.rng, self._book, pdu, event.n)
        if opcode in REQUESTS:
            for book in self._books:
                book.request(look)
        firings = self._match(interested, look)
        if event.partial:
            self._too_large(firings, look)
        else:
            editing = bool(self.editors and self.editors.of(look))
            if firings or editing:
                hand = Hand(look, event.n, pdu, digests)
                if editing:
                    for editor, why in self.editors.go_on(hand):
                        self._tell("failed", editor.rule, look, why)
                Chain(self, hand, firings).start()
        return self._done()

    def delivered(self, event: Delivered) -> list[Command]:
        """Take note of a PDU that went out."""
        self._now = event.at
        for rule in event.rules:
            self.reached(rule)
        for book in self._books:
            if book:
                book.delivered(event.of, event.leg, event.pdu)
        # What was cut has not come whole; what went in two parts is seen with the last.
        if self._armed and event.pdu.opcode in self._delivered_opcodes and event.sent == -1:
            look = self._look(event.conn, event.leg, pdu=event.pdu, n=event.n, arrival=False)
            sieve = self._by_opcode[event.pdu.opcode]
            for firing in self._match(sieve(event.pdu.bhs) if sieve is not None else (), look):
                Chain(self, None, [firing]).start()
        return self._done()

    def happened(self, event: Connected | FullFeature | Closed) -> list[Command]:
        """Take note of an event on a connection."""
        self._now = event.at
        match event:
            case Connected():
                self._conns[event.conn] = set()
                look = self._look(event.conn, End.INITIATOR, event="connect", n=event.n)
            case FullFeature():
                look = self._look(event.conn, event.leg, event="full-feature", n=event.n)
            case _:
                look = self._look(event.conn, event.leg, event="close", n=event.n)
                look.how, look.by_proxy = event.how, event.by != "peer"
                self._lose(event)
        if self._armed:
            for firing in self._match(self._rules, look):
                Chain(self, None, [firing]).start()
        return self._done()

    def timer(self, token: int, now: float) -> list[Command]:
        """Do what a timer was set for: it is due."""
        self._now = now
        due = self._timers.pop(token, None)
        if due is not None:
            due(now)
        return self._done()

    def end(self, now: float) -> list[Command]:
        """Clear everything: rules disarm, held PDUs go in order, stalls end."""
        self._now = now
        self._armed = False
        self._timers.clear()
        waiting = sorted(self._waiting, key=lambda chain: chain.hand.n if chain.hand is not None else 0)
        self._waiting.clear()
        self._due.clear()
        for chain in waiting:
            chain.cut_short()
        return self._done()

    # --- looking ---

    def _look(
        self, conn: int, leg: End, *, pdu: Pdu | None = None, n: int, arrival: bool = True, event: str = ""
    ) -> Look:
        return Look(conn, self._now, leg, self._state, self.rng, self._book, pdu, n, arrival, event)

    def _match(self, rules: Sequence[ActiveRule], look: Look) -> list[tuple[ActiveRule, Look]]:
        """Let all rules, and all that waits, see what is looked at; then bind captures; then say which rules fire.

        What waited for it goes on before anything is done about it.
        """
        firings: list[tuple[ActiveRule, Look]] = []
        for rule in rules:
            if rule.in_force:
                if look.captures is not rule.captures:
                    look = look.within(rule.captures)
                if rule.ends and _any_met(rule.ends, look):
                    rule.retire()
                elif rule.look(look, self._follow):
                    rule.counts.matched += 1
                    firings.append((rule, look))
        for chain, courses in self._waiting.items():
            if _any_met(courses, look.within(courses[0].captures)):
                self._due.append(partial(self._proceed, chain, "met", courses))
        if self._pending or self._due:
            self._settle()
        return firings

    def _settle(self) -> None:
        """Bind what the patterns that have just matched capture, then do what has become due by it all."""
        while self._pending or self._due:
            pending, self._pending = self._pending, []
            for book, matcher, look in pending:
                capture = matcher.pattern.capture
                if capture is not None:
                    book.bind(capture.name, look, each=capture.each)
            if pending:
                self._recheck()
            elif self._due:
                self._due.popleft()()

    def _recheck(self) -> None:
        """See whether a step has waited for a capture that was bound, or for the first fault."""
        for rule in self._rules:
            for course in (*rule.courses.values(), *rule.ends):
                course.recheck(self._now)
        for courses in list(self._waiting.values()):
            for course in courses:
                course.recheck(self._now)

    # --- courses ---

    def _follow(self, rule: ActiveRule, path: Path, look: Look | None) -> Course:
        """Follow one moment of a rule in the scope of what is looked at."""

        def scope() -> list[int]:
            if look is None or path.per == "run":
                return list(self._conns)
            if path.per == "connection":
                return [look.conn]
            return [conn for conn in self._conns if self._look(conn, End.INITIATOR, n=0).session == look.session]

        def met() -> None:
            if rule.in_force and self._armed:
                rule.counts.matched += 1
                Chain(self, None, [(rule, None)], scope).start()

        course = self._course(path, rule.captures, rule.scenario, met)
        course.begin(self._now)
        return course

    def _course(self, path: Path, book: Book, scenario: str, met: Callable[[], None]) -> Course:
        def pend(matcher: Matcher, look: Look) -> None:
            if matcher.pattern.capture is not None:
                self._pending.append((book, matcher, look))

        return Course(
            path,
            captures=book,
            rng=self.rng,
            clock=self._after,
            faulted=lambda: scenario in self._reached,
            bind=pend,
            met=lambda _: self._due.append(met),
        )

    def _after(self, seconds: float, call: Callable[[float], None]) -> None:
        token = self.token()
        self._timers[token] = call
        self.commands.append(SetTimer(at=self._now + seconds, token=token))

    # --- what chains ask (Host) ---

    def token(self) -> int:
        """Give a fresh number for a timer or a stall."""
        self._token += 1
        return self._token

    def reached(self, rule: str) -> None:
        """Take note that an act of the rule has reached the wire."""
        scenario = rule.partition("/")[0]
        if scenario not in self._reached:
            self._reached.add(scenario)
            self._recheck()

    def bind(self, rule: RuleView, name: str, look: Look) -> None:
        """Bind a capture to what an act made."""
        rule.captures.bind(name, look, each=False, made=True)
        self._recheck()

    def wait(self, chain: Chain, pause: Pause, rule: RuleView) -> None:
        """Continue `chain` when the pause is over."""
        courses: list[Course] = []
        scenario = rule.name.partition("/")[0]
        proceed = partial(self._proceed, chain, "met", courses)
        courses += [self._course(path.anew(), rule.captures, scenario, proceed) for path in pause.until]
        self._waiting[chain] = courses
        if pause.at_most is not None:
            self._after(pause.at_most, lambda _: self._proceed(chain, "expired", courses))
        for course in courses:
            course.begin(self._now)

    def _proceed(self, chain: Chain, outcome: Outcome, courses: list[Course]) -> None:
        if self._waiting.get(chain) is not courses:
            return  # that pause is over already
        self._stop(chain)
        chain.proceed(outcome)

    def _stop(self, chain: Chain) -> None:
        for course in self._waiting.pop(chain):
            course.over = True

    # --- odds and ends ---

    def _edit_to_the_end(self, event: Received, digests: tuple[bool, bool]) -> list[Command]:
        """Go on with a text that was begun before the end: half of it has been delivered as edited."""
        look = self._look(event.conn, event.leg, pdu=event.pdu, n=event.n)
        if not event.partial and self.editors.of(look):
            hand = Hand(look, event.n, event.pdu, digests)
            for editor, why in self.editors.go_on(hand):
                self._tell("failed", editor.rule, look, why)
            Chain(self, hand, ()).start()
        return self._done()

    def _too_large(self, firings: Sequence[tuple[ActiveRule, Look]], look: Look) -> None:
        """Leave a PDU alone of which only the header is here; rules that only look may fire."""
        for rule, own in firings:
            if all(built.act.name == "note" for built in rule.acts):
                Chain(self, None, [(rule, own)]).start()
            else:
                rule.ended("failed")
                label = look.pdu.label if look.pdu is not None else ""
                self._tell("failed", rule.name, look, f"{label}: its data segment is larger than what is kept")

    def _lose(self, event: Closed) -> None:
        """Give up what is held for a connection that cannot carry it any more."""
        conn, leg = event.conn, event.leg
        self.editors.forget(conn, leg)
        ended = self._conns.get(conn)
        if ended is not None:
            ended.add(leg)
            if event.by == "peer" or len(ended) == len(End):
                del self._conns[conn]
        for chain in list(self._waiting):
            hand = chain.hand
            if hand is None or hand.gone or hand.look.conn != conn:
                continue
            if hand.look.leg is leg and event.by == "peer" and hand.orphan == "drop":
                why = "its sender has gone"
            elif hand.look.leg is not leg and (event.how == "rst" or event.by == "fault"):
                why = "its receiver has gone"
            else:
                continue
            self._stop(chain)
            chain.abandon(why)

    def _tell(self, kind: Literal["failed"], rule: str, look: Look, text: str) -> None:
        label = summary(look.pdu) if look.pdu is not None else look.event
        self.commands.append(Report(kind=kind, conn=look.conn, rule=rule, of=look.n, label=label, text=text))

    def _done(self) -> list[Command]:
        if self._pending or self._due:
            self._settle()
        commands, self.commands = self.commands, []
        return commands


def _matchers(paths: Iterable[Path]) -> Iterator[Matcher]:
    for path in paths:
        yield from path.matchers


def _opcodes(matchers: Iterable[Matcher]) -> frozenset[int]:
    return frozenset(opcode for matcher in matchers for opcode in matcher.opcodes)


def _any_met(courses: Iterable[Course], look: Look) -> bool:
    return any(course.look(look) is not None for course in courses)
