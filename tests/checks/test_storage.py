"""What the commands of a journal do to the shadow disks, and whose fault it is what a disk should not hold."""

from __future__ import annotations

import pytest

from iscsiproxy.checks.disk import Counts, Reason
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.rules import Severity
from iscsiproxy.checks.storage import Hashes
from iscsiproxy.wire.opcodes import End
from tests.checks.cases import judged
from tests.checks.dialogue import records_of
from tests.checks.storing import (
    BLAMED,
    BOTH,
    CAPACITY,
    COMPARE,
    LOGIN,
    NEW,
    OLD,
    A,
    B,
    C,
    found,
    judge_of,
    on_target,
    read,
    write,
)

__all__: list[str] = []

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
