"""Rows of the catalogue whose victim is QEMU."""

from __future__ import annotations

from tests.real.cases import SECRET, SHORT, STUCK, WRITE, WRITTEN, Case, rule, rules
from tests.real.evidence import changed, clean, doubled, lost, retold, together
from tests.real.sightings import (
    a_closed_window,
    all_in_one_round_more,
    asked_in_pieces,
    asked_of_the_initiator,
    data_behind_the_status,
    no_answer,
    order,
    overtaken,
    status_apart,
    takes_little,
    told_of,
    too_busy,
    unit_attention,
)

__all__ = ["OF_INITIATORS"]

SCSI_RESPONSE, LOGIN_RESPONSE, DATA_IN, R2T = 0x21, 0x23, 0x25, 0x31
DATASN = "iscsi.datasn"
TTT, NO_TAG = "iscsi.targettransfertag", 0xFFFFFFFF


def statuses(status: str) -> str:
    """Write a rule that gives the write another status."""
    return rule(WRITTEN, f"{{set: {{Status: {status}}}}}")


#: In the order of the catalogue.
OF_INITIATORS = (
    Case(
        row="LOG-29",
        rules=rule("Login-Response nth 1", "{set: {Status-Class: 2, Status-Detail: 1, T: 0, NSG: 0}}"),
        check=changed(
            LOGIN_RESPONSE, (1, 36, 37), end="initiator", shows={"iscsi.login.status": 0x0201, "iscsi.login.T": 0}
        ),
        saw="QEMU gives up: authentication failure",
    ),
    Case(
        row="LOG-41",
        rules=rule("Login-Response where T nth 1", "{split_text: {by: T, rounds: 2}}"),
        check=all_in_one_round_more,
        saw="the initiator says all its keys once more",
    ),
    Case(
        row="LOG-42",
        rules=rule("Login-Response nth 1", "{set: {text.MaxRecvDataSegmentLength: 512}}"),
        check=together(retold(LOGIN_RESPONSE, end="initiator", told=["MaxRecvDataSegmentLength=512"]), takes_little),
    ),
    Case(
        row="SEC-05",
        rules=rule("Login-Response where text.CHAP_A != absent nth 1", "{set: {text.CHAP_A: 9}}"),
        check=retold(LOGIN_RESPONSE, end="initiator", gone=["CHAP_A"], told=["CHAP_A=9"]),
        traffic=SECRET,
        saw="the initiator does not care, and answers as to CHAP_A=5",
    ),
    Case(
        row="SEQ-08",
        rules=rules(
            "{when: SCSI-Response nth 1..2 as early, do: {set: {MaxCmdSN: ExpCmdSN - 1}}}",
            "{when: SCSI-Response nth 2 then 300ms, do: {inject: {pdu: NOP-In, MaxCmdSN: early.ExpCmdSN + 63}}}",
        ),
        check=a_closed_window,
    ),
    Case(
        row="SEQ-14",
        rules=rule(WRITTEN, "duplicate"),
        check=doubled(SCSI_RESPONSE, end="initiator", number="iscsi.statsn"),
        saw="the initiator does not mind",
    ),
    Case(
        row="SEQ-15",
        rules=rule(WRITTEN, "drop"),
        check=together(lost(SCSI_RESPONSE, end="initiator"), no_answer),
        traffic=STUCK,
        saw="the initiator waits",
    ),
    Case(
        row="SEQ-16",
        rules=rule("Data-In where DataSN == 1 nth 1", "drop"),
        check=together(lost(DATA_IN, end="initiator"), order(DATA_IN, [0, 2, 3, 4, 5, 6, 7])),
        traffic=SHORT,
        saw="the read is GOOD to the initiator, with a hole in its data",
    ),
    Case(
        row="SEQ-17",
        rules=rule("Data-In where DataSN == 1 nth 1", "duplicate"),
        check=together(
            doubled(DATA_IN, end="initiator", number=DATASN), order(DATA_IN, [0, 1, 1, 2, 3, 4, 5, 6, 7]), clean
        ),
        traffic=SHORT,
    ),
    Case(
        row="SEQ-18",
        rules=rule(
            "Data-In where DataSN == 1 nth 1 as early",
            "{delay: {until: Data-In of early where DataSN == 2 then 1ms, overtake: yes}}",
        ),
        check=overtaken,
        traffic=SHORT,
        saw="where the late one comes behind the status, the read is GOOD without it",
    ),
    Case(
        row="DAT-20",
        rules=rule("R2T nth 1", "{set: {TTT: none}}"),
        check=changed(R2T, range(20, 24), end="initiator", shows={TTT: NO_TAG}),
        saw="the initiator answers it with that tag, and the target takes the data",
    ),
    Case(row="DAT-25", rules=rule("R2T", "{split: 16384}"), check=asked_in_pieces),
    Case(
        row="DAT-32",
        rules=rule("Data-In where length == 8192", "{split: {size: 8192, status: apart}}"),
        check=status_apart,
        traffic=SHORT,
    ),
    Case(
        row="DAT-39",
        rules=rules(
            "{when: Data-In where DataSN == 1 nth 1 as early}",
            "{when: Data-In where S and length == 8192 nth 1, do: [pass, {replay: early}]}",
        ),
        check=data_behind_the_status,
        traffic=SHORT,
    ),
    Case(
        row="NOP-01",
        rules=rule(WRITTEN, "{inject: {pdu: NOP-In, TTT: 0x12345678, LUN: 1}}"),
        check=asked_of_the_initiator(1, 1),
    ),
    Case(row="NOP-02", rules=rule(WRITTEN, "{inject: {pdu: NOP-In}}"), check=asked_of_the_initiator(1, 0)),
    Case(
        row="NOP-07",
        rules=rule(
            WRITTEN, f"[{', '.join(f'{{inject: {{pdu: NOP-In, TTT: {7000 + n}, LUN: 1}}}}' for n in range(100))}]"
        ),
        check=asked_of_the_initiator(100, 100),
    ),
    Case(
        row="ASY-01",
        rules=rule(WRITTEN, "{inject: {pdu: Async, AsyncEvent: 1, Parameter3: 5}}"),
        check=told_of(1, 0, 0, 5),
        saw="the initiator logs out and in again",
    ),
    Case(
        row="ASY-03",
        rules=rule(
            WRITTEN,
            "[{inject: {pdu: Async, AsyncEvent: 2, Parameter1: conn.CID, Parameter2: 1, Parameter3: 20}},"
            " pass, {close: rst}]",
        ),
        check=told_of(2, 0, 1, 20),
        saw="the initiator waits as long as it is told, in whole seconds of its clock, and connects again",
    ),
    Case(
        row="ASY-09",
        rules=rule(
            WRITTEN,
            "{inject: {pdu: Async, AsyncEvent: 0, data: 0x0012700006000000000a000000003f0e00000000}}",
        ),
        check=told_of(0),
        saw="the initiator ignores it",
    ),
    Case(
        row="CON-15",
        rules=rules(
            f"{{when: {WRITTEN}, do: [pass, {{close: rst}}]}}",
            "{when: Login-Response nth 2, do: {set: {text.TargetPortalGroupTag: 2}}}",
        ),
        check=retold(LOGIN_RESPONSE, end="initiator", gone=["TargetPortalGroupTag"], told=["TargetPortalGroupTag=2"]),
        saw="the initiator does not mind",
    ),
    Case(
        row="SCS-01",
        rules=statuses("BUSY"),
        check=changed(SCSI_RESPONSE, (3,), end="initiator", shows={"iscsi.scsiresponse.status": 0x08}),
        saw="QEMU tries again",
    ),
    Case(
        row="SCS-02",
        rules=rule(WRITE, "{answer: {Status: TASK_SET_FULL}}"),
        check=too_busy,
        saw="QEMU tries again",
    ),
    Case(
        row="SCS-03",
        rules="""machines:
  disk:
    states:
      free:
        - {when: full-feature, do: {goto: reserved}}
      reserved:
        - {when: SCSI-Response where task.EDTL == 65536, do: [{set: {Status: RESERVATION_CONFLICT}}, {goto: free}]}
""",
        check=changed(SCSI_RESPONSE, (3,), end="initiator", shows={"iscsi.scsiresponse.status": 0x18}),
        saw="QEMU reports an I/O error",
    ),
    Case(
        row="SCS-04",
        rules=rule(WRITTEN, "{set: {Status: CHECK_CONDITION, data: 0x0012700006000000000a000000002a0900000000}}"),
        check=unit_attention,
        saw="QEMU tries again",
    ),
    Case(
        row="SCS-10",
        rules=statuses("TASK_ABORTED"),
        check=changed(SCSI_RESPONSE, (3,), end="initiator", shows={"iscsi.scsiresponse.status": 0x40}),
        saw="QEMU reports an I/O error",
    ),
)
