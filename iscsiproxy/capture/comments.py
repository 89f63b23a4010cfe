"""Say in the comment of a packet what happened to its PDU. CHAP answers are left out."""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.journal import Veil
from iscsiproxy.session.events import Decided, Delivered, Event, Fired, Noted, Unframed, Violated

__all__ = ["Comments"]

#: Of how many events acts are remembered, to be named where the PDU is delivered
_REMEMBERED = 1 << 12
#: The decisions that explain something on the wire; the others are for `explain`
_TOLD = frozenset({"failed", "held", "released", "shadowed"})
_START = "iscsiproxy: "


class Comments:
    """Makes comments of events, in the order in which they happened."""

    def __init__(self, veil: Veil) -> None:
        self._veil = veil
        self._fired: list[tuple[int, list[Fired]] | None] = [None] * _REMEMBERED

    def __repr__(self) -> str:
        return f"<Comments {sum(slot is not None for slot in self._fired)} PDUs with acts>"

    def on_received(self, event: Event) -> str | None:
        """Give the comment for the PDU that the event is about, as it was received; None if there is nothing to say."""
        if isinstance(event, Fired):
            self._remember(event)
            return f"{_START}rule {event.rule} {event.act}: {self._fired_text(event)}"
        if isinstance(event, Noted):
            return f"{_START}note of rule {event.rule}: {self._veil.text(event.text, event.of)}"
        if isinstance(event, Decided):
            if event.what not in _TOLD:
                return None
            return f"{_START}rule {event.rule} {event.what}: {self._veil.text(event.text, event.of)}"
        if isinstance(event, Violated):
            text = self._veil.text(event.text, event.of)
            return f"{_START}{event.by}: {text} ({'RFC 7143 ' if event.section[:1].isdigit() else ''}{event.section})"
        if isinstance(event, Unframed):
            reason = self._veil.text(event.reason)
            return f"{_START}no PDUs any more: {reason}; what follows passes raw and is not captured"
        return None

    def on_delivered(self, event: Delivered) -> str | None:
        """Give the comment for a PDU as it was delivered; None if it is as it was received."""
        if event.of is not None and not event.rules and not event.changes:
            return None
        fired = [act for act in self._acts(event.of) if act.rule in event.rules]
        acts = {act.rule: act.act for act in fired}
        who = ", ".join(f"rule {rule} {acts[rule]}" if rule in acts else f"rule {rule}" for rule in event.rules)
        if event.changes:
            what = ", ".join(map(str, self._veil.changes(event.changes, event.of, event.n)))
        else:
            what = "; ".join(_unique(self._fired_text(act) for act in fired))
        if event.of is None:
            what = what or "sent by the proxy"
        return _START + ": ".join(part for part in (who, what) if part)

    def _fired_text(self, event: Fired) -> str:
        if event.changes:
            return ", ".join(map(str, self._veil.changes(event.changes, event.of)))
        return self._veil.text(event.text, event.of)

    def _remember(self, event: Fired) -> None:
        if event.of is None:
            return
        slot = self._fired[event.of % _REMEMBERED]
        if slot is not None and slot[0] == event.of:
            slot[1].append(event)
        else:
            self._fired[event.of % _REMEMBERED] = (event.of, [event])

    def _acts(self, of: int | None) -> list[Fired]:
        slot = None if of is None else self._fired[of % _REMEMBERED]
        return slot[1] if slot is not None and slot[0] == of else []


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
