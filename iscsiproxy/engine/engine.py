"""Decides what happens to every PDU; does nothing itself.

The relay tells the engine what has come in, what has gone out, and when a timer is due; the engine answers with
commands. The same calls with the same seed give the same commands: there is no clock and no randomness here but what is
handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from iscsiproxy.engine.byhand import ByHand
from iscsiproxy.engine.captures import REQUESTS
from iscsiproxy.engine.commands import Close, Command, Report, Resume
from iscsiproxy.engine.editing import TEXT
from iscsiproxy.engine.facts import Look, Reader, Rng
from iscsiproxy.engine.firing import Chain
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.engine.standing import Standing
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.events import Closed, Connected, Delivered, FullFeature, IoDone, Received
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End, Opcode, sender_of

__all__ = ["Engine"]

#: Async events by which a target ends a connection or a session, or asks for its end (RFC 7143 11.9.1).
_ESCALATIONS = (1, 2, 3)
#: What is done the same whether the whole PDU is there or not.
_WITHOUT_THE_PDU = frozenset({"arm", "disarm", "goto", "note"})
#: How many PDUs that have not gone yet are remembered; the oldest is forgotten first.
_MAX_COMING = 1024


class Engine(ByHand):
    """The rules of some scenarios in force. `state` reads what has been said so far on a leg.

    One that is not `armed` takes note of connections, and does nothing before `start`.
    """

    def __init__(self, scenarios: Sequence[Scenario], *, rng: Rng, state: Reader, armed: bool = True) -> None:
        super().__init__(scenarios, rng=rng, state=state, armed=armed)
        #: The PDUs that have not gone yet: how they go tells how one would that never does.
        self._came: dict[int | None, Look] = {}
        self._compile()

    def __repr__(self) -> str:
        return f"<Engine {len(self._rules)} rules, {len(self._waiting)} waiting{'' if self._armed else ', disarmed'}>"

    # --- what the relay asks ---

    def interest(self, sender: End) -> tuple[Interest, ...]:
        """Say how closely PDUs from `sender` have to be looked at, by opcode.

        As long as anything is armed every header is, so that the state that rules read is true.
        """
        if self._counts_apart or self.in_single_file:
            return EVERYTHING  # what the two ends count may differ by now, and every number has to be looked at
        if not self._armed or not self._rules:
            texts = TEXT if self.editors else frozenset[int]()  # one that was begun is edited to its end
            return tuple(Interest.WHOLE if opcode in texts else Interest.NONE for opcode in range(64))
        return tuple(
            Interest.WHOLE if opcode in self._watched and sender_of(opcode) is sender else Interest.HEADER
            for opcode in range(64)
        )

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
        self._begin(self._rules, self._machines)
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
        if self._naming:
            self._came[event.n] = look
            if len(self._came) > _MAX_COMING:
                del self._came[next(iter(self._came))]
        if not self._armed:
            return self._edit_to_the_end(event, digests, standing) if self.editors or standing else []
        sieve = self._by_opcode[opcode]
        interested = sieve(pdu.bhs) if sieve is not None else ()
        if (
            not interested
            and not standing
            and not self._waiting
            and not self.editors
            and not self._stepping
            and not (opcode in REQUESTS and any(self._books))
            and not (opcode == Opcode.ASYNC and self._escalating)
        ):
            return []
        if opcode in REQUESTS:
            for book in self._books:
                book.request(look)
        matched = self._match(interested, look)
        if event.partial:
            self._too_large(matched, look)
        else:
            firings = [*(self._first_of_all(look, matched) if self._waiting or self._stepping else ()), *matched]
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

    def sees_delivered(self, opcode: int) -> bool:
        """Tell whether a rule looks at what goes out to a leg, and so at the state before it."""
        return self._armed and opcode in self._delivered_opcodes

    def delivered(self, event: Delivered, before: Snapshot | None = None) -> list[Command]:
        """Take note of a PDU that went out; `before` is the state on its leg before it."""
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
        came = self._came.pop(event.of, None)
        for book in self._books:
            if came is not None and not event.rules and (event.pdu is not came.pdu or book.shifted):
                book.moved(came, event.pdu)
            if book:
                book.delivered(event.of, event.leg, event.pdu)
        # What was cut has not come whole; what went in two parts is seen with the last.
        if self._armed and event.pdu.opcode in self._delivered_opcodes and event.sent == -1:
            look = self._look(event.conn, event.leg, pdu=event.pdu, n=event.n, arrival=False)
            look.see(before)
            look.by_proxy = event.author != 0
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

    def end(self, now: float, why: str = "the run ends") -> list[Command]:
        """Clear everything: rules disarm, held PDUs go in order, stalls end."""
        self._now = now
        self._armed = False
        self._timers.clear()
        self._queues.clear()
        self._stepping.clear()
        waiting = sorted(self._waiting, key=lambda chain: chain.hand.n if chain.hand is not None else 0)
        self._waiting.clear()
        self._due.clear()
        for chain in waiting:
            chain.cut_short(why)
        self.commands += [Resume(token=token) for token in sorted(self.lasting)]
        self.lasting.clear()
        for negotiation in self.negotiations:
            negotiation.active = False
        # Two ends that hold different things to be agreed on cannot go on without the proxy's doing.
        self.commands += [
            Close(conn=conn, how="rst", end="both") for conn in self.open_connections() if self.differs(conn)
        ]
        return self._done()

    def clear(self, now: float) -> list[Command]:
        """Clear everything, as at the end of a run, and be ready for other rules."""
        commands = self.end(now, "everything is cleared")
        names = {rule.scenario for rule in self._rules}
        self._retire(names)
        self._forget(names)
        self._armed = True
        return commands

    def accepting(self, conn: int, n: int, at: float) -> list[Command]:
        """Decide whether a connection that has come is refused: then a Refuse is among the commands.

        The relay asks before it does anything for the connection. One that is refused is never Connected.
        """
        self._now = at
        if self._armed and self._doorway.refusers:
            look = self._look(conn, End.INITIATOR, event="connect", n=n)
            self._doorway.come(conn, lambda rules, first: self._see(rules, look, first=first))
        return self._done()

    def authored_in_vain(self, ticket: int, now: float) -> list[Command]:
        """Take note that a PDU of the proxy's own can no longer go."""
        self._now = now
        self.errands.in_vain(ticket)
        return self._done()

    def asked(self, now: float, call: Callable[[Engine], None]) -> list[Command]:
        """Do something for somebody who is not the relay."""
        self._now = now
        call(self)
        return self._done()

    # --- looking ---

    def _meet(self, look: Look) -> None:
        """Bind what an actor has announced, before any rule sees it."""
        for scenario, steps in self.actors.items():
            if steps.announced and (name := steps.meet(look)) is not None:
                steps.captures.bind(name, look, each=False)
                self._bound(f"{scenario}/", name, look)
                self._recheck()

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
            Chain(self, hand, []).start()
        return self._done()

    def _too_large(self, firings: Sequence[tuple[ActiveRule, Look]], look: Look) -> None:
        """Leave a PDU alone of which only the header is here; rules whose acts do not touch it may fire."""
        for rule, own in firings:
            if all(built.act.name in _WITHOUT_THE_PDU for built in rule.acts):
                Chain(self, None, [(rule, own)], partial(self._covered, rule)).start()
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
            if not chain.outlasts(leg, why):
                self._stop(chain)
                chain.abandon(why)

    def _tell(self, kind: Literal["failed"], rule: str, look: Look, text: str) -> None:
        label = summary(look.pdu) if look.pdu is not None else look.event
        self.commands.append(Report(kind=kind, conn=look.conn, rule=rule, of=look.n, label=label, text=text))
