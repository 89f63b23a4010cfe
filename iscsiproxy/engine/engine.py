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

from iscsiproxy.engine.actors import ActorSteps
from iscsiproxy.engine.authored import Errands
from iscsiproxy.engine.barriers import Barriers
from iscsiproxy.engine.captures import REQUESTS, Book
from iscsiproxy.engine.commands import Command, Report, Resume, SetTimer, Tell
from iscsiproxy.engine.doorway import Doorway
from iscsiproxy.engine.editing import TEXT, Editors
from iscsiproxy.engine.facts import Look, Reader, Rng
from iscsiproxy.engine.firing import Chain, Outcome, Pause, RuleView
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.machines import ActiveMachine, goto
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.moments import Course, Path
from iscsiproxy.engine.negotiation import Asymmetry
from iscsiproxy.engine.rules import ActiveRule, Counts
from iscsiproxy.engine.settling import Settled
from iscsiproxy.engine.sieve import Sieve
from iscsiproxy.engine.standing import Standing
from iscsiproxy.language.spec import Expr, Scenario
from iscsiproxy.session.events import Bound, Closed, Connected, Delivered, Event, FullFeature, IoDone, Received
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Engine"]

#: Async events by which a target ends a connection or a session, or asks for its end (RFC 7143 11.9.1).
_ESCALATIONS = (1, 2, 3)


class Engine:
    """The rules of some scenarios in force. `state` reads what has been said so far on a leg.

    One that is not `armed` takes note of connections, and does nothing before `start`.
    """

    def __init__(self, scenarios: Sequence[Scenario], *, rng: Rng, state: Reader, armed: bool = True) -> None:
        self.rng = rng
        self.commands: list[Command] = []
        self._state = state
        self._now = 0.0
        self._rules: list[ActiveRule] = []
        self._machines: list[ActiveMachine] = []
        self._books: list[Book] = []
        self._scenarios = tuple(scenarios)
        for scenario in scenarios:
            book = Book()
            self._books.append(book)
            self._rules += [ActiveRule(scenario, rule, book) for rule in scenario.rules]
            for machine in scenario.machines:
                self._machines.append(ActiveMachine(scenario, machine, book, self))
                self._rules += self._machines[-1].rules
        #: What the actors of scenarios ask for, by scenario.
        self.actors = {
            scenario.name: ActorSteps(scenario, book)
            for scenario, book in zip(scenarios, self._books, strict=True)
            if scenario.actor
        }
        self._book = self._books[0] if self._books else Book()  # most runs have one
        self._armed = armed
        self._reached: set[str] = set()
        self._timers: dict[int, Callable[[float], None]] = {}
        self._token = 0
        self._waiting: dict[Chain, list[Course]] = {}
        self._pending: list[tuple[str, Book, Matcher, Look]] = []
        #: What has become due while something else was being done.
        self._due: deque[Callable[[], None]] = deque()
        self._outgoing: dict[int | None, Callable[[Delivered], None]] = {}
        self.editors = Editors()
        self.errands = Errands()
        self.barriers = Barriers(self)
        self.settled = Settled()
        #: What acts on PDUs that no rule has matched, in the order in which it does.
        self.standing: list[Standing] = [self.barriers, self.errands]
        self._counts_apart = bool(self.actors) or any(rule.counts_apart for rule in self._rules)
        if self._counts_apart:
            self.standing.append(self.settled)
        self.negotiations = [Asymmetry(one, self, active=armed) for one in scenarios if one.negotiate]
        self.standing += self.negotiations
        self.apart: set[int] = set()  #: connections whose two ends have been told different things
        #: Who is told of all that goes out of a slot.
        self.written: dict[int, Callable[[Delivered], None]] = {}
        self._connects: dict[int, int] = {}  #: the number of the event with which a connection began
        self._conns: dict[int, set[End]] = {}  #: with the legs that have ended
        #: The throttles that end with everything else, and no sooner.
        self.lasting: set[int] = set()
        self._doorway = Doorway(self._rules)
        self._by_opcode = [self._about(opcode) for opcode in range(64)]
        waited = [path for rule in self._rules for path in rule.all_paths()]
        waited += [path for steps in self.actors.values() for path in steps.paths()]
        matchers = [matcher for path in waited for matcher in path.matchers]
        self._delivered_opcodes = _opcodes(matcher for matcher in matchers if matcher.pattern.leg is not None)
        self._watched = _opcodes(matchers)
        if any(matcher.pattern.of for matcher in matchers):
            self._watched |= REQUESTS  # they may take over the tag of a capture
        self._escalating = any("escalation" in matcher.events for matcher in matchers)
        if self._escalating:
            self._watched |= {Opcode.ASYNC}

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
        if self._counts_apart:
            return EVERYTHING  # what the two ends count may differ by now, and every number has to be looked at
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

    def differs(self, conn: int) -> bool:
        """Tell whether the two ends of a connection have been told different things, which they hold now."""
        return conn in self.apart or any(one.differs(conn) for one in self.negotiations)

    # --- what the relay tells ---

    def start(self, now: float) -> list[Command]:
        """Bring the rules into force."""
        self._now = now
        self._armed = True
        for negotiation in self.negotiations:
            negotiation.active = True
        for rule in self._rules:
            if rule.in_force:
                self.bring(rule)
        for machine in self._machines:
            machine.start([self._look(conn, End.INITIATOR, n=0) for conn in self._conns])
        return self._done()

    def received(self, event: Received, digests: tuple[bool, bool]) -> list[Command]:
        """Decide about a PDU that came in; `digests` are those of the leg it will go to."""
        pdu = event.pdu
        opcode = pdu.opcode
        self._now = event.at
        look = Look(event.conn, event.at, event.leg, self._state, self.rng, self._book, pdu, event.n)
        if self.actors:
            self._meet(look)
        standing = [one for one in self.standing if one.wants(look)]
        if not self._armed:
            return self._edit_to_the_end(event, digests, standing) if self.editors or standing else []
        sieve = self._by_opcode[opcode]
        interested = sieve(pdu.bhs) if sieve is not None else ()
        if (
            not interested
            and not standing
            and not self._waiting
            and not self.editors
            and not (opcode in REQUESTS and any(self._books))
            and not (opcode == Opcode.ASYNC and self._escalating)
        ):
            return []
        if opcode in REQUESTS:
            for book in self._books:
                book.request(look)
        firings = self._match(interested, look)
        if event.partial:
            self._too_large(firings, look)
        else:
            editing = bool(self.editors and self.editors.of(look))
            if firings or editing or standing:
                hand = Hand(look, event.n, pdu, digests)
                for one in standing:
                    one.apply(hand)
                if editing:
                    for editor, why in self.editors.go_on(hand):
                        self._tell("failed", editor.rule, look, why)
                Chain(self, hand, firings).start()
        if opcode == Opcode.ASYNC and pdu["AsyncEvent"] in _ESCALATIONS:
            self._escalate(look)
        return self._done()

    def delivered(self, event: Delivered) -> list[Command]:
        """Take note of a PDU that went out."""
        self._now = event.at
        for rule in event.rules:
            if all(rule != one.rule for one in self.negotiations):  # that is no act
                self.reached(rule)
        if event.author:
            self.errands.delivered(event)
        elif event.of in self._outgoing:
            self._outgoing.pop(event.of)(event)
        if event.of is not None and (told := self.written.get(event.of)) is not None:
            told(event)
        for book in self._books:
            if book:
                book.delivered(event.of, event.leg, event.pdu)
        # What was cut has not come whole; what went in two parts is seen with the last.
        if self._armed and event.pdu.opcode in self._delivered_opcodes and event.sent == -1:
            look = self._look(event.conn, event.leg, pdu=event.pdu, n=event.n, arrival=False)
            sieve = self._by_opcode[event.pdu.opcode]
            self._see(sieve(event.pdu.bhs) if sieve is not None else (), look)
        return self._done()

    def happened(self, event: Connected | FullFeature | Closed | IoDone) -> list[Command]:
        """Take note of an event on a connection, or of what the application saw."""
        self._now = event.at
        match event:
            case Connected():
                self._conns[event.conn] = set()
                self._connects[event.conn] = event.n
                look = self._look(event.conn, End.INITIATOR, event="connect", n=event.n)
            case FullFeature():
                look = self._look(event.conn, event.leg, event="full-feature", n=event.n)
                for negotiation in self.negotiations:
                    negotiation.reached(look)
            case IoDone():
                look = self._look(event.conn, End.INITIATOR, event=f"io-{event.what}", n=event.n)
            case _:
                look = self._look(event.conn, event.leg, event="close", n=event.n)
                look.how, look.by_proxy = event.how, event.by != "peer"
                self._lose(event)
                for one in self.standing:
                    one.forget(event.conn, event.leg)
        if self._armed:
            # Who may refuse a connection has seen it already.
            rules = self._doorway.others if isinstance(event, Connected) else self._rules
            self._see(rules, look)
            if look.how and not look.by_proxy:
                self._escalate(look)
        return self._done()

    def release(self, n: int, now: float) -> list[Command]:
        """Take note that somebody has let the PDU with event number `n` go by hand: `released`."""
        self._now = now
        waiting = [one for chain, one in self._waiting.items() if chain.hand is None or chain.hand.n == n]
        for course in [*self._followed(), *(one for courses in waiting for one in courses)]:
            course.released(now)
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
        self.commands += [Resume(token=token) for token in sorted(self.lasting)]
        self.lasting.clear()
        for negotiation in self.negotiations:
            negotiation.active = False
        return self._done()

    def accepting(self, conn: int, n: int, at: float) -> list[Command]:
        """Decide whether a connection that has come is refused: then a Refuse is among the commands.

        The relay asks before it does anything for the connection. One that is refused is never Connected.
        """
        self._now = at
        if self._armed and self._doorway.refusers:
            look = self._look(conn, End.INITIATOR, event="connect", n=n)
            self._doorway.come(conn, lambda rules, first: self._see(rules, look, first=first))
        return self._done()

    # --- looking ---

    def _look(
        self, conn: int, leg: End, *, pdu: Pdu | None = None, n: int, arrival: bool = True, event: str = ""
    ) -> Look:
        return Look(conn, self._now, leg, self._state, self.rng, self._book, pdu, n, arrival, event)

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

    def _settle(self) -> None:
        """Bind what the patterns that have just matched capture, then do what has become due by it all."""
        while self._pending or self._due:
            pending, self._pending = self._pending, []
            for rule, book, matcher, look in pending:
                capture = matcher.pattern.capture
                if capture is not None:
                    book.bind(capture.name, look, each=capture.each)
                    self._bound(rule, capture.name, look, each=capture.each)
            if pending:
                self._recheck()
            elif self._due:
                self._due.popleft()()

    def _recheck(self) -> None:
        """See whether a step has waited for a capture that was bound, or for the first fault."""
        for course in [*self._followed(), *(one for courses in self._waiting.values() for one in courses)]:
            course.recheck(self._now)

    def _followed(self) -> Iterator[Course]:
        """Give the courses of the rules, and of the rules of the states that machines are in."""
        for rule in (*self._rules, *(rule for machine in self._machines for rule in machine.copies())):
            yield from (*rule.courses.values(), *rule.ends)

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

    # --- courses ---

    def _covered(self, rule: ActiveRule) -> list[int]:
        """List the connections that a rule is about."""
        return [conn for conn in self._conns if rule.covers is None or rule.covers(conn)]

    def bring(self, rule: ActiveRule) -> None:
        """Begin to follow the moments of a rule that has come into force."""
        rule.begin(self._follow)
        rule.ends = [self._course(path, rule.captures, rule.name, rule.retire) for path in rule.until]
        for course in rule.ends:
            course.begin(self._now)

    def _follow(self, rule: ActiveRule, path: Path, look: Look | None) -> Course:
        """Follow one moment of a rule in the scope of what is looked at."""

        def scope() -> list[int]:
            conns = self._covered(rule)
            if look is None or path.per == "run":
                return conns
            if path.per == "connection":
                return [look.conn]
            return [conn for conn in conns if self._look(conn, End.INITIATOR, n=0).session == look.session]

        def met() -> None:
            if rule.in_force and self._armed:
                rule.counts.matched += 1
                Chain(self, None, [(rule, None)], scope).start()

        course = self._course(path, rule.captures, rule.name, met)
        course.begin(self._now)
        return course

    def _course(self, path: Path, book: Book, rule: str, met: Callable[[], None], conn: int = 0) -> Course:
        """Make the course of a moment that the rule waits for; its barriers are sent on `conn` if nothing was seen."""
        scenario = rule.partition("/")[0]

        def pend(matcher: Matcher, look: Look) -> None:
            if matcher.pattern.capture is not None:
                self._pending.append((rule, book, matcher, look))

        return Course(
            path,
            captures=book,
            rng=self.rng,
            clock=self._after,
            faulted=lambda: scenario in self._reached,
            bind=pend,
            met=lambda _: self._due.append(met),
            barrier=partial(self.barriers.wait, scenario, rule),
            conn=conn,
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

    def made(self, rule: RuleView, name: str, event: Delivered) -> None:
        """Bind a capture to what an act made, now that it has gone."""
        look = self._look(event.conn, event.leg, pdu=event.pdu, n=event.n, arrival=False)
        rule.captures.bind(name, look, each=False, made=True)
        self._bound(rule.name, name, look, made=True)
        self._recheck()

    def when_delivered(self, n: int, call: Callable[[Delivered], None]) -> None:
        """Call something when the PDU that came in as event `n` goes out."""
        self._outgoing[n] = call

    def _meet(self, look: Look) -> None:
        """Bind what an actor has announced, before any rule sees it."""
        for scenario, steps in self.actors.items():
            if steps.announced and (name := steps.meet(look)) is not None:
                steps.captures.bind(name, look, each=False)
                self._bound(f"{scenario}/", name, look)
                self._recheck()

    def christen(self, scenario: str, name: str, conn: int) -> None:
        """Bind a name of an actor's to a connection."""
        look = self._look(conn, End.INITIATOR, event="connect", n=self._connects.get(conn, 0))
        self.actors[scenario].captures.bind(name, look, each=False)
        self._bound(f"{scenario}/", name, look)
        self._recheck()

    def asked(self, now: float, call: Callable[[Engine], None]) -> list[Command]:
        """Do something for somebody who is not the relay."""
        self._now = now
        call(self)
        return self._done()

    def _bound(self, rule: str, name: str, look: Look, *, each: bool = False, made: bool = False) -> None:
        self.tell(Bound(n=0, at=self._now, conn=look.conn, rule=rule, name=name, of=look.n or 0, each=each, made=made))

    def goto(self, rule: RuleView, state: str, *, looked: bool) -> None:
        """Put the machine of a rule into another state."""
        goto(rule, state, looked=looked)

    def arm(self, rule: RuleView, name: str, *, on: bool) -> bool:
        """Arm or disarm another rule of the scenario; tell whether that is news."""
        full = f"{rule.name.partition('/')[0]}/{name}"
        return next(one for one in self._rules if one.name == full).switch(on, self.bring)

    def refuse(self, conn: int) -> None:
        """Refuse the connection that the relay is asking about."""
        self.commands.append(self._doorway.refuse(conn))

    def tell(self, event: Event) -> None:
        """Put an event into the journal."""
        self.commands.append(Tell(event=event))

    def session(self, conn: int) -> int:
        """Name the session of a connection; 0 before there is one."""
        return self._look(conn, End.INITIATOR, n=0).session

    def glance(self, conn: int) -> Look:
        """Look at a connection with nothing in hand."""
        return self._look(conn, End.INITIATOR, n=0)

    def after(self, seconds: float, call: Callable[[float], None]) -> None:
        """Call something in a while."""
        self._after(seconds, call)

    def due(self, call: Callable[[], None]) -> None:
        """Call something when what is being done is done."""
        self._due.append(call)

    def scenario(self, name: str) -> Scenario | None:
        """Give a scenario by its name."""
        return next((one for one in self._scenarios if one.name == name), None)

    @property
    def now(self) -> float:
        """Seconds since the run began, as last told."""
        return self._now

    def open_connections(self) -> list[int]:
        """Give the connections that are open on both legs."""
        return [conn for conn, ended in self._conns.items() if not ended]

    def alive(self, conn: int) -> bool:
        """Tell whether a connection is open on both legs."""
        return not self._conns.get(conn, {End.INITIATOR})

    def ping(self, conn: int, end: End, text: str, *, scenario: str = "") -> int:
        """Ask an end for a sign that it has read all that was sent to it; give the barrier's number."""
        return self.barriers.begin(conn, end, text, scenario=scenario)

    def authored_in_vain(self, ticket: int, now: float) -> list[Command]:
        """Take note that a PDU of the proxy's own can no longer go."""
        self._now = now
        self.errands.in_vain(ticket)
        return self._done()

    def wait(self, chain: Chain, pause: Pause, rule: RuleView) -> None:
        """Continue `chain` when the pause is over."""
        courses: list[Course] = []
        proceed = partial(self._proceed, chain, "met", courses)
        conn = chain.conn
        courses += [self._course(path.anew(), rule.captures, rule.name, proceed, conn) for path in pause.until]
        self._waiting[chain] = courses
        if pause.at_most is not None:
            self._after(pause.at_most, lambda _: self._proceed(chain, "expired", courses))
        for course in courses:
            course.begin(self._now)

    def proceed(self, chain: Chain, outcome: Outcome) -> None:
        """End the pause that a chain is in."""
        if chain in self._waiting:
            self._proceed(chain, outcome, self._waiting[chain])

    def _proceed(self, chain: Chain, outcome: Outcome, courses: list[Course]) -> None:
        if self._waiting.get(chain) is not courses:
            return  # that pause is over already
        self._stop(chain)
        chain.proceed(outcome)

    def _stop(self, chain: Chain) -> None:
        for course in self._waiting.pop(chain):
            course.over = True

    # --- odds and ends ---

    def _edit_to_the_end(
        self, event: Received, digests: tuple[bool, bool], standing: Sequence[Standing]
    ) -> list[Command]:
        """Go on with what was begun before the end: half of a text has been delivered, an answer is not for all."""
        look = self._look(event.conn, event.leg, pdu=event.pdu, n=event.n)
        if not event.partial and (standing or self.editors.of(look)):
            hand = Hand(look, event.n, event.pdu, digests)
            for one in standing:
                one.apply(hand)
            for editor, why in self.editors.go_on(hand) if self.editors.of(look) else ():
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
                self._connects.pop(conn, None)
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
