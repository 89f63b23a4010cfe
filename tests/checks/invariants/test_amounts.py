from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

REFUSED = "< SCSI-Response ITT=1 Status=CHECK_CONDITION sense=B/0C/0C"
GOOD = "< SCSI-Response ITT=1"
#: More immediate data than FirstBurstLength, as a fault or another negotiation makes it
IMMEDIATE = """
    login FirstBurstLength=512
    > SCSI-Command cdb=WRITE(10):0+2 data=512 ITT=1 ! data=1024
"""

CASES = (
    Case(
        rule="T-084",
        good=IMMEDIATE + REFUSED,
        bad=IMMEDIATE + GOOD,
        short="""
            login FirstBurstLength=512
            > SCSI-Command cdb=WRITE(10):0+1 data=512
            < SCSI-Response
        """,
        mutant=(REFUSED, GOOD),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def write(login: str, *rest: str, blocks: int = 4, data: int = 0, final: int = 1) -> str:
    """Make a dialogue of one write with this tag."""
    immediate = f" data={data}" if data else ""
    return "\n".join([f"login {login}", f"> SCSI-Command cdb=WRITE(10):0+{blocks} ITT=1 F={final}{immediate}", *rest])


def found(text: str) -> list[tuple[str, str, str]]:
    """Give text, severity and clause of what the rule finds in a dialogue."""
    return [(one.text, str(one.severity), one.clause) for one in judged(text).of("T-084")]


OUT = "> Data-Out ITT=1 data={} {}"
ASK = "< R2T ITT=1 TTT={} BufferOffset={} DesiredDataTransferLength={}"
BOTH = "InitialR2T=No FirstBurstLength=1024"


@pytest.mark.parametrize(
    ("text", "said", "clause"),
    [
        (
            write("ImmediateData=No InitialR2T=Yes", blocks=1, data=512),
            "GOOD for 512 bytes of immediate data, with InitialR2T=Yes and ImmediateData=No",
            "RFC 7143 13.11",
        ),
        (
            write("ImmediateData=No InitialR2T=No", blocks=1, data=512),
            "GOOD for 512 bytes of immediate data, with InitialR2T=No and ImmediateData=No",
            "RFC 7143 11.4.7.2",
        ),
        (
            write("ImmediateData=No InitialR2T=Yes", OUT.format(512, "F"), blocks=1, final=0),
            "GOOD for 512 bytes of unsolicited Data-Out, with InitialR2T=Yes and ImmediateData=No",
            "RFC 7143 13.11",
        ),
        (
            write("ImmediateData=Yes InitialR2T=Yes", OUT.format(512, "F"), blocks=1, final=0),
            "GOOD for 512 bytes of unsolicited Data-Out, with InitialR2T=Yes and ImmediateData=Yes",
            "RFC 7143 11.4.7.2",
        ),
        (
            write(BOTH, OUT.format(512, ""), OUT.format(1024, "F"), data=512, final=0),
            "GOOD for 2048 bytes of unsolicited data, with FirstBurstLength=1024",
            "RFC 7143 4.2.5.2, RFC 7143 11.4.7.2",
        ),
        (
            write("ImmediateData=No", ASK.format(7, 0, 1024), OUT.format(2048, "TTT=7 F")),
            "GOOD for bytes 0 to 2047 in answer to an R2T for 0 to 1023",
            "RFC 7143 11.4.7.2",
        ),
        (
            write(
                "ImmediateData=No",
                *(ASK.format(7, 0, 1024), OUT.format(1024, "TTT=7 F")),
                *(ASK.format(8, 1024, 1024), OUT.format(1536, "TTT=8 BufferOffset=512 F")),
            ),
            "GOOD for bytes 512 to 2047 in answer to an R2T for 1024 to 2047",
            "RFC 7143 11.4.7.2",
        ),
    ],
)
def test_good_for_what_is_to_be_refused(text: str, said: str, clause: str) -> None:
    assert found(f"{text}\n{GOOD}") == [(said, "MUST", clause)]
    assert found(f"{text}\n{REFUSED}") == []
    assert judged(f"{text}\n{REFUSED}").evidence["T-084"] == 1


def test_too_little_of_which_the_rest_is_asked_for() -> None:
    text = write(BOTH, OUT.format(512, "F"), ASK.format(7, 512, 1536), OUT.format(1536, "TTT=7 F"), GOOD, final=0)
    said = "GOOD for 512 bytes of unsolicited data, with FirstBurstLength=1024: the rest was asked for"
    assert found(text) == [(said, "SHOULD", "RFC 7143 11.4.7.2")]
    assert found(text.replace("login", "login ErrorRecoveryLevel=1")) == []


TWICE = [OUT.format(1024, "F BufferOffset=0 DataSN=0")] * 2
FIRST, SECOND = ASK.format(7, 0, 1024), ASK.format(7, 1024, 1024)
REST = OUT.format(1024, "TTT=7 F")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(write("FirstBurstLength=1024", SECOND, REST, data=1024), id="immediate data to the byte"),
        pytest.param(write(BOTH, OUT.format(512, "F"), SECOND, REST, data=512, final=0), id="both to the byte"),
        pytest.param(write(BOTH, OUT.format(512, "F"), blocks=1, final=0), id="all that there is"),
        pytest.param(write(BOTH, *TWICE, SECOND, REST, final=0), id="a Data-Out that came twice"),
        pytest.param(write("", OUT.format(1024, "F"), FIRST, REST, blocks=2, final=0), id="Data-Out thrown away"),
        pytest.param(
            write("FirstBurstLength=512", ASK.format(7, 0, 2048), OUT.format(2048, "TTT=7 F"), data=1024),
            id="immediate data thrown away",
        ),
        pytest.param(
            write("", FIRST, OUT.format(2048, "TTT=7 F as out"), "< Reject Reason=INVALID_PDU_FIELD reject=out"),
            id="Data-Out rejected",
        ),
        pytest.param(
            write("", FIRST, OUT.format(1536, "TTT=7 F"), ASK.format(8, 0, 2048), OUT.format(2048, "TTT=8 F")),
            id="asked for again",
        ),
        pytest.param(write("", data=2048).replace("login", "middle"), id="from the middle on"),
        pytest.param(write("ImmediateData=No", "lost 1", data=2048), id="events missing"),
    ],
)
def test_what_may_be_good(text: str) -> None:
    assert found(f"{text}\n{GOOD}") == []


@pytest.mark.parametrize("spoilt", ["header", "data"])
def test_what_came_with_a_wrong_digest_did_not_come(spoilt: str) -> None:
    login = "login FirstBurstLength=512 HeaderDigest=CRC32C DataDigest=CRC32C"
    text = f"{login}\n> SCSI-Command cdb=WRITE(10):0+2 data=1024 ITT=1 ! spoil={spoilt}\n{GOOD}"
    assert found(text) == []
    assert found(text.replace(f"! spoil={spoilt}", "")) != []
