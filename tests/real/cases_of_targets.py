"""Rows of the catalogue whose victim is tgtd."""

from __future__ import annotations

from tests.real.cases import DEEP, DIGESTS, SECRET, UNDECIDED, WRITE, Case, rule, rules
from tests.real.catalogued import HEADER
from tests.real.evidence import changed, clean, doubled, gapless, lost, pieces, retold, together
from tests.real.sightings import (
    a_flood_of_pings,
    a_hole_in_the_commands,
    a_task_that_ended,
    an_empty_one,
    an_immediate_command,
    another_lun,
    another_proof,
    behind_the_logout,
    cut_in_the_header,
    cut_to,
    digests_on_one_leg,
    order,
    probed,
    reset_in_its_place,
)

__all__ = ["OF_TARGETS"]

SCSI_COMMAND, LOGIN_REQUEST, DATA_OUT, LOGOUT_REQUEST = 0x01, 0x03, 0x05, 0x06
DATASN = "iscsi.datasn"


#: In the order of the catalogue.
OF_TARGETS = (
    Case(
        row="LOG-01",
        rules=rule("Login-Request nth 1", "{set: {Version-max: 1, Version-min: 1}}"),
        check=changed(LOGIN_REQUEST, (2, 3), end="target", shows={"iscsi.versionmax": 1, "iscsi.versionmin": 1}),
        saw="the target answers 0205 and closes",
    ),
    Case(
        row="LOG-02",
        rules=rule("Login-Request nth 1", "{text: {remove: InitiatorName}}"),
        check=retold(LOGIN_REQUEST, end="target", gone=["InitiatorName"]),
        saw="the target answers 0207",
    ),
    Case(
        row="LOG-05",
        rules=rule("Login-Request nth 1", "{set: {NSG: CSG}}"),
        check=changed(LOGIN_REQUEST, (1,), end="target", shows={"iscsi.login.nsg": 1}),
        saw="the target answers 0200 and closes",
    ),
    Case(
        row="LOG-12",
        rules=rule("Login-Request nth 1", "{set: {text.MaxBurstLength: 511}}"),
        check=retold(LOGIN_REQUEST, end="target", gone=["MaxBurstLength"], told=["MaxBurstLength=511"]),
        saw="the target lets the initiator in",
    ),
    Case(
        row="LOG-22",
        rules=rule("Login-Request nth 1", "{text: {add: [Foo=1, X-com.example.proxy=1]}}"),
        check=retold(LOGIN_REQUEST, end="target", told=["Foo=1", "X-com.example.proxy=1"]),
    ),
    Case(
        row="SEC-01",
        # Of the first digit behind CHAP_N=tester, its NUL, and CHAP_R=0x; one bit alone might make it a capital only.
        rules=rule("Login-Request where text.CHAP_R != absent nth 1", "{corrupt: {what: data, at: 23, bits: 2}}"),
        check=together(changed(LOGIN_REQUEST, (HEADER + 23,), end="target"), another_proof),
        traffic=SECRET,
        saw="the target answers 0201",
    ),
    Case(
        row="SEC-02",
        rules=rule("Login-Request nth 1", "{set: {text.AuthMethod: None}}"),
        check=retold(LOGIN_REQUEST, end="target", gone=["AuthMethod"], told=["AuthMethod=None"]),
        traffic=SECRET,
        saw="the target answers 0201",
    ),
    Case(
        row="SEQ-01",
        rules=rule("SCSI-Command where R and EDTL == 4096 nth 2", "drop"),
        check=together(lost(SCSI_COMMAND, end="target"), a_hole_in_the_commands),
        traffic=DEEP,
        saw="the target holds what follows; the initiator waits",
    ),
    Case(
        row="SEQ-02",
        rules=rule(WRITE, "duplicate"),
        check=doubled(SCSI_COMMAND, end="target", number="iscsi.cmdsn"),
        saw="the target closes, and the write is done on another connection",
    ),
    Case(
        row="SEQ-04",
        rules=rule(WRITE, f"[{', '.join(['{inject: {pdu: NOP-Out}}'] * 64)}]"),
        check=a_flood_of_pings,
    ),
    Case(
        row="SEQ-05",
        rules=rule("SCSI-Command where not I nth 5", "{set: {I: 1}}"),
        check=an_immediate_command,
    ),
    Case(
        row="SEQ-23",
        rules=rule("Data-Out where DataSN == 2 nth 1", "drop"),
        check=together(lost(DATA_OUT, end="target"), order(DATA_OUT, [0, 1, 3, 4, 5, 6], end="target")),
        saw="the target asks for 8 KiB more, and answers GOOD with a hole in its data",
    ),
    Case(
        row="SEQ-24",
        rules=rules(
            "name: late\n    when: Data-Out where DataSN == 1\n    do: [{set: {DataSN: DataSN + 4}}, {disarm: late}]"
        ),
        check=together(changed(DATA_OUT, range(36, 40), end="target", shows={DATASN: 5}), clean),
        saw="the target does not mind",
    ),
    Case(
        row="DAT-07",
        rules=rule("Data-Out where DataSN == 0 nth 1", "{set: {F: 1}}"),
        check=changed(DATA_OUT, (1,), end="target", shows={"iscsi.scsidata.F": 1}),
        saw="the target closes",
    ),
    Case(
        row="DAT-09",
        rules=rules(
            'when: Data-Out where DataSN == 0 nth 1 as first\n    do: {duplicate: {data: "", DataSN: 1,'
            " BufferOffset: BufferOffset + length, F: 0}}",
            "{when: Data-Out of first where DataSN > 0, do: {set: {DataSN: DataSN + 1}}}",
        ),
        check=an_empty_one,
    ),
    Case(row="DAT-10", rules=rule("Data-Out", "{split: 1024}"), check=together(cut_to(1024), gapless, clean)),
    Case(
        row="DAT-11",
        rules=rule("Data-Out", "{merge: 2}"),
        check=cut_to(16384),
        saw="the target, which takes 8 KiB, takes it",
    ),
    Case(
        row="DAT-16",
        rules=rule("SCSI-Command where R and EDTL == 65536 nth 1", "{set: {EDTL: EDTL * 2}}"),
        check=changed(
            SCSI_COMMAND, range(20, 24), end="target", shows={"iscsi.scsicommand.expecteddatatransferlength": 131072}
        ),
        saw="the target tells of an underflow of 64 KiB, as it should",
    ),
    Case(
        row="DIG-01",
        rules=rule(WRITE, "{corrupt: header-digest}"),
        check=changed(SCSI_COMMAND, range(HEADER, HEADER + 4), end="target", digest="bad"),
        traffic=DIGESTS,
        saw="the target closes",
    ),
    Case(
        row="DIG-12",
        # A reserved bit that the dissector lets pass; others make it take the PDU for something else.
        rules=rule("Logout-Request nth 1", "{set: {BHS.22: 1}}"),
        check=together(changed(LOGOUT_REQUEST, (22, *range(HEADER, HEADER + 4)), end="target", digest="good"), clean),
        traffic=DIGESTS,
    ),
    Case(
        row="DIG-17",
        rules="negotiate: {target: {HeaderDigest: CRC32C}, initiator: {HeaderDigest: None}}\n"
        + rule("SCSI-Command nth 1", "{note: seen}"),
        check=digests_on_one_leg,
        traffic=UNDECIDED,
    ),
    Case(
        row="TMF-04",
        rules=rule(WRITE, "{probe: {pdu: TMF-Request, Function: LUN_RESET, LUN: 99}}"),
        check=probed(5, another_lun),
        saw="the target answers 0, and not 2",
    ),
    Case(
        row="TMF-05",
        rules=rules(
            "{when: SCSI-Response nth 2 as done}",
            f"when: {WRITE}\n    do: {{probe: {{pdu: TMF-Request, Function: ABORT_TASK, LUN: 1, RefTaskTag: done.ITT,"
            " RefCmdSN: CmdSN - 1}}",
        ),
        check=probed(1, a_task_that_ended),
        saw="the target answers 1",
    ),
    Case(
        row="TMF-08",
        rules=rule(
            'SCSI-Command where CDB.name == "TEST UNIT READY" nth 2',
            "{swap: {pdu: TMF-Request, Function: LUN_RESET, LUN: 1}}",
        ),
        check=reset_in_its_place,
        saw="the target answers 0, and has a unit attention for the next command",
    ),
    Case(
        row="CON-02",
        rules=rule("Logout-Request nth 1", "{set: {ReasonCode: 2}}"),
        check=changed(LOGOUT_REQUEST, (1,), end="target", shows={"iscsi.logout.reason": 2}),
    ),
    Case(
        row="CON-03",
        rules=rules(
            "{when: SCSI-Command where R nth 1 as read}",
            "{when: Logout-Request nth 1, do: [pass, {replay: {what: read, ITT: fresh, CmdSN: session.CmdSN}}]}",
        ),
        check=behind_the_logout,
        saw="the target does not answer",
    ),
    Case(
        row="TCP-01",
        rules=rule("Data-Out nth 2", "{close: {how: rst, at: header+20}}"),
        check=cut_in_the_header,
        saw="the write is done on another connection",
    ),
    Case(
        row="TCP-03",
        rules=rule("SCSI-Command", "{stall: {until: 1ms, at: header+1}}"),
        check=together(pieces(SCSI_COMMAND, 1, end="target"), clean),
    ),
    Case(
        row="TCP-04",
        rules=rule("Data-Out nth 2", "{stall: {until: 300ms, at: data+1000}}"),
        check=together(pieces(DATA_OUT, HEADER + 1000, end="target"), clean),
    ),
    Case(
        row="GAR-01",
        rules=rule(WRITE, "{set: {Opcode: 0x1c}}"),
        check=changed(SCSI_COMMAND, (0,), end="target", shows={"iscsi.opcode": 0x1C}),
        saw="the target closes",
    ),
)
