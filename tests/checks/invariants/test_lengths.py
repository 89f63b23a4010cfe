from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

CASES = (
    Case(
        rule="T-004",
        good="""
            login
            > TMF-Request Function=LUN_RESET
            < TMF-Response
        """,
        bad="""
            login
            < NOP-In ITT=none TTT=7 data=4
        """,
        short="""
            login
            > NOP-Out data=4
            < NOP-In data=4
        """,
        mutant=("< TMF-Response", "< TMF-Response data=1"),
    ),
    Case(
        rule="T-005",
        good="""
            login MaxRecvDataSegmentLength=512
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S
        """,
        bad="""
            login MaxRecvDataSegmentLength=512
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=1024 F S
        """,
        short="""
            conn 1
        """,
        mutant=("< Data-In data=512 F S", "< Data-In data=513 F S"),
    ),
    Case(
        rule="T-006",
        good="""
            login
            > NOP-Out data=5
            < NOP-In data=5
        """,
        bad="""
            login
            > NOP-Out data=5
            < NOP-In data=5 pad=hex:000001
        """,
        short="""
            conn 1
        """,
        mutant=("< NOP-In data=5", "< NOP-In data=5 pad=hex:ff0000"),
    ),
    Case(
        rule="T-029",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512
            < Data-In data=512 F S
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=510
            < Data-In data=2 F S
        """,
        short="""
            login
            > SCSI-Command cdb=INQUIRY:+37
            < Data-In data=37 F S
        """,
        mutant=("< Data-In data=512\n", "< Data-In data=511\n"),
    ),
    Case(
        rule="I-003",
        good="""
            login / MaxRecvDataSegmentLength=1024
            > SCSI-Command cdb=WRITE(10):0+2 data=1024
            < SCSI-Response
        """,
        bad="""
            login
            > NOP-Out data=8193
        """,
        short="""
            conn 1
        """,
        mutant=("MaxRecvDataSegmentLength=1024", "MaxRecvDataSegmentLength=1020"),
    ),
    Case(
        rule="I-026",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+2 data=0
            < R2T DesiredDataTransferLength=1024 as r2t
            > Data-Out TTT=r2t.TTT data=512
            > Data-Out TTT=r2t.TTT data=512 F
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+2 data=0
            < R2T DesiredDataTransferLength=1024 as r2t
            > Data-Out TTT=r2t.TTT data=511
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 data=0
            < R2T DesiredDataTransferLength=512 as r2t
            > Data-Out TTT=r2t.TTT data=512 F
        """,
        mutant=("> Data-Out TTT=r2t.TTT data=512\n", "> Data-Out TTT=r2t.TTT data=510\n"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("> SCSI-Command cdb=WRITE(10):0+1", "< R2T DesiredDataTransferLength=512 data=4"),
        ("> Logout-Request", "< Logout-Response data=1"),
        ("", "< NOP-In ITT=none data=1"),
    ],
)
def test_a_PDU_without_a_data_segment(before: str, line: str) -> None:
    assert judged(f"login\n{before}\n{line}").of("T-004")


# --- MaxRecvDataSegmentLength ---


@pytest.mark.parametrize(("length", "found"), [(8192, False), (8193, True)])
def test_it_is_8192_until_something_else_is_declared(length: int, *, found: bool) -> None:
    text = f"""
        login
        > NOP-Out data={length}
        < NOP-In data={length}
    """
    assert ({"T-005", "I-003"} <= judged(text).rules()) is found


def test_during_login_it_is_8192_whatever_is_declared() -> None:
    pad = "X-pad=" + 9000 * "1"
    text = f"""
        > Login-Request T CSG=1 NSG=3 text="MaxRecvDataSegmentLength=65536 {pad}"
        < Login-Response T CSG=1 NSG=3 TSIH=1 text="MaxRecvDataSegmentLength=65536 {pad}"
    """
    found = judged(text)
    assert [finding.clause for finding in found.of("T-005") + found.of("I-003")] == 2 * ["RFC 7143 6.3, RFC 7143 13.12"]


def test_each_end_declares_its_own() -> None:
    text = """
        login MaxRecvDataSegmentLength=65536 / MaxRecvDataSegmentLength=512
        > NOP-Out data=512
        < NOP-In data=512
        > SCSI-Command cdb=READ(10):0+128
        < Data-In data=65536 F S
    """
    assert not {"T-005", "I-003"} & judged(text).rules()
    assert judged(f"{text}> NOP-Out data=513").of("I-003")
    assert judged(f"{text}< Data-In data=65537").of("T-005")


def test_a_finding_points_at_the_PDU_that_declared_it() -> None:
    (found,) = judged("login MaxRecvDataSegmentLength=512\n> NOP-Out\n< NOP-In data=513").of("T-005")
    assert found.text == "a data segment of 513 bytes, and 512 is the most that the initiator takes"
    assert [proof.text.partition(" ")[0] for proof in found.proof] == ["NOP-In", "Login-Request"]


def test_each_end_is_held_to_what_it_was_told() -> None:
    # The target is told 512, and its own 8192 does not bind the initiator, which was told 4096.
    text = """
        > Login-Request T CSG=1 NSG=3 text="SessionType=Normal InitiatorName=iqn.2004-01.com.example:host \
MaxRecvDataSegmentLength=8192" ! data=hex:{} T CSG=1 NSG=3
        < Login-Response T CSG=1 NSG=3 TSIH=1 text="TargetPortalGroupTag=1"
        > NOP-Out
        < NOP-In data=8192
    """
    told = "SessionType=Normal\0InitiatorName=iqn.2004-01.com.example:host\0MaxRecvDataSegmentLength=512\0"
    assert judged(text.format(told.encode().hex())).of("T-005")


def test_without_the_login_it_is_not_known() -> None:
    assert not {"T-005", "I-003"} & judged("> NOP-Out data=100000\n< NOP-In data=100000").rules()


def test_what_was_missed_may_have_declared_another() -> None:
    text = """
        login
        lost 2
        > NOP-Out data=100000
        < NOP-In data=100000
    """
    assert not {"T-005", "I-003"} & judged(text).rules()


TEXT = """
    login MaxRecvDataSegmentLength=8192
    > SCSI-Command cdb=READ(10):0+64
    > Text-Request text="MaxRecvDataSegmentLength={}" as ask
    {}
    < Text-Response ITT=ask.ITT
    {}
"""


def test_a_smaller_one_binds_the_target_behind_its_Text_Response() -> None:
    data = "< Data-In ITT=1 data=1024"
    assert not judged(TEXT.format(512, data, "")).of("T-005")
    assert judged(TEXT.format(512, "", data)).of("T-005")


def test_a_larger_one_may_be_used_as_soon_as_it_was_heard() -> None:
    data = "< Data-In ITT=1 data=16384"
    assert not judged(TEXT.format(16384, data, "")).of("T-005")
    assert not judged(TEXT.format(16384, "", data)).of("T-005")


def test_what_a_target_declares_binds_the_initiator_when_it_has_read_it() -> None:
    text = """
        login / MaxRecvDataSegmentLength=8192
        > Text-Request
        < Text-Response text="MaxRecvDataSegmentLength=512" as answer
        {}
    """
    assert not judged(text.format("+1\n> NOP-Out data=1024 ExpStatSN=answer.StatSN")).of("I-003")
    assert judged(text.format("> NOP-Out data=1024 ExpStatSN=answer.StatSN+1")).of("I-003")
    assert judged(text.format("+6\n> NOP-Out data=1024 ExpStatSN=answer.StatSN")).of("I-003")


def test_behind_a_rejected_exchange_the_old_one_may_hold() -> None:
    text = """
        login MaxRecvDataSegmentLength=8192
        > Text-Request text="MaxRecvDataSegmentLength=512" as ask
        < Reject Reason=PROTOCOL_ERROR reject=ask
        > Text-Request text="SendTargets=" as again
        < Text-Response ITT=again.ITT
        > SCSI-Command cdb=READ(10):0+16
        < Data-In data=8192 F S
    """
    assert not judged(text).of("T-005")
    assert judged(text.replace("Data-In data=8192", "Data-In data=8196")).of("T-005")


def test_behind_an_exchange_that_was_given_up_the_old_one_may_hold() -> None:
    text = """
        login MaxRecvDataSegmentLength=8192
        > Text-Request F=0 text="MaxRecvDataSegmentLength=512"
        < Text-Response F=0 TTT=5
        > Text-Request text="SendTargets=" as again
        < Text-Response ITT=again.ITT
        > SCSI-Command cdb=READ(10):0+16
        < Data-In data=8192 F S
    """
    assert not judged(text).of("T-005")


@pytest.mark.parametrize("value", [511, 512])
def test_a_declaration_that_is_refused_may_not_hold(value: int) -> None:
    text = f"""
        login MaxRecvDataSegmentLength=8192
        > Text-Request text="MaxRecvDataSegmentLength={value}"
        < Text-Response text="MaxRecvDataSegmentLength=Reject"
        > SCSI-Command cdb=READ(10):0+16
        < Data-In data=8192 F S
    """
    assert not judged(text).of("T-005")


def test_a_declaration_that_cannot_be_is_not_held_against_anybody() -> None:
    assert not judged("login MaxRecvDataSegmentLength=511\n> NOP-Out\n< NOP-In data=8192").of("T-005")


def test_what_was_spoiled_declares_nothing() -> None:
    text = """
        login DataDigest=CRC32C
        > Text-Request text="MaxRecvDataSegmentLength=512" ! spoil=data
        > NOP-Out data=1024
        < NOP-In data=1024
    """
    assert not judged(text).of("T-005")


def test_what_the_proxy_makes_or_changes_is_judged_by_nobody() -> None:
    text = """
        login
        >> NOP-Out data=9000
        << NOP-In ITT=none TTT=3 data=9000 pad=hex:
        > NOP-Out ! data=9000
    """
    assert not {"T-004", "T-005", "I-003"} & judged(text).rules()


# --- the last word ---


def test_padding_and_odd_lengths_weigh_less() -> None:
    text = """
        login
        > SCSI-Command cdb=READ(10):0+1
        < Data-In data=511 pad=hex:07
    """
    found = judged(text)
    assert [finding.severity for finding in found.of("T-006") + found.of("T-029")] == 2 * [Severity.SHOULD]


@pytest.mark.parametrize("digests", ["", "HeaderDigest=CRC32C DataDigest=CRC32C"])
def test_padding_is_told_with_its_bytes(digests: str) -> None:
    (found,) = judged(f"login {digests}\n> NOP-Out\n< NOP-In data=1 pad=hex:ff0000").of("T-006")
    assert found.text == "3 bytes of padding are ff0000, not 0"
