from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants import asyncs
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

FAST_ABORT = "login TaskReporting=FastAbort InitialR2T=Yes ImmediateData=No"
#: A write that waits for its data, on LUN 3
WRITE = """
    > SCSI-Command cdb=WRITE(10):0+2 lun=3 as write
    < R2T lun=3 ITT=write.ITT BufferOffset=0 DesiredDataTransferLength=1024 as r2t
"""
DATA = "> Data-Out lun=3 ITT=write.ITT TTT=r2t.TTT data=512"

CASES = (
    Case(
        rule="T-055",
        good=f"""
            {FAST_ABORT}
            < Async AsyncEvent=5 lun=3
            > NOP-Out I ITT=none lun=3
        """,
        bad="""
            login
            < Async AsyncEvent=77
        """,
        short="""
            login
            > NOP-Out
            < NOP-In
        """,
        mutant=("FastAbort", "ResponseFence"),
    ),
    Case(
        rule="T-056",
        good="""
            login
            < Async AsyncEvent=CONNECTION_DROP Parameter2=2
            +5
            close target
            fired pass
        """,
        bad="""
            login
            < Async AsyncEvent=SESSION_DROP Parameter2=2
            +20
            fired pass
        """,
        short="""
            login
            < Async AsyncEvent=CONNECTION_DROP Parameter2=2
            +1
            fired pass
        """,
        mutant=("close target", "+20"),
    ),
    Case(
        rule="I-044",
        good="""
            login
            < Async AsyncEvent=LOGOUT_REQUEST Parameter3=5
            +1
            > Logout-Request I
            < Logout-Response
            close target
        """,
        bad="""
            login
            < Async AsyncEvent=NEGOTIATION_REQUEST Parameter3=5
            +7
            fired pass
        """,
        short="""
            login
            < Async AsyncEvent=LOGOUT_REQUEST Parameter3=5
            +5
            fired pass
        """,
        mutant=("+1", "+7"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def of(rule: str, text: str, profile: Profile = DEFAULT) -> list[Finding]:
    return judged(text, profile=profile, families=(asyncs.FAMILY,)).of(rule)


def waits(rule: str, text: str) -> bool:
    """Tell whether the rule says that something in a dialogue was due, as time goes by."""
    return bool(of(rule, text + "\n+20\nfired pass"))


# --- T-055, T-056 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "profile", "wrong"),
    [
        (0, Profile.RFC7143, False),
        (4, Profile.RFC3720, False),
        (6, Profile.RFC7143, True),
        (247, Profile.RFC7144, True),
        (248, Profile.RFC7143, False),
        (248, Profile.RFC3720, True),
        (255, Profile.RFC3720, False),
    ],
)
def test_events_of_each_standard(event: int, profile: Profile, wrong: bool) -> None:
    assert bool(of("T-055", f"login\n< Async AsyncEvent={event} Parameter3=5", profile)) is wrong


def test_an_event_that_the_proxy_made_blames_nobody() -> None:
    assert not of("T-055", "login\n<< Async AsyncEvent=77")
    assert not of("T-055", "middle\n< Async AsyncEvent=5 StatSN=7")


def test_the_drop_of_another_connection_is_seen_there() -> None:
    text = """
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        conn 1
        < Async AsyncEvent=CONNECTION_DROP Parameter1=1
        conn 2
        close target
        conn 1
        +20
        fired pass
    """
    assert not of("T-056", text)
    assert judged(text).evidence["T-056"] == 1
    (finding,) = of("T-056", text.replace("close target", "fired pass"))
    assert finding.text == "AsyncEvent 2, and the connection with CID 1 was not dropped within 15 s"


def test_all_connections_are_dropped_with_their_session() -> None:
    text = """
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        < Async AsyncEvent=SESSION_DROP
        close target
        conn 1
        +20
        fired pass
    """
    (finding,) = of("T-056", text)
    assert "CID 0" in finding.text


def test_an_initiator_that_is_faster_takes_the_drop_off_the_target() -> None:
    text = "login\n< Async AsyncEvent=CONNECTION_DROP\nclose initiator"
    assert not waits("T-056", text)
    assert not judged(text).evidence["T-056"]


# --- I-044 ------------------------------------------------------------------------------------------------------------


def test_the_time_is_that_of_the_message_and_a_second() -> None:
    text = "login\n< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5\n"
    assert not of("I-044", text + "+5.5\n> Logout-Request I")
    (finding,) = of("I-044", text + "+6.5\n> Logout-Request I")
    assert finding.text == "AsyncEvent 1 asks for a logout in 5 s, and no Logout Request came within 6 s"
    assert not of("I-044", text.replace("=5", "=0") + "+4\n> Logout-Request I")


def test_a_time_that_a_fault_changed_counts_as_it_was_given() -> None:
    text = "login\n< Async AsyncEvent=LOGOUT_REQUEST Parameter3=60 ! Parameter3=2\n+5\nfired pass"
    assert of("I-044", text)


def test_the_logout_may_come_on_another_connection() -> None:
    text = """
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        < Async AsyncEvent=LOGOUT_REQUEST Parameter3=5
        conn 1
        > Logout-Request I ReasonCode=CLOSE_CONNECTION CID=1
        +20
        fired pass
    """
    assert not of("I-044", text)
    assert of("I-044", text.replace("CID=1\n        +20", "CID=0\n        +20"))


def test_a_logout_for_recovery_is_not_what_was_asked_for() -> None:
    text = """
        login ErrorRecoveryLevel=2
        < Async AsyncEvent=LOGOUT_REQUEST Parameter3=5
        > Logout-Request I ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY
    """
    assert "REMOVE_CONNECTION_FOR_RECOVERY" in of("I-044", text)[0].text


def test_no_new_command_comes_where_a_logout_was_asked_for() -> None:
    command = "> SCSI-Command cdb=TEST-UNIT-READY"
    text = f"login\n< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5\n{command}"
    assert not of("I-044", text + " ExpStatSN=101"), "they cross on the wire"
    (finding,) = of("I-044", f"{text}\n{command}")
    assert finding.severity is Severity.SHOULD


@pytest.mark.parametrize(
    "text",
    [
        "> Text-Request ITT=5 text=X-a=b\n< Async AsyncEvent=NEGOTIATION_REQUEST",  # one is pending
        "< Async AsyncEvent=NEGOTIATION_REQUEST\n> Text-Request",
        "< Async AsyncEvent=NEGOTIATION_REQUEST\n> Logout-Request",
        "> Logout-Request\n< Async AsyncEvent=LOGOUT_REQUEST",
        "< Async AsyncEvent=LOGOUT_REQUEST\nclose target",
        "< Async AsyncEvent=LOGOUT_REQUEST StatSN=105",  # something is missing before it
        "< Async AsyncEvent=LOGOUT_REQUEST ! spoil=header",
        "<x Async AsyncEvent=LOGOUT_REQUEST",
        "fired delay\n< Async AsyncEvent=LOGOUT_REQUEST",
        "< Async AsyncEvent=5",  # nobody agreed on that
        "< Async AsyncEvent=0 sense=6/29/00",
    ],
)
def test_nothing_is_owed_to(text: str) -> None:
    assert not waits("I-044", f"login HeaderDigest=CRC32C\n{text}")


def test_a_message_that_the_proxy_made_is_heeded_too() -> None:
    assert waits("I-044", "login\n<< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5")


@pytest.mark.parametrize(
    ("nop", "paid"),
    [
        ("> NOP-Out I ITT=none lun=3", True),
        ("> NOP-Out I ITT=none", False),
        ("> NOP-Out I ITT=none lun=3 ExpStatSN=101", False),
        ("> NOP-Out I lun=3", False),
        ("> Logout-Request I", True),
    ],
)
def test_the_end_of_tasks_is_acknowledged(nop: str, paid: bool) -> None:
    assert waits("I-044", f"{FAST_ABORT}\n< Async AsyncEvent=5 lun=3\n{nop}") is not paid


def test_no_data_is_sent_for_what_has_ended() -> None:
    text = f"{FAST_ABORT}\n{WRITE}< Async AsyncEvent=5 lun={{lun}}\n{DATA}"
    (finding,) = of("I-044", text.format(lun=3))
    assert finding.label == "Data-Out"
    assert not of("I-044", text.format(lun=3) + " ExpStatSN=101"), "they cross on the wire"
    assert not of("I-044", text.format(lun=4))


def test_commands_behind_the_end_of_tasks_are_new_ones() -> None:
    assert not of("I-044", f"{FAST_ABORT}\n< Async AsyncEvent=5 lun=3\n> NOP-Out I ITT=none lun=3\n{WRITE}{DATA}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5\nclose initiator", True),
        ("<< Async AsyncEvent=5 lun=3\nclose initiator rst", True),
        ("< Async AsyncEvent=255\nclose initiator", True),
        ("< Async AsyncEvent=255\n+3\nclose initiator", False),
        ("< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5\n> Logout-Request\nclose initiator", False),
        ("< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5\nclose target", False),
        ("< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5\n+1\nfired drop\nclose initiator", False),
        ("< Async AsyncEvent=CONNECTION_DROP\nclose initiator", False),
        ("< Async AsyncEvent=77\nclose initiator", False),
    ],
)
def test_giving_the_connection_up_is_not_what_was_asked_for(text: str, found: bool) -> None:
    findings = of("I-044", f"{FAST_ABORT}\n{text}")
    assert bool(findings) is found
    assert all(finding.severity is Severity.HEURISTIC for finding in findings)
