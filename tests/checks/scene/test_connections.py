from __future__ import annotations

from iscsiproxy.checks.scene.connections import DEFAULT_TERMS, Conn
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End
from tests.checks.watching import scene_after

__all__: list[str] = []


def conn(text: str, end: End = End.TARGET) -> Conn:
    return scene_after(text, end).conns[1]


def test_the_terms_are_what_was_agreed_on() -> None:
    terms = conn("login MaxBurstLength=1024 InitialR2T=No HeaderDigest=CRC32C ErrorRecoveryLevel=2").terms
    assert terms.known
    assert terms.max_burst == 1024
    assert not terms.initial_r2t
    assert terms.header_digest
    assert not terms.data_digest
    assert terms.error_recovery_level == 2
    assert terms.mrdsl(End.INITIATOR) == 8192


def test_each_end_declares_its_own_segment_length() -> None:
    terms = conn("login MaxRecvDataSegmentLength=4096 / MaxRecvDataSegmentLength=65536").terms
    assert terms.mrdsl(End.INITIATOR) == 4096
    assert terms.mrdsl(End.TARGET) == 65536


def test_a_connection_that_is_seen_from_its_middle_has_no_known_terms() -> None:
    middle = conn("middle\n> NOP-Out ITT=1")
    assert middle.phase is Phase.FULL_FEATURE
    assert middle.terms == DEFAULT_TERMS
    assert not middle.terms.known
    assert not middle.seen
    assert middle.next_stat is None


def test_status_numbers_are_followed_and_kept() -> None:
    after = conn(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response
        > NOP-Out
        """
    )
    assert after.next_stat == 102
    assert after.acked == 102
    assert [hex(number) for number in after.statuses] == ["0x64", "0x65"]


def test_an_r2t_and_an_own_nop_in_take_no_number() -> None:
    after = conn("login\n> SCSI-Command cdb=WRITE(10):0+1\n< R2T DesiredDataTransferLength=512\n< NOP-In ITT=none")
    assert after.next_stat == 101


def test_what_was_sent_again_changes_nothing() -> None:
    after = conn("login\n> NOP-Out\n< NOP-In as pong\n< NOP-In StatSN=pong.StatSN ITT=pong.ITT")
    assert after.next_stat == 102


def test_missing_events_make_its_numbers_unknown() -> None:
    after = conn("login\nlost 4")
    assert after.next_stat is None
    assert not after.complete
    assert after.seen
