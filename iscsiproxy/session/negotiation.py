"""One leg's negotiation: what both ends have said in Login and Text PDUs, and what holds by it (RFC 7143 6.2).

Text is judged by whole logical segments: what comes with the C bit waits for its rest. The first end to name a
negotiated key makes the offer, the other's word is the answer; a key named again changes nothing. A declared key holds
from when it is said, and the last word holds. What is not settled has its default.

Values of secret keys are not kept at all; of keys this program does not know a bounded number is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from iscsiproxy.errors import TextError
from iscsiproxy.session.params import KEYS, Key, Kind, Scope, Use, normal, settle
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.secrecy import SECRET_KEYS
from iscsiproxy.wire.text import MAX_KEY, TextJoiner, TextPair, inspect_text

__all__ = ["Negotiation"]

#: How many keys are kept that are not in `KEYS`.
_MAX_UNKNOWN = 64
#: The longest value that is kept, in characters.
_MAX_KEPT = 1024

_DEFAULTS = {
    key.name: key.default for key in KEYS.values() if key.kind is not Kind.DECLARED and key.default is not None
}
_DECLARED_DEFAULTS = {
    end: {
        key.name: key.default
        for key in KEYS.values()
        if key.kind is Kind.DECLARED and key.default is not None and end in key.senders
    }
    for end in End
}
_LOGIN_USES = frozenset({Use.LEADING, Use.LOGIN, Use.ALL})
_TEXT_USES = frozenset({Use.ALL})


class Negotiation:
    """What one connection has negotiated on one leg."""

    __slots__ = ("_answered", "_declared", "_frozen", "_frozen_declared", "_joiners", "_leading", "_offers", "_results")

    def __init__(self) -> None:
        self._joiners = {end: TextJoiner() for end in End}
        self._offers: dict[str, tuple[End, str]] = {}
        self._answered: set[str] = set()
        self._results: dict[str, str] = {}
        self._declared: dict[End, dict[str, str]] = {end: dict(_DECLARED_DEFAULTS[end]) for end in End}
        self._leading: Mapping[str, str] = {}
        self._frozen: Mapping[str, str] | None = None
        self._frozen_declared: Mapping[End, Mapping[str, str]] | None = None

    def __repr__(self) -> str:
        return f"<Negotiation {len(self._offers)} offered, {len(self._results)} settled>"

    @property
    def settled(self) -> Mapping[str, str]:
        """The negotiated keys with their values or defaults; the mapping itself never changes."""
        if self._frozen is None:
            self._frozen = MappingProxyType(_DEFAULTS | self._results | dict(self._leading))
        return self._frozen

    @property
    def declared(self) -> Mapping[End, Mapping[str, str]]:
        """What each end has declared about itself, with defaults; the mappings themselves never change."""
        if self._frozen_declared is None:
            self._frozen_declared = MappingProxyType(
                {end: MappingProxyType(dict(said)) for end, said in self._declared.items()}
            )
        return self._frozen_declared

    @property
    def header_digest(self) -> bool:
        """Tell whether PDUs shall have header digests once the login is over (RFC 7143 13.1)."""
        return self.settled["HeaderDigest"] == "CRC32C"

    @property
    def data_digest(self) -> bool:
        """Tell whether PDUs shall have data digests once the login is over (RFC 7143 13.1)."""
        return self.settled["DataDigest"] == "CRC32C"

    def number(self, name: str) -> int:
        """Give the value of a settled number; KeyError for a key without value."""
        return int(self.settled[name])

    def max_recv_data_segment_length(self, end: End) -> int:
        """Give what an end declared it can take, in bytes (RFC 7143 13.12)."""
        return int(self._declared[end]["MaxRecvDataSegmentLength"])

    def adopt(self, leading: Negotiation) -> None:
        """Take over what the leading login settled for the session (RFC 7143 13: scope SW)."""
        settled = leading.settled
        self._leading = {
            name: value for name, value in settled.items() if name in KEYS and KEYS[name].scope is Scope.SESSION
        }
        self._frozen = None

    def hear(self, by: End, data: bytes, *, more: bool, full_feature: bool = False) -> tuple[TextPair, ...]:
        """Take the data segment of a Login or Text PDU; `more` is its C bit.

        Gives the pairs of the segment that became whole with it, in order, those of secret keys with an empty value.
        In full feature phase only keys that may be sent there count (RFC 7143 6.4).
        """
        try:
            whole = self._joiners[by].add(data, more=more)
        except TextError:
            return ()
        if not whole:
            return ()
        pairs = tuple(_without_secret(pair) for pair in inspect_text(whole)[0])
        for key, value in pairs:
            self._hear(by, key, value, _TEXT_USES if full_feature else _LOGIN_USES)
        return pairs

    def _hear(self, by: End, name: str, value: str, uses: frozenset[Use]) -> None:
        key = KEYS.get(name)
        if len(value) > _MAX_KEPT or (key is not None and (key.secret or key.use not in uses)):
            return
        if key is None:
            key = self._unknown(name)
            if key is None:
                return
        if key.kind is Kind.DECLARED:
            said = normal(key, value)
            if said is not None and by in key.senders:
                self._declared[by][name] = said
                self._frozen_declared = None
            return
        offer = self._offers.get(name)
        if offer is None:
            self._offers[name] = (by, value)
            result = settle(key, value, None)
        elif offer[0] is not by and name not in self._answered:
            self._answered.add(name)
            result = settle(key, offer[1], value)
        else:
            return
        if result is None:
            self._results.pop(name, None)
        else:
            self._results[name] = result
        self._frozen = None

    def _unknown(self, name: str) -> Key | None:
        """Make up a key that `KEYS` does not have: the answer is what holds."""
        if len(name) > MAX_KEY or name in SECRET_KEYS:
            return None
        if name not in self._offers and sum(known not in KEYS for known in self._offers) >= _MAX_UNKNOWN:
            return None
        return Key(
            name=name,
            kind=Kind.LIST,
            use=Use.ALL,
            senders=frozenset(End),
            scope=Scope.CONNECTION,
            section="RFC 7143 13.22",
        )


def _without_secret(pair: TextPair) -> TextPair:
    key = KEYS.get(pair.key)
    return TextPair(pair.key, "") if pair.key in SECRET_KEYS or (key is not None and key.secret) else pair
