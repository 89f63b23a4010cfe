"""Sequence numbers, and what is lost or comes twice: the rows SEQ."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Deviant, Proof, beside, quirk

__all__ = ["PROOFS"]

#: An initiator has time to give a command up, and one that does not is found before its own timer runs out
_WITHIN, _HANG = 2.0, 6.0


def _target(name: str, *rules: str) -> Deviant:
    return beside(name, _beside("target", rules))


def _initiator(name: str, *rules: str) -> Deviant:
    return beside(name, _beside("initiator", rules))


def _beside(victim: str, rules: tuple[str, ...]) -> str:
    return "".join([f"victim: {victim}\nrules:\n", *(f"  - {{{rule}}}\n" for rule in rules)])


def _looked_at(*deviants: Deviant) -> Proof:
    return Proof(deviants=deviants, within=_WITHIN, hang=_HANG)


PROOFS: Mapping[str, Proof] = {
    "cmdsn_wraps": Proof(
        deviants=(
            _target(
                "takes 0 for an old number",
                "when: SCSI-Command where CmdSN == 0xffffffff as high",
                "when: SCSI-Command where CmdSN == high.CmdSN + 1, do: drop",
            ),
        ),
    ),
    "command_lost": Proof(
        deviants=(
            _target(
                "sees no hole",
                "when: SCSI-Command where CmdSN > session.CmdSN nth 1 as hole, do: {set: {CmdSN: CmdSN - 1}}",
                "when: SCSI-Command where CmdSN > hole.CmdSN, do: {set: {CmdSN: CmdSN - 1}}",
            ),
        ),
    ),
    "command_made_immediate": Proof(
        deviants=(
            _target(
                "counts it",
                "when: SCSI-Command where I nth 1 as urgent",
                "when: Target-PDU where ExpCmdSN == urgent.CmdSN, do: {set: {ExpCmdSN: ExpCmdSN + 1}}",
            ),
            _target(
                "does not answer it",
                "when: SCSI-Command where I nth 1 as urgent",
                "when: Status-PDU of urgent, do: drop",
            ),
        ),
    ),
    "command_retried_while_executing": Proof(deviants=(quirk("W12"),)),
    "data_in_lost": _looked_at(quirk("libiscsi-datasn", "libiscsi-offset")),
    "data_in_out_of_order": _looked_at(
        quirk("libiscsi-datasn", "libiscsi-offset"),
        _initiator(
            "puts each behind the one before",
            "when: Data-In where DataSN == 2 and task.sent == 8192 as second, "
            "do: {set: {DataSN: 1, BufferOffset: 8192}}",
            "when: Data-In of second where DataSN == 1, do: {set: {DataSN: 2, BufferOffset: 16384}}",
        ),
    ),
    "data_in_twice": _looked_at(
        _initiator(
            "puts each behind the one before",
            "when: Data-In where DataSN == 1 nth 2 per task as copy, "
            "do: {set: {DataSN: 2, BufferOffset: BufferOffset + length}}",
            "when: Data-In of copy where DataSN == 2, do: drop",
        ),
    ),
    "data_out_datasn_wrong": Proof(
        deviants=(
            quirk("tgt-holes", verdict="warn"),
            _target(
                "does not answer",
                "when: SCSI-Response where Status == CHECK_CONDITION and task.EDTL > 100000, do: drop",
            ),
        ),
    ),
    "data_out_lost": Proof(deviants=(quirk("tgt-holes"),)),
    "expcmdsn_ahead": _looked_at(
        _initiator(
            "catches up",
            "when: SCSI-Response or Data-In where ExpCmdSN > session.CmdSN nth 1 as odd",
            "when: SCSI-Command where CmdSN < odd.ExpCmdSN, do: {set: {CmdSN: CmdSN + 10000}}",
        ),
        _initiator(
            "stands still",
            "when: SCSI-Response or Data-In where ExpCmdSN > session.CmdSN nth 1 as odd",
            "when: SCSI-Command where CmdSN < odd.ExpCmdSN, do: {delay: 30s}",
        ),
    ),
    "expdatasn_too_high": _looked_at(
        quirk("libiscsi-datasn", verdict="warn"),
        _initiator("takes no notice of the response", "when: SCSI-Response where ExpDataSN > 0, do: drop"),
    ),
    "expstatsn_beyond": Proof(
        deviants=(
            _target(
                "takes the response for delivered",
                "when: SCSI-Command where ExpStatSN > conn.StatSN as odd",
                "when: Status-PDU of odd, do: drop",
            ),
        ),
    ),
    "expstatsn_frozen": Proof(
        deviants=(
            _target(
                "loses a response",
                "when: SCSI-Command where ExpStatSN + 20 < conn.StatSN nth 1 as late",
                "when: Status-PDU of late, do: drop",
            ),
        ),
    ),
    "immediate_command_flood": Proof(
        deviants=(_target("drops one", "when: NOP-In nth 20, do: {drop: {numbers: translate}}"),),
    ),
    "immediate_command_outside_window": Proof(
        deviants=(_target("heeds the window", "when: NOP-Out where CmdSN > session.MaxCmdSN, do: drop"),),
    ),
    "maxcmdsn_falls": _looked_at(
        _initiator(
            "believes it",
            "when: SCSI-Response or Data-In where MaxCmdSN < session.MaxCmdSN nth 1 as low",
            "when: SCSI-Command where CmdSN >= low.ExpCmdSN, do: {delay: 30s}",
        ),
    ),
    "r2t_lost": Proof(
        deviants=(
            _initiator(
                "sends unasked",
                "when: SCSI-Command where W nth 2 as write, do: [pass, {delay: 300ms}, {inject: "
                "{pdu: Data-Out, F: 1, ITT: write.ITT, TTT: 7, BufferOffset: 8192, data: 'unasked '}}]",
            ),
        ),
        # its timer is what it has
        within=8.0,
        hang=1.5,
    ),
    "r2t_twice": _looked_at(quirk("libiscsi-datasn")),
    "r2tsn_gap": _looked_at(
        quirk("libiscsi-datasn", verdict="warn"),
        _initiator("takes no notice of it", "when: R2T where R2TSN == 1 and BufferOffset <= 16384, do: drop"),
    ),
    "scsi_response_lost": _looked_at(quirk("libiscsi-statsn-gaps")),
    "scsi_response_twice": _looked_at(
        _initiator(
            "counts it",
            "when: SCSI-Response where StatSN < conn.StatSN nth 1 as again, do: drop",
            "when: SCSI-Command where ExpStatSN == again.StatSN + 1, do: {set: {ExpStatSN: ExpStatSN + 1}}",
        ),
    ),
    "statsn_jump": _looked_at(
        quirk("libiscsi-statsn-gaps", verdict="warn"),
        _initiator(
            "acknowledges nothing any more",
            "when: SCSI-Response where StatSN > conn.StatSN nth 1 as odd, do: {set: {StatSN: conn.StatSN}}",
            "when: SCSI-Command or Data-Out or NOP-Out where odd.ITT != none, do: {set: {ExpStatSN: 1}}",
        ),
    ),
    "statsn_out_of_reach": _looked_at(quirk("libiscsi-statsn-gaps")),
    "statsn_wraps": _looked_at(
        _initiator(
            "takes 0 for an old number",
            "when: 'SCSI-Command or Data-Out or NOP-Out where ExpStatSN in (0..1000)', "
            "do: {set: {ExpStatSN: 0xffffffff}}",
        ),
    ),
    "window_shut": _looked_at(
        _initiator(
            "sends beyond MaxCmdSN",
            "when: Login-Response or SCSI-Response or Data-In, do: {set: {MaxCmdSN: ExpCmdSN + 31}}",
        ),
        _initiator("stands still", "when: SCSI-Command where W nth 3, do: {delay: 30s}"),
    ),
}
