"""CHAP in a login, by either side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iscsiproxy.peers.chap import Account, Challenge, proves, response
from iscsiproxy.peers.target.login import Login
from tests.peers.target.desk import INITIATOR, NAMES, Desk, login_request, said, status
from tests.peers.target.logins import ALICE, BOB, GUARDED, TARGET_ACCOUNT, ask, begin, challenged, done, one, refused

__all__: list[str] = []


@pytest.mark.parametrize(("algorithms", "taken"), [("5", 5), ("7,5", 7), ("8,6,5", 6)])
def test_who_proves_himself_is_let_in(algorithms: str, taken: int) -> None:
    login = begin(GUARDED)
    challenge = challenged(login, algorithms=algorithms)
    assert challenge == Challenge(algorithm=taken, identifier=0x5A, value=b"\x5a" * 32)
    found = ask(login, response(challenge, ALICE), CSG=0, NSG=1)
    assert (found["T"], found["NSG"], found.data) == (1, 1, b"")
    ask(login)
    assert not {"CHAP_R", "CHAP_C"} & done(login).declared.keys()


def test_the_target_proves_itself_too() -> None:
    login = begin(GUARDED)
    mine = Challenge(algorithm=7, identifier=1, value=b"\x11" * 32)
    answers = said(ask(login, [*response(challenged(login), ALICE), *mine.pairs], CSG=0, NSG=3))
    assert proves(mine, TARGET_ACCOUNT, answers["CHAP_N"], answers["CHAP_R"])
    assert done(login).identity.initiator == INITIATOR


def test_the_stage_is_not_left_before_the_proof_is_there() -> None:
    login = begin(GUARDED)
    assert ask(login, NAMES | {"AuthMethod": "CHAP"}, CSG=0, NSG=1)["T"] == 0
    assert ask(login, {"CHAP_A": "5"}, CSG=0, NSG=1)["T"] == 0
    assert ask(login, CSG=0, NSG=3)["T"] == 0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (NAMES, {"CSG": 1}),
        (NAMES, {"CSG": 0, "NSG": 1}),
        (NAMES | {"AuthMethod": "None"}, {"CSG": 0}),
        (NAMES | {"AuthMethod": "KRB5,SRP"}, {"CSG": 0}),
        (NAMES | {"AuthMethod": "CHAP", "CHAP_A": "5"}, {"CSG": 0}),
        (NAMES | {"CHAP_A": "5"}, {"CSG": 0}),
        (NAMES | {"CHAP_N": "alice", "CHAP_R": "0x00"}, {"CSG": 0}),
    ],
)
def test_no_way_past_the_proof(text: dict[str, str], values: dict[str, int]) -> None:
    assert refused(begin(GUARDED), text, **values) == 0x0201


@pytest.mark.parametrize("algorithms", ["", "8", "4,9", "MD5"])
def test_no_algorithm_in_common(algorithms: str) -> None:
    login = begin(GUARDED)
    ask(login, NAMES | {"AuthMethod": "CHAP"}, CSG=0, T=0)
    assert refused(login, {"CHAP_A": algorithms}, CSG=0, T=0) == 0x0201


@pytest.mark.parametrize(
    "name", ["wrong secret", "wrong name", "nobody", "no name", "no answer", "nothing", "algorithm again"]
)
def test_a_proof_that_is_none(name: str) -> None:
    login = begin(GUARDED)
    challenge = challenged(login)
    right = dict(response(challenge, ALICE))
    wrong = {
        "wrong secret": dict(response(challenge, replace(ALICE, secret=b"guessed it wrong"))),
        "wrong name": right | {"CHAP_N": "bob"},
        "nobody": dict(response(challenge, Account(name="", secret=b""))),
        "no name": {"CHAP_R": right["CHAP_R"]},
        "no answer": {"CHAP_N": "alice"},
        "nothing": {"CHAP_I": "1", "CHAP_C": "0x11"},
        "algorithm again": right | {"CHAP_I": "1"},
    }[name]
    assert refused(login, wrong, CSG=0) == 0x0201


@pytest.mark.parametrize(
    ("identifier", "challenge"), [("256", "0x11"), ("1", "0x" + 1025 * "11"), ("1", "0x" + 32 * "5a"), ("1", "eleven")]
)
def test_a_challenge_to_the_target_that_it_does_not_take(identifier: str, challenge: str) -> None:
    """The third is the target's own, sent back (RFC 7143 9.2.1)."""
    login = begin(GUARDED)
    right = dict(response(challenged(login), ALICE))
    assert refused(login, right | {"CHAP_I": identifier, "CHAP_C": challenge}, CSG=0) == 0x0201


@pytest.mark.parametrize("mutual", [None, replace(TARGET_ACCOUNT, secret=ALICE.secret)])
def test_a_target_that_cannot_or_must_not_prove_itself(mutual: Account | None) -> None:
    """One secret for both directions would let an initiator have its own challenge answered (RFC 7143 9.2.1)."""
    login = begin(replace(GUARDED, mutual=mutual))
    right = dict(response(challenged(login), ALICE))
    assert refused(login, right | {"CHAP_I": "1", "CHAP_C": "0x11"}, CSG=0) == 0x0201


def test_a_proof_is_good_for_one_login() -> None:
    """RFC 7143 9.2.1: a recorded answer meets another challenge."""
    drawn = iter(range(1, 100))
    desk = Desk(GUARDED)
    logins = [Login(desk, random_bytes=lambda count: bytes([next(drawn)]) * count) for _ in range(2)]
    recorded = response(challenged(logins[0]), ALICE)
    ask(logins[0], recorded, CSG=0)
    challenged(logins[1])
    assert refused(logins[1], recorded, CSG=0) == 0x0201


@pytest.mark.parametrize(("guarded", "expected"), [(False, 0), (True, 0x0201)])
def test_whether_discovery_needs_a_proof(guarded: bool, expected: int) -> None:
    login = begin(replace(GUARDED, discovery_chap=guarded))
    request = login_request({"InitiatorName": INITIATOR, "SessionType": "Discovery"})
    assert status(one(login.receive(request))) == expected


def test_a_proof_that_nobody_needs_is_taken_all_the_same() -> None:
    login = begin(GUARDED)
    names = {"InitiatorName": INITIATOR, "SessionType": "Discovery"}
    ask(login, response(challenged(login, names), BOB), CSG=0)
    assert done(login).identity.discovery


def test_a_target_without_accounts_does_no_CHAP() -> None:
    assert refused(begin(), NAMES | {"AuthMethod": "CHAP"}, CSG=0) == 0x0201


def test_no_secret_is_kept_or_told() -> None:
    login = begin(GUARDED)
    refused(login, NAMES | {"AuthMethod": "None"}, CSG=0)
    assert not any(word in repr(login) + login.reason for word in ("secret", "another"))
