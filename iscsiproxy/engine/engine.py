"""Decides what happens to every PDU; does nothing itself (LANGUAGE: execution).

The relay tells the engine what has come in, what has gone out, and when a timer is due; the engine answers with
commands. The same calls with the same seed give the same commands: there is no clock and no randomness here but what is
handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from iscsiproxy.engine.actions.text import Editor
from iscsiproxy.engine.commands import Command, Report, SetTimer
from iscsiproxy.engine.facts import Captured, Look, Reader, Rng
from iscsiproxy.engine.firing import ActError, Chain, Pause, RuleView
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.match import Matcher, bind, supersedes
from iscsiproxy.engine.moments import Course, Path
from iscsiproxy.engine.rules import ActiveRule, Counts
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.events import Closed, Connected, Delivered, FullFeature, Received
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.framing import Interest
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Engine"]

_TEXT = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})
#: During login the default MaxRecvDataSegmentLength holds (RFC 7143 6.3, 13.12).
_LOGIN_LIMIT = 8192


class Engine:
    """The rules of some scenarios in force. `state` reads what has been said so far on a leg."""

    def __init__(self, scenarios: Sequence[Scenario], *, rng: Rng, state: Reader) -> None:
        self.rng = rng
        self.commands: list[Command] = []
        self._state = state
        self._now = 0.0
        self._rules: list[ActiveRule] = []
        self._captures: list[dict[str, Captured]] = []
        for scenario in scenarios:
            captures: dict[str, Captured] = {}
            self._captures.append(captures)
            self._rules += [ActiveRule(scenario, rule, captures) for rule in scenario.rules]
        self._armed = True
        self._reached: set[str] = set()
        self._timers: dict[int, Callable[[float], None]] = {}
        self._token = 0
        self._waiting: dict[Chain, _Waiting] = {}
        self._pending: list[tuple[dict[str, Captured], Matcher, Look]] = []
        self._editors: dict[tuple[int, End], Editor] = {}
        self._conns: list[int] = []
        self._by_opcode = [self._about(opcode) for opcode in range(64)]
        self._delivered_opcodes = frozenset(
            opcode
            for rule in self._rules
            for path in rule.all_paths()
            for matcher in path.matchers
            if matcher.pattern.leg is not None
            for opcode in matcher.opcodes
        )
        self._watched = frozenset(
            opcode
            for rule in self._rules
            for path in rule.all_paths()
            for matcher in path.matchers
            for opcode in matcher.opcodes
        )

    def __repr__(self) -> str:
        return f"<Engine {len(self._rules)} rules, {len(self._waiting)} waiting{'' if self._armed else ', disarmed'}>"

    def _about(self, opcode: int) -> list[ActiveRule]:
        return [
            rule
            for rule in self._rules
            if any(opcode in matcher.opcodes for path in (*rule.when, *rule.until) for matcher in path.matchers)
        ]

    # --- what the relay asks ---

    def interest(self, sender: End) -> tuple[Interest, ...]:
        """Say how closely PDUs from `sender` have to be looked at, by opcode.

        As long as anything is armed every header is, so that the state that rules read is true.
        """
        if not self._armed or not self._rules:
            return (Interest.NONE,) * 64
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
            for index, path in enumerate(rule.when):
                if path.per == "run":
                    rule.courses[index, None] = self._follow(rule, path)
            rule.ends = [
                self._course(path, rule.captures, rule.scenario, partial(_retire, rule)) for path in rule.until
            ]
            for course in rule.ends:
                course.begin(now)
        return self._done()

    def received(self, event: Received, digests: tuple[bool, bool]) -> list[Command]:
        """Decide about a PDU that came in; `digests` are those of the leg it will go to."""
        self._now = event.at
        pdu = event.pdu
        if not self._armed:
            return []
        interested = self._by_opcode[pdu.opcode]
        editor = self._editors.get((event.conn, event.leg)) if self._editors and pdu.opcode in _TEXT else None
        if not interested and not self._waiting and editor is None:
            return []
        self._supersede(pdu)
        look = self._look(event.conn, event.leg, pdu=pdu, n=event.n)
        firings = self._match(interested, look)
        if event.partial:
            for rule, _ in firings:
                rule.ended("failed")
                self._tell("failed", rule.name, look, f"{pdu.label}: its data segment is larger than what is kept")
            return self._done()
        if firings or editor is not None:
            hand = Hand(look, event.n, pdu, digests)
            if editor is not None:
                self._edit_on(editor, hand)
            Chain(self, hand, firings).start()
        return self._done()

    def delivered(self, event: Delivered) -> list[Command]:
        """Take note of a PDU that went out."""
        self._now = event.at
        for rule in event.rules:
            self.reached(rule)
        if self._armed and event.pdu.opcode in self._delivered_opcodes:
            look = self._look(event.conn, event.leg, pdu=event.pdu, n=event.n, arrival=False)
            for firing in self._match(self._by_opcode[event.pdu.opcode], look):
                Chain(self, None, [firing]).start()
        return self._done()

    def happened(self, event: Connected | FullFeature | Closed) -> list[Command]:
        """Take note of an event on a connection."""
        self._now = event.at
        match event:
            case Connected():
                self._conns.append(event.conn)
                look = self._look(event.conn, End.INITIATOR, event="connect", n=event.n)
            case FullFeature():
                look = self._look(event.conn, event.leg, event="full-feature", n=event.n)
            case _:
                look = self._look(event.conn, event.leg, event="close", n=event.n)
                look.how, look.by_proxy = event.how, event.by != "peer"
                if event.by == "peer":
                    self._orphan(event)
                if event.conn in self._conns and event.by != "fault":
                    self._conns.remove(event.conn)
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
        for chain in waiting:
            chain.cut_short()
        return self._done()

    # --- looking ---

    def _look(
        self, conn: int, leg: End, *, pdu: Pdu | None = None, n: int, arrival: bool = True, event: str = ""
    ) -> Look:
        return Look(
            conn=conn,
            at=self._now,
            leg=leg,
            state=self._state,
            rng=self.rng,
            captures={},
            pdu=pdu,
            n=n,
            arrival=arrival,
            event=event,
        )

    def _match(self, rules: Sequence[ActiveRule], look: Look) -> list[tuple[ActiveRule, Look]]:
        """Let all rules, and all that waits, see what is looked at; then bind captures; then say which rules fire."""
        firings: list[tuple[ActiveRule, Look]] = []
        for rule in rules:
            if rule.in_force:
                own = look.within(rule.captures)
                if any(course.look(own) is not None for course in rule.ends):
                    rule.retire()
                elif rule.look(own, partial(self._follow, rule)):
                    rule.counts.matched += 1
                    firings.append((rule, own))
        met = [
            chain
            for chain, waiting in self._waiting.items()
            if any(course.look(look.within(course.captures)) is not None for course in waiting.courses)
        ]
        self._bind_pending()
        for chain in met:
            self._proceed(chain, expired=False)
        return firings

    def _bind_pending(self) -> None:
        """Bind what the patterns that have just matched capture; a step may have waited for it."""
        pending, self._pending = self._pending, []
        for captures, matcher, look in pending:
            capture = matcher.pattern.capture
            if capture is not None:
                bind(captures, capture.name, look, each=capture.each)
        if pending:
            self._recheck()

    def _recheck(self) -> None:
        for rule in self._rules:
            for course in (*rule.courses.values(), *rule.ends):
                course.recheck(self._now)
        for waiting in list(self._waiting.values()):
            for course in waiting.courses:
                course.recheck(self._now)

    def _supersede(self, pdu: Pdu) -> None:
        for captures in self._captures:
            for captured in captures.values():
                for member in captured.members:
                    if not member.superseded and supersedes(pdu, member):
                        member.superseded = True

    # --- courses ---

    def _follow(self, rule: ActiveRule, path: Path) -> Course:
        def met(_: float) -> None:
            if rule.in_force and self._armed:
                rule.counts.matched += 1
                Chain(self, None, [(rule, None)]).start()

        course = self._course(path, rule.captures, rule.scenario, met)
        course.begin(self._now)
        return course

    def _course(self, path: Path, captures: dict[str, Captured], scenario: str, met: Callable[[float], None]) -> Course:
        def pend(matcher: Matcher, look: Look) -> None:
            if matcher.pattern.capture is not None:
                self._pending.append((captures, matcher, look))

        return Course(
            path,
            captures=captures,
            rng=self.rng,
            clock=self._after,
            faulted=lambda: scenario in self._reached,
            bind=pend,
            met=met,
        )

    def _after(self, seconds: float, call: Callable[[float], None]) -> None:
        token = self.token()
        self._timers[token] = call
        self.commands.append(SetTimer(at=self._now + seconds, token=token))

    # --- what chains ask (Host) ---

    def state(self, conn: int, leg: End, /) -> Snapshot:
        """Give the state of a leg now."""
        return self._state(conn, leg, None)

    def connections(self) -> list[int]:
        """List the connections that live, in the order in which they came."""
        return list(self._conns)

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
        bind(rule.captures, name, look, each=False)
        self._recheck()

    def text_limit(self, look: Look) -> int:
        """Give how long a text may be for the receiver of this PDU (RFC 7143 13.12)."""
        pdu = look.pdu
        if pdu is None or pdu.opcode in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE):
            return _LOGIN_LIMIT
        declared = look.view.declared[look.leg.other].get("MaxRecvDataSegmentLength", str(_LOGIN_LIMIT))
        return int(declared, 0)

    def edit(self, look: Look, editor: Editor) -> None:
        """Go on editing the text in the PDUs that continue it."""
        self._editors[look.conn, look.leg] = editor

    def wait(self, chain: Chain, pause: Pause, rule: RuleView) -> None:
        """Continue `chain` when the pause is over."""

        def met(_: float) -> None:
            self._proceed(chain, expired=False)

        scenario = rule.name.partition("/")[0]
        courses = [self._course(Path(moment, rule.victim), rule.captures, scenario, met) for moment in pause.until]
        self._waiting[chain] = _Waiting(courses)
        if pause.at_most is not None:
            self._after(pause.at_most, lambda _: self._proceed(chain, expired=True, courses=courses))
        for course in courses:
            course.begin(self._now)

    def _proceed(self, chain: Chain, *, expired: bool, courses: list[Course] | None = None) -> None:
        waiting = self._waiting.get(chain)
        if waiting is None or (courses is not None and waiting.courses is not courses):
            return  # that pause is over already
        del self._waiting[chain]
        for course in waiting.courses:
            course.over = True
        chain.proceed(expired=expired)

    # --- odds and ends ---

    def _edit_on(self, editor: Editor, hand: Hand) -> None:
        try:
            pdu, changes = editor.apply(hand.pdu, self.text_limit(hand.look))
        except ActError as error:
            self._tell("failed", editor.rule, hand.look, f"text: {error}")
            return
        finally:
            if not hand.pdu["C"]:
                self._editors.pop((hand.look.conn, hand.look.leg), None)
        if changes or pdu != hand.pdu:
            hand.change(pdu, changes, editor.rule)

    def _orphan(self, event: Closed) -> None:
        """Drop what is held of a peer that has gone, unless the act says otherwise."""
        for chain in list(self._waiting):
            hand = chain.hand
            if hand is not None and not hand.gone and hand.look.conn == event.conn and hand.look.leg is event.leg:
                if hand.orphan == "deliver":
                    continue
                self._waiting.pop(chain)
                chain.abandon()

    def _tell(self, kind: Literal["failed"], rule: str, look: Look, text: str) -> None:
        self.commands.append(
            Report(
                kind=kind,
                conn=look.conn,
                rule=rule,
                of=look.n,
                label=summary(look.pdu) if look.pdu is not None else look.event,
                text=text,
            )
        )

    def _done(self) -> list[Command]:
        commands, self.commands = self.commands, []
        return commands


def _retire(rule: ActiveRule, _: float) -> None:
    rule.retire()


@dataclass(slots=True)
class _Waiting:
    """The moments that a chain waits for."""

    courses: list[Course]
