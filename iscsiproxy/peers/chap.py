"""CHAP: how the two ends prove who they are without saying it (RFC 7143 12.1.3, RFC 1994).

The authenticator sends an identifier and a challenge, the other end answers with its name and a hash over identifier,
secret and challenge. Each function is one of those steps; whose turn it is, the logins know. Secrets and answers appear
in no error and no `repr`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from iscsiproxy.errors import TextError
from iscsiproxy.wire.values import encode_binary, parse_binary, parse_list, parse_number

__all__ = ["ALGORITHMS", "Account", "Challenge", "ChapError", "choose", "parse_challenge", "proves", "response"]

#: CHAP_A numbers (RFC 7143 12.1.3 and IANA's registry): MD5, SHA-1, SHA-256, SHA3-256
ALGORITHMS: Mapping[int, Callable[[bytes], bytes]] = {
    5: lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    6: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    7: lambda data: hashlib.sha256(data).digest(),
    8: lambda data: hashlib.sha3_256(data).digest(),
}
#: How long our challenges are, in bytes: as long as the longest hash (RFC 7143 9.2.1)
_CHALLENGE = 32
#: CHAP_C and CHAP_R have at most this many bytes (RFC 7143 12.1.3)
_MOST = 1024


class ChapError(TextError):
    """The CHAP exchange cannot go on as it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A CHAP name and its secret (RFC 7143 12.1.3)."""

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What an authenticator asks: CHAP_A, CHAP_I and CHAP_C."""

    algorithm: int
    identifier: int
    value: bytes

    @classmethod
    def fresh(cls, algorithm: int, random_bytes: Callable[[int], bytes]) -> Challenge:
        """Draw a new one; `random_bytes` gives as many bytes as it is asked for."""
        return cls(algorithm=algorithm, identifier=random_bytes(1)[0], value=random_bytes(_CHALLENGE))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """CHAP_I and CHAP_C."""
        return (("CHAP_I", str(self.identifier)), ("CHAP_C", encode_binary(self.value)))


def choose(offered: str, ours: tuple[int, ...]) -> int:
    """Take the first algorithm of a CHAP_A list that we do too. Raises ChapError if there is none."""
    for word in parse_list(offered):
        try:
            number = parse_number(word)
        except TextError:
            continue
        if number in ours and number in ALGORITHMS:
            return number
    raise ChapError("CHAP_A: no algorithm that both ends do")


def parse_challenge(algorithm: int, identifier: str, value: str) -> Challenge:
    """Read CHAP_I and CHAP_C. Raises ChapError for a number over 255, or no or more than 1024 bytes."""
    try:
        number = parse_number(identifier)
        data = parse_binary(value)
    except TextError as error:
        raise ChapError(f"CHAP_I or CHAP_C: {error}") from None
    if number > 255:
        raise ChapError("CHAP_I: expected 0..255")
    if len(data) > _MOST:
        raise ChapError(f"CHAP_C: expected at most {_MOST} bytes, got {len(data)}")
    return Challenge(algorithm=algorithm, identifier=number, value=data)


def response(challenge: Challenge, account: Account) -> tuple[tuple[str, str], ...]:
    """Answer a challenge: CHAP_N and CHAP_R."""
    return (("CHAP_N", account.name), ("CHAP_R", encode_binary(_hash(challenge, account.secret))))


def proves(challenge: Challenge, account: Account, name: str, answer: str) -> bool:
    """Tell whether CHAP_N and CHAP_R are those of the account; takes as long whether they are or not."""
    try:
        given = parse_binary(answer)
    except TextError:
        return False
    right = hmac.compare_digest(_hash(challenge, account.secret), given)
    return hmac.compare_digest(_raw(name), _raw(account.name)) and right


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _hash(challenge: Challenge, secret: bytes) -> bytes:
    return ALGORITHMS[challenge.algorithm](bytes([challenge.identifier]) + secret + challenge.value)
