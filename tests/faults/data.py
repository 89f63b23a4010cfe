"""Data and how much of it, in both directions: the rows DAT."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.doctored import initiator, target
from tests.faults.proof import Deviant, Proof, beside, quirk

__all__ = ["PROOFS"]

#: Of an initiator that answers an R2T which it should not: the R2T is `asked`
_ANSWERED = (
    "do: [drop, {inject: {pdu: Data-Out, ITT: asked.ITT, TTT: asked.TTT, LUN: asked.LUN, "
    "BufferOffset: asked.BufferOffset, F: 1, data: %s}}]"
)
_BYTES = '"whatever there is in its memory "'
#: Seconds until what was written has been read back and compared, on a busy machine too
_COMPARED = 2.0

PROOFS: Mapping[str, Proof] = {
    "data_in_asks_for_acknowledgement": Proof(
        deviants=(quirk("libiscsi-a-bit"),),
    ),
    "data_in_behind_status": Proof(
        within=_COMPARED,
        deviants=(
            initiator(
                "takes it for data of the READ",
                "when: Data-In where DataSN == 1 and task.EDTL > 4096 nth 1, do: {set: {data+0: 0x746f6f206c617465}}",
            ),
        ),
    ),
    "data_in_beyond_end": Proof(
        deviants=(
            Deviant(
                name="throws it away, and misses nothing",
                quirks=("libiscsi-datasn", "libiscsi-offset"),
                rules="victim: initiator\nrules: [{when: Data-In where BufferOffset >= task.EDTL, do: drop}]\n",
            ),
        ),
    ),
    "data_in_check_condition": Proof(
        deviants=(
            initiator(
                "looks at no status in a Data-In",
                "when: Data-In where S and Status == CHECK_CONDITION, do: {set: {Status: GOOD}}",
            ),
        ),
    ),
    "data_in_empty": Proof(
        deviants=(
            initiator("throws the empty one away, and misses its number", "when: Data-In where length == 0, do: drop"),
        ),
    ),
    "data_in_exceeds_segment_length": Proof(
        within=_COMPARED,
        deviants=(
            initiator("takes any size", "when: Data-In where length > 8192, do: {split: 8192}", verdict="warn"),
            initiator(
                "takes what fits, and loses the rest",
                "when: Data-In where length > 8192, do: "
                "[{set: {data+8192: 0x6f7665722074686520656e64}}, {split: 8192}]",
            ),
        ),
    ),
    "data_in_for_unknown_task": Proof(
        within=_COMPARED,
        deviants=(
            Deviant(
                name="puts it where another command reads",
                quirks=("libiscsi-unknown-task",),
                rules="victim: initiator\nrules: [{when: Data-In where DataSN == 1 and task.EDTL > 4096 nth 1, "
                "do: {set: {data+0: 0x616e6f74686572}}}]\n",
            ),
        ),
    ),
    "data_in_for_write": Proof(
        within=_COMPARED,
        deviants=(
            initiator(
                "puts it into the data that it writes",
                "when: Data-In where task.W, do: drop",
                "when: Data-Out nth 1, do: {set: {data+0: 0x77726f6e67}}",
            ),
        ),
    ),
    "data_in_gap": Proof(
        deviants=(quirk("libiscsi-offset"),),
    ),
    "data_in_overlaps": Proof(
        deviants=(quirk("libiscsi-offset"),),
    ),
    "data_in_sequence_ends_early": Proof(
        deviants=(initiator("hangs up", "when: Data-In where F and not S and task.EDTL > 4096, do: close"),),
    ),
    "data_in_status_without_final": Proof(
        deviants=(
            initiator("waits for the rest", "when: Data-In where S and not F, do: {set: {S: 0}}"),
            initiator("goes by S", "when: Data-In where S and not F, do: {set: {F: 1}}", verdict="warn"),
        ),
    ),
    "data_out_beyond_end": Proof(deviants=(quirk("tgt-holes", "W02"),)),
    "data_out_empty": Proof(
        deviants=(
            target("throws the empty one away, and misses its number", "when: Data-Out where length == 0, do: drop"),
        ),
    ),
    "data_out_exceeds_segment_length": Proof(
        within=_COMPARED,
        deviants=(
            target("takes any size", "when: Data-Out where length > 8192, do: {split: 8192}", verdict="warn"),
            target(
                "takes what fits, and loses the rest",
                "when: Data-Out where length > 8192, do: "
                "[{set: {data+8192: 0x6f7665722074686520656e64}}, {split: 8192}]",
            ),
        ),
    ),
    "data_out_final_too_early": Proof(
        within=_COMPARED,
        deviants=(
            quirk("W02"),
            target(
                "goes by the number of bytes",
                "when: Data-Out where F and DataSN == 0, do: {set: {F: 0}}",
                verdict="warn",
            ),
        ),
    ),
    "data_out_for_finished_task": Proof(
        within=_COMPARED,
        deviants=(
            target(
                "answers twice",
                "when: SCSI-Response where task.W nth 1 as done",
                "when: Data-Out of done nth 1, do: {replay: done}",
            ),
        ),
    ),
    "data_out_for_read": Proof(
        within=_COMPARED,
        deviants=(
            target(
                "puts it in the buffer of the READ",
                "when: Data-In where task.EDTL > 4096 and DataSN == 0 nth 1, do: {set: {data+0: 0x77726974746556}}",
            ),
        ),
    ),
    "data_out_gap": Proof(deviants=(quirk("tgt-holes", "W02"),)),
    "data_out_in_small_pieces": Proof(
        within=_COMPARED,
        deviants=(
            target("has no room for so many", "when: Data-Out where length == 512 nth 9, do: drop"),
            target(
                "mixes them up", "when: Data-Out where length == 512 nth 9, do: {set: {data+0: 0x6d6978656420757000}}"
            ),
        ),
    ),
    "data_out_never_final": Proof(
        deviants=(
            target(
                "goes by the number of bytes",
                "when: Data-Out where not F and BufferOffset + length == task.EDTL, do: {set: {F: 1}}",
                verdict="warn",
            ),
        ),
    ),
    "data_out_other_lun": Proof(
        deviants=(
            target(
                "does not look at the LUN",
                "when: Data-Out where LUN != task.LUN, do: {set: {LUN: task.LUN}}",
                verdict="warn",
            ),
        ),
    ),
    "data_out_overlaps": Proof(deviants=(quirk("tgt-holes", "W02"),)),
    "data_out_unknown_task": Proof(
        deviants=(
            target(
                "ends the command beside it",
                "when: SCSI-Response where task.W nth 1, do: {set: {Status: CHECK_CONDITION, sense: B/0C/0D}}",
            ),
        ),
    ),
    "data_out_wrong_ttt": Proof(
        within=_COMPARED,
        deviants=(
            quirk("tgt-holes"),
            target(
                "goes by the task tag",
                "when: R2T as asked",
                "when: Data-Out where TTT == 0x12345678, do: {set: {TTT: asked.TTT}}",
                verdict="warn",
            ),
        ),
    ),
    "immediate_data_exceeds_command": Proof(
        deviants=(
            target("never answers", "when: SCSI-Command where length > EDTL, do: drop"),
            target(
                "takes what it needs, and says nothing",
                "when: SCSI-Command where length > EDTL, do: {resize: EDTL}",
                verdict="warn",
            ),
        ),
    ),
    "r2t_beside_another": Proof(
        deviants=(
            initiator(
                "answers the second first",
                "when: R2T nth 1, do: drop",
                "when: R2T nth 2 as asked, " + _ANSWERED % _BYTES,
            ),
        ),
    ),
    "r2t_beyond_end": Proof(
        deviants=(
            initiator(
                "sends what it finds there", "when: R2T where BufferOffset >= task.EDTL as asked, " + _ANSWERED % _BYTES
            ),
        ),
    ),
    "r2t_exceeds_burst": Proof(
        deviants=(
            beside(
                "sends as much as it is asked for",
                "victim: initiator\nnegotiate: {initiator: {MaxBurstLength: 1048576}}\n"
                "rules: [{when: R2T, do: {note: any length}}]\n",
            ),
        ),
    ),
    "r2t_for_finished_task": Proof(
        deviants=(initiator("still knows the task", "when: R2T where TTT == 0x5eed as asked, " + _ANSWERED % _BYTES),),
    ),
    "r2t_for_nothing": Proof(
        deviants=(
            initiator(
                "answers with nothing", "when: R2T where DesiredDataTransferLength == 0 as asked, " + _ANSWERED % '""'
            ),
            initiator("does nothing", "when: R2T, do: drop"),
        ),
    ),
    "r2t_for_read": Proof(
        deviants=(
            initiator(
                "sends the buffer that it wants to read into",
                "when: R2T where TTT == 0x5eed as asked, " + _ANSWERED % _BYTES,
            ),
        ),
    ),
    "r2t_for_unknown_task": Proof(
        deviants=(initiator("answers whoever asks", "when: R2T where TTT == 0x5eed as asked, " + _ANSWERED % _BYTES),),
    ),
    "r2t_in_small_pieces": Proof(
        deviants=(initiator("answers one only", "when: R2T nth 2, do: drop"),),
    ),
    "r2t_other_lun": Proof(
        deviants=(
            initiator(
                "does not look at the LUN",
                "when: R2T where LUN != task.LUN, do: {set: {LUN: task.LUN}}",
                verdict="warn",
            ),
        ),
    ),
    "r2t_without_tag": Proof(
        deviants=(
            initiator(
                "answers without a tag",
                "when: R2T where TTT == none, do: {set: {TTT: 0x7777}}",
                "when: Data-Out where TTT == 0x7777, do: {set: {TTT: none}}",
            ),
        ),
    ),
    "read_data_cut_short": Proof(
        deviants=(quirk("libiscsi-offset"),),
    ),
    "read_length_differs_from_cdb": Proof(
        deviants=(
            target(
                "tells no residual count",
                "when: Data-In where S and task.EDTL == 32768, do: {set: {O: 0, U: 0, ResidualCount: 0}}",
            ),
            target(
                "sends what the CDB asks for", "when: SCSI-Command where R and EDTL == 32768, do: {set: {EDTL: 65536}}"
            ),
        ),
    ),
    "read_without_direction": Proof(
        deviants=(
            target("goes by the CDB", "when: SCSI-Command where not R and not W and EDTL > 4096, do: {set: {R: 1}}"),
        ),
    ),
    "residual_both_ways_read": Proof(
        deviants=(
            initiator("never ends the command", "when: Data-In where O and U, do: drop"),
            initiator(
                "believes neither",
                "when: Data-In where O and U, do: {set: {O: 0, U: 0, ResidualCount: 0}}",
                verdict="warn",
            ),
        ),
    ),
    "residual_both_ways_write": Proof(
        deviants=(
            initiator("never ends the command", "when: SCSI-Response where O and U, do: drop"),
            initiator(
                "believes neither",
                "when: SCSI-Response where O and U, do: {set: {O: 0, U: 0, ResidualCount: 0}}",
                verdict="warn",
            ),
        ),
    ),
    "residual_untrue": Proof(
        deviants=(initiator("never ends the command", "when: Data-In where ResidualCount == 512, do: drop"),),
    ),
    "status_apart_from_data": Proof(
        deviants=(
            initiator(
                "does not know a status apart", "when: SCSI-Response where task.R and task.EDTL > 4096, do: drop"
            ),
        ),
    ),
    "status_in_data_in": Proof(
        deviants=(
            initiator("waits for a SCSI Response", "when: Data-In where S and task.EDTL > 4096, do: {set: {S: 0}}"),
        ),
    ),
    "status_overtakes_data": Proof(
        deviants=(quirk("libiscsi-datasn", "libiscsi-offset"),),
    ),
    "unsolicited_data_out_of_order": Proof(
        within=_COMPARED,
        deviants=(
            target(
                "gives it to another command",
                "when: Data-Out where TTT == none nth 2, do: {set: {data+0: 0x6f6620746865206f74686572}}",
            ),
        ),
    ),
    "unsolicited_data_promised_and_missing": Proof(
        deviants=(
            target("waits for more", "when: SCSI-Command where W and not F, do: drop"),
            target(
                "goes by the number of bytes", "when: SCSI-Command where W and not F, do: {set: {F: 1}}", verdict="warn"
            ),
        ),
    ),
    "write_length_differs_from_cdb": Proof(
        deviants=(
            target(
                "tells no residual count", "when: SCSI-Response where task.W, do: {set: {O: 0, U: 0, ResidualCount: 0}}"
            ),
        ),
    ),
}
