from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

MINE = {"T-076", "T-077", "I-041", "I-042", "I-043"}
#: A session of two connections, with CIDs 0 and 1
PAIR = """
    login MaxConnections=2 {keys}
    conn 2
    login MaxConnections=2 {keys} TSIH=1 CID=1
"""

CASES = (
    Case(
        rule="T-076",
        good="""
            login
            > Logout-Request
            < Logout-Response
            close target
            +20
            conn 2
            login
        """,
        bad="""
            login
            > Logout-Request
            < Logout-Response
            +20
            conn 2
            login
        """,
        short="""
            login
            > Logout-Request
            < Logout-Response
        """,
        mutant=("close target", "< NOP-In ITT=none"),
    ),
    Case(
        rule="T-077",
        good="""
            login
            > Logout-Request ReasonCode=CLOSE_CONNECTION CID=7 ! CID=8
            < Logout-Response Response=CID_NOT_FOUND
            > Logout-Request ReasonCode=CLOSE_CONNECTION CID=0
            < Logout-Response Response=CLOSED_SUCCESSFULLY
        """.replace("CID=7 ! CID=8", "CID=0 ! CID=8"),
        bad="""
            login ErrorRecoveryLevel=1
            > Logout-Request ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=0
            < Logout-Response
        """,
        short="""
            login
            > Logout-Request
        """,
        mutant=("Response=CID_NOT_FOUND", "Response=CLOSED_SUCCESSFULLY"),
    ),
    Case(
        rule="I-041",
        good="""
            login CID=5
            > Logout-Request ReasonCode=CLOSE_CONNECTION CID=5
        """,
        bad="""
            login
            > Logout-Request ReasonCode=3
        """,
        short="""
            login
            > NOP-Out
        """,
        mutant=("CLOSE_CONNECTION CID=5", "CLOSE_CONNECTION CID=6"),
    ),
    Case(
        rule="I-042",
        good="""
            login
            > Logout-Request
            < Logout-Response
            close target
        """,
        bad="""
            login
            > Logout-Request
            > SCSI-Command cdb=READ(10):0+1
        """,
        short="""
            login
            > Logout-Request
        """,
        mutant=("< Logout-Response", "> NOP-Out"),
    ),
    Case(
        rule="I-043",
        good="""
            login
            > Logout-Request
            < Logout-Response
            close target half
            close initiator half
            +40
            conn 2
            login
        """,
        bad="""
            login
            > Logout-Request
            < Logout-Response
            close target half
            +16
            conn 2
            login
        """,
        short="""
            login
            > Logout-Request
            < Logout-Response
            close target half
        """,
        mutant=("close initiator half", "+0"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(text: str) -> list[str]:
    """Give what the rules of this family find in a dialogue."""
    return [f"{one.rule} {one.text}" for one in judged(text).findings if one.rule in MINE]


# --- T-076 -----------------------------------------------------------------------------------------------------------


def test_nothing_comes_behind_the_answer() -> None:
    text = "login\n> SCSI-Command cdb=READ(10):0+1 ITT=5\n> Logout-Request\n< Logout-Response\n"
    assert found(text + "< SCSI-Response ITT=5 Status=BUSY\nclose target") == [
        "T-076 a SCSI-Response behind the Logout Response"
    ]
    assert found(text + "<< SCSI-Response ITT=5 Status=BUSY\nclose target") == [], "the proxy made it"
    assert found(text + "< Logout-Response\nclose target") == ["T-076 a Logout-Response behind the Logout Response"]


@pytest.mark.parametrize("answer", ["Response=CLEANUP_FAILED", "Response=CID_NOT_FOUND"])
def test_a_logout_that_failed_leaves_the_connection_open(answer: str) -> None:
    text = f"""
        {PAIR.format(keys="")}
        > Logout-Request ReasonCode=CLOSE_CONNECTION CID=0
        < Logout-Response {answer}
        conn 1
        > NOP-Out
        < NOP-In
        +40
        > NOP-Out
        < NOP-In
    """
    assert found(text) == []
    assert "T-076" in " ".join(found(text.replace(answer, "")))


def test_a_logout_that_was_rejected_does_so_too() -> None:
    text = """
        login
        > Logout-Request ReasonCode=CLOSE_CONNECTION CID=0 as out
        < Reject Reason=PROTOCOL_ERROR reject=out
        > NOP-Out
        < NOP-In
        +40
        > NOP-Out
        < NOP-In
    """
    assert found(text) == []


def test_all_connections_of_a_session_are_closed() -> None:
    text = PAIR.format(keys="") + "> Logout-Request\n< Logout-Response\nclose target\n"
    waiting = "connection 1 was not closed behind the Logout Response within"
    assert found(text + "conn 1\nclose target\n+40\nconn 3\nlogin") == []
    assert set(found(text + "+40\nconn 3\nlogin")) == {f"T-076 {waiting} 15 s", f"I-043 {waiting} 30 s"}
    # What is on its way on another connection may have been sent before.
    assert found(text + "conn 1\n< NOP-In ITT=none\nclose target") == []
    assert found(text + "conn 1\n+0.1\n< NOP-In ITT=none\nclose target") == [
        "T-076 a NOP-In behind the Logout Response"
    ]


def test_only_the_connection_that_was_named_is_closed() -> None:
    text = PAIR.format(keys="") + "> Logout-Request ReasonCode=CLOSE_CONNECTION CID=0\n< Logout-Response\n"
    rest = "> NOP-Out\n< NOP-In\nconn 1\nclose target\n+40\nconn 2\n> NOP-Out\n< NOP-In"
    assert found(text + rest) == []


def test_a_target_does_not_close_instead_of_an_answer() -> None:
    text = "login\n> Logout-Request as out\n{}\n+1\nclose {}"
    assert found(text.format("", "target")) == ["T-076 the target closes the connection without a Logout Response"]
    assert found(text.format("", "initiator")) == []
    assert found(text.format("fired drop", "target")) == []
    assert found(text.format("< Reject Reason=PROTOCOL_ERROR reject=out", "target")) == []
    assert found(text.format("", "target").replace("+1", "")) == [], "they crossed"


def test_whoever_closes_first() -> None:
    text = "login\n> Logout-Request\n< Logout-Response\n"
    for close in ("close initiator", "close initiator rst", "close target rst"):
        assert found(f"{text}{close}\n+40\nconn 2\nlogin") == []
    assert [one[:5] for one in found(f"{text}close initiator half\n+40\nconn 2\nlogin")] == ["T-076"]
    assert found(f"{text}fired stall\n+40\nconn 2\nlogin") == [], "a fault holds it up"


# --- T-077 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "request_", "right", "wrong"),
    [
        ("", "CLOSE_SESSION CID=9", [0, 3], [1, 2, 9]),
        ("", "CLOSE_CONNECTION CID=0", [0, 3], [1, 2]),
        ("", "CLOSE_CONNECTION CID=9", [1, 3], [0, 2]),
        ("", "REMOVE_CONNECTION_FOR_RECOVERY CID=0", [2, 3], [0, 1]),
        ("", "REMOVE_CONNECTION_FOR_RECOVERY CID=9", [1, 2], [0]),
        ("ErrorRecoveryLevel=2", "REMOVE_CONNECTION_FOR_RECOVERY CID=0", [0, 3], [1, 2]),
        ("ErrorRecoveryLevel=2", "REMOVE_CONNECTION_FOR_RECOVERY CID=9", [1], [0, 2]),
        ("SessionType=Discovery", "CLOSE_SESSION", [0], [1]),
        ("SessionType=Discovery", "CLOSE_CONNECTION CID=0", [1, 2, 3], [0]),
        ("SessionType=Discovery", "REMOVE_CONNECTION_FOR_RECOVERY CID=0", [2], [0]),
    ],
)
def test_the_answer_fits(keys: str, request_: str, right: list[int], wrong: list[int]) -> None:
    for response in (*right, *wrong):
        text = f"login {keys}\n> Logout-Request ReasonCode={request_}\n< Logout-Response Response={response}"
        judgement = judged(text)
        assert bool(judgement.of("T-077")) == (response in wrong), response
        assert judgement.evidence["T-077"] == 1


def test_success_in_a_discovery_session_has_a_clause_of_its_own() -> None:
    text = "login SessionType=Discovery\n> Logout-Request ReasonCode=CLOSE_CONNECTION CID=0\n< Logout-Response"
    (finding,) = judged(text).of("T-077")
    assert finding.clause == "RFC 7143 4.3"


def test_the_request_counts_as_it_was_given() -> None:
    text = "login\n> Logout-Request ReasonCode=CLOSE_CONNECTION CID=0 ! CID=9\n< Logout-Response"
    assert found(text) == ["T-077 success for CID 9, which the session never had"]


@pytest.mark.parametrize("lost", ["close initiator rst", "close target"])
def test_a_connection_that_is_lost_may_still_be_named(lost: str) -> None:
    text = PAIR.format(keys="") + f"conn 1\n{lost}\nconn 2\n> Logout-Request ReasonCode=CLOSE_CONNECTION CID=0\n"
    for response in (0, 1):
        assert found(text + f"< Logout-Response Response={response}") == []


def test_what_is_not_known_is_not_judged() -> None:
    reason = "> Logout-Request ReasonCode=CLOSE_CONNECTION CID=9\n< Logout-Response"
    assert found(f"middle\n{reason}") == []
    assert found(f"login\nlost 3\n{reason}") == []
    # Commands that went another way tell of a connection that nobody has seen.
    elsewhere = "login MaxConnections=2\n> SCSI-Command cdb=READ(10):0+1 CmdSN=3\n"
    assert found(elsewhere + reason.replace("CID=9", "CID=9 CmdSN=4")) == []
    assert found("login\n< Logout-Response ITT=77") == []
    assert found("login\n> Logout-Request ReasonCode=3\n< Logout-Response")[1:] == []


# --- I-041 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("data=4", "4 bytes of data and 0 of AHS in a Logout Request"),
        ("ahs=hex:00000000", "0 bytes of data and 4 of AHS in a Logout Request"),
        ("ReasonCode=127", "ReasonCode 127 is reserved"),
        ("ReasonCode=CLOSE_CONNECTION CID=3", "CID 3 is that of no connection of the session"),
        ("ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=3", "CID 3 is that of no connection of the session"),
    ],
)
def test_a_logout_request_is_well_formed(fields: str, text: str) -> None:
    assert found(f"login\n> Logout-Request {fields}") == [f"I-041 {text}"]


def test_the_cid_says_nothing_of_a_session() -> None:
    assert found("login\n> Logout-Request CID=99") == []


def test_a_cid_that_was_there_may_be_logged_out() -> None:
    text = PAIR.format(keys="") + "conn 1\nclose target rst\nconn 2\n"
    assert found(text + "> Logout-Request ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=0") == []
    assert found("middle\n> Logout-Request ReasonCode=CLOSE_CONNECTION CID=8") == []


# --- I-042 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "new"),
    [
        ("> SCSI-Command cdb=READ(10):0+1", True),
        ("> NOP-Out", True),
        ("> TMF-Request Function=LUN_RESET I", True),
        ("> Text-Request", True),
        ("> Logout-Request", True),
        ("> Logout-Request ITT=out.ITT CmdSN=out.CmdSN", False),
        ("> SCSI-Command cdb=WRITE(10):0+1 ITT=cmd.ITT CmdSN=cmd.CmdSN", False),
        ("> Data-Out ITT=cmd.ITT TTT=r.TTT data=512 F", False),
        ("> SNACK Type=STATUS", False),
        ("> NOP-Out ITT=none I", False),
        ("> NOP-Out ITT=none TTT=7 I", False),
        ("fired drop\n> Logout-Request", False),
    ],
)
def test_what_is_new_behind_a_logout(line: str, new: bool) -> None:
    text = f"""
        login
        > SCSI-Command cdb=WRITE(10):0+1 as cmd
        < R2T DesiredDataTransferLength=512 as r
        > Logout-Request as out
        {line}
    """
    assert bool(judged(text).of("I-042")) == new


def test_a_fault_that_takes_the_logout_away_changes_nothing() -> None:
    assert found("login\n>x Logout-Request\n> NOP-Out") == ["I-042 a new NOP-Out behind the Logout Request"]


def test_behind_a_logout_that_failed_all_goes_on() -> None:
    text = "login\n> Logout-Request as out\n{}\n> NOP-Out"
    assert found(text.format("< Logout-Response Response=CLEANUP_FAILED")) == []
    assert found(text.format("< Reject Reason=PROTOCOL_ERROR reject=out")) == []


def test_a_session_logout_is_for_all_connections() -> None:
    text = PAIR.format(keys="") + "> Logout-Request\nconn 1\n"
    assert found(text + "> NOP-Out") == [], "it may have been sent before"
    assert found(text + "+0.1\n> NOP-Out") == ["I-042 a new NOP-Out behind the Logout Request"]
    one = text.replace("Logout-Request", "Logout-Request ReasonCode=CLOSE_CONNECTION CID=1")
    assert found(one + "+0.1\n> NOP-Out") == []
    assert found(one + "conn 2\n> NOP-Out") == ["I-042 a new NOP-Out behind the Logout Request"]


# --- I-043 -----------------------------------------------------------------------------------------------------------


def test_the_initiator_may_wait_for_the_fin() -> None:
    text = "login\n> Logout-Request\n< Logout-Response\n"
    late = "connection 1 was not closed behind the Logout Response within"
    assert f"I-043 {late} 30 s" in found(text + "+31\nconn 2\nlogin")
    assert not any("I-043" in one for one in found(text + "+29\nconn 2\nlogin"))
    assert f"I-043 {late} 15 s" in found(text + "+10\nclose target half\n+16\nconn 2\nlogin")
    assert found(text + "+10\nclose target half\n+4\nclose initiator half\n+30\nconn 2\nlogin") == []


def test_what_the_initiator_was_not_told_it_need_not_do() -> None:
    for answer in ("<x Logout-Response", "< Logout-Response ! ITT=77", "< Logout-Response ! Response=CLEANUP_FAILED"):
        text = f"login\n> Logout-Request\n{answer}\nclose target half\n+60\nconn 2\nlogin"
        assert not any("I-043" in one for one in found(text)), answer
    forged = "login\n>x Logout-Request\n<< Logout-Response\n+60\nconn 2\nlogin"
    assert [one[:5] for one in found(forged)] == ["I-043"], "what it was told it has to do, whoever said it"
