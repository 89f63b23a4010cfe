"""Digests, padding and the format of headers: the rows DIG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.faults.doctored import initiator, target
from tests.faults.proof import Deviant, Proof, beside

__all__ = ["PROOFS"]


def _unchecking(victim: str, **more: Any) -> Deviant:
    """Give a victim behind a proxy that computes digests for it, and has none with it: a wrong one is lost there."""
    other = "target" if victim == "initiator" else "initiator"
    digests, none = "{HeaderDigest: CRC32C, DataDigest: CRC32C}", "{HeaderDigest: None, DataDigest: None}"
    rules = (
        f"negotiate: {{{other}: {digests}, {victim}: {none}}}\nrules: [{{when: SCSI-Command or Text-Request as any}}]"
    )
    return beside("checks no digest", f"victim: {victim}\n{rules}\n", **more)


#: Seconds until what was written has been read back and compared, on a busy machine too
_COMPARED = 2.0

PROOFS: Mapping[str, Proof] = {
    "additional_header_in_answer": Proof(
        within=_COMPARED,
        deviants=(
            initiator("steps over it", 'when: Data-In where AHS != absent, do: {set: {AHS: ""}}', verdict="warn"),
            initiator(
                "takes it for data",
                'when: Data-In where AHS != absent, do: {set: {AHS: "", data+0: 0x00010700}}',
            ),
        ),
    ),
    "additional_header_in_data_out": Proof(
        within=_COMPARED,
        deviants=(
            target("steps over it", 'when: Data-Out where AHS != absent, do: {set: {AHS: ""}}', verdict="warn"),
            target(
                "takes it for data",
                'when: Data-Out where AHS != absent, do: {set: {AHS: "", data+0: 0x0005020000001000}}',
            ),
        ),
    ),
    "additional_header_in_task_management": Proof(
        deviants=(
            target("steps over it", 'when: TMF-Request where AHS != absent, do: {set: {AHS: ""}}', verdict="warn"),
            target("does not answer", "when: TMF-Request where AHS != absent, do: drop"),
        ),
    ),
    "additional_header_unknown": Proof(
        deviants=(
            target("steps over it", 'when: SCSI-Command where AHS != absent, do: {set: {AHS: ""}}', verdict="warn"),
            target("does not answer", "when: SCSI-Command where AHS != absent, do: drop"),
        ),
    ),
    "data_digest_corrupt": Proof(deviants=(_unchecking("target"),)),
    "data_digest_corrupt_data_out": Proof(deviants=(_unchecking("target"),)),
    "data_digest_corrupt_echo": Proof(deviants=(_unchecking("initiator"),)),
    "data_digest_corrupt_event": Proof(deviants=(_unchecking("initiator"),)),
    "data_digest_corrupt_ping": Proof(deviants=(_unchecking("target"),)),
    "data_digest_corrupt_read": Proof(
        deviants=(
            initiator(
                "checks no digest",
                "when: Data-In where length >= 512 nth 1 as bad, do: [drop, {inject: {pdu: Data-In, ITT: bad.ITT, "
                "TTT: none, DataSN: bad.DataSN, BufferOffset: bad.BufferOffset, F: bad.F, data: bad.data}}]",
            ),
        )
    ),
    "data_digest_corrupt_sense": Proof(deviants=(_unchecking("initiator"),)),
    "data_digest_corrupt_text": Proof(deviants=(_unchecking("target"),)),
    "data_digest_without_padding_in_answer": Proof(
        deviants=(_unchecking("initiator"),),
    ),
    "data_digest_without_padding_in_request": Proof(
        deviants=(_unchecking("target"),),
    ),
    "data_segment_length_wrong_in_data_in": Proof(
        deviants=(initiator("waits for what never comes", "when: Data-In where DataSN == 1 nth 1, do: {stall: 5s}"),),
    ),
    "data_segment_length_wrong_in_data_out": Proof(
        deviants=(target("waits for what never comes", "when: Data-Out where DataSN == 2 nth 1, do: {stall: 5s}"),),
    ),
    "digest_on_login_request": Proof(
        deviants=(target("waits for what never comes", "when: Login-Request nth 1, do: {stall: 10s}"),),
    ),
    "digest_on_login_response": Proof(
        within=4.0,
        hang=1.0,
        deviants=(initiator("waits for what never comes", "when: Login-Response nth 1, do: {stall: 10s}"),),
    ),
    "digests_at_initiator_only": Proof(
        deviants=(
            initiator(
                "computes them otherwise",
                "when: SCSI-Response where task.EDTL > 4096 nth 1, do: {corrupt: header-digest}",
            ),
        ),
    ),
    "digests_at_target_only": Proof(
        deviants=(
            target(
                "computes them otherwise",
                "when: Data-Out where length > 512 nth 1, do: {corrupt: data-digest}",
            ),
        ),
    ),
    "extended_cdb_wrong_length": Proof(
        deviants=(
            target("does not answer", "when: SCSI-Command where AHS != absent, do: drop"),
            target("steps over it", 'when: SCSI-Command where AHS != absent, do: {set: {AHS: ""}}', verdict="warn"),
        ),
    ),
    "header_digest_corrupt": Proof(deviants=(_unchecking("target"),)),
    "header_digest_corrupt_answer": Proof(
        deviants=tuple(_unchecking("initiator", axes={"pdu": pdu}) for pdu in ("SCSI-Response", "Data-In", "R2T")),
    ),
    "header_digest_corrupt_data_out": Proof(deviants=(_unchecking("target"),)),
    "padding_not_zero_in_answer": Proof(
        deviants=(
            initiator(
                "will have no such padding",
                "when: Login-Response where length % 4 != 0 nth 1, do: close",
                verdict="warn",
            ),
        ),
    ),
    "padding_not_zero_in_request": Proof(
        deviants=(
            target(
                "takes the padding for data",
                "when: NOP-Out where length % 4 != 0 nth 1, do: {resize: length + 2}",
            ),
            target("does not answer", "when: NOP-Out where length % 4 != 0 nth 1, do: drop"),
        ),
    ),
    "payload_corrupt_valid_digest": Proof(
        deviants=(initiator("hangs up", "when: Data-In where length >= 512 nth 1, do: [pass, close]"),)
    ),
    "reserved_byte_under_right_digest": Proof(
        deviants=(
            target(
                "cannot bear what is reserved",
                "when: SCSI-Command where BHS.3 == 0xff, do: [{answer: {pdu: Reject, Reason: 9}}]",
            ),
        ),
    ),
}
