"""Each end is told something else in login.

Towards the target the offer of a key becomes another value, towards the initiator the answer does; so two ends that
keep to the standard hold each other to something that was never agreed on, and no number has to be translated. All
other keys, their order and their bytes stay, however a text is cut into PDUs.

What an end is not told by the scenario is made to fit: an answer that the initiator could not be given to its own
offer becomes the nearest one that it could, and answers to what it never offered are taken out (RFC 7143 6.2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Protocol

from iscsiproxy.engine.commands import Command, Report
from iscsiproxy.engine.editing import Strainer, appended, fitted, limit_of, shown
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.retelling import FULL_FEATURE, REFUSALS, Exchange, Requests, Responses, same
from iscsiproxy.engine.values import Fn, compile_expr
from iscsiproxy.engine.work import ActError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.params import KEYS, Kind
from iscsiproxy.session.snapshot import Phase, Snapshot
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["NEGOTIATE", "Asymmetry"]

#: What stands for a rule's name in reports: `scenario/negotiate`.
NEGOTIATE = "negotiate"
_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)


class Host(Protocol):
    """What this knows of the engine."""

    commands: list[Command]


class Asymmetry:
    """What `negotiate` of one scenario does to each login that begins while it is `active`."""

    def __init__(self, scenario: Scenario, host: Host, *, active: bool = True) -> None:
        self.rule = f"{scenario.name}/{NEGOTIATE}"
        self._host = host
        self._values: dict[End, dict[str, Fn]] = {
            end: {key: compile_expr(expr) for key, expr in scenario.negotiate.get(end, {}).items()} for end in End
        }
        self._logins: dict[int, Exchange] = {}
        #: Whether logins that begin now are led; those under way are led to their end.
        self.active = active

    def __repr__(self) -> str:
        under_way = sum(not login.over for login in self._logins.values())
        return f"<Asymmetry {self.rule}, {under_way} logins under way>"

    @property
    def needed(self) -> bool:
        """Whether a connection is there whose login it has led, or leads."""
        return bool(self._logins)

    def differs(self, conn: int) -> bool:
        """Tell whether the two legs of a connection hold something different because of this.

        During a login: whether they were told something different.
        """
        login = self._logins.get(conn)
        return login is not None and (login.differs if login.settled else login.changed)

    # --- Standing ---

    def wants(self, look: Look) -> bool:
        """Tell whether this is a PDU of a login that is under way."""
        if look.pdu is None or look.pdu.opcode not in _LOGIN:
            return False
        login = self._logins.get(look.conn)
        if login is not None:
            return not login.over
        if not self.active or look.pdu.opcode != Opcode.LOGIN_REQUEST:
            return False
        return look.view.conn.phase is Phase.CONNECTED

    def apply(self, hand: Hand) -> None:
        """Change what the receiver is told; a text that would get too long goes on as it is, and that is reported."""
        pdu, look = hand.pdu, hand.look
        if hand.dropped:
            return  # one of several rounds: what it says comes with the last
        login = self._logins.get(look.conn)
        if login is None:
            login = self._logins[look.conn] = Exchange(joining=bool(pdu["TSIH"]))
        if pdu.opcode == Opcode.LOGIN_RESPONSE and pdu["Status-Class"]:
            login.over = True
            return
        login.hear(look.leg, pdu)
        edit = (Requests if look.leg is End.INITIATOR else Responses)(self, login, look)
        strainer = login.strainers.setdefault(look.leg, Strainer((), edit.instead))
        strainer.keys, strainer.instead = edit.keys(), edit.instead
        strained, before = replace(strainer), (dict(login.told), set(login.added), set(login.owed), dict(login.said))
        try:
            data = strainer.strain(pdu.data, more=bool(pdu["C"]))
            if not pdu["C"]:
                data = appended(data, list(edit.more(pdu)))
            edited = fitted(pdu, data, limit_of(look))
        except ActError as error:
            login.told, login.added, login.owed, login.said = before
            strainer.back_to(strained)
            edited, edit.changes = fitted(pdu, strainer.give_back() + pdu.data, len(pdu.data) + limit_of(look)), []
            self._report("failed", look, f"{pdu.label}: {error}")
        if edit.changes or edited is not pdu:
            login.changed = True
            hand.change(edited, edit.changes, self.rule)
        if pdu.opcode == Opcode.LOGIN_RESPONSE and pdu["T"] and pdu["NSG"] == FULL_FEATURE:
            login.over = True

    def forget(self, conn: int, leg: End) -> None:
        """Take note that a leg of a connection has ended."""
        login = self._logins.get(conn)
        if login is not None:
            login.over = True
            login.ended.add(leg)
            if len(login.ended) == len(End):
                del self._logins[conn]

    def reached(self, look: Look) -> None:
        """See what each leg has settled on: a connection has come to full feature phase on both."""
        login = self._logins.get(look.conn)
        if login is None or login.settled:
            return
        login.settled = login.over = True
        legs = {end: look.state(look.conn, end, None) for end in End}
        keys = {key for told in self._values.values() for key in told}
        login.differs = any(
            _held(legs[leg], by, key) != _held(legs[leg.other], by, key) for leg in End for by in End for key in keys
        )
        misses = [
            miss for end in End for key in self._values[end] if (miss := self._miss(login, end, key, legs[end], look))
        ]
        for miss in misses:
            self._report("skipped", look, miss)
        told = {End.INITIATOR: login.said, End.TARGET: login.told}
        agreed = [
            f"{end} {key}={shown(told[end][key])}" for end in End for key in self._values[end] if key in told[end]
        ]
        if agreed and not misses:
            self._report("noted", look, f"negotiated: {', '.join(agreed)}")

    def _miss(self, login: Exchange, end: End, name: str, leg: Snapshot, look: Look) -> str:
        """Say that a leg has not settled on what an end was to be told, and why; empty if it has."""
        if not login.concerns(name) or (end, name) in login.absent:
            return ""
        key, holds = KEYS.get(name), _held(leg, end.other, name)
        told = (login.said if end is End.INITIATOR else login.told).get(name)
        if told is None:
            asked = self.value(end, name, look, None, None)
            why = "" if asked is not None and same(key, asked, holds) else f"it was never offered, so {holds} holds"
        else:
            asked = told
            came = login.answered.get(name) if end is End.TARGET else holds
            if key is not None and key.kind is Kind.DECLARED:
                why = f"{came} came" if came in REFUSALS else ""
            elif came is None:
                why = "" if same(key, told, holds) else f"no answer came, so {holds} holds"
            else:
                right = came in told.split(",") if key is None or key.kind is Kind.LIST else same(key, told, came)
                why = "" if right else f"{came} came"
        asked = "its value" if asked is None else shown(asked)
        return f"the {end} leg did not settle on {name}={asked}: {shown(why)}" if why else ""

    # --- what the edits ask ---

    def keys(self, end: End) -> tuple[str, ...]:
        """Give the keys of which an end is to be told something."""
        return tuple(self._values[end])

    def value(self, end: End, key: str, look: Look, offer: str | None, answer: str | None) -> str | None:
        """Compute what an end is to be told; None where something in it is absent."""
        value = self._values[end][key](look.negotiating(offer, answer))
        return None if value is None else str(value)

    def told(self, login: Exchange, end: End, key: str, look: Look, answer: str | None = None) -> str | None:
        """Give what an end is told now; None, and a report, if that cannot be computed."""
        value = self.value(end, key, look, login.offered.get(key), answer)
        if value is None:
            if (end, key) not in login.absent:
                self._report("failed", look, f"{key} for the {end}: the value is absent")
            login.absent.add((end, key))
        else:
            (login.said if end is End.INITIATOR else login.told)[key] = value
        return value

    def _report(self, kind: Literal["failed", "noted", "skipped"], look: Look, text: str) -> None:
        of = look.n if look.pdu is not None else None
        label = look.pdu.label if look.pdu is not None else look.event
        self._host.commands.append(
            Report(kind=kind, conn=look.conn, rule=self.rule, of=of, label=label, text=text, act=NEGOTIATE)
        )


def _held(leg: Snapshot, by: End, name: str) -> str | None:
    """Give what holds on a leg: what was negotiated, or what an end has declared."""
    key = KEYS.get(name)
    return (leg.declared[by] if key is not None and key.kind is Kind.DECLARED else leg.keys).get(name)
