"""The standards that a peer may be held to, and where each of them says a thing (RFC 3720, 5048, 7143, 7144).

A *profile* is one of them with all that came before it: `rfc7143` took up RFC 3720 and RFC 5048, `rfc7144` adds
iSCSIProtocolLevel 2. Rules cite RFC 7143; `cited` gives the place where an older profile says the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = ["ALL", "DEFAULT", "SINCE_5048", "SINCE_7143", "SINCE_7144", "Profile", "cited"]


class Profile(Enum):
    """A standard, as users name it."""

    RFC3720 = "rfc3720"
    RFC5048 = "rfc5048"
    RFC7143 = "rfc7143"
    RFC7144 = "rfc7144"

    def __str__(self) -> str:
        return self.value


ALL = frozenset(Profile)
#: Profiles in which what RFC 5048 clarified holds, and so on
SINCE_5048 = ALL - {Profile.RFC3720}
SINCE_7143 = SINCE_5048 - {Profile.RFC5048}
SINCE_7144 = frozenset({Profile.RFC7144})
#: RFC 7144 asks nothing of who does not negotiate it.
DEFAULT = Profile.RFC7144

#: Sections of RFC 7143 and what they were in RFC 3720: the longest prefix counts. Sections 13 and 12 kept their minors.
_OLD: Mapping[str, str] = MappingProxyType(
    {
        "4.2.2": "3.2.2",
        "4.2.3.3": "10.6.2",
        "4.2.3.4": "10.6.2",
        "4.2.3": "3.2.2",
        "4.2.4": "3.2.3",
        "4.2.5": "3.2.4",
        "4.2.6": "3.2.5",
        "4.2.7": "3.2.6",
        "4.3": "3.3",
        "4.4": "3.4",
        "4.6": "3.5",
        "6": "5",
        "7.1": "6.1",
        "7.2": "6.2",
        "7.3": "6.3",
        "7.5": "6.4",
        "7.6": "6.5",
        "7.7": "6.6",
        "7.8": "6.7",
        "7.9": "6.8",
        "7.11": "6.9",
        "7.12": "6.10",
        "7.13": "6.11",
        "7.14": "6.12",
        "7.15": "6.13",
        "8": "7",
        "9": "8",
        "10": "9",
        "11": "10",
        "12": "11",
        "13": "12",
        "appendix A": "appendix B",
        "appendix B": "appendix C",
        "appendix C": "appendix D",
        "appendix D": "appendix E",
        "appendix E": "appendix F",
    }
)
#: RFC 5048 took RFC 3720 for the rest: only what it says itself is found there.
_OLDER = frozenset({Profile.RFC3720, Profile.RFC5048})
_CITATION = re.compile(r"RFC 7143 (appendix [A-F]|[0-9.]+[0-9])")


def cited(clause: str, profile: Profile) -> str:
    """Say where `profile` has a clause that is cited of RFC 7143; what it does not have stays as it is.

    `clause` may name several sections, each behind its own RFC.
    """
    return _CITATION.sub(_in_3720, clause) if profile in _OLDER else clause


def _in_3720(match: re.Match[str]) -> str:
    section = match[1]
    parts = section.split(".")
    for length in range(len(parts), 0, -1):
        old = _OLD.get(".".join(parts[:length]))
        if old is not None:
            return ".".join(("RFC 3720 " + old, *parts[length:]))
    return match[0]
