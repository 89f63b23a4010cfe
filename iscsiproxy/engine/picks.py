"""Which matches count: `after nth every mask chance times`, in this order, counted per scope."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from iscsiproxy.engine.facts import Rng
from iscsiproxy.language.spec import Picks

__all__ = ["Counter"]

#: Scopes whose counts are kept; the longest unused is forgotten first.
_MAX_SCOPES = 8192


class Counter:
    """The counts of one pattern in one place of the file."""

    def __init__(self, picks: Picks) -> None:
        self._picks = picks
        self._counts: OrderedDict[Hashable, list[int]] = OrderedDict()
        #: Whether every match counts.
        self.plain = picks == Picks(per=picks.per)

    def __repr__(self) -> str:
        return f"<Counter {self._picks} {len(self._counts)} scopes>"

    def take(self, scope: Hashable, rng: Rng) -> bool:
        """Count a match in its scope; tell whether the picks let it through. Each stage counts what reaches it."""
        picks = self._picks
        counts = self._counts.get(scope)
        if counts is None:
            counts = self._counts[scope] = [0, 0, 0, 0]
            if len(self._counts) > _MAX_SCOPES:
                self._counts.popitem(last=False)
        else:
            self._counts.move_to_end(scope)
        counts[0] += 1
        position = counts[0] - picks.after
        if position < 1:
            return False
        if picks.nth is not None and not picks.nth[0] <= position <= picks.nth[1]:
            return False
        if picks.every is not None:
            counts[1] += 1
            if counts[1] % picks.every:
                return False
        if picks.mask:
            bit = picks.mask[counts[2] % len(picks.mask)]
            counts[2] += 1
            if not bit:
                return False
        if picks.chance is not None and rng.random() >= picks.chance:
            return False
        if picks.times is not None:
            if counts[3] >= picks.times:
                return False
            counts[3] += 1
        return True
