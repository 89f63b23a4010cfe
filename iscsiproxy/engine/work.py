"""What an act works with: what is in hand, what it may ask of the engine, and how it ends.

An act is a function `run(act, work)`; it returns a `Pause` when the chain has to wait, and raises `ActError` when a
value it needs is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.commands import Command, Report
from iscsiproxy.engine.facts import Look, Rng
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.moments import Path
from iscsiproxy.engine.values import Fn
from iscsiproxy.language.spec import Act, ActSpec
from iscsiproxy.session.events import Delivered
from iscsiproxy.wire.describe import summary

if TYPE_CHECKING:
    from iscsiproxy.engine.authored import Errands
    from iscsiproxy.engine.editing import Editors
    from iscsiproxy.engine.firing import Chain
    from iscsiproxy.engine.settling import Settled
    from iscsiproxy.engine.standing import Standing

__all__ = ["ActError", "Built", "Host", "Needless", "Outcome", "Pause", "RuleView", "Shadowed", "Work"]


class ActError(Exception):
    """An act cannot be done on this PDU: a value is absent or does not fit."""


class Needless(Exception):  # noqa: N818 - no error: the PDU is as the act would make it
    """An act has nothing to do on this PDU: the rule has not fired by it."""


class Shadowed(Exception):  # noqa: N818 - no error: another act was first
    """An act is not done, because another one has settled what it would have decided."""


#: How a pause came to its end: the moment came, `at_most` passed first, or everything is ended.
Outcome = Literal["met", "expired", "ended"]


@dataclass(frozen=True, slots=True)
class Pause:
    """The chain waits for one of some moments, for `at_most` seconds at the longest (None: for ever).

    `resume` is called when it ends; it says whether the rule's list goes on. `silences` names the leg, or both, that is
    kept silent meanwhile: it stays so although the other one ends.
    """

    until: tuple[Path, ...]
    at_most: float | None
    resume: Callable[[Outcome], bool]
    silences: Literal["", "initiator", "target", "both"] = ""

    @property
    def by_hand(self) -> bool:
        """Whether somebody may let it go by hand: `released` is among what is waited for."""
        return any(path.by_hand for path in self.until)


@dataclass(frozen=True, slots=True)
class Built:
    """One act of a rule, its expressions and moments compiled."""

    act: Act
    spec: ActSpec
    run: Callable[[Built, Work], Pause | None]
    fields: Mapping[str, Fn]
    params: Mapping[str, Any]


class RuleView(Protocol):
    """What a chain knows of a rule."""

    @property
    def name(self) -> str:
        """Its name in reports: `scenario/rule`."""

    @property
    def victim(self) -> Literal["initiator", "target", "both"]:
        """The victim of its scenario."""

    @property
    def acts(self) -> Sequence[Built]:
        """What it does."""

    @property
    def captures(self) -> Book:
        """The captures of its scenario."""

    def ended(self, how: str) -> None:
        """Count how a firing ended: `fired`, `failed`, `shadowed`, `expired` or `skipped`."""


class Host(Protocol):
    """What a chain knows of the engine."""

    rng: Rng
    commands: list[Command]

    def token(self) -> int:
        """Give a fresh token for a stall."""

    @property
    def editors(self) -> Editors:
        """The editing of texts that go on in further PDUs."""

    def wait(self, chain: Chain, pause: Pause, rule: RuleView) -> None:
        """Continue `chain` when the pause is over."""

    def reached(self, rule: str) -> None:
        """Take note that an act of the rule has reached the wire."""

    @property
    def errands(self) -> Errands:
        """The PDUs of the proxy's own."""

    @property
    def settled(self) -> Settled:
        """The tasks that the proxy has ended for the initiator."""

    @property
    def standing(self) -> list[Standing]:
        """What acts on PDUs that no rule has matched."""

    @property
    def written(self) -> dict[int, Callable[[Delivered], None]]:
        """Who is told of all that goes out of a slot."""

    def made(self, rule: RuleView, name: str, event: Delivered) -> None:
        """Bind a capture to what an act made, now that it has gone."""

    def when_delivered(self, n: int, call: Callable[[Delivered], None]) -> None:
        """Call something when the PDU that came in as event `n` goes out."""

    #: The connections whose two ends have been told different things.
    apart: set[int]

    def due(self, call: Callable[[], None]) -> None:
        """Call something when what is being done is done."""

    def session(self, conn: int) -> int:
        """Name the session of a connection; 0 before there is one."""

    def proceed(self, chain: Chain, outcome: Outcome) -> None:
        """End the pause that a chain is in."""

    def glance(self, conn: int) -> Look:
        """Look at a connection with nothing in hand."""

    #: The throttles that end with their scenario, and no sooner, by the rule.
    lasting: dict[int, str]

    def goto(self, rule: RuleView, state: str, *, looked: bool) -> None:
        """Put the machine of the rule into a state; `looked`: because of a PDU or event, not by time alone.

        Raises Shadowed if the machine has left the state of the rule, ActError if it runs in circles.
        """

    def arm(self, rule: RuleView, name: str, *, on: bool) -> bool:
        """Arm or disarm another rule of the scenario; tell whether that is news."""

    def refuse(self, conn: int) -> None:
        """Refuse a connection. Raises Shadowed if that is done already, ActError if it has been accepted."""


@dataclass(slots=True, eq=False)
class Work:
    """What an act works on: the PDU in hand if there is one, and what matched."""

    host: Host
    chain: Chain
    rule: RuleView
    look: Look | None
    hand: Hand | None
    did: bool = False  #: an act of this firing took effect

    @property
    def conn(self) -> int:
        """The connection acted on; 0 when there is none."""
        return self.look.conn if self.look is not None else 0

    def value(self, fn: Fn, what: str) -> Any:
        """Evaluate a right side on the PDU as earlier acts left it. Raises ActError if it is absent."""
        look = self.look if self.look is not None else self.around()
        if look is None:
            raise ActError(f"{what}: there is no connection")
        if self.hand is not None and look.pdu is not self.hand.pdu:
            look = look.of(self.hand.pdu)
        value = fn(look)
        if value is None:
            raise ActError(f"{what} is absent")
        return value

    def around(self, conn: int = 0) -> Look | None:
        """Give a look at what there is around a connection with nothing in hand; by default the first of the scope."""
        scope = [conn] if conn else self.chain.scope()
        return self.host.glance(scope[0]).within(self.rule.captures) if scope else None

    def on(self, conn: int) -> Work:
        """Give the same work as seen on one connection, where nothing is in hand."""
        if self.look is not None and self.look.conn == conn:
            return self
        return Work(self.host, self.chain, self.rule, self.around(conn), None)

    def connections(self, name: str | None) -> list[int]:
        """Give the connections to act on: that of a capture, else that in hand, else all of the scope."""
        if name is not None:
            captured = self.rule.captures.get(name)
            if captured is None:
                raise ActError(f"{name} is not bound")
            return [captured.look.conn]
        return [self.look.conn] if self.look is not None and self.look.conn else self.chain.scope()

    def need_hand(self) -> Hand:
        """Give the PDU in hand. Raises ActError if it has gone already, or a part of it."""
        if self.hand is None or self.hand.gone:
            raise ActError("no PDU is in hand")
        if self.hand.sent:
            raise ActError(f"{self.hand.sent} bytes of this PDU have gone already")
        return self.hand

    def once_it_stands(self, call: Callable[[], None]) -> None:
        """Call something as if it were now, but only when no error in the same list can undo the act any more."""
        self.chain.standing.append((len(self.host.commands), call))

    def fired(self, act: Act, text: str, changes: Sequence[Any] = ()) -> None:
        """Report that the act took effect."""
        self.did = True
        self._report("fired", text, act.name, tuple(changes))

    def report(self, kind: Any, text: str) -> None:
        """Report a decision."""
        self._report(kind, text)

    def _report(self, kind: Any, text: str, act: str = "", changes: tuple[Any, ...] = ()) -> None:
        look = self.look
        label = ""
        if look is not None:
            label = summary(look.pdu) if look.pdu is not None else look.event
        self.host.commands.append(
            Report(
                kind=kind,
                conn=self.conn,
                rule=self.rule.name,
                act=act,
                of=None if look is None else look.n,
                label=label,
                text=text,
                changes=changes,
            )
        )
