"""What a run comes to: the worst of all that was found, each finding with the evidence for it.

A verdict is never given without evidence: every `Result` names the events of the journal that prove it, or says what
was awaited and did not come. What could not be judged is inconclusive, never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from iscsiproxy.language.spec import NOWHERE, Position, Verdict
from iscsiproxy.wire.opcodes import End

__all__ = ["VERDICTS", "Evidence", "Kind", "Result", "Verdict", "verdict_of"]

#: All verdicts, the one that decides over the others first.
VERDICTS: Final[tuple[Verdict, ...]] = ("fail", "skipped", "inconclusive", "warn", "pass")
assert set(VERDICTS) == set(get_args(Verdict))

#: What a result is about: an expectation of the scenario; a barrier that was not answered; wrong data that nobody
#: expected; the good I/O behind it all; an act that could not be done; a rule that never fired; `negotiate`; `needs`;
#: the journal; an invariant.
Kind = Literal["expectation", "hang", "data", "aftermath", "act", "rule", "negotiate", "need", "journal", "check"]
#: What has to be so before anything can be judged.
_PREMISES: Final[frozenset[Kind]] = frozenset({"need", "negotiate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One event that a result stands on; `n` is its number in the journal, 0 for what did not come.

    `text` says what it was in one line, a PDU by its summary.
    """

    n: int
    at: float
    conn: int
    leg: End | None
    text: str

    def __str__(self) -> str:
        where = " ".join((f"#{self.n}" if self.n else "", f"{self.at:.3f}s", f"conn {self.conn}" if self.conn else ""))
        return f"{' '.join(where.split())}{f', {self.leg} leg' if self.leg else ''}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One finding of a run: the verdict, on what, and why.

    `text` is what was judged, an expectation as it is written; `why` is what came of it in one line; `note` is the
    author's, of the expectation or the line that decided.
    """

    verdict: Verdict
    kind: Kind
    text: str
    why: str
    note: str = ""
    evidence: tuple[Evidence, ...] = ()
    position: Position = NOWHERE


def verdict_of(results: Iterable[Result]) -> Verdict:
    """Give the verdict of a run: that of its worst result.

    Where a need was not met, or an end did not agree to what it was told, nothing that came of it counts: the run was
    skipped. With no result at all nothing was found wrong.
    """
    results = tuple(results)
    if any(result.verdict == "skipped" and result.kind in _PREMISES for result in results):
        return "skipped"
    found = {result.verdict for result in results}
    return next((verdict for verdict in VERDICTS if verdict in found), "pass")
