"""What a reader of events wants: which kinds, of which connection, and which PDUs by a pattern of the language."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from iscsiproxy.api.models import Event as Told
from iscsiproxy.api.models import EventQuery
from iscsiproxy.api.server.history import Wanted
from iscsiproxy.api.server.refusal import refusal_of
from iscsiproxy.engine.byhand import BEHIND
from iscsiproxy.engine.facts import Captured, Look, Reader
from iscsiproxy.engine.match import Matcher
from iscsiproxy.errors import FileError
from iscsiproxy.language.line import read_pattern
from iscsiproxy.session.events import Bound, Decided, Delivered, Event, Received
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["wanted_by"]

#: How many PDUs that matched are remembered, for what goes out of them
_REMEMBERED = 1024
_NOTHING: Mapping[str, Captured] = {}


def wanted_by(query: EventQuery, state: Reader) -> Wanted:
    """Give what tells whether an event is wanted; `state` reads what has been said so far. Raises Refusal."""
    return _Taste(query, state).wants


class _Taste:
    """One reader's wishes."""

    def __init__(self, query: EventQuery, state: Reader) -> None:
        self._query = query
        self._state = state
        self._matcher: Matcher | None = None
        if query.where is not None:
            try:
                self._matcher = Matcher(read_pattern(query.where), "both")
            except FileError as error:
                raise refusal_of(error) from None
        self._matched: dict[int, None] = {}

    def __repr__(self) -> str:
        return f"<Taste {self._query!r}>"

    def wants(self, event: Event | Told) -> bool:
        """Tell whether it is wanted."""
        query = self._query
        if query.conn is not None and event.conn not in (0, query.conn):
            return False
        if isinstance(event, Received | Delivered):
            return (query.pdus or query.where is not None) and self._wants_pdu(event)
        # That PDUs wait behind one that is held goes without saying.
        return not isinstance(event, Bound) and not (isinstance(event, Decided) and event.rule == BEHIND)

    def _wants_pdu(self, event: Received | Delivered) -> bool:
        if isinstance(event, Delivered):
            as_it_came = not (event.changes or event.rules or event.author or event.start or event.sent != -1)
            if as_it_came and not self._query.deliveries:
                return False
        if self._matcher is None:
            return True
        if isinstance(event, Delivered) and event.of is not None:
            return event.of in self._matched
        look = Look(event.conn, event.at, event.leg, self._seen, Random(0), _NOTHING, event.pdu, event.n)
        if isinstance(event, Delivered):
            look.arrival, look.by_proxy = False, True
        if not (self._matcher.test(look) and self._matcher.take(look)):
            return False
        self._matched[event.n] = None
        if len(self._matched) > _REMEMBERED:
            del self._matched[next(iter(self._matched))]
        return True

    def _seen(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        return self._state(conn, leg, pdu)
