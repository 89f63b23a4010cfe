from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

DIGESTS = "HeaderDigest=CRC32C DataDigest=CRC32C"
COMMAND = "> SCSI-Command cdb=TEST-UNIT-READY\n"
PING = "> NOP-Out I\n< NOP-In "
#: The second of three commands is lost on its way to the target
HOLE = """
    login
    > SCSI-Command cdb=TEST-UNIT-READY
    < SCSI-Response
    >x SCSI-Command cdb=TEST-UNIT-READY as lost
    > SCSI-Command cdb=READ(10):0+1 as read
"""
ABORT = "> TMF-Request I Function=ABORT_TASK RefTaskTag=lost.ITT RefCmdSN=lost.CmdSN\n"
REJECTED = """
    login
    > SCSI-Command cdb=TEST-UNIT-READY as bad
    < Reject Reason=PROTOCOL_ERROR reject=bad ExpCmdSN=1 MaxCmdSN=32
"""
#: A WRITE that comes twice
TWICE = """
    login InitialR2T=Yes ImmediateData=Yes
    > SCSI-Command cdb=WRITE(10):0+1 data=512 as cmd
    >> SCSI-Command cdb=WRITE(10):0+1 data=512 ITT={} CmdSN=cmd.CmdSN as copy
    < SCSI-Response ITT=cmd.ITT ExpCmdSN=2
"""

CASES = (
    Case(
        rule="T-014",
        good=f"login\n{COMMAND}< SCSI-Response",
        bad=f"{HOLE}< Data-In F S data=512 ITT=read.ITT ExpCmdSN=4",
        short=f"login\n{COMMAND}",
        mutant=("< SCSI-Response", "< SCSI-Response ExpCmdSN=3"),
    ),
    Case(
        rule="T-016",
        good=f"login\n{COMMAND}< SCSI-Response",
        bad=f"login\n{COMMAND}< SCSI-Response ExpCmdSN=1",
        short="login\n> NOP-Out I\n< NOP-In",
        mutant=("< SCSI-Response", "< SCSI-Response ExpCmdSN=0xffffffff"),
    ),
    Case(
        rule="T-053",
        good=f"{REJECTED}> NOP-Out CmdSN=bad.CmdSN\n< NOP-In ExpCmdSN=2",
        bad=f"{REJECTED}> NOP-Out I CmdSN=bad.CmdSN\n< NOP-In ExpCmdSN=2",
        short=f"login\n{COMMAND}",
        mutant=("> NOP-Out CmdSN=bad.CmdSN\n< NOP-In", "> NOP-Out I\n< NOP-In"),
    ),
    Case(
        rule="T-081",
        good=TWICE.format(77) + "+1\n> NOP-Out I CmdSN=2 ITT=9\n< NOP-In ExpCmdSN=2",
        bad=TWICE.format(77) + "< SCSI-Response ITT=77 ExpCmdSN=2",
        short=f"login\n{COMMAND}< SCSI-Response\n+1\n> NOP-Out I\n< NOP-In",
        mutant=("+1\n", "< R2T ITT=77 TTT=5 DesiredDataTransferLength=512 ExpCmdSN=2\n+1\n"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-014 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_gap_is_acknowledged_wherever_the_numbers_are(first: int) -> None:
    after = f"{HOLE}< NOP-In ITT=none ExpCmdSN={{}} MaxCmdSN={(first + 32) & 0xFFFFFFFF}"
    for step, found in ((1, False), (2, True), (3, True)):
        number = (first + step) & 0xFFFFFFFF
        assert bool(judged(after.format(number), cmd_sn=first).of("T-014")) is found, step
    gap, told = (first + 1) & 0xFFFFFFFF, (first + 3) & 0xFFFFFFFF
    (one,) = judged(after.format(told), cmd_sn=first).of("T-014")
    assert one.text == f"ExpCmdSN {told} acknowledges CmdSN {gap}, whose command has not come"


def test_a_gap_is_told_once() -> None:
    text = HOLE + "< NOP-In ITT=none ExpCmdSN=4\n" * 3
    assert len(judged(text).of("T-014")) == 1


def test_what_was_never_sent_is_told_each_time() -> None:
    assert len(judged("login\n" + "< NOP-In ITT=none ExpCmdSN=9\n" * 3).of("T-014")) == 3


@pytest.mark.parametrize("what", ["header", "data"])
def test_a_command_with_a_wrong_digest_did_not_come(what: str) -> None:
    text = f"""
        login {DIGESTS}
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ! spoil={what}
        < NOP-In ITT=none ExpCmdSN=2
    """
    (one,) = judged(text).of("T-014")
    assert one.text == "ExpCmdSN 2 acknowledges CmdSN 1, whose command came with a wrong digest, or not whole"
    assert [proof.text.partition(" ")[0] for proof in one.proof] == ["NOP-In", "SCSI-Command"]
    assert not judged(text.replace("ExpCmdSN=2", "ExpCmdSN=1")).of("T-014")


@pytest.mark.parametrize(
    "plug",
    [
        ABORT + "< TMF-Response ExpCmdSN=4",
        ABORT.replace(" I ", " ") + "< TMF-Response ExpCmdSN=5",
        "> TMF-Request I Function=TARGET_WARM_RESET\n< TMF-Response ExpCmdSN=4",
        "> SCSI-Command cdb=TEST-UNIT-READY ITT=lost.ITT CmdSN=lost.CmdSN\n< NOP-In ITT=none ExpCmdSN=4",
        ">> NOP-Out ITT=99 CmdSN=lost.CmdSN\n< NOP-In ITT=99 ExpCmdSN=4",
    ],
)
def test_a_gap_may_be_filled(plug: str) -> None:
    found = judged(HOLE + plug)
    assert not found.rules() & {"T-014", "T-016", "T-081"}
    assert judged(HOLE + plug.partition("\n")[2]).of("T-014")


def test_the_last_command_may_be_missing_and_aborted() -> None:
    text = "login\n>x SCSI-Command cdb=TEST-UNIT-READY as lost\n" + ABORT + "< TMF-Response ExpCmdSN=2"
    assert not judged(text).of("T-014")
    assert judged(text.replace("RefCmdSN=lost.CmdSN", "RefCmdSN=2")).of("T-014")


def test_an_aborted_command_that_comes_late_may_be_ignored_or_answered() -> None:
    text = (
        HOLE + ABORT + "< TMF-Response ExpCmdSN=4\n>> SCSI-Command cdb=TEST-UNIT-READY ITT=lost.ITT CmdSN=lost.CmdSN\n"
    )
    assert not judged(text + "< SCSI-Response ITT=lost.ITT ExpCmdSN=4").rules() & {"T-014", "T-016", "T-081"}


def test_what_the_proxy_adds_counts() -> None:
    text = f"login\n>> NOP-Out ITT=99\n< NOP-In ITT=99\n{COMMAND}< SCSI-Response"
    assert not judged(text).of("T-014")


def test_a_command_just_beyond_the_window_may_have_come_in_time() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY as one
        > SCSI-Command cdb=TEST-UNIT-READY CmdSN=33 as far
        < SCSI-Response ITT=one.ITT ExpCmdSN=2 MaxCmdSN=33
    """
    fill = "".join(f">> NOP-Out CmdSN={number} ITT={number}\n" for number in range(2, 33))
    found = judged(f"{text}{fill}< SCSI-Response ITT=far.ITT ExpCmdSN=34 MaxCmdSN=40")
    assert not found.rules() & {"T-014", "T-016", "T-081"}


@pytest.mark.parametrize("unknown", ["lost 2\n", ""])
def test_what_was_not_seen_may_have_come(unknown: str) -> None:
    start = f"login\n{COMMAND}< SCSI-Response\n" if unknown else "middle\n"
    assert not judged(f"{start}{unknown}{COMMAND}< SCSI-Response ExpCmdSN=60 MaxCmdSN=90").of("T-014")


def test_what_was_on_its_way_on_a_lost_connection_may_have_come() -> None:
    text = """
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        > SCSI-Command cdb=TEST-UNIT-READY as lost
        close target rst
        conn 1
        < NOP-In ITT=none ExpCmdSN={0}
        > SCSI-Command cdb=TEST-UNIT-READY ITT=lost.ITT CmdSN=lost.CmdSN
        < SCSI-Response ITT=lost.ITT ExpCmdSN=2
    """
    for told in (1, 2):
        assert not judged(text.format(told)).rules() & {"T-014", "T-016", "T-081"}


# --- T-016 -----------------------------------------------------------------------------------------------------------


def test_data_comes_behind_the_commands_before_it() -> None:
    found = judged(HOLE + "< Data-In F data=512 ITT=read.ITT ExpCmdSN=2").of("T-016")
    assert [one.text for one in found] == ["Data-In of CmdSN 3, while CmdSN 2 has not come"]
    plugged = HOLE + ABORT + "< Data-In F data=512 ITT=read.ITT ExpCmdSN=2"
    assert not judged(plugged).of("T-016")


def test_an_answer_in_front_of_a_gap_is_not_acknowledged() -> None:
    (one,) = judged(HOLE + "< Data-In F S data=512 ITT=read.ITT ExpCmdSN=2").of("T-016")
    assert one.text == "CmdSN 3 was answered before it was acknowledged: ExpCmdSN is 2"


def test_the_acknowledgement_may_be_on_another_connection() -> None:
    text = f"""
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        conn 1
        {COMMAND}
        conn 2
        < NOP-In ITT=none ExpCmdSN=2
        conn 1
        < SCSI-Response ITT=1 ExpCmdSN=1 MaxCmdSN=33
    """
    assert not judged(text).of("T-016")
    assert judged(text.replace("< NOP-In ITT=none ExpCmdSN=2\n", "")).of("T-016")


def test_each_request_of_a_text_exchange_is_acknowledged() -> None:
    text = """
        login
        > Text-Request F=0 text="X-a=b" as text
        < Text-Response F=0 TTT=5 ITT=text.ITT
        > Text-Request F ITT=text.ITT TTT=5
        < Text-Response F ITT=text.ITT ExpCmdSN={}
    """
    assert not judged(text.format(3)).of("T-016")
    assert judged(text.format(2)).of("T-016")


# --- T-053 -----------------------------------------------------------------------------------------------------------


def test_a_rejected_command_is_not_acknowledged_by_its_reject() -> None:
    text = "login\n> Text-Request text=X-a=b as bad\n< Reject Reason=PROTOCOL_ERROR reject=bad ExpCmdSN=2"
    (one,) = judged(text).of("T-053")
    assert one.text == "ExpCmdSN 2 acknowledges CmdSN 1, which is rejected"
    assert not judged(text).of("T-014")


def test_a_command_with_a_wrong_digest_is_not_acknowledged_by_its_reject() -> None:
    text = f"""
        login {DIGESTS}
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ! spoil=data as bad
        < Reject Reason=DATA_DIGEST_ERROR reject=bad ExpCmdSN={{}}
        < NOP-In ITT=none ExpCmdSN={{}}
    """
    assert not judged(text.format(1, 1)).of("T-053")
    assert len(judged(text.format(1, 2)).of("T-053")) == 1
    assert len(judged(text.format(2, 2)).of("T-053")) == 1


def test_a_rejected_task_that_had_begun_may_be_answered_instead() -> None:
    text = "login\n> SCSI-Command cdb=TEST-UNIT-READY as bad\n< Reject Reason=PROTOCOL_ERROR reject=bad ExpCmdSN=2\n"
    answer = "< SCSI-Response Status=CHECK_CONDITION sense=b/0c/0d ITT=bad.ITT ExpCmdSN=2\n"
    later = "+20\n> NOP-Out I CmdSN=2\n< NOP-In ExpCmdSN=2"
    assert not judged(text + answer + later).rules() & {"T-053", "T-014"}
    (one,) = judged(text + later).of("T-053")
    assert one.text == "ExpCmdSN 2 acknowledges CmdSN 1, which is rejected, and no response came within 15 s"
    assert not judged(text + later).of("T-014")


@pytest.mark.parametrize(
    "plug",
    [
        "> SCSI-Command cdb=TEST-UNIT-READY ITT=bad.ITT CmdSN=bad.CmdSN",
        "> TMF-Request I Function=ABORT_TASK RefTaskTag=bad.ITT RefCmdSN=bad.CmdSN",
        "> TMF-Request I Function=TARGET_COLD_RESET",
    ],
)
def test_the_place_of_a_rejected_command_may_be_filled(plug: str) -> None:
    found = judged(f"{REJECTED}{plug}\n< NOP-In ITT=none ExpCmdSN=2")
    assert not found.rules() & {"T-053", "T-014"}


@pytest.mark.parametrize(("told", "found"), [(2, False), (3, True)])
def test_a_command_whose_tag_is_in_use_is_not_acknowledged_by_its_reject(told: int, found: bool) -> None:
    text = f"""
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=5
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=5 CmdSN=2 as other
        < Reject Reason=TASK_IN_PROGRESS reject=other ExpCmdSN={told}
        < SCSI-Response ITT=5 ExpCmdSN={told}
    """
    judgement = judged(text)
    assert bool(judgement.of("T-053")) is found
    assert not judgement.rules() & {"T-014", "T-081"}


def test_the_reject_of_a_copy_says_nothing_of_the_original() -> None:
    text = (
        TWICE.format("cmd.ITT")
        + "< Reject Reason=TASK_IN_PROGRESS reject=copy ExpCmdSN=2\n< NOP-In ITT=none ExpCmdSN=2"
    )
    assert not judged(text).rules() & {"T-053", "T-014"}


# --- T-081 -----------------------------------------------------------------------------------------------------------


def test_a_copy_that_is_executed_too_is_found() -> None:
    text = TWICE.format("cmd.ITT") + "< SCSI-Response ITT=cmd.ITT ExpCmdSN=2"
    (one,) = judged(text).of("T-081")
    assert one.text.startswith("SCSI-Response ITT=0x1, though the command had been answered")
    assert len(one.proof) == 4
    assert not judged(TWICE.format("cmd.ITT")).of("T-081")


@pytest.mark.parametrize(
    ("reason", "found"), [("TASK_IN_PROGRESS", True), ("PROTOCOL_ERROR", False), ("DATA_DIGEST_ERROR", False)]
)
def test_of_two_copies_the_second_may_not_be_rejected(reason: str, found: bool) -> None:
    copy = TWICE.format("cmd.ITT").rpartition("<")[0]
    assert bool(judged(f"{copy}< Reject Reason={reason} reject=copy ExpCmdSN=2").of("T-081")) is found


def test_a_copy_that_comes_behind_the_answer_may_not_be_rejected() -> None:
    copy = ">> SCSI-Command cdb=TEST-UNIT-READY CmdSN=1 ITT={} as copy\n"
    text = f"login\n{COMMAND.strip()} as cmd\n< SCSI-Response\n{copy}"
    for tag in ("cmd.ITT", "7"):
        assert judged(f"{text.format(tag)}< Reject Reason=PROTOCOL_ERROR reject=copy ExpCmdSN=2").of("T-081")
        assert judged(f"{text.format(tag)}< SCSI-Response ITT={tag} ExpCmdSN=2").of("T-081")


@pytest.mark.parametrize(
    "answer",
    ["< SCSI-Response ITT=far.ITT", "< Reject Reason=PROTOCOL_ERROR reject=far", "< Data-In data=512 ITT=far.ITT"],
)
def test_what_is_beyond_the_window_has_no_answer(answer: str) -> None:
    text = f"login\n>> SCSI-Command cdb=READ(10):0+1 ITT=7 CmdSN=1040 as far\n{answer} ExpCmdSN=1 MaxCmdSN="
    (one,) = judged(f"{text}32").of("T-081")
    assert "beyond MaxCmdSN 32" in one.text
    assert not judged(f"{text}1040").of("T-081"), "the window may have been that wide"


def test_a_command_behind_a_reject_on_its_way_is_no_duplicate() -> None:
    text = """
        login
        > Text-Request text="X-a=b" as bad
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=7 CmdSN=1
        < Reject Reason=PROTOCOL_ERROR reject=bad ExpCmdSN=1 MaxCmdSN=32
        < SCSI-Response ITT=7 ExpCmdSN=2
    """
    assert not judged(text).rules() & {"T-081", "T-053", "T-014"}


def test_an_immediate_command_is_no_duplicate() -> None:
    text = "login\n> NOP-Out I as ping\n>> NOP-Out I ITT=77\n< NOP-In ITT=ping.ITT\n< NOP-In ITT=77\n+1\n" + PING
    found = judged(text)
    assert not found.of("T-081")
    assert not found.evidence["T-081"]


def test_a_repeated_status_is_no_answer_to_a_copy() -> None:
    text = f"""
        login ErrorRecoveryLevel=1
        {COMMAND}
        < SCSI-Response StatSN=101
        >> SCSI-Command cdb=TEST-UNIT-READY CmdSN=1 ITT=1
        >> SNACK Type=STATUS BegRun=101 RunLength=1
        < SCSI-Response StatSN=101 ExpCmdSN=2
    """
    assert not judged(text).of("T-081")


def test_numbers_that_were_not_seen_are_no_duplicates() -> None:
    text = "middle\n> NOP-Out CmdSN=50\n< NOP-In ExpCmdSN=51 MaxCmdSN=80\n>> NOP-Out CmdSN=49 ITT=7\n< NOP-In ITT=7"
    assert not judged(text).of("T-081")


@pytest.mark.parametrize("first", [0xFFFFFFFE, 0xFFFFFFFF])
def test_duplicates_are_found_across_the_wrap(first: int) -> None:
    again = f">> SCSI-Command cdb=TEST-UNIT-READY ITT=7 CmdSN={first}\n"
    text = f"login\n{COMMAND}< SCSI-Response\n{COMMAND}< SCSI-Response\n{again}"
    assert not judged(text, cmd_sn=first).of("T-081")
    assert judged(f"{text}< SCSI-Response ITT=7", cmd_sn=first).of("T-081")
