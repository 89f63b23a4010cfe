"""SCSI status and sense."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.sense import SenseCode, encode_sense
from tests.catalogue.harness import Fields, at_initiator, row, runs_of
from tests.engine.dialogue import data_in, read, scsi_response

__all__: list[str] = []

COMMAND, ANSWER = read(2, 10), scsi_response(2, 101)
CHECK = 2


def segment(sense: bytes) -> bytes:
    return len(sense).to_bytes(2, "big") + sense


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param("BUSY", 0x08, marks=row("SCS-01")),
        pytest.param("TASK_SET_FULL", 0x28, marks=row("SCS-02")),
        pytest.param("RESERVATION_CONFLICT", 0x18, marks=row("SCS-03")),
        pytest.param("CHECK_CONDITION", 0x02, marks=row("SCS-08")),
        pytest.param("ACA_ACTIVE", 0x30, marks=row("SCS-10")),
        pytest.param("TASK_ABORTED", 0x40, marks=row("SCS-10")),
        pytest.param("CONDITION_MET", 0x04, marks=row("SCS-10")),
        pytest.param("0x10", 0x10, marks=row("SCS-10")),
        pytest.param("0x55", 0x55, marks=row("SCS-12")),
    ],
)
def test_another_status(status: str, code: int) -> None:
    rules = f"- {{when: SCSI-Response where Status == GOOD nth 1, do: {{set: {{Status: {status}}}}}}}"
    again = scsi_response(3, 102)
    played = at_initiator(rules, COMMAND, ANSWER, read(3, 11), again)
    played.assert_changed(ANSWER, {"Status": code})


SENSE = """
params: {sense: 0}
rules:
  - when: SCSI-Response where Status == GOOD nth 1
    do:
      - set: {Status: CHECK_CONDITION, data: $sense}
"""


@pytest.mark.parametrize(
    ("sense", "code"),
    [
        pytest.param("6/29/00", (6, 0x29, 0), marks=row("SCS-04")),
        pytest.param("6/29/07", (6, 0x29, 7), marks=row("SCS-04")),
        pytest.param("6/2A/09", (6, 0x2A, 9), marks=row("SCS-04")),
        pytest.param("6/3F/0E", (6, 0x3F, 0x0E), marks=row("SCS-04")),
        pytest.param("6/47/7F", (6, 0x47, 0x7F), marks=row("SCS-05")),
        pytest.param("B/47/05", (0xB, 0x47, 5), marks=row("SCS-06")),
        pytest.param("B/0C/0C", (0xB, 0x0C, 0x0C), marks=row("SCS-06")),
        pytest.param("B/0C/0D", (0xB, 0x0C, 0x0D), marks=row("SCS-06")),
        pytest.param("B/11/13", (0xB, 0x11, 0x13), marks=row("SCS-06")),
        pytest.param("3/11/00", (3, 0x11, 0), marks=row("SCS-07")),
        pytest.param("4/44/00", (4, 0x44, 0), marks=row("SCS-07")),
        pytest.param("5/24/00", (5, 0x24, 0), marks=row("SCS-07")),
    ],
)
def test_a_check_condition(sense: str, code: tuple[int, int, int]) -> None:
    rules = f"""
    - when: SCSI-Response where Status == GOOD nth 1
      do:
        - set: {{Status: CHECK_CONDITION, sense: {sense}}}
    """
    played = at_initiator(rules, COMMAND, ANSWER)
    played.assert_changed(ANSWER, {"Status": CHECK, "data": segment(encode_sense(SenseCode(*code)))})


@row("SCS-09")
@pytest.mark.parametrize(
    "data",
    [
        b"\0\0",
        b"\xff\xff" + encode_sense(SenseCode(6, 0x29, 0)),
        b"\0\x07" + encode_sense(SenseCode(6, 0x29, 0))[:7],
        segment(encode_sense(SenseCode(6, 0x29, 0), descriptor=True)),
        segment(b"\x71" + encode_sense(SenseCode(6, 0x29, 0))[1:]),
        segment(b"\x73" + encode_sense(SenseCode(6, 0x29, 0), descriptor=True)[1:]),
    ],
    ids=bytes.hex,
)
def test_sense_that_is_not_what_it_says(data: bytes) -> None:
    played = at_initiator(SENSE, COMMAND, ANSWER, params={"sense": f"0x{data.hex()}"})
    played.assert_changed(ANSWER, {"Status": CHECK, "data": data})


@row("SCS-11")
def test_the_service_fails() -> None:
    scenario = """
    matrix: {response: [1, 0x80, 0x42]}
    rules:
      - when: SCSI-Response nth 1
        do: {set: {Response: $response, Status: 0x55, O: 1, U: 1, o: 1, u: 1}}
    """
    runs = runs_of(scenario, "initiator")
    assert len(runs) == 3
    for axes in runs:
        played = at_initiator(scenario, COMMAND, ANSWER, axes=axes)
        response = int(axes["response"], 0)
        played.assert_changed(ANSWER, {"Response": response, "Status": 0x55, "O": 1, "U": 1, "o": 1, "u": 1})


CAPACITY = bytes.fromhex("25000000000000000000")
INQUIRY = bytes.fromhex("12000000ff00")
REPORT_LUNS = bytes.fromhex("a00000000000000000ff0000")


@pytest.mark.parametrize(
    ("cdb", "name", "answer", "act", "changes"),
    [
        pytest.param(
            *(CAPACITY, "READ CAPACITY(10)", bytes.fromhex("000fffff00000200")),
            "{set: {data+0: 0x0007ffff}}",
            {"data": bytes.fromhex("0007ffff00000200")},
            marks=row("SCS-13"),
        ),
        pytest.param(
            *(CAPACITY, "READ CAPACITY(10)", bytes.fromhex("000fffff00000200")),
            "{set: {data+4: 0x00001000}}",
            {"data": bytes.fromhex("000fffff00001000")},
            marks=row("SCS-13"),
        ),
        pytest.param(
            *(INQUIRY, "INQUIRY", bytes(36)),
            "{set: {data: 0x00b0003c000100000000010000000100}}",
            {"data": bytes.fromhex("00b0003c000100000000010000000100")},
            marks=row("SCS-13"),
        ),
        pytest.param(
            *(REPORT_LUNS, "REPORT LUNS", bytes.fromhex("0000000800000000") + bytes(8)),
            "{resize: 11}",
            {"data": bytes.fromhex("0000000800000000") + bytes(3)},
            marks=row("SCS-14"),
        ),
        pytest.param(
            *(REPORT_LUNS, "REPORT LUNS", bytes.fromhex("0000000800000000") + bytes(8)),
            "[{set: {data+0: 0x00013880}}, {resize: 80008}]",
            {"data": bytes.fromhex("00013880").ljust(80008, b"\0")},
            marks=row("SCS-14"),
        ),
    ],
)
def test_what_the_device_says_is_edited(cdb: bytes, name: str, answer: bytes, act: str, changes: Fields) -> None:
    said = data_in(2, 0, answer, F=1)
    played = at_initiator(
        f"- {{when: 'Data-In where task.CDB.name == \"{name}\" nth 1', do: {act}}}",
        read(2, 10, CDB=cdb, EDTL=252),
        said,
        scsi_response(2, 101),
    )
    played.assert_changed(said, changes)
