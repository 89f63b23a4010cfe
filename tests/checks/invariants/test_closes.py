from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

CASE = Case(
    rule="T-079",
    good="""
        login
        > NOP-Out
        < NOP-In
        < Async AsyncEvent=CONNECTION_DROP
        close target
    """,
    bad="""
        login
        > NOP-Out
        < NOP-In
        close target rst
    """,
    short="""
        login
        > NOP-Out
        < NOP-In
        close initiator
    """,
    mutant=("< Async AsyncEvent=CONNECTION_DROP", "< Async AsyncEvent=SCSI_ASYNC_EVENT"),
)

PAIR = """
    login MaxConnections=2
    conn 2
    login MaxConnections=2 TSIH=1 CID=1
"""


#: A key in two parts
HALF = f"> Text-Request C data=hex:{b'Max'.hex()}"
REST = f"> Text-Request ITT=1 TTT=1 data=hex:{b'RecvDataSegmentLength=4096'.hex()}00"
TEXT = Case(
    rule="T-085",
    good=f"""
        login
        {HALF}
        < Text-Response TTT=1
        {REST}
        < Text-Response
        > Logout-Request
        < Logout-Response
        close target
    """,
    bad=f"""
        login
        {HALF}
        close target
    """,
    short=f"""
        login
        {HALF}
        close initiator
    """,
    mutant=("        < Text-Response TTT=1\n", "        close target\nconn 2\nlogin\n"),
)


CASES = (CASE, TEXT)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(text: str) -> list[str]:
    """Give what the rule finds in a dialogue."""
    return [finding.text for finding in judged(text).of("T-079")]


@pytest.mark.parametrize(("how", "name"), [("", "fin"), (" rst", "rst")])
def test_a_close_without_a_word(how: str, name: str) -> None:
    (finding,) = judged(f"login\n> NOP-Out\n< NOP-In\nclose target{how}").of("T-079")
    assert finding.text == f"the target ended a connection in full feature phase without a word ({name})"
    assert str(finding.severity) == "SHOULD"
    assert finding.label == "close"


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("login\n> Logout-Request\n< Logout-Response\nclose target", 1),
        ("login\n< Async AsyncEvent=LOGOUT_REQUEST Parameter3=5\n+6\nclose target", 1),
        ("login\n< Async AsyncEvent=SESSION_DROP\nclose target rst", 1),
        ("login\nclose initiator", 0),
        ("login\nclose initiator half\nclose target half", 0),
        ("login SessionType=Discovery\nclose target", 0),
        ("> Login-Request CSG=1 NSG=3 T text=InitiatorName=iqn.x:i\nclose target", 0),
        ("middle\n> NOP-Out\n< NOP-In\nclose target", 0),
        ("login\nlost 3\n> NOP-Out\n< NOP-In\nclose target", 0),
    ],
)
def test_ends_that_are_as_they_should_be(text: str, evidence: int) -> None:
    judgement = judged(text)
    assert not judgement.of("T-079")
    assert judgement.evidence["T-079"] == evidence


@pytest.mark.parametrize(
    "fault",
    [
        "fired set",
        "> NOP-Out ! LUN=5",
        ">> NOP-Out ITT=9",
        ">x NOP-Out",
        "<x NOP-In ITT=none",
        "> SCSI-Command cdb=WRITE(10):0+1 data=512 spoil=data",
        "fired set\nconn 1\nclose initiator rst\nconn 2",
        "conn 1\nclose initiator rst\nconn 2",
        "conn 1\n> NOP-Out ! LUN=5\nconn 2",
    ],
)
def test_a_target_is_free_when_something_was_wrong_with_its_session(fault: str) -> None:
    text = PAIR.replace("MaxConnections=2", "MaxConnections=2 HeaderDigest=CRC32C DataDigest=CRC32C")
    assert found(f"{text}\n{fault}\nclose target") == []
    assert found(f"{text}\nclose target") != []


@pytest.mark.parametrize(
    "line",
    [
        "raw > R2T",
        "raw > Login-Request",
        "> SCSI-Command cdb=READ(10):0+1 ITT=none",
        "> SCSI-Command cdb=READ(10):0+1 F=0",
        "> SCSI-Command cdb=TEST-UNIT-READY EDTL=512",
        "> SCSI-Command cdb=READ(10):0+1 R W",
        "> SCSI-Command cdb=READ(10):0+1 ATTR=5",
        "> SCSI-Command cdb=READ(10):0+1 data=4",
        "> SCSI-Command cdb=WRITE(10):0+1 data=516",
        "> SCSI-Command cdb=WRITE(10):0+1 F=0",
        "> SCSI-Command cdb=READ(10):0+1 CmdSN=9",
        "> NOP-Out data=9000",
        "> NOP-Out ITT=none I=0",
        "> NOP-Out ahs=hex:00000000",
        "> SNACK Type=STATUS",
        "> Text-Request ITT=none",
        "> Data-Out data=512 DataSN=0 ITT=5 TTT=7\n> Data-Out data=512 DataSN=2 ITT=5 TTT=7",
        "> Data-Out data=512 BufferOffset=0 ITT=5 TTT=7\n> Data-Out data=512 BufferOffset=0 ITT=5 TTT=7",
        "> SCSI-Command cdb=WRITE(10):0+1\n< R2T DesiredDataTransferLength=512\n+6",
        "< NOP-In ITT=none TTT=5\n+1",
        "> TMF-Request Function=TARGET_COLD_RESET I",
    ],
)
def test_an_initiator_that_does_what_it_must_not_is_a_reason(line: str) -> None:
    assert found(f"login\n{line}\nclose target") == []


@pytest.mark.parametrize(
    "line",
    [
        "> SCSI-Command cdb=READ(10):0+1",
        "> SCSI-Command cdb=WRITE(10):0+1 data=512",
        "> SCSI-Command cdb=WRITE(10):0+1\n< R2T DesiredDataTransferLength=512",
        "> Data-Out data=512 ITT=5 TTT=7\n> Data-Out data=512 ITT=5 TTT=7 F\n> Data-Out data=512 ITT=5 TTT=8 DataSN=0",
        "> NOP-Out data=512\n> NOP-Out ITT=none I",
        "< NOP-In ITT=none TTT=5\n> NOP-Out ITT=none I TTT=5\n+1",
        "> Text-Request text=SendTargets=\n< Text-Response text=TargetName=iqn.2004-01.com.example:disk",
        "> TMF-Request Function=LUN_RESET I",
        "> NOP-Out data=9000\n+9",
    ],
)
def test_an_initiator_that_does_what_it_may_is_none(line: str) -> None:
    assert found(f"login\n{line}\nclose target") != []


def test_a_session_that_another_takes_the_place_of_is_closed() -> None:
    other = (
        "conn 2\n> Login-Request T CSG=1 NSG=3 ISID=0x400001370000 text='InitiatorName=iqn.2004-01.com.example:host "
    )
    other += "TargetName=iqn.2004-01.com.example:disk'"
    answer = "\n< Login-Response T CSG=1 NSG=3 ISID=0x400001370000 TSIH=2 text=TargetPortalGroupTag=1"
    assert found(f"login\n{other}\nconn 1\nclose target") == []
    assert found(f"login\n{other}{answer}\nconn 1\nclose target") == []
    elsewhere = other.replace("0x400001370000", "0x400001370009") + answer.replace("0x400001370000", "0x400001370009")
    assert found(f"login\n{elsewhere}\nconn 1\nclose target") != []


# --- texts -----------------------------------------------------------------------------------------------------------


def hung_up(text: str) -> list[tuple[str, str, str]]:
    """Give what T-085 finds in a dialogue at whose end the target closes: text, severity, clause."""
    findings = judged(f"{text}\nclose target rst").of("T-085")
    assert all(len(one.proof) == 2 for one in findings)
    return [
        (one.text.removeprefix("the target ended the connection (rst) at "), str(one.severity), one.clause)
        for one in findings
    ]


def test_an_end_that_is_the_answer_to_a_text_is_told_once() -> None:
    text = "login\n> Text-Request text=SendTargets=\nclose target"
    assert (len(judged(text).of("T-085")), found(text)) == (1, [])
    assert found(text.replace("\nclose", "\n+9\nclose")) != [], "so late it is no answer"


LOCAL = "RFC 7143 4.2.6, RFC 7143 7.12"
DISCOVERY = "login SessionType=Discovery\n"
SEGMENT = "MaxRecvDataSegmentLength=4096"
AGAIN = f"> Text-Request ITT=1 TTT=1 text={SEGMENT}"


@pytest.mark.parametrize(
    ("text", "what", "severity", "clause"),
    [
        (f"login\n{HALF}", "a Text Request with C=1", "MUST", "RFC 7143 6.2"),
        (
            f"login\n> Text-Request F=0 text={SEGMENT}",
            f"{SEGMENT} with F=0 in a normal session",
            *("SHOULD", LOCAL),
        ),
        (
            f"login\n> Text-Request F=0 text={SEGMENT}\n< Text-Response TTT=1\n{AGAIN}",
            f"{SEGMENT} with F=1 in a normal session",
            *("MUST", "RFC 7143 6.4"),
        ),
        (
            "login\n> Text-Request text=X-com.example=1",
            "X-com.example=1 with F=1 in a normal session",
            *("MUST", "RFC 7143 6.2"),
        ),
        (
            "login\n> Text-Request text=SendTargets=",
            "SendTargets= with F=1 in a normal session",
            *("MUST", "RFC 7143 appendix C"),
        ),
        (
            "login\n> Text-Request text=SendTargets=All",
            "SendTargets=All with F=1 in a normal session",
            *("SHOULD", LOCAL),
        ),
        (
            f"{DISCOVERY}> Text-Request text=SendTargets=All",
            "SendTargets=All with F=1 in a discovery session",
            *("MUST", "RFC 7143 appendix C"),
        ),
        (
            f"{DISCOVERY}> Text-Request text=SendTargets=",
            "SendTargets= with F=1 in a discovery session",
            *("SHOULD", LOCAL),
        ),
        (
            f"{DISCOVERY}> Text-Request text={SEGMENT}",
            f"{SEGMENT} with F=1 in a discovery session",
            *("MUST", "RFC 7143 4.3"),
        ),
        ("login\n> Text-Request", "an empty Text Request with F=1 in a normal session", "SHOULD", LOCAL),
    ],
)
def test_a_text_at_which_the_target_hangs_up(text: str, what: str, severity: str, clause: str) -> None:
    assert hung_up(text) == [(what, severity, clause)]


@pytest.mark.parametrize(
    "text",
    [
        f"> SCSI-Command cdb=READ(10):0+1\n>x NOP-Out I\n{HALF.replace('>', '>>')}",
        f"{HALF.replace('> Text-Request C', '> Text-Request C=0')} ! C F=0",
        f"{HALF}\n>> NOP-Out I",
        f"{HALF}\n+4",
    ],
    ids=["made by the proxy", "changed", "a barrier behind it", "a while ago"],
)
def test_who_made_the_text_and_what_else_went_on_does_not_matter(text: str) -> None:
    assert hung_up(f"login\n{text}") != []


@pytest.mark.parametrize(
    "text",
    [
        f"{HALF}\n< Text-Response TTT=1",
        f"{HALF} as text\n< Reject Reason=PROTOCOL_ERROR reject=text",
        f"{HALF}\n+9",
        f"{HALF}\n< Async AsyncEvent=CONNECTION_DROP",
        f"{HALF}\n> Logout-Request I",
        f"{HALF} F",
        f"{HALF} ITT=none",
        f"{HALF} ahs=hex:00000000",
        f"{HALF} TTT=7",
        f"{HALF} CmdSN=5",
        f"{HALF}\n{HALF}",
        "> Text-Request text=nonsense",
        "> Text-Request data=9000",
        f"{HALF} ! spoil=data",
        f"{HALF} ! DataSegmentLength=400",
        f"> NOP-Out ! LUN=5\n< NOP-In\n{HALF}",
        f">> SNACK Type=STATUS\n{HALF}",
        f"> NOP-Out spoil=header\n{HALF}",
        f"> SCSI-Command cdb=READ(10):0+1 CmdSN=7\n{HALF} I",
        f"> SCSI-Command cdb=READ(10):0+1 CmdSN=99\n{HALF} I",
        f"> SCSI-Command cdb=READ(10):0+1 F=0\n{HALF}",
        f"> SCSI-Command cdb=WRITE(10):0+1\n< R2T DesiredDataTransferLength=512\n+6\n{HALF}",
        f"< NOP-In ITT=none TTT=5\n+1\n{HALF}",
        f"> TMF-Request Function=TARGET_COLD_RESET I\n{HALF}",
        f"lost 1\n{HALF}",
        f"{HALF}\nclose initiator half",
    ],
)
def test_a_target_that_hangs_up_for_another_reason(text: str) -> None:
    assert hung_up(f"login HeaderDigest=CRC32C DataDigest=CRC32C\n{text}\nconn 1") == []


def test_a_session_whose_place_another_is_about_to_take() -> None:
    other = "conn 2\n> Login-Request T CSG=1 NSG=3 text=InitiatorName=iqn.2004-01.com.example:host\nconn 1"
    assert hung_up(f"login\n{HALF}\n{other}") == []
    assert hung_up(f"middle\n{HALF}") == []
