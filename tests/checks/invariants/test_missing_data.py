from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

READ = "> SCSI-Command cdb=READ(10):0+4 ITT=1\n"
#: The second Data-In is lost
GAP = f"""
    login ErrorRecoveryLevel=1
    {READ}
    < Data-In ITT=1 data=512
    <x Data-In ITT=1 data=512
    < Data-In ITT=1 data=512
"""
SNACK = "> SNACK Type=DATA_R2T ITT=1 BegRun=1 RunLength=1\n"
AGAIN = "< Data-In ITT=1 data=512 DataSN=1 BufferOffset=512\n"
LAST = "< Data-In ITT=1 data=512 DataSN=3 BufferOffset=1536 S F\n"
FIRST = "< Data-In ITT=1 data=1536 DataSN=0 BufferOffset=0\n"
LATER = "+30\n> NOP-Out I ITT=9\n< NOP-In\n"

CASES = [
    Case(
        rule="I-063",
        good=GAP + SNACK + AGAIN + LAST,
        bad=GAP + LATER,
        short=GAP + LAST,
        mutant=(SNACK + AGAIN + LAST, LATER),
    ),
    Case(
        rule="I-064",
        good=f"{GAP}{LAST}close initiator\n",
        bad=GAP + LAST + LATER,
        short=GAP + LAST,
        mutant=("close initiator\n", LATER),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(rule: str, text: str) -> list[str]:
    """Give what a rule finds in a dialogue."""
    return [finding.text for finding in judged(text).of(rule)]


ABORT = "> TMF-Request I ITT=8 Function=ABORT_TASK RefTaskTag=1 RefCmdSN=1\n"
RESET = "> TMF-Request I ITT=8 Function=LUN_RESET\n"
LOGOUT = "> Logout-Request I ITT=8\n"
CLOSE = "close initiator rst\n"
RETRY = "> SCSI-Command cdb=READ(10):0+4 ITT=7\n"


@pytest.mark.parametrize("reaction", [SNACK, ABORT, RESET, LOGOUT, CLOSE, "close initiator\n", "close target\n"])
def test_what_addresses_a_number_that_was_skipped(reaction: str) -> None:
    assert found("I-063", GAP + reaction + LATER) == []


@pytest.mark.parametrize(
    "other",
    [
        "> SNACK Type=DATA_R2T ITT=5 BegRun=1 RunLength=1\n",
        "> SNACK Type=STATUS BegRun=100 RunLength=1\n",
        ABORT.replace("RefTaskTag=1", "RefTaskTag=5"),
        RETRY,
    ],
)
def test_what_does_not(other: str) -> None:
    (text,) = found("I-063", GAP + other + LATER)
    assert text == "DataSN is 2 where 1 is next: no SNACK and no abort of ITT=0x1 came within 5 s"


@pytest.mark.parametrize("reaction", [RETRY, RESET, LOGOUT, CLOSE, SNACK])
def test_what_shows_that_it_was_noticed(reaction: str) -> None:
    assert found("I-064", GAP + LAST + reaction + LATER) == []
    assert found("I-064", GAP + reaction + LAST + LATER) == [] or reaction in (RETRY, RESET)


def test_a_command_that_comes_much_later_is_no_further_try() -> None:
    others = "".join(f"> SCSI-Command cdb=READ(10):{lba}+4 ITT={lba}\n" for lba in range(20, 27))
    assert found("I-064", GAP + LAST + others + RETRY + LATER) == []
    assert found("I-064", GAP + LAST + others + "> SCSI-Command cdb=TEST-UNIT-READY ITT=30\n" + RETRY + LATER) != []


@pytest.mark.parametrize("other", [RETRY.replace(":0+4", ":9+4"), RETRY + "LUN=0x0001000000000000", ABORT + "ITT=8"])
def test_what_is_about_something_else(other: str) -> None:
    other = other.replace("\nLUN", " LUN").replace("\nITT", " ITT").replace("RefTaskTag=1", "RefTaskTag=5")
    (text,) = found("I-064", f"{GAP}{LAST}{other}\n{LATER}")
    assert text.startswith("DataSN is 2 where 1 is next, with GOOD for ITT=0x1: no SNACK, no further try")


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        (
            "< Data-In ITT=1 data=512 F\n<x Data-In ITT=1 data=512 F\n< SCSI-Response ITT=1 ExpDataSN=2",
            "ExpDataSN is 2, and 1 PDUs with data came",
        ),
        ("< Data-In ITT=1 data=512\n< Data-In ITT=1 data=512 BufferOffset=1024 S F", "bytes from 512 on are missing"),
        ("< Data-In ITT=1 data=512 BufferOffset=512 S F", "bytes from 0 on are missing"),
        ("<x Data-In ITT=1 data=512\n< Data-In ITT=1 data=512 S F", "DataSN is 1 where 0 is next"),
        (
            f"< Data-In ITT=1 data=1024\n< Data-In ITT=1 data=512 BufferOffset=512\n{LAST.replace('DataSN=3', '')}",
            "bytes from 1024 on are missing",
        ),
    ],
)
def test_signs_that_data_is_missing(text: str, sign: str) -> None:
    (finding,) = judged(f"login\n{READ}{text}\n{LATER}").of("I-064")
    assert finding.text.startswith(sign)
    assert str(finding.severity) == "heuristic"
    assert {one.text.split()[0] for one in finding.proof} >= {"SCSI-Command"}


@pytest.mark.parametrize("spoilt", ["header", "data"])
def test_what_came_with_a_wrong_digest_is_missing(spoilt: str) -> None:
    text = f"login HeaderDigest=CRC32C DataDigest=CRC32C\n{READ}< Data-In ITT=1 data=512 ! spoil={spoilt}\n"
    assert found("I-063", f"{text}< Data-In ITT=1 data=512\n{LATER}") != []
    assert found("I-064", f"{text}< Data-In ITT=1 data=1536 S F\n{LATER}") != []


def test_an_r2t_that_is_missing() -> None:
    text = "login\n> SCSI-Command cdb=WRITE(10):0+4 ITT=1\n< R2T ITT=1 TTT=7 R2TSN=1 DesiredDataTransferLength=2048\n"
    assert found("I-063", text + LATER) == [
        "R2TSN is 1 where 0 is next: no SNACK and no abort of ITT=0x1 came within 5 s"
    ]
    text += "> Data-Out ITT=1 TTT=7 data=2048 F\n< SCSI-Response ITT=1\n"
    assert found("I-063", text + LATER) == found("I-064", text + LATER) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{READ}< Data-In ITT=1 data=1024\n< Data-In ITT=1 data=1024 S F\n",
        f"{READ}< Data-In ITT=1 data=1024 BufferOffset=1024\n< Data-In ITT=1 data=1024 BufferOffset=0 S F\n",
        f"{READ}{FIRST}{FIRST.replace('<', '<<')}{LAST.replace('=3', '=1')}",
        f"{READ}< Data-In ITT=1 data=512 S F\n",
        f"{READ}< SCSI-Response ITT=1\n",
        f"{READ}<x Data-In ITT=1 data=512\n< SCSI-Response ITT=1 ExpDataSN=1 Status=CHECK_CONDITION sense=3/11/00\n",
        f"{READ}<x Data-In ITT=1 data=512\n< SCSI-Response ITT=1 ExpDataSN=1 Response=TARGET_FAILURE\n",
        "middle\n< Data-In ITT=1 data=512 DataSN=7\n< Data-In ITT=1 data=512 DataSN=9 S F\n",
        f"{READ}< Data-In ITT=1 data=512\nlost 1\n< Data-In ITT=1 data=512 DataSN=3 BufferOffset=1536 S F\n",
        f"{READ}{READ}< Data-In ITT=1 data=512 DataSN=3 BufferOffset=1536 S F\n",
    ],
    ids=["whole", "out of order", "twice", "short", "none", "an error", "a failure", "from the middle on",
         "events missing", "two tasks of one tag"],
)  # fmt: skip
def test_nothing_is_missing_or_nobody_knows(text: str) -> None:
    dialogue = f"login DataPDUInOrder=No\n{text}{LATER}".replace("login DataPDUInOrder=No\nmiddle", "middle")
    assert found("I-063", dialogue) == found("I-064", dialogue) == []
