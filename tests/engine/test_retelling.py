from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine.retelling import Exchange, admissible, same
from iscsiproxy.session.params import KEYS, Kind, settle
from iscsiproxy.wire.opcodes import End
from tests.session.dialogue import NAMES, login_request, login_response

__all__: list[str] = []

COMPUTED = sorted(name for name, key in KEYS.items() if key.kind in (Kind.MIN, Kind.MAX, Kind.AND, Kind.OR))


@given(st.sampled_from(COMPUTED), st.data())
def test_an_admissible_answer_is_what_comes_of_its_offer(name: str, data: st.DataObject) -> None:
    key = KEYS[name]
    numbers = key.kind in (Kind.MIN, Kind.MAX)
    values = st.integers(0, 1 << 24).map(str) if numbers else st.sampled_from(["Yes", "No"])
    offer, answer = data.draw(values), data.draw(values)
    given_ = admissible(key, offer, answer)
    assert given_ in (offer, answer)
    assert settle(key, offer, given_) == given_


@pytest.mark.parametrize(
    ("offer", "answer", "heard"),
    [
        ("None,CRC32C", "CRC32C", "CRC32C"),
        ("CRC32C,None", "Y-other", "None"),
        ("CRC32C", "None", "CRC32C"),
        ("CRC32C", "Reject", "Reject"),
    ],
)
def test_of_a_list_only_what_is_in_it_can_be_chosen(offer: str, answer: str, heard: str) -> None:
    assert admissible(KEYS["HeaderDigest"], offer, answer) == heard


def test_of_a_key_that_nobody_knows_any_answer_may_be_right() -> None:
    assert admissible(None, "1", "2") == "2"


def test_a_value_is_the_same_however_it_is_written() -> None:
    assert same(KEYS["MaxBurstLength"], "0x200", "512")
    assert not same(KEYS["MaxBurstLength"], "512", "1024")
    assert not same(KEYS["MaxBurstLength"], "512", None)
    assert not same(None, "0x200", "512")


def test_keys_are_heard_when_their_text_is_whole() -> None:
    login = Exchange(joining=False)
    request = login_request({**NAMES, "MaxBurstLength": "512", "HeaderDigest": "NotUnderstood"})
    login.hear(End.INITIATOR, request.with_data(request.data[:-30]).with_fields({"C": 1}))
    assert not login.offered
    login.hear(End.INITIATOR, request.with_data(request.data[-30:]))
    assert login.offered == {**NAMES, "MaxBurstLength": "512"}  # the other one is an answer
    login.hear(End.TARGET, login_response({"MaxBurstLength": "1024"}))
    assert login.answered == {"MaxBurstLength": "1024"}


@pytest.mark.parametrize(
    ("name", "joining", "session", "concerns"),
    [
        ("MaxBurstLength", False, "Normal", True),
        ("MaxBurstLength", False, "Discovery", False),
        ("MaxBurstLength", True, "Normal", False),
        ("HeaderDigest", True, "Normal", True),
        ("HeaderDigest", False, "Discovery", True),
        ("X-com.example.a", True, "Normal", True),
    ],
)
def test_a_key_concerns_a_login_or_it_does_not(name: str, joining: bool, session: str, concerns: bool) -> None:
    login = Exchange(joining=joining)
    login.hear(End.INITIATOR, login_request({**NAMES, "SessionType": session}))
    assert login.concerns(name) is concerns
