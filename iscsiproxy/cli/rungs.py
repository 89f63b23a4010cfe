"""A ladder on the screen: who sent what, and how far it came, one line a PDU.

What is around a piece of evidence is read from the journal of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from iscsiproxy.errors import JournalError
from iscsiproxy.journal import read
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.ladder import Rung, ladder
from iscsiproxy.session.events import Delivered, Event, Fired, Received
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End

__all__ = ["HEAD", "around", "folded"]

#: Where the lanes of a ladder are, in columns.
HEAD: Final = "initiator proxy target"
_EMPTY: Final = "   │      │       │"
#: How many rungs of one kind in a row are shown before they are folded.
_FOLD = 2
#: How many PDUs are looked at before and behind the evidence, and how many lines are shown at most
_BEFORE, _BEHIND, _LINES = 3, 2, 10
#: Of more lines than that so many are the first ones
_FIRST = 5


def around(run: RunResult) -> list[str]:
    """Draw what crossed the proxy around the evidence for the verdict of a run; nothing if its journal is not there."""
    path = run.files.get("journal")
    if path is None:
        return []
    try:
        with read(path) as records:
            seen = [(one.entry, one.data_length) for one in records if isinstance(one.entry, Event)]
    except (JournalError, OSError):
        return []
    drawn = [f"{lanes}  {text}" for lanes, text, _ in folded(ladder(_window(seen, run), _any))]
    if len(drawn) > _LINES:
        left = len(drawn) - _LINES + 1
        drawn[_FIRST : _FIRST + left] = [f"{_EMPTY}  … {left} more"]
    return [HEAD, *drawn] if drawn else []


def _any(event: Received) -> bool:
    return event.pdu is not None


def _window(seen: Sequence[tuple[Event, int]], run: RunResult) -> list[Event]:
    """Give the events of one connection around the evidence, or around the first fault where there is none."""
    proofs = [(one.n, one.conn) for finding in run.reasons for one in finding.evidence if one.n and one.conn]
    proofs = proofs or [(one.n, one.conn) for one, _ in seen if isinstance(one, Fired) and one.conn][:1]
    if not proofs:
        return []
    conn = proofs[0][1]
    proven = [n for n, where in proofs if where == conn]
    came = [one.n for one, _ in seen if isinstance(one, Received) and one.conn == conn]
    first = ([0, *(n for n in came if n <= min(proven))][-_BEFORE:])[0]
    last = ([n for n in came if n > max(proven)][:_BEHIND] or [max(proven)])[-1]
    return [
        _filled(one, length)
        for one, length in seen
        if one.conn == conn and (isinstance(one, Delivered) or first <= one.n <= last)
    ]


def _filled(event: Event, length: int) -> Event:
    """Give a PDU as much data as it had: the journal does not keep all of it, and how much there was is told."""
    if not isinstance(event, Received) or event.pdu.data or not length or length != event.pdu["DataSegmentLength"]:
        return event
    return replace(event, pdu=event.pdu.with_data(bytes(length)))


def folded(rungs: Sequence[Rung], *, without: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """Draw the rungs, each as its lanes, its text and its style; of a row of like ones only some are shown.

    What begins with `without` is left out of the text.
    """
    drawn: list[tuple[str, str, str]] = []
    for _, group in groupby(rungs, key=lambda rung: (rung.sender, rung.pdu and rung.pdu.label, rung.arrival)):
        alike = list(group)
        if len(alike) <= _FOLD + 2:
            drawn += [_drawn(one, without) for one in alike]
        else:
            drawn += [_drawn(one, without) for one in alike[:_FOLD]]
            drawn.append((_EMPTY, f"… {len(alike) - _FOLD - 1} more", "dim"))
            drawn.append(_drawn(alike[-1], without))
    return drawn


def _drawn(rung: Rung, without: tuple[str, ...]) -> tuple[str, str, str]:
    right = rung.sender is End.INITIATOR
    if rung.pdu is None:
        lanes = "   ├─ ─ ─ ● ─ ─ ─▶│" if right else "   │◀─ ─ ─● ─ ─ ─ ┤"
        return lanes, f"the {rung.sender} {rung.text}", "bold"
    text = _short(rung, without)
    match rung.arrival:
        case "never":
            return "   ├─────▶✗       │" if right else "   │      ✗◀──────┤", f"LOST     {text}", "bold yellow"
        case "changed":
            return "   ├─────▶≠──────▶│" if right else "   │◀─────≠◀──────┤", f"CHANGED  {text}", "bold yellow"
        case "repeated":
            return "   ├─────▶════════▶│" if right else "   │◀════════◀─────┤", f"TWICE    {text}", "bold yellow"
        case _:
            return "   ├──────●──────▶│" if right else "   │◀─────●───────┤", text, ""


def _short(rung: Rung, without: tuple[str, ...]) -> str:
    assert rung.pdu is not None
    return " ".join(word for word in summary(rung.pdu).split() if not word.startswith(without))
