from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.names import NOTHING, Hand, Names
from iscsiproxy.language.spec import NOWHERE, Ref, ValueKind
from iscsiproxy.language.syntax import Name
from iscsiproxy.language.vocabulary import Type, item_of

__all__: list[str] = []

K = ValueKind


def hand(*names: str) -> Hand:
    items = [item for name in names if (item := item_of(name))]
    opcodes = frozenset(opcode for item in items for opcode in item.opcodes)
    return Hand(opcodes, frozenset(item.name for item in items if not item.opcodes))


def captures() -> Captures:
    found = Captures()
    found.add("n", NOWHERE, opcodes=hand("SCSI-Command").opcodes)
    found.add("lost", NOWHERE, opcodes=hand("SCSI-Response", "TMF-Response").opcodes)
    found.add("many", NOWHERE, opcodes=hand("R2T").opcodes, each=True)
    found.add("parts", NOWHERE, opcodes=hand("Data-Out").opcodes, pieces=True)
    found.add("A", NOWHERE, connection=True)
    found.add("ready", NOWHERE, events=["full-feature"])
    found.add("bad", NOWHERE, events=["io-error"])
    return found


def resolve(text: str, *items: str) -> tuple[Ref, Type]:
    return Names(captures(), hand(*items)).resolve(Name(text, NOWHERE))


#: name, what is in hand, scope, path, kind
KNOWN = [
    ("CmdSN", "SCSI-Command", "pdu", "CmdSN", K.SERIAL),
    ("DataSN", "Data-Out", "pdu", "DataSN", K.NUMBER),
    ("ITT", "Data-Out", "pdu", "ITT", K.TAG),
    ("W", "SCSI-Command", "pdu", "W", K.FLAG),
    ("Status", "SCSI-Response", "pdu", "Status", K.CODE),
    ("Status-Class", "Login-Response", "pdu", "Status-Class", K.NUMBER),
    ("CmdSN", "Initiator-PDU", "pdu", "CmdSN", K.SERIAL),
    ("length", "R2T", "pdu", "length", K.NUMBER),
    ("data", "Data-Out", "pdu", "data", K.BYTES),
    ("pad", "Data-Out", "pdu", "pad", K.BYTES),
    ("sense", "SCSI-Response", "pdu", "sense", K.SENSE),
    ("AHS", "SCSI-Command", "pdu", "AHS", K.PRESENCE),
    ("CDB", "SCSI-Command", "pdu", "CDB", K.BYTES),
    ("CDB.name", "SCSI-Command", "pdu", "CDB.name", K.TEXT),
    ("CDB.LBA", "SCSI-Command", "pdu", "CDB.LBA", K.NUMBER),
    ("text.InitialR2T", "Login-Request", "pdu", "text.InitialR2T", K.TEXT),
    ("text.X-com.example.proxy", "Login-Request", "pdu", "text.X-com.example.proxy", K.TEXT),
    ("header.ITT", "Reject", "pdu", "header.ITT", K.TAG),
    ("BHS.3", "R2T", "pdu", "BHS.3", K.NUMBER),
    ("BHS.1.6", "R2T", "pdu", "BHS.1.6", K.FLAG),
    ("how", "close", "event", "how", K.TEXT),
    ("task", "Data-In", "task", "", K.PRESENCE),
    ("task.EDTL", "Data-In", "task", "EDTL", K.NUMBER),
    ("task.received", "SCSI-Response", "task", "received", K.NUMBER),
    ("task.age", "R2T", "task", "age", K.DURATION),
    ("task.status", "Reject", "task", "status", K.CODE),
    ("task.CDB.LBA", "R2T", "task", "CDB.LBA", K.NUMBER),
    ("conn.CID", "close", "conn", "CID", K.TAG),
    ("conn.phase", "R2T", "conn", "phase", K.TEXT),
    ("conn.StatSN", "R2T", "conn", "StatSN", K.SERIAL),
    ("session.type", "R2T", "session", "type", K.TEXT),
    ("session.window", "R2T", "session", "window", K.NUMBER),
    ("key.MaxBurstLength", "R2T", "key", "MaxBurstLength", K.NUMBER),
    ("key.InitialR2T", "R2T", "key", "InitialR2T", K.TEXT),
    ("key.X-com.example.a", "R2T", "key", "X-com.example.a", K.TEXT),
    ("declared.target.MaxRecvDataSegmentLength", "R2T", "declared.target", "MaxRecvDataSegmentLength", K.NUMBER),
    ("declared.initiator.InitiatorAlias", "R2T", "declared.initiator", "InitiatorAlias", K.TEXT),
    ("profile", "R2T", "run", "profile", K.TEXT),
    ("initiator.depth", "R2T", "run", "initiator.depth", K.NUMBER),
    ("target.LUs", "close", "run", "target.LUs", K.NUMBER),
]


@pytest.mark.parametrize(("text", "item", "scope", "path", "kind"), KNOWN)
def test_a_name_stands_for_state(text: str, item: str, scope: str, path: str, kind: ValueKind) -> None:
    ref, found = resolve(text, item)
    assert (ref.scope, ref.path, ref.kind, ref.capture) == (scope, path, kind, "")
    assert found.kind is kind


#: name, capture, path, element, kind
CAPTURED = [
    ("n.CmdSN", "n", "CmdSN", "", K.SERIAL),
    ("n.at", "n", "at", "", K.DURATION),
    ("n.CDB", "n", "CDB", "", K.BYTES),
    ("n.CDB.blocks", "n", "CDB.blocks", "", K.NUMBER),
    ("n.length", "n", "length", "", K.NUMBER),
    ("n.BHS.1.6", "n", "BHS.1.6", "", K.FLAG),
    ("lost.StatSN", "lost", "StatSN", "", K.SERIAL),
    ("lost.Status", "lost", "Status", "", K.CODE),
    ("many.count", "many", "count", "", K.NUMBER),
    ("many.first.TTT", "many", "TTT", "first", K.TAG),
    ("many.last.at", "many", "at", "last", K.DURATION),
    ("parts.1.DataSN", "parts.1", "DataSN", "", K.NUMBER),
    ("parts.DataSN", "parts", "DataSN", "", K.NUMBER),
    ("A.CID", "A", "CID", "", K.TAG),
    ("A.ISID", "A", "ISID", "", K.TAG),
    ("ready.TSIH", "ready", "TSIH", "", K.TAG),
    ("ready.at", "ready", "at", "", K.DURATION),
]


@pytest.mark.parametrize(("text", "capture", "path", "element", "kind"), CAPTURED)
def test_a_name_stands_for_a_capture(text: str, capture: str, path: str, element: str, kind: ValueKind) -> None:
    ref, _ = resolve(text, "SCSI-Response")
    assert (ref.scope, ref.capture, ref.path, ref.element, ref.kind) == ("capture", capture, path, element, kind)


#: name, what is in hand, part of the message, part of the hint
WRONG = [
    ("DataSn", "Data-Out", "`DataSn` has no meaning on Data-Out", "`DataSN`"),
    ("DataSN", "SCSI-Command", "SCSI-Command has no field `DataSN`", "it is a field of Data-Out"),
    ("CmdSN", "close", "close has no field `CmdSN`", ""),
    ("length", "close", "close has no `length`", ""),
    ("length", "", "nothing is in hand here", "NAME.FIELD"),
    ("CmdSN", "", "there is no PDU here to have `CmdSN`", ""),
    ("how", "connect", "`how` has no meaning on connect", ""),
    ("sense", "R2T", "R2T has no sense data", "SCSI-Response or Async"),
    ("CDB.LBA", "R2T", "R2T has no CDB", "`task.CDB`"),
    ("CDB.lba", "SCSI-Command", "there is no `CDB.lba`", "`CDB.LBA`"),
    ("text.A", "R2T", "R2T has no text keys", "Login-Request"),
    ("text", "Login-Request", "`text` needs the name", "text.KEY"),
    ("header", "Reject", "`header` needs the name", "header.FIELD"),
    ("header.ITT", "R2T", "R2T contains no header", "Reject"),
    ("header.StatSN", "Reject", "no request has a field `StatSN`", "header.ExpStatSN"),
    ("BHS.48", "R2T", "no place in the header", "BHS.47"),
    ("BHS.1.8", "R2T", "no place in the header", ""),
    ("BHS", "R2T", "no place in the header", ""),
    ("length.x", "R2T", "`length` has no parts", ""),
    ("task.EDTL", "NOP-Out", "NOP-Out belongs to no task", "SCSI commands"),
    ("task.EDTL", "", "nothing is in hand", "SCSI commands"),
    ("task.EDLT", "R2T", "there is no `task.EDLT`", "`task.EDTL`"),
    ("task.sense", "R2T", "a SCSI command has no `sense`", ""),
    ("task.text.A", "R2T", "a SCSI command has no `text.A`", ""),
    ("conn.cid", "R2T", "there is no `conn.cid`", "`conn.CID`"),
    ("conn", "R2T", "`conn` is not a value", "conn.CID"),
    ("session.CmdSn", "R2T", "there is no `session.CmdSn`", "`session.CmdSN`"),
    ("key.MaxBurstLenth", "R2T", "there is no text key `MaxBurstLenth`", "`MaxBurstLength`"),
    ("key", "R2T", "`key` needs the name", "key.MaxBurstLength"),
    ("declared.MaxBurstLength", "R2T", "there is no `declared.MaxBurstLength`", "declared.initiator.KEY"),
    ("declared.target", "R2T", "there is no `declared.target`", ""),
    ("initiator.dept", "R2T", "`initiator.dept` has no meaning", "`initiator.depth`"),
    ("none", "R2T", "`none` has no meaning", "beside a tag"),
    ("n", "R2T", "`n` is a capture, not a value", "`n.FIELD`"),
    ("m.CmdSN", "R2T", "nothing in the file binds the name `m`", ""),
    ("loss.StatSN", "R2T", "nothing in the file binds the name `loss`", "`lost`"),
    ("n.CmdSn", "R2T", "`n` is SCSI-Command and has no `CmdSn`", "`CmdSN`"),
    ("n.StatSN", "R2T", "`n` is SCSI-Command and has no `StatSN`", ""),
    ("n.CmdSN-1", "R2T", "has no `CmdSN-1`", "blanks around it"),
    ("n.sense", "R2T", "`n` has no sense data", ""),
    ("lost.Response", "R2T", "`lost` is SCSI-Response or TMF-Response, whose `Response` differ", "two names"),
    ("many.TTT", "R2T", "`many` collects", "`many.last`"),
    ("many.first", "R2T", "is a capture, not a value", ""),
    ("A.CmdSN", "R2T", "`A` is a connection and has no `CmdSN`", ""),
    ("n.CID", "R2T", "has no `CID`", ""),
    ("bad.CID", "R2T", "`bad` is io-error and has no `CID`", ""),
]


@pytest.mark.parametrize(("text", "item", "message", "hint"), WRONG)
def test_a_name_that_stands_for_nothing(text: str, item: str, message: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        resolve(text, *([item] if item else []))
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_name_that_one_of_several_pdus_has() -> None:
    assert resolve("sense", "SCSI-Response", "R2T")[0].path == "sense"
    assert resolve("R2TSN", "SCSI-Response", "R2T")[0].path == "R2TSN"


def test_a_flag_may_be_called_as_a_capture_is() -> None:
    assert resolve("A", "Data-In")[0].scope == "pdu"
    assert resolve("A.CID", "Data-In")[0].scope == "capture"


@pytest.mark.parametrize("text", ["conn.CID", "task.EDTL", "n.CmdSN", "CmdSN", "length", "offer"])
def test_outside_there_is_no_pdu(text: str) -> None:
    with pytest.raises(FileError, match="has no meaning here"):
        Names(captures(), NOTHING, outside=True).resolve(Name(text, NOWHERE))


@pytest.mark.parametrize("text", ["session.type", "key.ErrorRecoveryLevel", "initiator.depth", "profile"])
def test_outside_there_is_the_run(text: str) -> None:
    Names(captures(), NOTHING, outside=True).resolve(Name(text, NOWHERE))


def test_offer_and_answer_have_the_type_of_their_key() -> None:
    names = Names(captures(), outside=True, offer=Type(K.NUMBER))
    ref, kind = names.resolve(Name("offer", NOWHERE))
    assert (ref.scope, ref.path, kind.kind) == ("negotiate", "offer", K.NUMBER)
    assert names.knows("answer")
    assert not Names(captures()).knows("answer")
