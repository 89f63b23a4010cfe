"""The values of text keys: numbers, booleans, lists, ranges and binary strings (RFC 7143 6.1).

Each function reads one kind of value and raises TextError for anything else; which kind a key has is not known here.
"""

from __future__ import annotations

import binascii
import re

from iscsiproxy.errors import TextError

__all__ = ["encode_binary", "parse_binary", "parse_boolean", "parse_list", "parse_number", "parse_range"]

#: decimal-constant and hex-constant (RFC 7143 6.1)
_DECIMAL = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]+", re.ASCII)
#: The longest decimal number that can be below 2^64: longer ones are not even computed.
_DECIMAL_DIGITS = 20
#: The longest binary string that may be written as a decimal number, in bytes (RFC 7143 6.1)
_DECIMAL_BYTES = 8


def parse_number(value: str) -> int:
    """Read a numerical-value: decimal without leading zeros or hexadecimal, below 2^64."""
    if _DECIMAL.fullmatch(value) and len(value) <= _DECIMAL_DIGITS:
        number = int(value)
    elif _HEX.fullmatch(value):
        number = int(value, 16)
    else:
        raise TextError(f"expected a decimal or 0x number below 2^64, got {value!r}")
    if number >> 64:
        raise TextError(f"expected a number below 2^64, got {value}")
    return number


def parse_boolean(value: str) -> bool:
    """Read a boolean-value: Yes or No, and no other spelling."""
    if value not in ("Yes", "No"):
        raise TextError(f"expected Yes or No, got {value!r}")
    return value == "Yes"


def parse_list(value: str) -> tuple[str, ...]:
    """Cut a list-of-values at its commas; an empty value is a list of none."""
    return tuple(value.split(",")) if value else ()


def parse_range(value: str) -> tuple[int, int]:
    """Read a numeric-range: two numbers with a tilde between, the second not the lower."""
    low, tilde, high = value.partition("~")
    if not tilde:
        raise TextError(f"expected a range LOW~HIGH, got {value!r}")
    bounds = parse_number(low), parse_number(high)
    if bounds[0] > bounds[1]:
        raise TextError(f"expected a range LOW~HIGH, got {value!r}: {high} is lower than {low}")
    return bounds


def parse_binary(value: str, *, length: int | None = None) -> bytes:
    """Read a binary-value: hexadecimal, base64, or, if the key fixes `length` (bytes, at most 8), decimal.

    An odd number of hexadecimal digits begins with half a byte. The error does not show the value: it may be a secret.
    """
    if _HEX.fullmatch(value):
        digits = value[2:]
        found = bytes.fromhex("0" * (len(digits) & 1) + digits)
    elif value[:2] in ("0b", "0B") and len(value) > 2:
        try:
            found = binascii.a2b_base64(value[2:].encode("ascii"), strict_mode=True)
        except ValueError as error:
            raise TextError(f"expected base64 behind 0b: {error}") from None
    elif (
        length is not None and length <= _DECIMAL_BYTES and _DECIMAL.fullmatch(value) and len(value) <= _DECIMAL_DIGITS
    ):
        number = int(value)
        if number >> 8 * length:
            raise TextError(f"expected a binary value of {length} bytes, got a larger number")
        return number.to_bytes(length, "big")
    else:
        raise TextError(f"expected a binary value as 0x hexadecimal or 0b base64, got {len(value)} other characters")
    if length is not None and len(found) != length:
        raise TextError(f"expected a binary value of {length} bytes, got {len(found)}")
    return found


def encode_binary(data: bytes, *, base64: bool = False) -> str:
    """Write a binary-value, hexadecimal unless `base64` is asked for.

    Raises ValueError for no bytes at all, which neither form can say.
    """
    if not data:
        raise ValueError("a binary value has at least one byte")
    return "0b" + binascii.b2a_base64(data, newline=False).decode("ascii") if base64 else "0x" + data.hex()
