"""Text and answers in parts (the C bit), and more than a PDU may hold."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.wire.text import encode_text
from tests.peers.target.desk import NAMES, said
from tests.peers.target.logins import OFFERS, ask, begin, done, refused, say_in_parts

__all__: list[str] = []


def test_a_text_in_two_parts() -> None:
    login = begin()
    text = encode_text((NAMES | OFFERS).items())
    assert said(say_in_parts(login, [text[:20], text[20:]])) == said(ask(begin(), text))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 800), max_size=200))
def test_wherever_a_text_is_cut_it_comes_to_the_same(cuts: list[int]) -> None:
    whole, cut = begin(), begin()
    text = encode_text((NAMES | OFFERS | {"X-key": "1"}).items())
    places = sorted({0, *(place for place in cuts if place < len(text)), len(text)})
    final = say_in_parts(cut, [text[low:high] for low, high in pairwise(places)])
    assert final == ask(whole, text)
    assert done(cut) == done(whole)


def test_a_text_a_byte_at_a_time() -> None:
    login = begin()
    text = encode_text(NAMES.items())
    say_in_parts(login, [text[at : at + 1] for at in range(len(text))])
    assert done(login).declared == NAMES


def test_empty_parts_without_end() -> None:
    login = begin()
    for _ in range(64):
        ask(login, C=1, T=0)
    assert refused(login, C=1, T=0) == 0x0200


def test_8192_bytes_of_text_are_taken() -> None:
    """RFC 7143 6.1."""
    text = encode_text(NAMES.items())
    while len(text) < 8192:
        size = min(8192 - len(text), 200)
        size += 8192 - len(text) - size if 8192 - len(text) - size < 20 else 0
        key = f"X-{len(text)}="
        text += f"{key}{'v' * (size - len(key) - 1)}\0".encode()
    assert len(text) == 8192
    answers = ask(begin(), text)
    assert answers["T"] or answers["C"]


def test_more_than_a_login_PDU_may_hold() -> None:
    keys = NAMES | {f"X-{number:02}": 250 * "v" for number in range(32)}
    assert 8192 < len(encode_text(keys.items())) < 8500
    assert refused(begin(), keys) == 0x0200


def test_more_text_than_is_good() -> None:
    login = begin()
    for _ in range(8):
        ask(login, bytes(8192), C=1, T=0)
    assert refused(login, b"X", C=1, T=0) == 0x0200


def test_more_text_than_is_good_round_by_round() -> None:
    login = begin()
    ask(login, NAMES, T=0)
    text = [encode_text((f"X-{number}-{key}", 200 * "v") for key in range(30)) for number in range(11)]
    for part in text[:-1]:
        ask(login, part, T=0)
    assert refused(login, text[-1], T=0) == 0x0200
    assert "65536 bytes" in login.reason


def many(count: int) -> dict[str, str]:
    """Make many keys that will each be answered with NotUnderstood: the answer is longer than the request."""
    return {f"X-key-{number:04}": "" for number in range(count)}


def test_an_answer_longer_than_a_login_PDU() -> None:
    login = begin()
    ask(login, NAMES, T=0)
    keys = many(560)
    text = b""
    found = ask(login, keys)
    while found["C"]:
        assert (found["T"], len(found.data)) == (0, 8192)
        text += found.data
        found = ask(login)
    assert text
    assert (text + found.data) == encode_text((key, "NotUnderstood") for key in keys)
    assert found["T"] == 1
    assert done(login).declared == NAMES | keys


@pytest.mark.parametrize("continued", [0, 1])
def test_nothing_is_said_while_an_answer_is_not_over(continued: int) -> None:
    login = begin()
    ask(login, NAMES, T=0)
    assert ask(login, many(560))["C"] == 1
    assert refused(login, {"X-k": "1"}, C=continued, T=1 - continued) == 0x0200
