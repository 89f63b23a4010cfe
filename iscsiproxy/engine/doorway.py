"""Whether a connection that comes is let in.

The proxy asks before it dials the target. Rules that may refuse see the connection then, all others when it is known
what becomes of it: at once if it is refused, else when both legs are connected. So everybody sees it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iscsiproxy.engine.commands import Refuse
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.engine.work import Shadowed

__all__ = ["Doorway"]


class Doorway:
    """Who has a say, and which connection is in the door; `others` see it second."""

    def __init__(self, rules: Sequence[ActiveRule]) -> None:
        self.refusers = [rule for rule in rules if any(built.act.name == "refuse" for built in rule.acts)]
        self.others = [rule for rule in rules if rule not in self.refusers]
        self._coming = 0

    def __repr__(self) -> str:
        return f"<Doorway {len(self.refusers)} may refuse, {self._coming or 'nobody'} in it>"

    def come(self, conn: int, see: Callable[[Sequence[ActiveRule], bool], None]) -> None:
        """Have a connection seen: `see` shows it to some rules; True: they are the first, and it may yet come in."""
        self._coming = conn
        see(self.refusers, True)
        if not self._coming:
            see(self.others, False)
        self._coming = 0

    def refuse(self, conn: int) -> Refuse:
        """Refuse the connection in the door. Raises Shadowed if that is done already."""
        if self._coming != conn:
            raise Shadowed("it is refused already")
        self._coming = 0
        return Refuse(conn=conn)
