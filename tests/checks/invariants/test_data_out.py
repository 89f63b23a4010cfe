from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import Profile
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

#: A write of 4 blocks, asked for in two parts
BEGUN = """
    login {keys}
    > SCSI-Command cdb=WRITE(10):0+4 as cmd
    < R2T DesiredDataTransferLength=1024 as r
"""
ONE = BEGUN.format(keys="")
TWO = BEGUN.format(keys="MaxOutstandingR2T=2") + "< R2T BufferOffset=1024 DesiredDataTransferLength=1024 as s\n"

CASES = (
    Case(
        rule="I-021",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=512 F
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=512 F
            > Data-Out TTT=r.TTT data=512 F DataSN=0 BufferOffset=0
        """,
        short="""
            login InitialR2T=No
            > SCSI-Command cdb=WRITE(10):0+1 F=0
            > Data-Out data=512 F
        """,
        mutant=("> Data-Out TTT=r.TTT", "> Data-Out TTT=r.TTT+1"),
    ),
    Case(
        rule="I-022",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024 as r
            > Data-Out TTT=r.TTT data=512
            > Data-Out TTT=r.TTT data=512 F DataSN=1
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024 as r
            > Data-Out TTT=r.TTT data=512 DataSN=1
            > Data-Out TTT=r.TTT data=512 F
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024 as r
        """,
        mutant=("F DataSN=1", "F DataSN=0"),
    ),
    Case(
        rule="I-023",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024 as r
            > Data-Out TTT=r.TTT data=512
            > Data-Out TTT=r.TTT data=512 F
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024 as r
            > Data-Out TTT=r.TTT data=512 BufferOffset=512
            > Data-Out TTT=r.TTT data=512 F BufferOffset=0
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=1024 as r
        """,
        mutant=("data=512 F", "data=508 F"),
    ),
    Case(
        rule="I-024",
        good="""
            login MaxOutstandingR2T=2
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=512 as r
            < R2T BufferOffset=512 DesiredDataTransferLength=512 as s
            > Data-Out TTT=r.TTT data=512 F
            > Data-Out TTT=s.TTT data=512 F
        """,
        bad="""
            login MaxOutstandingR2T=2
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=512 as r
            < R2T BufferOffset=512 DesiredDataTransferLength=512 as s
            > Data-Out TTT=s.TTT data=512 F
            > Data-Out TTT=r.TTT data=512 F
        """,
        short="""
            login MaxOutstandingR2T=2
            > SCSI-Command cdb=WRITE(10):0+2
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=512 F
            < R2T BufferOffset=512 DesiredDataTransferLength=512 as s
            > Data-Out TTT=s.TTT data=512 F
        """,
        mutant=("> Data-Out TTT=r.TTT data=512 F", "+0"),
    ),
    Case(
        rule="I-025",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=512 F
            +16
            > NOP-Out
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=256
            +16
            > NOP-Out
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
            +14
            > NOP-Out
        """,
        mutant=("> Data-Out TTT=r.TTT data=512 F", "+0"),
    ),
    Case(
        rule="I-027",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
            > Data-Out TTT=r.TTT data=512 F
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1
            > Data-Out data=512 F
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T DesiredDataTransferLength=512 as r
        """,
        mutant=("> Data-Out TTT=r.TTT", "> Data-Out ITT=99 TTT=r.TTT"),
    ),
    Case(
        rule="I-060",
        good="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 lun=3
            < R2T DesiredDataTransferLength=512 lun=3 as r
            > Data-Out TTT=r.TTT data=512 F lun=3
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1 lun=3 as cmd
            > TMF-Request Function=ABORT_TASK I RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN
        """,
        short="""
            login InitialR2T=No
            > SCSI-Command cdb=WRITE(10):0+1 F=0 lun=3
            > Data-Out data=512 F
            > TMF-Request Function=LUN_RESET I lun=2
        """,
        mutant=("F lun=3", "F"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


MINE = {"I-021", "I-022", "I-023", "I-024", "I-025", "I-027", "I-060"}


def found(text: str) -> list[str]:
    """Give what the rules of this family find in a dialogue."""
    return [f"{one.rule} {one.text}" for one in judged(text).findings if one.rule in MINE]


# --- I-021: tags, and R2Ts that come twice ---------------------------------------------------------------------------

ANSWER = """\
> Data-Out TTT=r.TTT data=512 DataSN=0 BufferOffset=0
> Data-Out TTT=r.TTT data=512 DataSN=1 BufferOffset=512 F
"""
TWICE = "< R2T DesiredDataTransferLength=1024 R2TSN=0 TTT=r.TTT\n"


@pytest.mark.parametrize("mark", ["<", "<<"])
@pytest.mark.parametrize("level", [0, 1])
def test_an_r2t_that_comes_twice_is_answered_once(mark: str, level: int) -> None:
    text = BEGUN.format(keys=f"ErrorRecoveryLevel={level}")
    twice = TWICE.replace("<", mark)
    for good in (text + twice + ANSWER, text + ANSWER + twice, text + ANSWER.replace("\n", "\n" + twice, 1)):
        assert found(good) == []
        assert found(good + "+16\n> NOP-Out") == []
    before = "I-021 the R2T with TTT=0x1001 was answered before"
    assert found(text + ANSWER + twice + ANSWER) == [before], "each further answer is found once"
    assert found(text + ANSWER + twice + ANSWER + ANSWER) == [before] * 2
    # It begins anew when the second one comes.
    assert [one[:5] for one in found(text + ANSWER.partition("\n")[0] + "\n" + twice + ANSWER)][:2] == [
        "I-022",
        "I-023",
    ]


def test_a_recovery_r2t_is_answered_like_any_other() -> None:
    text = BEGUN.format(keys="ErrorRecoveryLevel=1") + ANSWER
    for tag, number in (("0x99", 0x99), ("r.TTT", 0x1001)):
        asked = text + f"< R2T DesiredDataTransferLength=1024 R2TSN=1 TTT={tag} as s\n"
        assert found(asked + "> Data-Out TTT=s.TTT data=1024 F\n+16\n> NOP-Out") == []
        late = f"I-025 the R2T with TTT={number:#x} for 1024 bytes of ITT=0x1 was not answered in full within 15 s"
        assert found(asked + "+16\n> NOP-Out") == [late]


def test_an_r2t_that_has_been_lost_is_not_answered() -> None:
    for lost in (
        "<x R2T DesiredDataTransferLength=1024 as r",
        "< R2T DesiredDataTransferLength=1024 ! spoil=header as r",
    ):
        text = BEGUN.format(keys="HeaderDigest=CRC32C").replace("< R2T DesiredDataTransferLength=1024 as r", lost)
        assert found(text + "+16\n> NOP-Out") == []
        assert found(text + "> Data-Out TTT=r.TTT data=1024 F") == ["I-021 TTT=0x1001 is that of no R2T of ITT=0x1"]


def test_what_counts_is_the_r2t_as_the_initiator_was_given_it() -> None:
    text = ONE.replace("as r", "! TTT=0x77 BufferOffset=512 as r")
    assert found(text + "> Data-Out TTT=0x77 data=1024 F BufferOffset=512") == []
    assert found(text + "> Data-Out TTT=r.TTT data=1024 F") == ["I-021 TTT=0x1001 is that of no R2T of ITT=0x1"]
    assert found(text + "> Data-Out TTT=0x77 data=1024 F") == [
        "I-023 1024 bytes from 0, the R2T asks for 1024 from 512"
    ]


def test_forged_and_split_r2ts_are_answered_each_for_itself() -> None:
    text = ONE.replace("as r", "! DesiredDataTransferLength=512 as r")
    text += "<< R2T R2TSN=1 BufferOffset=512 DesiredDataTransferLength=512 as s\n"
    assert found(text) == []
    text = text.replace("login ", "login MaxOutstandingR2T=2 ")
    assert found(text + "> Data-Out TTT=r.TTT data=512 F\n> Data-Out TTT=s.TTT data=512 F\n+16\n> NOP-Out") == []


def test_data_goes_out_on_the_connection_of_its_task() -> None:
    text = """
        login MaxConnections=2 TaskReporting=FastAbort
        > SCSI-Command cdb=WRITE(10):0+1 as cmd
        < R2T DesiredDataTransferLength=512 as r
        conn 2
        login MaxConnections=2 TSIH=1 CID=1
        > Data-Out ITT=cmd.ITT TTT=r.TTT data=512 F
    """
    assert found(text) == ["I-021 the task ITT=0x1 belongs to connection 1"]


def test_after_a_reassignment_the_r2ts_come_and_are_answered_again() -> None:
    keys = "MaxConnections=2 ErrorRecoveryLevel=2"
    text = f"""
        {BEGUN.format(keys=keys)}
        > Data-Out TTT=r.TTT data=512
        close initiator rst
        conn 2
        login {keys} TSIH=1 CID=1
        > Logout-Request ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=0
        < Logout-Response
        > TMF-Request Function=TASK_REASSIGN I RefTaskTag=cmd.ITT
        < TMF-Response
        < R2T ITT=cmd.ITT TTT=r.TTT R2TSN=0 DesiredDataTransferLength=1024
        > Data-Out ITT=cmd.ITT TTT=r.TTT data=1024 F DataSN=0 BufferOffset=0
    """
    assert found(text) == []


# --- I-022, I-023: the burst -----------------------------------------------------------------------------------------


def test_each_burst_counts_from_0() -> None:
    text = TWO + "> Data-Out TTT=r.TTT data=1024 F\n> Data-Out TTT=s.TTT data=512\n> Data-Out TTT=s.TTT data=512 F"
    assert found(text) == []
    assert found(text.replace("s.TTT data=512\n", "s.TTT data=512 DataSN=1\n")) == ["I-022 DataSN is 1, 0 comes next"]


def test_a_wrong_number_is_found_once() -> None:
    text = ONE + "".join(f"> Data-Out TTT=r.TTT data=256 DataSN={number}\n" for number in (0, 2, 3))
    assert found(text + "> Data-Out TTT=r.TTT data=256 F") == ["I-022 DataSN is 2, 1 comes next"]


def test_what_a_fault_does_on_the_way_is_not_the_initiators() -> None:
    for fault in ("! DataSN=5", "! BufferOffset=9 LUN=5", "! F=0", "! spoil=data", "! data=4"):
        assert found(ONE + f"> Data-Out TTT=r.TTT data=1024 F {fault}") == []
    assert found(ONE + ANSWER.replace(">", ">x")) == []


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ("data=1028 F", ["I-023 1028 bytes from 0, the R2T asks for 1024 from 0"]),
        ("data=512 BufferOffset=1024", ["I-023 512 bytes from 1024, the R2T asks for 1024 from 0"]),
        ("data=512 BufferOffset=4", ["I-023 BufferOffset is 4, 0 comes next"]),
        ("data=512 F", ["I-023 F after 512 bytes of the 1024 that the R2T asks for"]),
        ("data=0", []),
        ("data=0 F", ["I-023 F after 0 bytes of the 1024 that the R2T asks for"]),
    ],
)
def test_an_answer_is_the_range_of_its_r2t(answer: str, texts: list[str]) -> None:
    assert found(ONE + f"> Data-Out TTT=r.TTT {answer}") == texts


def test_an_f_too_soon_is_found_once() -> None:
    text = ONE + "> Data-Out TTT=r.TTT data=512 F\n> Data-Out TTT=r.TTT data=512 F"
    assert found(text) == ["I-023 F after 512 bytes of the 1024 that the R2T asks for"]


def test_f_may_come_alone_but_has_to_come() -> None:
    text = ONE + "> Data-Out TTT=r.TTT data=1024\n"
    assert found(text + "> Data-Out TTT=r.TTT data=0 F\n+2\n> NOP-Out") == []
    missing = "I-023 the last Data-Out of the burst has no F, and none with F came behind its 1024 bytes within 1 s"
    assert found(text + "+2\n> NOP-Out") == [missing]
    assert found(text + "< SCSI-Response\n+2\n> NOP-Out") == [missing]


def test_the_unsolicited_burst_is_one_too() -> None:
    text = "login InitialR2T=No FirstBurstLength=1024\n> SCSI-Command cdb=WRITE(10):0+4 data=256 F=0\n"
    assert found(text + "> Data-Out data=512\n> Data-Out data=256 F") == []
    assert found(text + "> Data-Out data=512 BufferOffset=0") == ["I-023 BufferOffset is 0, 256 comes next"]
    assert found(text + "> Data-Out data=512 DataSN=1") == ["I-022 DataSN is 1, 0 comes next"]
    assert found(text + "> Data-Out data=768 F\n> Data-Out data=0 F") == [
        "I-023 an unsolicited Data-Out behind the last one (F)"
    ]
    assert [one[:5] for one in found(text + "> Data-Out data=768\n+2\n> NOP-Out")] == ["I-023"]


def test_pdus_come_in_any_order_if_that_was_agreed() -> None:
    text = BEGUN.format(keys="DataPDUInOrder=No")
    text += "> Data-Out TTT=r.TTT data=512 BufferOffset=512\n> Data-Out TTT=r.TTT data=512 BufferOffset=0 F"
    assert found(text) == []
    assert found(text.replace("=No", "=Yes")) != []


def test_what_a_broken_r2t_asks_for_beyond_the_command_is_better_not_sent() -> None:
    text = ONE.replace("as r", "! DesiredDataTransferLength=4096 as r") + "> Data-Out TTT=r.TTT data=4096 F"
    (finding,) = [one for one in judged(text).findings if one.rule in MINE]
    assert (finding.rule, str(finding.severity)) == ("I-023", "SHOULD")
    assert finding.text == "4096 bytes from 0, the command has 2048"


@pytest.mark.parametrize("function", ["ABORT_TASK_SET", "CLEAR_TASK_SET", "LUN_RESET", "ABORT_TASK"])
def test_of_what_is_being_aborted_the_rest_need_not_come(function: str) -> None:
    named = " RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN" if function == "ABORT_TASK" else ""
    text = ONE + f"> Data-Out TTT=r.TTT data=512\n> TMF-Request Function={function} I{named}\n"
    assert found(text + "> Data-Out ITT=1 TTT=r.TTT data=0 F\n+16\n> NOP-Out") == []
    denied = "< TMF-Response Response=FUNCTION_NOT_SUPPORTED\n> Data-Out ITT=1 TTT=r.TTT data=0 F"
    assert found(text + denied) == ["I-023 F after 512 bytes of the 1024 that the R2T asks for"]


# --- I-024, I-025: R2Ts in turn --------------------------------------------------------------------------------------


def test_bursts_may_be_interleaved_if_they_end_in_order() -> None:
    lines = ["r.TTT data=512", "s.TTT data=512", "r.TTT data=512 F", "s.TTT data=512 F"]
    text = TWO + "".join(f"> Data-Out TTT={line}\n" for line in lines)
    assert found(text) == []


def test_r2ts_of_different_tasks_have_no_order() -> None:
    text = """
        login
        > SCSI-Command cdb=WRITE(10):0+1 ITT=5
        > SCSI-Command cdb=WRITE(10):0+1 ITT=6
        < R2T ITT=5 DesiredDataTransferLength=512 TTT=1
        < R2T ITT=6 DesiredDataTransferLength=512 TTT=2
        > Data-Out ITT=6 TTT=2 data=512 F
        > Data-Out ITT=5 TTT=1 data=512 F
    """
    assert found(text) == []
    assert "I-024" not in judged(text, profile=Profile.RFC3720).rules()


@pytest.mark.parametrize(
    "change",
    ["LUN=5", "DesiredDataTransferLength=0", "TTT=0xffffffff", "R2TSN=3", "BufferOffset=4000",
     "DesiredDataTransferLength=99999", "ITT=0x99"],
)  # fmt: skip
def test_an_r2t_that_cannot_be_demands_nothing(change: str) -> None:
    keys = "MaxBurstLength=2048 FirstBurstLength=512"
    text = BEGUN.format(keys=keys).replace("as r", f"! {change} as r")
    assert found(text + "+16\n> NOP-Out") == []
    assert found(text.replace(f" ! {change}", "") + "+16\n> NOP-Out") != []


def test_more_r2ts_than_were_agreed_demand_nothing() -> None:
    text = TWO.replace("MaxOutstandingR2T=2", "") + "> Data-Out TTT=r.TTT data=1024 F\n+16\n> NOP-Out"
    assert found(text) == []


@pytest.mark.parametrize(
    "between",
    [
        "< SCSI-Response Status=CHECK_CONDITION sense=B/47/05",
        "< Reject Reason=PROTOCOL_ERROR reject=cmd",
        "> TMF-Request Function=ABORT_TASK RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN I",
        "> TMF-Request Function=LUN_RESET I\n< TMF-Response",
        "> Logout-Request",
        "< Async AsyncEvent=LOGOUT_REQUEST",
        "< Async AsyncEvent=SESSION_DROP",
        "fired stall",
        "close target",
        "lost 2",
    ],
)
def test_what_ends_the_task_ends_the_demand(between: str) -> None:
    assert found(f"{ONE}{between}\n+16\n> NOP-Out") == []


@pytest.mark.parametrize("function", ["ABORT_TASK_SET", "CLEAR_TASK_SET", "LUN_RESET", "TARGET_WARM_RESET"])
@pytest.mark.parametrize(
    ("reporting", "profile", "goes_on"),
    [
        ("RFC3720", Profile.RFC7143, True),
        ("ResponseFence", Profile.RFC7143, True),
        ("FastAbort", Profile.RFC7143, False),
        ("RFC3720", Profile.RFC3720, None),
    ],
)
def test_r2ts_are_answered_until_the_abort_is_done(
    function: str, reporting: str, profile: Profile, goes_on: bool | None
) -> None:
    if goes_on is None:
        goes_on = function in ("ABORT_TASK_SET", "CLEAR_TASK_SET")
    text = BEGUN.format(keys=f"TaskReporting={reporting}") + f"> TMF-Request Function={function} I\n+16\n> NOP-Out"
    assert bool(judged(text, profile=profile).of("I-025")) == goes_on


def test_the_time_of_an_r2t_begins_when_it_is_its_turn() -> None:
    text = TWO + "+10\n> Data-Out TTT=r.TTT data=1024 F\n+10\n"
    assert found(text + "> Data-Out TTT=s.TTT data=1024 F") == []
    assert [one[:5] for one in found(text + "+6\n> NOP-Out")] == ["I-025"]


def test_a_fault_elsewhere_does_not_free_the_initiator() -> None:
    assert [one[:5] for one in found(ONE.replace("< R2T", "fired set\n< R2T") + "+16\n> NOP-Out")] == ["I-025"]


# --- I-027 -----------------------------------------------------------------------------------------------------------

ENDED = ONE + "> Data-Out TTT=r.TTT data=512\n< SCSI-Response Status=CHECK_CONDITION sense=B/47/05 as end\n"


def test_data_may_cross_the_end_of_its_task() -> None:
    late = "> Data-Out TTT=r.TTT data=512 F ITT=1 ExpStatSN=end.StatSN"
    assert found(ENDED + late) == []
    assert found(ENDED + "+1\n" + late) == [], "a long burst was under way"
    assert found(ENDED + late + "+1") == ["I-027 the task ITT=0x1 has ended"], "it knows"
    assert found(ENDED + "+6\n" + late) == ["I-027 the task ITT=0x1 has ended"]
    assert found(ENDED + "fired throttle\n+6\n" + late) == [], "it was held up"


def test_who_acknowledges_too_early_does_not_know() -> None:
    early = ONE + "> Data-Out TTT=r.TTT data=512 ExpStatSN=102\n< SCSI-Response\n"
    assert found(early + "> Data-Out TTT=r.TTT data=512 F ITT=1 ExpStatSN=102") == []


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ("", "there is no task with ITT=0x63"),
        ("> NOP-Out ITT=99", "ITT=0x63 is that of a NOP-Out"),
        ("> SCSI-Command cdb=READ(10):0+1 ITT=99", "the command ITT=0x63 has no W"),
    ],
)
def test_data_belongs_to_a_write(before: str, text: str) -> None:
    assert found(f"login\n{before}\n> Data-Out ITT=99 data=512 F") == [f"I-027 {text}"]


def test_a_task_that_was_not_seen_may_be_there() -> None:
    assert found("middle\n> NOP-Out\n> Data-Out ITT=99 data=512 F TTT=3") == []
    assert found(ONE + "lost 1\n> Data-Out TTT=r.TTT data=512 F") == []


def test_fast_abort_stops_data_at_once() -> None:
    text = (
        BEGUN.format(keys="TaskReporting=FastAbort")
        + "> TMF-Request Function={} I{}\n> Data-Out TTT=r.TTT data=1024 F ITT=1"
    )
    assert found(text.format("LUN_RESET", "")) == [
        "I-027 the task ITT=0x1 is being aborted, with TaskReporting=FastAbort"
    ]
    assert judged(text.format("LUN_RESET", "")).of("I-027")[0].clause == "RFC 7143 4.2.3.4"
    assert found(text.format("LUN_RESET", " lun=4")) == []
    assert found(text.format("ABORT_TASK", " RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN")) == []
    assert found(text.format("LUN_RESET", "").replace("FastAbort", "ResponseFence")) == []


# --- I-060 -----------------------------------------------------------------------------------------------------------


def test_a_lun_that_is_copied_from_a_broken_r2t_is_not_the_initiators() -> None:
    text = ONE.replace("as r", "! LUN=0x5000000000000 as r")
    assert found(text + "> Data-Out TTT=r.TTT data=1024 F lun=5") == []
    assert found(text + "> Data-Out TTT=r.TTT data=1024 F lun=6") == ["I-060 LUN=0x6000000000000, the command has 0x0"]


def test_the_lun_of_unsolicited_data_says_nothing() -> None:
    text = "login InitialR2T=No\n> SCSI-Command cdb=WRITE(10):0+1 F=0 lun=3\n> Data-Out data=512 F lun={}"
    assert found(text.format(0)) == found(text.format(3)) == []


def test_the_acknowledgement_of_data_names_the_lun() -> None:
    text = """
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+2 lun=3
        < Data-In data=512 A TTT=7 lun=3
        > SNACK Type=DATA_ACK TTT=7 BegRun=1 lun={}
    """
    assert found(text.format(3)) == []
    assert found(text.format(2)) == ["I-060 LUN=0x2000000000000, the command has 0x3000000000000"]
    assert found(text.replace("A TTT=7 lun=3", "A TTT=7 lun=2").format(2)) == []


def test_functions_without_a_task_have_a_lun_of_their_own() -> None:
    text = "login\n> SCSI-Command cdb=READ(10):0+2 lun=3 as cmd\n> TMF-Request Function={} I lun=1"
    assert found(text.format("CLEAR_TASK_SET")) == []
    assert found(text.format("TASK_REASSIGN RefTaskTag=cmd.ITT")) == []
    assert found(text.format("QUERY_TASK RefTaskTag=cmd.ITT")) == [
        "I-060 LUN=0x1000000000000, the command has 0x3000000000000"
    ]
    assert found(text.format("ABORT_TASK RefTaskTag=77")) == []
