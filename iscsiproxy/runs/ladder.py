"""A ladder: what crossed the proxy and what did not, one rung a PDU, out of the events of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from iscsiproxy.session.events import Closed, Connected, Delivered, Event, Received
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Arrival", "Rung", "ladder"]

#: What became of a PDU on its way through the proxy.
Arrival = Literal["whole", "changed", "repeated", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One PDU, or with `pdu` None one end of a connection.

    `sender` sent it, `at` seconds after the run began. `rules` did something to it, `changes` says what.
    """

    conn: int
    at: float
    sender: End
    pdu: Pdu | None
    arrival: Arrival
    text: str = ""
    rules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def ladder(events: Iterable[Event], wanted: Callable[[Received], bool]) -> tuple[Rung, ...]:
    """Make the rungs of the PDUs that are wanted, and of how the connections came and went, in order."""
    events = tuple(events)
    arrived: dict[int, list[Delivered]] = {}
    for event in events:
        if isinstance(event, Delivered) and event.of is not None:
            arrived.setdefault(event.of, []).append(event)
    rungs = []
    for event in events:
        if isinstance(event, Received) and wanted(event):
            rungs.append(_of_pdu(event, arrived.get(event.n, [])))
        elif isinstance(event, Closed) and event.by != "proxy":
            rungs.append(_of_end(event))
        elif isinstance(event, Connected):
            rungs.append(
                Rung(conn=event.conn, at=event.at, sender=End.INITIATOR, pdu=None, arrival="whole", text="connects")
            )
    return tuple(rungs)


def _of_pdu(event: Received, deliveries: list[Delivered]) -> Rung:
    changes = tuple(str(change) for one in deliveries for change in one.changes)
    rules = tuple(dict.fromkeys(rule for one in deliveries for rule in one.rules))
    arrival: Arrival = "whole"
    if not deliveries:
        arrival = "never"
    elif changes:
        arrival = "changed"
    elif len({one.n for one in deliveries if one.start == 0}) > 1:
        arrival = "repeated"
    return Rung(
        conn=event.conn,
        at=event.at,
        sender=event.leg,
        pdu=event.pdu,
        arrival=arrival,
        rules=rules,
        changes=changes,
    )


def _of_end(event: Closed) -> Rung:
    text = "closes the connection" if event.how == "fin" else "resets the connection"
    return Rung(conn=event.conn, at=event.at, sender=event.leg, pdu=None, arrival="whole", text=text)
