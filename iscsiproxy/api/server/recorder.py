"""What is done by hand, written down: what was typed at a console becomes a scenario file that runs without one.

A line with a moment is a rule as it stands. What was done at once is done at the same time behind the login. What was
held by hand is held as long as it was, and then changed, dropped or let go as it was then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from iscsiproxy.api.models import Saving, ScenarioText
from iscsiproxy.api.server.armoury import Origin
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.engine import SPECS
from iscsiproxy.engine.byhand import Holding
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.errors import FileError
from iscsiproxy.language.line import read_line
from iscsiproxy.language.rendering import moments_text
from iscsiproxy.language.scenario_text import FiledRule, scenario_text
from iscsiproxy.language.spec import Moment, Pattern, Picks, Released, Rule, Scenario
from iscsiproxy.session.events import Decided, Event

__all__ = ["Recorder"]

#: What the time of an act counts from, in a file: the moment at which there is somebody to do it to.
_BEGIN = "full-feature nth 1"
#: How much more time rules have to fire than what was held by hand took, in seconds
_ROOM = 10.0
#: How long a stall lasts that nobody has ended
_STALL = 60.0
#: The most commands that a file has its initiator keep in flight
_DEEPEST = 32
_ABOUT = "Recorded from what was done by hand."


@dataclass(slots=True)
class _Handled:
    """What was done to one PDU that was held: the `nth` that a rule has held."""

    nth: int
    acts: list[str] = field(default_factory=list)
    seconds: float | None = None  #: how long it was held
    dropped: bool = False


@dataclass(slots=True)
class _Entry:
    """One thing that was done, `at` so many seconds behind the begin of the recording."""

    at: float
    line: str  #: as it was typed
    origin: Origin | None = None
    conn: int = 0  #: of a stall
    until: float | None = None
    handled: dict[int, _Handled] = field(default_factory=dict)


class Recorder:
    """What was done since recording began; `now` tells the time of the run, `busy` how many tasks are open.

    It is a sink of the run too: so it knows which of all the PDUs that a rule has held one is.
    """

    def __init__(self, now: Callable[[], float], busy: Callable[[], int]) -> None:
        self._now = now
        self._busy = busy
        self._depth = 1
        self._begun = 0.0
        self._entries: list[_Entry] = []
        self._held: dict[str, list[int]] = {}  #: the events of what rules have held, by rule
        self.on = False

    def __repr__(self) -> str:
        return f"<Recorder {'on' if self.on else 'off'}, {len(self._entries)} entries>"

    def switch(self, on: bool) -> None:
        """Begin from nothing, or end it; what was recorded stays until the next begin."""
        if on and not self.on:
            self._entries, self._held, self._begun, self._depth = [], {}, self._now(), 1
        self.on = on

    def lines(self) -> tuple[str, ...]:
        """Say what was recorded, a line each."""
        return tuple(f"{entry.at:.1f}s  {line}" for entry in self._entries for line in _shown(entry))

    def __call__(self, event: Event) -> None:
        """Take note of an event: what is held."""
        if self.on and isinstance(event, Decided) and event.what == "held" and event.of is not None:
            self._held.setdefault(event.rule, []).append(event.of)

    # --- what is done ------------------------------------------------------------------------------------------------

    def armed(self, origin: Origin) -> None:
        """Take note of what was armed, or done at once."""
        shown = origin.line.text if origin.line is not None else f"arm {origin.scenario.name}"
        self._note(_Entry(self._at, shown, origin=origin))

    def did(self, line: str) -> None:
        """Take note of an act that was done at once."""
        self._note(_Entry(self._at, line))

    def stalled(self, conn: int, end: str) -> None:
        """Take note of a stall."""
        self._note(_Entry(self._at, f"stall end={end}", conn=conn))

    def resumed(self, conn: int) -> None:
        """Take note of the end of a stall."""
        for entry in self._entries if self.on else ():
            if entry.conn == conn and entry.until is None:
                entry.until = self._at

    def edited(self, one: Holding, acts: str) -> None:
        """Take note of what was done to a PDU in hand."""
        if (handled := self._handled(one)) is not None:
            handled.acts.append(acts)

    def let_go(self, one: Holding, *, dropped: bool = False) -> None:
        """Take note of what became of a PDU in hand."""
        if (handled := self._handled(one)) is not None:
            handled.seconds, handled.dropped = self._now() - one.since, dropped

    def _handled(self, one: Holding) -> _Handled | None:
        scenario = one.rule.partition("/")[0]
        self._look()
        for entry in self._entries if self.on else ():
            if entry.origin is not None and entry.origin.scenario.name == scenario:
                nth = sum(n <= one.n for n in self._held.get(one.rule, ()))
                return entry.handled.setdefault(one.n, _Handled(max(1, nth)))
        return None

    def _note(self, entry: _Entry) -> None:
        if self.on:
            self._look()
            self._entries.append(entry)

    def _look(self) -> None:
        """Take note of how much the initiator has in flight: with less, a file might never come so far."""
        self._depth = max(self._depth, min(self._busy(), _DEEPEST))

    @property
    def _at(self) -> float:
        return self._now() - self._begun

    # --- what becomes of it ------------------------------------------------------------------------------------------

    def save(
        self, name: str, saving: Saving, *, rules: Sequence[ActiveRule], origins: Callable[[str], Origin | None]
    ) -> ScenarioText:
        """Write a scenario file. Raises Refusal if there is nothing to write, or it cannot be written."""
        recorded = saving.what == "recorded" or (saving.what is None and bool(self._entries))
        filed = list(self._recorded() if recorded else _armed(rules, origins))
        if not filed:
            what = "nothing was recorded" if recorded else "no rule is armed"
            raise Refusal(
                409, f"{what} that a file could say", hint="`record on` begins to record" if recorded else None
            )
        try:
            text = scenario_text(
                name,
                filed,
                acts=SPECS,
                about=_ABOUT if recorded else "",
                traffic={"io": "verify", "depth": str(self._depth)} if recorded and self._depth > 1 else {},
                timing=self._timing() if recorded else {},
            )
        except FileError as error:
            raise Refusal(409, f"no file can be made of it: {error.message}", hint=error.hint) from None
        return ScenarioText(name=name, text=text)

    def _recorded(self) -> Iterator[FiledRule]:
        for entry in self._entries:
            if entry.origin is None:
                yield _at_once(f"{entry.line}{_stalled(entry)}", entry.at)
            elif entry.origin.line is None:
                for number, rule in enumerate(entry.origin.scenario.rules):
                    yield FiledRule(rule=rule, comment="" if number else _source(entry.origin.scenario))
            elif entry.origin.once:
                yield _at_once(entry.line, entry.at)
            elif _by_hand(entry.origin.scenario.rules[0]):
                yield from _held(entry)
            else:
                yield FiledRule(rule=entry.origin.line)

    def _timing(self) -> dict[str, str]:
        """Give the rules time for as long as PDUs were held, and stalls lasted."""
        took = sum(one.seconds or 0 for entry in self._entries for one in entry.handled.values())
        took += sum((entry.until or entry.at + _STALL) - entry.at for entry in self._entries if entry.conn)
        return {"within": f"{round(took + _ROOM)}s"} if took > 1 else {}


def _source(scenario: Scenario) -> str:
    """Say where rules came from, and what else is there that a file of rules alone cannot say."""
    parts = {"negotiate": scenario.negotiate, "machines": scenario.machines, "expect": scenario.expect}
    without = [name for name, part in parts.items() if part]
    rest = f", without its {', '.join(without)}" if without else ""
    return f"From {scenario.name}{rest}."


def _shown(entry: _Entry) -> Iterator[str]:
    yield entry.line
    for one in entry.handled.values():
        acts = "; ".join((*one.acts, *(["drop"] if one.dropped else [])))
        held = "is held" if one.seconds is None else f"was held {one.seconds:.1f} s"
        yield f"  #{one.nth} {held}{f': {acts}' if acts else ''}"


def _by_hand(rule: Rule) -> bool:
    """Tell whether a rule holds PDUs until somebody lets them go."""
    until = rule.do[0].params.get("until") if rule.do else None
    return isinstance(until, tuple) and any(
        isinstance(one, Moment) and any(isinstance(step, Released) for step in one.steps) for one in until
    )


def _stalled(entry: _Entry) -> str:
    if not entry.conn:
        return ""
    return f" until={_duration((entry.until or entry.at + _STALL) - entry.at)}"


def _at_once(acts: str, at: float) -> FiledRule:
    return FiledRule(rule=read_line(f"{acts} when {_BEGIN} then {_duration(at)}", acts=SPECS))


def _held(entry: _Entry) -> Iterator[FiledRule]:
    """Write a rule for each PDU that was held, and what was done to it."""
    assert entry.origin is not None
    (rule,) = entry.origin.scenario.rules
    behind = [act.text for act in rule.do[1:]]
    done = [one for one in entry.handled.values() if one.seconds is not None]
    for one in done:
        overtake = " overtake=yes" if rule.do[0].params.get("overtake") else ""
        acts = [f"delay {_duration(one.seconds or 0)}{overtake}", *one.acts, *(["drop"] if one.dropped else behind)]
        line = f"{'; '.join(acts)} when {_which(rule, one.nth)}"
        yield FiledRule(rule=read_line(line, acts=SPECS), comment=entry.line if one is done[0] else "")


def _which(rule: Rule, nth: int) -> str:
    """Say of which PDU a rule speaks, when it was the `nth` that it held."""
    text = moments_text(rule.when)
    last = rule.when[0].steps[-1]
    if len(rule.when) > 1 or not isinstance(last, Pattern) or last.picks != Picks(per=last.picks.per):
        return text  # it picks for itself
    if last.capture is None:
        return f"{text} nth {nth}"
    head, _, tail = text.rpartition(" as ")
    return f"{head} nth {nth} as {tail}"


def _armed(rules: Iterable[ActiveRule], origins: Callable[[str], Origin | None]) -> Iterator[FiledRule]:
    for rule in rules:
        origin = origins(rule.scenario)
        if origin is not None and (origin.once or not rule.armed_now):
            continue
        if origin is not None and origin.line is not None:
            yield FiledRule(rule=origin.line)
        else:
            yield FiledRule(rule=rule.rule)


def _duration(seconds: float) -> str:
    return f"{max(0.001, round(seconds, 3)):g}s" if seconds >= 1 else f"{max(1, round(seconds * 1000))}ms"
