"""The steps of CHAP, each for itself; the hashes are made here a second time."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.chap import (
    ALGORITHMS,
    Account,
    Challenge,
    ChapError,
    choose,
    parse_challenge,
    proves,
    response,
)

__all__: list[str] = []

ACCOUNT = Account(name="alice", secret=b"open sesame!")
CHALLENGE = Challenge(algorithm=5, identifier=7, value=bytes(range(16)))
NAMES = {5: "md5", 6: "sha1", 7: "sha256", 8: "sha3_256"}


def hashed(algorithm: int, identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """Work the hash out once more (RFC 1994 4.1)."""
    return hashlib.new(NAMES[algorithm], bytes([identifier]) + secret + challenge).digest()


@pytest.mark.parametrize(
    ("algorithm", "answer"),
    [
        (5, "d0acf789bd6d9c83baa8f92ccb200c07"),
        (6, "bbc09e66c9a1765c5e5c69c951074c39baf69c59"),
        (7, "66245a44ce98b1a4e67d04bb0f52508f99a143f59447402ebe97fe9aaecb235c"),
        (8, "e8f060ed9077fca879961499c3d7deb39943ef46f69b49daa8d729eebab140ee"),
    ],
)
def test_the_hash_of_a_known_exchange(algorithm: int, answer: str) -> None:
    """Over 07, the secret and 00 to 0f (RFC 1994 4.1); worked out with md5sum, sha1sum, sha256sum and openssl."""
    challenge = replace(CHALLENGE, algorithm=algorithm)
    assert response(challenge, ACCOUNT) == (("CHAP_N", "alice"), ("CHAP_R", f"0x{answer}"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_proves_the_secret_and_no_other(algorithm: int) -> None:
    challenge = Challenge(algorithm=algorithm, identifier=255, value=b"\x01" * 32)
    answer = hashed(algorithm, 255, ACCOUNT.secret, challenge.value)
    assert proves(challenge, ACCOUNT, "alice", "0x" + answer.hex())
    assert proves(challenge, ACCOUNT, "alice", "0X" + answer.hex().upper())
    assert proves(challenge, ACCOUNT, "alice", "0b" + b64encode(answer).decode())
    assert not proves(challenge, ACCOUNT, "alice", "0x" + hashed(algorithm, 254, ACCOUNT.secret, b"\x01" * 32).hex())
    assert not proves(challenge, ACCOUNT, "alice", "0x" + hashed(algorithm, 255, b"guess", b"\x01" * 32).hex())
    assert not proves(challenge, ACCOUNT, "alice", "0x" + hashed(algorithm, 255, ACCOUNT.secret, b"\x02" * 32).hex())


@pytest.mark.parametrize("name", ["", "Alice", "alice ", "alice\udc80"])
def test_the_name_belongs_to_the_proof(name: str) -> None:
    assert not proves(CHALLENGE, ACCOUNT, name, dict(response(CHALLENGE, ACCOUNT))["CHAP_R"])


@pytest.mark.parametrize("answer", ["", "0x", "0b", "17", "0b=", "0x" + "00" * 2000, "0xzz", "Reject"])
def test_an_answer_that_is_none(answer: str) -> None:
    assert not proves(CHALLENGE, ACCOUNT, "alice", answer)


@given(st.text(max_size=80), st.text(max_size=80))
def test_nothing_that_may_be_said_raises_or_proves(name: str, answer: str) -> None:
    assert not proves(CHALLENGE, ACCOUNT, name, answer)


def test_a_fresh_challenge_is_what_was_drawn() -> None:
    drawn: list[int] = []

    def random_bytes(count: int) -> bytes:
        drawn.append(count)
        return bytes([0xA5]) * count

    found = Challenge.fresh(7, random_bytes)
    assert found == Challenge(algorithm=7, identifier=0xA5, value=b"\xa5" * 32)
    assert drawn == [1, 32]
    assert found.pairs == (("CHAP_I", "165"), ("CHAP_C", "0x" + "a5" * 32))
    assert parse_challenge(7, *dict(found.pairs).values()) == found


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("0x" + "ab" * 1024, b"\xab" * 1024),
        ("0b" + b64encode(b"\xcd" * 1024).decode(), b"\xcd" * 1024),
        ("0xf", b"\x0f"),
        ("0x0ff", b"\x00\xff"),
        ("0bAA==", b"\0"),
    ],
)
def test_a_challenge_in_every_form(value: str, data: bytes) -> None:
    """RFC 7143 6.1, 12.1.3: hexadecimal or base64, one byte to 1024."""
    assert parse_challenge(5, "0x10", value) == Challenge(algorithm=5, identifier=16, value=data)


@pytest.mark.parametrize(
    ("identifier", "value"),
    [
        ("256", "0x00"),
        ("-1", "0x00"),
        ("", "0x00"),
        ("seven", "0x00"),
        ("7", "0x" + "00" * 1025),
        ("7", "0b" + b64encode(bytes(1025)).decode()),
        ("7", ""),
        ("7", "0x"),
        ("7", "1234"),
        ("7", "0b###="),
    ],
)
def test_a_challenge_that_is_none(identifier: str, value: str) -> None:
    with pytest.raises(ChapError, match="CHAP_"):
        parse_challenge(5, identifier, value)


@pytest.mark.parametrize(
    ("offered", "ours", "taken"),
    [("5", (7, 6, 5), 5), ("7,5", (5, 7), 7), ("9,0x6,5", (5, 6), 6), ("many,5", (5,), 5), ("42,8", (42, 8), 8)],
)
def test_the_first_algorithm_of_the_offer_that_we_do_too(offered: str, ours: tuple[int, ...], taken: int) -> None:
    assert choose(offered, ours) == taken


@pytest.mark.parametrize("offered", ["", "6", "0", "MD5", "5 ", ",,", "9" * 300])
def test_no_algorithm_in_common(offered: str) -> None:
    with pytest.raises(ChapError, match="CHAP_A"):
        choose(offered, (5,))


def test_secrets_stay_out_of_sight() -> None:
    assert "sesame" not in repr(ACCOUNT)
