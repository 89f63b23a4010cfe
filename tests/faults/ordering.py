"""Order of commands, and what becomes of tasks and reservations when a connection ends: the rows O."""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.peers.target.settings import TargetSettings
from tests.faults.proof import Proof, beside, quirk
from tests.runs.playing import Own

__all__ = ["PROOFS"]

#: A target that keeps a session for a while without a connection
_KEEPING = Own(settings=TargetSettings(initial_r2t=True, time2wait=0, time2retain=20))
#: An initiator that resets the logical unit while its write waits
_RESETS = (
    "victim: initiator\n"
    "rules:\n"
    "  - when: SCSI-Command where W and EDTL > length nth 1\n"
    "    do: [pass, {probe: {pdu: TMF-Request, Function: LUN_RESET, LUN: LUN, RefTaskTag: none, wait: no}}]\n"
)

PROOFS: Mapping[str, Proof] = {
    "abort_task_plugs_hole": Proof(
        deviants=(
            beside(
                "leaves the place empty",
                "victim: target\n"
                "rules: [{when: TMF-Request where Function == ABORT_TASK nth 1, "
                "do: {set: {RefCmdSN: RefCmdSN - 1000}}}]\n",
            ),
        ),
    ),
    "abort_task_set_order": Proof(
        deviants=(
            beside(
                "waits for nothing",
                "victim: target\n"
                "rules: [{when: TMF-Request where Function == ABORT_TASK_SET nth 1, do: {set: {CmdSN: CmdSN - 1}}}]\n",
            ),
        ),
    ),
    "abort_task_set_silences": Proof(
        deviants=(
            beside(
                "answers a task behind the response",
                "victim: target\n"
                "rules:\n"
                "  - when: R2T where conn.outstanding > 1 nth 2 as last\n"
                "  - when: TMF-Response nth 1\n"
                "    do: [pass, {inject: {pdu: SCSI-Response, ITT: last.ITT, Status: TASK_ABORTED}}]\n",
            ),
        ),
    ),
    "allegiance_outlives_connection": Proof(
        deviants=(
            beside(
                "takes NACA and does not know it",
                "victim: target\n"
                "rules:\n"
                "  - when: SCSI-Command where EDTL == 0 and BHS.37 == 4\n"
                "    do: {set: {BHS.37: 0}}\n"
                '  - when: SCSI-Command where EDTL == 512 and CDB.name == "WRITE(10)" nth 1\n'
                "    do: {set: {CDB: 0x2a000000000000000100}}\n",
                target=_KEEPING,
            ),
        ),
        target=_KEEPING,
        verdict="skipped",
    ),
    "attention_after_connection_reinstatement": Proof(
        deviants=(
            beside(
                "says nothing of what has ended",
                "victim: target\n"
                "rules:\n"
                "  - when: SCSI-Response where sense == 6/47/7F nth 1\n"
                "    do: [{set: {Status: GOOD}}, {resize: 0}]\n",
                target=_KEEPING,
            ),
        ),
        target=_KEEPING,
    ),
    "cmdsn_hole_after_data_digest_error": Proof(
        deviants=(
            beside(
                "counts what it threw away",
                "victim: target\n"
                "rules: [{when: SCSI-Command where W and length > 0 and not I nth 3, "
                "do: {drop: {numbers: translate}}}]\n",
            ),
        ),
    ),
    "cmdsn_hole_after_header_digest_error": Proof(
        deviants=(
            beside(
                "counts what it threw away",
                "victim: target\nrules: [{when: SCSI-Command where not I nth 6, do: {drop: {numbers: translate}}}]\n",
            ),
        ),
    ),
    "command_reserved_byte": Proof(
        deviants=(
            beside(
                "rejects it",
                "victim: target\n"
                "rules: [{when: SCSI-Command where BHS.3 == 0xff, do: {answer: {pdu: Reject, Reason: 9}}}]\n",
            ),
        ),
    ),
    "commands_late_in_order": Proof(
        deviants=(
            beside(
                "gives the session up",
                "victim: target\n"
                "rules: [{when: SCSI-Command where EDTL > 0 nth 20 per connection, do: {close: rst}}]\n",
            ),
        ),
    ),
    "contingent_allegiance": Proof(
        deviants=(
            beside(
                "takes NACA and does not know it",
                "victim: target\n"
                "rules:\n"
                "  - when: SCSI-Command where CDB.LBA == 0xfffffff0\n"
                "    do: {set: {CDB: 0x2800fffffff000000100}}\n",
            ),
        ),
        verdict="skipped",
    ),
    "order_across_logical_units": Proof(deviants=(quirk("W12"),)),
    "ordered_command_between_simple": Proof(
        deviants=(
            beside(
                "answers the one behind it first",
                "victim: target\n"
                "rules:\n"
                "  - when: SCSI-Command where ATTR == ORDERED nth 1 as n\n"
                "    do: {delay: SCSI-Command where CmdSN == n.CmdSN + 1}\n"
                "  - when: SCSI-Command where CmdSN == n.CmdSN + 1 nth 1\n"
                "    do: {answer: {Status: GOOD}}\n",
            ),
        ),
    ),
    "r2t_answered_while_aborting": Proof(
        deviants=(beside("answers no R2T any more", f"{_RESETS}  - {{when: Data-Out, do: drop}}\n"),),
        along=_RESETS,
        within=5.0,
    ),
    "registration_belongs_to_isid": Proof(
        deviants=(
            beside(
                "goes by the name",
                "victim: target\n"
                "rules:\n"
                "  - when: SCSI-Response where Status == RESERVATION_CONFLICT nth 1\n"
                "    do: [{set: {Status: GOOD, U: 0, ResidualCount: 0}}]\n",
            ),
        ),
    ),
    "registration_outlives_connection": Proof(
        deviants=(
            beside(
                "takes the port for another one",
                "victim: target\n"
                "rules:\n"
                '  - when: SCSI-Command where CDB.name == "PERSISTENT RESERVE OUT" then Login-Request then\n'
                '          SCSI-Command where CDB.name == "WRITE(10)" nth 1 as write\n'
                "  - when: SCSI-Response of write\n"
                "    do: {set: {Status: RESERVATION_CONFLICT}}\n",
            ),
        ),
    ),
    "unit_attention_interlock": Proof(
        deviants=(
            beside(
                "takes the page and does not keep to it",
                "victim: target\n"
                'rules: [{when: SCSI-Command where CDB.name == "MODE SELECT(6)", do: {answer: {Status: GOOD}}}]\n',
            ),
        ),
        verdict="skipped",
    ),
}
