from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.errors import TextError
from iscsiproxy.wire.values import (
    encode_binary,
    parse_binary,
    parse_boolean,
    parse_list,
    parse_number,
    parse_range,
)

__all__: list[str] = []

TOP = (1 << 64) - 1


@pytest.mark.parametrize(
    ("value", "number"),
    [("0", 0), ("8192", 8192), ("0x0", 0), ("0X2aF", 0x2AF), ("0x0010", 16), (str(TOP), TOP), (hex(TOP), TOP)],
)
def test_numbers(value: str, number: int) -> None:
    assert parse_number(value) == number


@pytest.mark.parametrize(
    "value",
    [
        *("", "010", "-1", "+1", " 1", "1 ", "1_0", "0x", "0x1_0", "0b1", "ten", "1.0", "\u0661", "9" * 9999),
        *(str(TOP + 1), hex(TOP + 1)),
    ],
)
def test_what_is_no_number(value: str) -> None:
    with pytest.raises(TextError, match=r"2\^64"):
        parse_number(value)


def test_booleans() -> None:
    assert parse_boolean("Yes") is True
    assert parse_boolean("No") is False
    for value in ("yes", "NO", "", "1", "true"):
        with pytest.raises(TextError, match="expected Yes or No"):
            parse_boolean(value)


def test_lists() -> None:
    assert parse_list("CRC32C,None") == ("CRC32C", "None")
    assert parse_list("None") == ("None",)
    assert parse_list("") == ()
    assert parse_list("a,,b") == ("a", "", "b")


def test_ranges() -> None:
    assert parse_range("1~65535") == (1, 65535)
    assert parse_range("0x10~16") == (16, 16)
    for value in ("1", "1~", "~1", "2~1", "1~2~3", "a~b", "1-2"):
        with pytest.raises(TextError):
            parse_range(value)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("0x00ff", b"\x00\xff"),
        ("0XabCD", b"\xab\xcd"),
        ("0xfff", b"\x0f\xff"),
        ("0bAP8=", b"\x00\xff"),
        ("0Babcd", b"\x69\xb7\x1d"),
    ],
)
def test_binary_values(value: str, data: bytes) -> None:
    assert parse_binary(value) == parse_binary(value, length=len(data)) == data


def test_a_decimal_binary_value_needs_its_length() -> None:
    assert parse_binary("258", length=2) == b"\1\2"
    assert parse_binary("0", length=1) == b"\0"
    with pytest.raises(TextError, match="larger number"):
        parse_binary("256", length=1)
    for length in (None, 9):
        with pytest.raises(TextError, match="0x hexadecimal or 0b base64"):
            parse_binary("258", length=length)


@pytest.mark.parametrize(
    "value", ["", "0x", "0b", "0xfg", "0x12 34", "0b===", "0bA", "0bAP8", "0bA\u00fc==", "secret", "0b!!!!"]
)
def test_what_is_no_binary_value_is_not_repeated(value: str) -> None:
    with pytest.raises(TextError) as caught:
        parse_binary(value)
    assert len(value) < 3 or value not in str(caught.value)


def test_a_binary_value_of_another_length() -> None:
    with pytest.raises(TextError, match="of 3 bytes, got 2"):
        parse_binary("0x1234", length=3)


def test_no_bytes_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        encode_binary(b"")


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(min_size=1, max_size=100), st.booleans())
def test_binary_values_survive(data: bytes, base64: bool) -> None:
    assert parse_binary(encode_binary(data, base64=base64)) == data


READERS: list[Callable[[str], object]] = [parse_number, parse_boolean, parse_range, parse_binary]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(["", "0x", "0b", "1~", "-"]), st.text(max_size=12))
def test_any_text_gives_a_value_or_a_typed_error(prefix: str, value: str) -> None:
    assert ",".join(parse_list(value)) == value
    for read in READERS:
        with suppress(TextError):
            read(prefix + value)
