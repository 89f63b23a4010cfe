"""What the parts of the engine ask of it: chains of acts, machines, barriers, an actor (`firing.Host`).

Here is the state that they share: the rules, the captures, who waits for what, the connections there are. What the
relay asks and tells is in `engine.Engine`, which is all of this and decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from iscsiproxy.engine.actors import ActorSteps
from iscsiproxy.engine.authored import Errands
from iscsiproxy.engine.barriers import Barriers
from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.commands import Command, SetTimer, Tell
from iscsiproxy.engine.doorway import Doorway
from iscsiproxy.engine.editing import Editors
from iscsiproxy.engine.faces import FacedBook
from iscsiproxy.engine.facts import Look, Reader, Rng
from iscsiproxy.engine.firing import Chain
from iscsiproxy.engine.machines import ActiveMachine, goto
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.moments import Course, Path
from iscsiproxy.engine.negotiation import Asymmetry
from iscsiproxy.engine.rules import ActiveRule, Counts
from iscsiproxy.engine.settling import Settled
from iscsiproxy.engine.standing import Standing
from iscsiproxy.engine.work import Outcome, Pause, RuleView
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.events import Bound, Delivered, Event
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Hosting"]


class Hosting:
    """The rules of some scenarios, and all that goes on about them. `state` reads what has been said on a leg."""

    def __init__(self, scenarios: Sequence[Scenario], *, rng: Rng, state: Reader, armed: bool = True) -> None:
        self.rng = rng
        self.commands: list[Command] = []
        self._state = state
        self._now = 0.0
        self._rules: list[ActiveRule] = []
        self._past: list[Counts] = []  #: of rules that were taken out
        self._machines: list[ActiveMachine] = []
        self._books: list[FacedBook] = []
        self._scenarios: list[Scenario] = []
        #: What the actors of scenarios ask for, by scenario.
        self.actors: dict[str, ActorSteps] = {}
        self.negotiations: list[Asymmetry] = []
        for scenario in scenarios:
            self._enrol(scenario, active=armed)
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
        self._counts_apart = self._will_count_apart()
        if self._counts_apart:
            self.standing.append(self.settled)
        self.standing += self.negotiations
        self.apart: set[int] = set()  #: connections whose two ends have been told different things
        #: Who is told of all that goes out of a slot.
        self.written: dict[int, Callable[[Delivered], None]] = {}
        self._connects: dict[int, int] = {}  #: the number of the event with which a connection began
        self._conns: dict[int, set[End]] = {}  #: with the legs that have ended
        #: The throttles that end with their scenario, and no sooner, by the rule.
        self.lasting: dict[int, str] = {}
        self._doorway = Doorway(self._rules)

    def _enrol(self, scenario: Scenario, *, active: bool) -> tuple[list[ActiveRule], list[ActiveMachine]]:
        """Make the rules and machines of a scenario; nothing of it is in force yet but `negotiate`, if `active`."""
        book = FacedBook()
        machines = [ActiveMachine(scenario, machine, book, self) for machine in scenario.machines]
        rules = [ActiveRule(scenario, rule, book) for rule in scenario.rules]
        rules += [rule for machine in machines for rule in machine.rules]
        self._scenarios.append(scenario)
        self._books.append(book)
        self._rules += rules
        self._machines += machines
        if scenario.actor:
            self.actors[scenario.name] = ActorSteps(scenario, book)
        if scenario.negotiate:
            self.negotiations.append(Asymmetry(scenario, self, active=active))
        return rules, machines

    def _will_count_apart(self) -> bool:
        """Tell whether the two ends may count differently by what the rules do."""
        return bool(self.actors) or any(rule.counts_apart for rule in self._rules)

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

    def _look(
        self, conn: int, leg: End, *, pdu: Pdu | None = None, n: int, arrival: bool = True, event: str = ""
    ) -> Look:
        return Look(conn, self._now, leg, self._state, self.rng, self._book, pdu, n, arrival, event)

    # --- courses ---

    def _covered(self, rule: ActiveRule) -> list[int]:
        """List the connections that a rule is about."""
        conns = self._conns if rule.only is None else [conn for conn in self._conns if conn in rule.only]
        return [conn for conn in conns if rule.covers is None or rule.covers(conn)]

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
        first = self._outgoing.get(n)

        def both(event: Delivered) -> None:
            if first is not None:
                first(event)
            call(event)

        self._outgoing[n] = call if first is None else both

    def christen(self, scenario: str, name: str, conn: int) -> None:
        """Bind a name of an actor's to a connection."""
        look = self._look(conn, End.INITIATOR, event="connect", n=self._connects.get(conn, 0))
        self.actors[scenario].captures.bind(name, look, each=False)
        self._bound(f"{scenario}/", name, look)
        self._recheck()

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

    def wait(self, chain: Chain, pause: Pause, rule: RuleView) -> None:
        """Continue `chain` when the pause is over."""
        courses: list[Course] = []
        proceed = partial(self._proceed, chain, "met", courses)
        conn = chain.conn
        courses += [self._course(path.anew(), rule.captures, rule.name, proceed, conn) for path in pause.until]
        self._waiting[chain] = courses
        chain.since = self._now
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

    def _done(self) -> list[Command]:
        if self._pending or self._due:
            self._settle()
        commands, self.commands = self.commands, []
        return commands
