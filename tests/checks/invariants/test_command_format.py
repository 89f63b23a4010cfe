from __future__ import annotations

import pytest

from iscsiproxy.wire.ahs import Ahs
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []


def _hex(*segments: Ahs) -> str:
    return "ahs=hex:" + b"".join(segment.raw for segment in segments).hex()


BIDI = _hex(Ahs.for_read_edtl(512))
#: A variable length CDB of 32 bytes: its first half is in the header
LONG = b"\x7f\0\0\0\0\0\0\x18" + bytes(24)
EXTENDED = _hex(Ahs.for_cdb(LONG))
CDB32 = f"cdb=hex:{LONG[:16].hex()}"

CASES = (
    Case(
        rule="I-015",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1 F=0
        """,
        short="""
            login
            > NOP-Out
            < NOP-In
        """,
        mutant=("cdb=READ(10):0+1", "cdb=READ(10):0+1 R=0"),
    ),
    Case(
        rule="I-016",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 data=512
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY W F=0
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 data=256
            > SCSI-Command cdb=READ(10):0+1
        """,
        mutant=("data=512", "data=512 F=0"),
    ),
    Case(
        rule="I-062",
        good=f"""
            login
            > SCSI-Command {CDB32} {EXTENDED}
            < SCSI-Response
        """,
        bad=f"""
            login
            > NOP-Out {BIDI}
        """,
        short="""
            conn 1
        """,
        mutant=(CDB32, "cdb=TEST-UNIT-READY"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def _texts(rule: str, line: str) -> list[str]:
    return [finding.text for finding in judged(f"login\n{line}").of(rule)]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("cdb=TEST-UNIT-READY F=0", "F and W are both 0: there is nothing that could follow"),
        ("cdb=READ(10):0+1 F=0", "F and W are both 0: there is nothing that could follow"),
        ("cdb=READ(10):0+1 R=0", "EDTL=512, and R and W are both 0"),
        ("cdb=TEST-UNIT-READY ATTR=5", "ATTR=5, which is reserved"),
        ("cdb=READ(10):0+1 ATTR=7", "ATTR=7, which is reserved"),
        ("cdb=READ(10):0+1 R W", "R and W are both 1, and no AHS tells the length of the read"),
        (f"cdb=READ(10):0+1 R W {EXTENDED}", "R and W are both 1, and no AHS tells the length of the read"),
        (f"cdb=TEST-UNIT-READY {BIDI}", "a read of 512 bytes, and R and W are both 0"),
    ],
)
def test_it_is_told_what_is_wrong_with_a_command(words: str, text: str) -> None:
    assert _texts("I-015", f"> SCSI-Command {words}") == [text]


@pytest.mark.parametrize(
    "words",
    [
        "cdb=TEST-UNIT-READY ATTR=0",
        "cdb=TEST-UNIT-READY ATTR=ACA",
        "cdb=TEST-UNIT-READY R",
        "cdb=TEST-UNIT-READY W",
        "cdb=WRITE(10):0+1 F=0",
        f"cdb=hex:53 R W EDTL=512 {BIDI}",
        f"cdb=TEST-UNIT-READY {_hex(Ahs.for_read_edtl(0))}",
    ],
)
def test_a_command_that_may_be_so(words: str) -> None:
    assert not _texts("I-015", f"> SCSI-Command {words}")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("cdb=WRITE(10):0+2 data=1024 F=0", ["all 1024 bytes are immediate data, and F=0"]),
        ("cdb=WRITE(10):0+2 data=512 F=0", []),
        ("cdb=WRITE(10):0+2 data=1024", []),
        ("cdb=TEST-UNIT-READY W F=0", ["all 0 bytes are immediate data, and F=0"]),
        ("cdb=TEST-UNIT-READY", []),
    ],
)
def test_nothing_follows_what_is_all_there(words: str, text: list[str]) -> None:
    assert _texts("I-016", f"> SCSI-Command {words}") == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"> NOP-Out {BIDI}", "TotalAHSLength=2 in a NOP-Out"),
        (f"> Data-Out {BIDI}", "TotalAHSLength=2 in a Data-Out"),
        (f"> TMF-Request Function=LUN_RESET {BIDI}", "TotalAHSLength=2 in a TMF-Request"),
        (f"> SCSI-Command cdb=READ(10):0+1 {EXTENDED}", "an Extended CDB AHS for a CDB of 10 bytes (opcode 0x28)"),
        (f"> SCSI-Command cdb=READ(16):0+1 {EXTENDED}", "an Extended CDB AHS for a CDB of 16 bytes (opcode 0x88)"),
        (f"> SCSI-Command {CDB32}", "a CDB of 32 bytes without an Extended CDB AHS"),
        (
            f"> SCSI-Command {CDB32} {_hex(Ahs.for_cdb(bytes(20)))}",
            "AHSLength=5 for a CDB of 32 bytes, not 17",
        ),
        (
            f"> SCSI-Command {CDB32} ahs=hex:0001010000000000",
            "ExtendedCDB AHS with AHSLength=1: the CDB has no more than 16 bytes",
        ),
        (
            "> SCSI-Command cdb=READ(10):0+1 ahs=hex:0006020000000000000000ff",
            "BidirectionalReadEDTL AHS with AHSLength=6, not 5",
        ),
        (
            "> SCSI-Command cdb=READ(10):0+1 ahs=hex:00010700",
            "AHSType=7, which is reserved",
        ),
        (
            "> SCSI-Command cdb=READ(10):0+1 ahs=hex:0005820000000200",
            "BidirectionalReadEDTL AHS with reserved bits in its type",
        ),
        (
            "> SCSI-Command cdb=READ(10):0+1 ahs=hex:0005020100000200",
            "BidirectionalReadEDTL AHS whose reserved byte is 0x01",
        ),
        (
            "> SCSI-Command cdb=READ(10):0+1 ahs=hex:0100020000000200",
            "8 bytes of the AHS are no segment: an AHSLength is wrong",
        ),
        (
            "> SCSI-Command cdb=READ(10):0+1 ahs=hex:00000100",
            "ExtendedCDB AHS with AHSLength=0: the CDB has no more than 16 bytes",
        ),
    ],
)
def test_it_is_told_what_is_wrong_with_an_AHS(line: str, text: str) -> None:
    assert _texts("I-062", line) == [text]


@pytest.mark.parametrize(
    "words",
    [
        f"cdb=hex:53 R W EDTL=512 {BIDI}",
        f"{CDB32} R W EDTL=512 {_hex(Ahs.for_cdb(LONG), Ahs.for_read_edtl(512))}",
        f"cdb=hex:c0 {_hex(Ahs.for_cdb(bytes(24)))}",  # nobody lays down how long a vendor's CDB is
        "cdb=hex:7f00000000000008",
    ],
)
def test_an_AHS_that_may_be_so(words: str) -> None:
    assert not _texts("I-062", f"> SCSI-Command {words}")


@pytest.mark.parametrize("rule", ["I-015", "I-016", "I-062"])
def test_what_a_fault_changed_is_not_the_fault_of_the_initiator(rule: str) -> None:
    text = f"""
        login
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ! F=0 ATTR=7
        >> SCSI-Command cdb=TEST-UNIT-READY F=0
        >> NOP-Out {BIDI}
    """
    assert not judged(text).of(rule)
