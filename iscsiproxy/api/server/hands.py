"""What is done by hand: to the PDUs that are held, and with those that somebody injects."""

from __future__ import annotations

from iscsiproxy.api import models
from iscsiproxy.api.server.injecting import lookout
from iscsiproxy.api.server.presence import Presence
from iscsiproxy.api.server.refusal import Refusal, refusal_of
from iscsiproxy.api.server.veiling import summed_up, veiled
from iscsiproxy.api.server.views import end_name, show
from iscsiproxy.engine import SPECS
from iscsiproxy.engine.byhand import Holding
from iscsiproxy.engine.work import ActError
from iscsiproxy.errors import FileError
from iscsiproxy.language.harm import harmful_act
from iscsiproxy.language.line import read_acts

__all__ = ["Hands"]


class Hands(Presence):
    """A run whose PDUs can be held, looked at, changed, let go and added to."""

    def held(self) -> tuple[models.Held, ...]:
        """List the PDUs in hand."""
        return tuple(map(self._held, self._holdings()))

    def held_pdu(self, n: int) -> models.PduView:
        """Show a PDU in hand as it would go now."""
        one = self._holding(n)
        return show(one.pdu, n=one.n, at=one.at, conn=one.conn, leg=one.leg, kind="held", changes=one.changes)

    def edit(self, n: int, edit: models.Edit) -> models.Held:
        """Change a PDU in hand."""
        one = self._holding(n)
        opcodes = frozenset({one.pdu.opcode})
        try:
            acts = read_acts(edit.acts, opcodes=opcodes, acts=SPECS)
        except FileError as error:
            raise refusal_of(error) from None
        harm = next((why for act in acts if (why := harmful_act(act, opcodes))), "")
        if harm and not (self._run.scratch or edit.confirm):
            why = f"this may corrupt data, and the target was not declared scratch: {harm}"
            raise Refusal(409, why, error="confirm")
        try:
            with self._engine() as engine:
                engine.edit(n, acts)
        except ActError as error:
            raise Refusal(409, f"that cannot be done to this {one.pdu.label}: {error}") from None
        self._recorder.edited(one, edit.acts)
        return self._held(self._holding(n))

    def release(self, n: int) -> models.Held:
        """Let a PDU go."""
        one = self._holding(n)
        with self._engine() as engine:
            engine.let_go(n)
        self._recorder.let_go(one)
        return self._held(one)

    def drop(self, n: int) -> models.Held:
        """Let a PDU go nowhere."""
        one = self._holding(n)
        with self._engine() as engine:
            engine.drop(n)
        self._recorder.let_go(one, dropped=True)
        return self._held(one)

    def step(self, n: int) -> models.Stepped:
        """Let a PDU go, and hold the next one of its connection."""
        one = self._holding(n)
        with self._engine() as engine:
            engine.step(n)
        self._recorder.let_go(one)
        return models.Stepped(released=self._held(one))

    def _holdings(self) -> tuple[Holding, ...]:
        engine = self._relay.engine
        return engine.held() if engine is not None else ()

    def _holding(self, n: int) -> Holding:
        holdings = self._holdings()
        found = next((one for one in holdings if one.n == n), None)
        if found is None:
            hint = f"held are: {', '.join(str(one.n) for one in holdings) or 'none'}"
            raise Refusal(404, f"no PDU is held that came as event {n}", hint=hint)
        return found

    def _held(self, one: Holding) -> models.Held:
        return models.Held(
            n=one.n,
            at=round(one.at, 6),
            since=round(one.since, 6),
            conn=one.conn,
            leg=end_name(one.leg),
            rule=one.rule,
            until=one.until,
            label=one.pdu.label,
            summary=summed_up(one.pdu, one.changes),
            changes=veiled(one.changes, one.pdu),
            behind=one.behind,
            timer=self._run.patience.next_timer(self._relay, one),
        )

    # --- PDUs of our own ---------------------------------------------------------------------------------------------

    async def inject(self, injection: models.Injection) -> models.Injected:
        """Send a PDU of our own now, and wait for its answer."""
        arming = models.Arming(line=f"inject {injection.pdu}", conn=injection.conn, confirm=injection.confirm)
        origin = self._armoury.read(arming)
        if not origin.once:
            hint = "arm a line that begins with `inject` for that"
            raise Refusal(400, "a PDU that is injected now goes with no moment", hint=hint)
        rule = f"{origin.scenario.name}/{origin.scenario.rules[0].name}"
        with lookout(self._relay, rule, origin.conn) as one:
            with self._engine() as engine:
                self._armoury.take_in(origin, engine)
            self._recorder.armed(origin)
            await one.wait(injection.wait)
        if one.failure:
            unknown = "not known" in one.failure
            raise Refusal(409, one.failure, hint="the next PDU of this session tells it" if unknown else None)
        return one.told()
