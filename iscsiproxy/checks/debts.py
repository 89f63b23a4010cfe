"""What an end has to do yet, and until when: the demands of the standard that silence would break."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note

if TYPE_CHECKING:
    from iscsiproxy.checks.moment import Moment
    from iscsiproxy.checks.rules import Rule

__all__ = ["Debt", "Debts", "Scope"]

#: What a debt is kept with: it is forgiven when that has ended; with the leg it never is.
#: How many debts that were paid may wait to be forgotten
_SPARE = 1024

Scope: TypeAlias = Literal["connection", "session", "leg"]


@dataclass(slots=True, eq=False)
class Debt:
    """One of them; `paid` also when it was forgiven. `still` tells whether it is owed yet when its time is up."""

    rule: Rule
    conn: Conn
    text: str
    proof: tuple[Note, ...]
    since: float
    due: float
    paid: bool = False
    still: Callable[[], bool] | None = None

    def __repr__(self) -> str:
        return f"<Debt {self.rule.id} due at {self.due:g} s: {self.text}>"


class Debts:
    """All open debts of one leg. `within` is the time they have if their rule says nothing, in seconds."""

    def __init__(self, within: float) -> None:
        #: When somebody has to look: no debt is due before
        self.soonest = float("inf")
        self._within = within
        self._open: dict[tuple[str, int, int, object], Debt] = {}
        self._queue: list[tuple[float, int, tuple[str, int, int, object], Debt]] = []
        self._count = 0

    def __repr__(self) -> str:
        return f"<Debts {len(self._open)} open>"

    def __len__(self) -> int:
        return len(self._open)

    def owe(
        self,
        moment: Moment,
        rule: Rule,
        key: object,
        text: str,
        within: float | None,
        proof: tuple[Note, ...],
        *,
        scope: Scope,
        still: Callable[[], bool] | None = None,
    ) -> None:
        """Open a debt; one with the same key is replaced."""
        limit = next(one for one in (within, rule.within, self._within) if one is not None)
        debt = Debt(rule, moment.conn, text, proof, moment.at, moment.at + limit, still=still)
        place = _place(moment, rule, key, scope=scope)
        old = self._open.get(place)
        if old is not None:
            old.paid = True
        self._open[place] = debt
        self._count += 1
        if len(self._queue) > 2 * len(self._open) + _SPARE:
            self._queue = [entry for entry in self._queue if not entry[3].paid]
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, (debt.due, self._count, place, debt))
        self.soonest = self._queue[0][0]

    def settle(self, moment: Moment, rule: Rule, key: object, *, scope: Scope) -> bool:
        """Close a debt; False if there was none."""
        debt = self._open.pop(_place(moment, rule, key, scope=scope), None)
        if debt is None:
            return False
        debt.paid = True
        return True

    forgive = settle

    def owed(self, moment: Moment, rule: Rule, key: object, *, scope: Scope) -> bool:
        """Tell whether there is such a debt."""
        return _place(moment, rule, key, scope=scope) in self._open

    def overdue(self, now: float) -> list[Debt]:
        """Take out those whose time is up, but for what a fault holds up, or has made void."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            _, _, place, debt = heapq.heappop(self._queue)
            if debt.paid:
                continue
            del self._open[place]
            debt.paid = True
            if debt.still is not None and not debt.still():
                continue
            if debt.conn.slowed is None and not (debt.rule.calm and debt.conn.disturbed is not None):
                found.append(debt)
        self.soonest = self._queue[0][0] if self._queue else float("inf")
        return found

    def drop(self, conn: int, session: int | None = None) -> None:
        """Forgive all of a connection that has ended, and of its session, if it has ended with it."""
        for place in [place for place in self._open if place[1] == conn or (session and place[2] == session)]:
            self._open.pop(place).paid = True

    def clear(self) -> None:
        """Forgive all: events are missing."""
        for debt in self._open.values():
            debt.paid = True
        self._open.clear()
        self._queue.clear()
        self.soonest = float("inf")


def _place(moment: Moment, rule: Rule, key: object, *, scope: Scope) -> tuple[str, int, int, object]:
    """Give where a debt is kept: the rule, the connection (or 0), the session (or 0), the key."""
    if scope == "connection":
        return rule.id, moment.conn.number, 0, key
    return rule.id, 0, moment.session.number if scope == "session" else 0, key
