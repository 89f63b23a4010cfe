"""The operational keys of a login as the initiator negotiates them: offers out, answers judged, parameters at the end.

The target may offer keys of its own, which are answered (RFC 7143 6.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.keys import (
    IRRELEVANT,
    KEYS,
    NOT_UNDERSTOOD,
    REJECT,
    Kind,
    NegotiationError,
    declared_number,
    judge,
    respond,
    settle,
)
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.wire.text import TextPair

__all__ = ["Negotiation", "operational_offers"]

_SEGMENT = KEYS["MaxRecvDataSegmentLength"]
_REFUSALS = (REJECT, IRRELEVANT, NOT_UNDERSTOOD)
#: What we take of a list that the target offers and we did not.
_LISTS = {
    "HeaderDigest": "None,CRC32C",
    "DataDigest": "None,CRC32C",
    "TaskReporting": "RFC3720,ResponseFence,FastAbort",
    "AuthMethod": "None",
}


def _said(yes: bool) -> str:
    return "Yes" if yes else "No"


def operational_offers(settings: InitiatorSettings) -> dict[str, str]:
    """Give what an initiator with these settings offers, in order; an empty value is not to be offered."""
    offers = {
        "HeaderDigest": ",".join(settings.header_digests),
        "DataDigest": ",".join(settings.data_digests),
        _SEGMENT.name: str(settings.max_recv_data_segment_length),
        "ErrorRecoveryLevel": "0",
        "DefaultTime2Wait": str(settings.time2wait),
        "DefaultTime2Retain": str(settings.time2retain),
        "MaxConnections": "1",
        "InitialR2T": _said(settings.initial_r2t),
        "ImmediateData": _said(settings.immediate_data),
        "MaxBurstLength": str(settings.max_burst_length),
        "FirstBurstLength": str(settings.first_burst_length),
        "MaxOutstandingR2T": str(settings.max_outstanding_r2t),
        "DataPDUInOrder": "Yes",
        "DataSequenceInOrder": "Yes",
        "TaskReporting": ",".join(settings.task_reporting),
        # Level 1 is what everybody has without a word (RFC 7143 13.24).
        "iSCSIProtocolLevel": str(settings.protocol_level) if settings.protocol_level > 1 else "",
    }
    if settings.discovery:
        offers = {key: value for key, value in offers.items() if KEYS[key].discovery}
    return offers


class Negotiation:
    """One login's operational keys, as offered; `declared` is what the target said of itself."""

    def __init__(self, offers: Mapping[str, str], conduct: Conduct) -> None:
        self.declared: dict[str, str] = {}
        self._offers = dict(offers)
        self._negotiated = frozenset(key for key in offers if key in KEYS and KEYS[key].negotiated)
        self._open = set(self._negotiated)
        self._agreed: dict[str, str] = {}
        self._answers: list[TextPair] = []
        self._conduct = conduct

    def __repr__(self) -> str:
        return f"<Negotiation {len(self._agreed)} agreed, {sorted(self._open)} open>"

    def take(self, pairs: Iterable[TextPair]) -> None:
        """Take what the target said; raises as the conduct judges."""
        for key, value in pairs:
            if key in self._negotiated:
                self._open.discard(key)
                self._judge(key, value)
            elif value in _REFUSALS:
                if key not in self._offers:
                    self._conduct.inadmissible_value(f"{key}={value} without an offer")
            elif key in KEYS and not KEYS[key].negotiated:
                self._declare(key, value)
            else:
                self._answer(key, value)

    def answers(self) -> Sequence[TextPair]:
        """Give what is to be answered to the target's own offers, once."""
        answers, self._answers = self._answers, []
        return answers

    def unanswered(self) -> list[str]:
        """List the offers that the target left open though the result depends on it (RFC 7143 6.2)."""
        return sorted(key for key in self._open if not _decided(key, self._offers[key]))

    def parameters(self) -> Parameters:
        """Give what is agreed on, when all is said (RFC 7143 13). Raises TextError if the values let pass are none."""
        return settle(
            self._agreed,
            theirs=_length(self.declared.get(_SEGMENT.name)),
            ours=_length(self._offers.get(_SEGMENT.name)),
        )

    def _judge(self, key: str, value: str) -> None:
        """Take the answer to an offer (RFC 7143 6.2.1, 6.2.2); one that is refused keeps the default."""
        offered = self._offers[key]
        try:
            agreed = judge(KEYS[key], offered, value)
        except NegotiationError as error:
            self._conduct.inadmissible_value(str(error))
            agreed = value
        if agreed is not None:
            self._agreed[key] = agreed
        elif KEYS[key].default == "None" and "None" not in offered.split(","):
            self._conduct.inadmissible_value(f"{key}={value}, offered {offered}")

    def _declare(self, key: str, value: str) -> None:
        if key == _SEGMENT.name and _length(value) is None:
            self._conduct.inadmissible_value(f"{key}={value}")
        self.declared[key] = value

    def _answer(self, key: str, value: str) -> None:
        """Answer an offer of the target: whatever it wants, if the key may have that value (RFC 7143 6.2)."""
        known = KEYS.get(key)
        if known is None:
            self._answers.append(TextPair(key, NOT_UNDERSTOOD))
            return
        ours = _LISTS.get(key, value)
        if known.kind in (Kind.AND, Kind.OR):
            ours = _said(known.kind is Kind.AND)
        answer = respond(known, value, ours)
        if answer.agreed is not None:
            self._agreed[key] = answer.agreed
        if answer.text is not None:
            self._answers.append(TextPair(key, answer.text))


def _decided(key: str, offered: str) -> bool:
    """Tell whether an offer decides the result alone, or has none, so that it needs no answer (RFC 7143 6.2.2)."""
    kind = KEYS[key].kind
    return kind is Kind.OBSOLETE or (kind is Kind.AND and offered == "No") or (kind is Kind.OR and offered == "Yes")


def _length(value: str | None) -> int | None:
    """Read a MaxRecvDataSegmentLength; None if there is none that can be."""
    try:
        return None if value is None else declared_number(_SEGMENT, value)
    except NegotiationError:
        return None
