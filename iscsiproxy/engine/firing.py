"""The acts of rules at work: a chain runs rule by rule, act by act, and may pause.

All rules that fire on one PDU form one chain, in the order of the file; so delays run one after another and changes add
up. A rule that fires with nothing in hand is a chain of its own. An act is a function `run(act, work)`; it returns a
`Pause` when the chain has to wait, and raises `ActError` when a value it needs is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.commands import Command, Finish, Report, Send
from iscsiproxy.engine.facts import Look, Rng
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.moments import Path
from iscsiproxy.engine.values import Fn
from iscsiproxy.language.spec import Act, ActSpec
from iscsiproxy.session.events import Delivered
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End

if TYPE_CHECKING:
    from iscsiproxy.engine.authored import Errands
    from iscsiproxy.engine.editing import Editors
    from iscsiproxy.engine.settling import Settled
    from iscsiproxy.engine.standing import Standing

__all__ = ["ActError", "Built", "Chain", "Host", "Needless", "Outcome", "Pause", "RuleView", "Shadowed", "Work"]


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

    #: The throttles that end with everything else, and no sooner.
    lasting: set[int]

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


@dataclass(slots=True, eq=False)
class Chain:
    """The acts that are still to be done on one PDU, or with nothing in hand.

    `scope` lists the connections that an act with nothing in hand acts on.
    """

    host: Host
    hand: Hand | None
    firings: Sequence[tuple[RuleView, Look | None]]
    scope: Callable[[], list[int]] = list
    over: bool = False
    #: What belongs to acts that an error may yet undo, and where among the commands it stands.
    standing: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    _paused: tuple[Pause, Work] | None = None
    _steps: Iterator[None] = field(default_factory=lambda: iter(()))
    _outcome: Outcome = "met"

    @property
    def conn(self) -> int:
        """The connection it is about; 0 when there is none."""
        look = self.hand.look if self.hand is not None else next((look for _, look in self.firings if look), None)
        return 0 if look is None else look.conn

    def start(self) -> None:
        """Run until the first pause or the end."""
        self._steps = self._run()
        self._step()

    def proceed(self, outcome: Outcome) -> None:
        """End the pause that the chain is in, and run on."""
        if not self.over:
            self._outcome = outcome
            self._step()

    def _step(self) -> None:
        if next(self._steps, self) is self:
            self.over = True
            self.let_go()
            self.finish()

    def _run(self) -> Iterator[None]:
        for index, (rule, look) in enumerate(self.firings):
            how = yield from self._rule(Work(self.host, self, rule, look, self.hand))
            self._stand()
            rule.ended(how)
            if self.over:
                self._never_done(self.firings[index + 1 :])
                return

    def _rule(self, work: Work) -> Generator[None, None, str]:
        """Do the acts of one rule; tell how its firing ended."""
        rule, hand, how = work.rule, self.hand, "fired"
        saved = hand.save() if hand is not None and rule.acts else None
        mark = len(self.host.commands)
        for built in rule.acts:
            if self._shadowed(built, work):
                how = "shadowed"
                continue
            try:
                pause = built.run(built, work)
            except Shadowed as shadow:
                work.report("shadowed", f"{built.act.name}: {shadow}")
                how = "shadowed"
                continue
            except Needless as why:
                work.report("skipped", f"{built.act.name}: {why}")
                how = how if work.did else "skipped"
                continue
            except ActError as error:
                if hand is not None and saved is not None and not hand.gone:
                    hand.restore(saved)
                    if rule.name not in hand.edited:
                        self.host.editors.revoke(hand.look, rule.name)
                    self._unsay(rule, mark)
                    self.standing.clear()
                work.report("failed", f"{built.act.name}: {error}")
                return "failed"
            if pause is not None:
                yield from self._pause(pause, work)
                mark = len(self.host.commands)
                if not pause.resume(self._outcome):
                    return "fired" if self._outcome == "ended" and work.did else "expired"
            if self.over:
                break
        return how

    def _stand(self) -> None:
        """Do what belongs to acts that nothing undoes any more, each in its place among the commands."""
        waiting, self.standing = self.standing, []
        commands, more = self.host.commands, 0
        for at, call in waiting:
            behind = commands[at + more :]
            del commands[at + more :]
            call()
            more = len(commands) - at
            commands += behind

    def _pause(self, pause: Pause, work: Work) -> Iterator[None]:
        self._stand()
        hand = self.hand
        for _, look in self.firings:
            if look is not None:
                look.view  # noqa: B018 - what rules see is the state before the PDU, not that behind the pause
        if hand is not None:
            if hand.gone or hand.dropped:
                self.let_go()
                self.finish()  # nothing is in hand: what follows need not wait
            hand.held = True
        self._paused = (pause, work)
        self.host.wait(self, pause, work.rule)
        yield
        self._paused = None

    def _unsay(self, rule: RuleView, mark: int) -> None:
        """Take back what was reported of acts that are undone: those on the PDU in hand."""
        commands = self.host.commands
        undone = {built.act.name for built in rule.acts if not built.spec.events}
        commands[mark:] = [
            one
            for one in commands[mark:]
            if not (isinstance(one, Report) and one.kind == "fired" and one.rule == rule.name and one.act in undone)
        ]

    def _shadowed(self, built: Built, work: Work) -> bool:
        """Whether an earlier rule has settled the PDU's fate, and the act needs the PDU."""
        hand = self.hand
        if hand is None or built.spec.events:
            return False
        if hand.fate not in ("", work.rule.name):
            work.report("shadowed", f"{built.act.name}: {hand.fate} has settled the PDU's fate")
            return True
        if built.spec.on and hand.pdu.opcode not in built.spec.on:
            work.report("shadowed", f"{built.act.name}: a {hand.pdu.label} is in its place by now")
            return True
        return False

    def _never_done(self, firings: Sequence[tuple[RuleView, Look | None]]) -> None:
        """Tell of the rules that a close has come before."""
        for rule, look in firings:
            if rule.acts:
                work = Work(self.host, self, rule, look, self.hand)
                work.report("shadowed", f"{rule.acts[0].act.name}: the connection was closed before")
            rule.ended("shadowed" if rule.acts else "fired")

    # --- ends ---

    def cut_short(self) -> None:
        """End the pause and everything behind it: what is in hand goes as it is."""
        self._end("the run ends")
        self.let_go()
        self.finish()

    def abandon(self, why: str) -> None:
        """End everything; what is in hand is not sent."""
        self._end(why)
        if self.hand is not None:
            self.hand.gone = True
        self.finish()

    def outlasts(self, leg: End, why: str) -> bool:
        """Go on with a silence of the other leg, if that is what it pauses for; what is in hand is not sent.

        `leg` is the one that has ended. Tell whether it does.
        """
        if self._paused is None or self._paused[0].silences in ("", leg.value):
            return False
        work = self._paused[1]
        work.report("ended", f"{work.rule.name.partition('/')[2]}: {why}, but the other leg stays silent")
        if self.hand is not None:
            self.hand.gone = True
        self.finish()
        return True

    def _end(self, why: str) -> None:
        self.over = True
        if self._paused is not None:
            pause, work = self._paused
            work.report("ended", f"{work.rule.name.partition('/')[2]}: {why}")
            pause.resume("ended")
            work.rule.ended("fired" if work.did else "expired")

    # --- the PDU ---

    def _order(self, command: Command) -> None:
        """Have something done with the PDU in hand, when its turn has come."""
        kept = self.hand.kept if self.hand is not None else None
        (self.host.commands if kept is None else kept).append(command)

    def let_go(self) -> None:
        """Send what is in hand, unless it has gone or is dropped, and its copies.

        An untouched PDU that nobody holds needs no command at all.
        """
        hand = self.hand
        if hand is None or hand.gone:
            return
        hand.gone = True
        if not (hand.rules or hand.held or hand.dropped or hand.copies):
            hand.finished = True
            return
        if not hand.dropped:
            self.send(None)
        for copy in hand.copies:
            self._order(
                Send(
                    slot=hand.n,
                    pdu=copy.pdu,
                    changes=copy.changes,
                    rules=(copy.rule,),
                    extra=copy.extra,
                    ticket=copy.begin(),
                    exact=copy.exact,
                    added=copy.added,
                )
            )

    def send(self, stop: int | None, *, by: str = "") -> None:
        """Send the PDU in hand from where it was cut up to `stop` (None: its end); the rule `by` cuts it there."""
        hand = self.hand
        assert hand is not None
        pdu = hand.outgoing()
        rules = (*hand.rules, by) if by and by not in hand.rules else tuple(hand.rules)
        changes = tuple(hand.changes)
        original = hand.look.pdu if hand.pdu is not hand.look.pdu and not hand.regrouped else None
        self._order(
            Send(
                slot=hand.n,
                pdu=pdu,
                changes=changes,
                rules=rules,
                start=hand.sent,
                stop=stop,
                exact=frozenset(hand.exact),
                named=frozenset(hand.named),
                original=original,
                added=hand.added,
            )
        )
        hand.held = True
        hand.sent = len(pdu) if stop is None else stop

    def finish(self) -> None:
        """Finish the slot, once."""
        hand = self.hand
        if hand is not None and not hand.finished:
            hand.finished = True
            if hand.stays:
                return
            unsent: Literal["", "raw", "hidden"] = ("hidden" if hand.hidden else "raw") if hand.dropped else ""
            self._order(Finish(slot=hand.n, unsent=unsent, rule=hand.fate))
