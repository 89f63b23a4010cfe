"""What somebody does by hand to the PDUs that rules have in hand: look, change, let go, or not.

While a PDU is held by hand, those that come behind it on its way are kept one by one too, so that a *step* can let it
go and hold the very next one: what matched them has been decided when they came, and is done when their turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.commands import Command
from iscsiproxy.engine.facts import Look, Reader, Rng
from iscsiproxy.engine.firing import Chain
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.roster import Roster
from iscsiproxy.engine.rules import ActiveRule, build_act
from iscsiproxy.engine.work import ActError, Built, Outcome, Pause, RuleView, Work
from iscsiproxy.language.spec import Act, ActSpec, Moment, Released, Scenario
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["BEHIND", "BY_HAND", "ByHand", "Holding"]

#: What stands for the scenario of what is done by hand, in reports: `by-hand/drop`.
BY_HAND: Final = "by-hand"
#: The rule by which PDUs wait behind one that is held
BEHIND: Final = f"{BY_HAND}/behind"
_RELEASED: Final = Moment(steps=(Released(),), text="released")
_HOLD: Final = Act(
    name="delay", params={"until": (_RELEASED,), "overtake": False, "at_most": "no", "orphans": "drop"}, text="hold"
)
_DROP: Final = Act(name="drop", params={"numbers": "raw"}, text="drop")
_WAITING: Final = ActSpec(name="delay", help="wait behind what is held by hand")

#: One way through a connection: from that leg.
_Way = tuple[int, End]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A PDU in hand that waits: it came as event `n` at `at`, is held by `rule` since `since`, until `until`.

    `pdu` is what it would go as now, in the numbers of its sender; `behind` counts the PDUs that wait behind it.
    """

    n: int
    at: float
    since: float
    conn: int
    leg: End
    rule: str
    until: str
    pdu: Pdu
    changes: tuple[Change, ...]
    behind: int


@dataclass(slots=True)
class _Rule:
    """What stands for a rule where somebody acts by hand (`RuleView`)."""

    name: str
    captures: Book
    victim: Literal["initiator", "target", "both"] = "both"
    acts: tuple[Built, ...] = ()

    def ended(self, how: str) -> None:
        """Count nothing."""


class ByHand(Roster):
    """The PDUs in hand, for somebody who sees to them. What that does is to be called by way of `asked`."""

    def __init__(self, scenarios: Sequence[Scenario], *, rng: Rng, state: Reader, armed: bool = True) -> None:
        super().__init__(scenarios, rng=rng, state=state, armed=armed)
        self._queues: dict[_Way, deque[Chain]] = {}  #: what waits behind something that is held
        self._stepping: set[int] = set()  #: the connections whose next PDU is to be held
        wait = Built(_HOLD, _WAITING, self._wait_behind, {}, {})
        self._gate = _Rule(BEHIND, Book(), acts=(wait,))
        self._stop_sign = _Rule(f"{BY_HAND}/step", Book(), acts=(build_act(_HOLD, "both"),))

    @property
    def in_single_file(self) -> bool:
        """Whether every PDU has to be looked at by itself, because something may be held by hand."""
        if self._stepping or self._queues or any(rule.armed_now and rule.holds for rule in self._rules):
            return True
        return any(_by_hand(chain, hand) for chain, hand in self._in_hand())

    # --- in the way of a PDU -----------------------------------------------------------------------------------------

    def _first_of_all(self, look: Look, matched: Sequence[tuple[ActiveRule, Look]]) -> list[tuple[RuleView, Look]]:
        """Say what comes before the rules that have matched: to wait behind what is held, or to be held by a step."""
        way = (look.conn, look.leg)
        holds = any(rule.holds for rule, _ in matched)  # then it stands in line by itself
        if not holds and (way in self._queues or self._stopped(way)):
            return [(self._gate, look)]
        if look.conn in self._stepping:
            self._stepping.discard(look.conn)
            return [] if holds else [(self._stop_sign, look)]
        return []

    def _stopped(self, way: _Way, before: float = inf) -> bool:
        """Tell whether something on this way, that came before event `before`, is held until somebody lets it go."""
        return any(n < before for n in self._stops(way))

    def _stops(self, way: _Way) -> list[int]:
        return [
            hand.n
            for chain, hand in self._in_hand()
            if _by_hand(chain, hand) and (hand.look.conn, hand.look.leg) == way
        ]

    def _wait_behind(self, act: Built, work: Work) -> Pause | None:
        """Get in line behind what is held by hand."""
        hand = work.need_hand()
        self._queues.setdefault((hand.look.conn, hand.look.leg), deque()).append(work.chain)
        work.report("held", "behind what is held by hand")
        orphan, hand.orphan = hand.orphan, "deliver"  # it is only in line: what has come goes, if nothing holds it

        def resume(outcome: Outcome) -> bool:
            hand.orphan = orphan
            return outcome == "met"

        return Pause((), None, resume)

    def _done(self) -> list[Command]:
        while self._queues:
            self._settle()
            if not self._move_up():
                break
        return super()._done()

    def _move_up(self) -> bool:
        """Go on with what nothing stands before any more; tell whether there was something."""
        moved = False
        for way, queue in list(self._queues.items()):
            while queue and ((hand := queue[0].hand) is None or not self._stopped(way, hand.n)):
                moved = True
                chain = queue.popleft()
                if chain not in self._waiting or hand is None:
                    continue  # its connection has ended
                if way[0] in self._stepping:
                    self._stepping.discard(way[0])
                    chain.insert(self._stop_sign, hand.look)
                self.proceed(chain, "met")
            if not queue:
                del self._queues[way]
        return moved

    # --- what somebody does ------------------------------------------------------------------------------------------

    def held(self) -> tuple[Holding, ...]:
        """List the PDUs that rules hold, the oldest first; those that only wait behind one are counted there."""
        queued = {id(chain) for queue in self._queues.values() for chain in queue}
        in_hand = self._in_hand()
        found = [
            _holding(hand, *chain.pausing, chain.since, sum(_is_behind(other, hand) for _, other in in_hand))
            for chain, hand in in_hand
            if chain.pausing is not None and id(chain) not in queued
        ]
        return tuple(sorted(found, key=lambda one: one.n))

    def edit(self, n: int, acts: Sequence[Act]) -> tuple[Change, ...]:
        """Change the PDU that came as event `n` by acts that change one; say what has changed.

        Raises KeyError if it is not in hand. Raises ActError if an act cannot be done: then nothing has changed.
        """
        chain, hand = self._find(n)
        work = self._work("edit", chain, hand)
        saved, mark, had, apart = hand.save(), len(self.commands), len(hand.changes), hand.look.conn in self.apart
        try:
            for act in acts:
                built = build_act(act, "both")
                built.run(built, work)
        except ActError:
            hand.restore(saved)
            self.editors.revoke(hand.look, work.rule.name)
            if not apart:
                self.apart.discard(hand.look.conn)
            del self.commands[mark:]
            chain.standing.clear()
            raise
        chain.stand()
        return tuple(hand.changes[had:])

    def let_go(self, n: int) -> None:
        """Let the PDU that came as event `n` go on, whatever it waits for. Raises KeyError if it is not in hand."""
        chain, _ = self._find(n)
        courses = self._waiting[chain]
        for course in [*self._followed(), *courses]:
            course.released(self.now)
        self.due(lambda: self._proceed(chain, "met", courses))  # unless that was what it waited for

    def step(self, n: int) -> None:
        """Let the PDU that came as event `n` go, and hold the next one of its connection.

        Raises KeyError if it is not in hand.
        """
        _, hand = self._find(n)
        way = (hand.look.conn, hand.look.leg)
        behind = [chain.hand.n for chain in self._queues.get(way, ()) if chain.hand is not None]
        held = [stop for stop in self._stops(way) if stop > n]
        if not held or (behind and min(behind) < min(held)):  # else the next one is held already
            self._stepping.add(hand.look.conn)
        self.let_go(n)

    def drop(self, n: int) -> None:
        """Have the PDU that came as event `n` go nowhere. Raises KeyError if it is not in hand."""
        chain, hand = self._find(n)
        built = build_act(_DROP, "both")
        built.run(built, self._work("drop", chain, hand))
        chain.stand()
        self._stop(chain)
        chain.cut_short("it was dropped by hand")

    def resume(self, conns: frozenset[int] | None = None) -> int:
        """End the stalls of some connections, or of all; say how many."""
        ended = 0
        for chain in list(self._waiting):
            if chain.pausing is None or not chain.pausing[0].silences:
                continue
            if conns is None or chain.conn in conns or (not chain.conn and not conns.isdisjoint(chain.scope())):
                ended += 1
                self.proceed(chain, "met")
        return ended

    # --- inside ------------------------------------------------------------------------------------------------------

    def _in_hand(self) -> list[tuple[Chain, Hand]]:
        return [
            (chain, chain.hand)
            for chain in self._waiting
            if chain.hand is not None and not (chain.hand.gone or chain.hand.dropped)
        ]

    def _find(self, n: int) -> tuple[Chain, Hand]:
        for chain, hand in self._in_hand():
            if hand.n == n:
                return chain, hand
        raise KeyError(n)

    def _work(self, what: str, chain: Chain, hand: Hand) -> Work:
        rule = _Rule(f"{BY_HAND}/{what}", Book())
        return Work(self, chain, rule, hand.look.within(rule.captures), hand)


def _by_hand(chain: Chain, hand: Hand) -> bool:
    """Tell whether a PDU is held until somebody lets it go, and what is behind it too."""
    return chain.pausing is not None and chain.pausing[0].by_hand and not hand.aside


def _is_behind(hand: Hand, other: Hand) -> bool:
    """Tell whether one PDU waits for another to go first."""
    way = (other.look.conn, other.look.leg)
    return not (hand.aside or other.aside) and (hand.look.conn, hand.look.leg) == way and hand.n > other.n


def _holding(hand: Hand, pause: Pause, work: Work, since: float, behind: int) -> Holding:
    return Holding(
        n=hand.n,
        at=hand.look.at,
        since=since,
        conn=hand.look.conn,
        leg=hand.look.leg,
        rule=work.rule.name,
        until=" or ".join(path.moment.text for path in pause.until) or "its answer",
        pdu=hand.outgoing(),
        changes=tuple(hand.changes),
        behind=behind,
    )
