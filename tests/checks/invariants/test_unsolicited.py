from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

LOGIN = "login InitialR2T=No FirstBurstLength=1024"
#: A write of 4 blocks: half a block comes with the command, one and a half behind it
WRITE = LOGIN + "\n> SCSI-Command cdb=WRITE(10):0+4 data=256 F=0 as cmd\n"

CASES = (
    Case(
        rule="I-017",
        good="""
            login FirstBurstLength=512
            > SCSI-Command cdb=WRITE(10):0+2 data=512
        """,
        bad="""
            login ImmediateData=No
            > SCSI-Command cdb=WRITE(10):0+2 data=512
        """,
        short="""
            login FirstBurstLength=512
            > SCSI-Command cdb=WRITE(10):0+2
        """,
        mutant=("data=512", "data=516"),
    ),
    Case(
        rule="I-018",
        good="""
            login InitialR2T=No
            > SCSI-Command cdb=WRITE(10):0+1 F=0
            > Data-Out data=512 F
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            > Data-Out data=512 F
        """,
        short="""
            login InitialR2T=No
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=512 F
        """,
        mutant=("InitialR2T=No", "InitialR2T=Yes"),
    ),
    Case(
        rule="I-019",
        good="""
            login InitialR2T=No FirstBurstLength=1024
            > SCSI-Command cdb=WRITE(10):0+4 data=256 F=0
            > Data-Out data=256
            > Data-Out data=512 F
        """,
        bad="""
            login InitialR2T=No FirstBurstLength=1024
            > SCSI-Command cdb=WRITE(10):0+4 data=256 F=0
            > Data-Out data=256 F
        """,
        short="""
            login InitialR2T=No FirstBurstLength=1024
            > SCSI-Command cdb=WRITE(10):0+4 data=256 F=0
            > Data-Out data=256
        """,
        mutant=("data=512 F", "data=1024 F"),
    ),
    Case(
        rule="I-020",
        good="""
            login InitialR2T=No
            > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=5
            > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=6
            > Data-Out data=512 F ITT=5
            > Data-Out data=512 F ITT=6
        """,
        bad="""
            login InitialR2T=No
            > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=5
            > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=6
            > Data-Out data=256 ITT=5
            > Data-Out data=512 F ITT=6
            > Data-Out data=256 F ITT=5
        """,
        short="""
            login InitialR2T=No
            > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=5
            > Data-Out data=512 F ITT=5
            > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=6
            > Data-Out data=512 F ITT=6
        """,
        mutant=("> Data-Out data=512 F ITT=5", "+0"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(text: str, rule: str) -> list[str]:
    """Give what an initiator's rule finds in a dialogue."""
    return [finding.text for finding in judged(text).of(rule)]


# --- I-017 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "command", "text"),
    [
        ("", "cdb=READ(10):0+2 data=512", "512 bytes of immediate data in a command without W"),
        ("", "cdb=WRITE(10):0+1 data=516", "516 bytes of immediate data, the command has 512"),
        ("ImmediateData=No", "cdb=WRITE(10):0+1 data=4", "4 bytes of immediate data with ImmediateData=No"),
        (
            "FirstBurstLength=512",
            "cdb=WRITE(10):0+2 data=1024",
            "1024 bytes of immediate data, FirstBurstLength is 512",
        ),
        (
            "/ MaxRecvDataSegmentLength=512",
            "cdb=WRITE(10):0+2 data=1024",
            "1024 bytes of immediate data, MaxRecvDataSegmentLength of the target is 512",
        ),
    ],
)
def test_what_may_be_immediate(login: str, command: str, text: str) -> None:
    assert found(f"login {login}\n> SCSI-Command {command}", "I-017") == [text]


@pytest.mark.parametrize("initial", ["Yes", "No"])
@pytest.mark.parametrize("immediate", ["Yes", "No"])
def test_the_truth_table(initial: str, immediate: str) -> None:
    login = f"login InitialR2T={initial} ImmediateData={immediate}"
    with_data = judged(f"{login}\n> SCSI-Command cdb=WRITE(10):0+1 data=512")
    assert bool(with_data.of("I-017")) == (immediate == "No")
    behind = judged(f"{login}\n> SCSI-Command cdb=WRITE(10):0+1 F=0\n> Data-Out data=512 F")
    assert bool(behind.of("I-018")) == (initial == "Yes")


def test_a_fault_that_changes_the_data_on_its_way_is_not_the_initiators() -> None:
    text = "login FirstBurstLength=512\n> SCSI-Command cdb=WRITE(10):0+4 data=512 ! data=1024 EDTL=100"
    assert found(text, "I-017") == []


def test_each_end_is_held_to_what_it_was_told() -> None:
    # The initiator has heard of 64 KiB, the target has said less: a fault changed the key on its way.
    changed = "! data=hex:" + b"FirstBurstLength=65536\0".hex()
    text = f"""
        > Login-Request T CSG=1 NSG=3 text="InitiatorName=iqn.x:i TargetName=iqn.x:t FirstBurstLength=65536"
        < Login-Response T CSG=1 NSG=3 TSIH=1 text="FirstBurstLength=512" {changed}
        > SCSI-Command cdb=WRITE(10):0+4 data=1024
    """
    assert found(text, "I-017") == []
    assert found(text.replace(changed, ""), "I-017") != []


def test_a_login_that_was_not_seen_tells_little() -> None:
    text = "middle\n> SCSI-Command cdb=WRITE(10):0+200 data=90000 F=0\n> Data-Out data=1024 F"
    judgement = judged(text)
    assert not judgement.rules()
    assert not sum(judgement.evidence[rule] for rule in ("I-017", "I-018", "I-019", "I-020"))
    assert found(text.replace("F=0", "F=1"), "I-018") == ["an unsolicited Data-Out behind a command with F=1"]


# --- I-018 -----------------------------------------------------------------------------------------------------------


def test_a_command_with_f_says_that_nothing_follows() -> None:
    assert found(WRITE.replace("F=0", "F=1") + "> Data-Out data=768 F", "I-018") == [
        "an unsolicited Data-Out behind a command with F=1"
    ]


def test_a_burst_that_must_not_be_is_found_once() -> None:
    text = "login\n> SCSI-Command cdb=WRITE(10):0+2 F=0\n> Data-Out data=512\n> Data-Out data=512 F"
    assert found(text, "I-018") == ["an unsolicited Data-Out with InitialR2T=Yes"]


def test_what_belongs_to_no_live_write_is_for_another_rule() -> None:
    for line in ("> Data-Out ITT=99 data=512 F", "< SCSI-Response\n+9\n> Data-Out data=768 F"):
        assert not judged(WRITE + line).rules() & {"I-018", "I-019", "I-020"}


# --- I-019 -----------------------------------------------------------------------------------------------------------


def test_all_of_a_short_write_is_enough() -> None:
    text = f"{LOGIN}\n> SCSI-Command cdb=WRITE(10):0+1 F=0\n> Data-Out data=512 F"
    assert not judged(text).rules()
    assert found(text.replace("data=512", "data=516"), "I-019") == [
        "516 bytes come unsolicited, it has to be 512 (FirstBurstLength 1024, EDTL 512)"
    ]


def test_immediate_data_alone_may_be_as_little_as_it_likes() -> None:
    text = f"{LOGIN}\n> SCSI-Command cdb=WRITE(10):0+4 data=4 F=1"
    assert not judged(text + "\n+30\n> NOP-Out").of("I-019")


def test_more_is_said_at_once() -> None:
    assert len(found(WRITE + "> Data-Out data=512\n> Data-Out data=512", "I-019")) == 1


def test_what_was_announced_has_to_come() -> None:
    text = "the unsolicited data of ITT=0x1 did not come in full within 15 s"
    assert found(WRITE + "+16\n> NOP-Out", "I-019") == [text]
    assert found(WRITE + "> Data-Out data=256\n+16\n> NOP-Out", "I-019") == [text]
    assert found(WRITE + "> Data-Out data=768 F\n+16\n> NOP-Out", "I-019") == []


@pytest.mark.parametrize(
    "between",
    [
        "< SCSI-Response Status=CHECK_CONDITION sense=B/0C/0D",
        "< Reject Reason=PROTOCOL_ERROR reject=cmd",
        "> TMF-Request Function=ABORT_TASK RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN I",
        "> TMF-Request Function=LUN_RESET I",
        "> Logout-Request",
        "< Async AsyncEvent=CONNECTION_DROP",
        "fired stall",
    ],
)
def test_what_has_no_use_any_more_need_not_come(between: str) -> None:
    assert found(f"{WRITE}{between}\n+16\n> NOP-Out", "I-019") == []


def test_of_an_aborted_write_less_may_come() -> None:
    abort = "> TMF-Request Function=ABORT_TASK_SET I\n"
    assert found(WRITE + abort + "> Data-Out data=256 F ITT=1", "I-019") == []


def test_a_retry_sends_its_data_again() -> None:
    text = WRITE + "> Data-Out data=768 F\n> SCSI-Command cdb=WRITE(10):0+4 data=256 F=0 ITT=1 CmdSN=cmd.CmdSN\n"
    assert not judged(text + "> Data-Out data=768 F").rules() & {"I-019", "I-020", "I-022", "I-023"}
    assert found(text + "+16\n> NOP-Out", "I-019") != []


# --- I-020 -----------------------------------------------------------------------------------------------------------

TWO = f"""
    {LOGIN}
    > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=5 as first
    > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=6
"""


@pytest.mark.parametrize(
    "between",
    [
        "< SCSI-Response ITT=5 Status=BUSY",
        "< Reject Reason=PROTOCOL_ERROR reject=first",
        "> TMF-Request Function=ABORT_TASK RefTaskTag=5 RefCmdSN=first.CmdSN I",
        "> Data-Out data=512 ITT=5",
        "> SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=5 CmdSN=first.CmdSN",
    ],
)
def test_nobody_waits_for_what_has_ended_or_comes_again(between: str) -> None:
    assert found(f"{TWO}{between}\n> Data-Out data=512 F ITT=6", "I-020") == []
    assert found(f"{TWO}\n> Data-Out data=512 F ITT=6", "I-020") != []


def test_solicited_data_has_no_such_order() -> None:
    text = f"""
        {LOGIN}
        > SCSI-Command cdb=WRITE(10):0+4 F=0 ITT=5
        > Data-Out data=1024 F ITT=5
        > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=6
        < R2T ITT=5 BufferOffset=1024 DesiredDataTransferLength=1024 as r
        > Data-Out data=1024 F ITT=5 TTT=r.TTT
        > Data-Out data=512 F ITT=6
    """
    assert not judged(text).rules()


def test_commands_without_data_behind_them_stand_in_no_line() -> None:
    text = f"""
        {LOGIN}
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ITT=5
        > SCSI-Command cdb=WRITE(10):0+1 ITT=6
        > SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=7
        > Data-Out data=512 F ITT=7
    """
    assert not judged(text).rules()


def test_a_line_is_not_kept_for_ever() -> None:
    lines = [LOGIN]
    for number in range(1100):
        lines.append(f"> SCSI-Command cdb=WRITE(10):0+1 F=0 ITT={number}")
        lines.append(f"< SCSI-Response ITT={number} Status=BUSY")
    lines.append("> SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=7000")
    lines.append("> SCSI-Command cdb=WRITE(10):0+1 F=0 ITT=7001")
    lines.append("> Data-Out data=512 F ITT=7001")
    assert len(found("\n".join(lines), "I-020")) == 1
