"""SCSI statuses and sense, and what a device says of itself: the rows SCS."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof, beside

__all__ = ["PROOFS"]

#: A read that ended well has its data, however little of it came
_TRUSTING = beside(
    "takes it for good",
    """
victim: initiator
rules:
  - when: SCSI-Response where Status != GOOD or Response != 0
    do: {set: {Status: GOOD, Response: 0, U: 0, ResidualCount: 0, data: ""}}
""",
    quirks=("libiscsi-offset",),
)
_SILENT = beside(
    "falls silent",
    """
victim: target
machines:
  mouth:
    per: connection
    states:
      open: [{when: 'Data-In where task.CDB.name == "REPORT LUNS"', do: {goto: shut}}]
      shut: [{when: Initiator-PDU, do: drop}]
""",
)


def _remembers(name: str, value: str) -> str:
    """Give the rules by which an initiator goes by something else than what READ CAPACITY says."""
    return f"""
victim: initiator
rules:
  - when: Data-In where task.CDB.name == "READ CAPACITY(16)"
    do: {{set: {{{name}: {value}}}}}
"""


PROOFS: Mapping[str, Proof] = {
    "aborted_command": Proof(deviants=(_TRUSTING,)),
    "block_length_large": Proof(deviants=(beside("takes 512 for granted", _remembers("data+8", "0x00000200")),)),
    "busy_status": Proof(within=2.0, deviants=(_TRUSTING,)),
    "capacity_small": Proof(
        deviants=(beside("goes by what it remembers", _remembers("data+0", "0x0000000000003fff")),),
    ),
    "check_condition_without_sense": Proof(deviants=(_TRUSTING,)),
    "lun_list_cut": Proof(deviants=(_SILENT,)),
    "lun_list_long": Proof(deviants=(_SILENT,)),
    "reservation_conflict": Proof(deviants=(_TRUSTING,)),
    "sense_deferred": Proof(within=2.0, deviants=(_TRUSTING,)),
    "sense_malformed": Proof(deviants=(_TRUSTING,)),
    "service_failure": Proof(deviants=(_TRUSTING,)),
    "status_out_of_place": Proof(deviants=(_TRUSTING,)),
    "unit_attention": Proof(within=2.0, deviants=(_TRUSTING,)),
    "unrecoverable_error": Proof(deviants=(_TRUSTING,)),
}
