"""Moments followed step by step.

A `Course` follows one moment in one scope. It is told of everything that is looked at, of timers, captures and the
first fault, and says when the last step is met. A last step that is a pattern is met again by every further match.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from typing import Literal

from iscsiproxy.engine.facts import Captured, Look, Rng
from iscsiproxy.engine.match import Matcher, scope_of
from iscsiproxy.language.spec import Barrier, Bound, FaultReached, Moment, Pattern, Per, Released, Wait

__all__ = ["Clock", "Course", "Path", "Ping", "paths"]

#: Sets a timer: seconds from now, and what to call then.
Clock = Callable[[float, Callable[[float], None]], None]
#: Sends a barrier on a connection (0: on all there are), and what to call when it has passed.
Ping = Callable[[int, Callable[[float], None]], None]


class Path:
    """One moment, compiled: its steps with their matchers, shared by the courses of all scopes."""

    def __init__(self, moment: Moment, victim: Literal["initiator", "target", "both"]) -> None:
        self.moment = moment
        self.steps: tuple[Matcher | Wait | Bound | FaultReached | Barrier | Released, ...] = tuple(
            Matcher(step, victim) if isinstance(step, Pattern) else step for step in moment.steps
        )
        self.matchers = tuple(step for step in self.steps if isinstance(step, Matcher))

    def __repr__(self) -> str:
        return f"<Path {self.moment.text}>"

    @property
    def per(self) -> Per:
        """The scope in which the sequence is followed: that of its last pattern."""
        last = self.matchers[-1].pattern.picks.per if len(self.steps) > 1 and self.matchers else "run"
        return "run" if last == "task" else last

    @property
    def by_hand(self) -> bool:
        """Whether somebody has to let something go for it."""
        return any(isinstance(step, Released) for step in self.steps)

    def anew(self) -> Path:
        """Give the same moment with counts of its own."""
        other = copy(self)
        other.steps = tuple(step.anew() if isinstance(step, Matcher) else step for step in self.steps)
        other.matchers = tuple(step for step in other.steps if isinstance(step, Matcher))
        return other

    def scope(self, look: Look) -> Hashable:
        """Name the scope in which what is looked at counts."""
        return scope_of(self.per, look)


class Course:
    """How far one moment has come.

    `met(now)` is called when the last step is met with nothing to look at: by time, by a capture, by the first fault.
    """

    def __init__(
        self,
        path: Path,
        *,
        captures: Mapping[str, Captured],
        rng: Rng,
        clock: Clock,
        faulted: Callable[[], bool],
        bind: Callable[[Matcher, Look], None],
        met: Callable[[float], None],
        barrier: Ping | None = None,
        conn: int = 0,
    ) -> None:
        self._path = path
        self.captures = captures
        self._rng = rng
        self._clock = clock
        self._faulted = faulted
        self._bind = bind
        self._met = met
        self._barrier = barrier
        self._conn = conn  #: where the last thing was seen
        self._at = 0
        self._matcher: Matcher | None = None  #: the step that is waited for, if it is a pattern
        self.over = False

    def __repr__(self) -> str:
        return f"<Course {self._path.moment.text!r} at step {self._at}{' over' if self.over else ''}>"

    def begin(self, now: float) -> None:
        """Come into force."""
        self._enter(now)

    def look(self, look: Look) -> Look | None:
        """Look at a PDU or an event; give it back if it met the last step (`met` is then not called)."""
        step = self._matcher
        if step is None or not step.test(look) or self.over or not step.take(look):
            return None
        self._conn = look.conn
        self._bind(step, look)
        if self._at == len(self._path.steps) - 1:
            return look
        self._advance(look.at)
        return None

    def recheck(self, now: float) -> None:
        """See whether a capture, or the first fault, meets the step that is waited for."""
        if not self.over and self._state_met():
            self._advance(now)

    def released(self, now: float) -> None:
        """Take note that somebody has let go by hand what this is about."""
        if not self.over and isinstance(self._path.steps[self._at], Released):
            self._advance(now)

    def _state_met(self) -> bool:
        step = self._path.steps[self._at]
        if isinstance(step, Bound):
            return step.name in self.captures
        return isinstance(step, FaultReached) and self._faulted()

    def _advance(self, now: float) -> None:
        if self._at == len(self._path.steps) - 1:
            self.over = True
            self._met(now)
            return
        self._at += 1
        self._enter(now)

    def _enter(self, now: float) -> None:
        step = self._path.steps[self._at]
        self._matcher = step if isinstance(step, Matcher) else None
        if isinstance(step, Wait):
            seconds = step.low if step.low == step.high else self._rng.uniform(step.low, step.high)
            self._clock(seconds, self._on_from(self._at))
        elif isinstance(step, Barrier):
            if self._barrier is not None:
                self._barrier(self._conn, self._on_from(self._at))
        elif self._state_met():
            self._advance(now)

    def _on_from(self, here: int) -> Callable[[float], None]:
        """Give what advances the course from a step, if it is still there by then."""

        def due(now: float) -> None:
            if not self.over and self._at == here:
                self._advance(now)

        return due


def paths(moments: Sequence[Moment], victim: Literal["initiator", "target", "both"]) -> tuple[Path, ...]:
    """Compile a list of moments."""
    return tuple(Path(moment, victim) for moment in moments)
