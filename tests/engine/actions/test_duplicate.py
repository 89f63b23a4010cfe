from __future__ import annotations

from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.sense import sense_of_segment
from tests.engine.dialogue import Dialogue, scsi_response, write


def test_the_copy_comes_right_behind_and_what_follows_behind_it() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: duplicate")
    first, second = write(2, 10, b"abcd"), write(3, 11)
    assert talk.say(first, second) == [first, first, second]
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_copies_have_fields_of_their_own_and_right_digests() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command nth 1\n    do:\n      - duplicate: {count: 2, ITT: fresh, LUN: 1}",
        connect=False,
    )
    talk.connect(keys={"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"})
    first = write(2, 10, b"abcd")
    original, one, other = talk.say(first)
    assert original == first.sealed(header=True, data=True)
    assert len({original["ITT"], one["ITT"], other["ITT"]}) == 3
    for copy in (one, other):
        assert copy == first.with_fields({"ITT": copy["ITT"], "LUN": 1 << 48}).sealed(header=True, data=True)


def test_a_copy_has_a_name_when_it_is_sent() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command nth 1
    do: {duplicate: {ITT: 0x99, as: copy}}
  - when: SCSI-Response of copy
    do: {note: answered}
"""
    )
    talk.say(write(2, 10))
    talk.say(scsi_response(2, 101))
    assert talk.told("noted") == []
    talk.say(scsi_response(0x99, 102))
    assert talk.told("noted") == ["#2: answered"]


def test_the_copy_of_a_changed_pdu_is_changed_and_later_changes_are_not_in_it() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command\n    do:\n      - set: {LUN: 1}\n      - duplicate: {}\n      - set: {LUN: 2}"
    )
    first, copy = talk.say(write(2, 10))
    assert (first["LUN"] >> 48, copy["LUN"] >> 48) == (2, 1)


def test_a_copy_may_go_in_the_place_of_what_is_dropped() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do:\n      - drop\n      - duplicate: {ITT: 7}")
    (copy,) = talk.say(write(2, 10))
    assert copy["ITT"] == 7


def test_a_close_comes_behind_the_copies() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: [duplicate, close]")
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu, pdu]
    assert talk.wire[-1] == "rst both"


def test_too_many_copies_are_refused() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {duplicate: {count: 10001}}")
    assert len(talk.say(write(2, 10))) == 1
    assert talk.told("failed") == ["#1: duplicate: count is 10001, expected 1 to 10000"]
    assert len(talk.sent(End.TARGET)) == 2


def test_a_copy_may_differ_inside_its_data_in_its_sense_and_in_its_AHS() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {duplicate: {data+2: 0xffff, AHS: 0x0001ff00}}")
    first, copy = talk.say(write(2, 10, b"abcd"))
    assert (first.data, copy.data, copy.ahs) == (b"abcd", b"ab\xff\xff", bytes.fromhex("0001ff00"))
    talk = Dialogue("rules:\n  - when: SCSI-Response\n    do: {duplicate: {Status: CHECK_CONDITION, sense: 5/24/00}}")
    first, copy = talk.say(scsi_response(2, 101))
    assert (first.data, str(sense_of_segment(copy.data))) == (b"", "5/24/00")
