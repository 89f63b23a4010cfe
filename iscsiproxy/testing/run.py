"""A block of a test with a scenario armed, and behind it what that came to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iscsiproxy.errors import UsageError
from iscsiproxy.testing.verdict import Verdict

if TYPE_CHECKING:
    from iscsiproxy.report.model import RunResult
    from iscsiproxy.testing.backstage import Backstage

__all__ = ["Run"]


class Run:
    """What goes on in a block with a scenario armed, and behind it what that came to."""

    def __init__(self, backstage: Backstage, name: str, folder: Path | None) -> None:
        self.name = name
        self.folder = folder  #: where its files are
        self._backstage = backstage
        self._verdict: Verdict | None = None

    def __repr__(self) -> str:
        return f"<Run {self.name}: {'not over' if self._verdict is None else self._verdict.word}>"

    @property
    def verdict(self) -> Verdict:
        """What it came to; there is one when the block is over, however that ended. Raises UsageError before."""
        if self._verdict is None:
            raise UsageError(f"{self.name} has no verdict yet: it is judged at the end of the block")
        return self._verdict

    @property
    def over(self) -> bool:
        """Whether it has been judged."""
        return self._verdict is not None

    def judged(self, verdict: Verdict) -> None:
        """Take the verdict: for the proxy, when the block is over."""
        self._verdict = verdict

    @property
    def result(self) -> RunResult:
        """All that is known of it."""
        return self.verdict.result

    @property
    def journal(self) -> Path | None:
        """The journal, which has every PDU and every event; None if nothing is kept."""
        return None if self.folder is None else self.folder / "journal.jsonl"

    def wait(self, seconds: float) -> bool:
        """Wait until every rule has fired and all is decided: for an initiator that does its work somewhere else.

        False if that does not come in so many seconds.
        """
        return self._verdict is not None or self._backstage.call(self._backstage.wait_decided, seconds)

    def tell(self, what: Literal["good", "error", "mismatch"], text: str = "") -> None:
        """Say what the application saw of its I/O: expectations may wait for `io-good`, `io-error`, `io-mismatch`."""
        if what not in ("good", "error", "mismatch"):
            raise UsageError(f"an application sees good, error or mismatch, not {what!r}")
        if self._verdict is None:
            self._backstage.call(self._backstage.tell, what, text)
