"""`split`: several PDUs for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from iscsiproxy.engine.commands import Detach, Finish, Send
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Copy, Hand
from iscsiproxy.engine.pieces import apart, differences, lengths, split_data, split_r2t, without_status
from iscsiproxy.engine.work import ActError, Built, Host, Needless, Pause, RuleView, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.session.events import Change, Delivered
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add

__all__ = ["SPEC", "Burst", "Pieces", "run"]

SPEC = ActSpec(
    name="split",
    help="several PDUs for one, renumbered",
    main="size",
    params=(
        Param(name="size", kind=ParamKind.NUMBER, help="bytes in each", excludes=("into",)),
        Param(name="into", kind=ParamKind.NUMBER, help="how many"),
        Param(name="first", kind=ParamKind.NUMBER, help="bytes in the first, whatever the others have; data may be 0"),
        Param(
            name="in_turn",
            kind=ParamKind.FLAG,
            help="of an R2T: each piece when the one before it is answered; no: all at once",
            default=True,
        ),
        Param(
            name="status",
            kind=ParamKind.CHOICE,
            help="of a Data-In with S; apart: in a SCSI-Response of its own",
            default="last",
            choices=("last", "apart"),
        ),
        Param(name="as", kind=ParamKind.NEW_NAME, help="a name for the pieces: NAME.1, NAME.2"),
    ),
    on=frozenset({Opcode.DATA_OUT, Opcode.DATA_IN, Opcode.R2T}),
    fate=True,
    one_of=("size", "into", "first", "status"),
)

_LENGTH = "DesiredDataTransferLength"


def run(act: Built, work: Work) -> Pause | None:
    """Put pieces in the place of what is in hand."""
    hand = work.need_hand()
    if hand.pdu.opcode == Opcode.R2T:
        _split_r2t(act, work, hand)
    else:
        _split_data(act, work, hand)
    return None


def _lengths(act: Built, work: Work, total: int) -> list[int]:
    given = {
        name: None if (fn := act.params[name]) is None else work.value(fn, name) for name in ("size", "into", "first")
    }
    if all(value is None for value in given.values()) and act.params["status"] != "apart":
        raise ActError("it needs `size`, `into` or `first`")
    try:
        return lengths(total, **given)
    except ValueError as error:
        raise ActError(str(error)) from error


def _split_data(act: Built, work: Work, hand: Hand) -> None:
    whole = hand.pdu
    if len(whole.data) != whole["DataSegmentLength"]:
        raise ActError(f"it has {len(whole.data)} bytes of data, and says {whole['DataSegmentLength']}")
    pieces = split_data(whole, _lengths(act, work, len(whole.data)))
    if act.params["status"] == "apart" and whole.get("S"):
        pieces[-1:] = [without_status(pieces[-1]), apart(whole)]
    if len(pieces) == 1:
        raise Needless(f"it is one piece of {len(whole.data)} bytes already")
    text = f"{len(pieces)} PDUs for one, with {', '.join(_sizes(len(one.data) for one in pieces))} bytes"
    _put(act, work, hand, pieces, text)
    if act.params["as"] is not None:
        work.once_it_stands(Pieces(work.host, work.rule, hand, len(pieces), act.params["as"]).begin)


def _split_r2t(act: Built, work: Work, hand: Hand) -> None:
    whole = hand.pdu
    parts = _lengths(act, work, whole[_LENGTH])
    if len(parts) == 1:
        raise Needless(f"it is one piece of {parts[0]} bytes already")
    if not all(parts):
        raise ActError("an R2T of 0 bytes wants nothing (RFC 7143 11.8.5)")
    in_turn = act.params["in_turn"]
    # The first keeps its tag: a burst that is known by it counts from 0 again (RFC 7143 11.7.5).
    pieces = split_r2t(whole, parts, [whole["TTT"], *_fresh(work, whole, len(parts) - 1)])
    how = "one after the other" if in_turn else "at once"
    text = f"{len(pieces)} R2Ts for one, {how}, of {', '.join(_sizes(parts))} bytes"
    now, later = (pieces[:1], pieces[1:]) if in_turn else (pieces, [])
    _put(act, work, hand, now, text)
    hand.stays = bool(later)
    work.once_it_stands(Burst(work.host, work.rule, hand, whole, now, later, act.params["as"]).begin)


def _put(act: Built, work: Work, hand: Hand, pieces: Sequence[Pdu], text: str) -> None:
    """Put the first piece in hand, and the others behind it."""
    whole, first, rule = hand.pdu, pieces[0], work.rule.name
    for piece in pieces[1:]:
        hand.copies.append(Copy(hand.sealed(piece), tuple(_changes(whole, piece)), rule, _no_ticket, extra=True))
    changes = _changes(whole, first)
    hand.change(first, changes, rule)
    hand.fate, hand.regrouped = rule, True
    work.fired(act.act, text, changes)


def _no_ticket() -> int:
    return 0


def _changes(whole: Pdu, piece: Pdu) -> list[Change]:
    if piece.opcode == whole.opcode:
        return differences(whole, piece)
    return [Change(what="SCSI-Response", old="absent", new="the status of the Data-In")]


def _fresh(work: Work, whole: Pdu, count: int) -> list[int]:
    """Draw Target Transfer Tags that no piece in flight has."""
    used = {whole["TTT"], NO_TAG}
    for standing in work.host.standing:
        if isinstance(standing, Burst):
            used |= standing.tags
    tags: list[int] = []
    while len(tags) < count:
        tag = work.host.rng.randint(0, NO_TAG - 1)
        if tag not in used:
            used.add(tag)
            tags.append(tag)
    return tags


def _sizes(parts: Iterable[int]) -> list[str]:
    """Write sizes, runs of equal ones as `N × SIZE`."""
    runs: list[tuple[int, int]] = []
    for part in parts:
        count = 1
        if runs and runs[-1][1] == part:
            count += runs.pop()[0]
        runs.append((count, part))
    return [str(size) if count == 1 else f"{count} × {size}" for count, size in runs]


class Pieces:
    """The pieces of one PDU on their way: each is bound to its name when it has gone."""

    def __init__(self, host: Host, rule: RuleView, hand: Hand, count: int, name: str | None) -> None:
        self._host = host
        self._rule = rule
        self._n = hand.n
        self._conn = hand.look.conn
        self._count = count
        self._name = name
        self.gone = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.gone} of {self._count} gone>"

    def begin(self) -> None:
        """Come into force."""
        self._host.written[self._n] = self.written
        self._host.standing.append(self)

    def written(self, event: Delivered) -> None:
        """Take note that a piece has gone."""
        if event.sent != -1:
            return  # the rest of it is to come
        self.gone += 1
        if self._name is not None:
            self._host.made(self._rule, f"{self._name}.{self.gone}", event)
        if self.gone == self._count:
            self._all_gone()

    def _all_gone(self) -> None:
        self.end()

    def wants(self, look: Look) -> bool:
        """Want nothing that arrives."""
        return False

    def apply(self, hand: Hand) -> None:
        """Do nothing."""

    def forget(self, conn: int, leg: End) -> None:
        """Give up with the connection."""
        if conn == self._conn:
            self.end()

    def end(self) -> None:
        """Be over."""
        self._host.written.pop(self._n, None)
        if self in self._host.standing:
            self._host.standing.remove(self)


class Burst(Pieces):
    """The pieces of an R2T, and the Data-Outs that answer them: to the target these are the one burst it asked for.

    They get the tag of its R2T, DataSN that go on from piece to piece, and F on the last of all (RFC 7143 11.7). The
    pieces in `later` go to the initiator when the one before is answered; until then the slot stands out of its line.
    It is over with the last Data-Out, with the task, or with the connection.
    """

    def __init__(
        self,
        host: Host,
        rule: RuleView,
        hand: Hand,
        whole: Pdu,
        now: Sequence[Pdu],
        later: Sequence[Pdu],
        name: str | None,
    ) -> None:
        super().__init__(host, rule, hand, len(now) + len(later), name)
        self._whole = whole
        self._tags = frozenset(piece["TTT"] for piece in (*now, *later))
        self._unanswered = set(self._tags)
        self._later = [(hand.sealed(piece), tuple(differences(whole, piece))) for piece in later]
        self._slot_open = bool(later)
        self._behind: list[Hand] = []  # R2Ts of the task that have come since
        self._data_sn = 0

    @property
    def tags(self) -> frozenset[int]:
        """The tags of the pieces."""
        return self._tags

    def written(self, event: Delivered) -> None:
        """Take note that a piece has gone; what follows the first need not wait for the others."""
        if not self.gone and event.pdu[_LENGTH] == self._whole[_LENGTH]:
            self._slot_open = False
            self.end()  # what was done to the R2T has been undone
            return
        if self.gone == 0 and self._later:
            self._host.commands.append(Detach(slot=self._n))
        super().written(event)

    def _all_gone(self) -> None:
        self._host.written.pop(self._n, None)

    def wants(self, look: Look) -> bool:
        """Tell whether it is an answer to a piece, or the end of the task."""
        pdu = look.pdu
        if pdu is None or not self.gone or look.conn != self._conn or pdu.get("ITT") != self._whole["ITT"]:
            return False
        if pdu.opcode == Opcode.DATA_OUT:
            return pdu["TTT"] in self._tags
        if pdu.opcode == Opcode.R2T:
            return bool(self._later)
        return pdu.opcode in (Opcode.SCSI_RESPONSE, Opcode.SCSI_COMMAND)

    def apply(self, hand: Hand) -> None:
        """Make a Data-Out one of the burst; at the end of a piece send the next. Keep R2Ts behind the last."""
        pdu = hand.pdu
        if pdu.opcode == Opcode.R2T:
            hand.kept, hand.held = [], True
            self._host.commands.append(Detach(slot=hand.n))
            self._behind.append(hand)
            return
        if pdu.opcode != Opcode.DATA_OUT:
            self.end()  # the tag is free, or belongs to another task
            return
        last = bool(pdu["F"])
        if last:
            self._unanswered.discard(pdu["TTT"])
        values = {"TTT": self._whole["TTT"], "DataSN": self._data_sn, "F": int(last and not self._unanswered)}
        self._data_sn = add(self._data_sn, 1)
        changed = pdu.with_fields(values)
        hand.change(changed, differences(pdu, changed), self._rule.name)
        if last and self._later:
            piece, changes = self._later.pop(0)
            rules = (self._rule.name,)
            self._host.commands.append(Send(slot=self._n, pdu=piece, changes=changes, rules=rules, extra=True))
            if not self._later:
                self._close_slot()
        if not self._unanswered:
            self.end()

    def _close_slot(self) -> None:
        if self._slot_open:
            self._slot_open = False
            self._host.commands.append(Finish(slot=self._n))
        self._release()

    def _release(self) -> None:
        """Let the R2Ts go that came behind this one; if the next has pieces too, the others wait for those."""
        bursts = {one._n: one for one in self._host.standing if isinstance(one, Burst)}
        while self._behind:
            hand = self._behind.pop(0)
            kept = hand.kept or ()
            self._host.commands += [replace(one, late=True) if isinstance(one, Send) else one for one in kept]
            hand.kept = None
            following = bursts.get(hand.n)
            if following is not None and following._later:
                following._behind += self._behind
                self._behind = []

    def end(self) -> None:
        """Be over."""
        super().end()
        self._later.clear()
        self._close_slot()
