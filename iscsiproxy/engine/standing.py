"""What goes on acting on PDUs that no rule has matched.

Some acts are not over with the PDU they were done on: the answer to a request that was put in the place of another one
has to be rewritten, the pieces of an R2T are answered by Data-Outs that are to become one burst again, a negotiation is
led differently on each leg. Such a thing stands in the way of every PDU that arrives: it is asked whether it wants it
when rules have been matched, and changes it, or settles its fate, before their acts are done.
"""

from __future__ import annotations

from typing import Protocol

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.wire.opcodes import End

__all__ = ["Standing"]


class Standing(Protocol):
    """One such thing. It is asked for every PDU, in the order in which they were begun."""

    def wants(self, look: Look) -> bool:
        """Tell whether it acts on what has arrived; cheap."""

    def apply(self, hand: Hand) -> None:
        """Change what is in hand, or settle its fate."""

    def forget(self, conn: int, leg: End) -> None:
        """Take note that a leg of a connection has ended."""
