"""Faults that real products met with: what went wrong there, by the rules that bring it about."""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.target.settings import TargetSettings
from tests.faults.proof import Deviant, Proof, beside, quirk
from tests.runs.playing import Own

__all__ = ["PROOFS"]

_ACCOUNT = Account(name="user", secret=b"sesamesesame")
_CHAP = Own(settings=TargetSettings(accounts=(_ACCOUNT,), time2wait=0), account=_ACCOUNT)
#: One that agrees to unsolicited Data-Out
_UNASKED = Own(settings=TargetSettings(initial_r2t=False, max_recv_data_segment_length=8192, time2wait=0))


def _never_returns(moment: str) -> Deviant:
    """Give the initiator that is gone for good at this moment."""
    return beside("never returns", _dies("initiator", moment))


def _never_answers_again(moment: str) -> Deviant:
    """Give the target that is gone for good at this moment."""
    return beside("dies", _dies("target", moment))


def _dies(victim: str, moment: str) -> str:
    return f"""victim: {victim}
machines:
  life:
    states:
      alive:
        - when: {moment}
          do: close
        - when: close from proxy
          do: {{goto: dead}}
      dead:
        - when: connect
          do: refuse
"""


PROOFS: Mapping[str, Proof] = {
    "abort_of_unsent_command": Proof(
        within=3.0,
        deviants=(
            beside(
                "aborts what it never sent",
                "victim: initiator\nrules: [{when: SCSI-Response where MaxCmdSN < ExpCmdSN nth 1, do: "
                "[pass, {inject: {pdu: TMF-Request, Function: ABORT_TASK, "
                "RefTaskTag: fresh, RefCmdSN: session.CmdSN, LUN: task.LUN}}]}]\n",
            ),
        ),
    ),
    "asked_to_log_out": Proof(
        within=3.0,
        deviants=(
            beside("does not listen", "victim: initiator\nrules: [{when: Async, do: {drop: {numbers: translate}}}]\n"),
        ),
    ),
    "async_messages_flood": Proof(within=3.0, deviants=(_never_returns("Async nth 32"),)),
    "chap_challenge_long": Proof(
        within=3.0, target=_CHAP, deviants=(_never_returns("Login-Response where text.CHAP_C != absent"),)
    ),
    "chap_response_too_long": Proof(
        within=3.0,
        target=_CHAP,
        deviants=(
            beside(
                "never answers",
                "victim: target\nrules: [{when: Login-Request where text.CHAP_R != absent nth 1, do: drop}]\n",
            ),
        ),
    ),
    "connection_lost_before_login_ends": Proof(within=8.0, deviants=(_never_returns("Login-Response after 1"),)),
    "connection_lost_just_after_login": Proof(within=8.0, deviants=(_never_returns("Login-Response after 1"),)),
    "cut_while_abort_in_flight": Proof(within=3.0, deviants=(_never_answers_again("TMF-Request"),)),
    "cut_while_initiator_resets": Proof(
        within=8.0,
        hang=0.8,
        deviants=(
            beside(
                "never returns",
                "victim: initiator\nmachines: {life: {states: {alive: [{when: close from target, do: {goto: dead}}], "
                "dead: [{when: connect, do: refuse}]}}}\n",
            ),
        ),
    ),
    "data_digest_of_odd_sizes": Proof(
        within=3.0,
        deviants=(
            beside(
                "computes otherwise where the length is odd",
                "victim: target\nrules: [{when: Data-Out where length % 4 != 0 nth 1, do: {corrupt: data-digest}}]\n",
            ),
        ),
    ),
    "data_out_starved_by_commands": Proof(
        within=3.0,
        deviants=(
            beside(
                "lets R2Ts wait",
                "victim: initiator\nrules: [{when: R2T, do: {delay: {until: 8s, overtake: yes}}}]\n",
            ),
        ),
    ),
    "early_command_aborted_and_cut": Proof(within=3.0, deviants=(_never_answers_again("TMF-Request"),)),
    "initial_r2t_and_immediate_data": Proof(
        within=3.0,
        deviants=(
            beside(
                "rejects the first write",
                "victim: target\nrules: [{when: SCSI-Command where W nth 1, do: {answer: {pdu: Reject, Reason: 4}}}]\n",
            ),
        ),
    ),
    "last_data_in_at_offset_zero": Proof(within=3.0, deviants=(quirk("libiscsi-offset", "libiscsi-datasn"),)),
    "login_stalled_blocks_others": Proof(
        within=2.0,
        deviants=(beside("has room for one login", "victim: target\nrules: [{when: connect after 1, do: refuse}]\n"),),
    ),
    "maxcmdsn_widened": Proof(
        within=8.0,
        hang=3.0,
        deviants=(
            beside(
                "hangs up when it has no room",
                "victim: target\nrules: [{when: SCSI-Command where CmdSN > session.MaxCmdSN nth 1, do: close}]\n",
            ),
        ),
    ),
    "nop_in_counted_as_status": Proof(
        within=3.0,
        deviants=(
            beside(
                "counts the NOP-In",
                "victim: initiator\nrules: [{when: NOP-Out where TTT != none, "
                "do: {set: {ExpStatSN: ExpStatSN + 1}}}]\n",
            ),
        ),
    ),
    "nop_in_lun_not_echoed": Proof(
        within=3.0,
        deviants=(
            quirk("libiscsi-ping-lun", axes={"lun": "0x0001000200030004"}),
            beside(
                "always says LUN 0",
                "victim: initiator\nrules: [{when: NOP-Out where TTT != none, do: {set: {LUN: 0}}}]\n",
                axes={"lun": "0x0001000000000000"},
            ),
        ),
    ),
    "nop_out_rejected": Proof(within=3.0, deviants=(_never_returns("Reject"),)),
    "old_pdu_after_reconnection": Proof(
        within=4.0,
        deviants=(
            beside(
                "sends what was left",
                "victim: initiator\nrules: [{when: Login-Request after 1 nth 1, do: {set: {BHS.0: 0x40}}}]\n",
            ),
            _never_returns("Login-Response after 1"),
        ),
    ),
    "old_session_writes_after_reinstatement": Proof(
        within=2.0,
        deviants=(
            beside(
                "keeps the old session",
                "victim: target\nrules:\n"
                "  - {when: Login-Request nth 3, do: {set: {ISID: 0x800000ab0000}}}\n"
                "  - {when: Login-Response where ISID == 0x800000ab0000, do: {set: {ISID: 0x807902690001}}}\n",
            ),
        ),
    ),
    "only_a_nop_in_raises_maxcmdsn": Proof(
        within=2.0,
        deviants=(
            beside(
                "takes no notice of NOP-In",
                "victim: initiator\nrules: [{when: NOP-In where ITT == none and TTT == none, do: drop}]\n",
            ),
        ),
    ),
    "preempted_while_reads_run": Proof(
        within=2.0,
        deviants=(
            beside(
                "stands still",
                "victim: target\nrules: [{when: SCSI-Command where BHS.32 == 0x5f nth 3, do: drop}]\n",
            ),
        ),
    ),
    "r2t_advances_statsn": Proof(
        within=3.0,
        deviants=(
            quirk("libiscsi-statsn-gaps", verdict="warn"),
            beside("stands still", "victim: initiator\nrules: [{when: R2T nth 2 then Status-PDU, do: {stall: 20s}}]\n"),
        ),
    ),
    "r2t_counted_as_status": Proof(within=3.0, deviants=(quirk("libiscsi-expstatsn"),)),
    "r2t_with_zero_window": Proof(
        within=4.0,
        deviants=(
            beside("loses the request", "victim: initiator\nrules: [{when: R2T where MaxCmdSN == 0, do: drop}]\n"),
        ),
    ),
    "r2ts_that_cannot_be": Proof(
        within=3.0,
        deviants=(
            beside(
                "sends what it has",
                "victim: initiator\nrules: [{when: R2T where DesiredDataTransferLength == 0, "
                "do: {set: {DesiredDataTransferLength: 65536}}}]\n",
            ),
        ),
    ),
    "reinstated_in_rapid_succession": Proof(
        within=2.0,
        deviants=(
            beside(
                "lets nobody in any more",
                "victim: target\nrules: [{when: Login-Request nth 3, "
                "do: {answer: {Status-Class: 3, Status-Detail: 2}}}]\n",
            ),
        ),
    ),
    "rejected_command_stops_io": Proof(
        within=2.0,
        hang=5.0,
        deviants=(beside("never hears of it", "victim: initiator\nrules: [{when: Reject, do: drop}]\n"),),
    ),
    "second_login_request_at_once": Proof(
        within=3.0,
        deviants=(
            beside(
                "misses what comes at once",
                "victim: target\nrules: [{when: Login-Request nth 2, do: drop}]\n",
            ),
        ),
    ),
    "slow_but_healthy": Proof(
        within=3.0,
        hang=5.0,
        deviants=(
            beside(
                "waits no longer than a second",
                "victim: initiator\nmachines: {ping: {states: {idle: [{when: SCSI-Command, do: {goto: waiting}}], "
                "waiting: [{when: Target-PDU, do: {goto: idle}}, {when: 1s, do: close}]}}}\n",
            ),
        ),
    ),
    "statsn_begins_beyond_half": Proof(
        within=3.0,
        deviants=(
            beside(
                "takes it for a negative number",
                "victim: initiator\nrules: [{when: Initiator-PDU where conn.phase == full-feature, "
                "do: {set: {ExpStatSN: ExpStatSN + 0x70000000}}}]\n",
            ),
        ),
    ),
    "status_for_no_task": Proof(
        within=2.5,
        hang=0.8,
        deviants=(_never_returns("SCSI-Response where task.CmdSN == absent"),),
    ),
    "unsolicited_data_beyond_first_burst": Proof(
        within=3.0,
        target=_UNASKED,
        deviants=(
            beside(
                "counts the Data-Out alone",
                "victim: initiator\nnegotiate: {initiator: {FirstBurstLength: 24576}}\n"
                "rules: [{when: SCSI-Command where W nth 1, do: {note: from here on}}]\n",
            ),
        ),
    ),
    "window_smaller_after_reconnect": Proof(
        within=3.0,
        deviants=(
            beside(
                "keeps the old window",
                "victim: initiator\nrules: [{when: Target-PDU where conn.nth > 1, "
                "do: {set: {MaxCmdSN: MaxCmdSN + 64}}}]\n",
            ),
        ),
    ),
    "write_without_data_aborted": Proof(within=3.0, deviants=(_never_answers_again("TMF-Request"),)),
}
