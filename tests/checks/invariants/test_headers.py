from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

CASES = (
    Case(
        rule="T-001",
        good="""
            login
            > NOP-Out
            < NOP-In
        """,
        bad="""
            login
            raw < NOP-Out F
        """,
        short="""
            conn 1
        """,
        mutant=("< NOP-In", "raw < Opcode-0x2a"),
    ),
    Case(
        rule="T-002",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response F=0
        """,
        short="""
            conn 1
        """,
        mutant=("< SCSI-Response", "< SCSI-Response StatusQualifier=7"),
    ),
    Case(
        rule="T-003",
        good="""
            login
            > NOP-Out
            < NOP-In
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response ahs=hex:0005020000000200
        """,
        short="""
            conn 1
        """,
        mutant=("< NOP-In", "< NOP-In ahs=hex:0005020000000200"),
    ),
    Case(
        rule="T-031",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S TTT=0x17
        """,
        short="""
            login ErrorRecoveryLevel=1
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512 A TTT=7 F
        """,
        mutant=("F S", "F S LUN=0x0005000000000000"),
    ),
    Case(
        rule="I-001",
        good="""
            login
            > NOP-Out
            < NOP-In
        """,
        bad="""
            login
            > NOP-Out F=0
        """,
        short="""
            conn 1
        """,
        mutant=("> NOP-Out", "raw > Reject"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def _of(text: str, rule: str) -> list[str]:
    return [finding.text for finding in judged(text).of(rule)]


def test_opcodes_for_vendors_may_be_sent() -> None:
    found = judged("login\nraw > Opcode-0x1c\nraw < Opcode-0x3d")
    assert not {"T-001", "I-001"} & found.rules()


def test_an_opcode_is_told_by_its_name() -> None:
    assert _of("login\nraw < NOP-Out F", "T-001") == ["opcode 0x00 is NOP-Out, which no target sends"]
    assert _of("login\nraw > Opcode-0x07", "I-001") == [
        "opcode 0x07 is not assigned to anything that an initiator sends"
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("< NOP-In BHS.0=0x60", "the I bit is 1"),
        ("< Text-Response BHS.2=0x80", "byte 2 is 0x80, where the bits 0xff are reserved"),
        (
            "< Data-In BHS.1=0x88 BHS.2=1",
            "byte 1 is 0x88, where the bits 0x38 are reserved, and 1 more bytes are wrong",
        ),
        ("< R2T F=0 DesiredDataTransferLength=512", "bit 0 of byte 1 is 0, and is always 1 in this PDU"),
        ("< Login-Response BHS.0=0xa3", "byte 0 is 0xa3, where the bits 0xc0 are reserved"),
    ],
)
def test_it_is_told_which_bits_of_a_target_are_wrong(line: str, text: str) -> None:
    assert _of(f"login\n{line}", "T-002") == [text]


@pytest.mark.parametrize(
    "line",
    [
        "> NOP-Out BHS.1=0x81",
        "> SCSI-Command cdb=TEST-UNIT-READY BHS.3=1",
        "> SCSI-Command cdb=TEST-UNIT-READY BHS.1=0x88",
        "> TMF-Request Function=LUN_RESET F=0",
        "> Login-Request BHS.22=1",
        "> Text-Request BHS.1=0xa0",
        "> Data-Out BHS.0=0x45",
        "> Data-Out BHS.24=1",
        "> Logout-Request BHS.8=1",
        "> SNACK BHS.0=0x50",
        "> SNACK BHS.1=0x91",
    ],
)
def test_reserved_bits_of_an_initiator(line: str) -> None:
    found = judged(f"login\n{line}").of("I-001")
    assert [finding.severity for finding in found] == [Severity.MUST]


def test_what_a_fault_changed_is_not_the_fault_of_who_sent_it() -> None:
    found = judged(
        """
        login
        > NOP-Out ! BHS.1=0x81
        < NOP-In ! BHS.36=1 F=0
        << Reject BHS.3=9
        """
    )
    assert not {"T-002", "I-001"} & found.rules()


@pytest.mark.parametrize(
    "line",
    [
        "> NOP-Out LUN=1",
        "> Text-Request LUN=1",
        "> TMF-Request Function=TARGET_WARM_RESET LUN=1",
        "> TMF-Request Function=LUN_RESET RefCmdSN=1",
        "> TMF-Request Function=ABORT_TASK RefTaskTag=5 RefCmdSN=1 ExpDataSN=1",
    ],
)
def test_a_field_of_an_initiator_that_is_reserved_at_times_weighs_less(line: str) -> None:
    found = judged(f"login\n{line}").of("I-001")
    assert [finding.severity for finding in found] == [Severity.HEURISTIC]


@pytest.mark.parametrize(
    "line",
    [
        "> NOP-Out ITT=none TTT=5 I LUN=1",
        "> NOP-Out ITT=none I LUN=1",
        "> Text-Request TTT=5 LUN=1",
        "> Text-Request LUN=0xffffffffffffffff",
        "> TMF-Request Function=LUN_RESET LUN=1",
        "> TMF-Request Function=ABORT_TASK RefTaskTag=5 RefCmdSN=1",
        "> TMF-Request Function=TASK_REASSIGN RefTaskTag=5 ExpDataSN=1",
        "> TMF-Request Function=QUERY_TASK RefTaskTag=5 RefCmdSN=1",
        "> Data-Out LUN=1",
    ],
)
def test_a_field_of_an_initiator_that_has_a_meaning_is_no_finding(line: str) -> None:
    assert not judged(f"login\n{line}").of("I-001")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("< NOP-In LUN=1", True),
        ("< NOP-In ITT=none TTT=5 LUN=1", False),
        ("< NOP-In LUN=0xffffffffffffffff", False),
        ("< Text-Response LUN=1", True),
        ("< Text-Response F=0 TTT=5 LUN=1", False),
        ("< Async AsyncEvent=SCSI_ASYNC_EVENT LUN=1", False),
        ("< Async AsyncEvent=SCSI_ASYNC_EVENT Parameter2=1", True),
        ("< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5", False),
        ("< Async AsyncEvent=LOGOUT_REQUEST LUN=1", True),
        ("< Async AsyncEvent=CONNECTION_DROP Parameter1=1 Parameter2=1 Parameter3=1", False),
        ("< Async AsyncEvent=SESSION_DROP AsyncVCode=1", True),
        ("< Async AsyncEvent=250 AsyncVCode=1 Parameter1=1 LUN=1", False),
    ],
)
def test_a_field_of_a_target_that_is_reserved_at_times(line: str, *, found: bool) -> None:
    findings = judged(f"login\n> NOP-Out\n{line}").of("T-002")
    assert [finding.severity for finding in findings] == [Severity.HEURISTIC] * found


@pytest.mark.parametrize(
    ("login", "found"),
    [("login", True), ("login iSCSIProtocolLevel=1", True), ("login iSCSIProtocolLevel=2", False), ("", False)],
)
def test_level_2_made_fields_of_reserved_bytes(login: str, *, found: bool) -> None:
    text = f"""
        {login}
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response Status=BUSY StatusQualifier=5
        > TMF-Request Function=LUN_RESET
        < TMF-Response AdditionalResponseInformation=5
    """
    assert len(judged(text).of("T-002")) == 2 * found


@pytest.mark.parametrize("fields", ["TTT=0", "LUN=0xffffffffffffffff", "lun=3"])
def test_a_Data_In_may_have_nothing_ones_or_the_lun_of_its_command(fields: str) -> None:
    found = judged(f"login\n> SCSI-Command cdb=READ(10):0+1 lun=3\n< Data-In data=512 F S {fields}")
    assert not found.of("T-031")
    assert found.evidence["T-031"]


def test_bits_are_judged_before_the_full_feature_phase_and_from_the_middle_on() -> None:
    assert judged("> Login-Request T CSG=1 NSG=3 BHS.32=1").of("I-001")
    assert judged("> NOP-Out BHS.32=1").of("I-001")
    assert judged("login\nlost 3\n> NOP-Out\n< NOP-In BHS.36=1").of("T-002")
