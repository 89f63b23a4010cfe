"""`merge`: one PDU for several."""

from __future__ import annotations

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.pieces import MAX_PIECES, differences, fold, join
from iscsiproxy.engine.work import ActError, Built, Needless, Outcome, Pause, Work
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind, ValueKind
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["SPEC", "Gathering", "run"]

#: How long what is to follow may keep one waiting, in seconds: as with `delay`.
_AT_MOST = 60.0

SPEC = ActSpec(
    name="merge",
    help="one PDU for several of a sequence that come one after the other; an end of the sequence ends it too",
    main="count",
    params=(
        Param(
            name="count",
            kind=ParamKind.NUMBER,
            help="how many become one",
            default=Literal_(value=2, kind=ValueKind.NUMBER),
        ),
        Param(
            name="status",
            kind=ParamKind.CHOICE,
            help="folded: the last Data-In takes the status of a GOOD SCSI-Response too",
            default="apart",
            choices=("apart", "folded"),
        ),
    ),
    on=frozenset({Opcode.DATA_OUT, Opcode.DATA_IN}),
    fate=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Keep what is in hand until what is to become one with it has come."""
    if work.hand is not None and work.rule.name in work.hand.edited:
        work.fired(act.act, "became one with what came before it")
        return None
    hand = work.need_hand()
    pdu = hand.pdu
    count = work.value(act.params["count"], "count")
    if not 1 <= count <= MAX_PIECES:
        raise ActError(f"count is {count}, expected 1 to {MAX_PIECES}")
    folds = act.params["status"] == "folded" and pdu.opcode == Opcode.DATA_IN
    if len(pdu.data) != pdu["DataSegmentLength"]:
        raise ActError(f"it has {len(pdu.data)} bytes of data, and says {pdu['DataSegmentLength']}")
    if pdu.get("S") or (not folds and (pdu["F"] or count == 1)):
        raise Needless("nothing of its sequence follows")
    gathering = Gathering(work, hand, count, folds=folds)
    hand.fate = work.rule.name
    hand.orphan = "deliver"
    work.report("held", f"until {gathering.awaited}")

    def resume(outcome: Outcome) -> bool:
        gathering.end()
        if gathering.got == 1 and not gathering.folded:
            if outcome != "ended":
                work.report("expired", gathering.why or f"{gathering.awaited} did not come in {_AT_MOST:g} s")
            return False
        changes = differences(pdu, gathering.pdu)
        hand.change(gathering.pdu, changes, work.rule.name)
        hand.regrouped = True
        if outcome != "ended":
            work.fired(act.act, str(gathering), changes)
        return True

    work.host.standing.append(gathering)
    return Pause((), _AT_MOST, resume)


def _spoilt(pdu: Pdu | None) -> bool:
    """Tell whether a peer's digest is wrong: that is evidence, and must not be made right."""
    return pdu is not None and False in (pdu.header_digest_ok(), pdu.data_digest_ok())


class Gathering:
    """What becomes one with a PDU that waits: all of it goes in that one's place, and nobody sees that others came.

    `pdu` is what has been put together so far, `got` of how many PDUs. `why` says what has ended it early.
    """

    def __init__(self, work: Work, hand: Hand, count: int, *, folds: bool) -> None:
        self._work = work
        self._look = hand.look
        self._count = count
        self._folds = folds
        self._complete = bool(hand.look.pdu and hand.look.pdu["F"]) or count == 1
        self.pdu: Pdu = hand.pdu
        self.got = 1
        self.folded = False
        self.why = ""

    def __repr__(self) -> str:
        return f"<Gathering {self.got} of {self._count}, {len(self.pdu.data)} bytes>"

    def __str__(self) -> str:
        status = " with the status of their task" if self.folded else ""
        many = "one PDU" if self.got == 1 else f"one PDU for {self.got}"
        return f"{many} of {len(self.pdu.data)} bytes{status}"

    @property
    def awaited(self) -> str:
        """What has to come."""
        return "the status of its task" if self._complete else f"{self._count - self.got} more of its sequence"

    def wants(self, look: Look) -> bool:
        """Tell whether it goes on with the sequence, or tells the end of its task."""
        pdu, mine = look.pdu, self._look.pdu
        if pdu is None or mine is None or look.conn != self._look.conn or look.leg is not self._look.leg:
            return False
        if pdu.get("ITT") != mine["ITT"]:
            return False
        if pdu.opcode == Opcode.DATA_OUT and mine["TTT"] != pdu["TTT"]:
            return False
        return pdu.opcode in (mine.opcode, Opcode.SCSI_COMMAND, Opcode.SCSI_RESPONSE)

    def apply(self, hand: Hand) -> None:
        """Take what has come."""
        if hand.dropped:
            return
        if hand.pdu.opcode != self.pdu.opcode:
            self._status(hand)
        elif _spoilt(hand.look.pdu):
            self._give_up("what follows it has a wrong digest")
        elif self._complete:
            self._give_up("its task has no status yet")
        else:
            self._data(hand)

    def _data(self, hand: Hand) -> None:
        joined = join(self.pdu, hand.pdu)
        if joined is None:
            self._give_up("what follows it does not begin where it ends")
            return
        self.pdu = joined
        self.got += 1
        arrived = hand.look.pdu
        self._complete = self.got == self._count or bool(arrived is not None and arrived["F"])
        self._swallow(hand)
        if self._complete and (not self._folds or joined["S"] or not joined["F"]):
            self._go()

    def _status(self, hand: Hand) -> None:
        fits = self._complete and hand.pdu.opcode == Opcode.SCSI_RESPONSE and not _spoilt(hand.look.pdu)
        folded = fold(self.pdu, hand.pdu) if fits else None
        if folded is None:
            self._give_up("its task has ended, and the status cannot be told in it")
            return
        self.pdu, self.folded = folded, True
        self._swallow(hand)
        self._go()

    def _swallow(self, hand: Hand) -> None:
        hand.swallow(self._work.rule.name)
        hand.edited.add(self._work.rule.name)

    def forget(self, conn: int, leg: End) -> None:
        """Let go what has come when its sender has gone."""
        if conn == self._look.conn and leg is self._look.leg:
            self._give_up("its sender has gone")

    def _give_up(self, why: str) -> None:
        self.why = why
        self._go()

    def _go(self) -> None:
        self.end()
        self._work.host.proceed(self._work.chain, "met")

    def end(self) -> None:
        """Wait for nothing more."""
        if self in self._work.host.standing:
            self._work.host.standing.remove(self)
