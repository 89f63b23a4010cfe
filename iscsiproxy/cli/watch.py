"""Watches the rules of a live run, to say at its end why they fired or did not."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from iscsiproxy.cli.screen import Screen
from iscsiproxy.engine.explain import Explainer
from iscsiproxy.engine.explained import explanation_facts, explanation_lines
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.events import Event
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Watch"]


class Watch:
    """A sink that wants PDUs. `relay` gives the relay once there is one: what has been said is read there."""

    def __init__(self, scenarios: Sequence[Scenario], *, seed: int, relay: Callable[[], Relay | None]) -> None:
        self._relay = relay
        self._explainer = Explainer(scenarios, rng=random.Random(seed), state=self._state)
        self._broken: Exception | None = None

    def __repr__(self) -> str:
        return f"<Watch {self._explainer!r}{f' broken by {self._broken!r}' if self._broken else ''}>"

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if self._broken is None:
            try:
                self._explainer.take(event)
            except Exception as error:  # noqa: BLE001 - told at the end: an explanation shall cost nobody a connection
                self._broken = error

    def tell(self, screen: Screen, rules: Collection[str] | None) -> None:
        """Say why rules fired or did not: all, or those named."""
        if self._broken is not None:
            screen.warn(f"the rules cannot be explained: {self._broken!r}")
            return
        found = [one for one in self._explainer.explanations() if rules is None or one.rule in rules]
        for one in found:
            if screen.as_json:
                screen.json({"event": "explanation", **explanation_facts(one)})
            else:
                for line in explanation_lines(one):
                    screen.line(line)
        if not screen.as_json and any(not one.fired for one in found):
            kinds = ", ".join(f"{name} {number}" for name, number in self._explainer.kinds.most_common(8))
            screen.line(f"in this run there were: {kinds or 'no PDUs at all'}")

    def _state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        relay = self._relay()
        assert relay is not None  # nothing happens without one
        return relay.trackers[leg].snapshot(conn, pdu, at=relay.now)
