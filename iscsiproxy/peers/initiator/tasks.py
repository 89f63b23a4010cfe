"""One SCSI command on its way, as the initiator sees it: what it sends when, and what its answers may be.

A `ScsiTask` does no I/O: it gives the command PDU, makes Data-Out one by one as the connection asks for them, and takes
R2T, Data-In and SCSI Response. Whatever the target gets wrong there goes to the `Conduct`, or is a `ProtocolError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iscsiproxy.errors import ScsiError
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.scsi.command import Attribute, Status
from iscsiproxy.wire import serial
from iscsiproxy.wire.ahs import Ahs, encode_ahs
from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import Sense, SenseCode, sense_of_segment

__all__ = ["Outcome", "ScsiTask"]

#: How much of a CDB the BHS holds (RFC 7143 11.3.5)
_BHS_CDB = 16
#: A Data-In may bring no other status (RFC 7143 11.7.3)
_PHASE_COLLAPSE = (Status.GOOD, Status.CONDITION_MET, 0x10, 0x14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the target answered a command (RFC 7143 11.4).

    `status` is a SAM status (compare with `Status`; other numbers are kept), `response` the iSCSI response code, 0 if
    the command completed at the target. `data` is what was read. `residual` is how many bytes of the buffer were not
    used; negative, how many more there would have been. `read_residual` is the same for the read side of a
    bidirectional command.
    """

    status: int = Status.GOOD
    response: int = 0
    data: bytes = b""
    sense_data: Sense | None = None
    residual: int = 0
    read_residual: int = 0

    @property
    def good(self) -> bool:
        """Whether the command did what it was to do."""
        return self.response == 0 and self.status in (Status.GOOD, Status.CONDITION_MET)

    @property
    def sense(self) -> SenseCode | None:
        """Sense key, ASC and ASCQ, if the answer has sense data that can be read."""
        return None if self.sense_data is None else self.sense_data.code


class ScsiTask:
    """A SCSI command between its request and its status.

    The session sets `cmdsn` when it sends the command, and `quiet` when no more Data-Out may leave. `outcome` is None
    until the status is here.
    """

    def __init__(
        self,
        *,
        itt: int,
        lun: int,
        cdb: bytes,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: int = Attribute.SIMPLE,
        immediate: bool = False,
        parameters: Parameters | None = None,
        conduct: Conduct | None = None,
    ) -> None:
        self.itt = itt
        self.lun = lun
        self.cdb = cdb
        self.attribute = attribute
        self.immediate = immediate
        self.cmdsn = 0
        self.quiet = False
        self.outcome: Outcome | None = None
        self._out = data_out
        self._read_length = read_length
        self._parameters = parameters or Parameters()
        self._conduct = conduct or Conduct()
        self._in = bytearray(read_length)
        self._received = 0
        self._offset = 0
        self._filled = 0
        self._burst = 0
        self._data_ins = 0
        self._r2ts = 0
        self._open_r2ts = 0
        self._requested = 0

    def __repr__(self) -> str:
        state = "ended" if self.outcome else f"in {self._received}/{self._read_length} out {len(self._out)}"
        return f"<ScsiTask {self.itt:#010x} LUN {self.lun} CDB {self.cdb[:1].hex()} {state}>"

    @property
    def lun_field(self) -> int:
        """The LUN as the field has it."""
        return lun_value(self.lun)

    # --- what it sends --------------------------------------------------------------------------------------------

    def request(self) -> Pdu:
        """Make the SCSI Command, with as much immediate data as is agreed (RFC 7143 11.3, 13.11).

        CmdSN and ExpStatSN are the session's to fill in.
        """
        agreed = self._parameters
        edtl = len(self._out) if self._out else self._read_length
        first = min(len(self._out), agreed.first_burst_length)
        immediate = min(first, agreed.send_segment) if agreed.immediate_data else 0
        self._requested = immediate if agreed.initial_r2t else first
        headers = []
        if len(self.cdb) > _BHS_CDB:
            headers.append(Ahs.for_cdb(self.cdb))
        if self._out and self._read_length:
            headers.append(Ahs.for_read_edtl(self._read_length))
        return Pdu.build(
            Opcode.SCSI_COMMAND,
            data=self._out[:immediate],
            ahs=encode_ahs(headers),
            I=int(self.immediate),
            # No unsolicited Data-Out follows (RFC 7143 11.3.1).
            F=int(self._requested == immediate),
            R=int(self._read_length > 0),
            W=int(len(self._out) > 0),
            ATTR=self.attribute,
            LUN=self.lun_field,
            ITT=self.itt,
            EDTL=edtl,
            CDB=self.cdb[:_BHS_CDB],
        )

    def unsolicited(self, request: Pdu) -> Iterator[Pdu]:
        """Make the unsolicited Data-Out that follow `request`, one by one (RFC 7143 4.2.5.2, 11.7)."""
        begin = len(request.data)
        if self._requested > begin:
            yield from self._sequence(begin, self._requested, NO_TAG)

    def _sequence(self, begin: int, end: int, tag: int) -> Iterator[Pdu]:
        # All but the last are a multiple of four (RFC 7143 11.7.7).
        step = self._parameters.send_segment & ~3
        lun = 0 if tag == NO_TAG else self.lun_field
        datasn = 0
        while begin < end and not self.quiet:
            stop = min(begin + step, end)
            yield Pdu.build(
                Opcode.DATA_OUT,
                data=self._out[begin:stop],
                F=int(stop == end),
                LUN=lun,
                ITT=self.itt,
                TTT=tag,
                DataSN=datasn,
                BufferOffset=begin,
            )
            datasn += 1
            begin = stop

    def on_r2t(self, pdu: Pdu) -> Iterator[Pdu]:
        """Take an R2T, and give what makes its Data-Out one by one (RFC 7143 11.8).

        Raises ProtocolError for one that cannot be.
        """
        offset, length = pdu["BufferOffset"], pdu["DesiredDataTransferLength"]
        self._check_shared_sn("R2TSN", pdu["R2TSN"])
        if pdu["TTT"] == NO_TAG:
            raise ProtocolError("R2T without a Target Transfer Tag", section="RFC 7143 11.8.5")
        if pdu["LUN"] != self.lun_field:
            raise ProtocolError(f"R2T for LUN {pdu['LUN']:#x}, not {self.lun_field:#x}", section="RFC 7143 4.2.5.3")
        if not 0 < length <= self._parameters.max_burst_length or offset + length > len(self._out):
            raise ProtocolError(
                f"R2T for {length} bytes from {offset} of {len(self._out)}, MaxBurstLength "
                f"{self._parameters.max_burst_length}",
                section="RFC 7143 11.8.4",
            )
        if self._parameters.data_sequence_in_order and offset > self._requested:
            raise ProtocolError(f"R2T from {offset}, expected {self._requested}", section="RFC 7143 13.19")
        if self._open_r2ts >= self._parameters.max_outstanding_r2t:
            raise ProtocolError(f"R2T while {self._open_r2ts} are outstanding", section="RFC 7143 13.17")
        self._requested = offset + length
        self._r2ts += 1
        self._open_r2ts += 1
        return self._answer(offset, offset + length, pdu["TTT"])

    def _answer(self, begin: int, end: int, tag: int) -> Iterator[Pdu]:
        for pdu in self._sequence(begin, end, tag):
            # The last is as good as sent when it is taken: the target cannot ask again before it has it.
            if pdu["F"]:
                self._open_r2ts -= 1
            yield pdu

    # --- what it receives -----------------------------------------------------------------------------------------

    @property
    def _bidirectional(self) -> bool:
        return bool(self._out) and self._read_length > 0

    def _check_shared_sn(self, name: str, found: int) -> None:
        """Compare a DataSN or R2TSN; a bidirectional command has one counter for both (RFC 7143 4.2.2.4)."""
        if self._bidirectional:
            expected = self._data_ins + self._r2ts
        else:
            expected = self._r2ts if name == "R2TSN" else self._data_ins
        if found != expected:
            self._conduct.wrong_datasn(f"{name} {found}, expected {expected}")

    def on_data_in(self, pdu: Pdu) -> None:
        """Take a Data-In, and the status if it has one. Raises ProtocolError for one that cannot be."""
        offset, length = pdu["BufferOffset"], len(pdu.data)
        self._check_shared_sn("DataSN", pdu["DataSN"])
        self._data_ins += 1
        if offset + length > self._read_length:
            raise ProtocolError(
                f"Data-In of {length} bytes from {offset} of {self._read_length}", section="RFC 7143 11.7.6"
            )
        if self._parameters.data_pdu_in_order and self._parameters.data_sequence_in_order and offset != self._offset:
            self._conduct.wrong_offset(f"Data-In from {offset}, expected {self._offset}")
        self._burst += length
        if self._burst > self._parameters.max_burst_length:
            self._conduct.long_sequence(self._burst)
        if pdu["F"]:
            self._burst = 0
        if pdu["A"]:
            self._conduct.acknowledge_asked(pdu)
        self._in[offset : offset + length] = pdu.data
        self._offset = offset + length
        self._filled = max(self._filled, self._offset)
        self._received += length
        if pdu["S"]:
            if not pdu["F"] or self._bidirectional or pdu["Status"] not in _PHASE_COLLAPSE:
                raise ProtocolError(f"Data-In with status {pdu['Status']:#04x}", section="RFC 7143 11.7.3")
            self._end(pdu, status=pdu["Status"])

    def on_response(self, pdu: Pdu) -> None:
        """Take the SCSI Response. Raises ProtocolError for one that cannot be."""
        # RFC 7143 counts Data-In PDUs, RFC 3720 10.4.8 the R2Ts too: more than both means that some are lost.
        if serial.gt(pdu["ExpDataSN"], self._data_ins + self._r2ts):
            self._conduct.wrong_datasn(f"ExpDataSN {pdu['ExpDataSN']} after {self._data_ins} Data-In")
        if pdu["Status"] == Status.CHECK_CONDITION and not pdu["Response"] and not pdu.data:
            raise ProtocolError("CHECK CONDITION without sense data", section="RFC 7143 11.4.7, 7.7")
        try:
            sense = sense_of_segment(pdu.data)
        except ScsiError:
            sense = None
        self._end(pdu, status=pdu["Status"], response=pdu["Response"], sense=sense)

    def _end(self, pdu: Pdu, *, status: int, response: int = 0, sense: Sense | None = None) -> None:
        # Without a SCSI status the flags say nothing (RFC 7143 11.4.1, 11.4.3).
        residual = 0 if response else _residual(pdu["O"], pdu["U"], pdu["ResidualCount"])
        read_residual = residual
        if not response and pdu.opcode == Opcode.SCSI_RESPONSE and self._bidirectional:
            read_residual = _residual(pdu["o"], pdu["u"], pdu["BidirectionalReadResidualCount"])
        due = self._read_length - max(read_residual, 0)
        if status == Status.GOOD and response == 0 and self._read_length and self._received < due:
            self._conduct.missing_data(f"status GOOD after {self._received} bytes of {due}")
        self.quiet = True
        data = bytes(memoryview(self._in)[: self._filled])
        self._in = bytearray()
        self.outcome = Outcome(
            status=status,
            response=response,
            data=data,
            sense_data=sense,
            residual=residual,
            read_residual=read_residual if self._bidirectional else 0,
        )


def _residual(over: int, under: int, count: int) -> int:
    if over and under:
        raise ProtocolError("both overflow and underflow", section="RFC 7143 11.4.5.1")
    return -count if over else count if under else 0
