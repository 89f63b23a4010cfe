from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, data_out, write

DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
PARTS = ("header", "ahs", "header-digest", "data", "pad", "data-digest")


def corrupted(act: str, pdu: Pdu, *, seed: int = 1, keys: dict[str, str] | None = None) -> tuple[Pdu, Pdu, Dialogue]:
    """Give what was sent, and what came out of it."""
    talk = Dialogue(f"rules:\n  - when: {pdu.label}\n    do:\n      - corrupt: {act}", seed=seed, connect=False)
    keys = DIGESTS if keys is None else keys
    talk.connect(keys=keys)
    (out,) = talk.say(pdu)
    return pdu.sealed(header=bool(keys), data=bool(keys)), out, talk


def flipped(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def changed_parts(one: Pdu, other: Pdu) -> list[str]:
    return [name for name, a, b in zip(PARTS, one.parts, other.parts, strict=True) if a != b]


@pytest.mark.parametrize(
    ("part", "also"),
    [
        ("header", ["header-digest"]),
        ("ahs", ["header-digest"]),
        ("data", ["data-digest"]),
        ("pad", ["data-digest"]),
        ("header-digest", []),
        ("data-digest", []),
    ],
)
def test_one_bit_of_the_part_is_flipped_and_the_digest_is_made_right(part: str, also: list[str]) -> None:
    pdu = write(2, 10, b"abcde").with_ahs(bytes(8))
    before, after, _ = corrupted(part, pdu)
    assert sorted(changed_parts(before, after)) == sorted([part, *also])
    index = PARTS.index(part)
    assert flipped(before.parts[index], after.parts[index]) == 1
    assert after.header_digest_ok() is (part != "header-digest")
    assert after.data_digest_ok() is (part != "data-digest")


def test_keep_leaves_the_old_digest_over_the_new_bytes() -> None:
    before, after, _ = corrupted("{what: data, bits: 5, digest: keep}", data_out(2, 0, b"abcdefgh"))
    assert changed_parts(before, after) == ["data"]
    assert flipped(before.data, after.data) == 5
    assert after.data_digest_ok() is False


def test_at_says_which_byte() -> None:
    before, after, _ = corrupted("{what: data, at: 3, bits: 8}", data_out(2, 0, b"abcdefgh"))
    assert after.data == b"abc" + bytes([ord("d") ^ 0xFF]) + b"efgh"
    assert before.data == b"abcdefgh"


def test_the_seed_decides() -> None:
    pdu = data_out(2, 0, bytes(512))
    outs = [corrupted("data", pdu, seed=seed)[1].data for seed in (1, 1, 2)]
    assert outs[0] == outs[1]
    assert outs[0] != outs[2]


def test_without_digests_only_the_data_changes() -> None:
    before, after, _ = corrupted("data", data_out(2, 0, b"abcdefgh"), keys={})
    assert changed_parts(before, after) == ["data"]


@pytest.mark.parametrize(
    "act", ["header-digest", "data-digest", "ahs", "{what: data, bits: 65}", "{what: data, at: 8}"]
)
def test_what_is_not_there_cannot_be_corrupted(act: str) -> None:
    before, after, talk = corrupted(act, data_out(2, 0, b"abcdefgh"), keys={})
    assert after == before
    assert talk.counts() == {"matched": 1, "failed": 1}


def test_a_wrong_digest_of_the_peer_stays_wrong_by_the_same_bits() -> None:
    talk = Dialogue("rules:\n  - when: Data-Out\n    do: {corrupt: data}", connect=False)
    talk.connect(keys=DIGESTS)
    right = data_out(2, 0, b"abcdefgh").sealed(header=True, data=True)
    wrong = right.with_parts(data_digest=bytes(a ^ b for a, b in zip(right.data_digest, b"\x01\0\0\x80", strict=True)))
    (after,) = talk.say(wrong, raw=True)
    made = digest((after.data, after.pad))
    assert bytes(a ^ b for a, b in zip(made, after.data_digest, strict=True)) == b"\x01\0\0\x80"


def test_a_leg_that_alone_has_digests_gets_the_wrong_one() -> None:
    talk = Dialogue("rules:\n  - when: Data-Out\n    do: {corrupt: data-digest}")
    talk.digests[1, data_out(2, 0).sender.other] = (False, True)
    (after,) = talk.say(data_out(2, 0, b"abcd"))
    assert flipped(after.data_digest, digest((b"abcd",))) == 1


@pytest.mark.parametrize("data", [b"abcde", b"abcdef", b"abcdefg"])
def test_unpadded_is_the_digest_of_the_data_alone(data: bytes) -> None:
    before, after, talk = corrupted("{what: data-digest, digest: unpadded}", data_out(2, 0, data))
    assert changed_parts(before, after) == ["data-digest"]
    assert after.data_digest == digest((data,))
    assert talk.told("fired") == ["#1: the data-digest is that of the data without its padding"]
    (change,) = talk.reports[-1].changes
    assert (change.what, change.old, change.new) == ("data-digest", before.data_digest.hex(), after.data_digest.hex())


@pytest.mark.parametrize("part", ["header-digest", "data-digest"])
@pytest.mark.parametrize("number", [10, 11], ids=["as it came", "renumbered"])
def test_a_digest_is_added_that_nobody_has_agreed_on(part: str, number: int) -> None:
    text = (
        "rules:\n  - when: SCSI-Command where CmdSN == 10\n    do: {inject: {pdu: NOP-Out, I: 0}}\n"
        f"  - when: SCSI-Command where CmdSN == {number}\n    do: {{corrupt: {{what: {part}, digest: added}}}}\n"
    )
    talk = Dialogue(text)
    out = [pdu for pdu in talk.say(write(1, 10, b"abcde"), write(2, 11, b"abcde")) if pdu.label == "SCSI-Command"]
    before = write(number - 9, number, b"abcde", CmdSN=number + 1)
    assert out[number - 10] == before.sealed(header=part == "header-digest", data=part == "data-digest")
    assert out[11 - number].header_digest == out[11 - number].data_digest == b""
    assert len(talk.sent(End.TARGET)[-1].data) == len(talk.sent(End.TARGET)[-1].pdu)


def test_an_added_digest_may_be_flipped_cut_and_copied() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 1\n    do:\n      - corrupt: {what: data-digest, digest: added}\n"
        "      - corrupt: data-digest\n      - duplicate\n"
        "  - when: SCSI-Command nth 2\n    do:\n      - corrupt: {what: header-digest, digest: added}\n"
        "      - close: {at: header-digest+2}\n"
    )
    talk = Dialogue(text)
    first, copy = talk.say(write(1, 10, b"abcde"))
    assert first == copy
    assert first.data_digest_ok() is False
    talk.say(write(2, 11, b"abcde"))
    assert talk.sent(End.TARGET)[-1].data == write(2, 11, b"abcde").sealed(header=True, data=False).raw[:50]


@pytest.mark.parametrize(
    ("act", "keys", "pdu", "why"),
    [
        ("data-digest, digest: unpadded", DIGESTS, data_out(2, 0, b"abcd"), "this PDU has no padding"),
        ("data-digest, digest: unpadded", DIGESTS, data_out(2, 0, b""), "this PDU has no data-digest"),
        ("data-digest, digest: unpadded", {}, data_out(2, 0, b"abc"), "this PDU has no data-digest"),
        ("data-digest, digest: unpadded, at: 0", DIGESTS, data_out(2, 0, b"abc"), "digest: unpadded flips no bits"),
        ("data-digest, digest: added", DIGESTS, data_out(2, 0, b"abc"), "this PDU has a data-digest"),
        ("header-digest, digest: added", DIGESTS, data_out(2, 0, b"abc"), "this PDU has a header-digest"),
        ("data-digest, digest: added", {}, data_out(2, 0, b""), "this PDU has no data"),
    ],
)
def test_a_digest_that_cannot_be_so_stays_as_it_is(act: str, keys: dict[str, str], pdu: Pdu, why: str) -> None:
    before, after, talk = corrupted(f"{{what: {act}}}", pdu, keys=keys)
    assert after == before
    (told,) = talk.told("failed")
    assert told.startswith(f"#1: corrupt: {why}")


def test_what_fails_behind_an_added_digest_takes_it_back() -> None:
    acts = "[{corrupt: {what: header-digest, digest: added}}, {corrupt: {what: data, at: 9}}]"
    talk = Dialogue(f"rules:\n  - when: Data-Out\n    do: {acts}")
    pdu = data_out(2, 0, b"abcd")
    assert talk.say(pdu) == [pdu]


@pytest.mark.parametrize("what", ["data", "header-digest"])
def test_only_a_data_digest_may_be_unpadded(what: str) -> None:
    text = f"rules:\n  - when: Data-Out\n    do: {{corrupt: {{what: {what}, digest: unpadded}}}}"
    with pytest.raises(FileError) as caught:
        Dialogue(text)
    assert caught.value.message == "`digest: unpadded` goes with `data-digest` only"
    assert caught.value.hint == f"`what` is {what}"
