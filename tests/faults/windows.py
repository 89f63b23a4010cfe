"""The rows of the Windows notes, W01 to W19."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Deviant, Proof, beside, quirk

__all__ = ["PROOFS"]


def _failed_by(*deviants: Deviant, within: float = 4.0) -> Proof:
    """Give time to what has to come: where it comes nobody waits."""
    return Proof(deviants=deviants, within=within)


PROOFS: Mapping[str, Proof] = {
    "abort_task_never_sent": _failed_by(quirk("W13")),
    "abort_task_not_yet_there": _failed_by(
        beside(
            "knows of no such task",
            "victim: target\nrules: [{when: TMF-Response where Response == 0 nth 1, do: {set: {Response: 1}}}]\n",
        ),
        beside(
            "carries it out all the same",
            "victim: target\nrules: [{when: TMF-Request nth 1, do: {answer: {pdu: TMF-Response, Response: 0}}}]\n",
        ),
    ),
    "c_bit_login_request": _failed_by(
        beside(
            "takes no notice of C",
            "victim: target\nrules: [{when: Login-Request where C nth 1, do: {set: {C: 0, T: 1, NSG: 3}}}]\n",
        ),
        beside(
            "answers the keys at once",
            "victim: target\nrules: [{when: Login-Request where C nth 1, do: {set: {C: 0}}}]\n",
        ),
    ),
    "c_bit_text_request": _failed_by(quirk("W10")),
    "cmdsn_beyond_window": _failed_by(
        beside(
            "rejects it",
            "victim: target\n"
            "rules:\n"
            "  - when: SCSI-Command where CmdSN > session.MaxCmdSN nth 1\n"
            "    do: {answer: {pdu: Reject, Reason: 4}}\n",
        ),
    ),
    "cmdsn_duplicate_other_tag": _failed_by(quirk("W12"), within=2.0),
    "cmdsn_duplicate_write": _failed_by(quirk("W12"), within=2.0),
    "cmdsn_out_of_order": _failed_by(quirk("W12"), within=2.0),
    "data_digest_negotiated_twice": _failed_by(quirk("W17")),
    "discovery_declares_segment_length": _failed_by(quirk("W06")),
    "discovery_logout_for_recovery": _failed_by(quirk("W14")),
    "immediate_data_excess": _failed_by(quirk("W01")),
    "immediate_data_negotiated_twice": _failed_by(quirk("W17")),
    "immediate_data_unexpected": _failed_by(quirk("W03")),
    "initiator_name_declared_twice": _failed_by(quirk("W17")),
    "key_answered_twice": _failed_by(quirk("libiscsi-login-keys")),
    "key_twice_in_one_request": _failed_by(quirk("W17")),
    "login_request_continued": _failed_by(
        beside(
            "takes no notice of C",
            "victim: target\nrules: [{when: Login-Request where C nth 1, do: {set: {C: 0}}}]\n",
        ),
    ),
    "logout_unknown_cid": _failed_by(quirk("W15")),
    "max_burst_length_negotiated_twice": _failed_by(quirk("W17")),
    "portal_group_tag_not_understood": _failed_by(quirk("W16")),
    "r2t_answered_short": _failed_by(quirk("W02")),
    "send_targets_all": _failed_by(
        quirk("W08"),
        beside(
            "names another target",
            "victim: target\n"
            "rules:\n"
            "  - when: Text-Response\n"
            "    do: {text: {remove: SendTargets, add: 'TargetName=iqn.2026-01.example:other'}}\n",
        ),
    ),
    "send_targets_empty": _failed_by(
        quirk("W07"),
        beside(
            "names another target",
            "victim: target\n"
            "rules: [{when: Text-Response, do: {set: {text.TargetName: 'iqn.2026-01.example:other'}}}]\n",
        ),
        beside(
            "gives no portal group",
            "victim: target\nrules: [{when: Text-Response, do: {set: {text.TargetAddress: '127.0.0.1:3260'}}}]\n",
        ),
    ),
    "send_targets_empty_in_discovery": _failed_by(quirk("W07")),
    "snack_reject_statsn": _failed_by(quirk("W18")),
    "text_negotiation_unfinished": _failed_by(quirk("W09")),
    "text_request_continued": _failed_by(quirk("W10")),
    "text_request_partial": _failed_by(quirk("W05")),
    "text_request_reserved_itt": _failed_by(
        beside(
            "answers it",
            "victim: target\n"
            "rules:\n"
            "  - {when: Text-Request where ITT == none as odd, do: {set: {ITT: 0x77777777}}}\n"
            "  - {when: Text-Response where ITT == 0x77777777, do: {set: {ITT: none}}}\n",
        ),
    ),
    "text_response_partial": _failed_by(quirk("W04")),
    "text_value_out_of_range": _failed_by(
        quirk("W09", axes={"final": "0"}),
        beside(
            "adopts it",
            "victim: target\nrules: [{when: Text-Request, do: {set: {text.MaxRecvDataSegmentLength: 512}}}]\n",
        ),
    ),
    "tsih_before_login_ends": _failed_by(quirk("W11")),
    "unsolicited_data_out_excess": _failed_by(quirk("W02")),
    "unsolicited_data_out_short": _failed_by(quirk("W02")),
    "unsolicited_data_out_unexpected": _failed_by(quirk("W03")),
    "x_key_across_c_bit": _failed_by(quirk("W19")),
}
