from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

#: A write of 4 blocks, of which one comes with the command, and an R2T for the rest
BEGUN = """
    login InitialR2T=No MaxBurstLength=2048 FirstBurstLength=512 MaxOutstandingR2T=2 ErrorRecoveryLevel={level}
    > SCSI-Command cdb=WRITE(10):0+8 data=512 as cmd
    < R2T BufferOffset=512 DesiredDataTransferLength=1024 as r
"""
ANSWERED = "> Data-Out TTT=r.TTT data=1024 F"

CASES = (
    Case(
        rule="T-040",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024
        """,
        bad="""
            login MaxBurstLength=512 FirstBurstLength=512
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < SCSI-Response Status=BUSY
        """,
        mutant=("DesiredDataTransferLength=1024", "DesiredDataTransferLength=1025"),
    ),
    Case(
        rule="T-041",
        good="""
            login MaxBurstLength=512 FirstBurstLength=512
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=512 F
            < R2T DesiredDataTransferLength=512 BufferOffset=512 R2TSN=1
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=512 R2TSN=1
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < SCSI-Response Status=BUSY
        """,
        mutant=("R2TSN=1", "R2TSN=0"),
    ),
    Case(
        rule="T-042",
        good="""
            login MaxOutstandingR2T=2
            > SCSI-Command cdb=WRITE(10):0+3
            < R2T DesiredDataTransferLength=512 as r
            < R2T DesiredDataTransferLength=512 BufferOffset=512
            > Data-Out TTT=r.TTT data=512 F
            < R2T DesiredDataTransferLength=512 BufferOffset=1024
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=512
            < R2T DesiredDataTransferLength=512 BufferOffset=512
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+3
            < SCSI-Response Status=BUSY
        """,
        mutant=("MaxOutstandingR2T=2", "MaxOutstandingR2T=1"),
    ),
    Case(
        rule="T-043",
        good="""
            login MaxOutstandingR2T=2
            > SCSI-Command cdb=WRITE(10):0+3
            < R2T DesiredDataTransferLength=512
            < R2T DesiredDataTransferLength=512 BufferOffset=512
        """,
        bad="""
            login MaxOutstandingR2T=2
            > SCSI-Command cdb=WRITE(10):0+3
            < R2T DesiredDataTransferLength=512
            < R2T DesiredDataTransferLength=512 BufferOffset=1024
        """,
        short="""
            login MaxOutstandingR2T=2
            > SCSI-Command cdb=WRITE(10):0+3
            < R2T DesiredDataTransferLength=512
        """,
        mutant=("BufferOffset=512", "BufferOffset=256"),
    ),
    Case(
        rule="T-044",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+2 data=512
            < R2T DesiredDataTransferLength=512 BufferOffset=512
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+2 data=512
            < R2T DesiredDataTransferLength=1024
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+2 data=512
            < SCSI-Response Status=BUSY
        """,
        mutant=("BufferOffset=512", "BufferOffset=256"),
    ),
    Case(
        rule="T-045",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 ITT=5
            > SCSI-Command cdb=WRITE(10):0+1 ITT=6
            < R2T ITT=5 DesiredDataTransferLength=512 TTT=1
            < R2T ITT=6 DesiredDataTransferLength=512 TTT=2
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 ITT=5
            < R2T ITT=5 DesiredDataTransferLength=512 TTT=1
            > SCSI-Command cdb=WRITE(10):0+1 ITT=6
            < R2T ITT=6 DesiredDataTransferLength=512 TTT=1
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+2 data=512
            < SCSI-Response Status=BUSY
        """,
        mutant=("TTT=2", "TTT=1"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(text: str, rule: str) -> list[str]:
    """Give what a target's rule finds in a dialogue."""
    return [finding.text for finding in judged(text).of(rule)]


# --- T-040 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("DesiredDataTransferLength=512 TTT=none", "TTT is 0xffffffff, which is reserved"),
        ("DesiredDataTransferLength=0", "the R2T asks for 0 bytes"),
        ("DesiredDataTransferLength=512 lun=3", "LUN=0x3000000000000 in the R2T, 0x0 in the command"),
        (
            "DesiredDataTransferLength=512 BufferOffset=1024",
            "the R2T asks for bytes 1024 to 1535, the command has 1024",
        ),
    ],
)
def test_an_r2t_asks_for_what_there_is(fields: str, text: str) -> None:
    assert found(f"login\n> SCSI-Command cdb=WRITE(10):0+2\n< R2T {fields}", "T-040") == [text]


def test_the_command_counts_as_the_target_was_given_it() -> None:
    text = """
        login
        > SCSI-Command cdb=WRITE(10):0+2 ! LUN=0x3000000000000 EDTL=512
        < R2T DesiredDataTransferLength=512 lun=3
    """
    assert found(text, "T-040") == []
    assert found(text.replace("lun=3", "lun=0"), "T-040") != []


def test_what_is_no_live_write_is_for_other_rules() -> None:
    for command in ("SCSI-Command cdb=READ(10):0+2", "NOP-Out", "SCSI-Command cdb=WRITE(10):0+2\n< SCSI-Response"):
        judgement = judged(f"login\n> {command}\n< R2T DesiredDataTransferLength=0 TTT=none")
        assert not judgement.rules() & {"T-040", "T-041", "T-042", "T-043", "T-044", "T-045"}


def test_a_login_that_was_not_seen_tells_no_limits() -> None:
    text = """
        middle
        > SCSI-Command cdb=WRITE(10):0+2000
        < R2T DesiredDataTransferLength=900000
        < R2T DesiredDataTransferLength=512 BufferOffset=900000
        < R2T DesiredDataTransferLength=0 BufferOffset=900512
    """
    judgement = judged(text)
    assert [one.text for one in judgement.of("T-040")] == ["the R2T asks for 0 bytes"]
    assert not judgement.evidence["T-042"]
    assert not judgement.evidence["T-044"]


# --- T-041 -----------------------------------------------------------------------------------------------------------


def test_r2ts_and_data_in_of_a_bidirectional_command_share_one_count() -> None:
    text = """
        login
        > SCSI-Command cdb=hex:53000000000000000200 R W EDTL=1024 ahs=hex:0005020000000400
        < Data-In data=512
        < R2T DesiredDataTransferLength=1024 R2TSN=1
    """
    assert found(text, "T-041") == []
    assert found(text.replace("R2TSN=1", "R2TSN=0"), "T-041") == ["R2TSN 0 was used before, 1 comes next"]


@pytest.mark.parametrize(("level", "severities"), [(0, ["heuristic"]), (1, []), (2, [])])
def test_an_r2t_may_be_sent_again_as_it_was_where_there_is_recovery(level: int, severities: list[str]) -> None:
    text = BEGUN.format(level=level) + "< R2T BufferOffset=512 DesiredDataTransferLength=1024 R2TSN=0 TTT=r.TTT"
    assert [str(one.severity) for one in judged(text).of("T-041")] == severities
    assert [str(one.severity) for one in judged(text + "+1").of("T-041")] == ["MUST"], "another tag: it is another R2T"


def test_a_gap_is_found_once() -> None:
    text = BEGUN.format(level=0) + ANSWERED
    text += "\n< R2T R2TSN=5 BufferOffset=1536 DesiredDataTransferLength=512"
    text += "\n< R2T R2TSN=6 BufferOffset=2048 DesiredDataTransferLength=512"
    assert found(text, "T-041") == ["R2TSN is 5, 1 comes next"]


def test_what_a_fault_adds_counts_for_the_initiator_alone() -> None:
    text = BEGUN.format(level=0)
    text += "<< R2T BufferOffset=1536 DesiredDataTransferLength=512\n"
    text += "< R2T R2TSN=1 BufferOffset=1536 DesiredDataTransferLength=512"
    assert judged(text).rules() == set()


# --- T-042 -----------------------------------------------------------------------------------------------------------


def test_an_r2t_waits_until_its_f_is_there() -> None:
    text = """
        login MaxOutstandingR2T=1
        > SCSI-Command cdb=WRITE(10):0+4
        < R2T DesiredDataTransferLength=1024 as r
        > Data-Out TTT=r.TTT data=512
        < R2T DesiredDataTransferLength=1024 BufferOffset=1024
    """
    assert found(text, "T-042") == ["the R2T is one of 2 that are outstanding, MaxOutstandingR2T is 1"]
    assert found(text.replace("data=512", "data=512 F"), "T-042") == []
    assert found(text.replace("data=512", "data=1024"), "T-042") == [], "all of it is there"
    assert found(text.replace("> Data-Out TTT=r.TTT data=512", "+6"), "T-042") == [], "it has waited long enough"


def test_a_data_out_that_does_not_come_leaves_the_r2t_open() -> None:
    text = """
        login MaxOutstandingR2T=1 DataDigest=CRC32C
        > SCSI-Command cdb=WRITE(10):0+4
        < R2T DesiredDataTransferLength=1024 as r
        >x Data-Out TTT=r.TTT data=1024 F
        < R2T DesiredDataTransferLength=1024 BufferOffset=1024
    """
    assert found(text, "T-042") != []
    assert found(text.replace(">x", ">"), "T-042") == []
    spoiled = text.replace(">x", ">").replace("data=1024 F", "data=1024 F ! spoil=data")
    assert found(spoiled, "T-042") == [], "its F may have been seen"


def test_unsolicited_data_is_no_outstanding_r2t() -> None:
    text = """
        login InitialR2T=No FirstBurstLength=512 MaxOutstandingR2T=1
        > SCSI-Command cdb=WRITE(10):0+4 F=0
        < R2T DesiredDataTransferLength=1024 BufferOffset=512
    """
    assert judged(text).rules() == set()


# --- T-043 and recovery R2Ts -----------------------------------------------------------------------------------------


def recovery(level: int, between: str, fields: str) -> list[str]:
    """Give what T-042 to T-044 find in an R2T behind the first one of a write."""
    judgement = judged(BEGUN.format(level=level) + between + f"\n< R2T {fields}")
    assert not judgement.of("T-041")
    return [f"{one.rule} {one.text}" for one in judgement.findings if one.rule in ("T-042", "T-043", "T-044")]


AGAIN = "BufferOffset=512 DesiredDataTransferLength=1024"


def test_an_r2t_may_ask_again_for_what_did_not_come() -> None:
    assert recovery(1, ">x Data-Out TTT=r.TTT data=1024 F", AGAIN) == []
    assert recovery(1, ">x Data-Out TTT=r.TTT data=512\n> Data-Out TTT=r.TTT data=512 F", AGAIN) == []
    part = "BufferOffset=512 DesiredDataTransferLength=512"
    assert recovery(1, ">x Data-Out TTT=r.TTT data=512\n> Data-Out TTT=r.TTT data=512 F", part) == []
    assert recovery(1, ANSWERED + " ! spoil=data", AGAIN) == []


def test_behind_a_recovery_it_goes_on_where_it_was() -> None:
    between = ">x Data-Out TTT=r.TTT data=1024 F\n< R2T BufferOffset=512 DesiredDataTransferLength=1024 as s\n"
    between += "> Data-Out TTT=s.TTT data=1024 F"
    assert recovery(1, between, "BufferOffset=1536 DesiredDataTransferLength=512") == []
    assert recovery(1, between, "BufferOffset=2048 DesiredDataTransferLength=512") == [
        "T-043 the R2T asks for bytes 2048 to 2559, 1536 comes next"
    ]


def test_what_has_come_as_it_should_is_not_asked_for_again() -> None:
    assert recovery(0, ANSWERED, AGAIN) == ["T-043 the R2T asks again for bytes 512 to 1535"]
    assert recovery(1, ANSWERED, AGAIN) == ["T-044 the R2T asks for bytes 512 to 1535, of which some have come"]


def test_at_level_0_what_was_lost_may_be_asked_for_too() -> None:
    assert recovery(0, ">x Data-Out TTT=r.TTT data=1024 F", AGAIN) == []
    assert recovery(0, ANSWERED + " ! DataSN=7", AGAIN) == []


def test_only_the_last_r2t_is_recovered() -> None:
    between = ANSWERED + "\n< R2T BufferOffset=1536 DesiredDataTransferLength=512 as s\n"
    between += ">x Data-Out TTT=s.TTT data=512 F"
    assert recovery(1, between, "BufferOffset=1536 DesiredDataTransferLength=512") == []
    assert recovery(1, between, AGAIN) == ["T-043 the R2T recovers bytes 512 to 1535, the last began at 1536"]
    assert recovery(1, between, "BufferOffset=0 DesiredDataTransferLength=512") == [], "that was not asked for before"


def test_r2ts_come_in_any_order_if_that_was_agreed() -> None:
    text = """
        login MaxOutstandingR2T=2 DataSequenceInOrder=No
        > SCSI-Command cdb=WRITE(10):0+4
        < R2T DesiredDataTransferLength=1024 BufferOffset=1024 as r
        < R2T DesiredDataTransferLength=1024
        > Data-Out TTT=r.TTT data=1024 F
    """
    assert judged(text).rules() == set()
    again = "\n< R2T DesiredDataTransferLength=512 BufferOffset=1024"
    assert judged(text + again).rules() == {"T-044"}


# --- T-044 -----------------------------------------------------------------------------------------------------------


def test_what_comes_unsolicited_is_not_asked_for() -> None:
    text = """
        login InitialR2T=No FirstBurstLength=1024
        > SCSI-Command cdb=WRITE(10):0+4 data=512 F=0
        < R2T DesiredDataTransferLength=1024 BufferOffset=512
    """
    assert found(text, "T-044") == ["the R2T asks for bytes 512 to 1535, those below 1024 come unsolicited"]
    assert found(text.replace("BufferOffset=512", "BufferOffset=1024"), "T-044") == []
    late = text.replace("< R2T", "+6\n< R2T")
    assert found(late, "T-044") == [], "they may not come any more"
    short = text.replace("< R2T", "> Data-Out data=256 F\n< R2T").replace("BufferOffset=512", "BufferOffset=768")
    assert found(short, "T-044") == [], "less came than there is"


@pytest.mark.parametrize(
    "between",
    [
        "fired delay",
        "> Data-Out TTT=r.TTT DataSN=3 data=512",
        "> Data-Out TTT=r.TTT data=1024 F ! spoil=data",
        ">> Data-Out TTT=r.TTT data=1024 F",
        "> Data-Out TTT=0x77 data=512 as d\n< Reject Reason=PROTOCOL_ERROR reject=d",
    ],
)
def test_where_data_was_not_as_it_should_be_it_is_not_silently_discarded(between: str) -> None:
    text = """
        login FirstBurstLength=512 MaxOutstandingR2T=4 DataDigest=CRC32C
        > SCSI-Command cdb=WRITE(10):0+4 data=512
        < R2T BufferOffset=512 DesiredDataTransferLength=1024 as r
    """
    assert "T-044" not in judged(f"{text}{between}\n< R2T DesiredDataTransferLength=512").rules()


def test_a_fault_before_the_command_excuses_nothing() -> None:
    text = "login\nfired set\n> SCSI-Command cdb=WRITE(10):0+2 data=512\n< R2T DesiredDataTransferLength=1024"
    assert found(text, "T-044") != []


# --- T-045 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lun", [0, 1])
@pytest.mark.parametrize("answered", [True, False])
def test_a_tag_is_free_when_its_data_is_there(lun: int, answered: bool) -> None:
    text = f"""
        login
        > SCSI-Command cdb=WRITE(10):0+1 ITT=5
        < R2T ITT=5 DesiredDataTransferLength=512 TTT=1
        {"> Data-Out ITT=5 TTT=1 data=512 F" if answered else ""}
        > SCSI-Command cdb=WRITE(10):0+1 ITT=6 lun={lun}
        < R2T ITT=6 DesiredDataTransferLength=512 TTT=1 lun={lun}
    """
    assert bool(found(text, "T-045")) == (not answered and lun == 0)


def test_a_task_does_not_use_a_tag_twice_either() -> None:
    text = """
        login MaxOutstandingR2T=2
        > SCSI-Command cdb=WRITE(10):0+2
        < R2T DesiredDataTransferLength=512 TTT=1
        < R2T DesiredDataTransferLength=512 BufferOffset=512 TTT=1
    """
    assert found(text, "T-045") == ["TTT=0x1 is that of an R2T which is not answered yet"]


def test_many_tags_are_not_kept_for_ever() -> None:
    lines = ["login"]
    for number in range(1100):
        lines.append(f"> SCSI-Command cdb=WRITE(10):0+1 ITT={number}")
        lines.append(f"< R2T ITT={number} TTT={number} DesiredDataTransferLength=512")
        lines.append(f"< SCSI-Response ITT={number} Status=BUSY")
    lines.append("> SCSI-Command cdb=WRITE(10):0+1 ITT=7000")
    lines.append("< R2T ITT=7000 TTT=7000 DesiredDataTransferLength=512")
    lines.append("> SCSI-Command cdb=WRITE(10):0+1 ITT=7001")
    lines.append("< R2T ITT=7001 TTT=7000 DesiredDataTransferLength=512")
    assert len(found("\n".join(lines), "T-045")) == 1


# --- what nobody can know --------------------------------------------------------------------------------------------


def test_a_tag_that_two_commands_have_proves_nothing() -> None:
    text = """
        login
        > SCSI-Command cdb=WRITE(10):0+2 ITT=5
        > SCSI-Command cdb=WRITE(10):0+1 ITT=5 lun=1
        < R2T ITT=5 DesiredDataTransferLength=1024 R2TSN=3
    """
    assert not judged(text).rules() & {"T-040", "T-041"}


def test_missing_events_prove_nothing() -> None:
    text = BEGUN.format(level=0) + "lost 3\n< R2T R2TSN=9 BufferOffset=512 DesiredDataTransferLength=99999"
    assert not judged(text).rules() & {"T-040", "T-041", "T-042", "T-043", "T-044", "T-045"}
