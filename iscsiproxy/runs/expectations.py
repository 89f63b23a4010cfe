"""Decides what a scenario expects of its victim, from the journal and nothing else.

A `Watch` is given every record of a run in order: live ones while it happens, or those of a file afterwards. It says
the same of both: time is that of the events, and what closes a window behind a barrier is the `Pinged` in the journal.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from iscsiproxy.engine.facts import Captured, Look, Rng
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.negotiation import NEGOTIATE
from iscsiproxy.journal import Lost, Record
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.evidence import DIGITS, Scene, evidence_of
from iscsiproxy.runs.troubles import Troubles
from iscsiproxy.runs.verdicts import Evidence, Result
from iscsiproxy.runs.windows import Ended, Window
from iscsiproxy.session.events import Bound, Closed, Decided, Delivered, Event, Fired, Noted, Pinged, Staged
from iscsiproxy.wire.opcodes import End

__all__ = ["BarrierWanted", "Watch", "judge"]

#: Acts that reach the wire without a PDU that is delivered with the name of their rule.
_AT_ONCE = frozenset({"answer", "drop", "close", "stall", "throttle", "refuse"})
#: Acts that never do.
_SILENT = frozenset({"arm", "disarm", "goto", "note", "pass"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierWanted:
    """A barrier that is to be sent now, for what it closes to be decided.

    `end` has to answer it, on the connection `conn` (0: on any that lives, or the next one). `text` is to stand in its
    `Pinged` events: by that it is known again. `expectations` are the indexes, from 0, of those that wait for it.
    """

    end: End
    conn: int
    text: str
    expectations: tuple[int, ...]


@dataclass(slots=True, eq=False)
class _Ask:
    """Somebody waits for a barrier that is sent behind the event `n`."""

    index: int
    end: End
    conn: int
    n: int
    ended: Callable[[Ended, float], None]

    @property
    def text(self) -> str:
        return f"expectation {self.index + 1}"


class Watch:
    """Follows the expectations of one scenario.

    Call `take` with every record, from the first of the run; behind each call, send what `wanted` says, and call `tick`
    when `due` has come. Seconds are those of the events, since the run began. A `Staged` event of `steady` holds
    everything back until `fault`; one of `aftermath` is the end, as `finish` is. `seed` is that of the run.
    """

    def __init__(self, scenario: Scenario, *, seed: int = 0) -> None:
        self.rng: Rng = Random(seed)
        self.faulted = False
        self._scenario = scenario
        self._scene = Scene(scenario.victim, self.rng)
        self._troubles = Troubles(scenario)
        self._ends = tuple(end for end in End if scenario.victim in ("both", end.value))
        self._connections = frozenset(
            name for act in scenario.actor if act.name == "login" and isinstance(name := act.params.get("as"), str)
        )
        self._negotiate = f"{scenario.name}/{NEGOTIATE}"
        rules = (*scenario.rules, *(rule for one in scenario.machines for state in one.states for rule in state.rules))
        self._acts = any(act.name not in _SILENT for rule in rules for act in rule.do)
        self._windows: list[Window] = []
        self._begun = self._steady = self._over = False
        self._now = 0.0
        self._n = 0
        self._record: Record | None = None  #: what is being looked at; None for a timer
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._set = 0
        self._asks: list[_Ask] = []  #: that wait
        self._fresh: list[_Ask] = []  #: that nobody has been asked for yet
        self._barriers: dict[int, tuple[int, str]] = {}  #: behind which event each was sent, and what for
        self._pending: list[tuple[Matcher, Look]] = []
        self._prepare()

    def __repr__(self) -> str:
        done = sum(window.result is not None for window in self._windows)
        return f"<Watch {self._scenario.name}, {done} of {len(self._windows)} decided>"

    def _prepare(self) -> None:
        scenario = self._scenario
        self._windows = [
            Window(self, index, expectation, scenario.victim, scenario.timing)
            for index, expectation in enumerate(scenario.expect)
        ]
        self._begun = self.faulted = False
        self._timers.clear()
        self._asks.clear()
        self._fresh.clear()

    # --- what happens ------------------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Take note of the next record."""
        entry = record.entry
        if isinstance(entry, Lost):
            self._lose(entry)
        elif isinstance(entry, Event):
            self._take(entry, record)

    def _take(self, event: Event, record: Record) -> None:
        at = round(event.at, DIGITS)
        self._troubles.take(event)
        if (isinstance(event, Staged) and self._stage(event)) or self._over or self.decided:
            return
        if not (self._begun or self._steady):
            self._begin(at)
        self.tick(at)
        self._n, self._record = event.n, record
        looks = self._scene.looks(event, at)
        if self._begun:
            self._happened(event, looks)
        elif isinstance(event, Bound):
            self._bound(event)
        self._scene.pass_on(event)

    def _happened(self, event: Event, looks: tuple[Look, ...]) -> None:
        if looks:
            for window in self._windows:
                window.look(looks, self._now)
            self._settle()
        match event:
            case Bound():
                self._bound(event)
                self._recheck()
            case Pinged():
                self._pinged(event)
            case Decided(what="released") if self._ours(event.rule):
                for window in self._windows:
                    window.released(self._now)
            case Closed() if self._scene.ended_by_victim(event):
                others = bool(self._scene.living.keys() - {event.conn})
                for window in self._windows:
                    if window.conn == event.conn or not (window.conn or others):
                        window.gone(self._now)
            case _:
                pass
        if not self.faulted and self._reaches(event):
            self.faulted = True
            self._recheck()

    def _stage(self, event: Staged) -> bool:
        """Take note of a stage; tell whether that is all there is to it."""
        if event.stage == "steady":
            self._steady = True
            self._prepare()
        elif event.stage == "fault":
            self._steady = False
            self._scene.recount()
        elif not self._over:
            self.finish(event.at)
        return event.stage != "fault"

    def tick(self, now: float) -> None:
        """Take note that it is `now`: windows may close by time."""
        now = max(round(now, DIGITS), self._now)
        while self._timers and self._timers[0][0] <= now:
            at, _, call = heapq.heappop(self._timers)
            self._now = at
            self._record = None
            call(at)
        self._now = now

    def due(self) -> float | None:
        """Give the next time at which `tick` has something to do; None when only events can bring anything."""
        return self._timers[0][0] if self._timers and not self.decided else None

    def wanted(self) -> tuple[BarrierWanted, ...]:
        """Give the barriers that are to be sent now; each is asked for once. One may serve several expectations."""
        fresh, self._fresh = self._fresh, []
        together: dict[tuple[End, int], list[_Ask]] = {}
        for ask in fresh:
            if ask in self._asks and self._windows[ask.index].result is None:
                together.setdefault((ask.end, ask.conn), []).append(ask)
        return tuple(
            BarrierWanted(
                end=end,
                conn=conn,
                text=", ".join(dict.fromkeys(ask.text for ask in asks)),
                expectations=tuple(dict.fromkeys(ask.index for ask in asks)),
            )
            for (end, conn), asks in together.items()
        )

    def finish(self, now: float) -> None:
        """End it: what is still open is inconclusive. Idempotent."""
        if self._over:
            return
        self.tick(now)
        self._over = True
        for window in self._windows:
            window.finish(self._now)

    # --- what came of it ---------------------------------------------------------------------------------------------

    @property
    def decided(self) -> bool:
        """Whether nothing that comes can change an expectation any more; so it is when there is none."""
        return all(window.result is not None for window in self._windows)

    def results(self) -> tuple[Result, ...]:
        """Give the expectations' results in the order of the file, as far as they are decided; then each hang."""
        decided = tuple(window.result for window in self._windows if window.result is not None)
        return (*decided, *self._troubles.hangs())

    def troubles(self, unfired: Iterable[str] | None = None) -> tuple[Result, ...]:
        """Give what else speaks against the run: acts that failed, rules that never fired, keys that did not settle.

        `unfired` names the rules, as `scenario/rule`, that had to fire and did not; None: as the journal tells it.
        """
        return self._troubles.results(unfired)

    # --- what windows ask (Court) ------------------------------------------------------------------------------------

    @property
    def event(self) -> Evidence:
        """The event that is being looked at; when it is time, that."""
        if self._record is not None and isinstance(event := self._record.entry, Event):
            return evidence_of(event, self._record)
        return Evidence(n=0, at=self._now, conn=0, leg=None, text="the time has come")

    @property
    def captures(self) -> Mapping[str, Captured]:
        """The captures by name."""
        return self._scene.book

    def after(self, seconds: float, call: Callable[[float], None]) -> None:
        """Call `call` in so many seconds."""
        self._set += 1
        heapq.heappush(self._timers, (round(self._now + seconds, DIGITS), self._set, call))

    def ping(self, index: int, conn: int, ended: Callable[[Ended, float], None]) -> None:
        """Have a barrier sent to the victim for an expectation, and tell how it ended; of both ends, when both have."""
        living = self._scene.living
        where = conn if conn in living else next(reversed(living), 0) if not conn else 0
        left = len(self._ends)

        def one(how: Ended, now: float) -> None:
            nonlocal left
            left -= 1
            if how != "passed" or not left:
                ended(how, now)

        asks = [_Ask(index, end, where, self._n, one) for end in self._ends]
        self._asks += asks
        self._fresh += asks

    def bind(self, matcher: Matcher, look: Look) -> None:
        """Bind what a pattern captures, behind this event."""
        if matcher.pattern.capture is not None:
            self._pending.append((matcher, look))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        self._begun = True
        self._now = max(self._now, now)
        for window in self._windows:
            window.begin(self._now)

    def _settle(self) -> None:
        while self._pending:
            pending, self._pending = self._pending, []
            for matcher, look in pending:
                if (capture := matcher.pattern.capture) is not None:
                    self._scene.capture(capture.name, look, each=capture.each)
            self._recheck()

    def _recheck(self) -> None:
        for window in self._windows:
            window.recheck(self._now)

    def _bound(self, event: Bound) -> None:
        if not self._ours(event.rule):
            return
        if not self._scene.bind(event, connection=event.name in self._connections):
            for window in self._windows:
                window.lose(f"{event.name} was bound to #{event.of}, which is not known")

    def _pinged(self, event: Pinged) -> None:
        if event.what == "sent":
            self._barriers[event.barrier] = (event.n, event.text)
        if event.what in ("sent", "answered"):
            return
        sent, text = self._barriers.pop(event.barrier, (event.n, event.text))
        how: Ended = "passed" if event.what == "passed" else "hung" if event.what == "hung" else "closed"
        if how == "closed" and self._scene.who_ended(event.conn) in ("", "other"):
            how = "cut"
        for ask in [ask for ask in self._asks if ask.end is event.end and ask.n < sent]:
            mine = ask.text in (text or event.text).split(", ")
            # Any barrier proves it that was sent behind the event; that another one failed proves nothing.
            if mine or (how == "passed" and ask.conn in (0, event.conn)):
                self._asks.remove(ask)
                ask.ended(how, self._now)
        self._settle()

    def _reaches(self, event: Event) -> bool:
        """Tell whether an event is an act of the scenario that reaches the wire.

        What is told in login is no act. When that is all, or a driven initiator does what is wrong, it is the first
        thing that a rule, or a step of that initiator, has waited for.
        """
        match event:
            case Delivered():
                return any(self._ours(rule) and rule != self._negotiate for rule in event.rules)
            case Fired():
                return event.act in _AT_ONCE and self._ours(event.rule)
            case Bound():
                return not self._acts and self._ours(event.rule) and event.name not in self._connections
            case Noted():
                return not self._acts and self._ours(event.rule) and event.rule != self._negotiate
            case _:
                return False

    def _ours(self, rule: str) -> bool:
        return rule.partition("/")[0] == self._scenario.name

    def _lose(self, lost: Lost) -> None:
        self._scene.lost()
        if not self._over:
            self._troubles.lost(lost.count, needed=not self.decided or not self._windows)
            for window in self._windows:
                window.lose(f"{lost.count} events are missing in the journal")


def judge(scenario: Scenario, records: Iterable[Record], *, seed: int = 0) -> tuple[Result, ...]:
    """Give all results of a journal: expectations, hangs and troubles."""
    watch = Watch(scenario, seed=seed)
    now = 0.0
    for record in records:
        watch.take(record)
        if isinstance(record.entry, Event):
            now = record.entry.at
    watch.finish(now)
    return (*watch.results(), *watch.troubles())
