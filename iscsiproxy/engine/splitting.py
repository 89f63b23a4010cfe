"""One text in several rounds, and one answer for all of them.

A Login or Text PDU is cut into pieces. The first goes in its place; the others go one by one, each when the receiver
has answered the one before. These answers are kept from the sender: what they say is in front of what the last one
says, so the sender sees one answer, with the flags of the last and the keys of all. It works both ways: the answer to a
request is a response, that to a response the next request (RFC 7143 6.2, 6.3, 6.4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from iscsiproxy.engine.authored import Errand, author_of
from iscsiproxy.engine.commands import Detach, Finish, Report, Send
from iscsiproxy.engine.editing import Strainer, appended, limit_of, shown
from iscsiproxy.engine.facts import Look, fresh_tag
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.work import ActError, Host
from iscsiproxy.language.spec import Cut
from iscsiproxy.session.events import Change, Delivered
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import MAX_TEXT, split_pairs

__all__ = ["By", "OwnRounds", "Plan", "Rounds", "first_piece", "plan"]

#: What makes the rounds: the C bit, the T bit of login, the F bit of text.
By = Literal["C", "T", "F"]

_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)
#: Which PDU answers which: the next request too answers a response that does not end the negotiation.
_ANSWERS = {
    Opcode.LOGIN_REQUEST: Opcode.LOGIN_RESPONSE,
    Opcode.LOGIN_RESPONSE: Opcode.LOGIN_REQUEST,
    Opcode.TEXT_REQUEST: Opcode.TEXT_RESPONSE,
    Opcode.TEXT_RESPONSE: Opcode.TEXT_REQUEST,
}
_FULL_FEATURE = 3
_REQUEST_NUMBERS = frozenset({"CmdSN", "ExpStatSN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a text is to be split.

    `added` are the keys that only the proxy says. Without `finish` only the first piece goes.
    """

    by: By
    pieces: tuple[bytes, ...]
    added: frozenset[str] = frozenset()
    finish: bool = True


def plan(
    text: bytes,
    *,
    by: By,
    cuts: Sequence[Cut] = (),
    rounds: int = 2,
    add: Mapping[int, Sequence[str]] | None = None,
    finish: bool = True,
) -> Plan:
    """Cut a text; `add` has what each round, from 1 on, says besides. Raises ActError for a place it does not have.

    By C the pieces are one text, and what is added stands at its end before it is cut. Otherwise each is a text of its
    own, and what is added stands at its end.
    """
    more = {number: tuple(pairs) for number, pairs in sorted((add or {}).items())}
    count = max(rounds, len(cuts) + 1)
    if more and max(more) > count:
        raise ActError(f"add: there is no round {max(more)}, only {count}")
    if count < 2:
        raise ActError("rounds: one is not several")
    if by == "C":
        text = appended(text, [pair for pairs in more.values() for pair in pairs])
    places = sorted(_place(text, cut) for cut in cuts) or (_middles(text)[: count - 1] if by == "C" else [])
    places += [len(text)] * (count - 1 - len(places))
    pieces = [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True)]
    if by != "C":
        pieces = [appended(piece, more.get(number, ())) for number, piece in enumerate(pieces, 1)]
    keys = frozenset(pair.partition("=")[0] for pairs in more.values() for pair in pairs)
    return Plan(by=by, pieces=tuple(pieces), added=keys, finish=finish)


def _starts(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the keys of a text with their places."""
    at = 0
    for pair in (*split_pairs(text)[0], split_pairs(text)[1]):
        if b"=" in pair:
            yield at, pair.partition(b"=")[0]
        at += len(pair) + 1


def _place(text: bytes, cut: Cut) -> int:
    at = 0
    if cut.key:
        found = [start for start, key in _starts(text) if key == cut.key.encode()]
        if not found:
            raise ActError(f"at: the text has no {cut.key}")
        at = found[0]
    if at + cut.offset > len(text):
        raise ActError(f"at: byte {at + cut.offset} is behind the end of the text, which has {len(text)}")
    return at + cut.offset


def _middles(text: bytes) -> list[int]:
    """Give the middle of each key but the first, or of that if there is no other."""
    middles = [at + len(key) // 2 for at, key in _starts(text)]
    return middles[1:] or middles


class Rounds:
    """A text on its way in pieces. Stands in the way of the receiver's answers; the slot of the first piece is open."""

    def __init__(self, host: Host, hand: Hand, rule: str, plan: Plan) -> None:
        self._host, self._rule, self._plan = host, rule, plan
        self._whole, self._n = hand.pdu, hand.n
        self._conn, self._sender = hand.look.conn, hand.look.leg
        self._tag: int = hand.pdu["ITT"]
        self._rest = deque(plan.pieces[1:] if plan.finish else ())
        self._collected = b""
        self._offered = {key.decode("utf-8", "replace") for _, key in _starts(hand.pdu.data)}
        self._login = hand.pdu.opcode in _LOGIN
        task = hand.look.view.task
        self._asked = None if task is None else task.command
        self._ttt = fresh_tag(hand.look) if hand.pdu.opcode == Opcode.TEXT_RESPONSE else NO_TAG
        self._limit = limit_of(hand.look)

    def __repr__(self) -> str:
        return f"<Rounds of {self._whole.label} ITT {self._tag:#x}, {len(self._rest)} to come>"

    def begin(self, hand: Hand) -> list[Change]:
        """Put the first piece in hand, and wait for its answer. Raises ActError if a piece is too long."""
        longest = max(map(len, self._plan.pieces))
        if longest > self._limit:
            raise ActError(f"a piece gets {longest} bytes long, the receiver takes {self._limit}")
        first = self._piece(self._plan.pieces[0], more=True, final=False)
        changes = [Change(what="text", old=f"{len(hand.pdu.data)} bytes", new=f"{len(first.data)} bytes")]
        changes += [
            Change(what=name, old=str(hand.pdu[name]), new=str(first[name]))
            for name in ("C", "T", "F")
            if name in first.fields and hand.pdu[name] != first[name]
        ]
        hand.change(first, changes, self._rule)
        hand.fate, hand.stays = self._rule, bool(self._rest)
        self._host.when_delivered(hand.n, self._gone)
        # Before what else waits for the answer: that is the last one only.
        self._host.standing.insert(0, self)
        return changes

    def _gone(self, event: Delivered) -> None:
        """Take note that the first piece has gone; what is behind it need not wait for the others."""
        if self._rule not in event.rules:
            self._end()  # what was done to it has been undone
            return
        self._tag = event.pdu["ITT"]
        if self._rest:
            self._host.commands.append(Detach(slot=self._n))

    # --- pieces ---

    def _piece(self, data: bytes, *, more: bool, final: bool, answer: Pdu | None = None) -> Pdu:
        """Make a piece that `answer` has asked for; `more` of the text follows, or it has all that the whole has."""
        piece = _piece(self._whole, self._plan.by, data, more=more, final=final, answer=answer)
        if not final and piece.opcode == Opcode.LOGIN_RESPONSE and self._asked is not None:
            return piece.with_fields({"TSIH": self._asked["TSIH"]})  # there is none before the last (RFC 7143 11.13.3)
        return piece.with_fields({"TTT": self._ttt}) if not final and piece.opcode == Opcode.TEXT_RESPONSE else piece

    def _send(self, data: bytes, answer: Pdu, *, more: bool, final: bool) -> None:
        piece = self._piece(data, more=more, final=final, answer=answer)
        change = Change(what="PDU", old="absent", new=summary(piece))

        def go() -> None:
            # When the answer's own numbers have been hidden: this acknowledges it.
            commands = self._host.commands
            commands.append(Send(slot=self._n, pdu=piece, changes=(change,), rules=(self._rule,), extra=True))
            if final:
                commands.append(Finish(slot=self._n))

        self._host.due(go)

    # --- Standing ---

    def wants(self, look: Look) -> bool:
        """Tell whether what has arrived is the receiver's answer."""
        pdu = look.pdu
        if pdu is None or look.conn != self._conn or look.leg is self._sender:
            return False
        if pdu.opcode == Opcode.REJECT:
            header = pdu.data[:BHS_LENGTH]
            return len(header) == BHS_LENGTH and Pdu(header).get("ITT") == self._tag
        return pdu.opcode == _ANSWERS[Opcode(self._whole.opcode)] and pdu["ITT"] == self._tag

    def apply(self, hand: Hand) -> None:
        """Send the next piece, and keep the answer; or let the last answer go, with what all of them have said."""
        if hand.dropped:
            return
        came = hand.pdu
        if came.opcode == Opcode.REJECT or came.get("Status-Class"):
            self._over(f"{summary(came)} ends it")
        elif not self._plan.finish and self._login:
            self._keep(hand)
            self._end()
        elif self._sender is End.INITIATOR:
            self._answered(hand)
        else:
            self._continued(hand)

    def forget(self, conn: int, leg: End) -> None:
        """Give up with the connection."""
        if conn == self._conn:
            self._end()

    # --- towards the target: answers are responses ---

    def _answered(self, hand: Hand) -> None:
        came = hand.pdu
        if not self._plan.finish:
            self._last(hand, "it is not continued")
        elif not self._rest:
            self._last(hand, "")
        elif came["T" if self._login else "F"]:
            self._last(hand, f"{summary(came)} ends it before all has been said")
        elif not self._login and came["TTT"] == NO_TAG:
            self._last(hand, "without a Target Transfer Tag it cannot be continued")
        elif hand.look.state(self._conn, End.TARGET, None).conn.phase is Phase.LOGOUT:
            self._last(hand, "the sender has logged out meanwhile, and behind that no request may go")
        else:
            self._keep(hand)
            if came["C"]:
                self._send(b"", came, more=True, final=False)  # it has more to say first (RFC 7143 6.2)
            else:
                data = self._rest.popleft()
                self._send(data, came, more=bool(self._rest), final=not self._rest)

    def _last(self, hand: Hand, why: str) -> None:
        """Give the sender its answer."""
        came = hand.pdu
        if why:
            self._over(why)
            if not self._login:
                # The sender has said all it has to say, and has nothing to go on with.
                hand.change(came.with_fields({"F": 1, "TTT": NO_TAG, "LUN": 0}), _flags(came), self._rule)
        else:
            self._end()
        self._joined(hand)

    # --- towards the initiator: answers are its next requests ---

    def _continued(self, hand: Hand) -> None:
        came = hand.pdu
        if not self._login and came["TTT"] == NO_TAG:
            self._over(f"{summary(came)} begins anew")
        elif not self._plan.finish:
            self._keep(hand)
            self._end()
        elif self._rest:
            self._keep(hand)
            data, flag = self._rest.popleft(), "T" if self._login else "F"
            more = bool(self._rest)
            if not more and self._whole[flag] and not came[flag]:
                # It may be told of the end only when it has asked for that (RFC 7143 6.3, 11.11.1).
                self._rest.append(b"")
            self._send(data, came, more=more, final=not self._rest)
            if not self._rest and self._ends():
                if self._collected:
                    self._report("noted", f"{len(self._collected)} bytes that it said meanwhile are for nobody")
                self._forsake()
        else:
            self._end()
            self._joined(hand)

    def _ends(self) -> bool:
        """Tell whether nothing is answered to the whole."""
        whole = self._whole
        return bool(whole["T"] and whole["NSG"] == _FULL_FEATURE) if self._login else bool(whole["F"])

    # --- both ---

    def _keep(self, hand: Hand) -> None:
        """Keep an answer from the sender, but for what it says."""
        self._collected = (self._collected + hand.pdu.data)[:MAX_TEXT]
        hand.swallow(self._rule)

    def _joined(self, hand: Hand) -> None:
        """Put what all answers have said into the last one, but for what answers only the proxy."""
        came, changes, seen = hand.pdu, list[Change](), set[str]()

        def instead(key: str, value: str) -> str | None:
            if key in self._offered and key not in seen:
                seen.add(key)
                return f"{key}={value}"
            changes.append(Change(what=f"text.{key}", old=shown(value), new="removed"))
            return None

        strainer = Strainer(self._plan.added, instead)
        data = strainer.strain(self._collected + came.data, more=bool(came["C"])) + strainer.give_back()
        if data == came.data:
            return
        changes.append(Change(what="text", old=f"{len(came.data)} bytes", new=f"{len(data)} bytes"))
        hand.change(came.with_data(data), changes, self._rule)
        limit = limit_of(hand.look)
        if len(data) > limit:
            pieces = tuple(data[at : at + limit] for at in range(0, len(data), limit))
            Rounds(self._host, hand, self._rule, Plan(by="C", pieces=pieces)).begin(hand)

    def _over(self, why: str) -> None:
        """Give up the rest."""
        if why and (self._rest or not self._plan.finish):
            self._report("noted", f"split_text: {why}")
        self._end()

    def _end(self) -> None:
        if self._rest:
            self._rest.clear()
            self._host.commands.append(Finish(slot=self._n))
        self._forsake()

    def _forsake(self) -> None:
        if self in self._host.standing:
            self._host.standing.remove(self)

    def _report(self, kind: Literal["noted"], text: str) -> None:
        self._host.commands.append(Report(kind=kind, conn=self._conn, rule=self._rule, of=self._n, text=text))


class OwnRounds:
    """A Text Request of the proxy's own, in pieces: its errand swallows the answers, this goes on with them."""

    def __init__(self, host: Host, errand: Errand, whole: Pdu, plan: Plan) -> None:
        self._host, self._errand, self._whole, self._plan = host, errand, whole, plan
        self._rest = deque(plan.pieces[1:])

    def __repr__(self) -> str:
        return f"<OwnRounds of ITT {self._whole['ITT']:#x}, {len(self._rest)} to come>"

    def wants(self, look: Look) -> bool:
        """Tell whether what has arrived answers a piece."""
        pdu = look.pdu
        if pdu is None or look.conn != self._errand.conn or pdu.opcode != Opcode.TEXT_RESPONSE:
            return False
        return bool(pdu["ITT"] == self._whole["ITT"])

    def apply(self, hand: Hand) -> None:
        """Send the next piece, if there may be one."""
        came, errands = hand.look.pdu, self._host.errands
        assert came is not None
        if came["F"] or not self._rest:
            self._forsake()
        elif came["TTT"] == NO_TAG:
            # It cannot be continued (RFC 7143 11.11.4): there is no other answer to wait for.
            self._forsake()
            answered, self._errand.answered = self._errand.answered, None
            errands.in_vain(self._errand.ticket)
            if answered is not None:
                answered(hand.look)
        else:
            data = b"" if came["C"] else self._rest.popleft()
            final = not self._rest and not came["C"]
            piece = _piece(self._whole, self._plan.by, data, more=bool(self._rest), final=final, answer=came)
            one = self._errand
            errand = Errand(errands.ticket(), one.conn, one.to, piece, one.rule, one.session, borrowed=True)
            errands.begin(errand)
            self._host.due(lambda: self._host.commands.append(author_of(errand, fill=_REQUEST_NUMBERS)))

    def forget(self, conn: int, leg: End) -> None:
        """Give up with the connection."""
        if conn == self._errand.conn:
            self._forsake()

    def _forsake(self) -> None:
        if self in self._host.standing:
            self._host.standing.remove(self)


def first_piece(whole: Pdu, plan: Plan) -> Pdu:
    """Give what goes first of a request that nobody has asked for yet."""
    return _piece(whole, plan.by, plan.pieces[0], more=True, final=False)


def _piece(whole: Pdu, by: By, data: bytes, *, more: bool, final: bool, answer: Pdu | None = None) -> Pdu:
    fields: dict[str, int | bytes] = {}
    if not final:
        fields = {"C": int(more and by == "C"), **({"T": 0, "NSG": 0} if whole.opcode in _LOGIN else {"F": 0})}
    if whole.opcode == Opcode.TEXT_REQUEST and answer is not None:
        fields |= {"TTT": answer["TTT"], "LUN": answer["LUN"]}  # RFC 7143 11.10.3, 11.10.4
    return whole.with_parts(header_digest=b"", data_digest=b"").with_data(data).with_fields(fields)


def _flags(came: Pdu) -> list[Change]:
    new = {"F": 1, "TTT": NO_TAG}
    return [
        Change(what=name, old=str(came[name]), new=str(value)) for name, value in new.items() if came[name] != value
    ]
