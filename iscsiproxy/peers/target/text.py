"""Text in full feature phase as the target holds it: SendTargets and negotiation (RFC 7143 6.4, 11.10, 11.11, app. C).

An exchange is a row of Text Requests with one ITT; the target's tag says that it goes on. It is over with a response
that has F, and only then do new parameters count. A request without a tag begins anew, whatever was open.

What a discovery session may not ask is refused key by key, for such a target should send no other PDUs than it must
(7.4.3), and what is not text at all with a Reject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from iscsiproxy.errors import TextError
from iscsiproxy.peers.keys import (
    KEYS,
    METHOD_KEYS,
    NO_VALUES,
    NOT_UNDERSTOOD,
    REJECT,
    Kind,
    NegotiationError,
    Use,
    declared_number,
)
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import MAX_TEXT, TextJoiner, TextPair, encode_text, inspect_text

__all__ = ["TextDesk", "TextExchange"]

#: Reject reasons "protocol error" and "invalid PDU field" (RFC 7143 11.17.1)
_PROTOCOL_ERROR, _INVALID_FIELD = 0x04, 0x09
_SEGMENT = "MaxRecvDataSegmentLength"
_SEND_TARGETS = "SendTargets"


class TextDesk(Protocol):
    """What a Text exchange asks of the node."""

    settings: TargetSettings
    conduct: Conduct

    def portals_of(self, target: str) -> Sequence[str]:
        """Give the portals of a target as `host:port`."""

    def visible_targets(self) -> Sequence[str]:
        """Name the targets that discovery tells."""


class TextExchange:
    """The Text exchanges of one connection, one at a time.

    `target` is the one the session is logged in to, None in discovery. `parameters` are those of the connection, and
    change when an exchange ends that declared something.
    """

    def __init__(self, desk: TextDesk, parameters: Parameters, *, discovery: bool, target: str | None) -> None:
        self._desk = desk
        self._conduct = desk.conduct
        self._discovery = discovery
        self._target = target
        self.parameters = parameters
        self._next_tag = 1
        self._open = False
        self._tag = NO_TAG
        self._itt = NO_TAG
        self._joiner = TextJoiner()
        self._to_send: list[bytes] = []
        self._keys: set[str] = set()
        self._taken = 0
        self._segment: int | None = None

    def __repr__(self) -> str:
        state = "idle" if not self._open else f"tag {self._tag:#x}, {len(self._to_send)} parts to send"
        return f"<TextExchange {state}>"

    def receive(self, request: Pdu) -> Pdu | int:
        """Take a Text Request; give its response, without sequence numbers, or the reason code of a Reject.

        Raises Disconnect if the conduct is to end the connection.
        """
        final, continues = bool(request["F"]), bool(request["C"])
        tag = request["TTT"]
        pairs, _ = inspect_text(request.data)
        self._conduct.on_text(
            tuple(pair.key for pair in pairs), final=final, continues=continues, discovery=self._discovery
        )
        if request["ITT"] == NO_TAG:
            return _INVALID_FIELD
        if not self._open or (tag, request["ITT"]) != (self._tag, self._itt):
            if tag != NO_TAG:
                return _PROTOCOL_ERROR
            self._reset()
        if final and continues:
            return self._abandon()
        self._itt = request["ITT"]
        try:
            whole = self._joiner.add(request.data, more=continues)
        except TextError:
            return self._abandon()
        if whole is None or continues:
            return self._respond(b"", more=False, final=False)
        if self._to_send:
            if whole:
                return self._abandon()
        else:
            try:
                answers = self._take(self._read(whole))
            except TextError:
                return self._abandon()
            text, size = encode_text(answers), self.parameters.send_segment
            self._to_send = [text[at : at + size] for at in range(0, len(text), size)]
        part = self._to_send.pop(0) if self._to_send else b""
        return self._respond(part, more=bool(self._to_send), final=final and not self._to_send)

    def _abandon(self) -> int:
        self._reset()
        return _PROTOCOL_ERROR

    def _reset(self) -> None:
        """Forget what is open: nothing of it counts (6.4)."""
        self._open = False
        self._tag = self._itt = NO_TAG
        self._joiner.clear()
        self._to_send.clear()
        self._keys.clear()
        self._taken = 0
        self._segment = None

    def _respond(self, text: bytes, *, more: bool, final: bool) -> Pdu:
        itt = self._itt
        if final:
            if self._segment is not None:
                self.parameters = replace(self.parameters, send_segment=self._segment)
            self._reset()
        elif not self._open:
            # What goes out is what has to come back, whatever it is.
            self._tag = self._conduct.text_tag(self._next_tag, discovery=self._discovery)
            self._next_tag = self._next_tag % (NO_TAG - 1) + 1
            self._open = True
        return Pdu.build(Opcode.TEXT_RESPONSE, data=text, F=int(final), C=int(more), ITT=itt, TTT=self._tag)

    # --- its keys -------------------------------------------------------------------------------------------------

    def _read(self, whole: bytes) -> tuple[TextPair, ...]:
        """Read a whole text. Raises TextError for one that breaks its format or its limits, or is one too many."""
        self._taken += len(whole)
        if self._taken > MAX_TEXT:
            raise TextError(f"an exchange of more than {MAX_TEXT} bytes")
        pairs, problems = inspect_text(whole)
        if problems:
            raise TextError(str(problems[0]))
        return pairs

    def _take(self, pairs: Sequence[TextPair]) -> list[tuple[str, str]]:
        """Answer the keys of one whole text. Raises TextError for a key that comes twice (6.4)."""
        answers: list[tuple[str, str]] = []
        for key, value in pairs:
            if key in self._keys:
                raise NegotiationError(f"{key} a second time")
            if value in NO_VALUES:
                raise NegotiationError(f"{key}={value} without an offer of ours")
            self._keys.add(key)
            if key == _SEND_TARGETS:
                answers += self._send_targets(value, alone=len(pairs) == 1)
            else:
                answers += [(key, answer) for answer in self._answer(key, value)]
        return answers

    def _answer(self, name: str, value: str) -> tuple[str, ...]:
        """Answer one key, or give nothing where nothing is to be said."""
        key = KEYS.get(name)
        if key is None and name not in METHOD_KEYS:
            # In how many parts the text came matters to nobody but a login.
            return (NOT_UNDERSTOOD,) if self._conduct.answers_unknown_key(name, continued=False) else ()
        if self._discovery or key is None or key.use is not Use.ALL or key.sender is End.TARGET:
            # Nothing but SendTargets in discovery (4.3), nothing but what may change in a normal session (13).
            return (REJECT,)
        if key.kind is Kind.DECLARED and key.high:
            try:
                self._segment = declared_number(key, value)
            except NegotiationError:
                return (REJECT,)
        return ()

    def _send_targets(self, value: str, *, alone: bool) -> list[tuple[str, str]]:
        """Answer SendTargets (appendix C). In a normal session it is about the session's own target alone."""
        self._conduct.on_send_targets(value, discovery=self._discovery)
        if self._discovery:
            wanted = [name for name in self._desk.visible_targets() if value in ("All", name)]
            known = value == "All" or bool(wanted)
        else:
            wanted = [self._target] if self._target is not None and value in ("", self._target) else []
            known = bool(wanted)
        if not alone or not known:
            return [(_SEND_TARGETS, REJECT)]
        group = self._desk.settings.portal_group
        answers = []
        for name in wanted:
            answers.append(("TargetName", name))
            answers += [("TargetAddress", f"{portal},{group}") for portal in self._desk.portals_of(name)]
        return answers
