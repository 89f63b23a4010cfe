from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.wire.secrecy import mask_secrets, may_be_inside_pair
from iscsiproxy.wire.text import TextPair, encode_text

__all__: list[str] = []

ANSWER = "0x00112233445566778899aabbccddeeff"
LOGIN = encode_text([TextPair("CHAP_N", "user"), TextPair("CHAP_R", ANSWER), TextPair("CHAP_I", "7")])


@pytest.mark.parametrize(
    ("data", "masked"),
    [
        (b"CHAP_R=0xabcd\0", b"CHAP_R=******\0"),
        (b"CHAP_N=me\0CHAP_R=0bYQ==\0A=1\0", b"CHAP_N=me\0CHAP_R=******\0A=1\0"),
        (b"chap_r=0xabcd\0", b"chap_r=******\0"),
        (b"CHAP_R=0xab", b"CHAP_R=****"),
        (b"CHAP_R=a\0CHAP_R=b\0", b"CHAP_R=*\0CHAP_R=*\0"),
        (b"CHAP_R=\0", b"CHAP_R=\0"),
        (b"XCHAP_R=0x1\0", b"XCHAP_R=0x1\0"),
        (b"A=CHAP_R=0x1\0", b"A=CHAP_R=0x1\0"),
        (b"CHAP_C=0x1\0", b"CHAP_C=0x1\0"),
        (b"", b""),
    ],
)
def test_answers_are_masked(data: bytes, masked: bytes) -> None:
    assert mask_secrets(data) == masked


def test_the_rest_of_a_pair_is_masked() -> None:
    assert mask_secrets(b"beef\0CHAP_I=1\0CHAP_R=2\0", inside_pair=True) == b"****\0CHAP_I=1\0CHAP_R=*\0"
    assert mask_secrets(b"beef", inside_pair=True) == b"****"
    assert mask_secrets(b"\0A=1\0", inside_pair=True) == b"\0A=1\0"


@pytest.mark.parametrize(
    "data",
    [b"", b"InitiatorName=x\0", b"CHAP_N=me\0", b"CHAP_R=0x1\0", b"HeaderDigest=None\0", b"X-com.example.key=1\0",
     b"TargetPortalGroupTag=1\0", b"iSCSIProtocolLevel=1\0"],
)  # fmt: skip
def test_what_begins_with_a_key(data: bytes) -> None:
    assert not may_be_inside_pair(data)


@pytest.mark.parametrize(
    "data",
    [b"beef\0", b"beef\0InitiatorName=x\0", b"=0x1\0", b"R=0x1\0", b"HAP_R=0x1\0", b"YWJj=\0", b"YW+/=\0", b"YQ==\0",
     b"UnknownKey=1\0", b"p_q=1\0"],
)  # fmt: skip
def test_what_may_be_the_rest_of_an_answer(data: bytes) -> None:
    assert may_be_inside_pair(data)


@pytest.mark.parametrize("value", [ANSWER, "0bABEiM0RVZneImaq7zN3u/w==", "0BCHAPRnotReal="])
def test_no_piece_of_an_answer_is_shown_however_it_is_cut(value: str) -> None:
    data = encode_text([TextPair("CHAP_N", "user"), TextPair("CHAP_R", value), TextPair("CHAP_I", "7")])
    begin = data.index(value.encode())
    for cut in range(1, len(data)):
        first = mask_secrets(data[:cut], inside_pair=may_be_inside_pair(data[:cut]))
        second = mask_secrets(data[cut:], inside_pair=may_be_inside_pair(data[cut:]))
        shown = (first + second)[begin : begin + len(value)]
        assert shown == b"*" * len(value), cut


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([b"CHAP_R=", b"\0", b"=", b"R"]) | st.binary(max_size=6)).map(b"".join), st.booleans())
def test_masking_keeps_the_length_and_the_rest(data: bytes, inside_pair: bool) -> None:
    masked = mask_secrets(data, inside_pair=inside_pair)
    assert len(masked) == len(data)
    assert masked.count(b"\0") == data.count(b"\0")
    assert all(new in (old, ord("*")) for new, old in zip(masked, data, strict=True))
    assert mask_secrets(masked, inside_pair=inside_pair) == masked
