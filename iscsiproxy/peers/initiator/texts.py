"""A Text negotiation as the initiator holds it (RFC 7143 6.4, 11.10): requests out, responses in, no I/O."""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.errors import TextError
from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import TextJoiner, TextPair, encode_text, parse_text
from iscsiproxy.wire.values import parse_number

__all__ = ["TextDialogue"]

#: How much text one answer may have, in bytes: a SendTargets answer can be long.
_MAX_ANSWER = 1 << 20
#: How many requests one negotiation may take: a target that never ends it is given up.
_MAX_ROUNDS = 1024
#: MaxRecvDataSegmentLength, lowest and highest value (RFC 7143 13.12)
_SEGMENTS = range(512, 1 << 24)


class TextDialogue:
    """One negotiation, from the first request to the response with F.

    `limit` is how long a data segment the target takes. `pairs` is what it has said so far.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], *, itt: int, limit: int, immediate: bool = False) -> None:
        offered = tuple(pairs)
        self.pairs: tuple[TextPair, ...] = ()
        self._itt = itt
        self._immediate = immediate
        data = encode_text(offered)
        self._parts = [data[at : at + limit] for at in range(0, len(data), limit)] or [b""]
        self._joiner = TextJoiner(limit=_MAX_ANSWER)
        self._rounds = 0
        self._more = False
        self._offered = dict(offered)

    def __repr__(self) -> str:
        return f"<TextDialogue {self._itt:#010x} round {self._rounds}, {len(self._parts)} parts to send>"

    def next_request(self, answer: Pdu | None) -> Pdu | None:
        """Take the answer to the last request, None before the first, and give the next one, or None at the end.

        CmdSN and ExpStatSN are the session's to fill in. Raises ProtocolError for an answer that cannot be.
        """
        tag, lun = NO_TAG, 0
        if answer is not None:
            if self._take(answer):
                return None
            # RFC 7143 11.10.3, 11.10.4: both are copied
            tag, lun = answer["TTT"], answer["LUN"]
        self._rounds += 1
        if self._rounds > _MAX_ROUNDS:
            raise ProtocolError(f"a Text negotiation of {_MAX_ROUNDS} rounds", section="RFC 7143 6.4")
        part = self._parts.pop(0) if self._parts else b""
        self._more = bool(self._parts)
        return Pdu.build(
            Opcode.TEXT_REQUEST,
            data=part,
            I=int(self._immediate),
            F=int(not self._more),
            C=int(self._more),
            LUN=lun,
            ITT=self._itt,
            TTT=tag,
        )

    def _take(self, answer: Pdu) -> bool:
        """Read an answer; True if it is the last."""
        final, continued = bool(answer["F"]), bool(answer["C"])
        if final and (continued or self._more):
            raise ProtocolError("a Text Response with F before all is said", section="RFC 7143 11.11.1")
        # With F the tag says nothing, whatever it is (RFC 7143 11.10.4).
        if not final and answer["TTT"] == NO_TAG:
            raise ProtocolError("a Text Response without F and without a tag", section="RFC 7143 11.11.4")
        if self._more and answer.data:
            raise ProtocolError("an answer to half a text", section="RFC 7143 6.2")
        try:
            whole = self._joiner.add(answer.data, more=continued)
            if whole is not None:
                self.pairs += parse_text(whole)
        except TextError as error:
            raise ProtocolError(str(error), section="RFC 7143 6.1") from error
        return final

    @property
    def declared_segment(self) -> int | None:
        """The MaxRecvDataSegmentLength that the target declared, if it did. Raises ProtocolError if it cannot be."""
        declared = dict(self.pairs).get("MaxRecvDataSegmentLength")
        if declared is None or declared in ("Reject", "Irrelevant", "NotUnderstood"):
            return None
        length = _segment(declared)
        if length is None:
            raise ProtocolError(f"MaxRecvDataSegmentLength={declared}", section="RFC 7143 13.12")
        return length

    @property
    def offered_segment(self) -> int | None:
        """The MaxRecvDataSegmentLength that we declared, if we did and the target took it."""
        offered = self._offered.get("MaxRecvDataSegmentLength")
        if offered is None or dict(self.pairs).get("MaxRecvDataSegmentLength") in ("Reject", "Irrelevant"):
            return None
        return _segment(offered)


def _segment(value: str) -> int | None:
    try:
        length = parse_number(value)
    except TextError:
        return None
    return length if length in _SEGMENTS else None
