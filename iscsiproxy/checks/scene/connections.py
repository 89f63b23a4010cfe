"""A connection as a judge sees it: its terms, its status numbers, what is on its way (RFC 7143 4.2.2.2, 13)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.resends import Runs
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.tasks import Memory, Task
from iscsiproxy.session.negotiation import Negotiation
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.serial import add, lt

__all__ = ["DEFAULT_TERMS", "Conn", "Terms", "terms_of"]

#: How many statuses of a connection are remembered by StatSN, and how many headers that were given
_STATUSES = 512
_HEADERS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was negotiated, as numbers (RFC 7143 13); `known` tells that the login was seen from its first PDU."""

    known: bool = False
    error_recovery_level: int = 0
    initial_r2t: bool = True
    immediate_data: bool = True
    max_burst: int = 262144
    first_burst: int = 65536
    max_outstanding_r2t: int = 1
    data_pdu_in_order: bool = True
    data_sequence_in_order: bool = True
    header_digest: bool = False
    data_digest: bool = False
    time2wait: int = 2
    time2retain: int = 20
    max_connections: int = 1
    task_reporting: str = "RFC3720"
    protocol_level: int = 1
    initiator_mrdsl: int = 8192  #: MaxRecvDataSegmentLength that the initiator declared
    target_mrdsl: int = 8192  #: and the target

    def mrdsl(self, receiver: End) -> int:
        """Give how long a data segment may be that `receiver` is sent, in bytes (RFC 7143 13.12)."""
        return self.initiator_mrdsl if receiver is End.INITIATOR else self.target_mrdsl


DEFAULT_TERMS: Final = Terms()


def terms_of(negotiation: Negotiation, *, known: bool) -> Terms:
    """Read what a negotiation has settled and what was declared in it."""
    keys = negotiation.settled
    return Terms(
        known=known,
        error_recovery_level=int(keys["ErrorRecoveryLevel"]),
        initial_r2t=keys["InitialR2T"] == "Yes",
        immediate_data=keys["ImmediateData"] == "Yes",
        max_burst=int(keys["MaxBurstLength"]),
        first_burst=int(keys["FirstBurstLength"]),
        max_outstanding_r2t=int(keys["MaxOutstandingR2T"]),
        data_pdu_in_order=keys["DataPDUInOrder"] == "Yes",
        data_sequence_in_order=keys["DataSequenceInOrder"] == "Yes",
        header_digest=negotiation.header_digest,
        data_digest=negotiation.data_digest,
        time2wait=int(keys["DefaultTime2Wait"]),
        time2retain=int(keys["DefaultTime2Retain"]),
        max_connections=int(keys["MaxConnections"]),
        task_reporting=keys["TaskReporting"],
        protocol_level=int(keys["iSCSIProtocolLevel"]),
        initiator_mrdsl=negotiation.max_recv_data_segment_length(End.INITIATOR),
        target_mrdsl=negotiation.max_recv_data_segment_length(End.TARGET),
    )


class Conn(Memory):
    """One connection on one leg. Numbers not known are None.

    `next_stat` is the StatSN that the target has to use next, `acked` the highest ExpStatSN of the initiator.
    `disturbed` is the last event by which a fault touched it: from then on a peer is free to give it up; `slowed` the
    one by which a fault holds something up, as long as it may.
    """

    __slots__ = (
        "ack_tags",
        "acked",
        "acked_note",
        "cid",
        "complete",
        "disturbed",
        "ended",
        "given",
        "logout",
        "logout_answer",
        "next_stat",
        "notice",
        "number",
        "opened",
        "phase",
        "seen",
        "session",
        "slowed",
        "status_note",
        "status_runs",
        "statuses",
        "terms",
    )

    def __init__(self, number: int, opened: float, session: Session, *, seen: bool) -> None:
        super().__init__()
        self.number = number
        self.opened = opened
        self.seen = seen  #: its login was seen from the first PDU
        self.complete = seen  #: nothing of it was missed
        self.session = session
        self.phase = Phase.CONNECTED
        self.cid: int | None = None
        self.terms = DEFAULT_TERMS
        self.next_stat: int | None = None
        self.status_note: Note | None = None  #: the last PDU that advanced StatSN
        self.statuses: dict[int, Note] = {}  #: by StatSN, the last PDUs that advanced it
        self.status_runs = Runs()  #: the StatSNs that were asked for again
        self.ack_tags: dict[int, Task] = {}  #: by Target Transfer Tag, tasks whose data is to be acknowledged (A)
        self.acked: int | None = None
        self.acked_note: Note | None = None
        self.given: deque[Note] = deque(maxlen=_HEADERS)  #: the last PDUs that the judged end was given, spoiled too
        self.logout: Note | None = None  #: the Logout Request that closes it
        self.logout_answer: Note | None = None
        self.notice: Note | None = None  #: the Asynchronous Message in which the target announced its end
        self.disturbed: Note | None = None
        self.slowed: Note | None = None
        self.ended: set[tuple[End, str]] = set()  #: which sides have ended: the leg, and by whom

    def __repr__(self) -> str:
        return f"<Conn {self.number} {self.phase.value} next StatSN {self.next_stat}>"

    def advance(self, stat_sn: int, note: Note) -> None:
        """Note the StatSN of a PDU that advances it; one that was sent again changes nothing."""
        if stat_sn in self.statuses:
            return
        self.statuses[stat_sn] = note
        if len(self.statuses) > _STATUSES:
            del self.statuses[next(iter(self.statuses))]
        self.next_stat = (stat_sn + 1) & 0xFFFFFFFF
        self.status_note = note

    def acks_asked(self, ttt: int, task: Task) -> None:
        """Note a Data-In with the A bit, which the initiator acknowledges by this tag (RFC 7143 11.7.2)."""
        self.ack_tags.pop(ttt, None)
        self.ack_tags[ttt] = task
        if len(self.ack_tags) > _STATUSES:
            del self.ack_tags[next(iter(self.ack_tags))]

    def acknowledge(self, exp_stat_sn: int, note: Note) -> None:
        """Note an ExpStatSN: it never goes back, and what nobody has sent is no acknowledgement."""
        if exp_stat_sn == self.acked or (self.acked is not None and lt(exp_stat_sn, self.acked)):
            return
        if self.next_stat is None or not lt(add(self.next_stat, 1), exp_stat_sn):
            self.acked, self.acked_note = exp_stat_sn, note

    def forget(self) -> None:
        """Take its numbers as unknown: PDUs went by unseen."""
        self.complete = False
        self.next_stat = self.acked = None
        self.ack_tags.clear()
        self.statuses.clear()
        self.given.clear()
