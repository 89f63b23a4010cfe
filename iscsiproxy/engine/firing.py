"""The acts of rules at work: a chain runs rule by rule, act by act, and may pause.

All rules that fire on one PDU form one chain, in the order of the file; so delays run one after another and changes add
up. A rule that fires with nothing in hand is a chain of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from iscsiproxy.engine.commands import Command, Finish, Report, Send
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.work import ActError, Built, Host, Needless, Outcome, Pause, RuleView, Shadowed, Work
from iscsiproxy.wire.opcodes import End

__all__ = ["Chain"]


@dataclass(slots=True, eq=False)
class Chain:
    """The acts that are still to be done on one PDU, or with nothing in hand.

    `scope` lists the connections that an act with nothing in hand acts on.
    """

    host: Host
    hand: Hand | None
    firings: list[tuple[RuleView, Look | None]]
    scope: Callable[[], list[int]] = list
    over: bool = False
    #: When the pause that it is in began, in seconds since the run began.
    since: float = 0.0
    #: What belongs to acts that an error may yet undo, and where among the commands it stands.
    standing: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    _paused: tuple[Pause, Work] | None = None
    _steps: Iterator[None] = field(default_factory=lambda: iter(()))
    _outcome: Outcome = "met"
    _at: int = 0  #: the firing that comes next

    @property
    def conn(self) -> int:
        """The connection it is about; 0 when there is none."""
        look = self.hand.look if self.hand is not None else next((look for _, look in self.firings if look), None)
        return 0 if look is None else look.conn

    @property
    def pausing(self) -> tuple[Pause, Work] | None:
        """The pause that it is in, and what pauses; None while it is not."""
        return self._paused

    def start(self) -> None:
        """Run until the first pause or the end."""
        self._steps = self._run()
        self._step()

    def proceed(self, outcome: Outcome) -> None:
        """End the pause that the chain is in, and run on."""
        if not self.over:
            self._outcome = outcome
            self._step()

    def withdraw(self, of: Callable[[RuleView], bool]) -> None:
        """Have some of the rules that have not acted yet do nothing any more."""
        self.firings[self._at :] = [(rule, look) for rule, look in self.firings[self._at :] if not of(rule)]

    def insert(self, rule: RuleView, look: Look) -> None:
        """Have a rule act before those that have not acted yet."""
        self.firings.insert(self._at, (rule, look))

    def _step(self) -> None:
        if next(self._steps, self) is self:
            self.over = True
            self.let_go()
            self.finish()

    def _run(self) -> Iterator[None]:
        while self._at < len(self.firings):
            rule, look = self.firings[self._at]
            self._at += 1
            how = yield from self._rule(Work(self.host, self, rule, look, self.hand))
            self.stand()
            rule.ended(how)
            if self.over:
                self._never_done(self.firings[self._at :])
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

    def stand(self) -> None:
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
        self.stand()
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

    def cut_short(self, why: str) -> None:
        """End the pause and everything behind it: what is in hand goes as it is."""
        self._end(why)
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
