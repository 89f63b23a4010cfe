"""Patterns and moments as an expectation sees them: on the victim's leg.

What the victim really received counts, changed and authored PDUs too, and what it really sent, swallowed PDUs too. So
a pattern means both, unless `at` or `from` says otherwise. When both ends are victims each PDU is seen once, where its
sender sent it, and what the proxy authored where it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.match import Matcher, captures_in
from iscsiproxy.engine.moments import Path
from iscsiproxy.language.spec import Moment, Pattern
from iscsiproxy.wire.opcodes import End

__all__ = ["LASTING", "Way", "Witness", "names_of", "ways"]

Victim = Literal["initiator", "target", "both"]

#: Events of no leg: a connection has two from its beginning, and I/O has none.
_ANYWHERE: Final = frozenset({"connect", "io-good", "io-error", "io-mismatch"})
#: Events that come behind the end of a connection as well as before it.
LASTING: Final = _ANYWHERE | {"full-feature"}
_ENDS: Final = {end.value: end for end in End}


class Witness(Matcher):
    """One pattern of an expectation."""

    def __init__(self, pattern: Pattern, victim: Victim) -> None:
        seen = pattern if pattern.leg is not None or victim == "both" else replace(pattern, leg=End(victim))
        super().__init__(seen, victim)
        #: Where its events are looked for. An end's own close is seen on its own leg, wherever the victim is.
        self._event_leg = pattern.leg or _ENDS.get(self._sender or "", seen.leg)

    def test(self, look: Look) -> bool:
        """Tell whether the pattern, without its picks, means what is looked at."""
        if look.pdu is not None:
            return super().test(look)
        return look.event in self.events and self._is_there(look) and self._fits(look)

    def _is_there(self, look: Look) -> bool:
        if look.event in _ANYWHERE:
            return True
        if self._event_leg is None:
            return look.event != "full-feature" or look.leg is End.INITIATOR  # each leg tells of it
        return look.leg is self._event_leg

    def _from(self, look: Look) -> bool:
        if look.by_proxy and self._anyone:
            return look.pdu is not None  # a close without `from` is one of a peer
        return super()._from(look)


class Way(Path):
    """One moment of an expectation."""

    def __init__(self, moment: Moment, victim: Victim) -> None:
        super().__init__(moment, victim)
        self.steps = tuple(Witness(step.pattern, victim) if isinstance(step, Matcher) else step for step in self.steps)
        self.matchers = tuple(step for step in self.steps if isinstance(step, Matcher))


def ways(moments: Sequence[Moment], victim: Victim) -> tuple[Way, ...]:
    """Compile a list of moments."""
    return tuple(Way(moment, victim) for moment in moments)


def names_of(pattern: Pattern) -> frozenset[str]:
    """Name the captures without which a pattern never matches."""
    names = frozenset(() if pattern.where is None else captures_in(pattern.where))
    return names if pattern.of is None else names | {pattern.of}
