from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

NAMES = "InitiatorName=iqn.x:i TargetName=iqn.x:t"
FIRST = "login\nclose initiator\n+5\nconn 2\n"
COMMAND = "> SCSI-Command cdb=TEST-UNIT-READY"

CASES = (
    Case(
        rule="I-054",
        good=f"{FIRST}login ISID=0x400001370000",
        bad=f"> Login-Request CSG=1 ISID=0xc00000000000 text='{NAMES}'",
        short="> Login-Request C CSG=1 text='InitiatorName=iqn.x:i'",
        mutant=("login ISID=0x400001370000", "login ISID=0x400001370001"),
    ),
    Case(
        rule="I-055",
        good=f"{FIRST}login\n> NOP-Out\n< NOP-In",
        bad=f"login\nconn 2\nlogin\n+1\nconn 1\n{COMMAND}",
        short="login\nconn 2\nlogin ISID=0x400001370001",
        mutant=("close initiator\n+5\nconn 2\nlogin", "+5\nconn 2\nlogin\n+1\nconn 1"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- I-054 -----------------------------------------------------------------------------------------------------------


def test_a_session_that_was_lost_is_come_back_to() -> None:
    [found] = judged(f"{FIRST}login ISID=0x400001370009").of("I-054")
    assert found.severity is Severity.SHOULD


def test_a_session_that_was_closed_is_over() -> None:
    text = "login\n> Logout-Request ReasonCode=0\n< Logout-Response\nclose target\nconn 2\nlogin ISID=0x400001370009"
    assert not judged(text).of("I-054")


@pytest.mark.parametrize("later", ["+100\n", "conn 3\nlogin ISID=0x400001370008\n"])
def test_another_isid_may_be_another_session(later: str) -> None:
    """A long time has passed, or there are several sessions."""
    text = f"login\nclose initiator\n{later}conn 2\nlogin ISID=0x400001370009"
    if later.startswith("conn"):
        text = f"{later}conn 1\nlogin\nclose initiator\nconn 2\nlogin ISID=0x400001370009"
    assert not judged(text).of("I-054")


@pytest.mark.parametrize(("tsih", "wrong"), [("1", False), ("2", True)])
def test_a_tsih_is_that_of_the_session(tsih: str, wrong: bool) -> None:
    """The dialogue's target gives the TSIH 1."""
    text = f"login\nconn 2\nlogin TSIH={tsih} CID=2"
    assert bool(judged(text).of("I-054")) is wrong


def test_a_tsih_ends_with_its_session() -> None:
    text = "login\n> Logout-Request ReasonCode=0\n< Logout-Response\nclose target\nconn 2\nlogin TSIH=1"
    assert judged(text).of("I-054")
    assert not judged("login TSIH=7").of("I-054"), "that session may be from before"


def test_another_target_is_another_session() -> None:
    text = f"{FIRST}login ISID=0x400001370009 TargetName=iqn.x:other"
    assert not judged(text).of("I-054")


# --- I-055 -----------------------------------------------------------------------------------------------------------


def test_what_was_on_its_way_is_no_second_session() -> None:
    assert not judged(f"login\nconn 2\nlogin\nconn 1\n{COMMAND}").of("I-055")


@pytest.mark.parametrize(
    "second", ["login TSIH=1 CID=2", "login ISID=0x400001370001", "login / TargetPortalGroupTag=2",
               "login TargetName=iqn.x:other", "login SessionType=Discovery"]
)  # fmt: skip
def test_other_sessions_live_beside_each_other(second: str) -> None:
    assert not judged(f"login\nconn 2\n{second}\n+1\nconn 1\n{COMMAND}").of("I-055")


def test_a_session_may_be_cleaned_up() -> None:
    assert not judged("login\nconn 2\nlogin\n+1\nconn 1\n> Logout-Request ReasonCode=0").of("I-055")
