from __future__ import annotations

from dataclasses import replace

import pytest

from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.journal import record_of
from iscsiproxy.session.events import Delivered, Event
from tests.checks.cases import Case, judged, prove
from tests.checks.dialogue import records_of

__all__: list[str] = []

DIGESTS = "HeaderDigest=CRC32C DataDigest=CRC32C"
REJECTED = f"""
    login {DIGESTS} ImmediateData=No InitialR2T=Yes
    > SCSI-Command cdb=WRITE(10):0+2
    < R2T BufferOffset=0 DesiredDataTransferLength=1024 TTT=7
    > Data-Out data=512 TTT=7 ! spoil=data as out
    < Reject Reason=DATA_DIGEST_ERROR reject=out
"""
REST = "> Data-Out F data=512 TTT=7 BufferOffset=512 DataSN=1\n"
LATER = "> NOP-Out\n< NOP-In\n"

CASES = (
    Case(
        rule="T-051",
        good="""
            login
            >> SNACK Type=STATUS BegRun=200 RunLength=1 as snack
            < Reject Reason=PROTOCOL_ERROR reject=snack
        """,
        bad="""
            login
            > NOP-Out as ping
            < NOP-In
            < Reject Reason=PROTOCOL_ERROR data=48
        """,
        short="""
            login
            > NOP-Out
            < NOP-In
        """,
        mutant=("PROTOCOL_ERROR", "0x0d"),
    ),
    Case(
        rule="T-052",
        good=REJECTED + REST + "< SCSI-Response Status=CHECK_CONDITION sense=b/47/05 ITT=1",
        bad=REJECTED + REST + "+20\n" + LATER,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY as cmd
            < Reject Reason=LONG_OPERATION_REJECT reject=cmd
            +20
            > NOP-Out
            < NOP-In
        """,
        mutant=("< SCSI-Response Status=CHECK_CONDITION sense=b/47/05 ITT=1", "+20\n" + LATER),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-051 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", range(16))
def test_reasons(reason: int) -> None:
    text = f"""
        login
        > NOP-Out as ping
        < Reject Reason={reason:#x} reject=ping
    """
    broken = bool(judged(text).of("T-051"))
    assert broken is (reason not in (2, 3, 4, 5, 6, 7, 8, 9, 10, 12))
    older = bool(judged(text, profile=Profile.RFC3720).of("T-051"))
    assert older is (broken and reason != 0x0B)


@pytest.mark.parametrize(
    ("data", "broken"),
    [("", True), ("data=47", True), ("reject=ping", False), ("data=48", True), ("data=300", True)],
)
def test_the_header_is_there_and_whole(data: str, broken: bool) -> None:
    found = judged(f"""
        login
        > NOP-Out as ping
        < Reject Reason=PROTOCOL_ERROR {data}
    """)
    assert bool(found.of("T-051")) is broken


def test_the_header_is_the_one_that_was_given() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY {change} as cmd
        < Reject Reason=PROTOCOL_ERROR reject=cmd
    """
    assert not judged(text.format(change="")).of("T-051")
    assert judged(text.format(change="! LUN=5")).of("T-051")  # it was given with another LUN
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ! ITT=66
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=66 CmdSN=1 as cmd
        < Reject Reason=PROTOCOL_ERROR reject=cmd
    """
    assert not judged(text).of("T-051")


def test_a_changed_header_points_at_the_one_that_it_was() -> None:
    (found,) = judged("""
        login
        > SCSI-Command cdb=TEST-UNIT-READY LUN=5 ! LUN=7 as cmd
        < Reject Reason=PROTOCOL_ERROR reject=cmd
    """).of("T-051")
    assert "SCSI-Command" in found.proof[1].text


def test_on_another_connection_it_was_not_given() -> None:
    assert judged("""
        login MaxConnections=2
        > NOP-Out as ping
        conn 2
        login TSIH=1 CID=1
        < Reject Reason=PROTOCOL_ERROR reject=ping
    """).of("T-051")


def test_of_headers_that_nobody_saw_nothing_is_said() -> None:
    reject = "< Reject Reason=PROTOCOL_ERROR data=48"
    assert not judged(f"> NOP-Out\n{reject}").of("T-051")
    assert not judged(f"login\nlost 1\n{reject}").of("T-051")
    assert not judged(f"login\n> NOP-Out ! DataSegmentLength=48\n{reject}").of("T-051")


def test_of_headers_that_are_long_gone_nothing_is_said() -> None:
    pings = "> NOP-Out I ITT=none\n" * 600
    text = f"login\n> NOP-Out as ping\n< NOP-In\n{pings}< Reject Reason=PROTOCOL_ERROR reject=ping"
    assert not judged(text).of("T-051")
    assert judged(text.replace("< Reject", "+20\n< Reject")).of("T-051")


def test_vendor_data_may_follow() -> None:
    text = "login\n> NOP-Out\n"
    ping = records_of(text)[-1].pdu
    assert ping is not None
    reject = "< Reject Reason=PROTOCOL_ERROR data=hex:"
    assert not judged(f"{text}{reject}{ping.bhs.hex()}c0ffee").of("T-051")
    assert judged(f"{text}{reject}c0ffee{ping.bhs.hex()}").of("T-051")


def test_a_header_that_came_without_its_data_was_given_too() -> None:
    cut = records_of("login\n> Text-Request text='SendTargets=All' as text\n< Reject Reason=PROTOCOL_ERROR reject=text")
    judge = Judge()
    for record in cut:
        entry = record.entry
        if isinstance(entry, Delivered) and entry.pdu.label == "Text-Request":
            entry = replace(entry, sent=50, rules=("x/y",))
        judge.take(record_of(entry) if isinstance(entry, Event) else record)
    assert not judge.crashes
    assert judge.evidence["T-051"]
    assert "T-051" not in {finding.rule for finding in judge.findings}


# --- T-052 -----------------------------------------------------------------------------------------------------------


def test_a_target_may_wait_for_the_rest() -> None:
    assert not judged(REJECTED + "+20\n" + LATER).of("T-052")


def test_nothing_is_to_come_behind_a_final_that_was_spoiled() -> None:
    text = REJECTED.replace("data=512 TTT=7 !", "F data=1024 TTT=7 !")
    assert judged(text + "+20\n" + LATER).of("T-052")
    spoilt_header = text.replace("spoil=data", "spoil=header")
    assert not judged(spoilt_header + "+20\n" + LATER).of("T-052")


def test_who_lost_the_frame_owes_nothing() -> None:
    assert not judged(REJECTED + REST + "> NOP-Out ! DataSegmentLength=80\n+20\n" + LATER).of("T-052")


def test_a_recovery_r2t_asks_again() -> None:
    more = "< R2T ITT=1 BufferOffset=0 DesiredDataTransferLength=512 TTT=8\n"
    text = REJECTED.replace("login", "login ErrorRecoveryLevel=1") + REST + more
    assert not judged(text + "+20\n" + LATER).of("T-052")
    assert judged(text + "> Data-Out F data=512 TTT=8 ITT=1\n+20\n" + LATER).of("T-052")


@pytest.mark.parametrize(
    "end",
    [
        "close target",
        "close target rst",
        "> TMF-Request Function=ABORT_TASK RefTaskTag=1 RefCmdSN=1\n< TMF-Response",
        "> Logout-Request\n< Logout-Response",
    ],
)
def test_a_task_may_end_otherwise(end: str) -> None:
    assert not judged(REJECTED + REST + end + "\n+20\nconn 2\nlogin ISID=0x400001370001").of("T-052")


def test_a_command_that_had_begun_is_not_ended_by_a_reject() -> None:
    text = """
        login
        > SCSI-Command cdb=READ(10):0+2 as cmd
        {begun}
        < Reject Reason=PROTOCOL_ERROR reject=cmd
        +20
        > NOP-Out
        < NOP-In
    """
    assert judged(text.format(begun="< Data-In data=512")).of("T-052")
    assert not judged(text.format(begun="")).of("T-052")


def test_a_snack_that_was_rejected_ends_no_task() -> None:
    text = """
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=512
        > SNACK Type=DATA_R2T ITT=1 BegRun=0 RunLength=1 as snack
        < Reject Reason=SNACK_REJECT reject=snack
    """
    assert judged(text + "+20\n" + LATER).of("T-052")
    good = judged(text + "< SCSI-Response ITT=1 Status=CHECK_CONDITION sense=b/11/13\n+20\n" + LATER)
    assert not good.of("T-052")
    assert good.evidence["T-052"]
