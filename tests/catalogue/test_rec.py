"""Recovery: SNACKs that the initiator never sent, Rejects that the target never sent, reassigned tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import SenseCode, encode_sense
from tests.catalogue.harness import Fields, Step, also, altered, at_initiator, at_target, moved, row
from tests.engine.dialogue import (
    NO_TAG,
    Dialogue,
    data_in,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    scsi_response,
    text_request,
    text_response,
    tmf,
    write,
)
from tests.session.dialogue import NAMES, TPGT, login_request, login_response, request, response

__all__: list[str] = []

#: Recovery of data and statuses, which a target grants if it is asked.
RECOVERING = {"ErrorRecoveryLevel": "1"}
#: The sense of a read that has failed for good, behind its length.
READ_ERROR = b"\0\x12" + encode_sense(SenseCode(0xB, 0x11, 0x13))
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
    script = (who, welcome, READ, done, read(3, 11), also(altered(done, {})), later)
    played = at_target(rules, *script, login=False)
    played.assert_got(asked, READ, snack(STATUS, 101, 1), read(3, 11))
    played.at(End.INITIATOR).assert_got(login_response(TPGT), done, later)


@row("REC-02")
@pytest.mark.parametrize(("begin", "length"), [(1, 1), (1, 0), (0, 0)])
def test_data_is_asked_for_again(begin: int, length: int) -> None:
    # What comes again lies before what has come, and the initiator has had it.
    rules = """
    params: {begin: 0, length: 0}
    negotiate: {target: {ErrorRecoveryLevel: 1}}
    rules:
      - when: Data-In where F nth 1 as last
        do:
          - inject: {pdu: SNACK, Type: DATA_R2T, BegRun: $begin, RunLength: $length, as: snack}
      - when: Data-In of last where BufferOffset < task.sent
        optional: yes
        do: drop
    """
    who, welcome = login_request(NAMES), login_response({**TPGT, **RECOVERING})
    again = [also(altered(one, {})) for one in DATA_IN[begin:][: length or 4]]
    params = {"begin": str(begin), "length": str(length)}
    played = at_target(rules, who, welcome, *READING[:-1], *again, DONE, login=False, params=params)
    asked = login_request({**NAMES, **RECOVERING})
    played.assert_got(asked, READ, snack(DATA_R2T, begin, length))
    played.at(End.INITIATOR).assert_got(login_response(TPGT), *DATA_IN, DONE)


@pytest.mark.parametrize(
    ("level", "fields", "expected"),
    [
        pytest.param(
            1, "Type: STATUS, BegRun: conn.StatSN - 1, RunLength: 1", snack(STATUS, 100, 1), marks=row("REC-03")
        ),
        pytest.param(1, "Type: DATA_R2T, BegRun: 1000, RunLength: 1", snack(DATA_R2T, 1000, 1), marks=row("REC-03")),
        pytest.param(1, "Type: 5", snack(5, ITT=2), marks=row("REC-04")),
        pytest.param(1, "Type: DATA_ACK, BegRun: 1, RunLength: 1", snack(DATA_ACK, 1, 1), marks=row("REC-04")),
        pytest.param(1, "Type: R_DATA, TTT: 0x77, BegRun: 1", snack(R_DATA, 1, TTT=0x77), marks=row("REC-04")),
        pytest.param(1, "Type: DATA_ACK, BegRun: 1", snack(DATA_ACK, 1), marks=row("REC-05")),
        pytest.param(1, "Type: DATA_ACK, BegRun: 1, TTT: 0x1234", snack(DATA_ACK, 1, TTT=0x1234), marks=row("REC-05")),
        pytest.param(
            0, "Type: STATUS, BegRun: conn.StatSN - 1, RunLength: 1", snack(STATUS, 100, 1), marks=row("REC-07")
        ),
        pytest.param(0, "Type: DATA_R2T, RunLength: 1", snack(DATA_R2T, 0, 1), marks=row("REC-07")),
    ],
)
def test_a_snack_that_may_not_be(level: int, fields: str, expected: Pdu) -> None:
    rules = f"""
    negotiate: {{target: {{ErrorRecoveryLevel: {level}}}}}
    rules:
      - when: Data-In nth 1
        do:
          - inject: {{pdu: SNACK, {fields}, as: snack}}
    """
    keys = {"ErrorRecoveryLevel": str(level)}
    who, welcome = login_request({**NAMES, "ErrorRecoveryLevel": "0"}), login_response({**TPGT, **keys})
    ping, done = nop_out(3, 11), scsi_response(2, 101)
    # The refusal reaches nobody; for the target it is acknowledged at once.
    refused, then = also(refusal(4, expected.bhs)), also(moved(done, StatSN=1), instead=done)
    if not level:
        rules = rules.partition("rules:\n")[2]  # without recovery nobody has anything to negotiate
    script = (who, welcome, READ, data_in(2, 0), refused, data_in(2, 1, F=1), then, ping)
    played = at_target(rules, *script, login=False)
    played.assert_got(login_request({**NAMES, **keys}), READ, expected, moved(ping, ExpStatSN=1))


@row("REC-06")
def test_data_is_asked_for_again_in_smaller_segments() -> None:
    # The initiator gets the data as it came first, and of the status that carries the SNACK Tag what it has asked for.
    rules = """
    negotiate: {target: {ErrorRecoveryLevel: 1}}
    rules:
      - when: Data-In where F nth 1 as last
        do:
          - probe: {pdu: Text-Request, text: [MaxRecvDataSegmentLength=512], as: smaller}
          - inject: {pdu: SNACK, Type: R_DATA, TTT: 0x1234, as: snack}
      - when: Data-In of last where BufferOffset < task.sent
        optional: yes
        do: drop
      - when: SCSI-Response of last where SNACKTag == 0x1234
        optional: yes
        do: {set: {SNACKTag: 0, ExpDataSN: last.DataSN + 1}}
    """
    who, welcome = login_request(NAMES), login_response({**TPGT, **RECOVERING})

    def changed(talk: Dialogue) -> Pdu | None:
        asked = talk.sent(End.TARGET)[-1].pdu
        return text_response(asked["ITT"], 101) if asked.opcode == Opcode.TEXT_REQUEST else None

    again = [also(data_in(2, sn, bytes(512), BufferOffset=512 * sn, F=int(sn == 7))) for sn in range(8)]
    done = also(scsi_response(2, 102, SNACKTag=0x1234, ExpDataSN=8), instead=DONE)
    played = at_target(rules, who, welcome, *READING[:-1], changed, *again, done, login=False)
    smaller = Pdu.build(Opcode.TEXT_REQUEST, b"MaxRecvDataSegmentLength=512\0").with_fields(
        {"I": 1, "F": 1, "ITT": played.victim[2]["ITT"], "TTT": NO_TAG, "CmdSN": 11, "ExpStatSN": 101}
    )
    played.assert_got(login_request({**NAMES, **RECOVERING}), READ, smaller, snack(R_DATA, TTT=0x1234, ExpStatSN=102))
    played.at(End.INITIATOR).assert_got(login_response(TPGT), *DATA_IN, DONE)


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        pytest.param("RefTaskTag: first.ITT", {"RefTaskTag": 2}, marks=row("REC-14")),
        pytest.param("RefTaskTag: first.ITT, I: 0", {"RefTaskTag": 2, "I": 0}, marks=row("REC-15")),
        pytest.param("RefTaskTag: text.ITT", {"RefTaskTag": 4}, marks=row("REC-15")),
    ],
)
def test_a_task_is_reassigned_that_may_not_be(fields: str, values: Fields) -> None:
    rules = f"""
    negotiate: {{target: {{ErrorRecoveryLevel: 2}}}}
    rules:
      - when: SCSI-Command nth 1 as first
      - when: Text-Request nth 1 as text
        do:
          - pass
          - probe: {{pdu: TMF-Request, Function: TASK_REASSIGN, {fields}, settle: no, as: again}}
    """.replace("as text", "as asked").replace("text.ITT", "asked.ITT")
    who, welcome = login_request(NAMES), login_response({**TPGT, "ErrorRecoveryLevel": "2"})
    text, later = text_request(4, 11, {"SendTargets": ""}), read(5, 12)

    def told(talk: Dialogue) -> Pdu | None:
        asked = talk.sent(End.TARGET)[-1].pdu
        return response(Opcode.TMF_RESPONSE, asked["ITT"], 101, Response=3) if asked is not text else None

    played = at_target(rules, who, welcome, READ, text, told, later, login=False)
    asked = played.authored[-1]
    again = Pdu.build(Opcode.TMF_REQUEST).with_fields(
        {"I": 1, "F": 1, "Function": 8, "ITT": asked["ITT"], "CmdSN": 12, "ExpStatSN": 101, **values}
    )
    login = login_request({**NAMES, "ErrorRecoveryLevel": "2"})
    # The answer is hidden; what is not immediate uses up a CmdSN.
    played.assert_got(login, READ, text, again, moved(later, ExpStatSN=1, CmdSN=int(not again["I"])))


REASSIGNED = """
params: {late: 0s}
negotiate: {target: {ErrorRecoveryLevel: 2, MaxConnections: 2}}
rules:
  - when: full-feature nth 1 as first
  - when: SCSI-Command where R nth 1 as command
  - when: Data-In nth 1 as last
    do:
      - pass
      - close: rst
  - when: Login-Request nth 2
    do: {set: {ISID: first.ISID, TSIH: first.TSIH, CID: 0x99, CmdSN: command.CmdSN + 1}}
  - when: full-feature nth 2 then $late
    do:
      - probe: {pdu: Logout-Request, ReasonCode: 2, CID: first.CID, CmdSN: command.CmdSN + 1, as: gone}
      - probe:
          pdu: TMF-Request
          Function: TASK_REASSIGN
          RefTaskTag: command.ITT
          ExpDataSN: last.DataSN + 1
          CmdSN: command.CmdSN + 1
          settle: no
          as: again
"""


@pytest.mark.parametrize("late", [pytest.param(0, marks=row("REC-16")), pytest.param(25, marks=row("REC-17"))])
def test_a_task_is_reassigned_to_another_connection(late: int) -> None:
    # The initiator begins a new session when it has lost the old one: the proxy makes it a connection of that.
    keys = {"ErrorRecoveryLevel": "2", "MaxConnections": "2"}
    first, second = login_request(NAMES), login_request(NAMES, ISID=0x80BBBBBBBBBB)
    welcome, again = login_response({**TPGT, **keys}), login_response({**TPGT, **keys})

    def reconnect(talk: Dialogue) -> None:
        talk.connect(2, login=False)

    def answered(opcode: int, stat_sn: int) -> Step:
        def say(talk: Dialogue) -> Pdu | None:
            asked = talk.sent(End.TARGET, 2)[-1].pdu
            known = (Opcode.LOGOUT_REQUEST, Opcode.TMF_REQUEST)
            return response(opcode, asked["ITT"], stat_sn) if asked.opcode in known else None

        return say

    script = (first, welcome, READ, DATA_IN[0], reconnect, second, again, late + 1)
    answers = (answered(Opcode.LOGOUT_RESPONSE, 101), answered(Opcode.TMF_RESPONSE, 102))
    played = at_target(REASSIGNED, *script, *answers, login=False, params={"late": f"{late}s"})
    bye, moved_here = played.authored[-2:]
    played.assert_got(
        login_request({**NAMES, **keys}),
        READ,
        login_request({**NAMES, **keys}, TSIH=7, CID=0x99, CmdSN=11),
        altered(request(Opcode.LOGOUT_REQUEST, 0, 11, I=1, ReasonCode=2, CID=0), {"ITT": bye["ITT"]}),
        tmf(moved_here["ITT"], 11, 8, READ["ITT"], ExpDataSN=1, ExpStatSN=102),
    )


# --- towards the initiator ---


@row("REC-08")
def test_its_snack_is_rejected() -> None:
    rules = """
    - when: Data-In where DataSN == 1 nth 1 as lost
      do: drop
    - when: SNACK where Type == DATA_R2T nth 1
      do:
        - answer: {pdu: Reject, Reason: SNACK_REJECT}
    - when: SCSI-Response of lost
      do: {set: {Status: CHECK_CONDITION, sense: B/11/13, U: 1, ResidualCount: task.EDTL}}
    """
    asked = snack(DATA_R2T, 1, 1)
    played = at_initiator(rules, READ, *DATA_IN[:3], asked, DATA_IN[3], DONE, keys=RECOVERING)
    failed = altered(DONE, {"Status": 2, "U": 1, "ResidualCount": 4096, "StatSN": 102, "data": READ_ERROR})
    played.assert_got(DATA_IN[0], DATA_IN[2], refusal(3, asked.bhs), DATA_IN[3], failed)
    played.at(End.TARGET).assert_got(READ)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        pytest.param("DATA_DIGEST_ERROR", 2, marks=row("REC-09")),
        pytest.param("PROTOCOL_ERROR", 4, marks=row("REC-10")),
        pytest.param("COMMAND_NOT_SUPPORTED", 5, marks=row("REC-10")),
        pytest.param("INVALID_PDU_FIELD", 9, marks=row("REC-10")),
        pytest.param("WAITING_FOR_LOGOUT", 12, marks=row("REC-12")),
    ],
)
def test_its_command_is_rejected(reason: str, code: int) -> None:
    # The target never sees the command: it waits for that CmdSN, until the initiator fills the hole.
    rules = f"""
    - when: SCSI-Command where not I nth 1
      do:
        - drop
        - inject: {{pdu: Reject, Reason: {reason}}}
    """
    command, other, ping, echo = write(2, 10, b"data"), read(3, 11), nop_out(4, 12, I=1), nop_in(4, 101)
    played = at_initiator(rules, command, other, ping, echo)
    played.assert_got(refusal(code, command.bhs), moved(echo, StatSN=1))
    played.at(End.TARGET).assert_got(other, ping)


@row("REC-11")
@pytest.mark.parametrize("header", [nop_out(0x7777, 900).bhs, b"\x01\x80\x00"], ids=["unknown", "short"])
def test_something_it_never_sent_is_rejected(header: bytes) -> None:
    rules = f"""
    - when: SCSI-Response nth 1
      do:
        - inject: {{pdu: Reject, Reason: PROTOCOL_ERROR, data: 0x{header.hex()}}}
    """
    done = scsi_response(2, 101)
    played = at_initiator(rules, READ, done, scsi_response(3, 102))
    played.assert_got(refusal(4, header), moved(done, StatSN=1), scsi_response(3, 103))


@row("REC-13")
def test_its_negotiation_is_rejected() -> None:
    rules = """
    - when: Text-Request nth 1
      do:
        - answer: {pdu: Reject, Reason: 0x0b}
    """
    asked, later, done = text_request(2, 10, {"MaxBurstLength": "512"}), read(3, 11), scsi_response(3, 101)
    played = at_initiator(rules, asked, later, done)
    played.assert_got(refusal(0x0B, asked.bhs, ExpCmdSN=11, MaxCmdSN=41), moved(done, StatSN=1, ExpCmdSN=1, MaxCmdSN=1))
    played.at(End.TARGET).assert_got(moved(later, CmdSN=-1))


@row("REC-18")
def test_a_range_is_asked_for_again() -> None:
    rules = """
    - when: R2T nth 1 as ask
    - when: Data-Out of ask where F and task.received + length == task.EDTL nth 1
      do:
        - inject:
            pdu: R2T
            R2TSN: ask.R2TSN + 1
            BufferOffset: ask.BufferOffset
            DesiredDataTransferLength: ask.DesiredDataTransferLength
            as: again
    """
    command, ask = write(2, 10), r2t(2, 7, DesiredDataTransferLength=4096)
    burst = [data_out(2, sn, bytes(2048), ttt=7, BufferOffset=2048 * sn, F=sn) for sn in (0, 1)]

    def once_more(sn: int) -> Callable[[Dialogue], Pdu | None]:
        def say(talk: Dialogue) -> Pdu | None:
            tag = talk.sent(End.INITIATOR)[-1].pdu["TTT"]
            return None if tag == 7 else altered(burst[sn], {"TTT": tag})

        return say

    done = scsi_response(2, 101)
    played = at_initiator(rules, command, ask, *burst, once_more(0), once_more(1), done)
    again = played.authored[-1]
    assert again["TTT"] not in (7, NO_TAG)
    played.assert_got(ask, altered(ask, {"R2TSN": 1, "TTT": again["TTT"]}), done)
    played.at(End.TARGET).assert_got(command, *burst)


@row("REC-19")
def test_a_ping_shows_that_statuses_are_missing() -> None:
    rules = """
    - when: NOP-Out where ITT == none and TTT == none
      do: drop
    - when: SCSI-Response nth 1 as last
      do:
        - pass
        - inject: {pdu: NOP-In, StatSN: last.StatSN + 4, as: gap}
    """
    done, acknowledgement = scsi_response(2, 101), nop_out(NO_TAG, 11, I=1, ExpStatSN=102)
    later = scsi_response(3, 102)
    played = at_initiator(rules, READ, done, acknowledgement, later, keys=RECOVERING)
    gap = Pdu.build(Opcode.NOP_IN).with_fields(
        {"F": 1, "ITT": NO_TAG, "TTT": NO_TAG, "StatSN": 105, "ExpCmdSN": 10, "MaxCmdSN": 40}
    )
    played.assert_got(done, gap, later)
    played.at(End.TARGET).assert_got(READ)
