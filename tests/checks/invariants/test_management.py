from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants import management
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

READ = "> SCSI-Command cdb=READ(10):0+8 as read"
ABORT = "> TMF-Request I Function=ABORT_TASK RefTaskTag=read.ITT RefCmdSN=read.CmdSN"

CASES = (
    Case(
        rule="T-049",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY as cmd
            < SCSI-Response
            > TMF-Request I Function=ABORT_TASK RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN
            < TMF-Response Response=1
        """,
        bad="""
            login
            > TMF-Request I Function=LUN_RESET
            < TMF-Response Response=99
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("Response=1", "Response=0"),
    ),
    Case(
        rule="I-031",
        good=f"""
            login
            {READ}
            {ABORT}
            < TMF-Response
        """,
        bad="""
            login
            > TMF-Request I Function=LUN_RESET RefTaskTag=5
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("RefCmdSN=read.CmdSN", "RefCmdSN=read.CmdSN+1"),
    ),
    Case(
        rule="I-032",
        good=f"""
            login MaxConnections=2
            conn 2
            login TSIH=1 CID=1
            {READ}
            {ABORT}
            < TMF-Response
            +20
            fired pass
        """,
        bad=f"""
            login MaxConnections=2
            {READ}
            conn 2
            login TSIH=1 CID=1
            {ABORT}
            < TMF-Response Response=1
            +20
            fired pass
        """,
        short=f"""
            login
            {READ}
            < Data-In data=4096 F S
        """,
        mutant=(ABORT, f"conn 1\n{ABORT}"),
    ),
    Case(
        rule="I-034",
        good="""
            login iSCSIProtocolLevel=2
            > TMF-Request I Function=QUERY_TASK_SET
            < TMF-Response
            > SCSI-Command cdb=TEST-UNIT-READY PRI=3
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY PRI=3
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
        """,
        mutant=("login iSCSIProtocolLevel=2", "login"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def of(rule: str, text: str) -> list[Finding]:
    return judged(text, families=(management.FAMILY,)).of(rule)


# --- T-049 ------------------------------------------------------------------------------------------------------------


def aborted(command: str, abort: str, response: int) -> list[Finding]:
    """Give what is said of an answer to an ABORT TASK behind five commands that went well."""
    past = "> SCSI-Command cdb=TEST-UNIT-READY as past\n< SCSI-Response\n" * 5
    request = f"> TMF-Request I Function=ABORT_TASK {abort}"
    return of("T-049", f"login\n{past}{command}\n{request}\n< TMF-Response Response={response}\n+20\nfired pass")


@pytest.mark.parametrize("response", [0, 1, 2, 4, 5, 6, 255])
def test_responses_of_the_standard(response: int) -> None:
    assert not of("T-049", f"login\n> TMF-Request I Function=LUN_RESET\n< TMF-Response Response={response}")


def test_function_succeeded_is_of_rfc_7144() -> None:
    text = "\n> TMF-Request I Function=QUERY_TASK_SET\n< TMF-Response Response=7"
    assert not of("T-049", "login iSCSIProtocolLevel=2" + text)
    assert of("T-049", "login" + text)[0].clause == "RFC 7144 6.3"
    assert not of("T-049", "middle\n< TMF-Response Response=7 ITT=1 StatSN=1")


@pytest.mark.parametrize(
    ("command", "abort", "good", "bad"),
    [
        ("", "RefTaskTag=99 RefCmdSN=2", [1, 2, 5, 255], [0]),  # c: below the window
        ("", "RefTaskTag=99 RefCmdSN=0xffffec7e", [1], [0]),
        ("", "RefTaskTag=99 RefCmdSN=500", [1], [0]),  # c: above it
        ("", "RefTaskTag=99 RefCmdSN=6", [0, 1], []),  # inside, but not before the request: neither b nor c
        ("", "RefTaskTag=past.ITT RefCmdSN=past.CmdSN", [1], [0]),  # 7.11: it was answered
        (">x SCSI-Command cdb=TEST-UNIT-READY as lost", "RefTaskTag=lost.ITT RefCmdSN=lost.CmdSN", [0], [1]),  # b
        (READ, "RefTaskTag=read.ITT RefCmdSN=read.CmdSN", [0, 2, 5, 6, 255], [1]),  # a
        (READ, "RefTaskTag=read.ITT RefCmdSN=read.CmdSN lun=7", [0, 1, 2], []),  # another LUN
        (
            f"{READ[:-8]} ITT=50\n{READ[:-8]} ITT=50 as read",
            "RefTaskTag=50 RefCmdSN=read.CmdSN",
            [0, 1],
            [],
        ),  # one tag for two
        ("> NOP-Out as ping", "RefTaskTag=ping.ITT RefCmdSN=ping.CmdSN", [0, 1], []),
    ],
)
def test_abort_task(command: str, abort: str, good: list[int], bad: list[int]) -> None:
    assert not [code for code in good if aborted(command, abort, code)]
    assert [code for code in bad if aborted(command, abort, code)] == bad


def test_what_is_received_but_not_acknowledged_yet_may_be_either() -> None:
    text = "login\n> SCSI-Command cdb=TEST-UNIT-READY\n> TMF-Request I Function=ABORT_TASK RefTaskTag=99 RefCmdSN=1\n"
    assert not of("T-049", text + "< TMF-Response Response=1 ExpCmdSN=1")
    assert not of("T-049", text + "< TMF-Response Response=0 ExpCmdSN=1")


def test_a_status_that_is_on_its_way_leaves_nothing_to_abort() -> None:
    text = f"login\n{READ}\n{ABORT}\n< TMF-Response Response=1\n"
    assert not of("T-049", text + "< Data-In data=4096 F S ITT=read.ITT\n+20\nfired pass")
    (finding,) = of("T-049", text + "+20\nfired pass")
    assert "'task does not exist'" in finding.text


def test_what_a_command_behind_a_gap_is_to_the_target_is_not_known() -> None:
    text = f"login\n>x SCSI-Command cdb=TEST-UNIT-READY\n{READ}\n{ABORT}\n< TMF-Response Response=1\n+20\nfired pass"
    assert not of("T-049", text)


def test_tags_of_a_session_that_is_seen_from_its_middle_are_not_known() -> None:
    text = "\n> TMF-Request I ITT=9 CmdSN=50 Function=ABORT_TASK RefTaskTag=99\n< TMF-Response StatSN=7 ITT=9"
    assert not of("T-049", "middle\n< NOP-In ITT=none StatSN=7 ExpCmdSN=50" + text)
    assert not of("T-049", "login\nlost 4\n< NOP-In ITT=none StatSN=7 ExpCmdSN=50" + text)


def test_the_request_counts_as_a_fault_has_made_it() -> None:
    text = f"login\n{READ}\n{ABORT} ! RefTaskTag=99 RefCmdSN=0xffffff00\n< TMF-Response Response="
    assert not of("T-049", text + "1\n+20\nfired pass")
    assert of("T-049", text + "0")


# --- I-031 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "clause"),
    [
        ("Function=13", "RFC 7143 11.5.1"),
        ("Function=0", "RFC 7143 11.5.1"),
        ("Function=LUN_RESET data=4", "RFC 7143 11.5.2"),
        ("Function=ABORT_TASK", "RFC 7143 11.5.4"),
        ("Function=ABORT_TASK RefTaskTag=read.ITT RefCmdSN=read.CmdSN lun=1", "RFC 7143 4.2.5.3, RFC 7143 11.5.3"),
        ("Function=ABORT_TASK RefTaskTag=read.ITT RefCmdSN=read.CmdSN-1", "RFC 7143 11.5.5"),
        ("Function=QUERY_TASK RefTaskTag=read.ITT", "RFC 7143 11.5.5"),
    ],
)
def test_requests_that_do_not_say_what_they_are_about(request_: str, clause: str) -> None:
    (finding,) = of("I-031", f"login iSCSIProtocolLevel=2\n{READ}\n> TMF-Request I {request_}")
    assert finding.clause == clause


@pytest.mark.parametrize(
    "request_",
    [
        "Function=LUN_RESET lun=5",
        "Function=TARGET_WARM_RESET",
        "Function=ABORT_TASK RefTaskTag=99 RefCmdSN=77",  # whatever it once was
        "Function=TASK_REASSIGN RefTaskTag=read.ITT",
        "Function=QUERY_TASK RefTaskTag=read.ITT RefCmdSN=read.CmdSN",
    ],
)
def test_requests_that_do(request_: str) -> None:
    assert not of("I-031", f"login iSCSIProtocolLevel=2\n{READ}\n> TMF-Request I {request_}")


def test_an_immediate_task_is_named_by_the_number_of_the_request() -> None:
    text = f"login\n{READ} I CmdSN=1\n> SCSI-Command cdb=TEST-UNIT-READY\n> TMF-Request I Function=ABORT_TASK "
    text = text.replace(" as read I CmdSN=1", " I as read")
    assert not of("I-031", text + "RefTaskTag=read.ITT RefCmdSN=2")
    assert of("I-031", text + "RefTaskTag=read.ITT RefCmdSN=1")


def test_what_a_fault_did_to_the_request_blames_nobody() -> None:
    assert not of("I-031", f"login\n{READ}\n{ABORT} ! RefCmdSN=99")


# --- I-032, I-034 -----------------------------------------------------------------------------------------------------

TWO = f"login MaxConnections=2\n{READ}\nconn 2\nlogin TSIH=1 CID=1\n"


@pytest.mark.parametrize(
    "text",
    [
        "conn 1\nclose initiator rst\nconn 2\n" + ABORT,
        ABORT + "\nconn 1\nclose initiator rst\nconn 2",  # they cross on the wire
        "> Logout-Request I ReasonCode=CLOSE_CONNECTION CID=0\n" + ABORT,
        ABORT + "\n> Logout-Request I ReasonCode=CLOSE_CONNECTION CID=0",
        ABORT.replace("read.ITT", "99"),
    ],
)
def test_a_task_whose_connection_is_given_up_is_aborted_from_another(text: str) -> None:
    assert not of("I-032", f"{TWO}{text}\n+20\nfired pass")


def test_the_connection_that_should_have_been_used_is_named() -> None:
    (finding,) = of("I-032", f"{TWO}{ABORT}\n+20\nfired pass")
    assert finding.text == "ABORT TASK for a task of connection 1, which was not given up within 1 s"
    assert len(finding.proof) == 2


def test_a_level_that_was_not_seen_is_not_judged() -> None:
    assert not of("I-034", "middle\n> SCSI-Command cdb=TEST-UNIT-READY PRI=3 CmdSN=1")
    assert not of("I-034", "login\n> SCSI-Command cdb=TEST-UNIT-READY ! PRI=3")
