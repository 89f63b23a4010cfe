"""Pings and what keeps a connection alive: the rows NOP."""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.peers.target.settings import TargetSettings
from tests.faults.proof import Proof, beside, quirk
from tests.runs.playing import Own

__all__ = ["PROOFS"]

#: A target that asks for a sign of life when it has heard nothing for a while
_ASKING = Own(settings=TargetSettings(initial_r2t=True, time2wait=0, nop_interval=0.3))

PROOFS: Mapping[str, Proof] = {
    "nop_in_answers_and_asks": Proof(
        deviants=(
            beside(
                "takes it for both",
                "victim: initiator\n"
                "rules:\n"
                "  - when: NOP-In where ITT != none and TTT != none\n"
                "    do: [{inject: {pdu: NOP-Out, ITT: none, TTT: TTT}}, {set: {TTT: none}}]\n",
            ),
        ),
    ),
    "nop_in_asks": Proof(
        deviants=(
            beside("never answers", "victim: target\nrules: [{when: NOP-Out where TTT != none, do: drop}]\n"),
            beside(
                "counts a CmdSN",
                "victim: target\nrules: [{when: NOP-Out where TTT != none, do: {set: {CmdSN: CmdSN + 1}}}]\n",
            ),
        ),
    ),
    "nop_in_echo_changed": Proof(
        deviants=(
            beside(
                "crashes",
                "victim: initiator\n"
                "machines:\n"
                "  end:\n"
                "    states:\n"
                "      alive: [{when: NOP-In where length == 4096, do: [{goto: dead}]}]\n"
                "      dead: [{when: 0s, do: {close: rst}}, {when: connect, do: refuse}]\n",
                axes={"to": "4096"},
            ),
        ),
    ),
    "nop_in_echo_lost": Proof(
        deviants=(
            beside(
                "needs no answer",
                "victim: initiator\n"
                "rules:\n"
                "  - when: NOP-Out where ITT != none as ping\n"
                "    do: [pass, {inject: {pdu: NOP-In, ITT: ping.ITT}}]\n",
                verdict="warn",
            ),
        ),
        within=2.5,
        hang=0.8,
    ),
    "nop_in_flood": Proof(
        deviants=(
            beside(
                "loses an answer",
                "victim: target\nrules: [{when: NOP-Out where TTT != none nth 100, do: drop}]\n",
            ),
        ),
    ),
    "nop_in_lun_copied": Proof(deviants=(quirk("libiscsi-ping-lun"),)),
    "nop_in_statsn_ahead": Proof(
        deviants=(
            beside(
                "acknowledges what has not come",
                "victim: target\n"
                "rules: [{when: NOP-In where TTT == none and ITT == none nth 1 then Initiator-PDU, "
                "do: {set: {ExpStatSN: ExpStatSN + 1}}}]\n",
                quirks=("libiscsi-statsn-gaps",),
            ),
        ),
    ),
    "nop_in_wants_no_answer": Proof(
        deviants=(
            beside(
                "answers",
                "victim: initiator\n"
                "rules:\n"
                "  - when: NOP-In where ITT == none and TTT == none nth 1\n"
                "    do: [{inject: {pdu: NOP-Out, ITT: none, TTT: none}}]\n",
                verdict="warn",
            ),
        ),
    ),
    "ping_answer_lost": Proof(
        deviants=(
            beside(
                "answers nothing any more",
                "victim: target\n"
                "machines:\n"
                "  end:\n"
                "    states:\n"
                "      alive: [{when: NOP-In where TTT != none, do: [{goto: dumb}]}]\n"
                "      dumb: [{when: Status-PDU or Data-In or R2T, do: drop}]\n",
                target=_ASKING,
            ),
        ),
        target=_ASKING,
        along="victim: target\n"
        "rules: [{when: SCSI-Response nth 1, do: {inject: {pdu: NOP-In, ITT: none, TTT: 0x1234}}}]\n",
        within=5.0,
    ),
    "ping_longer_than_taken": Proof(
        deviants=(
            beside(
                "cuts nothing off",
                "victim: target\n"
                "rules: [{when: NOP-In where length == 512 nth 1, do: {resize: {to: 1024, fill: 0x5a}}}]\n",
            ),
        ),
    ),
    "ping_with_foreign_tag": Proof(
        deviants=(
            beside("says nothing", "victim: target\nrules: [{when: NOP-Out where TTT == 0x12345678, do: drop}]\n"),
        ),
        verdict="warn",
    ),
    "ping_without_tag": Proof(
        deviants=(
            beside(
                "does not count it",
                "victim: target\nrules: [{when: NOP-Out where ITT == none and not I, do: drop}]\n",
            ),
        ),
    ),
}
