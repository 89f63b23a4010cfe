from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

CASES = (
    Case(
        rule="T-080",
        good="""
            login
            > NOP-Out
            +1
            < NOP-In
        """,
        bad="""
            login
            > NOP-Out
            +6
            < NOP-In
        """,
        short="""
            login
            > NOP-Out
            +1
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("+1", "+6"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(text: str) -> list[str]:
    """Give what the rule finds in a dialogue."""
    return [finding.text for finding in judged(text).of("T-080")]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("NOP-Out", "NOP-In"),
        ("Text-Request text=SendTargets=", "Text-Response"),
        ("Text-Request text=SendTargets=", "Text-Response F=0 TTT=5"),
        ("Logout-Request", "Logout-Response"),
        ("TMF-Request Function=LUN_RESET I", "TMF-Response"),
        ("NOP-Out as ping", "Reject Reason=COMMAND_NOT_SUPPORTED reject=ping"),
    ],
)
def test_requests_and_their_answers(request_: str, answer: str) -> None:
    label = request_.partition(" ")[0]
    text = f"login\n> {request_}\n{{}}\n< {answer}"
    assert found(text.format("+4")) == []
    (finding,) = judged(text.format("+6")).of("T-080")
    assert finding.text == f"{label} ITT=0x1 was not answered within 5 s"
    assert str(finding.severity) == "heuristic"


@pytest.mark.parametrize(
    "text",
    [
        "login\n> SCSI-Command cdb=READ(10):0+1\n+6\n< SCSI-Response Status=BUSY",
        "login\n> NOP-Out ITT=none I\n+6\n< NOP-In ITT=none",
        "login\n> NOP-Out\nfired delay\n+6\n< NOP-In",
        "login\nfired set\n> NOP-Out\n+6\n< NOP-In",
        "login\n> NOP-Out\nclose target\n+6\nconn 2\nlogin",
        "login\n> NOP-Out\nlost 1\n+6\n< NOP-In",
        "login\n> NOP-Out CmdSN=2\n+6\n> NOP-Out CmdSN=1",
        "login\n> NOP-Out\n< NOP-In\n> NOP-Out CmdSN=1 ITT=9\n+6\n> NOP-Out",
        "login\n> NOP-Out\n< NOP-In\n> NOP-Out CmdSN=99\n+6\n> NOP-Out",
    ],
)
def test_what_may_take_its_time(text: str) -> None:
    assert found(text) == []


def test_an_abort_waits_for_the_data_of_its_tasks() -> None:
    text = """
        login
        > SCSI-Command cdb=WRITE(10):0+1
        < R2T DesiredDataTransferLength=512 as r
        > TMF-Request Function=ABORT_TASK_SET I
        {}
        +6
        > NOP-Out
    """
    assert found(text.format("")) == []
    assert found(text.format("> Data-Out ITT=1 TTT=r.TTT data=512 F")) != []
