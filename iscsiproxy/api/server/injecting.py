"""PDUs of the proxy's own, sent now: armed as a line, watched until they have gone and their answers have come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from iscsiproxy.api.models import Injected
from iscsiproxy.api.server.views import pdu_view
from iscsiproxy.proxy.relay import Relay, Sink
from iscsiproxy.session.events import Closed, Decided, Delivered, Event, Received
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["Lookout", "lookout"]

#: How long what is sent may wait for its turn, in seconds, when no answer is waited for
_TURN = 1.0


class Lookout:
    """A sink that looks for what a rule sends on a connection, and for what answers that."""

    def __init__(self, rule: str, conn: int | None) -> None:
        self._rule = rule
        self._conn = conn
        self._closed = False
        self.sent: Delivered | None = None
        self.answer: Received | None = None
        self.failure = ""
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<Lookout of {self._rule}{' sent' if self.sent else ''}{' answered' if self.answer else ''}>"

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Delivered) and event.author and self._rule in event.rules and self.sent is None:
            self.sent = event
        elif isinstance(event, Received) and self.sent is not None and self.answer is None and self._answers(event):
            self.answer = event
        elif isinstance(event, Decided) and event.rule == self._rule and event.what == "failed":
            self.failure = event.text
        elif isinstance(event, Closed) and event.conn == self._conn:
            self._closed = True
        else:
            return
        self._news.set()

    def _answers(self, event: Received) -> bool:
        """Tell whether a PDU is known by the tag of what was sent (RFC 7143 11.18, 11.19, 4.2.5), or rejects it."""
        assert self.sent is not None
        sent, pdu = self.sent.pdu, event.pdu
        if event.conn != self.sent.conn or event.leg is not self.sent.leg:
            return False
        if pdu.opcode == Opcode.REJECT:
            return pdu.data[:BHS_LENGTH] == sent.bhs
        if self.sent.leg is End.INITIATOR:
            tag = sent.get("TTT")
            return tag not in (None, NO_TAG) and pdu.get("TTT") == tag
        return sent["ITT"] != NO_TAG and pdu.get("ITT") == sent["ITT"]

    async def wait(self, seconds: float) -> None:
        """Wait for both, so long at most; what can have no answer is not waited for any longer than it takes to go."""
        with trio.move_on_after(seconds or _TURN):
            while not (self.failure or self._closed or self._done(answered=seconds > 0)):
                self._news = trio.Event()
                await self._news.wait()

    def _done(self, *, answered: bool) -> bool:
        """Tell whether it has been sent, and `answered` if it asks for that."""
        return self.sent is not None and (self.answer is not None or not answered or not self._asks())

    def _asks(self) -> bool:
        """Tell whether what was sent asks for an answer."""
        if self.sent is None:
            return False
        pdu = self.sent.pdu
        if self.sent.leg is End.INITIATOR:
            return pdu.get("TTT") not in (None, NO_TAG)
        return bool(pdu["ITT"] != NO_TAG) and pdu.opcode not in (Opcode.DATA_OUT, Opcode.SNACK)

    def told(self) -> Injected:
        """Tell what came of it."""
        sent = None if self.sent is None else pdu_view(self.sent)
        answer = None if self.answer is None else pdu_view(self.answer)
        return Injected(rule=self._rule, sent=sent, asks=self._asks(), answer=answer)


@contextmanager
def lookout(relay: Relay, rule: str, conn: int | None) -> Iterator[Lookout]:
    """Look for what a rule sends on a connection, from before it is armed."""
    one = Lookout(rule, conn)
    sink = Sink(one, pdus=True)
    relay.listen(sink)
    relay.refresh()
    try:
        yield one
    finally:
        relay.unlisten(sink)
        relay.refresh()
