"""Events in words: one line each, for whoever watches a run."""

from __future__ import annotations

from iscsiproxy.session.events import (
    Bound,
    Closed,
    Connected,
    ConnectFailed,
    Decided,
    Delivered,
    Drawn,
    Event,
    Fired,
    FullFeature,
    IoDone,
    Noted,
    Pinged,
    Received,
    Refused,
    Staged,
    Unframed,
    Violated,
)
from iscsiproxy.wire.describe import summary

__all__ = ["kind_of", "line_of"]


def kind_of(event: Event) -> str:
    """Name the kind of an event: `received`, `fullfeature` and so on."""
    return type(event).__name__.lower()


def line_of(event: Event) -> str:
    """Say what happened, without its time and its connection."""
    match event:
        case Fired():
            changes = f" ({'; '.join(map(str, event.changes))})" if event.changes else ""
            return f"FAULT {event.rule} {event.act}: {event.text}{changes}{f': {event.label}' if event.label else ''}"
        case Decided():
            return f"{event.what} {event.rule}: {event.text}"
        case Noted():
            return f"note {event.rule}: {event.text}" if event.rule else event.text
        case Connected():
            return f"connected {event.initiator} -> {event.listen} | {event.local} -> {event.target}"
        case ConnectFailed():
            return f"target {event.target} cannot be reached: {event.reason}; {event.initiator} was closed"
        case Refused():
            return f"{event.initiator} -> {event.listen} was refused"
        case FullFeature():
            return f"full feature phase on the {event.leg} leg"
        case Closed():
            return f"{event.how.upper()} on the {event.leg} leg, by {event.by}"
        case Unframed():
            return f"no PDUs any more on the {event.leg} leg ({event.reason}); its bytes pass through raw"
        case Violated():
            return f"{event.by}: {event.text} ({event.section})"
        case Bound():
            return f"{event.name} of {event.rule.partition('/')[0]} is #{event.of}"
        case Pinged():
            return f"barrier {event.barrier} to the {event.end}: {event.what}{f', {event.text}' if event.text else ''}"
        case IoDone():
            return f"I/O {event.what}: {event.text}"
        case Staged():
            return f"stage {event.stage}{f': {event.text}' if event.text else ''}"
        case Drawn():
            return f"fault {event.number} {event.what}: {event.fault}"
        case Received():
            return f"{event.leg:>9} >  {summary(event.pdu)}"
        case Delivered():
            mark = "*" if event.changes or event.rules else " "
            return f"{event.leg:>9} <{mark} {summary(event.pdu)}"
        case _:
            return repr(event)
