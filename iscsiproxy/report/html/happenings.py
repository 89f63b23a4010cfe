"""The row of what is no PDU: a connection that comes or goes, a stage, a barrier, what an application saw, …."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from iscsiproxy.journal import (
    Closed,
    Connected,
    ConnectFailed,
    Decided,
    Drawn,
    Event,
    Fired,
    FullFeature,
    IoDone,
    Noted,
    Pinged,
    Record,
    Refused,
    Staged,
    Unframed,
    Violated,
)
from iscsiproxy.report.html.row import WORDS, Drawing, Mark, Row
from iscsiproxy.wire.opcodes import End

__all__ = ["event_row"]

_STAGES: Final[Mapping[str, str]] = {
    "steady": "steady state",
    "fault": "fault",
    "aftermath": "aftermath",
    "cleared": "faults cleared",
}


def event_row(record: Record, event: Event) -> Row:
    """Make the row of what is no PDU."""
    drawing: Drawing = "event"
    sender: End | None = None
    label, text, calm = type(event).__name__, "", False
    marks: tuple[Mark, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    match event:
        case Staged(stage=stage):
            drawing, label = "stage", _STAGES.get(stage, stage)
        case Connected():
            drawing, label = "joined", "connected"
            text = f"{event.initiator} to {event.listen}, {event.local} to {event.target}"
        case ConnectFailed():
            label, text = "no connection", f"{event.initiator} to {event.target}: {event.reason}"
        case Refused():
            label, text = "connection refused", f"{event.initiator} to {event.listen}, by a rule"
        case Closed():
            theirs = event.by == "peer"
            hard = event.how == "rst" or event.by == "fault"
            drawing = ("reset" if hard else "ended") if theirs else "cut" if hard else "shut"
            how = {"fin": "closed", "rst": "reset", "timeout": "timed out"}[event.how]
            who = {"peer": f"by the {event.leg}", "proxy": "by the proxy", "fault": "by a fault of the proxy"}[event.by]
            sender = event.leg if theirs else event.leg.other  # whoever it comes from
            label, text = f"{event.leg} leg {how}", who
            calm = event.by == "proxy"
        case FullFeature():
            sender, label, calm = event.leg, "full feature phase", True
            text, pairs = f"on the {event.leg} leg, with {len(event.keys)} keys", event.keys
        case Unframed():
            sender, label, text = event.leg, f"no PDUs any more on the {event.leg} leg", event.reason
        case Fired():
            label = WORDS.get(event.act, event.act)
            text = f"{event.label}: {event.text}" if event.label else event.text
            marks = (Mark(word=label, text=event.text, rule=event.rule, changes=event.changes),)
        case Pinged():
            label, text = f"barrier {event.barrier} {event.what}", event.text
            calm = event.what == "passed"
        case IoDone():
            sender = End.INITIATOR  # it is what its application saw
            label, text = {"good": "I/O went well"}.get(event.what, f"I/O {event.what}"), event.text
        case Violated():
            sender, label, text = event.by, "out of order", f"{event.text} ({event.section})"
        case Drawn():
            label, text = f"fault {event.what}", event.fault
        case Noted() | Decided():
            label = event.what if isinstance(event, Decided) else "noted"
            text = f"{event.text} ({event.rule})" if event.rule else event.text
        case _:
            text = str(getattr(event, "text", ""))
    return Row(
        n=event.n,
        at=event.at,
        conn=event.conn,
        drawing=drawing,
        label=label,
        sender=sender,
        text=text,
        pairs=pairs,
        marks=marks,
        line=record.line,
        calm=calm,
    )
