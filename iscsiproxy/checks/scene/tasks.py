"""A task as a judge sees it: what was asked for, and every byte and number that came of it (RFC 7143 4.2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from iscsiproxy.checks.scene.extents import Extents
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.resends import Resends
from iscsiproxy.errors import ScsiError
from iscsiproxy.wire.ahs import split_ahs
from iscsiproxy.wire.cdb import Cdb, decode_cdb
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["R2T", "Burst", "Memory", "Task"]

_T = TypeVar("_T")
_DESIRED = "DesiredDataTransferLength"


class Memory:
    """What a family of rules keeps with a thing: one object of each class it asks for, made when first asked."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[type[Any], Any] = {}

    def recall(self, kind: type[_T]) -> _T:
        """Give the object of that class; `kind` is called without arguments the first time."""
        found = self._kept.get(kind)
        if found is None:
            found = self._kept[kind] = kind()
        assert isinstance(found, kind)
        return found

    def known(self, kind: type[_T]) -> _T | None:
        """Give the object of that class if there is one."""
        return self._kept.get(kind)


class Burst:
    """Data-Out PDUs that belong together: the unsolicited ones of a task, or the answer to one R2T (RFC 7143 11.7.1).

    `next_sn` is the DataSN of the next one, `end` the BufferOffset behind the last, `bytes` how much there was, and
    `extents` where, `final` the one with F.
    """

    __slots__ = ("bytes", "end", "extents", "final", "first", "last", "next_sn")

    def __init__(self) -> None:
        self.next_sn = 0
        self.end: int | None = None
        self.bytes = 0
        self.extents = Extents()
        self.first: Note | None = None
        self.last: Note | None = None
        self.final: Note | None = None


class R2T:
    """One R2T and what was sent for it; `order` counts those of the task from 0."""

    __slots__ = ("burst", "length", "note", "offset", "order", "ttt")

    def __init__(self, ttt: int, offset: int, length: int, note: Note, order: int) -> None:
        self.ttt = ttt
        self.offset = offset
        self.length = length
        self.note = note
        self.order = order
        self.burst = Burst()

    @property
    def done(self) -> bool:
        """All of its data was sent, or what was sent said that it is all (F)."""
        return self.burst.final is not None or self.burst.extents.covers(self.offset, self.length)


class Task(Memory):
    """One request and all that belongs to it. Numbers not known are None.

    A Text exchange of several requests is one task, and so are a command and its retries (RFC 7143 7.2.1).
    """

    __slots__ = (
        "_cdb",
        "_cdb_known",
        "aborted",
        "aborting",
        "acked_sn",
        "answers",
        "cmd_sn",
        "conn",
        "data_in",
        "ended",
        "ignored",
        "immediate",
        "in_bytes",
        "in_end",
        "in_extents",
        "in_final",
        "in_pdus",
        "in_sequence",
        "itt",
        "last",
        "lun",
        "next_sn",
        "note",
        "opcode",
        "out_extents",
        "r2ts",
        "r2ts_open",
        "rejected",
        "replaced",
        "resends",
        "retries",
        "serial",
        "status",
        "terminal",
        "unsolicited",
        "values",
    )  # fmt: skip

    def __init__(self, serial: int, note: Note, values: Mapping[str, int], conn: int) -> None:
        super().__init__()
        self.serial = serial
        self.note = note  #: the request
        self.values = values  #: its fields
        self.conn = conn  #: the connection it belongs to; 0 when that was lost and it waits for another
        assert note.pdu is not None
        self.opcode = note.pdu.opcode
        self.itt = values["ITT"]
        self.cmd_sn = values["CmdSN"]
        self.immediate = bool(values.get("I"))
        self.lun = values.get("LUN", 0)
        self.retries: list[Note] = []
        self.replaced: Note | None = None  #: the request whose tag it took, while that was still alive
        #: Why the target has to ignore it: its CmdSN is a `duplicate`, or outside the `window` (RFC 7143 4.2.2.1)
        self.ignored = ""
        # --- data to the initiator
        self.data_in: Note | None = None  #: the last Data-In
        self.in_pdus = 0
        self.in_bytes = 0
        self.in_end = 0  #: the BufferOffset behind the last Data-In
        self.in_extents = Extents()
        self.in_sequence = 0  #: bytes since the last F
        self.in_final = False  #: the last Data-In had F
        self.next_sn = 0  #: the DataSN or R2TSN that comes next: they share one count (RFC 7143 4.2.2.4)
        self.acked_sn = 0  #: the first DataSN that the initiator has not acknowledged by a SNACK
        self.resends: Resends | None = None  #: what was asked for again
        # --- data to the target
        self.out_extents = Extents()  #: what has come, immediate data included
        self.unsolicited = Burst()
        self.r2ts: list[R2T] = []  #: all of them, in their order
        self.r2ts_open: dict[int, R2T] = {}  #: those whose data is not all there, by Target Transfer Tag
        # --- the end
        self.status: int | None = None  #: the SCSI status, once there is one
        self.answers: list[Note] = []  #: final responses; more than one is an error, or a retransmission
        self.terminal: Note | None = None  #: the first of them
        self.rejected: Note | None = None  #: a Reject of the request itself
        self.aborting: Note | None = None  #: the task management function that is to end it
        self.aborted: Note | None = None  #: the response of the task management function that ended it
        self.ended: Note | None = (
            None  #: whatever ended it, be it an answer, a Reject, an abort, a logout, a lost connection
        )
        self.last: Note | None = None  #: the last PDU of either end that belonged to it
        self._cdb: Cdb | None = None
        self._cdb_known = False

    def __repr__(self) -> str:
        state = "ended" if self.ended else "live"
        return f"<Task {self.serial} ITT={self.itt:#x} of {self.note.text} {state}>"

    @property
    def live(self) -> bool:
        """Tell whether it still waits for its end."""
        return self.ended is None

    @property
    def doubtful(self) -> bool:
        """Tell whether answers with its tag may belong to another: the tag was used for two at a time.

        An immediate request that comes twice counts twice: there is no CmdSN to tell by (RFC 7143 4.2.2.1).
        """
        return self.replaced is not None or bool(self.retries and self.immediate)

    @property
    def is_scsi(self) -> bool:
        """Tell whether it is a SCSI command."""
        return self.opcode == Opcode.SCSI_COMMAND

    @property
    def reads(self) -> bool:
        """Tell whether data is expected from the target (R)."""
        return bool(self.values.get("R"))

    @property
    def writes(self) -> bool:
        """Tell whether data is expected from the initiator (W)."""
        return bool(self.values.get("W"))

    @property
    def bidirectional(self) -> bool:
        """Tell whether data goes both ways (RFC 7143 11.3.1)."""
        return self.reads and self.writes

    @property
    def edtl(self) -> int:
        """The Expected Data Transfer Length: of the write, if it is bidirectional (RFC 7143 11.3.4)."""
        return self.values.get("EDTL", 0)

    @property
    def read_edtl(self) -> int:
        """How much the initiator expects to read, in bytes; 0 for what is no read (RFC 7143 11.3.4, 11.2.2.4)."""
        if not self.reads:
            return 0
        if not self.writes:
            return self.edtl
        assert self.note.pdu is not None
        lengths = [one.read_edtl for one in split_ahs(self.note.pdu.ahs)[0]]
        return next((length for length in lengths if length is not None), 0)

    def asked_by(self, ttt: int) -> R2T | None:
        """Give the R2T with this Target Transfer Tag, the last one if there were several; None if there was none."""
        found = self.r2ts_open.get(ttt)
        return found or next((one for one in reversed(self.r2ts) if one.ttt == ttt), None)

    def was_asked(self, values: Mapping[str, int]) -> R2T | None:
        """Give the R2T that these fields of one repeat; None if it is a new one."""
        for one in reversed(self.r2ts):
            if one.note["R2TSN"] == values["R2TSN"]:
                same = (one.ttt, one.offset, one.length)
                return one if same == (values["TTT"], values["BufferOffset"], values[_DESIRED]) else None
        return None

    @property
    def immediate_length(self) -> int:
        """How many bytes of immediate data came with the command."""
        return self.note.length if self.is_scsi else 0

    @property
    def cdb(self) -> Cdb | None:
        """What the CDB asks for; None if it cannot be read, or it is no SCSI command."""
        if not self._cdb_known:
            self._cdb_known = True
            assert self.note.pdu is not None
            if self.is_scsi:
                try:
                    self._cdb = decode_cdb(self.note.pdu.cdb)
                except ScsiError:
                    self._cdb = None
        return self._cdb
