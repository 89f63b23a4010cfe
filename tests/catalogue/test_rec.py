"""Recovery: SNACKs that the initiator never sent, Rejects that the target never sent, reassigned tasks."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.catalogue.harness import Step, altered, at_initiator, at_target, moved, row
from tests.engine.dialogue import (
    NO_TAG,
    Dialogue,
    data_in,
    data_out,
    nop_out,
    r2t,
    read,
    scsi_response,
    text_request,
    text_response,
    write,
)
from tests.session.dialogue import NAMES, TPGT, login_request, login_response, response

__all__: list[str] = []

#: Recovery of data and statuses, which a target grants if it is asked.
RECOVERING = {"ErrorRecoveryLevel": "1"}
DATA_R2T, STATUS, DATA_ACK, R_DATA = range(4)
READ, DONE = read(2, 10), scsi_response(2, 101, ExpDataSN=4)
DATA_IN = [data_in(2, sn, bytes(1024), BufferOffset=1024 * sn, F=int(sn == 3)) for sn in range(4)]
READING: tuple[Step, ...] = (READ, *DATA_IN, DONE)


def snack(kind: int, begin: int = 0, length: int = 0, **values: int) -> Pdu:
    tag = 2 if kind in (DATA_R2T, R_DATA) else NO_TAG
    fields = {"F": 1, "Type": kind, "ITT": tag, "TTT": NO_TAG, "ExpStatSN": 101, "BegRun": begin, "RunLength": length}
    return Pdu.build(Opcode.SNACK).with_fields({**fields, **values})


def refusal(reason: int, of: bytes, *, stat_sn: int = 101, **values: int) -> Pdu:
    fields = {"F": 1, "Reason": reason, "ITT": NO_TAG, "StatSN": stat_sn, "ExpCmdSN": 10, "MaxCmdSN": 40}
    return Pdu.build(Opcode.REJECT, of).with_fields({**fields, **values})


# --- towards the target ---


@row("REC-01")
def test_a_status_is_asked_for_again() -> None:
    # The response is kept until the target has sent it again, and then goes instead of that.
    rules = """
    negotiate: {target: {ErrorRecoveryLevel: 1}}
    rules:
      - when: SCSI-Response nth 1 as status
        do:
          - inject: {pdu: SNACK, Type: STATUS, BegRun: status.StatSN, RunLength: 1, as: snack}
          - delay: {until: SCSI-Response of status, at_most: 5s}
      - when: SCSI-Response of status where StatSN == status.StatSN
        do: drop
    """
    who, welcome = login_request(NAMES), login_response({**TPGT, **RECOVERING})
    asked = login_request({**NAMES, **RECOVERING})
    done, later = scsi_response(2, 101), scsi_response(3, 102)
    script = (who, welcome, READ, done, read(3, 11), lambda talk: altered(done, {}) if armed(talk) else None, later)
    played = at_target(rules, *script, login=False)
    played.assert_got(asked, READ, snack(STATUS, 101, 1), read(3, 11))
    played.at(End.INITIATOR).assert_got(login_response(TPGT), done, later)


def armed(talk: Dialogue) -> bool:
    """Tell whether the proxy has sent something of its own."""
    return any(one.of is None for leg in End for one in talk.sent(leg))
