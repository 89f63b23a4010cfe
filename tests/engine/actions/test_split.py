from __future__ import annotations

import pytest

from iscsiproxy.engine.actions.split import Pieces
from iscsiproxy.engine.commands import Detach, Finish, Send
from iscsiproxy.errors import FileError
from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.carried import DATA, carry
from tests.engine.dialogue import (
    NO_TAG,
    Dialogue,
    data_in,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    scsi_response,
    write,
)

__all__: list[str] = []

KILO = bytes(range(256)) * 4
DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}


def rules(act: str, when: str = "Data-Out nth 1") -> str:
    return f"rules:\n  - when: {when}\n    do:\n      - {act}"


def parts(pdus: list[Pdu]) -> list[tuple[int, int, int]]:
    """Offset, length and F of data PDUs."""
    return [(one["BufferOffset"], len(one.data), one["F"]) for one in pdus]


def under_way(talk: Dialogue) -> list[Pieces]:
    return [one for one in talk.engine.standing if isinstance(one, Pieces)]


def extras(talk: Dialogue) -> list[bool]:
    return [command.extra for command in talk.commands if isinstance(command, Send)]


# --- data ---


def test_a_data_out_in_pieces_of_a_size() -> None:
    talk = Dialogue(rules("split: 400"))
    talk.say(write(2, 10))
    pieces = talk.say(data_out(2, 0, KILO, F=1, BufferOffset=512))
    assert parts(pieces) == [(512, 400, 0), (912, 400, 0), (1312, 224, 1)]
    assert b"".join(one.data for one in pieces) == KILO
    assert extras(talk) == [False, True, True]
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert talk.told("fired") == ["#1: 3 PDUs for one, with 2 × 400, 224 bytes"]
    assert talk.open_slots == []


def test_a_data_out_into_so_many() -> None:
    talk = Dialogue(rules("split: {into: 2}"))
    talk.say(write(2, 10))
    assert parts(talk.say(data_out(2, 0, KILO, F=1))) == [(0, 512, 0), (512, 512, 1)]


@pytest.mark.parametrize(
    ("act", "expected"),
    [("split: {first: 0}", [(0, 0, 0), (0, 1024, 1)]), ("split: {first: length}", [(0, 1024, 0), (1024, 0, 1)])],
)
def test_an_empty_piece_before_or_behind(act: str, expected: list[tuple[int, int, int]]) -> None:
    talk = Dialogue(rules(act))
    talk.say(write(2, 10))
    assert parts(talk.say(data_out(2, 0, KILO, F=1))) == expected


def test_what_is_small_enough_goes_as_it_came_and_is_no_fault() -> None:
    talk = Dialogue(rules("split: 1024"))
    talk.say(write(2, 10))
    pdu = data_out(2, 0, KILO, F=1)
    assert talk.say(pdu) == [pdu]
    assert talk.counts() == {"matched": 1, "skipped": 1}
    assert talk.told("skipped") == ["#1: split: it is one piece of 1024 bytes already"]
    assert talk.engine.unfired() == ("x/#1",)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ("split: {status: last}", "it needs `size`, `into` or `first`"),
        ("split: 0", "size is 0, expected 1 or more"),
        ("split: {into: 2000}", "1024 bytes are too few for 2000 pieces"),
    ],
)
def test_what_cannot_be_cut_goes_as_it_came(act: str, why: str) -> None:
    talk = Dialogue(rules(act))
    talk.say(write(2, 10))
    pdu = data_out(2, 0, KILO, F=1)
    assert talk.say(pdu) == [pdu]
    assert talk.told("failed") == [f"#1: split: {why}"]


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ("split", "`split` needs `size`, `into`, `first` or `status`"),
        ("split: {as: P}", "`split` needs `size`, `into`, `first` or `status`"),
        ("split: {size: 5, into: 2}", "`size` and `into` exclude each other"),
    ],
)
def test_how_to_cut_is_said_and_said_once(act: str, why: str) -> None:
    with pytest.raises(FileError, match=why):
        Dialogue(rules(act))


def test_pieces_have_right_digests_on_the_leg_they_go_to() -> None:
    talk = Dialogue(rules("split: 500"), connect=False)
    talk.connect(keys=DIGESTS)
    talk.say(write(2, 10))
    pieces = talk.say(data_out(2, 0, KILO, F=1))
    assert len(pieces) == 3
    for piece in pieces:
        assert (piece.header_digest_ok(), piece.data_digest_ok(), len(piece) % 4) == (True, True, 0)


def test_an_empty_piece_has_no_data_digest() -> None:
    talk = Dialogue(rules("split: {first: length}"), connect=False)
    talk.connect(keys=DIGESTS)
    talk.say(write(2, 10))
    full, empty = talk.say(data_out(2, 0, KILO, F=1))
    assert (full.data_digest_ok(), empty.data_digest, empty.header_digest_ok()) == (True, b"", True)


def test_pieces_have_names() -> None:
    talk = Dialogue(
        """
rules:
  - when: Data-Out nth 1
    do: {split: {size: 512, as: part}}
  - when: SCSI-Response of part.2
    do: {note: (done)}
"""
    )
    talk.say(write(2, 10))
    talk.say(data_out(2, 0, KILO, F=1))
    book = talk.engine._books[0]
    faces = [book[f"part.{number}"].pdu for number in (1, 2)]
    assert [one["BufferOffset"] for one in faces if one is not None] == [0, 512]
    talk.say(scsi_response(2, 101))
    assert len(talk.told("noted")) == 1
    assert under_way(talk) == []


def test_a_data_in_in_pieces_with_the_status_on_the_last() -> None:
    talk = Dialogue(rules("split: 512", "Data-In nth 1"))
    talk.say(read(2, 10))
    first, last = talk.say(data_in(2, 0, KILO, F=1, S=1, StatSN=101))
    assert (first["F"], first["S"], first["StatSN"]) == (0, 0, 0)
    assert (last["F"], last["S"], last["StatSN"]) == (1, 1, 101)
    assert extras(talk) == [False, True]


def test_the_status_of_a_data_in_apart() -> None:
    talk = Dialogue(rules("split: {status: apart}", "Data-In where S nth 1"))
    talk.say(read(2, 10))
    data, response = talk.say(data_in(2, 0, KILO, F=1, S=1, U=1, ResidualCount=4, StatSN=101))
    assert (data.data, data["F"], data["S"], data["U"]) == (KILO, 1, 0, 0)
    assert response.opcode == Opcode.SCSI_RESPONSE
    told = ("ITT", "StatSN", "ExpDataSN", "U", "ResidualCount")
    assert [response[name] for name in told] == [2, 101, 1, 1, 4]
    assert extras(talk) == [False, True]


def test_pieces_and_a_status_apart() -> None:
    talk = Dialogue(rules("split: {into: 2, status: apart}", "Data-In"))
    talk.say(read(2, 10))
    pdus = talk.say(data_in(2, 0, KILO), data_in(2, 1, KILO, BufferOffset=1024, F=1, S=1, StatSN=101))
    assert [one.opcode for one in pdus] == [Opcode.DATA_IN] * 4 + [Opcode.SCSI_RESPONSE]
    assert not any(one["S"] for one in pdus[:4])


def test_no_act_behind_it_changes_a_piece_and_another_rule_is_too_late() -> None:
    talk = Dialogue(
        "rules:\n  - {when: Data-Out, do: {split: 512}}\n  - {when: Data-Out, do: drop}",
    )
    talk.say(write(2, 10))
    assert len(talk.say(data_out(2, 0, KILO, F=1))) == 2
    assert talk.counts("#2") == {"matched": 1, "shadowed": 1}


def test_a_close_comes_behind_the_pieces() -> None:
    talk = Dialogue("rules:\n  - {when: Data-Out, do: [{split: 512}, close]}")
    talk.say(write(2, 10))
    assert len(talk.say(data_out(2, 0, KILO, F=1))) == 2
    assert talk.wire[-1] == "rst both"


# --- numbers ---


def test_what_follows_in_the_burst_moves_on() -> None:
    talk = Dialogue(rules("split: 512"))
    talk.say(write(2, 10))
    pieces = talk.say(data_out(2, 0, KILO))
    (behind,) = talk.say(data_out(2, 1, KILO, BufferOffset=1024, F=1))
    assert [one["DataSN"] for one in (*pieces, behind)] == [0, 1, 2]
    (other,) = talk.say(data_out(2, 0, KILO, ttt=9, F=1))
    assert other["DataSN"] == 0


def test_the_response_counts_the_pieces_of_its_data() -> None:
    talk = Dialogue(rules("split: 512", "Data-In nth 1"))
    talk.say(read(2, 10), read(3, 11))
    pieces = talk.say(data_in(2, 0, KILO))
    (behind,) = talk.say(data_in(2, 1, KILO, BufferOffset=1024, F=1))
    assert [one["DataSN"] for one in (*pieces, behind)] == [0, 1, 2]
    (response,) = talk.say(scsi_response(2, 101, ExpDataSN=2))
    assert (response["ExpDataSN"], response["StatSN"]) == (3, 101)
    other = data_in(3, 0, KILO, F=1, S=1, StatSN=102)
    assert talk.say(other) == [other]


def test_a_status_apart_takes_no_number_of_its_own() -> None:
    talk = Dialogue(rules("split: {into: 2, status: apart}", "Data-In nth 2"))
    talk.say(read(2, 10), read(3, 11))
    before = talk.say(data_in(2, 0, KILO))
    pdus = talk.say(data_in(2, 1, KILO, BufferOffset=1024, F=1, S=1, StatSN=101))
    assert [one["DataSN"] for one in (*before, *pdus[:-1])] == [0, 1, 2]
    assert (pdus[-1]["StatSN"], pdus[-1]["ExpDataSN"]) == (101, 3)
    other = scsi_response(3, 102)
    assert talk.say(other) == [other]
    acknowledged = nop_out(7, 12, ExpStatSN=103)
    assert talk.say(acknowledged) == [acknowledged]


def test_later_r2ts_of_the_task_move_on() -> None:
    talk = Dialogue(rules("split: {into: 3}", "R2T nth 1"))
    talk.say(write(2, 10))
    (piece,) = talk.say(r2t(2, 5))
    numbers = [piece["R2TSN"]]
    for _ in range(2):
        piece, _ = talk.say(data_out(2, 0, bytes(8), ttt=piece["TTT"], F=1))
        numbers.append(piece["R2TSN"])
    talk.say(data_out(2, 0, bytes(8), ttt=piece["TTT"], F=1))
    (second,) = talk.say(r2t(2, 5, 1, BufferOffset=1024))
    assert [*numbers, second["R2TSN"]] == [0, 1, 2, 3]
    whole = data_out(2, 0, KILO, ttt=5, F=1, BufferOffset=1024)
    assert talk.say(whole) == [whole]
    (response,) = talk.say(scsi_response(2, 101, ExpDataSN=2))
    assert response["ExpDataSN"] == 4


def test_data_of_one_tag_after_another_is_split_anew() -> None:
    talk = Dialogue("rules:\n  - {when: R2T, do: {split: 512}}\n  - {when: Data-Out, do: {split: 256}}")
    talk.say(write(2, 10))
    for number in range(2):
        (first,) = talk.say(r2t(2, 5, number, BufferOffset=1024 * number))
        second, *one = talk.say(data_out(2, 0, bytes(512), ttt=first["TTT"], F=1))
        two = talk.say(data_out(2, 0, bytes(512), ttt=second["TTT"], F=1))
        assert [pdu["DataSN"] for pdu in (*one, *two)] == [0, 1, 2, 3]
        assert (first["R2TSN"], second["R2TSN"]) == (2 * number, 2 * number + 1)


# --- R2T ---


def asked(act: str, *, keys: dict[str, str] | None = None) -> Dialogue:
    talk = Dialogue(rules(act, "R2T nth 1"), connect=False)
    talk.connect(keys=keys)
    talk.say(write(2, 10))
    return talk


def r2ts(pdus: list[Pdu]) -> list[tuple[int, int]]:
    return [(one["BufferOffset"], one["DesiredDataTransferLength"]) for one in pdus]


def test_an_r2t_in_pieces_at_once_and_its_answers_are_one_burst() -> None:
    talk = asked("split: {size: 512, in_turn: no}")
    first, last = talk.say(r2t(2, 0x77))
    assert r2ts([first, last]) == [(0, 512), (512, 512)]
    assert first["TTT"] == 0x77
    assert last["TTT"] not in (0x77, NO_TAG)
    assert extras(talk) == [False, True]
    sent = talk.say(
        data_out(2, 0, KILO[:256], ttt=0x77),
        data_out(2, 1, KILO[256:512], ttt=0x77, F=1, BufferOffset=256),
        data_out(2, 0, KILO[512:], ttt=last["TTT"], F=1, BufferOffset=512),
    )
    assert [(one["TTT"], one["DataSN"], one["F"]) for one in sent] == [(0x77, 0, 0), (0x77, 1, 0), (0x77, 2, 1)]
    assert b"".join(one.data for one in sent) == KILO
    assert talk.open_slots == []


def test_pieces_in_turn_wait_for_the_end_of_the_one_before() -> None:
    talk = asked("split: 400", keys=DIGESTS)
    (first,) = talk.say(r2t(2, 0x77))
    tags = [first["TTT"]]
    for number, length in enumerate((400, 400)):
        tag, offset = tags[-1], 400 * number
        (early,) = talk.say(data_out(2, 0, bytes(length - 100), ttt=tag, BufferOffset=offset))
        assert early["F"] == 0
        following, late = talk.say(data_out(2, 1, bytes(100), ttt=tag, BufferOffset=offset + length - 100, F=1))
        assert (late["TTT"], late["DataSN"], late["F"]) == (0x77, 2 * number + 1, 0)
        assert following.opcode == Opcode.R2T
        assert following.header_digest_ok()
        assert following["TTT"] not in tags
        tags.append(following["TTT"])
    assert r2ts([one.pdu for one in talk.sent(End.INITIATOR) if one.pdu.opcode == Opcode.R2T]) == [
        (0, 400),
        (400, 400),
        (800, 224),
    ]
    (end,) = talk.say(data_out(2, 0, bytes(224), ttt=tags[-1], BufferOffset=800, F=1))
    assert (end["TTT"], end["DataSN"], end["F"]) == (0x77, 4, 1)
    assert end.header_digest_ok()
    assert extras(talk)[:1] == [False]
    assert [one.extra for one in talk.commands if isinstance(one, Send) and one.pdu.opcode == Opcode.R2T] == [
        False,
        True,
        True,
    ]
    assert talk.open_slots == []


def test_other_pdus_pass_while_a_piece_waits() -> None:
    talk = asked("split: 512")
    talk.say(r2t(2, 0x77))
    assert talk.open_slots != []
    ping = nop_in(NO_TAG, 101, TTT=5)
    assert talk.say(ping) == [ping]
    assert sum(isinstance(one, Detach) for one in talk.commands) == 1


def test_what_waits_before_the_first_piece_goes_before_it() -> None:
    talk = Dialogue(
        "rules:\n  - {when: NOP-In, do: {delay: 1s}}\n  - {when: R2T, do: {split: 512}}",
    )
    talk.say(write(2, 10))
    ping = nop_in(NO_TAG, 101, TTT=5)
    assert talk.say(ping, r2t(2, 0x77)) == []
    held, piece = talk.tick(1)
    assert (held, piece.opcode) == (ping, Opcode.R2T)
    assert talk.say(nop_in(NO_TAG, 101, TTT=NO_TAG)) != [ping]


def test_names_of_pieces_that_come_in_turn() -> None:
    talk = asked("split: {size: 512, as: piece}")
    (first,) = talk.say(r2t(2, 0x77))
    book = talk.engine._books[0]
    assert "piece.2" not in book
    second, _ = talk.say(data_out(2, 0, bytes(512), ttt=first["TTT"], F=1))
    assert [book[f"piece.{n}"].pdu for n in (1, 2)] == [first, second]


def test_a_burst_that_ends_early_leaves_nothing_behind() -> None:
    talk = asked("split: 512")
    talk.say(r2t(2, 0x77))
    assert len(under_way(talk)) == len(talk.open_slots) == 1
    talk.say(scsi_response(2, 101, Status=2))
    assert (talk.open_slots, under_way(talk)) == ([], [])


def test_a_burst_is_over_with_its_connection() -> None:
    talk = asked("split: 512")
    talk.say(r2t(2, 0x77))
    talk.closed(End.TARGET)
    assert talk.open_slots == []
    assert isinstance(talk.commands[-1], Finish)


def test_a_burst_goes_on_when_the_rules_have_ended() -> None:
    talk = asked("split: 512")
    (first,) = talk.say(r2t(2, 0x77))
    talk.end()
    second, data = talk.say(data_out(2, 0, bytes(512), ttt=first["TTT"], F=1))
    assert data["F"] == 0
    (last,) = talk.say(data_out(2, 0, bytes(512), ttt=second["TTT"], F=1, BufferOffset=512))
    assert (last["TTT"], last["DataSN"], last["F"]) == (0x77, 1, 1)


@pytest.mark.parametrize("in_turn", ["yes", "no"])
def test_a_split_that_is_undone_leaves_nothing_behind(in_turn: str) -> None:
    talk = Dialogue(
        f"""
rules:
  - when: R2T
    do: [{{split: {{size: 512, in_turn: {in_turn}}}}}, {{close: {{conn: other}}}}]
  - when: Text-Request as other
"""
    )
    talk.say(write(2, 10))
    whole = r2t(2, 0x77)
    assert talk.say(whole) == [whole]
    assert talk.told("failed") == ["#1: close: other is not bound"]
    assert (talk.open_slots, under_way(talk)) == ([], [])
    data = data_out(2, 0, KILO, ttt=0x77, F=1)
    assert talk.say(data) == [data]


def test_the_data_of_a_piece_may_be_split_too() -> None:
    talk = Dialogue("rules:\n  - {when: R2T, do: {split: 512}}\n  - {when: Data-Out, do: {split: 256}}")
    talk.say(write(2, 10))
    (first,) = talk.say(r2t(2, 0x77))
    second, one, two = talk.say(data_out(2, 0, bytes(512), ttt=first["TTT"], F=1))
    assert parts([one, two]) == [(0, 256, 0), (256, 256, 0)]
    last = talk.say(data_out(2, 0, bytes(512), ttt=second["TTT"], F=1, BufferOffset=512))
    assert parts(last) == [(512, 256, 0), (768, 256, 1)]
    assert all(pdu["TTT"] == 0x77 for pdu in last)
    assert [pdu["DataSN"] for pdu in (one, two, *last)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("act", "keys", "why"),
    [
        ("split: {first: 0}", {}, "an R2T of 0 bytes wants nothing"),
        ("split: {into: 1025}", {}, "1024 bytes are too few for 1025 pieces"),
    ],
)
def test_an_r2t_that_cannot_be_split_so(act: str, keys: dict[str, str], why: str) -> None:
    talk = asked(act, keys=keys)
    whole = r2t(2, 0x77)
    assert talk.say(whole) == [whole]
    assert why in talk.told("failed")[0]
    assert talk.say(data_out(2, 0, KILO, ttt=0x77, F=1)) == [data_out(2, 0, KILO, ttt=0x77, F=1)]


def test_an_r2t_that_is_small_enough() -> None:
    talk = asked("split: 4096")
    whole = r2t(2, 0x77)
    assert talk.say(whole) == [whole]
    assert talk.counts() == {"matched": 1, "skipped": 1}


def test_r2ts_that_come_behind_wait_for_the_last_piece_and_nothing_else_does() -> None:
    talk = Dialogue(rules("split: 512", "R2T nth 1"), connect=False)
    talk.connect(keys={"MaxOutstandingR2T": "4"})
    talk.say(write(2, 10), write(3, 11))
    behind = [r2t(2, 0x70 + number, number, BufferOffset=1024 * number) for number in (1, 2)]
    other = r2t(3, 0x99)
    first, passed = talk.say(r2t(2, 0x70), *behind, other)
    assert (first["TTT"], passed) == (0x70, other)
    last, *released, _ = talk.say(data_out(2, 0, bytes(512), ttt=0x70, F=1))
    assert (last["BufferOffset"], last["R2TSN"]) == (512, 1)
    assert released == [one.with_fields({"R2TSN": one["R2TSN"] + 1}) for one in behind]
    assert talk.open_slots == []
    (answer,) = talk.say(data_out(2, 0, bytes(512), ttt=last["TTT"], F=1, BufferOffset=512))
    assert (answer["TTT"], answer["DataSN"], answer["F"]) == (0x70, 1, 1)


def test_each_of_several_r2ts_has_its_turn() -> None:
    talk = Dialogue(rules("split: 512", "R2T"), connect=False)
    talk.connect(keys={"MaxOutstandingR2T": "4"})
    talk.say(write(2, 10))
    asked = talk.say(*(r2t(2, 0x70 + number, number, BufferOffset=1024 * number) for number in range(3)))
    assert len(asked) == 1
    seen = []
    while asked:
        piece = asked.pop(0)
        seen.append(piece)
        data = data_out(2, 0, bytes(512), ttt=piece["TTT"], F=1, BufferOffset=piece["BufferOffset"])
        asked += [one for one in talk.say(data) if one.opcode == Opcode.R2T]
        assert len(asked) <= 2
    assert [(one["R2TSN"], one["BufferOffset"]) for one in seen] == [(n, 512 * n) for n in range(6)]
    answers = [one.pdu for one in talk.sent(End.TARGET) if one.pdu.opcode == Opcode.DATA_OUT]
    assert [(one["TTT"], one["DataSN"], one["F"]) for one in answers] == [
        (0x70 + n // 2, n % 2, n % 2) for n in range(6)
    ]
    assert (talk.open_slots, under_way(talk)) == ([], [])


def test_the_same_seed_draws_the_same_tags() -> None:
    def tags(seed: int) -> list[int]:
        talk = Dialogue(rules("split: {into: 4, in_turn: no}", "R2T"), seed=seed)
        talk.say(write(2, 10))
        return [one["TTT"] for one in talk.say(r2t(2, 0x77))]

    assert tags(1) == tags(1) != tags(2)
    assert len(set(tags(1))) == 4


# --- between the embedded peers ---


@pytest.mark.parametrize("digests", [False, True], ids=["plain", "digests"])
async def test_split_data_outs_are_the_same_data_and_the_initiator_sees_nothing_of_it(digests: bool) -> None:
    run = await carry("rules:\n  - {when: Data-Out, do: {split: 512}}", digests=digests)
    clean = await carry(digests=digests)
    assert (run.again, run.complaints, len(run.fired)) == (DATA, [], 4)
    pieces = run.seen(End.TARGET, Opcode.DATA_OUT)
    assert [one["DataSN"] for one in pieces] == [*range(32), *range(32)]
    assert [one["F"] for one in pieces] == ([0] * 31 + [1]) * 2
    assert all(one.header_digest_ok() is one.data_digest_ok() is (True if digests else None) for one in pieces)
    assert run.trace(End.INITIATOR) == clean.trace(End.INITIATOR)
    assert len(run.trace(End.TARGET)) == len(clean.trace(End.TARGET)) + 60


@pytest.mark.parametrize("digests", [False, True], ids=["plain", "digests"])
async def test_split_data_ins_are_the_same_data_and_the_target_sees_nothing_of_it(digests: bool) -> None:
    run = await carry("rules:\n  - {when: Data-In, do: {split: {size: 1000, status: apart}}}", digests=digests)
    clean = await carry(digests=digests)
    assert (run.again, run.complaints) == (DATA, [])
    pieces = run.seen(End.INITIATOR, Opcode.DATA_IN)
    assert [one["DataSN"] for one in pieces] == list(range(36))
    assert not any(one["S"] for one in pieces)
    assert all(one.header_digest_ok() is one.data_digest_ok() is (True if digests else None) for one in pieces)
    (response,) = [one for one in run.seen(End.INITIATOR, Opcode.SCSI_RESPONSE) if one["ExpDataSN"] == 36]
    assert response["Status"] == 0
    assert run.trace(End.TARGET) == clean.trace(End.TARGET)


async def test_empty_pieces_harm_nobody() -> None:
    run = await carry("rules:\n  - {when: Data-In or Data-Out, do: {split: {first: 0}}}")
    assert (run.again, run.complaints) == (DATA, [])
    assert [len(one.data) for one in run.seen(End.TARGET, Opcode.DATA_OUT)] == [0, 8192] * 4
    assert [len(one.data) for one in run.seen(End.INITIATOR, Opcode.DATA_IN)] == [0, 8192] * 4


@pytest.mark.parametrize("digests", [False, True], ids=["plain", "digests"])
@pytest.mark.parametrize(("in_turn", "r2ts"), [("yes", 1), ("yes", 8), ("no", 8)])
async def test_a_split_r2t_is_answered_by_one_burst(in_turn: str, r2ts: int, digests: bool) -> None:
    act = f"{{split: {{size: 4096, in_turn: {in_turn}, as: p}}}}"
    run = await carry(f"rules:\n  - {{when: R2T, do: {act}}}", digests=digests, r2ts=r2ts)
    clean = await carry(digests=digests, r2ts=r2ts)
    assert (run.again, run.complaints) == (DATA, [])
    asked = run.seen(End.INITIATOR, Opcode.R2T)
    assert [one["R2TSN"] for one in asked] == list(range(8))
    assert [one["BufferOffset"] for one in asked] == [4096 * number for number in range(8)]
    answers = run.seen(End.TARGET, Opcode.DATA_OUT)
    assert [one["DataSN"] for one in answers] == [0, 1, 2, 3] * 2
    assert [one["F"] for one in answers] == [0, 0, 0, 1] * 2
    assert all(one.header_digest_ok() is one.data_digest_ok() is (True if digests else None) for one in answers)
    others = [one for one in run.trace(End.TARGET) if one[1][0] & 0x3F != Opcode.DATA_OUT]
    assert others == [one for one in clean.trace(End.TARGET) if one[1][0] & 0x3F != Opcode.DATA_OUT]


async def test_pieces_of_pieces() -> None:
    run = await carry("rules:\n  - {when: R2T, do: {split: 4096}}\n  - {when: Data-Out, do: {split: 512}}")
    assert (run.again, run.complaints) == (DATA, [])
    assert [one["DataSN"] for one in run.seen(End.TARGET, Opcode.DATA_OUT)] == [*range(32), *range(32)]


async def test_more_r2ts_than_agreed_on_are_a_fault_that_an_initiator_may_refuse() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await carry("rules:\n  - {when: R2T, do: {split: {into: 2, in_turn: no}}}")
    assert caught.group_contains(ProtocolError, match="R2T while 1 are outstanding")
