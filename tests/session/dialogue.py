"""PDUs for the tests of this room, and a leg to say them on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from iscsiproxy.session.facts import Fact, Violation
from iscsiproxy.session.snapshot import ConnectionView, SessionView, Snapshot, TaskView
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text

__all__ = [
    "INITIATOR",
    "ISID",
    "NAMES",
    "NO_TAG",
    "TARGET",
    "TPGT",
    "Leg",
    "command",
    "data_in",
    "data_out",
    "login_request",
    "login_response",
    "of_kind",
    "pdu",
    "r2t",
    "request",
    "response",
    "scsi_response",
]

NO_TAG = 0xFFFFFFFF
INITIATOR, TARGET = "iqn.2001-04.example:initiator", "iqn.2001-04.example:target"
ISID = 0x80123456789A
#: What a first Login Request has to name (RFC 7143 6.3)
NAMES = {"InitiatorName": INITIATOR, "TargetName": TARGET, "SessionType": "Normal"}
TPGT = {"TargetPortalGroupTag": "1"}
_NUMBERS = {"ExpCmdSN": 10, "MaxCmdSN": 40}

Kind = TypeVar("Kind", bound=Fact)


def pdu(opcode: int, text: dict[str, str] | bytes = b"", /, **values: int | bytes) -> Pdu:
    """Make any PDU; a DataSegmentLength that is given announces data that is not there."""
    data = text if isinstance(text, bytes) else encode_text(text.items())
    return Pdu.build(opcode, data).with_fields(values)


def login_request(text: dict[str, str] | bytes = b"", /, **values: int) -> Pdu:
    """Make a Login Request: operational stage to full feature phase, of a leading login with CmdSN 10."""
    fields = {"I": 1, "T": 1, "CSG": 1, "NSG": 3, "ISID": ISID, "CID": 0, "ITT": 1, "CmdSN": 10}
    return pdu(Opcode.LOGIN_REQUEST, text, **{**fields, **values})


def login_response(text: dict[str, str] | bytes = b"", /, **values: int) -> Pdu:
    """Make a Login Response: the final one of a new session with TSIH 7, StatSN 100."""
    fields = {"T": 1, "CSG": 1, "NSG": 3, "ISID": ISID, "TSIH": 7, "ITT": 1, "StatSN": 100, **_NUMBERS}
    return pdu(Opcode.LOGIN_RESPONSE, text, **{**fields, **values})


def request(opcode: int, itt: int, cmd_sn: int, text: dict[str, str] | bytes = b"", /, **values: int) -> Pdu:
    """Make a request of the full feature phase, not immediate unless `I` says so."""
    return pdu(opcode, text, **{"F": 1, "ITT": itt, "CmdSN": cmd_sn, "ExpStatSN": 101, **values})


def command(itt: int, cmd_sn: int, length: int = 0, /, **values: int) -> Pdu:
    """Make the header of a SCSI Command, a read of 4096 bytes unless `W` or `EDTL` say otherwise."""
    fields = {"F": 1, "R": 0 if values.get("W") else 1, "ATTR": 1, "EDTL": 4096, "DataSegmentLength": length}
    return request(Opcode.SCSI_COMMAND, itt, cmd_sn, **{**fields, **values})


def response(opcode: int, itt: int, stat_sn: int, text: dict[str, str] | bytes = b"", /, **values: int) -> Pdu:
    """Make any PDU of a target that has a StatSN."""
    return pdu(opcode, text, **{"F": 1, "ITT": itt, "StatSN": stat_sn, **_NUMBERS, **values})


def scsi_response(itt: int, stat_sn: int, /, **values: int) -> Pdu:
    """Make a SCSI Response, GOOD unless `Status` says otherwise."""
    return response(Opcode.SCSI_RESPONSE, itt, stat_sn, **values)


def data_in(itt: int, data_sn: int, length: int = 512, /, **values: int) -> Pdu:
    """Make the header of a Data-In."""
    fields = {"ITT": itt, "TTT": NO_TAG, "DataSN": data_sn, "DataSegmentLength": length, **_NUMBERS}
    return pdu(Opcode.DATA_IN, **{**fields, **values})


def data_out(itt: int, ttt: int, data_sn: int, length: int = 512, /, **values: int) -> Pdu:
    """Make the header of a Data-Out."""
    fields = {"ITT": itt, "TTT": ttt, "DataSN": data_sn, "DataSegmentLength": length, "ExpStatSN": 101}
    return pdu(Opcode.DATA_OUT, **{**fields, **values})


def r2t(itt: int, ttt: int, r2t_sn: int, /, *, offset: int = 0, length: int = 1024, stat_sn: int = 101) -> Pdu:
    """Make an R2T."""
    return response(
        *(Opcode.R2T, itt, stat_sn), TTT=ttt, R2TSN=r2t_sn, BufferOffset=offset, DesiredDataTransferLength=length
    )


def of_kind(facts: Iterable[Fact], kind: type[Kind]) -> list[Kind]:
    """Pick the facts of one kind."""
    return [fact for fact in facts if isinstance(fact, kind)]


class Leg:
    """A tracker, and one connection of it at a time; time goes on by a second with each PDU."""

    def __init__(self, end: End = End.TARGET) -> None:
        self.tracker = Tracker(end)
        self.conn = 0
        self.now = 0.0

    def open(self) -> int:
        """Open the next connection."""
        self.conn += 1
        self.tracker.open(self.conn, self.now)
        return self.conn

    def close(self, conn: int | None = None) -> tuple[Fact, ...]:
        """Close a connection."""
        return self.tracker.close(self.conn if conn is None else conn, self.now)

    def say(self, *pdus: Pdu, on: int | None = None) -> tuple[Fact, ...]:
        """Let PDUs pass and give all facts."""
        facts: tuple[Fact, ...] = ()
        for one in pdus:
            self.now += 1.0
            facts += self.tracker.observe(self.conn if on is None else on, one, self.now)
        return facts

    def wrong(self, *pdus: Pdu, on: int | None = None) -> list[tuple[End, str]]:
        """Let PDUs pass and give what was wrong: by whom, and the section."""
        return [(fact.by, fact.section) for fact in of_kind(self.say(*pdus, on=on), Violation)]

    def log_in(
        self,
        keys: dict[str, str] | None = None,
        answers: dict[str, str] | None = None,
        *,
        tsih: int = 7,
        **values: int,
    ) -> tuple[Fact, ...]:
        """Open a connection and log in with these keys and answers, in one exchange."""
        self.open()
        joining = {"TSIH": tsih} if values.get("TSIH") else {}
        return self.say(
            login_request({**NAMES, **(keys or {})}, **values),
            login_response({**TPGT, **(answers or {})}, **{"TSIH": tsih, **joining}),
        )

    def snapshot(self, of: Pdu | None = None, *, on: int | None = None) -> Snapshot:
        """Give the state before `of`."""
        return self.tracker.snapshot(self.conn if on is None else on, of)

    @property
    def connection(self) -> ConnectionView:
        """The connection as it is now."""
        return self.snapshot().conn

    @property
    def session(self) -> SessionView:
        """The session as it is now; there has to be one."""
        session = self.snapshot().session
        assert session is not None
        return session

    def task(self, of: Pdu, *, on: int | None = None) -> TaskView:
        """Give the task that a PDU belongs to; there has to be one."""
        task = self.snapshot(of, on=on).task
        assert task is not None
        return task
