"""What is done by hand, written down: what was typed at a console becomes a scenario file that runs without one.

A line with a moment is a rule as it stands. What was done at once is done at the same time behind the login. What was
held by hand is held as long as it was, and then changed, dropped or let go as it was then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from iscsiproxy.api.models import Saving, ScenarioText
from iscsiproxy.api.server.armoury import Origin
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.engine.byhand import Holding
from iscsiproxy.engine.rules import ActiveRule

__all__ = ["Recorder"]


@dataclass(slots=True)
class _Entry:
    """One thing that was done, `at` so many seconds behind the begin of the recording."""

    at: float
    line: str
    handled: list[str] = field(default_factory=list)


class Recorder:
    """What was done since recording began; `now` tells the time of the run."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun: float | None = None
        self._entries: list[_Entry] = []
        self.on = False

    def __repr__(self) -> str:
        return f"<Recorder {'on' if self.on else 'off'}, {len(self._entries)} entries>"

    def switch(self, on: bool) -> None:
        """Begin from nothing, or end it."""

    def lines(self) -> tuple[str, ...]:
        """Say what was recorded, a line each."""
        return ()

    def armed(self, origin: Origin) -> None:
        """Take note of what was armed, or done at once."""

    def did(self, line: str) -> None:
        """Take note of an act that was done at once."""

    def stalled(self, conn: int, end: str) -> None:
        """Take note of a stall."""

    def resumed(self, conn: int) -> None:
        """Take note of the end of a stall."""

    def edited(self, one: Holding, acts: str) -> None:
        """Take note of what was done to a PDU in hand."""

    def let_go(self, one: Holding, *, dropped: bool = False) -> None:
        """Take note of what became of a PDU in hand."""

    def cleared(self) -> None:
        """Take note that everything was cleared."""

    def save(
        self,
        name: str,
        saving: Saving,
        *,
        rules: Sequence[ActiveRule],
        origins: Callable[[str], Origin | None],
    ) -> ScenarioText:
        """Write a scenario file. Raises Refusal if there is nothing to write."""
        raise Refusal(409, "there is nothing to save")
