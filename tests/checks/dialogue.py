"""Journals written by hand, one line an event; what a line does not say is as a conforming end would have it.

    login InitialR2T=No / MaxBurstLength=512   a whole login: the initiator says the keys before the slash, the target
                                            the same, but for those behind it; TSIH, CID and ISID are fields
    > SCSI-Command cdb=READ(10):0+1 as cmd  from the initiator to the target; `as` gives it a name
    < Data-In data=512 F S                  from the target to the initiator
    +2.5                                    time passes (seconds)
    close target                            that end closes the connection (FIN), and the proxy passes it on
    close initiator rst                     it resets it
    close target half                       it closes its side, and the other end does not yet
    conn 2                                  the next lines are about connection 2; a new one is connected
    middle                                  the connection is there already: its beginning was not seen
    lost 3                                  three events are missing
    fired delay                             a rule did that on the connection
    raw > Login-Request ...                 nothing is filled in: fields not given are 0, but for lengths

`>` is received on the initiator leg and delivered on the target leg, `<` the other way. A mark changes what passes:
behind `!` stand the fields that a fault changed, as in `> NOP-Out ! LUN=5`: received as it stands before, delivered so;
`>>` and `<<` were made by the proxy, and only delivered; `>x` and `<x` were received and dropped.

Words of a PDU: `Field=value` (decimal, 0x, a name of its codes, `none` for a tag, `name.Field` of a named PDU,
with `+1` or `-1` behind), a flag alone (`F`, `W`), or `F=0`. Filled in: CmdSN, ExpStatSN, StatSN, ExpCmdSN, MaxCmdSN
(a window of 32), tags, F where it is fixed, DataSN, R2TSN and BufferOffset as they go on, ExpDataSN, EDTL and R or W by
the CDB, digests as negotiated. Further words: `cdb=NAME:LBA+BLOCKS` (or `cdb=hex:…`), `data=N` (zeros), `data=hex:…` or
`data=512*a5,1024*5a` (so many bytes of that value, one after the other),
`text="K=V K=V"`, `sense=6/29/00`, `reject=name`, `ahs=hex:…`, `pad=hex:…`, `spoil=header` or `spoil=data` (a wrong
digest; `spoil=none`: none at all), `lun=N` (the number of a LUN), `BHS.N=value` (byte N of the header, last of all).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from iscsiproxy.journal import Lost, Record, record_of
from iscsiproxy.session.events import Change, Closed, Connected, Delivered, Event, Fired, How, Received, Staged
from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import End, opcode_of
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import encode_sense, parse_sense_text
from tests.journal.story import _When

__all__ = ["Dialogue", "records_of"]

_STEP = 0.001
#: Named CDBs: opcode, length, and where address and blocks are; and the flag of the command
_CDBS = {
    "TEST-UNIT-READY": (0x00, 6, None, None, ""),
    "INQUIRY": (0x12, 6, None, (3, 2), "R"),
    "READ-CAPACITY(10)": (0x25, 10, None, None, "R"),
    "READ(6)": (0x08, 6, (1, 3), (4, 1), "R"),
    "READ(10)": (0x28, 10, (2, 4), (7, 2), "R"),
    "READ(16)": (0x88, 16, (2, 8), (10, 4), "R"),
    "WRITE(6)": (0x0A, 6, (1, 3), (4, 1), "W"),
    "WRITE(10)": (0x2A, 10, (2, 4), (7, 2), "W"),
    "WRITE(16)": (0x8A, 16, (2, 8), (10, 4), "W"),
    "COMPARE-AND-WRITE": (0x89, 16, (2, 8), (13, 1), "W"),
    "WRITE-SAME(16)": (0x93, 16, (2, 8), (10, 4), "W"),
    "UNMAP": (0x42, 10, None, (7, 2), "W"),
}  # fmt: skip
_FIXED_F = frozenset(
    {"NOP-Out", "TMF-Request", "Logout-Request", "SNACK", "NOP-In", "SCSI-Response", "TMF-Response", "Logout-Response",
     "R2T", "Async", "Reject"}
)  # fmt: skip
_NUMBERED = frozenset({"NOP-Out", "SCSI-Command", "TMF-Request", "Text-Request", "Logout-Request"})
_ADVANCES = frozenset({"SCSI-Response", "TMF-Response", "Text-Response", "Logout-Response", "Async", "Reject"})
_WINDOW = 31
_FIRST_STAT_SN = 100


@dataclass
class _Talk:
    """What the ends of one connection have said."""

    stat_sn: int = _FIRST_STAT_SN
    acked: int = _FIRST_STAT_SN
    header_digest: bool = False
    data_digest: bool = False
    full: bool = False


@dataclass
class _Task:
    """How far a task has come."""

    edtl: int = 0
    next_in: int = 0
    offset_in: int = 0
    pdus_in: int = 0
    out: dict[int, list[int]] = field(default_factory=dict)  # TTT -> next DataSN, next offset, end
    next_unsolicited: int = 0


class Dialogue:
    """Makes records of lines. `cmd_sn` is what the first command has."""

    def __init__(self, *, cmd_sn: int = 1) -> None:
        self._n = 0
        self._at = 0.0
        self._conn = 1
        self._talks: dict[int, _Talk] = {}
        self._cmd_sn = cmd_sn
        self._exp_cmd_sn = cmd_sn
        self._itt = 0
        self._ttt = 0x1000
        self._tasks: dict[int, _Task] = {}
        self._named: dict[str, Pdu] = {}
        self._authors = 0
        self.records: list[Record] = []

    def play(self, text: str) -> list[Record]:
        """Take some lines; give all records so far."""
        for line in text.splitlines():
            line = line.partition("#")[0].strip()
            if line:
                self._line(line)
        return self.records

    # --- lines ---

    def _line(self, line: str) -> None:
        first, _, rest = line.partition(" ")
        if line.startswith("+"):
            self._at += float(line[1:])
        elif first == "conn":
            self._conn = int(rest)
            self._connected()
        elif first == "middle":
            self._talks[self._conn] = _Talk(full=True)
        elif first == "login":
            self._login(rest)
        elif first == "close":
            who, _, how = rest.partition(" ")
            self._close(who, "rst" if how == "rst" else "fin", half=how == "half")
        elif first == "lost":
            self.records.append(Record(Lost(count=int(rest))))
        elif first == "fired":
            self._put(Fired(rule="x/y", act=rest, of=None, label="", text=rest, **self._when()))
        elif first == "staged":
            self._put(Staged(stage=rest, **self._when()))  # type: ignore[arg-type]
        elif first == "raw":
            self._pdu(rest, raw=True)
        else:
            self._pdu(line, raw=False)

    def _when(self) -> _When:
        self._n += 1
        self._at += _STEP
        return {"n": self._n, "at": self._at, "conn": self._conn}

    def _put(self, event: Event) -> None:
        self.records.append(record_of(event))

    def _talk(self) -> _Talk:
        self._connected()
        return self._talks[self._conn]

    def _connected(self) -> None:
        if self._conn not in self._talks:
            self._talks[self._conn] = _Talk()
            port = 1000 + self._conn
            self._put(
                Connected(
                    initiator=f"127.0.0.1:{port}",
                    listen="127.0.0.1:3261",
                    local=f"127.0.0.1:{port + 5000}",
                    target="127.0.0.1:3260",
                    **self._when(),
                )
            )

    def _close(self, who: str, how: How, *, half: bool) -> None:
        end = End(who)
        self._put(Closed(leg=end, how=how, by="peer", **self._when()))
        self._put(Closed(leg=end.other, how=how, by="proxy", **self._when()))
        if half:
            return
        if how == "fin":
            self._put(Closed(leg=end.other, how=how, by="peer", **self._when()))
            self._put(Closed(leg=end, how=how, by="proxy", **self._when()))
        del self._talks[self._conn]

    def _login(self, rest: str) -> None:
        left, _, right = rest.partition("/")
        keys = dict(word.split("=", 1) for word in shlex.split(left))
        others = dict(word.split("=", 1) for word in shlex.split(right))
        tsih, cid = keys.pop("TSIH", "0"), keys.pop("CID", "0")
        discovery = keys.get("SessionType") == "Discovery"
        isid = keys.pop("ISID", "0x400001370000")
        said = {"InitiatorName": "iqn.2004-01.com.example:host", "TargetName": "iqn.2004-01.com.example:disk"}
        if discovery:
            del said["TargetName"]
        if tsih == "0":
            said["SessionType"] = "Normal"  # for leading logins only (RFC 7143 13.21)
        said |= keys
        declared = ("SessionType", "InitiatorName", "TargetName", "InitiatorAlias")
        answers = {key: value for key, value in keys.items() if key not in declared}
        if not discovery:
            answers = {"TargetPortalGroupTag": "1"} | answers | others
        asked, answered = (" ".join(f"{key}={value}" for key, value in pairs.items()) for pairs in (said, answers))
        fields = f"T CSG=1 NSG=3 ISID={isid}"
        self._pdu(f"> Login-Request {fields} CID={cid} TSIH={tsih} text={asked!r}", raw=False)
        self._pdu(f"< Login-Response {fields} TSIH={tsih if tsih != '0' else 1} text={answered!r}", raw=False)
        talk = self._talk()
        talk.full = True
        talk.header_digest = answers.get("HeaderDigest") == "CRC32C"
        talk.data_digest = answers.get("DataDigest") == "CRC32C"

    def _pdu(self, line: str, *, raw: bool) -> None:
        mark, label, *words = shlex.split(line)
        self._talk()
        name = ""
        if len(words) > 1 and words[-2] == "as":
            name = words[-1]
            words = words[:-2]
        changes: list[str] = []
        if "!" in words:
            at = words.index("!")
            words, changes = words[:at], words[at + 1 :]
        pdu = self._made(label, words, raw=raw)
        if name:
            self._named[name] = pdu
        changed = self._changed(pdu, changes) if changes else pdu
        self._pass(mark, pdu, changed, [word.partition("=")[0] for word in changes])

    def _pass(self, mark: str, pdu: Pdu, changed: Pdu, names: list[str]) -> None:
        here = End.INITIATOR if mark.startswith(">") else End.TARGET
        of = None
        if mark in (">", "<", ">x", "<x"):
            of = self._n + 1
            digests = pdu.header_digest_ok(), pdu.data_digest_ok()
            self._put(
                Received(leg=here, pdu=pdu, header_digest_ok=digests[0], data_digest_ok=digests[1], **self._when())
            )
        if mark.endswith("x"):
            self._put(Fired(rule="x/y", act="drop", of=of, label=pdu.label, text="drop", **self._when()))
            return
        author = 0
        if mark in (">>", "<<"):
            self._authors += 1
            author = self._authors
        self._put(
            Delivered(
                leg=here.other,
                pdu=changed,
                of=of,
                changes=tuple(Change(what=name, old="?", new="?") for name in names),
                rules=("x/y",) if names or author else (),
                author=author,
                **self._when(),
            )
        )

    def _changed(self, pdu: Pdu, words: list[str]) -> Pdu:
        """Give the PDU as a fault made it, with right digests but for `spoil`."""
        talk = self._talk()
        spoil = ""
        for word in words:
            key, _, value = word.partition("=")
            if key == "spoil":
                spoil = value
            elif key == "data":
                pdu = pdu.with_data(self._bytes(value))
            elif key.startswith("BHS."):
                pdu = _poked(pdu, key, value)
            else:
                pdu = pdu.with_fields({key: self._number(pdu, key, value) if value else 1})
        return _sealed(pdu, talk, spoil)

    # --- a PDU ---

    def _made(self, label: str, words: list[str], *, raw: bool) -> Pdu:
        opcode = opcode_of(label)
        assert opcode is not None, f"{label} is no PDU"
        given: dict[str, str] = {}
        for word in words:
            key, equals, value = word.partition("=")
            given[key] = value if equals else "1"
        data, ahs = b"", b""
        poked = [(key, given.pop(key)) for key in list(given) if key.startswith("BHS.")]
        cdb = given.pop("cdb", "")
        spoil, pad = given.pop("spoil", ""), given.pop("pad", "")
        if "data" in given:
            data = self._bytes(given.pop("data"))
        if "text" in given:
            data = b"".join(pair.encode() + b"\0" for pair in given.pop("text").split())
        if "sense" in given:
            sense = encode_sense(parse_sense_text(given.pop("sense")))
            data = len(sense).to_bytes(2, "big") + sense
        if "reject" in given:
            data = self._named[given.pop("reject")].bhs
        if "ahs" in given:
            ahs = self._bytes(given.pop("ahs"))
        pdu = Pdu.build(opcode, data, ahs)
        if "lun" in given:
            given["LUN"] = hex(lun_value(int(given.pop("lun"))))
        fields = {key: self._number(pdu, key, value) for key, value in given.items()}
        if cdb:
            self._cdb(cdb, fields, pdu)
        if not raw:
            self._fill(label, fields, pdu)
        pdu = pdu.with_fields(fields)
        for key, value in poked:
            pdu = _poked(pdu, key, value)
        if pad:
            pdu = pdu.with_parts(pad=self._bytes(pad))
        self._counted(label, pdu)
        return _sealed(pdu, self._talk(), spoil)

    def _bytes(self, text: str) -> bytes:
        if text.startswith("hex:"):
            return bytes.fromhex(text[4:])
        parts = (part.partition("*") for part in text.split(","))
        return b"".join(bytes([int(value or "0", 16)]) * int(count, 0) for count, _, value in parts)

    def _number(self, pdu: Pdu, key: str, value: str) -> int:
        place = pdu.fields.get(key)
        assert place is not None, f"{pdu.label} has no {key}"
        if value == "none":
            return NO_TAG
        if place.codes is not None and (code := place.codes.value(value)) is not None:
            return code
        for sign in "+-":
            left, found, right = value.partition(sign)
            if found and "." in left:
                return (self._number(pdu, key, left) + int(sign + right)) & place.maximum
        name, dot, other = value.partition(".")
        if dot:
            return self._named[name][other]
        return int(value, 0)

    def _cdb(self, text: str, fields: dict[str, int], pdu: Pdu) -> None:
        if text.startswith("hex:"):
            cdb = bytes.fromhex(text[4:])
            blocks, flag = 0, ""
        else:
            name, _, place = text.partition(":")
            opcode, length, lba, count, flag = _CDBS[name]
            raw = bytearray(length)
            raw[0] = opcode
            first, _, number = place.partition("+")
            blocks = int(number or 0)
            if lba and first:
                raw[lba[0] : lba[0] + lba[1]] = int(first).to_bytes(lba[1], "big")
            if count and number:
                raw[count[0] : count[0] + count[1]] = int(number).to_bytes(count[1], "big")
            cdb = bytes(raw)
        fields["CDB"] = int.from_bytes(cdb.ljust(16, b"\0"), "big")
        if flag and "R" not in fields and "W" not in fields:
            fields[flag] = 1
        length = {0x25: 8, 0x93: 512}.get(cdb[0], blocks * {0x12: 1, 0x42: 1, 0x89: 1024}.get(cdb[0], 512))
        fields.setdefault("EDTL", length)

    def _fill(self, label: str, fields: dict[str, int], pdu: Pdu) -> None:
        """Put in what a conforming end would."""
        talk = self._talk()
        sender = pdu.sender
        if label in _FIXED_F:
            fields.setdefault("F", 1)
        if sender is End.INITIATOR:
            self._fill_request(label, fields, pdu, talk)
        else:
            self._fill_response(label, fields, pdu, talk)

    def _fill_request(self, label: str, fields: dict[str, int], pdu: Pdu, talk: _Talk) -> None:
        fields.setdefault(
            "ExpStatSN", 0 if label == "Login-Request" and not talk.full and talk.stat_sn == 100 else talk.acked
        )
        if label == "Login-Request":
            fields["I"] = fields.get("I", 1)
            fields.setdefault("CmdSN", self._cmd_sn)
            fields.setdefault("ITT", 0)
            return
        if label in _NUMBERED:
            fields.setdefault("CmdSN", self._cmd_sn)
        if (
            label in ("NOP-Out", "TMF-Request", "Text-Request", "Logout-Request", "SCSI-Command")
            and "ITT" not in fields
        ):
            self._itt += 1
            fields["ITT"] = self._itt
        elif label in _NUMBERED and fields["ITT"] != NO_TAG:
            self._itt = fields["ITT"]
        if label == "SCSI-Command":
            fields.setdefault("ATTR", 1)
            short = len(pdu.data) < fields.get("EDTL", 0) and fields.get("W")
            fields.setdefault("F", 0 if short and fields.get("F") == 0 else 1)
        elif label in ("NOP-Out", "Text-Request"):
            fields.setdefault("TTT", NO_TAG)
            if label == "Text-Request":
                fields.setdefault("F", 0 if fields.get("C") else 1)
        elif label == "TMF-Request":
            fields.setdefault("RefTaskTag", NO_TAG)
        elif label == "SNACK":
            fields.setdefault("TTT", NO_TAG)
            fields.setdefault("ITT", NO_TAG)
        elif label == "Data-Out":
            fields.setdefault("ITT", self._itt)
            fields.setdefault("TTT", NO_TAG)
            burst = self._tasks.setdefault(fields["ITT"], _Task()).out.setdefault(fields["TTT"], [0, 0, 0])
            fields.setdefault("DataSN", burst[0])
            fields.setdefault("BufferOffset", burst[1])

    def _fill_response(self, label: str, fields: dict[str, int], pdu: Pdu, talk: _Talk) -> None:
        fields.setdefault("StatSN", 0 if label == "Data-In" and not fields.get("S") else talk.stat_sn)
        fields.setdefault("ExpCmdSN", self._exp_cmd_sn)
        fields.setdefault("MaxCmdSN", (fields["ExpCmdSN"] + _WINDOW) & 0xFFFFFFFF)
        if label == "Login-Response":
            fields.setdefault("ITT", 0)
            return
        fields.setdefault("ITT", NO_TAG if label in ("Async", "Reject") else self._itt)
        task = self._tasks.setdefault(fields["ITT"], _Task())
        if label == "NOP-In":
            fields.setdefault("TTT", NO_TAG)
        elif label == "Data-In":
            fields.setdefault("TTT", NO_TAG)
            fields.setdefault("DataSN", task.next_in)
            fields.setdefault("BufferOffset", task.offset_in)
        elif label == "SCSI-Response":
            fields.setdefault("ExpDataSN", task.next_in if task.pdus_in else 0)
        elif label == "Text-Response":
            fields.setdefault("TTT", NO_TAG)
            fields.setdefault("F", 0 if fields.get("C") or fields["TTT"] != NO_TAG else 1)
        elif label == "R2T":
            if "TTT" not in fields:
                self._ttt += 1
                fields["TTT"] = self._ttt
            fields.setdefault("R2TSN", task.next_in)

    def _counted(self, label: str, pdu: Pdu) -> None:
        """Move on what both ends count."""
        talk = self._talk()
        if label in _NUMBERED and not pdu["I"] and pdu["CmdSN"] == self._cmd_sn:
            self._cmd_sn = (self._cmd_sn + 1) & 0xFFFFFFFF
            self._exp_cmd_sn = self._cmd_sn
        if (
            label == "Login-Response"
            or label in _ADVANCES
            or (label == "NOP-In" and pdu["ITT"] != NO_TAG)
            or (label == "Data-In" and pdu["S"])
        ):
            if pdu["StatSN"] == talk.stat_sn:
                talk.stat_sn = (talk.stat_sn + 1) & 0xFFFFFFFF
            talk.acked = talk.stat_sn
        if label == "SCSI-Command":
            self._tasks[pdu["ITT"]] = _Task(edtl=pdu["EDTL"])
            self._tasks[pdu["ITT"]].out[NO_TAG] = [0, len(pdu.data), 0]
        elif label == "Data-In":
            task = self._tasks.setdefault(pdu["ITT"], _Task())
            task.next_in, task.offset_in = pdu["DataSN"] + 1, pdu["BufferOffset"] + len(pdu.data)
            task.pdus_in += 1
        elif label == "R2T":
            task = self._tasks.setdefault(pdu["ITT"], _Task())
            task.next_in = pdu["R2TSN"] + 1
            task.out[pdu["TTT"]] = [0, pdu["BufferOffset"], 0]
        elif label == "Data-Out":
            task = self._tasks.setdefault(pdu["ITT"], _Task())
            task.out[pdu["TTT"]] = [pdu["DataSN"] + 1, pdu["BufferOffset"] + len(pdu.data), 0]


def _poked(pdu: Pdu, place: str, value: str) -> Pdu:
    """Put a byte into a header."""
    bhs = bytearray(pdu.bhs)
    bhs[int(place.partition(".")[2])] = int(value, 0)
    return pdu.with_bhs(bytes(bhs))


def _sealed(pdu: Pdu, talk: _Talk, spoil: str) -> Pdu:
    pdu = pdu.sealed(header=talk.header_digest, data=talk.data_digest) if talk.full else pdu
    if spoil == "header":
        pdu = pdu.with_parts(header_digest=b"\xde\xad\xbe\xef")
    elif spoil == "data":
        pdu = pdu.with_parts(data_digest=b"\xde\xad\xbe\xef")
    elif spoil == "none":
        pdu = pdu.with_parts(header_digest=b"", data_digest=b"")
    return pdu


def records_of(text: str, *, cmd_sn: int = 1) -> list[Record]:
    """Make the records of a dialogue."""
    return Dialogue(cmd_sn=cmd_sn).play(text)
