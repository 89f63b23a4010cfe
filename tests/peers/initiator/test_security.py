from __future__ import annotations

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.peers.chap import Account, Challenge, parse_challenge, proves, response
from iscsiproxy.peers.initiator.errors import ConnectionLost, ProtocolError
from iscsiproxy.peers.initiator.security import ChapInitiator

ME = Account(name="me", secret=b"my-own-secret")
YOU = Account(name="you", secret=b"your-own-secret")
CHALLENGE = Challenge(algorithm=7, identifier=3, value=b"0123456789abcdef")
ASKED = (("CHAP_A", "7"), *CHALLENGE.pairs)


def begin(mutual: Account | None = None) -> ChapInitiator:
    chap = ChapInitiator(ME, mutual, algorithms=(7, 5))
    assert chap.begin() == [("CHAP_A", "7,5")]
    return chap


def test_one_way() -> None:
    chap = begin()
    said = dict(chap.receive(ASKED))
    assert proves(CHALLENGE, ME, said["CHAP_N"], said["CHAP_R"])
    assert chap.done
    assert set(said) == {"CHAP_N", "CHAP_R"}


def test_both_ways() -> None:
    chap = begin(YOU)
    said = dict(chap.receive(ASKED))
    assert not chap.done
    ours = parse_challenge(7, said["CHAP_I"], said["CHAP_C"])
    assert chap.receive(response(ours, YOU)) == []
    assert chap.done


@pytest.mark.parametrize("other", [Account(name="you", secret=b"guess"), Account(name="he", secret=YOU.secret)])
def test_somebody_else_is_not_believed(other: Account) -> None:
    chap = begin(YOU)
    said = dict(chap.receive(ASKED))
    with pytest.raises(ConnectionLost, match="prove"):
        chap.receive(response(parse_challenge(7, said["CHAP_I"], said["CHAP_C"]), other))
    assert not chap.done


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ASKED[:2],
        (("CHAP_A", "6"), *CHALLENGE.pairs),
        (("CHAP_A", "7,5"), *CHALLENGE.pairs),
        (("CHAP_A", "7"), ("CHAP_I", "256"), ("CHAP_C", "0x00")),
        (("CHAP_A", "7"), ("CHAP_I", "1"), ("CHAP_C", "zero")),
    ],
)
def test_a_challenge_that_cannot_be_ends_the_login(wrong: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ProtocolError, match=r"12\.1\.3"):
        begin().receive(wrong)


def test_a_proof_left_out_ends_the_login() -> None:
    chap = begin(YOU)
    chap.receive(ASKED)
    with pytest.raises(ProtocolError, match="CHAP_N"):
        chap.receive([("CHAP_R", "0x00")])


def test_one_secret_is_not_for_both_directions() -> None:
    with pytest.raises(UsageError, match="me and you have the same secret"):
        begin(Account(name="you", secret=ME.secret))


def test_nothing_shows_a_secret() -> None:
    assert "secret" not in repr(begin(YOU))
