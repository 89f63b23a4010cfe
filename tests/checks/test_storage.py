"""What the commands of a journal do to the shadow disks: each finding, and each way in which a command can end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from iscsiproxy.checks.court import Court
from iscsiproxy.checks.disk import Counts, Reason
from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.profiles import DEFAULT
from iscsiproxy.checks.rules import Severity
from iscsiproxy.checks.scene.scene import Limits
from iscsiproxy.checks.storage import Hashes
from iscsiproxy.journal import Lost
from iscsiproxy.session.events import Event
from iscsiproxy.wire.opcodes import End
from tests.checks.cases import Case, judged, prove
from tests.checks.dialogue import records_of

__all__: list[str] = []


def write(place: str, data: str, how: str = "", answer: str = "") -> str:
    """Write blocks with immediate data."""
    return f"> SCSI-Command cdb=WRITE(10):{place} data={data} {how}\n< SCSI-Response {answer}\n"


def read(place: str, data: str, how: str = "") -> str:
    """Read blocks."""
    return f"> SCSI-Command cdb=READ(10):{place} {how}\n< Data-In data={data} F S\n"


#: Two contents of a block, and a third
A, B, C = "512*a5", "512*5a", "512*c3"
LOGIN = "login\n"
OLD, NEW = write("8+1", A), write("8+1", B)
#: Two blocks that were written twice
TWICE = LOGIN + write("8+2", f"{A},{A}") + write("8+2", f"{B},{B}")
#: Two writes to a block, in flight together
BOTH = f"""{LOGIN}> SCSI-Command cdb=WRITE(10):8+1 data={A} as one
> SCSI-Command cdb=WRITE(10):8+1 data={B} as two
< SCSI-Response ITT=two.ITT
< SCSI-Response ITT=one.ITT
"""
COMPARE = "> SCSI-Command cdb=COMPARE-AND-WRITE:8+1 data={},{}\n< SCSI-Response {}\n"
MISCOMPARE = "Status=CHECK_CONDITION sense=e/1d/00 U ResidualCount=0"
#: Nothing is known of the block that is read
UNKNOWN = LOGIN + read("8+1", A)


def of(rule: str, good: str, right: str, wrong: str, short: str = UNKNOWN) -> Case:
    """Make a case of a journal that ends in a read or compare, and of what is wrong about it."""
    return Case(rule=rule, good=good + right, bad=good + wrong, short=short, mutant=(good + right, good + wrong))


@pytest.mark.parametrize(
    "case",
    [
        of("D-001", LOGIN + OLD + NEW, read("8+1", B), read("8+1", A), short=LOGIN + OLD + NEW),
        of("D-002", LOGIN + OLD + NEW + read("8+1", B), read("8+1", B), read("8+1", A)),
        of("D-003", TWICE, read("8+2", f"{B},{B}"), read("8+2", f"{B},{A}"), short=TWICE),
        of("D-004", BOTH, read("8+1", B), read("8+1", A), short=BOTH),
        of("D-005", LOGIN + OLD + write("8+1", B, answer="Status=BUSY"), read("8+1", A), read("8+1", B)),
        of("D-006", LOGIN + OLD, read("8+1", A), read("8+1", C)),
        of(
            "D-007",
            LOGIN + OLD,
            COMPARE.format(A, B, ""),
            COMPARE.format(C, B, ""),
            short=LOGIN + COMPARE.format(A, B, ""),
        ),
    ],
    ids=lambda case: case.rule,
)
def test_each_kind_of_wrong_data(case: Case) -> None:
    prove(case)


def found(text: str) -> list[tuple[str, End | None]]:
    """Judge a dialogue live and from a file; give what is wrong with the data, and whose fault it is."""
    return [(one.rule, one.blame) for one in judged(text).findings if one.rule.startswith("D")]


def judge_of(text: str) -> Judge:
    judge = Judge()
    for record in records_of(text):
        judge.take(record)
    assert judge.crashes == ()
    return judge


def on_target(text: str) -> Counts:
    """Count what was judged on the target's leg."""
    court = court_of(text)
    assert court.storage is not None
    return court.storage.disks.counts()


def court_of(text: str, end: End = End.TARGET) -> Court:
    told: list[Finding] = []
    court = Court(end, [], profile=DEFAULT, limits=Limits(), tell=told.append, hashes=Hashes())
    for record in records_of(text):
        if isinstance(record.entry, Lost):
            court.missed()
        elif isinstance(record.entry, Event):
            court.take(record, record.entry)
    assert court.crashes == []
    return court


def flying(text: str) -> Sequence[int]:
    """Count the commands that each leg takes for in flight."""
    storages = [court_of(text, end).storage for end in End]
    return [int(repr(one).rpartition(", ")[2].partition(" ")[0]) for one in storages]


BLAMED = [("D-006", End.TARGET)]


# --- how data passes --------------------------------------------------------------------------------------------------

SOLICITED = f"""login ImmediateData=No
> SCSI-Command cdb=WRITE(10):8+4
< R2T DesiredDataTransferLength=2048 as r2t
> Data-Out TTT=r2t.TTT data={A}
> Data-Out TTT=r2t.TTT data={A},{B}
> Data-Out TTT=r2t.TTT data={B} F
< SCSI-Response
"""
UNSOLICITED = f"""login InitialR2T=No
> SCSI-Command cdb=WRITE(10):8+4 data={A} F=0
> Data-Out data={A},{B} F=0
> Data-Out data={B} F
< SCSI-Response
"""
PIECES = "> SCSI-Command cdb=READ(10):8+4\n< Data-In data={}\n< Data-In data={}\n< Data-In data={} F\n< SCSI-Response\n"


@pytest.mark.parametrize("text", [SOLICITED, UNSOLICITED], ids=["solicited", "unsolicited"])
def test_data_in_pieces_is_put_together(text: str) -> None:
    whole = text + read("8+4", f"{A},{A},{B},{B}")
    assert judged(whole).findings == ()
    assert on_target(whole) == Counts(judged=4)
    assert found(text + read("8+4", f"{A},{C},{B},{C}")) == BLAMED
    pieces = text + PIECES.format(A, f"{A},{B}", B)
    assert judged(pieces).findings == ()
    assert on_target(pieces) == Counts(judged=4)
    assert found(text + PIECES.format(A, f"{A},{C}", B)) == BLAMED


def test_a_block_in_two_pdus_is_read_but_not_judged() -> None:
    text = LOGIN + write("8+4", f"{A},{A},{B},{B}") + PIECES.format("700*a5", "324*a5,100*5a", "924*5a")
    assert judged(text).findings == ()
    assert on_target(text) == Counts(judged=2, left_out={Reason.UNSEEN: 2})
    written = SOLICITED.replace(f"data={A}\n", "data=700*a5\n").replace(f"data={A},{B}", f"data=324*a5,{B}")
    text = written + read("8+4", f"{A},{A},{B},{B}")
    assert judged(text).findings == ()
    assert on_target(text) == Counts(judged=3, left_out={Reason.NEW: 1})


def test_a_tag_that_is_used_again_hides_nothing() -> None:
    # The first read is wrong on both legs, the target's fault; the second, with its tag, only where a fault changed it.
    text = """
        login
        > SCSI-Command cdb=WRITE(10):0+1 data=512*a5 ITT=1
        < SCSI-Response ITT=1
        > SCSI-Command cdb=READ(10):0+1 ITT=2
        < Data-In data=512*11 F S ITT=2
        > SCSI-Command cdb=WRITE(10):8+1 data=512*a5 ITT=1
        < SCSI-Response ITT=1
        > SCSI-Command cdb=READ(10):8+1 ITT=2
        < Data-In data=512*a5 F S ITT=2 ! data=512*22
    """
    blamed = [finding.blame for finding in judged(text).findings if finding.rule == "D-006"]
    assert blamed == [End.TARGET, None]


def test_a_finding_names_the_blocks_and_what_proves_it() -> None:
    (finding,) = judged(LOGIN + OLD + NEW + read("8+1", A)).findings
    assert finding.text == (
        "LUN 0: lost write at LBA 8, seen by READ(10) of LBA 8, CmdSN 0x3: "
        "expected what WRITE(10) of LBA 8, CmdSN 0x2 wrote, found what WRITE(10) of LBA 8, CmdSN 0x1 wrote"
    )
    assert [proof.text.split()[0] for proof in finding.proof] == ["Data-In", *["SCSI-Command"] * 3]
    assert (finding.severity, finding.label, finding.cdb) == (Severity.HEURISTIC, "Data-In", "READ(10)")


CAPACITY = "> SCSI-Command cdb=READ-CAPACITY(10)\n< Data-In data=hex:000000ff00000{} F S\n"
#: MODE SENSE(6) of the Control mode page: QUEUE ALGORITHM MODIFIER 0, and 1
CONTROL = (
    "> SCSI-Command cdb=hex:1a080a00ff00 R EDTL=16\n< Data-In data=hex:0f000000" + "0a0a00{}0" + "0" * 16 + " F S\n"
)


def test_what_nobody_told_is_no_proof() -> None:
    def severity(text: str, rule: str) -> Severity:
        (finding,) = (one for one in judged(text).findings if one.rule == rule)
        return finding.severity

    known = LOGIN + CAPACITY.format("200")
    assert severity(LOGIN + OLD + read("8+1", C), "D-006") is Severity.HEURISTIC
    assert severity(known + OLD + read("8+1", C), "D-006") is Severity.MUST
    both = BOTH.replace(LOGIN, known) + read("8+1", A)
    assert severity(both, "D-004") is Severity.HEURISTIC
    assert severity(both.replace(known, known + CONTROL.format(0)), "D-004") is Severity.MUST
    assert found(both.replace(known, known + CONTROL.format(1))) == []


def test_the_block_size_is_learned_and_changes_where_blocks_are() -> None:
    text = LOGIN + CAPACITY.format("400")
    text += "> SCSI-Command cdb=WRITE(10):1+1 EDTL=1024 data=512*a5,512*5a\n< SCSI-Response\n"
    one = "> SCSI-Command cdb=READ(10):{}+1 EDTL=1024\n< Data-In data={} F S\n"
    assert found(text + one.format(1, f"{A},{B}")) == []
    assert on_target(text + one.format(1, f"{A},{B}")) == Counts(judged=2)
    assert found(text + one.format(1, f"{A},{A}")) == BLAMED
    assert found(text + one.format(2, f"{C},{C}")) == []
    # Who believed in blocks of 512 bytes has to begin anew.
    early = LOGIN + OLD + CAPACITY.format("400") + one.format(8, f"{C},{C}")
    assert found(early) == []
    assert on_target(early).forgotten == 1


def test_a_capacity_under_a_wrong_digest_tells_nothing() -> None:
    odd = CAPACITY.format("208")  # blocks of 520 bytes, of which nothing can be told
    text = "login DataDigest=CRC32C\n{}" + OLD + read("8+1", C)
    assert found(text.format(odd)) == []
    assert found(text.format(odd.replace("F S", "F S spoil=data"))) == BLAMED


# --- whose fault it is ------------------------------------------------------------------------------------------------


def test_what_only_the_initiator_leg_shows_is_nobodys_fault() -> None:
    changed_read = read("8+1", A).replace(" F S", f" F S ! data={C}")
    changed_write = f"> SCSI-Command cdb=WRITE(10):8+1 data={A} ! data={C}\n< SCSI-Response\n"
    swallowed = f">x SCSI-Command cdb=WRITE(10):8+1 data={B} as lost\n<< SCSI-Response ITT=lost.ITT\n"
    for text, rule in (
        (OLD + changed_read, "D-006"),
        (changed_write + read("8+1", C), "D-006"),
        (OLD + swallowed + "> SCSI-Command cdb=READ(10):8+1 CmdSN=2\n" + f"< Data-In data={A} F S\n", "D-001"),
    ):
        assert found(LOGIN + text) == [(rule, None)]


def test_what_both_legs_show_is_told_once_and_the_targets() -> None:
    judge = judge_of(LOGIN + OLD + read("8+1", C))
    assert [(one.rule, one.blame) for one in judge.findings] == BLAMED
    assert sum(judge.counts.values()) == 1
    again = judge_of(LOGIN + OLD + read("8+1", C) + read("8+1", A) + read("8+1", B))
    assert [one.blame for one in again.findings] == [End.TARGET, End.TARGET]


def test_a_fault_that_undoes_what_the_target_did_wrong_is_the_targets_all_the_same() -> None:
    assert found(LOGIN + OLD + read("8+1", C).replace(" F S", f" F S ! data={A}")) == BLAMED


def test_what_the_proxy_has_written_itself_is_expected_of_the_target() -> None:
    mine = f">> SCSI-Command cdb=WRITE(10):8+1 data={B} ITT=99 as mine\n<x SCSI-Response ITT=99\n"
    text = LOGIN + OLD + mine + "> SCSI-Command cdb=READ(10):8+1 ITT=5\n"
    assert ("D-001", End.TARGET) in found(text + f"< Data-In data={A} F S\n")
    assert found(text + f"< Data-In data={B} F S\n") == [("D-006", None)]


# --- commands that end in another way ---------------------------------------------------------------------------------

#: A write that nobody has answered, in a session that says what `{}` is
BEGUN = LOGIN + OLD + f"> SCSI-Command cdb=WRITE(10):8+1 data={B} as w\n"
ABORT = "> TMF-Request I Function=ABORT_TASK RefTaskTag=w.ITT RefCmdSN=w.CmdSN\n< TMF-Response\n"


def test_while_a_write_is_not_answered_either_content_may_be_read() -> None:
    for data in (A, B, C):  # C may be a mixture of both
        assert found(BEGUN + read("8+1", data)) == []
    assert flying(BEGUN) == [1, 1]


def test_an_aborted_write_was_done_or_not_but_not_later() -> None:
    text = BEGUN + ABORT
    assert flying(text) == [0, 0]
    assert found(text + read("8+1", A) + read("8+1", A)) == []
    assert found(text + read("8+1", B) + read("8+1", B)) == []
    assert found(text + read("8+1", A) + read("8+1", B)) != []
    assert found(text + read("8+1", B) + read("8+1", A)) == [("D-002", End.TARGET)]
    assert found(text + read("8+1", C)) == BLAMED


def test_a_reset_of_the_unit_ends_what_is_there_and_nothing_on_another() -> None:
    other = f"> SCSI-Command cdb=WRITE(10):8+1 data={C} lun=1\n"
    text = BEGUN + other + "> TMF-Request I Function=LUN_RESET\n< TMF-Response\n"
    assert flying(text) == [1, 1]


def test_a_rejected_write_is_unsure_and_may_come_again() -> None:
    text = BEGUN + "< Reject Reason=4 reject=w\n"
    assert flying(text) == [0, 0]
    assert found(text + read("8+1", A, "CmdSN=2")) == []
    assert found(text + read("8+1", C, "CmdSN=2")) == BLAMED
    again = text + f"> SCSI-Command cdb=WRITE(10):8+1 data={B} ITT=w.ITT CmdSN=w.CmdSN\n< SCSI-Response ITT=w.ITT\n"
    assert found(again + read("8+1", B)) == []
    assert ("D-001", End.TARGET) in found(again + read("8+1", A))


def test_a_logout_ends_what_is_in_flight() -> None:
    assert flying(BEGUN + "> Logout-Request ReasonCode=0\n< Logout-Response\n") == [0, 0]


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        ("BUSY", "A"),
        ("TASK_SET_FULL", "A"),
        ("RESERVATION_CONFLICT", "A"),
        ("TASK_ABORTED", "AB"),
        ("CHECK_CONDITION sense=5/24/00", "A"),
        ("CHECK_CONDITION sense=3/0c/00", "AB"),
        ("CHECK_CONDITION sense=1/17/00", "B"),
    ],
)
def test_a_write_that_was_not_good(status: str, kept: str) -> None:
    text = LOGIN + OLD + write("8+1", B, answer=f"Status={status}")
    for name, data in (("A", A), ("B", B), ("C", C)):
        assert bool(found(text + read("8+1", data))) == (name not in kept), name


def test_a_target_failure_tells_nothing_of_the_write() -> None:
    text = LOGIN + OLD + write("8+1", B, answer="Response=TARGET_FAILURE")
    assert found(text + read("8+1", A)) == found(text + read("8+1", B)) == []


def test_a_write_that_was_answered_only_for_a_part() -> None:
    text = LOGIN + write("8+2", f"{A},{A}") + write("8+2", f"{B},{B}", answer="U ResidualCount=512")
    assert found(text + read("8+2", f"{B},{A}")) == []
    assert found(text + read("8+2", f"{A},{B}")) != []


# --- connections and sessions -----------------------------------------------------------------------------------------

LOSS = "close initiator rst\n"


@pytest.mark.parametrize("level", [0, 2])
def test_a_write_on_a_lost_connection_may_come_until_its_session_is_gone(level: int) -> None:
    begun = BEGUN.replace("login", f"login ErrorRecoveryLevel={level}")
    other = "conn 2\nlogin ISID=0x400001370001 TSIH=0\n"
    text = begun + LOSS + other
    # In another session it may be there, may not be there, and may come.
    assert found(text + read("8+1", A) + read("8+1", B)) == []
    same = begun + LOSS + "conn 2\nlogin\n"
    assert flying(same) == [0, 0]
    assert found(same + read("8+1", A) + read("8+1", A)) == []
    assert found(same + read("8+1", B) + read("8+1", B)) == []
    assert found(same + read("8+1", A) + read("8+1", B)) != []
    assert found(same + read("8+1", C)) == BLAMED


def test_what_was_in_flight_twice_is_forgotten_with_each_session() -> None:
    text = BEGUN
    for number in (2, 3, 4):
        text += f"{LOSS}conn {number}\nlogin\n> SCSI-Command cdb=WRITE(10):8+1 data={B}\n"
    text += f"{LOSS}conn 5\nlogin\n" + read("8+1", B)
    assert flying(text) == [0, 0]
    assert found(text + read("8+1", A)) == [("D-002", End.TARGET)]


def test_a_session_in_the_place_of_one_that_is_there() -> None:
    same = BEGUN + "conn 2\nlogin\n"
    assert flying(same) == [0, 0]
    assert found(same + read("8+1", A) + read("8+1", B)) != []


@pytest.mark.parametrize("retained", [2, 3600])
def test_at_level_2_a_task_waits_for_another_connection(retained: int) -> None:
    login = f"login ErrorRecoveryLevel=2 DefaultTime2Retain={retained}"
    begun = BEGUN.replace("login", login) + LOSS
    assert flying(begun) == [1, 1]
    assert flying(begun + "+5\nconn 2\nlogin ErrorRecoveryLevel=2") == [0, 0]
    taken = begun + "conn 2\nlogin ErrorRecoveryLevel=2 TSIH=1 CID=1\n"
    assert flying(taken) == [1, 1]
    assigned = taken + "> TMF-Request I Function=TASK_REASSIGN RefTaskTag=w.ITT ExpDataSN=0\n< TMF-Response\n"
    done = assigned + "< SCSI-Response ITT=w.ITT\n"
    assert flying(done) == [0, 0]
    assert found(done + read("8+1", B)) == []
    assert ("D-001", End.TARGET) in found(done + read("8+1", A))


def test_a_connection_in_the_place_of_a_lost_one_leaves_its_session_remembered() -> None:
    text = BEGUN.replace("login", "login MaxConnections=2")
    text += "conn 2\nlogin TSIH=1 CID=1\nconn 1\n" + LOSS
    text += "conn 3\nlogin TSIH=1 CID=0\n" + LOSS + "conn 2\n" + LOSS + "conn 4\nlogin\n"
    assert found(text + read("8+1", A) + read("8+1", B)) != []


def test_sessions_meet_on_one_disk() -> None:
    two = "conn 2\nlogin ISID=0x400001370001\n"
    assert found(LOGIN + OLD + two + read("8+1", A, "CmdSN=1")) == []
    assert found(LOGIN + OLD + two + read("8+1", C, "CmdSN=1")) == BLAMED


def test_a_unit_has_one_number_however_it_is_addressed() -> None:
    flat = "LUN=0x4003000000000000"
    assert found(LOGIN + write("8+1", A, "lun=3") + read("8+1", C, flat)) == BLAMED
    text = LOGIN + write("8+1", A, flat) + write("8+1", B, "lun=3") + read("8+1", B, flat)
    assert found(text) == []
    assert on_target(text) == Counts(judged=1)


def test_units_and_targets_are_apart() -> None:
    text = LOGIN + OLD + read("8+1", C, "lun=1") + write("8+1", B, "lun=1") + read("8+1", A) + read("8+1", B, "lun=1")
    assert found(text) == []
    assert on_target(text) == Counts(judged=2, left_out={Reason.NEW: 1})
    other = "conn 2\nlogin TargetName=iqn.2004-01.com.example:other ISID=0x400001370001\n"
    assert found(LOGIN + OLD + other + read("8+1", C, "CmdSN=1")) == []


# --- other commands ---------------------------------------------------------------------------------------------------


def test_one_block_is_written_to_many() -> None:
    text = LOGIN + CAPACITY.format("200") + write("8+4", f"{A},{A},{A},{A}")
    text += f"> SCSI-Command cdb=WRITE-SAME(16):9+2 data={B}\n< SCSI-Response\n"
    assert found(text + read("8+4", f"{A},{B},{B},{A}")) == []
    assert on_target(text + read("8+4", f"{A},{B},{B},{A}")) == Counts(judged=4)
    assert ("D-003", End.TARGET) in found(text + read("8+4", f"{A},{B},{A},{A}"))


def ranges(*places: tuple[int, int]) -> str:
    """Make the parameter list of UNMAP."""
    list_ = b"".join(lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + bytes(4) for lba, blocks in places)
    return ((len(list_) + 6).to_bytes(2, "big") + len(list_).to_bytes(2, "big") + bytes(4) + list_).hex()


IMMEDIATE = "> SCSI-Command cdb=UNMAP:0+{length} data=hex:{data}\n< SCSI-Response\n"
LATER = """> SCSI-Command cdb=UNMAP:0+{length}
< R2T DesiredDataTransferLength={length} as r2t
> Data-Out TTT=r2t.TTT data=hex:{data} F
< SCSI-Response
"""


@pytest.mark.parametrize("how", [IMMEDIATE, LATER], ids=["immediate", "Data-Out"])
def test_what_was_unmapped_may_hold_anything_and_nothing_else_may(how: str) -> None:
    begun = LOGIN + CAPACITY.format("200") + write("8+4", f"{A},{A},{A},{A}")
    few = begun + how.format(length=24, data=ranges((9, 2)))
    assert found(few + read("8+4", f"{A},{B},512*00,{A}")) == []
    assert on_target(few + read("8+4", f"{A},{B},512*00,{A}")) == Counts(judged=2, left_out={Reason.RELEASED: 2})
    assert found(few + read("8+4", f"{A},{B},{B},{B}")) == BLAMED
    assert found(few + write("9+1", C) + read("9+1", B)) != []
    # A list that a journal does not keep may be about everything: live as well as later.
    many = begun + how.format(length=72, data=ranges((9, 1), (10, 1), (20, 1), (30, 1)))
    assert found(many + read("8+4", f"{A},{B},{B},{B}")) == []
    assert on_target(many + read("8+4", f"{A},{A},{A},{A}")).judged == 0


def test_compare_and_write() -> None:
    done = LOGIN + OLD + COMPARE.format(A, B, "")
    assert found(done + read("8+1", B)) == []
    assert ("D-001", End.TARGET) in found(done + read("8+1", A))
    refused = LOGIN + OLD + COMPARE.format(C, B, "Status=CHECK_CONDITION sense=e/1d/00")
    assert found(refused + read("8+1", A)) == []
    assert found(refused + read("8+1", B)) == [("D-005", End.TARGET)]


def test_verify_compares_too() -> None:
    verify = "> SCSI-Command cdb=hex:2f020000000800000100 W EDTL=512 data={}\n< SCSI-Response\n"
    text = LOGIN + CAPACITY.format("200") + OLD
    assert found(text + verify.format(A)) == []
    assert found(text + verify.format(C)) == [("D-007", End.TARGET)]


def test_a_command_that_reads_and_writes_leaves_its_blocks_in_doubt() -> None:
    bidirectional = (
        "> SCSI-Command cdb=hex:53000000000800000100 R W EDTL=512 ahs=hex:0005020000000200 "
        f"data={B}\n< Data-In data={A} F\n< SCSI-Response\n"
    )
    text = LOGIN + CAPACITY.format("200") + write("8+2", f"{A},{A}") + bidirectional
    assert found(text + read("8+2", f"{C},{A}")) == []
    assert found(text + read("8+2", f"{C},{C}")) == BLAMED


def test_an_unknown_command_may_do_anything_if_it_sends_data() -> None:
    odd = "> SCSI-Command cdb=hex:c1000000000000000000 {} EDTL=512 data={}\n< SCSI-Response\n"
    assert found(LOGIN + OLD + odd.format("W", B) + read("8+1", C)) == []
    assert found(LOGIN + OLD + odd.format("", 0).replace("EDTL=512", "EDTL=0") + read("8+1", C)) == BLAMED


@pytest.mark.parametrize(
    "tells",
    [write("99+1", A, answer="Status=CHECK_CONDITION sense=71:3/0c/00"), "< Async AsyncEvent=0 sense=71:3/0c/00\n"],
)
def test_a_deferred_error_takes_back_what_was_answered(tells: str) -> None:
    """A current one does not."""
    current = tells.replace("71:", "")
    deferred = [LOGIN + OLD + NEW + _with_code(tells, 0x71) + read("8+1", data) for data in (A, B, C)]
    assert [found(text) for text in deferred] == [[], [], []]
    assert found(LOGIN + OLD + NEW + current + read("8+1", C)) == BLAMED


def test_a_deferred_error_is_about_its_unit() -> None:
    tells = _with_code("< Async AsyncEvent=0 lun=1 sense=71:3/0c/00\n", 0x71)
    assert found(LOGIN + OLD + tells + read("8+1", C)) == BLAMED
    # What looks like sense data in another event is none.
    vendor = _with_code("< Async AsyncEvent=255 sense=71:3/0c/00\n", 0x71)
    assert found(LOGIN + OLD + vendor + read("8+1", C)) == BLAMED


def _with_code(line: str, code: int) -> str:
    """Give sense data in fixed format that response code."""
    before, _, sense = line.partition("sense=71:")
    key, asc, ascq = (int(part, 16) for part in sense.strip().split("/"))
    fixed = bytes([code, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0])
    return f"{before}data=hex:{(len(fixed).to_bytes(2, 'big') + fixed).hex()}\n"


# --- what cannot be known ---------------------------------------------------------------------------------------------

DIGESTS = "login DataDigest=CRC32C ErrorRecoveryLevel={}\n"


def test_data_under_a_wrong_digest_was_not_read() -> None:
    wrong = read("8+1", C).replace(" F S", " F S spoil=data")
    assert found(DIGESTS.format(0) + OLD + wrong) == []
    # A fault made it so: the initiator has not seen it, nor that the command has ended.
    text = DIGESTS.format(0) + OLD + read("8+1", A).replace(" F S", f" F S ! data={C} spoil=data")
    assert found(text) == []
    assert flying(text)[0] == 1


def test_data_that_is_sent_again_behind_a_wrong_digest_counts() -> None:
    text = f"""{DIGESTS.format(1)}> SCSI-Command cdb=WRITE(10):8+2 as w
< R2T DesiredDataTransferLength=1024 as r2t
> Data-Out TTT=r2t.TTT data={A},{B} F ! data={C},{C} spoil=data
"""
    text += f"""< Reject Reason=DATA_DIGEST_ERROR data=hex:{"05" + "00" * 47}
< R2T DesiredDataTransferLength=1024 ITT=w.ITT as again
> Data-Out ITT=w.ITT TTT=again.TTT DataSN=0 BufferOffset=0 data={A},{B} F
< SCSI-Response ITT=w.ITT
"""
    assert found(text + read("8+2", f"{A},{B}")) == []
    assert on_target(text + read("8+2", f"{A},{B}")) == Counts(judged=2)
    assert found(text + read("8+2", f"{C},{C}")) == BLAMED


def test_a_hole_in_what_was_written_may_hold_anything() -> None:
    """The target was not told what should be there; the initiator was told that it is."""
    text = f"""{LOGIN}> SCSI-Command cdb=WRITE(10):8+2 data=0
< R2T DesiredDataTransferLength=1024 as r2t
>x Data-Out TTT=r2t.TTT data={A}
> Data-Out TTT=r2t.TTT data={B} F
< SCSI-Response
"""
    assert found(text + read("8+2", f"{C},{B}")) == [("D-006", None)]
    assert found(text + read("8+2", f"{C},{C}")) == BLAMED


def test_behind_lost_records_all_begins_anew() -> None:
    for lost in (OLD + NEW + "lost 3\n", OLD + f"> SCSI-Command cdb=WRITE(10):8+1 data={B}\nlost 3\n"):
        text = LOGIN + lost
        assert flying(text) == [0, 0]
        assert found(text + read("8+1", C)) == []
        # What is written from then on is known again, whatever was in flight before.
        assert found(text + write("8+1", A) + read("8+1", A)) == []
        assert found(text + write("8+1", A) + read("8+1", C)) != []


def test_what_was_in_flight_before_lost_records_does_not_come_back() -> None:
    text = LOGIN + OLD + f"> SCSI-Command cdb=READ(10):8+1\n> SCSI-Command cdb=WRITE(10):20+1 data={B}\nlost 3\n"
    court = court_of(text + (write("8+1", A) + write("8+1", B)) * 20 + read("8+1", B))
    assert court.storage is not None
    (disk,) = court.storage.disks
    assert repr(disk).endswith(": 0 in flight, 1 spans unsure>"), "but for what the write brought"


def test_a_journal_that_begins_in_the_middle() -> None:
    text = "middle\n" + f"< Data-In data={A} F S ITT=77\n" + read("8+1", A)
    assert found(text + read("8+1", A)) == []
    assert found(text + read("8+1", C)) == BLAMED
    assert on_target(text + read("8+1", A)).judged == 1


def test_a_tag_that_is_used_for_two_at_a_time() -> None:
    text = BEGUN + f"> SCSI-Command cdb=WRITE(10):8+1 data={C} ITT=w.ITT as x\n< SCSI-Response ITT=w.ITT\n"
    assert flying(text) == [0, 0]
    for data in (A, B, C):
        assert found(text + read("8+1", data)) == []
    # Behind the end of the session there is one content again.
    anew = text + LOSS + "conn 2\nlogin\n" + read("8+1", A)
    assert found(anew + read("8+1", C)) != []


def test_a_write_that_is_sent_again_is_one() -> None:
    again = f"> SCSI-Command cdb=WRITE(10):8+1 data={B} ITT=w.ITT CmdSN=w.CmdSN\n< SCSI-Response ITT=w.ITT\n"
    assert found(BEGUN + again + read("8+1", B)) == []
    assert flying(BEGUN + again) == [0, 0]
    late = BEGUN + "< SCSI-Response\n" + NEW.replace(B, C) + again.replace("\n< SCSI-Response ITT=w.ITT", "")
    assert flying(late) == [0, 0]
    assert ("D-001", End.TARGET) in found(late + read("8+1", B))


# --- the hashes -------------------------------------------------------------------------------------------------------


def test_data_is_hashed_once_for_both_legs() -> None:
    hashes = Hashes()
    one, other = (record for record in records_of(LOGIN + OLD) if record.pdu is not None and record.data_length == 512)
    assert one.pdu is other.pdu
    assert hashes.of(one) is hashes.of(other)
    assert hashes.of(one) is not None
    assert hashes.of(records_of(LOGIN)[0]) is None


def test_without_disks_nothing_is_followed() -> None:
    judge = Judge(disks=False)
    for record in records_of(LOGIN + OLD + read("8+1", C)):
        judge.take(record)
    assert judge.findings == []
    assert judge.disks == Counts()
