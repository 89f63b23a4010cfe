"""Events, one line each: the same columns for all, so that an eye can run down them.

    n  time  connection  way  what

The way is drawn between the ends: `I→` came from the initiator, ` →T` went to the target, ` ←T` came from it, `I←` went
to the initiator. A PDU that left changed has a `*`, one of the proxy's own a `+`.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.api.models import Event
from iscsiproxy.console.lines import Line, Piece, cut, pad

__all__ = ["PDU_EVENTS", "event_line", "is_shown", "timed"]

#: Events that are PDUs
PDU_EVENTS: Final = frozenset({"received", "delivered"})
#: Decisions that tell what became of something; the others are told by `explain`
_TELLING: Final = frozenset({"shadowed", "failed", "held", "released", "expired", "skipped"})
_ALARMING: Final = frozenset({"shadowed", "failed", "expired"})
#: Events that are only of use in a journal
_NOISE: Final = frozenset({"bound", "pinged", "drawn", "staged"})
_WAYS: Final = {
    ("received", "initiator"): ("initiator", "I→ "),
    ("delivered", "target"): ("initiator", " →T"),
    ("received", "target"): ("target", " ←T"),
    ("delivered", "initiator"): ("target", "I← "),
}
#: The width of the longest names of PDUs
_LABEL: Final = 15
_STYLES: Final = {
    "fired": "fault",
    "finding": "alarm",
    "connectfailed": "bad",
    "unframed": "bad",
    "violated": "bad",
    "left-out": "bad",
    "warning": "bad",
}
_MARKS: Final = {"authored": "+", "copied": "+"}


def is_shown(event: Event) -> bool:
    """Tell whether an event is for people: PDUs, faults, connections, findings."""
    return event.event not in _NOISE and (event.event != "decided" or event.what in _TELLING)


def event_line(event: Event, width: int = 0) -> Line:
    """Show an event."""
    head = ("", f"{event.n or '':>6} {timed(event.at)} {event.conn or '':>3} ")
    if event.event in PDU_EVENTS:
        return cut((head, *_pdu(event)), width)
    return cut((head, ("", "    "), (_style(event), _text(event))), width)


def timed(at: float) -> str:
    """Show a time since the run began."""
    return f"{at:8.3f}"


def _pdu(event: Event) -> list[Piece]:
    style, way = _WAYS.get((event.event, event.leg), ("", "   "))
    changed = "*" if event.changes or event.rules else " "
    mark = _MARKS.get(event.what, changed)
    rest = event.text.removeprefix(event.label).strip()
    pieces: list[Piece] = [
        (style, way),
        ("changed", mark),
        ("changed" if mark != " " else style, pad(event.label, _LABEL)),
        ("", f" {rest}"),
    ]
    if event.changes:
        pieces.append(("changed", f"  ({'; '.join(event.changes)})"))
    return pieces


def _style(event: Event) -> str:
    if event.event == "decided":
        return "alarm" if event.what in _ALARMING else "held"
    return _STYLES.get(event.event, "") if event.what != "known" else ""


def _text(event: Event) -> str:
    if event.event == "left-out":
        return f"up to {event.count} events were left out here"
    if event.event == "decided" and event.of is not None:
        return f"{event.text} (PDU {event.of})"
    return event.text
