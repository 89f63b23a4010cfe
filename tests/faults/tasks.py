"""Task management: the rows TMF."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof, beside, quirk

__all__ = ["PROOFS"]

#: Another function than the one that was asked for
_ANOTHER = "victim: target\nrules: [{{when: TMF-Request where Function == {} nth 1, do: {{set: {{Function: {}}}}}}}]\n"
_CODE = "victim: target\nrules: [{{when: TMF-Response nth {}, do: {{set: {{Response: {}}}}}}}]\n"
_SILENT = beside("says nothing", "victim: target\nrules: [{when: TMF-Request nth 1, do: drop}]\n")
#: Of an initiator, an answer that does not come in time is given up soon
_SOON, _SOONER = 2.5, 0.8

PROOFS: Mapping[str, Proof] = {
    "abort_task_awaiting_data": Proof(
        deviants=(
            beside(
                "answers the task behind the response",
                "victim: target\n"
                "rules:\n"
                "  - when: TMF-Request where Function == ABORT_TASK nth 1 as abort\n"
                "  - when: TMF-Response of abort\n"
                "    do: [pass, {inject: {pdu: SCSI-Response, ITT: abort.RefTaskTag, Status: TASK_ABORTED}}]\n",
            ),
        ),
    ),
    "abort_task_completed": Proof(deviants=(quirk("W13"),)),
    "clear_task_set_of_others": Proof(
        deviants=(beside("leaves the tasks of others alone", _ANOTHER.format("CLEAR_TASK_SET", "ABORT_TASK_SET")),),
    ),
    "lun_reset_absent_lun": Proof(
        deviants=(
            beside(
                "resets another logical unit",
                "victim: target\nrules: [{when: TMF-Request nth 1, do: {set: {LUN: 0}}}]\n",
            ),
        ),
    ),
    "lun_reset_leaves_attention": Proof(
        deviants=(beside("aborts and does not reset", _ANOTHER.format("LUN_RESET", "ABORT_TASK_SET")),),
    ),
    "lun_reset_names_a_task": Proof(deviants=(_SILENT,), verdict="warn"),
    "target_cold_reset": Proof(
        deviants=(beside("keeps its connections", _ANOTHER.format("TARGET_COLD_RESET", "TARGET_WARM_RESET")),),
    ),
    "task_answered_after_abort": Proof(
        deviants=(
            beside(
                "gives its session up",
                "victim: initiator\nrules: [{when: TMF-Response then SCSI-Response nth 1, do: {close: rst}}]\n",
                verdict="warn",
            ),
        ),
        within=_SOON,
        hang=_SOONER,
    ),
    "task_function_aborted": Proof(deviants=(beside("says complete", _CODE.format(1, 0)),)),
    "task_function_fails": Proof(
        deviants=(
            beside(
                "takes every response for a success",
                "victim: initiator\nrules: [{when: TMF-Response, do: {set: {Response: 0}}}]\n",
                axes={"response": "255"},
            ),
        ),
        within=_SOON,
        hang=_SOONER,
    ),
    "task_function_level_2": Proof(deviants=(beside("knows no task", _CODE.format(1, 1)),)),
    "task_function_unknown": Proof(deviants=(beside("says complete", _CODE.format(1, 0)),)),
    "task_function_with_data": Proof(deviants=(_SILENT,)),
    "task_response_lost": Proof(
        deviants=(
            beside(
                "needs no answer",
                "victim: initiator\n"
                "rules:\n"
                "  - when: TMF-Request nth 1 as abort\n"
                "    do: [pass, {inject: {pdu: TMF-Response, ITT: abort.ITT, Response: 0}}]\n",
                quirks=("libiscsi-statsn-gaps",),
            ),
        ),
        within=_SOON,
        hang=_SOONER,
    ),
    "task_response_twice": Proof(
        deviants=(
            beside(
                "gives its session up",
                "victim: initiator\nrules: [{when: TMF-Response nth 2, do: {close: rst}}]\n",
                verdict="warn",
            ),
        ),
        within=_SOON,
        hang=_SOONER,
    ),
    "task_response_unasked": Proof(
        deviants=(
            beside(
                "gives its session up",
                "victim: initiator\nrules: [{when: TMF-Response nth 1, do: {close: rst}}]\n",
                verdict="warn",
            ),
        ),
    ),
}
