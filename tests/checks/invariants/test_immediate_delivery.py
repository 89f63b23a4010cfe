from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []


def _inquiry(first: int, *, evpd: int = 0, lun: int = 0, mark: str = "") -> str:
    return f"""
        > SCSI-Command cdb=hex:12{evpd:02x}00002400 R EDTL=36 lun={lun}
        < Data-In data=hex:{first:02x}{35 * "00"} F S {mark}
    """


TAPE = _inquiry(0x01)
REWIND, SPACE = "cdb=hex:01", "cdb=hex:11"

CASES = (
    Case(
        rule="I-061",
        good=f"""
            login
            {TAPE}
            > SCSI-Command {REWIND} EDTL=0
            < SCSI-Response
        """,
        bad=f"""
            login
            {TAPE}
            > SCSI-Command {REWIND} EDTL=0 I
        """,
        short=f"""
            login
            {TAPE}
            > SCSI-Command cdb=TEST-UNIT-READY I
            < SCSI-Response
        """,
        mutant=(REWIND, f"{SPACE} I"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


@pytest.mark.parametrize(
    ("told", "command", "found"),
    [
        (_inquiry(0x08), "cdb=hex:a5", True),  # MOVE MEDIUM
        (_inquiry(0x08), "cdb=hex:01", False),
        (_inquiry(0x01), "cdb=WRITE(6):0+1", True),
        (_inquiry(0x00), "cdb=WRITE(6):0+1", False),  # a disk
        (_inquiry(0x00), "cdb=hex:a5", False),
        (_inquiry(0x21), "cdb=hex:01", False),  # a tape drive might be connected, and is not
        (_inquiry(0x01, evpd=1), "cdb=hex:01", False),  # no standard data
        (_inquiry(0x01, lun=3), "cdb=hex:01", False),
        (_inquiry(0x01, lun=3), "cdb=hex:01 lun=3", True),
        (_inquiry(0x01).replace("< Data-In", "<x Data-In"), "cdb=hex:01", False),
        ("", "cdb=hex:01", False),
    ],
)
def test_the_device_is_what_the_initiator_was_told(told: str, command: str, *, found: bool) -> None:
    text = f"""
        login
        {told}
        > SCSI-Command {command} I
    """
    assert bool(judged(text).of("I-061")) is found


def test_the_proof_is_where_the_device_was_told() -> None:
    (found,) = judged(f"login\n{TAPE}\n> SCSI-Command {REWIND} I").of("I-061")
    assert found.text == "operation code 0x01 for a tape is marked for immediate delivery"
    assert [proof.text.partition(" ")[0] for proof in found.proof] == ["SCSI-Command", "Data-In"]
