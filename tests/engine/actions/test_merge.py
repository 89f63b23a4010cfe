from __future__ import annotations

import pytest

from iscsiproxy.engine.actions.merge import Gathering
from iscsiproxy.engine.commands import Finish
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.carried import DATA, carry
from tests.engine.dialogue import NO_TAG, Dialogue, data_in, data_out, nop_out, r2t, read, scsi_response, write

__all__: list[str] = []

DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}


def rules(act: str = "merge", when: str = "Data-Out nth 1") -> str:
    return f"rules:\n  - when: {when}\n    do:\n      - {act}"


def burst(count: int, *, ttt: int = NO_TAG, itt: int = 2) -> list[Pdu]:
    """Make Data-Outs of 100 bytes each, the last with F."""
    return [
        data_out(itt, n, bytes([n]) * 100, ttt=ttt, BufferOffset=100 * n, F=int(n == count - 1)) for n in range(count)
    ]


def told(pdus: list[Pdu]) -> list[tuple[int, int, int, int]]:
    return [(one["DataSN"], one["BufferOffset"], len(one.data), one["F"]) for one in pdus]


def unsent(talk: Dialogue) -> list[str]:
    return [one.unsent for one in talk.commands if isinstance(one, Finish)]


def test_two_data_outs_become_one() -> None:
    talk = Dialogue(rules())
    talk.say(write(2, 10))
    first, second, third = burst(3)
    assert talk.say(first) == []
    assert talk.told("held") == ["#1: until 1 more of its sequence"]
    (merged,) = talk.say(second)
    assert told([merged]) == [(0, 0, 200, 0)]
    assert merged.data == first.data + second.data
    assert talk.say(third) == [third.with_fields({"DataSN": 1})]
    assert unsent(talk) == ["", "hidden"]
    assert talk.told("fired") == ["#1: one PDU for 2 of 200 bytes"]
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert talk.open_slots == []


def test_all_of_a_sequence_by_twos() -> None:
    talk = Dialogue(rules(when="Data-Out"))
    talk.say(write(2, 10))
    assert told(talk.say(*burst(5))) == [(0, 0, 200, 0), (1, 200, 200, 0), (2, 400, 100, 1)]
    assert talk.told("skipped") == ["#1: merge: nothing of its sequence follows"]
    assert talk.counts() == {"matched": 5, "fired": 4, "skipped": 1}


def test_the_end_of_the_sequence_ends_it_early() -> None:
    talk = Dialogue(rules("merge: 10"))
    talk.say(write(2, 10))
    assert told(talk.say(*burst(3))) == [(0, 0, 300, 1)]
    assert talk.told("fired") == ["#1: one PDU for 3 of 300 bytes"]


def test_flags_and_acknowledgement_are_those_of_the_last() -> None:
    talk = Dialogue(rules())
    talk.say(write(2, 10))
    first, last = burst(2)
    (merged,) = talk.say(first, last.with_fields({"ExpStatSN": 105}))
    assert (merged["F"], merged["ExpStatSN"]) == (1, 105)


def test_what_comes_between_waits_and_keeps_its_place() -> None:
    talk = Dialogue(rules())
    talk.say(write(2, 10))
    first, last = burst(2)
    other, ping = burst(1, itt=9)[0], nop_out(7, 11)
    assert talk.say(first, other, ping) == []
    merged, *rest = talk.say(last)
    assert (told([merged]), rest) == ([(0, 0, 200, 1)], [other, ping])


def test_each_r2t_has_a_sequence_of_its_own() -> None:
    talk = Dialogue(rules())
    talk.say(write(2, 10), r2t(2, 5), r2t(2, 6, 1, BufferOffset=200))
    first, last = burst(2, ttt=5)
    other = data_out(2, 0, ttt=6, BufferOffset=200, F=1)
    assert talk.say(first, other) == []
    merged, behind = talk.say(last)
    assert (merged["TTT"], len(merged.data), behind) == (5, 200, other)


def test_what_does_not_follow_on_ends_it() -> None:
    talk = Dialogue(rules())
    talk.say(write(2, 10))
    first, _, third = burst(3)
    assert talk.say(first, third) == [first, third]
    assert talk.told("expired") == ["#1: what follows it does not begin where it ends"]
    assert talk.counts() == {"matched": 1, "expired": 1}
    assert unsent(talk)[:1] == [""]


def test_what_was_gathered_goes_when_no_more_comes() -> None:
    talk = Dialogue(rules("merge: 3"))
    talk.say(write(2, 10))
    talk.say(*burst(9)[:2])
    assert told(talk.tick(60)) == [(0, 0, 200, 0)]
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert not any(isinstance(one, Gathering) for one in talk.engine.standing)


def test_alone_it_goes_as_it_came() -> None:
    talk = Dialogue(rules())
    talk.say(write(2, 10))
    first = burst(9)[0]
    talk.say(first)
    assert talk.tick(60) == [first]
    assert talk.told("expired") == ["#1: 1 more of its sequence did not come in 60 s"]


def test_what_was_gathered_goes_when_its_sender_has_gone() -> None:
    talk = Dialogue(rules("merge: 3"))
    talk.say(write(2, 10))
    talk.say(*burst(9)[:2])
    talk.closed(End.INITIATOR)
    assert told([one.pdu for one in talk.sent(End.TARGET)[-1:]]) == [(0, 0, 200, 0)]
    assert talk.open_slots == []


def test_what_was_gathered_goes_when_the_run_ends() -> None:
    talk = Dialogue(rules("merge: 3"))
    talk.say(write(2, 10))
    sequence = burst(4)
    talk.say(*sequence[:2])
    talk.end()
    assert told([one.pdu for one in talk.sent(End.TARGET)[-1:]]) == [(0, 0, 200, 0)]
    assert told(talk.say(*sequence[2:])) == [(1, 200, 100, 0), (2, 300, 100, 1)]


def test_nothing_goes_when_its_receiver_has_gone() -> None:
    talk = Dialogue(rules("merge: 3"))
    talk.say(write(2, 10))
    talk.say(*burst(9)[:2])
    sent = len(talk.sent(End.TARGET))
    talk.closed(End.TARGET, "rst")
    assert (len(talk.sent(End.TARGET)), talk.open_slots) == (sent, [])


def test_a_reused_tag_is_another_task() -> None:
    talk = Dialogue(rules())
    talk.say(write(2, 10))
    first = burst(2)[0]
    talk.say(first)
    assert talk.say(write(2, 11)) == [first, write(2, 11)]


def test_the_merged_pdu_has_right_digests_and_padding() -> None:
    talk = Dialogue(rules(), connect=False)
    talk.connect(keys=DIGESTS)
    talk.say(write(2, 10))
    one = data_out(2, 0, b"abc")
    (merged,) = talk.say(one, data_out(2, 1, b"de", BufferOffset=3, F=1))
    assert (merged.data, merged.pad) == (b"abcde", bytes(3))
    assert (merged.header_digest_ok(), merged.data_digest_ok()) == (True, True)


@pytest.mark.parametrize("digest", ["header_digest", "data_digest"])
def test_a_wrong_digest_stays_wrong(digest: str) -> None:
    talk = Dialogue(rules("merge: 3"), connect=False)
    talk.connect(keys=DIGESTS)
    talk.say(write(2, 10))
    first, second, third = (one.sealed(header=True, data=True) for one in burst(3))
    spoilt = second.with_parts(**{digest: b"\0\0\0\0"})
    assert talk.say(first, spoilt, third, raw=True) == [first, spoilt, third]
    assert talk.told("expired") == ["#1: what follows it has a wrong digest"]


def test_other_rules_come_too_late_for_what_is_no_longer_there() -> None:
    talk = Dialogue("rules:\n  - {when: Data-Out nth 1, do: merge}\n  - {when: Data-Out, do: {set: {LUN: 1}}}")
    talk.say(write(2, 10))
    (merged,) = talk.say(*burst(2))
    assert (merged["LUN"], len(merged.data)) == (0, 200)
    assert talk.counts("#2") == {"matched": 2, "shadowed": 2}


def test_what_was_changed_before_stays_changed() -> None:
    talk = Dialogue(
        "rules:\n  - {when: Data-Out nth 1, do: {set: {data: 0x41424344}}}\n  - {when: Data-Out nth 1, do: merge}"
    )
    talk.say(write(2, 10))
    (merged,) = talk.say(data_out(2, 0, b"abcd"), data_out(2, 1, b"efgh", BufferOffset=4, F=1))
    assert merged.data == b"ABCDefgh"


@pytest.mark.parametrize("count", [0, 10001])
def test_a_count_that_is_no_count(count: int) -> None:
    talk = Dialogue(rules(f"merge: {count}"))
    talk.say(write(2, 10))
    first = burst(2)[0]
    assert talk.say(first) == [first]
    assert talk.told("failed") == [f"#1: merge: count is {count}, expected 1 to 10000"]


# --- Data-In, and the status ---


def test_data_ins_become_one_with_the_status_of_the_last() -> None:
    talk = Dialogue(rules(when="Data-In"))
    talk.say(read(2, 10))
    (merged,) = talk.say(
        data_in(2, 0, b"abcd", MaxCmdSN=39), data_in(2, 1, b"efgh", BufferOffset=4, F=1, S=1, StatSN=101)
    )
    assert (merged.data, merged["DataSN"], merged["F"], merged["S"], merged["StatSN"]) == (b"abcdefgh", 0, 1, 1, 101)
    assert merged["MaxCmdSN"] == 40
    other = scsi_response(3, 102)
    assert talk.say(other) == [other]


def test_the_response_counts_what_was_seen() -> None:
    talk = Dialogue(rules(when="Data-In nth 1"))
    talk.say(read(2, 10))
    (merged,) = talk.say(data_in(2, 0, b"abcd"), data_in(2, 1, b"efgh", BufferOffset=4))
    last, response = talk.say(data_in(2, 2, b"ijkl", BufferOffset=8, F=1), scsi_response(2, 101, ExpDataSN=3))
    assert (merged["DataSN"], last["DataSN"], response["ExpDataSN"], response["StatSN"]) == (0, 1, 2, 101)


def folding(*pdus: Pdu) -> tuple[Dialogue, list[Pdu]]:
    talk = Dialogue(rules("merge: {status: folded}", "Data-In where F nth 1"))
    talk.say(read(2, 10))
    return talk, talk.say(*pdus)


def test_a_good_status_is_folded_into_the_last_data_in() -> None:
    response = scsi_response(2, 101, ExpDataSN=1, U=1, ResidualCount=4, MaxCmdSN=41)
    talk, (folded,) = folding(data_in(2, 0, b"abcd", F=1), response)
    assert folded.opcode == Opcode.DATA_IN
    names = ("DataSN", "F", "S", "StatSN", "U", "ResidualCount", "MaxCmdSN")
    assert [folded[name] for name in names] == [0, 1, 1, 101, 1, 4, 41]
    assert unsent(talk) == ["", "hidden"]
    assert talk.told("fired") == ["#1: one PDU of 4 bytes with the status of their task"]
    assert talk.counts() == {"matched": 1, "fired": 1}
    other = scsi_response(3, 102)
    assert talk.say(other) == [other]
    acknowledged = nop_out(7, 12, ExpStatSN=103)
    assert talk.say(acknowledged) == [acknowledged]


def test_data_and_status_become_one() -> None:
    talk = Dialogue(rules("merge: {count: 9, status: folded}", "Data-In nth 1"))
    talk.say(read(2, 10))
    (folded,) = talk.say(
        data_in(2, 0, b"abcd"), data_in(2, 1, b"efgh", BufferOffset=4, F=1), scsi_response(2, 101, ExpDataSN=2)
    )
    assert (folded.data, folded["S"], folded["F"]) == (b"abcdefgh", 1, 1)
    assert sorted(unsent(talk)) == ["", "hidden", "hidden"]


@pytest.mark.parametrize(
    "following",
    [
        scsi_response(2, 101, Status=2, ExpDataSN=1),
        scsi_response(2, 101, b"\0\0", ExpDataSN=1),
        data_in(2, 1, b"efgh", BufferOffset=4, F=1),
    ],
    ids=["bad", "sense", "another sequence"],
)
def test_what_cannot_be_folded_goes_as_it_came(following: Pdu) -> None:
    first = data_in(2, 0, b"abcd", F=1)
    talk, sent = folding(first, following)
    assert sent == [first, following]
    assert talk.counts() == {"matched": 1, "expired": 1}
    assert talk.open_slots == []


def test_a_data_in_with_its_status_needs_no_folding() -> None:
    whole = data_in(2, 0, b"abcd", F=1, S=1, StatSN=101)
    talk, sent = folding(whole)
    assert (sent, talk.counts()) == ([whole], {"matched": 1, "skipped": 1})


# --- between the embedded peers ---


#: Each end takes twice as much as the other one is told.
HALF = "negotiate: {target: {MaxRecvDataSegmentLength: 8192}, initiator: {MaxRecvDataSegmentLength: 8192}}\n"


@pytest.mark.parametrize("digests", [False, True], ids=["plain", "digests"])
async def test_merged_data_is_the_same_data(digests: bool) -> None:
    run = await carry(HALF + "rules:\n  - {when: Data-Out or Data-In, do: merge}", digests=digests, segment=16384)
    clean = await carry(digests=digests)
    assert (run.again, run.complaints) == (DATA, [])
    out, back = run.seen(End.TARGET, Opcode.DATA_OUT), run.seen(End.INITIATOR, Opcode.DATA_IN)
    assert [(one["DataSN"], len(one.data), one["F"]) for one in out] == [(0, 16384, 1)] * 2
    assert [(one["DataSN"], len(one.data), one["F"]) for one in back] == [(0, 16384, 1), (1, 16384, 1)]
    assert all(one.header_digest_ok() is one.data_digest_ok() is (True if digests else None) for one in out + back)
    senders = ((End.INITIATOR, Opcode.DATA_OUT), (End.TARGET, Opcode.DATA_IN))
    for leg, opcode in senders:
        assert [one.bhs for one in run.seen(leg, opcode)] == [one.bhs for one in clean.seen(leg, opcode)]


async def test_a_status_that_is_folded_in() -> None:
    """See two proxies: the one at the target sets the status apart, the one at the initiator folds it in again."""
    run = await carry(
        "rules:\n  - {when: Data-In where S, do: {split: {status: apart}}}",
        before="rules:\n  - {when: Data-In where task.sent + length == task.EDTL, do: {merge: {status: folded}}}",
    )
    assert (run.again, run.complaints) == (DATA, [])
    assert [one["S"] for one in run.seen(End.TARGET, Opcode.DATA_IN)] == [0, 0, 0, 0]
    assert [one["S"] for one in run.seen(End.INITIATOR, Opcode.DATA_IN)] == [0, 0, 0, 1]
    apart = run.seen(End.TARGET, Opcode.SCSI_RESPONSE)
    assert len(apart) == len(run.seen(End.INITIATOR, Opcode.SCSI_RESPONSE)) + 1
    assert run.fired == ["one PDU of 8192 bytes with the status of their task"]
