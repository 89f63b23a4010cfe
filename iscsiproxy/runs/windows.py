"""One expectation and its window: from the moment that opens it to the one that closes it.

Neither the event that opens a window nor the one that closes it (`until`) is inside. A window that closes on time, at
`until`, behind a barrier or with the connection that the victim ended decides by what was in it; one that is cut off
decides nothing. Silence proves nothing while records are missing, or while a name that the pattern needs is not bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol

from iscsiproxy.engine.facts import Captured, Look, Rng
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.moments import Course
from iscsiproxy.language.spec import Expectation, Moment, Outcome, Timing, Verdict
from iscsiproxy.runs.evidence import evidence_of_name
from iscsiproxy.runs.verdicts import Evidence, Result
from iscsiproxy.runs.witness import LASTING, Way, Witness, names_of, ways

__all__ = ["Court", "Ended", "Window", "text_of"]

Victim = Literal["initiator", "target", "both"]
#: How a barrier ended: it has passed, its connection was closed (by whom decides what that means), or nobody answered.
Ended = Literal["passed", "closed", "cut", "hung"]

#: Heads that close at a barrier when nothing else is said; the others close after `timing.within`.
_SILENT: Final = frozenset({"never", "exactly", "at_most"})
#: How many events a result names.
_SHOWN = 8


class Court(Protocol):
    """What a window needs of the run."""

    @property
    def captures(self) -> Mapping[str, Captured]:
        """The captures by name."""

    @property
    def rng(self) -> Rng:
        """What draws ranges and chances."""

    @property
    def event(self) -> Evidence:
        """The event that is being looked at, or was last."""

    @property
    def faulted(self) -> bool:
        """Whether an act of the scenario has reached the wire."""

    def after(self, seconds: float, call: Callable[[float], None]) -> None:
        """Call `call` in so many seconds."""

    def ping(self, index: int, conn: int, ended: Callable[[Ended, float], None]) -> None:
        """Have a barrier sent to the victim for the expectation `index`, and tell how it ended."""

    def bind(self, matcher: Matcher, look: Look) -> None:
        """Bind what a pattern captures, behind this event."""


class Window:
    """One expectation at work; `result` is None until it is decided."""

    def __init__(self, court: Court, index: int, expectation: Expectation, victim: Victim, timing: Timing) -> None:
        self.index = index
        self.expectation = expectation
        self.result: Result | None = None
        self.state: Literal["waiting", "open", "decided"] = "waiting"
        #: The connection on which it opened; 0 for none in particular
        self.conn = 0
        self._court = court
        self._victim = victim
        self._timing = timing
        self._outcomes = tuple(
            (outcome, Witness(outcome.pattern, victim))
            for outcome in expectation.outcomes
            if outcome.pattern is not None
        )
        self._pattern = None if expectation.pattern is None else Witness(expectation.pattern, victim)
        self._followers: tuple[Course, ...] = ()
        self._count = 0
        self._found: list[Evidence] = []
        self._opened: Evidence | None = None
        self._gap = ""  #: why silence proves nothing
        patterns = [witness for _, witness in self._outcomes] + ([] if self._pattern is None else [self._pattern])
        self._lasting = any(witness.events & LASTING for witness in patterns)

    def __repr__(self) -> str:
        return f"<Window {self.index} {self.state} {text_of(self.expectation)}>"

    # --- what happens ------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Wait for the moment that opens it."""
        self._follow(ways(self.expectation.after, self._victim), self._open, now)

    def look(self, looks: Sequence[Look], now: float) -> None:
        """Look at one event."""
        before = self.state
        try:
            met = any(follower.look(look) is not None for follower in self._followers for look in looks)
            if met and before == "waiting":
                self._open(now)
            elif met:
                self._close(now, self._ended())
            elif before == self.state == "open":  # what has just opened it is not inside
                self._judge(looks)
        except Exception as error:  # noqa: BLE001 - reported, and the run is no pass
            self._decide("inconclusive", f"the judgement broke: {error!r}", evidence=[self._court.event])

    def recheck(self, now: float) -> None:
        """See whether a capture, or the first fault, opens or closes it."""
        for follower in self._followers:
            follower.recheck(now)

    def released(self, now: float) -> None:
        """Take note that somebody has let a PDU go by hand."""
        for follower in self._followers:
            follower.released(now)

    def gone(self, now: float) -> None:
        """Take note that the victim has ended the connection that the window is about."""
        if self.state == "open" and not self._lasting:
            self._close(now, "the victim has ended the connection", [self._court.event])

    def lose(self, why: str) -> None:
        """Take note that something was not seen: from here on, what does not come proves nothing."""
        self._gap = self._gap or why

    def finish(self, now: float) -> None:
        """End it undecided."""
        if self.state == "waiting":
            moments = " or ".join(moment.text for moment in self.expectation.after)
            self._decide("inconclusive", f"the window never opened: {moments} did not come")
        elif self.state == "open":
            self._decide("inconclusive", f"the run was over at {now:.3f} s, before the window closed")

    # --- the window --------------------------------------------------------------------------------------------------

    def _open(self, now: float) -> None:
        if self.state != "waiting":
            return
        for follower in self._followers:
            follower.over = True
        court, expectation = self._court, self.expectation
        self.state, self._opened, self.conn = "open", court.event, court.event.conn
        self._follow(ways(expectation.until, self._victim), self._until, now)
        within = expectation.within
        silent = expectation.head in _SILENT
        if within is None and not expectation.until and not silent:
            within = self._timing.within
        if within is not None:
            seconds = within
            court.after(seconds, lambda now: self._close(now, f"{seconds:g} s have passed"))
        elif not expectation.until:
            court.ping(self.index, self.conn, self._barrier)

    def _until(self, now: float) -> None:
        self._close(now, self._ended())

    def _barrier(self, how: Ended, now: float) -> None:
        if how == "passed":
            self._close(now, "the victim has answered the barrier, and all was quiet", [self._court.event])
        elif how == "closed":
            self._close(now, "the connection ended before the barrier was answered", [self._court.event])
        elif self.state == "open":
            why = "nobody answered the barrier" if how == "hung" else "somebody else ended the connection"
            self._decide("inconclusive", f"{why}: silence proves nothing", evidence=[self._court.event])

    def _follow(self, moments: Iterable[Way], met: Callable[[float], None], now: float) -> None:
        court = self._court

        def ping(conn: int, passed: Callable[[float], None]) -> None:
            court.ping(self.index, conn, lambda how, now: passed(now) if how in ("passed", "closed") else None)

        self._followers = tuple(
            Course(
                way,
                captures=court.captures,
                rng=court.rng,
                clock=court.after,
                faulted=lambda: court.faulted,
                bind=court.bind,
                met=met,
                barrier=ping,
                conn=self.conn,
            )
            for way in moments
        )
        for follower in self._followers:
            follower.begin(now)

    # --- judging -----------------------------------------------------------------------------------------------------

    def _judge(self, looks: Sequence[Look]) -> None:
        head, limit = self.expectation.head, self.expectation.count
        for outcome, witness in self._outcomes:
            if self._matches(witness, looks):
                if self._gap:
                    self._decide("inconclusive", f"{self._gap}: something else may have come first")
                else:
                    self._decide(outcome.verdict, _line(outcome), note=outcome.note)
                return
        if self._pattern is None or not self._matches(self._pattern, looks):
            return
        self._count += 1
        if head == "never":
            self._miss("it came")
        elif head == "at_least":
            if self._count >= limit:
                self._decide("pass", f"{self._count} came")
        elif self._count > limit:
            self._miss(f"{self._count} came")

    def _matches(self, witness: Witness, looks: Sequence[Look]) -> bool:
        for look in looks:
            if witness.test(look):
                if not witness.take(look):
                    return False
                self._court.bind(witness, look)
                if len(self._found) < _SHOWN:
                    self._found.append(self._court.event)
                return True
        return False

    def _close(self, now: float, why: str, evidence: Sequence[Evidence] = ()) -> None:
        """Decide by what was in the window, now that nothing more counts."""
        if self.state != "open":
            return
        head, count, limit = self.expectation.head, self._count, self.expectation.count
        gap = self._gap or self._unbound()
        if gap:
            self._decide("inconclusive", f"{gap}: what did not come proves nothing", evidence=evidence)
        elif head == "first":
            nothing = next((one for one in self.expectation.outcomes if one.pattern is None), None)
            if nothing is None:
                self._decide("inconclusive", f"{why}, and no line says what `nothing` means", evidence=evidence)
            else:
                self._decide(nothing.verdict, f"nothing: {why}", note=nothing.note, evidence=evidence)
        elif head == "never" or head == "at_most" or (head == "exactly" and count == limit):
            self._decide("pass", f"{_came(count)}: {why}", evidence=evidence)
        else:
            self._miss(f"only {count} of {limit} came: {why}", evidence)

    def _unbound(self) -> str:
        """Name a capture without which nothing could ever match; empty if there is none."""
        patterns = [self._pattern] if self._pattern is not None else [witness for _, witness in self._outcomes]
        missing = [names_of(witness.pattern) - self._court.captures.keys() for witness in patterns]
        if not missing or not all(missing):
            return ""
        return f"{', '.join(sorted(frozenset().union(*missing)))} was never bound"

    def _miss(self, why: str, evidence: Sequence[Evidence] = ()) -> None:
        self._decide(self.expectation.otherwise, why, evidence=evidence)

    def _decide(self, verdict: Verdict, why: str, *, note: str = "", evidence: Sequence[Evidence] = ()) -> None:
        self.state = "decided"
        for follower in self._followers:
            follower.over = True
        opened = [] if self._opened is None else [self._opened]
        # What an act was done on stands there already.
        told = "".join(one.text for one in opened)
        named = [one for one in self._named() if f" on {one.text.partition(' is ')[2]}: " not in told]
        self.result = Result(
            verdict=verdict,
            kind="expectation",
            text=text_of(self.expectation),
            why=why,
            note=note or self.expectation.note,
            evidence=tuple(dict.fromkeys((*named, *opened, *self._found, *evidence))),
            position=self.expectation.position,
        )

    def _named(self) -> list[Evidence]:
        """Give what the patterns speak of, in the order in which it was bound."""
        patterns = [witness for _, witness in self._outcomes] + ([] if self._pattern is None else [self._pattern])
        captures = self._court.captures
        names = sorted(frozenset().union(*(names_of(witness.pattern) for witness in patterns)) & captures.keys())
        told = (evidence_of_name(name, captures[name]) for name in names)
        return sorted((one for one in told if one is not None), key=lambda one: one.n)

    def _ended(self) -> str:
        event = self._court.event
        return f"until {_texts(self.expectation.until)} came" + (f" with #{event.n}" if event.n else "")


def _line(outcome: Outcome) -> str:
    return f"{outcome.verdict}: {outcome.pattern.text if outcome.pattern is not None else 'nothing'}"


def _texts(moments: Iterable[Moment]) -> str:
    return " or ".join(moment.text for moment in moments)


def _came(count: int) -> str:
    return f"{count} came" if count else "none came"


def text_of(expectation: Expectation) -> str:
    """Write an expectation in one line, as it is in the file."""
    if expectation.head == "first":
        what = ", ".join(_line(outcome) for outcome in expectation.outcomes)
    else:
        count = f"{expectation.count} " if expectation.head != "never" else ""
        what = f"{count}{expectation.pattern.text if expectation.pattern is not None else ''}"
    after, until = _texts(expectation.after), _texts(expectation.until)
    rest = [f"after {after}"] if after != "fault" else []
    rest += [f"until {until}"] if until else []
    rest += [f"within {expectation.within:g} s"] if expectation.within is not None else []
    return f"{expectation.head}: {what}" + (f" ({', '.join(rest)})" if rest else "")
