from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

NAME = "iqn.2004-01.com.example:disk"
ASKED = f"""
    login SessionType=Discovery
    > Text-Request text=SendTargets=All
    < Text-Response text="TargetName={NAME} TargetAddress=10.0.0.1:3260,{{}} TargetName=iqn.x:y TargetAddress=[::1],7"
    > Logout-Request
    < Logout-Response
    close initiator
    conn 2
"""
COMMAND = "\n> SCSI-Command cdb=TEST-UNIT-READY CmdSN=3\n< SCSI-Response ExpCmdSN=4"
LOGIN = "login / TargetPortalGroupTag=1"

CASES = (
    Case(
        rule="I-065",
        good=ASKED.format(1) + LOGIN + COMMAND,
        bad=ASKED.format(2) + LOGIN + COMMAND,
        short=LOGIN + COMMAND.replace("3", "1"),
        mutant=("10.0.0.1:3260,1", "10.0.0.1:3260,3"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(text: str) -> list[str]:
    """Give what the rule finds in a dialogue."""
    return [finding.text for finding in judged(text).of("I-065")]


def test_it_is_told_once_with_both_tags() -> None:
    (finding,) = judged(f"{ASKED.format(2)}{LOGIN}{COMMAND}{COMMAND}").of("I-065")
    assert finding.text == f"commands to portal group 1 of {NAME}, for which SendTargets named 2"
    assert str(finding.severity) == "heuristic"
    assert [one.text.split()[0] for one in finding.proof] == ["SCSI-Command", "Login-Response", "Text-Response"]


@pytest.mark.parametrize(
    ("asked", "login"),
    [
        (ASKED.format("2 TargetAddress=10.0.0.2,1"), LOGIN),
        (ASKED.format(2).replace(NAME, "iqn.x:z"), LOGIN),
        (ASKED.format(2).replace(",2", ""), LOGIN),
        (ASKED.format(2).replace("< Text", "<x Text"), LOGIN),
        (ASKED.format(1) + LOGIN.replace("=1", "=9") + "\n> Logout-Request\n< Logout-Response\nconn 3\n", LOGIN),
        (ASKED.format(2), "middle"),
    ],
    ids=["one of two", "another target", "no tag", "never came", "given up", "from the middle on"],
)
def test_what_is_no_other_group(asked: str, login: str) -> None:
    assert found(asked + login + COMMAND) == []
