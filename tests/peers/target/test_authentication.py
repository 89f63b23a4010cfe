"""The security stage step by step: what is said, and when it is over. That wrong proofs fail, the logins show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.chap import ALGORITHMS, Account, Challenge, parse_challenge, proves, response
from iscsiproxy.peers.target.authentication import CHAP_KEYS, Authentication, AuthenticationFailed
from iscsiproxy.peers.target.settings import TargetSettings

__all__: list[str] = []

ALICE = Account(name="alice", secret=b"alice has a secret")
GUARDED = TargetSettings(accounts=(ALICE,))


def begin(settings: TargetSettings = GUARDED, *, discovery: bool = False) -> Authentication:
    found = Authentication(settings, lambda count: bytes(range(count)))
    found.require(discovery=discovery)
    return found


def test_step_by_step() -> None:
    security = begin()
    assert not security.done
    assert security.take({"AuthMethod": "KRB5,CHAP,None"}) == (("AuthMethod", "CHAP"),)
    assert security.take({}) == ()
    asked = dict(security.take({"CHAP_A": "6,5"}))
    assert asked == {"CHAP_A": "6", "CHAP_I": "0", "CHAP_C": "0x" + bytes(range(32)).hex()}
    assert not security.done
    challenge = parse_challenge(6, asked["CHAP_I"], asked["CHAP_C"])
    assert security.take(dict(response(challenge, ALICE))) == ()
    assert security.done


@pytest.mark.parametrize("mutual", [None, Account(name="disk", secret=b"and so has the disk")])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_one_way_and_both(algorithm: int, mutual: Account | None) -> None:
    security = begin(TargetSettings(accounts=(ALICE,), mutual=mutual, chap_algorithms=tuple(ALGORITHMS)))
    security.take({"AuthMethod": "CHAP"})
    asked = dict(security.take({"CHAP_A": str(algorithm)}))
    proof = dict(response(parse_challenge(algorithm, asked["CHAP_I"], asked["CHAP_C"]), ALICE))
    if mutual is None:
        assert security.take(proof) == ()
    else:
        mine = Challenge(algorithm=algorithm, identifier=9, value=b"mine")
        answer = dict(security.take(proof | dict(mine.pairs)))
        assert sorted(answer) == ["CHAP_N", "CHAP_R"]
        assert proves(mine, mutual, answer["CHAP_N"], answer["CHAP_R"])
        assert not proves(mine, ALICE, answer["CHAP_N"], answer["CHAP_R"])
    assert security.done


@pytest.mark.parametrize(
    ("settings", "discovery", "offered", "method"),
    [
        (GUARDED, False, "None,CHAP", "CHAP"),
        (GUARDED, True, "None,CHAP", "None"),
        (GUARDED, True, "CHAP,None", "CHAP"),
        (TargetSettings(accounts=(ALICE,), discovery_chap=True), True, "None,CHAP", "CHAP"),
        (TargetSettings(), False, "CHAP,None", "None"),
        (TargetSettings(discovery_chap=True), True, "None", "None"),
    ],
)
def test_the_method(settings: TargetSettings, discovery: bool, offered: str, method: str) -> None:
    security = begin(settings, discovery=discovery)
    assert security.take({"AuthMethod": offered}) == (("AuthMethod", method),)
    assert security.done is (method == "None")


def test_where_no_proof_is_needed_nothing_need_be_said() -> None:
    assert begin(TargetSettings()).done
    assert begin(discovery=True).done
    assert not begin().done


@pytest.mark.parametrize("keys", [{key: "1"} for key in CHAP_KEYS] + [{"AuthMethod": "CHAP", "CHAP_A": "5"}])
def test_nothing_of_CHAP_before_its_turn(keys: dict[str, str]) -> None:
    with pytest.raises(AuthenticationFailed):
        begin().take(keys)


@pytest.mark.parametrize("key", ["CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"])
def test_the_algorithms_come_alone(key: str) -> None:
    security = begin()
    security.take({"AuthMethod": "CHAP"})
    with pytest.raises(AuthenticationFailed):
        security.take({"CHAP_A": "5", key: "1"})


@pytest.mark.parametrize("again", [{"AuthMethod": "CHAP"}, {}])
def test_nothing_comes_with_or_behind_the_proof(again: dict[str, str]) -> None:
    """Also where the conduct lets keys be said twice."""
    security = begin()
    security.take({"AuthMethod": "CHAP"})
    asked = dict(security.take({"CHAP_A": "5"}))
    proof = dict(response(parse_challenge(5, asked["CHAP_I"], asked["CHAP_C"]), ALICE))
    if not again:
        security.take(proof)
    with pytest.raises(AuthenticationFailed):
        security.take(again | proof)


WORDS = st.dictionaries(
    st.sampled_from(["AuthMethod", *CHAP_KEYS]),
    st.one_of(st.sampled_from(["CHAP", "None", "CHAP,None", "5", "7,5", "alice", "0x00", "0"]), st.text(max_size=8)),
    max_size=4,
)


@given(st.lists(WORDS, max_size=6))
def test_nobody_gets_in_by_chance(steps: list[dict[str, str]]) -> None:
    security = begin()
    for keys in steps:
        try:
            security.take(keys)
        except AuthenticationFailed:
            break
    assert not security.done
    assert "alice has" not in repr(security)
