from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.journal import Record, record_of
from iscsiproxy.session.events import Received
from tests.checks.cases import Case, judged, prove
from tests.checks.dialogue import records_of

__all__: list[str] = []

BOTH = "HeaderDigest=CRC32C DataDigest=CRC32C"

CASES = (
    Case(
        rule="T-054",
        good="""
            login DataDigest=CRC32C
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
            > NOP-Out data=16 I ! spoil=data as bad
            < Reject Reason=DATA_DIGEST_ERROR reject=bad
        """,
        bad="""
            login DataDigest=CRC32C
            > NOP-Out data=16 I ! spoil=data as bad
            +20
            > NOP-Out
            < NOP-In
        """,
        short="""
            login DataDigest=CRC32C
            > NOP-Out data=16 I ! spoil=data as bad
            +1
            close initiator
        """,
        mutant=("Reason=DATA_DIGEST_ERROR", "Reason=PROTOCOL_ERROR"),
    ),
    Case(
        rule="T-075",
        good=f"""
            login {BOTH}
            > NOP-Out data=5
            < NOP-In data=5
        """,
        bad=f"""
            login {BOTH}
            > NOP-Out data=5
            < NOP-In data=5 spoil=header
        """,
        short="""
            login
            > NOP-Out data=5
            < NOP-In data=5
        """,
        mutant=("< NOP-In data=5", "< NOP-In data=5 spoil=data"),
    ),
    Case(
        rule="I-053",
        good=f"""
            login {BOTH}
            > NOP-Out data=5
            < NOP-In data=5
        """,
        bad=f"""
            login {BOTH}
            > NOP-Out data=5 spoil=none
        """,
        short=f"""
            login {BOTH}
        """,
        mutant=("> NOP-Out data=5", "> NOP-Out data=5 spoil=header"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- where they are ---


def test_without_digests_there_are_none() -> None:
    found = judged("login\n> NOP-Out data=5\n< NOP-In data=5")
    assert not {"T-075", "I-053"} & found.rules()
    assert not found.evidence["T-075"] + found.evidence["I-053"]


@pytest.mark.parametrize(
    ("keys", "spoil", "text"),
    [
        ("HeaderDigest=CRC32C", "none", "no header digest, and HeaderDigest=CRC32C was agreed on"),
        ("DataDigest=CRC32C", "none", "no data digest, and DataDigest=CRC32C was agreed on"),
        ("HeaderDigest=CRC32C", "header", "the header digest deadbeef is wrong"),
        ("DataDigest=CRC32C", "data", "the data digest deadbeef is wrong"),
        ("HeaderDigest=CRC32C", "data", "a data digest, and none was agreed on"),
        ("DataDigest=CRC32C", "header", "a header digest, and none was agreed on"),
        ("", "header", "a header digest, and none was agreed on"),
    ],
)
def test_it_is_told_what_is_wrong(keys: str, spoil: str, text: str) -> None:
    assert [finding.text for finding in judged(f"login {keys}\n> NOP-Out data=4 spoil={spoil}").of("I-053")] == [text]
    assert [finding.text for finding in judged(f"login {keys}\n< NOP-In data=4 spoil={spoil}").of("T-075")] == [text]


def test_the_proof_is_the_end_of_the_login() -> None:
    for line, rule in (("> NOP-Out", "I-053"), ("< NOP-In", "T-075")):
        (found,) = judged(f"login HeaderDigest=CRC32C\n{line} spoil=header").of(rule)
        assert [proof.text.partition(" ")[0] for proof in found.proof] == [line[2:], "Login-Response"]


def test_an_empty_data_segment_has_no_digest() -> None:
    assert not judged("login DataDigest=CRC32C\n> NOP-Out").of("I-053")
    assert judged("login DataDigest=CRC32C\n> NOP-Out spoil=data").of("I-053")


def test_during_login_there_are_none() -> None:
    text = """
        > Login-Request T CSG=1 NSG=3 text="HeaderDigest=CRC32C" spoil=header
        < Login-Response T CSG=1 NSG=3 TSIH=1 text="HeaderDigest=CRC32C" spoil=header
    """
    found = judged(text)
    texts = [finding.text for finding in found.of("I-053") + found.of("T-075")]
    assert texts == 2 * ["a header digest before the full feature phase"]


def test_each_leg_has_what_was_agreed_on_there() -> None:
    # The target never hears of digests, the initiator is told that it has them.
    text = """
        > Login-Request T CSG=1 NSG=3 text="HeaderDigest=CRC32C" ! T CSG=1 NSG=3 data=hex:00
        < Login-Response T CSG=1 NSG=3 TSIH=1 ! CSG=1 data=hex:4865616465724469676573743d43524333324300
        > NOP-Out I
    """
    assert [finding.text for finding in judged(text).of("I-053")] == [
        "no header digest, and HeaderDigest=CRC32C was agreed on"
    ]


def test_where_the_login_was_not_seen_nothing_is_said() -> None:
    found = judged("middle\n> NOP-Out data=4 spoil=header\n< NOP-In data=4 spoil=data")
    assert not {"T-075", "I-053"} & found.rules()


def test_events_that_are_missing_may_have_been_the_end_of_the_login() -> None:
    text = """
        > Login-Request T CSG=1 NSG=3 text="HeaderDigest=CRC32C"
        lost 1
        > NOP-Out spoil=header
    """
    assert not judged(text).of("I-053")


def test_events_that_are_missing_later_change_nothing() -> None:
    assert judged(f"login {BOTH}\nlost 2\n> NOP-Out spoil=none").of("I-053")


def test_wrong_digests_that_a_fault_made_are_nobodys() -> None:
    text = f"""
        login {BOTH}
        > NOP-Out data=4 ! spoil=header
        < NOP-In ITT=none TTT=5 ! spoil=header
        << NOP-In ITT=none TTT=5 spoil=header
    """
    assert not {"T-075", "I-053"} & judged(text).rules()


def _judged(records: list[Record]) -> tuple[list[Finding], int]:
    judge = Judge()
    for record in records:
        judge.take(record)
    return [one for one in judge.findings if one.rule == "I-053"], judge.evidence["I-053"]


def test_where_nobody_looked_at_a_digest_it_is_no_evidence() -> None:
    records = records_of(f"login {BOTH}\n> NOP-Out data=4")
    for at, record in enumerate(records):
        event = record.entry
        if isinstance(event, Received):
            blind = Received(n=event.n, at=event.at, conn=event.conn, leg=event.leg, pdu=event.pdu)
            records[at] = record_of(blind)
    assert _judged(records) == ([], 0)


def test_the_data_of_a_partial_PDU_is_not_there() -> None:
    records = records_of(f"login {BOTH}\n> NOP-Out data=4")
    for at, record in enumerate(records):
        event = record.entry
        if isinstance(event, Received) and event.pdu.header_digest:
            pdu = event.pdu.with_parts(data_digest=b"")
            records[at] = record_of(
                Received(n=event.n, at=event.at, conn=event.conn, leg=event.leg, pdu=pdu, partial=True)
            )
    assert _judged(records) == ([], 0)


# --- what is done about a wrong one ---


@pytest.mark.parametrize(
    "line",
    [
        "> NOP-Out data=16 ! spoil=data",
        "> SCSI-Command cdb=WRITE(10):0+1 data=512 ! spoil=data",
        "> Text-Request text='SendTargets=' ! spoil=data",
        "> Data-Out ITT=9 data=16 ! spoil=data",
        "> NOP-Out data=16 spoil=data",
        ">> NOP-Out data=16 spoil=data",
    ],
)
@pytest.mark.parametrize("digests", ["DataDigest=CRC32C", BOTH])
def test_a_Reject_has_to_come(line: str, digests: str) -> None:
    text = f"""
        login {digests}
        {line} as bad
        {{}}
        +16
        > NOP-Out
    """
    (found,) = judged(text.format("")).of("T-054")
    label = line.split()[1]
    assert found.text == f"{label} with a wrong data digest was not rejected within 15 s"
    assert found.label == "silence"
    assert not judged(text.format("< Reject Reason=DATA_DIGEST_ERROR reject=bad")).of("T-054")


@pytest.mark.parametrize(
    "end",
    ["close target", "close target rst", "close initiator", "< Async AsyncEvent=LOGOUT_REQUEST Parameter3=20"],
)
def test_a_connection_that_ends_needs_no_Reject(end: str) -> None:
    text = f"""
        login DataDigest=CRC32C
        > NOP-Out data=16 I ! spoil=data
        {end}
        conn 2
        +20
        login
    """
    assert not judged(text).of("T-054")


def test_a_target_that_closes_is_evidence() -> None:
    text = """
        login DataDigest=CRC32C
        > NOP-Out data=16 I ! spoil=data
        close {}
    """
    assert judged(text.format("target")).evidence["T-054"] == 1
    assert judged(text.format("initiator rst")).evidence["T-054"] == 0


def test_another_event_is_no_answer() -> None:
    text = """
        login DataDigest=CRC32C
        > NOP-Out data=16 I ! spoil=data
        < Async AsyncEvent=SCSI_ASYNC_EVENT
        +20
        > NOP-Out
    """
    assert judged(text).of("T-054")


def test_a_wrong_header_digest_asks_for_no_Reject() -> None:
    text = f"""
        login {BOTH}
        > NOP-Out data=16 I ! spoil=header
        +20
        > NOP-Out
    """
    assert not judged(text).of("T-054")


def test_the_Reject_is_of_that_PDU() -> None:
    text = """
        login DataDigest=CRC32C
        > NOP-Out data=16 I ! spoil=data
        > NOP-Out I as other
        < Reject Reason=DATA_DIGEST_ERROR reject=other
        +20
        > NOP-Out
    """
    assert judged(text).of("T-054")


@pytest.mark.parametrize(
    ("bad", "reason", "found"),
    [
        ("> NOP-Out data=16 I ! spoil=data", "PROTOCOL_ERROR", True),
        ("> NOP-Out data=16 I ! spoil=data", "INVALID_PDU_FIELD", True),
        ("> NOP-Out data=16 I ! spoil=data", "IMMEDIATE_COMMAND_REJECT", False),
        ("> NOP-Out data=16 I ! spoil=data", "WAITING_FOR_LOGOUT", False),
        ("> NOP-Out data=16 I BHS.1=0x81 ! BHS.1=0x81 spoil=data", "PROTOCOL_ERROR", False),
        (">> NOP-Out data=16 I spoil=data", "PROTOCOL_ERROR", False),
        ("> Data-Out data=16 TTT=5 ! spoil=data", "INVALID_PDU_FIELD", False),
    ],
)
def test_a_Reject_for_another_reason(bad: str, reason: str, *, found: bool) -> None:
    # What else is wrong with the PDU may be what it was rejected for; in one that is right there is nothing else.
    text = f"""
        login DataDigest=CRC32C
        {bad} as bad
        < Reject Reason={reason} reject=bad
        +20
        > NOP-Out
    """
    assert bool(judged(text).of("T-054")) is found


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("NOP-Out data=16", "NOP-In data=16"),
        ("SCSI-Command cdb=WRITE(10):0+1 data=512", "SCSI-Response"),
        ("SCSI-Command cdb=WRITE(10):0+2 data=512", "R2T BufferOffset=512 DesiredDataTransferLength=512"),
        ("Text-Request text='SendTargets='", "Text-Response"),
    ],
)
def test_what_had_to_be_discarded_is_not_answered(request_: str, answer: str) -> None:
    text = f"""
        login DataDigest=CRC32C
        > {request_} ! spoil=data as bad
        < {answer}
    """
    (found,) = judged(text).of("T-054")
    assert "it had to be discarded" in found.text
    assert len(found.proof) == 2


def test_what_came_again_whole_is_answered() -> None:
    text = """
        login DataDigest=CRC32C
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ! spoil=data as bad
        < Reject Reason=DATA_DIGEST_ERROR reject=bad
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ITT=bad.ITT CmdSN=bad.CmdSN
        < SCSI-Response
    """
    assert not judged(text).of("T-054")


def test_a_tag_that_was_used_before_is_no_excuse() -> None:
    text = """
        login DataDigest=CRC32C
        > NOP-Out data=16 as first
        < NOP-In data=16
        > NOP-Out data=16 ITT=first.ITT ! spoil=data
        < NOP-In data=16 ITT=first.ITT
    """
    assert judged(text).of("T-054")


def test_a_status_that_is_sent_again_answers_the_task_before() -> None:
    text = """
        login DataDigest=CRC32C
        > NOP-Out data=16 as first
        < NOP-In data=16 as answer
        > NOP-Out data=16 ITT=first.ITT ! spoil=data
        < NOP-In data=16 ITT=first.ITT StatSN=answer.StatSN
    """
    assert not judged(text).of("T-054")


def test_a_retry_with_a_wrong_digest_does_not_end_the_task() -> None:
    text = """
        login DataDigest=CRC32C
        > SCSI-Command cdb=WRITE(10):0+1 data=512 as command
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ITT=command.ITT CmdSN=command.CmdSN ! spoil=data as bad
        < SCSI-Response
        < Reject Reason=DATA_DIGEST_ERROR reject=bad
    """
    assert not judged(text).of("T-054")


def test_what_is_held_up_is_not_late() -> None:
    text = """
        login DataDigest=CRC32C
        > NOP-Out data=16 I ! spoil=data
        fired stall
        +20
        > NOP-Out
    """
    assert not judged(text).of("T-054")


def test_behind_missing_events_nothing_is_owed() -> None:
    text = """
        login DataDigest=CRC32C
        > NOP-Out data=16 ! spoil=data
        lost 1
        < NOP-In data=16
        +20
        > NOP-Out
    """
    assert not judged(text).of("T-054")


def test_where_no_digests_were_agreed_on_there_is_no_wrong_one() -> None:
    assert not judged("login\n> NOP-Out data=4 ! spoil=data\n+20\n> NOP-Out").of("T-054")
