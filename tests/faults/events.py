"""Asynchronous Messages: the rows ASY."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Deviant, Proof, beside

__all__ = ["PROOFS"]


def _deaf(event: str = "AsyncEvent in (0 .. 255)", name: str = "never hears of it") -> Deviant:
    """Give an initiator that a message does not reach."""
    return beside(
        name,
        f"victim: initiator\nrules: [{{when: 'Async where {event}', do: {{drop: {{numbers: translate}}}}}}]\n",
    )


_EARLY = _deaf("AsyncEvent in (2, 3)", "comes back at once")
_SILENT = beside(
    "falls silent",
    """
victim: target
machines:
  mouth:
    per: connection
    states:
      open: [{when: Async, do: [{drop: {numbers: translate}}, {goto: shut}]}]
      shut: [{when: Initiator-PDU, do: drop}]
""",
)
_ELSEWHERE = beside(
    "acknowledges for another logical unit",
    "victim: target\nrules: [{when: NOP-Out where ITT == none nth 1, do: {set: {LUN: 0x0001000000000000}}}]\n",
)
_SLOW = beside(
    "does two things first",
    """
victim: both
rules:
  - when: Async nth 1 as asked
    do: {drop: {numbers: translate}}
  - when: asked then SCSI-Command nth 3
    do:
      - inject: {pdu: Logout-Request, ReasonCode: 0}
      - drop
""",
    verdict="warn",
)

PROOFS: Mapping[str, Proof] = {
    "async_connection_drop": Proof(within=4.0, deviants=(_EARLY,)),
    "async_drop_of_another_connection": Proof(deviants=(_SILENT,)),
    "async_session_drop": Proof(within=4.0, deviants=(_EARLY,)),
    "event_sense_too_long": Proof(deviants=(_SILENT,)),
    "logout_request_then_drop": Proof(within=4.0, deviants=(_EARLY,)),
    "logout_requested": Proof(within=2.0, deviants=(_deaf(), _SLOW)),
    "negotiation_requested": Proof(within=2.0, deviants=(_deaf(),)),
    "reserved_event": Proof(deviants=(_SILENT,)),
    "scsi_event_unit_attention": Proof(deviants=(_SILENT,)),
    "task_termination_with_fastabort": Proof(deviants=(_deaf(), _ELSEWHERE)),
    "task_termination_without_fastabort": Proof(deviants=(_SILENT,)),
    "vendor_event": Proof(deviants=(_SILENT,)),
}
