"""What is known of a disk behind commands that did not end well, sessions that were lost, and journals with gaps."""

from __future__ import annotations

import pytest

from iscsiproxy.checks.disk import Counts, Reason
from iscsiproxy.wire.opcodes import End
from tests.checks.storing import (
    ABORT,
    BEGUN,
    BLAMED,
    LOGIN,
    LOSS,
    NEW,
    OLD,
    A,
    B,
    C,
    court_of,
    flying,
    found,
    on_target,
    read,
    write,
)

__all__: list[str] = []


# --- commands that end in another way ---------------------------------------------------------------------------------
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
