from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine.splitting import By, plan
from iscsiproxy.engine.work import ActError
from iscsiproxy.language.spec import Cut

__all__: list[str] = []

TEXT = b"Alpha=1\0Beta=22\0Gamma=333\0"


@pytest.mark.parametrize(
    ("rounds", "pieces"),
    [
        (2, (b"Alpha=1\0Be", b"ta=22\0Gamma=333\0")),
        (3, (b"Alpha=1\0Be", b"ta=22\0Ga", b"mma=333\0")),
        (4, (b"Alpha=1\0Be", b"ta=22\0Ga", b"mma=333\0", b"")),
    ],
)
def test_by_C_a_text_is_cut_in_the_middle_of_its_keys_but_the_first(rounds: int, pieces: tuple[bytes, ...]) -> None:
    assert plan(TEXT, by="C", rounds=rounds).pieces == pieces


@pytest.mark.parametrize("by", ["T", "F"])
def test_otherwise_all_of_it_is_in_the_first_round(by: By) -> None:
    assert plan(TEXT, by=by, rounds=3).pieces == (TEXT, b"", b"")


def test_a_text_of_one_key_is_cut_in_that_one_and_one_of_none_nowhere() -> None:
    assert plan(b"Alpha=1\0", by="C").pieces == (b"Al", b"pha=1\0")
    assert plan(b"", by="C").pieces == (b"", b"")


def test_places_are_counted_from_the_text_or_from_a_key() -> None:
    cuts = (Cut(key="Gamma", offset=6), Cut(offset=3))
    assert plan(TEXT, by="C", cuts=cuts).pieces == (b"Alp", b"ha=1\0Beta=22\0Gamma=", b"333\0")
    assert plan(TEXT, by="F", cuts=(Cut(key="Beta"),)).pieces == (b"Alpha=1\0", b"Beta=22\0Gamma=333\0")


def test_what_a_round_says_besides_stands_at_its_end() -> None:
    split = plan(TEXT, by="T", add={2: ["X-a=1", "Alpha=2"], 1: ["X-b=1"]})
    assert split.pieces == (TEXT + b"X-b=1\0", b"X-a=1\0Alpha=2\0")
    assert split.added == {"X-a", "X-b", "Alpha"}


def test_by_C_what_is_said_besides_can_be_cut_too() -> None:
    split = plan(
        b"Alpha=1\0", by="C", add={1: ["X-com.example.proxy=1"]}, cuts=(Cut(key="X-com.example.proxy", offset=6),)
    )
    assert split.pieces == (b"Alpha=1\0X-com.", b"example.proxy=1\0")


@given(
    st.binary(max_size=60),
    st.integers(2, 6),
    st.sampled_from(["C", "T", "F"]),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_nothing_is_lost_however_it_is_cut(text: bytes, rounds: int, by: By, places: list[int]) -> None:
    cuts = tuple(Cut(offset=place) for place in places if place <= len(text))
    pieces = plan(text, by=by, rounds=rounds, cuts=cuts).pieces
    assert b"".join(pieces) == text
    assert len(pieces) == max(rounds, len(cuts) + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cuts": (Cut(key="Delta", offset=1),)}, "at: the text has no Delta"),
        ({"cuts": (Cut(key="Gamma", offset=11),)}, "at: byte 27 is behind the end of the text, which has 26"),
        ({"add": {3: ["A=1"]}}, "add: there is no round 3, only 2"),
        ({"rounds": 1}, "rounds: one is not several"),
    ],
)
def test_what_cannot_be_cut_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ActError, match=f"^{message}$"):
        plan(TEXT, by="C", **options)  # type: ignore[arg-type] # what is wrong is the point
