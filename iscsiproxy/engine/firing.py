"""The acts of rules at work: a chain runs rule by rule, act by act, and may pause (LANGUAGE: execution).

All rules that fire on one PDU form one chain, in the order of the file; so delays run one after another and changes add
up. A rule that fires with nothing in hand is a chain of its own. An act is a function `run(act, work)`; it returns a
`Pause` when the chain has to wait, and raises `ActError` when a value it needs is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from iscsiproxy.engine.commands import Command, Finish, Report, Send
from iscsiproxy.engine.facts import Captured, Look, Rng
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.values import Fn
from iscsiproxy.language.spec import Act, Moment
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End

if TYPE_CHECKING:
    from iscsiproxy.engine.actions.text import Editor

__all__ = ["ActError", "Built", "Chain", "Host", "Pause", "RuleView", "Work"]


class ActError(Exception):
    """An act cannot be done on this PDU: a value is absent or does not fit."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The chain waits for moments, for `at_most` seconds at the longest (None: for ever).

    `resume(expired)` is called when it ends; it says whether the rule's list goes on.
    """

    until: tuple[Moment, ...]
    at_most: float | None
    resume: Callable[[bool], bool]


@dataclass(frozen=True, slots=True)
class Built:
    """One act of a rule, its expressions compiled."""

    act: Act
    run: Callable[[Built, Work], Pause | None]
    fields: Mapping[str, Fn]
    params: Mapping[str, Any]  #: expressions are compiled too


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
    def captures(self) -> dict[str, Captured]:
        """The captures of its scenario."""

    def ended(self, how: str) -> None:
        """Count how a firing ended: `fired`, `failed`, `shadowed` or `expired`."""


class Host(Protocol):
    """What a chain knows of the engine."""

    rng: Rng
    commands: list[Command]

    def state(self, conn: int, leg: End, /) -> Snapshot:
        """Give the state of a leg now."""

    def token(self) -> int:
        """Give a fresh token for a stall."""

    def connections(self) -> list[int]:
        """List the connections that live."""

    def text_limit(self, look: Look) -> int:
        """Give how long a text may be for the receiver of this PDU."""

    def edit(self, look: Look, editor: Editor) -> None:
        """Go on editing the text in the PDUs that continue it."""

    def wait(self, chain: Chain, pause: Pause, rule: RuleView) -> None:
        """Continue `chain` when the pause is over."""

    def reached(self, rule: str) -> None:
        """Take note that an act of the rule has reached the wire."""

    def bind(self, rule: RuleView, name: str, look: Look) -> None:
        """Bind a capture."""


@dataclass(slots=True, eq=False)
class Work:
    """What an act works on: the PDU in hand if there is one, and what matched."""

    host: Host
    chain: Chain
    rule: RuleView
    look: Look | None
    hand: Hand | None

    @property
    def conn(self) -> int:
        """The connection acted on; 0 when there is none."""
        return self.look.conn if self.look is not None else 0

    def value(self, fn: Fn, what: str) -> Any:
        """Evaluate a right side on the PDU as earlier acts left it. Raises ActError if it is absent."""
        look = self.look
        if look is None:
            raise ActError(f"{what}: nothing is in hand")
        if self.hand is not None and look.pdu is not self.hand.pdu:
            view, look = (
                look.view,
                Look(
                    conn=look.conn,
                    at=look.at,
                    leg=look.leg,
                    state=look.state,
                    rng=look.rng,
                    captures=look.captures,
                    pdu=self.hand.pdu,
                    n=look.n,
                ),
            )
            look.keep(view)
        value = fn(look)
        if value is None:
            raise ActError(f"{what} is absent")
        return value

    def connections(self, name: str | None) -> list[int]:
        """Give the connections to act on: that of a capture, else that in hand, else all."""
        if name is not None:
            captured = self.rule.captures.get(name)
            if captured is None:
                raise ActError(f"{name} is not bound")
            return [captured.look.conn]
        return [self.look.conn] if self.look is not None else self.host.connections()

    def need_hand(self) -> Hand:
        """Give the PDU in hand. Raises ActError if it has gone already."""
        if self.hand is None or self.hand.gone:
            raise ActError("no PDU is in hand")
        return self.hand

    def fired(self, act: Act, text: str, changes: Sequence[Any] = ()) -> None:
        """Report that the act took effect."""
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


@dataclass(slots=True, eq=False)
class Chain:
    """The acts that are still to be done on one PDU, or with nothing in hand."""

    host: Host
    hand: Hand | None
    firings: Sequence[tuple[RuleView, Look | None]]
    over: bool = False
    _pause: Pause | None = None
    _steps: Iterator[None] = field(default_factory=lambda: iter(()))
    _expired: bool = False

    def start(self) -> None:
        """Run until the first pause or the end."""
        self._steps = self._run()
        self.step()

    def step(self) -> None:
        """Run on until the next pause or the end."""
        if not self.over and next(self._steps, self) is self:
            self.over = True
            self.let_go()

    def proceed(self, *, expired: bool) -> None:
        """End the pause that the chain is in."""
        if not self.over:
            self._expired = expired
            self.step()

    def _run(self) -> Iterator[None]:
        for rule, look in self.firings:
            work = Work(self.host, self, rule, look, self.hand)
            saved = self.hand.save() if self.hand is not None else None
            how = "fired"
            for built in rule.acts:
                if self._shadowed(built, work):
                    how = "shadowed"
                    continue
                try:
                    pause = built.run(built, work)
                except ActError as error:
                    how = "failed"
                    work.report("failed", f"{built.act.name}: {error}")
                    if self.hand is not None and saved is not None and not self.hand.gone:
                        self.hand.restore(saved)
                    break
                if pause is not None:
                    if self.hand is not None:
                        self.hand.held = True
                    self._pause = pause
                    self.host.wait(self, pause, rule)
                    yield
                    self._pause = None
                    if not pause.resume(self._expired):
                        how = "expired"
                        break
                if self.over:
                    break
            rule.ended(how)
            if self.over:
                return

    def _shadowed(self, built: Built, work: Work) -> bool:
        """Whether an earlier rule has settled the fate of the PDU already."""
        hand = self.hand
        if hand is None or not hand.fate or hand.fate == work.rule.name or built.act.name != "drop":
            return False
        work.report("shadowed", f"{built.act.name}: {hand.fate} has settled the PDU's fate")
        return True

    def cut_short(self) -> None:
        """End the pause and everything behind it: what is in hand goes as it is."""
        self.over = True
        if self._pause is not None:
            self._pause.resume(True)
        self.let_go()

    def abandon(self) -> None:
        """End everything; what is in hand is not sent."""
        self.over = True
        if self.hand is not None and not self.hand.gone:
            self.hand.gone = True
            self.host.commands.append(Finish(slot=self.hand.n))

    def let_go(self, *, finish: bool = True) -> None:
        """Send what is in hand, unless it has gone or is dropped, and finish its slot.

        An untouched PDU that nobody holds needs no command at all.
        """
        hand = self.hand
        if hand is None or hand.gone:
            return
        hand.gone = True
        if not (hand.rules or hand.held or hand.dropped or hand.copies) and finish:
            return
        commands = self.host.commands
        if not hand.dropped:
            commands.append(
                Send(
                    slot=hand.n,
                    pdu=hand.outgoing(),
                    changes=tuple(hand.changes),
                    rules=tuple(hand.rules),
                    start=hand.sent,
                )
            )
        for copy in hand.copies:
            commands.append(Send(slot=hand.n, pdu=copy.pdu, changes=copy.changes, rules=(copy.rule,)))
        if finish:
            commands.append(Finish(slot=hand.n))

    def finish(self) -> None:
        """Finish the slot of a PDU that was let go without."""
        if self.hand is not None:
            self.host.commands.append(Finish(slot=self.hand.n))
