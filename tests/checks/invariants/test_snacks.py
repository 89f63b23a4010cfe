from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants import snacks
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

LEVEL_1 = "login ErrorRecoveryLevel=1 MaxBurstLength=1024"
DIGESTS = "HeaderDigest=CRC32C DataDigest=CRC32C"
READ = "> SCSI-Command cdb=READ(10):0+4 lun=2 as read"
#: The first half of what is read, to be acknowledged
HALF = """
    < Data-In data=512
    < Data-In data=512 F A TTT=5 lun=2
"""
REST = """
    < Data-In data=512
    < Data-In data=512 F S
"""
ACK = "> SNACK Type=DATA_ACK TTT=5 lun=2 BegRun=2"

CASES = (
    Case(
        rule="I-035",
        good=f"""
            {LEVEL_1}
            {READ}
            {HALF}
            {ACK}
            {REST}
        """,
        bad="""
            login
            > SNACK Type=STATUS BegRun=101 RunLength=1
        """,
        short=f"""
            {LEVEL_1}
            {READ}
            {REST}
        """,
        mutant=("> SNACK Type=DATA_ACK TTT=5 lun=2", "> SNACK Type=DATA_ACK TTT=5 lun=3"),
    ),
    Case(
        rule="I-036",
        good=f"""
            {LEVEL_1}
            {READ}
            < Data-In data=512
            <x Data-In data=512 F
            > SNACK ITT=read.ITT BegRun=1 RunLength=1
            < Data-In data=512 F DataSN=1 BufferOffset=512
            {REST}
        """,
        bad=f"""
            {LEVEL_1}
            {READ}
            {REST}
            > NOP-Out
            > SNACK ITT=read.ITT BegRun=0 RunLength=1
        """,
        short=f"""
            {LEVEL_1}
            {READ}
            {HALF}
        """,
        mutant=("BegRun=1 RunLength=1", "BegRun=1 RunLength=5"),
    ),
    Case(
        rule="I-037",
        good=f"""
            {LEVEL_1}
            {READ}
            {HALF}
            +1
            {ACK}
            {REST}
        """,
        bad=f"""
            {LEVEL_1}
            {READ}
            {HALF}
            +20
            {REST}
        """,
        short=f"""
            {LEVEL_1}
            {READ}
            {HALF}
            +1
            {REST}
        """,
        mutant=("+1", "+20"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def of(rule: str, text: str) -> list[Finding]:
    return judged(text, families=(snacks.FAMILY,)).of(rule)


# --- I-035 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snack", "clause"),
    [
        ("Type=4", "RFC 7143 11.16.1"),
        ("Type=STATUS ITT=read.ITT", "RFC 7143 11.16.4"),
        ("Type=DATA_R2T", "RFC 7143 11.16.4"),
        ("Type=DATA_R2T ITT=99", "RFC 7143 11.16.4"),
        ("Type=DATA_R2T ITT=read.ITT TTT=5", "RFC 7143 11.16.5"),
        ("Type=STATUS TTT=0", "RFC 7143 11.16.5"),
        ("Type=DATA_ACK TTT=6 lun=2", "RFC 7143 11.16.5"),
        ("Type=DATA_ACK TTT=5 lun=2 RunLength=2", "RFC 7143 11.16.7"),
        ("Type=R_DATA ITT=read.ITT TTT=0", "RFC 7143 11.16.5"),
        ("Type=R_DATA ITT=read.ITT", "RFC 7143 11.16.5"),
        ("Type=R_DATA ITT=read.ITT TTT=7 BegRun=1", "RFC 7143 11.16.6, RFC 7143 11.16.7"),
    ],
)
def test_fields_that_do_not_go_with_the_type(snack: str, clause: str) -> None:
    (finding,) = of("I-035", f"{LEVEL_1}\n{READ}{HALF}> SNACK {snack}")
    assert finding.clause == clause


@pytest.mark.parametrize(
    "snack",
    ["ITT=read.ITT", "ITT=read.ITT BegRun=1", "Type=STATUS", "Type=R_DATA ITT=read.ITT TTT=7"],
)
def test_fields_that_do(snack: str) -> None:
    assert not of("I-035", f"{LEVEL_1}\n{READ}{HALF}> SNACK {snack}")


def test_a_snack_tag_is_used_once() -> None:
    text = f"{LEVEL_1}\n{READ}{HALF}> SNACK Type=R_DATA ITT=read.ITT TTT=7\n> SNACK Type=R_DATA ITT=read.ITT TTT="
    assert of("I-035", text + "7")
    assert not of("I-035", text + "8")


def test_what_was_not_seen_is_not_judged() -> None:
    assert not of("I-035", "middle\n> SNACK Type=DATA_ACK TTT=5 ExpStatSN=1")
    assert not of("I-035", f"{LEVEL_1}\n{READ}\nlost 2\n> SNACK Type=DATA_ACK TTT=5")
    assert not of("I-035", f"{LEVEL_1}\n{READ}\nlost 2\n> SNACK ITT=44")


def test_a_tag_or_lun_that_a_fault_changed_is_copied_as_it_was_given() -> None:
    text = f"{LEVEL_1}\n{READ}\n< Data-In data=1024 F A TTT=5 lun=2 ! TTT=9 LUN=0\n> SNACK Type=DATA_ACK BegRun=1 "
    assert not of("I-035", text + "TTT=9")
    assert of("I-035", text + "TTT=5")
    assert of("I-035", text + "TTT=9 lun=2")


# --- I-036 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snack", "found"),
    [
        ("Type=STATUS BegRun=101 RunLength=1", False),  # what comes next may be asked for, a timer may have run out
        ("Type=STATUS BegRun=101", False),
        ("Type=STATUS", False),
        ("Type=STATUS BegRun=100 RunLength=1", True),  # acknowledged
        ("Type=STATUS BegRun=101 RunLength=2", True),
        ("Type=STATUS BegRun=150", True),
        ("ITT=read.ITT BegRun=2", False),
        ("ITT=read.ITT BegRun=1 RunLength=2", False),
        ("ITT=read.ITT", False),
        ("ITT=read.ITT BegRun=3", True),
        ("ITT=read.ITT BegRun=2 RunLength=2", True),
        ("Type=DATA_ACK TTT=5 BegRun=2", False),
        ("Type=DATA_ACK TTT=5 BegRun=3", True),
        ("Type=R_DATA ITT=read.ITT TTT=1", False),
    ],
)
def test_numbers(snack: str, found: bool) -> None:
    assert bool(of("I-036", f"{LEVEL_1}\n{READ}{HALF}> SNACK {snack}")) is found


def test_data_that_was_acknowledged_is_not_asked_for() -> None:
    text = f"{LEVEL_1}\n{READ}{HALF}{ACK}\n> SNACK ITT=read.ITT "
    assert of("I-036", text + "BegRun=1 RunLength=1")[0].clause == "RFC 7143 11.16.2"
    assert not of("I-036", text + "BegRun=2")
    assert not of("I-036", text), "all that is not acknowledged"


@pytest.mark.parametrize("snack", ["ITT=read.ITT", "Type=R_DATA ITT=read.ITT TTT=1", "Type=DATA_ACK TTT=5 BegRun=2"])
def test_behind_the_acknowledgement_of_its_status_a_command_is_done(snack: str) -> None:
    text = f"{LEVEL_1}\n{READ}{HALF}{REST}> SNACK {snack}"
    assert not of("I-036", text + " ExpStatSN=101")
    assert of("I-036", text)


def test_a_status_that_was_taken_for_an_old_one_is_not_acknowledged() -> None:
    text = f"{LEVEL_1}\n> NOP-Out\n< NOP-In\n{READ}{HALF}< Data-In data=1024 F S ! StatSN=101\n"
    assert not of("I-036", f"{text}> SNACK ITT=read.ITT ExpStatSN=102")


def test_what_is_known_of_a_missing_number() -> None:
    lost = """
        > NOP-Out ITT=77
        <x NOP-In ITT=77 StatSN=101
        > NOP-Out ITT=78 ExpStatSN=101
        < NOP-In ITT=78 StatSN=102"""
    snack = "> SNACK Type=STATUS BegRun=101 RunLength={} ExpStatSN=101"
    for text in (f"{lost}\n", f"{lost} ! spoil=header\n"):
        assert not of("I-036", f"{LEVEL_1} HeaderDigest=CRC32C\n{text}{snack.format(2)}")
        assert of("I-036", f"{LEVEL_1} HeaderDigest=CRC32C\n{text}{snack.format(4)}")
    asked = f"{LEVEL_1}\n< NOP-In ITT=none StatSN=104\n{snack}"
    assert not of("I-036", asked.format(3))


def test_data_with_a_wrong_digest_was_seen() -> None:
    text = f"{LEVEL_1} {DIGESTS}\n{READ}\n" + "< Data-In data=512 ! spoil=data\n" * 3
    assert not of("I-036", text + "> SNACK ITT=read.ITT BegRun=0 RunLength=3")
    assert of("I-036", text + "> SNACK ITT=read.ITT BegRun=0 RunLength=5")


def test_a_response_tells_how_much_data_there_was() -> None:
    text = f"{LEVEL_1}\n{READ}\n<x Data-In data=2048 F\n< SCSI-Response ExpDataSN=3\n"
    snack = "> SNACK ITT=read.ITT ExpStatSN=101 "
    assert not of("I-036", text + snack + "RunLength=3")
    assert of("I-036", text + snack + "RunLength=5")


# --- I-037 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "< Data-In data=512 A TTT=5",  # before its time: it may be ignored
        "<x Data-In data=512\n< Data-In data=512 F A TTT=5",  # something is missing before it
        "< Data-In data=1024 F A TTT=5\n< Data-In data=1024 F S",  # the status is acknowledged instead
        "< Data-In data=1024 F A TTT=5\n> Logout-Request",
        "< Data-In data=1024 F A TTT=5\n> TMF-Request I Function=ABORT_TASK RefTaskTag=read.ITT RefCmdSN=1",
        "< Data-In data=1024 F A TTT=5\nclose initiator",
        "< Data-In data=1024 F A TTT=5 ! spoil=data",
        "< Data-In data=1024 F A",
        "fired delay\n< Data-In data=1024 F A TTT=5",
    ],
)
def test_nothing_has_to_be_acknowledged(text: str) -> None:
    assert not of("I-037", f"{LEVEL_1} {DIGESTS}\n{READ}\n{text}\n+20\nfired pass")


def test_the_last_data_is_acknowledged_however_little_it_is() -> None:
    text = f"{LEVEL_1}\n> SCSI-Command cdb=READ(10):0+1 as read\n< Data-In data=512 F A TTT=5\n"
    assert of("I-037", text + "+20\nfired pass")
    assert not of("I-037", text + "> SNACK Type=DATA_ACK TTT=5 BegRun=1\n+20\nfired pass")


def test_data_that_is_missing_is_waited_for() -> None:
    text = f"{LEVEL_1}\n{READ}\n<x Data-In data=512\n< Data-In data=512 F A TTT=5 lun=2\n"
    (finding,) = of("I-037", text + ACK)
    assert finding.text == "DATA_ACK for ITT=0x1 while its data from 0 on is missing"
    assert not of("I-037", f"{text}< Data-In data=512 DataSN=0 BufferOffset=0\n{ACK}")


ONE = f"login\n{READ}\n< Data-In data=512 ! A TTT=5\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{ONE}close initiator", True),
        (f"{ONE}< Data-In data=512\nclose initiator rst", True),
        (f"{ONE}+5\nclose initiator", False),
        (f"{ONE}+0.1\n> NOP-Out\n< NOP-In\n> SCSI-Command cdb=TEST-UNIT-READY\nclose initiator", False),
        (f"{ONE}> Logout-Request\nclose initiator", False),
        (f"{ONE}close target", False),
        (f"{ONE}+0.1\nfired drop\nclose initiator", False),
        (f"{ONE.replace('TTT=5', 'DataSN=9')}close initiator", False),
        (f"{ONE.replace('login', LEVEL_1)}close initiator", False),
    ],
)
def test_at_level_0_the_bit_is_ignored(text: str, found: bool) -> None:
    findings = of("I-037", text)
    assert bool(findings) is found
    assert all(finding.severity is Severity.MUST for finding in findings)


def test_a_read_that_goes_on_is_evidence() -> None:
    text = f"{ONE}{REST}+2\n> NOP-Out\n< NOP-In\nclose initiator"
    assert judged(text, families=(snacks.FAMILY,)).evidence["I-037"]
