from __future__ import annotations

import pytest

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.values import pdu_value
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import (
    Dialogue,
    data_in,
    data_out,
    r2t,
    read,
    reject,
    scsi_response,
    text_request,
    write,
)

SENSE = bytes.fromhex("0012 70000b00000000 0a 00000000 0c0d 00 000000")
LOGIN = {"MaxBurstLength": "65536", "ErrorRecoveryLevel": "1", "InitialR2T": "No", "X-com.example": "odd"}


def holds(test: str, *pdus: Pdu, more: str = "") -> bool:
    """Tell whether a test holds of the last PDU, said after the others."""
    talk = Dialogue(f"rules:\n  - when: {pdus[-1].label} where {test}\n    do: {{note: holds}}{more}", connect=False)
    talk.connect(keys=LOGIN)
    talk.say(*pdus[:-1])
    before = len(talk.told("noted"))
    talk.say(pdus[-1])
    return len(talk.told("noted")) > before


W = write(2, 10, b"abcdef", LUN=3 << 48)


@pytest.mark.parametrize(
    "test",
    [
        "CmdSN == 10 and W and not R and ITT == 2",
        "LUN == 3 and LUN in (1, 3) and not LUN in (1, 2)",
        "length == 6 and len(data) == length and length % 4 == 2 and length * 2 + 1 == 13 and length & 3 == 2",
        'data == "abcdef" and data startswith "abc" and data contains "cde" and data == 0x616263646566',
        "pad == 0x0000 and AHS == absent and len(pad) == 2",
        'CDB.name == "WRITE(10)" and CDB.LBA == 0 and CDB.blocks == 8 and CDB.name like "WRITE*"',
        "BHS.0 == 1 and BHS.1.0 and not BHS.1.1 and BHS.1.2",
        "uint(data, 0, 2) == 0x6162 and uint(data, 4, 2) == 0x6566",
        "min(length, 4) == 4 and max(length, 4, 9) == 9",
        "random(5, 5) == 5 and random(1, 3) in (1 .. 3)",
        "EDTL in (4096 .. 4096) and EDTL in (8, 4KiB)",
        "CmdSN > 9 and CmdSN >= 10 and CmdSN < 11 and CmdSN <= 10 and CmdSN in (9 .. 11)",
        "CmdSN - 11 == 0xffffffff and CmdSN + 0xfffffff6 == 0",
        "ATTR == SIMPLE and task.CmdSN == 10 and task.received == 0 and task.status == absent",
        "task.age < 1s and conn.age >= 0s",
        "conn.CID == 1 and conn.nth == 1 and conn.outstanding == 0",
        "session.type == Normal and session.TSIH == 7 and session.conns == 1 and session.CmdSN == 10",
        'session.TargetName like "iqn.*:target" and not session.TargetName like "IQN*"',
        "key.MaxBurstLength == 64KiB and key.ErrorRecoveryLevel > 0 and key.InitialR2T == No",
        "key.MaxBurstLength - 1 == 65535",
        "declared.target.MaxRecvDataSegmentLength == absent or declared.target.MaxRecvDataSegmentLength > 0",
        "not (EDTL < 4096 or EDTL > 4096)",
        "-1 + length == 5",
        "EDTL / 2 == 2048 and EDTL / 3 == 1365 and length / 4 * 4 == 4 and length / 7 == 0",
    ],
)
def test_holds_of_a_write(test: str) -> None:
    assert holds(test, W)


@pytest.mark.parametrize(
    "test",
    [
        "uint(data, 5, 2) == 0",
        "length % 0 == 0",
        "length / 0 == 0",
        "length / (length - 6) >= 0",
        "n.CmdSN != 5",
        "not n.CmdSN == 5",
        "CmdSN == 10 or n.CmdSN == 5",
        "not replica(n)",
        "random(3, 1) < 9",
    ],
)
def test_what_is_absent_or_unbound_does_not_hold(test: str) -> None:
    assert not holds(test, W, more="\n  - when: SCSI-Command nth 9 as n")


def test_an_absent_value_equals_only_itself() -> None:
    request = text_request(2, 10, {"A": "1", "SendTargets": "All"})
    assert holds("text.X-none == absent and text.SendTargets != absent", request)
    assert holds('text.X-none != "x" and not text.X-none contains "x" and text.SendTargets == "All"', request)


def test_serial_numbers_wrap() -> None:
    pdu = write(2, 0xFFFFFFFE)
    assert holds("CmdSN < 3 and CmdSN + 4 == 2 and CmdSN in (0xfffffff0 .. 5) and not CmdSN > 1", pdu)


def test_sense_status_and_residuals() -> None:
    pdu = scsi_response(2, 101, SENSE, Status=2)
    assert holds("sense == B/0C/0D and Status == CHECK_CONDITION and sense in (5/24/00, B/0C/0D)", write(2, 10), pdu)
    assert holds("sense == absent and Status == GOOD and sense != B/0C/0D", write(2, 10), scsi_response(2, 101))


def test_the_header_in_a_reject() -> None:
    assert holds("header.ITT == 2 and header.CmdSN == 10", write(2, 10), reject(write(2, 10).bhs))
    assert holds("header.ITT == absent", write(2, 10), reject(b""))


def test_the_task_follows_its_pdus() -> None:
    pdus = [write(2, 10), r2t(2, 5), data_out(2, 0, ttt=5), data_out(2, 1, ttt=5)]
    assert holds('task.received == 512 and task.R2Ts == 1 and task.CDB.name == "WRITE(10)"', *pdus)
    assert holds("task.sent == 512 and task.EDTL == 4096", read(2, 10), data_in(2, 0), data_in(2, 1))


def test_private_keys_are_text_and_absent_ones_are_absent() -> None:
    assert holds('key.X-com.example == "odd" and key.X-com.other == absent', W)


def test_a_replica_is_equal_but_for_what_changes() -> None:
    first = scsi_response(2, 101)
    bind = "\n  - when: SCSI-Response nth 1 as n"
    assert holds("replica(n)", first, scsi_response(2, 101, ExpCmdSN=12, MaxCmdSN=99), more=bind)
    assert not holds("replica(n)", first, scsi_response(2, 102), more=bind)
    assert not holds("replica(n)", first, scsi_response(2, 101, Status=2), more=bind)
    assert not holds("replica(n)", first, scsi_response(2, 101, b"x"), more=bind)


def test_a_capture_is_as_it_was() -> None:
    bind = "\n  - when: SCSI-Command nth 1 as n"
    assert holds(
        'n.CmdSN == CmdSN - 1 and n.at == 0s and n.CDB.name == "WRITE(10)"', write(2, 10), write(3, 11), more=bind
    )


def test_a_connection_has_numbers() -> None:
    bind = "\n  - when: connect as c\n  - when: full-feature as f"
    assert holds("c.CID == 1 and f.CID == 1 and f.TSIH == 7 and c.TSIH == 7", W, more=bind)


@pytest.mark.parametrize(
    ("path", "value"),
    [("length", 6), ("LUN", 3), ("CDB", W.cdb), ("CDB.blocks", 8), ("BHS.1.2", 1), ("EDTL", 4096), ("text.A", None)],
)
def test_parts_of_a_pdu_have_names(path: str, value: object) -> None:
    assert pdu_value(path)(W) == value
    assert Book() == {}
