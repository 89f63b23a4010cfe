"""One SCSI command as the target carries it: its data in and out, from the command to the status (RFC 7143 11.3–11.8).

What comes without being asked for is judged when its burst is over, what answers an R2T when that has its F bit; a
status is never sent while the initiator is still sending. What is wrong with the data ends the command, not the
connection, as long as the bytes can be told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi.command import Attribute, Clearing, Command, Result, Status, Want
from iscsiproxy.peers.target.conduct import INCORRECT_AMOUNT, Conduct
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG, lun_number
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import SenseCode, encode_sense

if TYPE_CHECKING:
    from iscsiproxy.peers.target.connection import Connection

__all__ = ["Burst", "Task", "abort_all"]

#: Protocol service CRC error (RFC 7143 11.4.7.2)
_CRC_ERROR = SenseCode(0xB, 0x47, 0x05)
#: Invalid field in CDB: the answer to bidirectional commands, of which there are none here
_INVALID_FIELD = SenseCode(0x5, 0x24, 0x00)
#: How long SenseLength is (RFC 7143 11.4.7)
_SENSE_PREFIX = 2


@dataclass(slots=True, eq=False)
class Burst:
    """A sequence of Data-Out: unsolicited (`tag` is NO_TAG), or what one R2T has asked for. Lengths are bytes."""

    task: Task
    tag: int
    offset: int
    length: int
    received: int = 0
    data_sn: int = 0
    #: Where its data lies in the buffer, only kept where the order of the PDUs is free (RFC 7143 13.18)
    pieces: list[tuple[int, int]] = field(default_factory=list)

    @property
    def solicited(self) -> bool:
        """Whether an R2T has asked for it."""
        return self.tag != NO_TAG

    @property
    def whole(self) -> bool:
        """Whether the pieces leave no hole and do not overlap; only asked where they are kept."""
        at = self.offset
        for start, end in sorted(self.pieces):
            if start != at:
                return False
            at = end
        return True


class Task:
    """One command of one session; made from its SCSI Command PDU when that arrives, delivered when its turn comes.

    `bursts` are the sequences of Data-Out that are due.
    """

    def __init__(self, connection: Connection, pdu: Pdu) -> None:
        session = connection.session
        assert session is not None
        assert session.device is not None
        self._connection = connection
        self._session = session
        self._device = session.device
        self._conduct: Conduct = connection.conduct
        self.itt = pdu["ITT"]
        self.lun = pdu["LUN"]
        self.cmdsn = pdu["CmdSN"]
        self.immediate = bool(pdu["I"])
        self.delivered = False
        self.over = False
        self.bursts: list[Burst] = []
        self._reads, self._writes = bool(pdu["R"]), bool(pdu["W"])
        self._edtl = pdu["EDTL"]
        self._data = bytearray()
        self._failure: SenseCode | None = _INVALID_FIELD if self._reads and self._writes else None
        self._result: Result | None = None
        self._wanted: int | None = None
        self._asked = 0  # how much of the data was received or asked for with an R2T
        self._r2t_sn = 0
        self._padded = False  # what never came counts as zeros
        self._held = False  # no R2T any more: it is going to be ended
        self._drained: list[Callable[[], None]] = []
        self.command = Command(
            nexus=session.identity.nexus,
            lun=lun_number(self.lun),
            cdb=pdu.cdb,
            attribute=Attribute(pdu["ATTR"]),
            tag=self.itt,
            offered=self._edtl if self._writes else 0,
            on_enabled=self._begin,
            on_cleared=self._cleared,
        )
        if self._writes:
            self._take_immediate(pdu)

    def __repr__(self) -> str:
        state = "over" if self.over else "delivered" if self.delivered else "waiting"
        return f"<Task {self.itt:#010x} {state}, {len(self._data)} bytes, {len(self.bursts)} bursts>"

    def has_number(self, cmdsn: int) -> bool:
        """Tell whether the command has this CmdSN for its own."""
        return self.cmdsn == cmdsn and not self.immediate

    # --- its turn -------------------------------------------------------------------------------------------------

    def deliver(self) -> bool:
        """Hand the command to the device server: its CmdSN has come up, or it is immediate."""
        self.delivered = True
        if not self.over:
            self._device.submit(self.command)
        return True

    def _begin(self) -> None:
        if self.over:
            return
        if self._failure is None:
            match self._device.begin(self.command):
                case Want(length=length):
                    self._wanted = length
                case result:
                    self._result = result
        else:
            self._wanted = 0
        self.proceed()

    def proceed(self) -> None:
        """Do what can be done now: ask for data, or carry the command out and answer it."""
        if self.over or (self._wanted is None and self._result is None):
            return
        if self._failure is not None or self._result is not None:
            if not self.bursts:
                self._conclude(self._result or self._failed())
            return
        if self.unsolicited_burst() is not None:
            return
        need = self._need
        if not self._held and not self._padded:
            while self._asked < need and len(self.bursts) < self._session.parameters.max_outstanding_r2t:
                self._ask(need)
        if not self.bursts and (self._asked >= need or self._padded):
            self._data.extend(bytes(max(need - len(self._data), 0)))
            self._conclude(self._device.execute(self.command, memoryview(self._data)[:need]))

    @property
    def _need(self) -> int:
        """How many bytes of data-out are to be had."""
        return min(self._wanted or 0, self._edtl) if self._writes else 0

    def _failed(self) -> Result:
        assert self._failure is not None
        self._wanted = 0  # nothing has been moved
        return Result(status=Status.CHECK_CONDITION, sense=encode_sense(self._failure))

    def _conclude(self, result: Result) -> None:
        self.over = True
        self._session.tasks.pop(self.itt, None)
        wanted = self._wanted if self._wanted is not None else result.wanted
        self._connection.put(self._answer(result, wanted), cost=len(result.data))
        # Only now, for this may let others begin, and end, whose status has to follow ours.
        self._device.finish(self.command)

    # --- data out -------------------------------------------------------------------------------------------------

    def fail(self, code: SenseCode | None) -> None:
        """Let the command end with this sense, the first there is; None takes what was wrong as it is."""
        if code is not None and self._failure is None:
            self._failure = code

    def _take_immediate(self, pdu: Pdu) -> None:
        parameters, length = self._session.parameters, len(pdu.data)
        more = not pdu["F"]
        if (length and not parameters.immediate_data) or (more and parameters.initial_r2t):
            self.fail(self._conduct.unexpected_unsolicited())
        elif length > parameters.first_burst_length:
            self.fail(self._conduct.excess_immediate(length, parameters.first_burst_length))
        if length > self._edtl:
            self.fail(INCORRECT_AMOUNT)
        self._store(0, pdu.data)
        self._asked = length
        if more:
            self.bursts.append(Burst(self, NO_TAG, length, max(self._due - length, 0)))

    @property
    def _due(self) -> int:
        """How much unsolicited data there has to be, if any comes beside the command (RFC 7143 4.2.5.2)."""
        return min(self._edtl, self._session.parameters.first_burst_length)

    def unsolicited_burst(self) -> Burst | None:
        """Give the unsolicited burst, if it is still under way."""
        return next((burst for burst in self.bursts if not burst.solicited), None)

    def take(self, burst: Burst, pdu: Pdu, *, intact: bool) -> None:
        """Take a Data-Out of one of the bursts; `intact` tells that its digest was right or it had none."""
        if not intact:
            self.fail(_CRC_ERROR)
        elif self._misplaced(burst, pdu):
            self.fail(self._conduct.broken_sequence())
        burst.data_sn = serial.add(pdu["DataSN"], 1)
        burst.received = max(burst.received, pdu["BufferOffset"] + len(pdu.data) - burst.offset)
        if burst.received > burst.length:
            # Said at once: what is too much is not even kept.
            self.fail(self._wrong_length(burst))
        self._store(pdu["BufferOffset"], pdu.data)
        if pdu["F"]:
            self._close(burst)

    def _misplaced(self, burst: Burst, pdu: Pdu) -> bool:
        """Tell whether a Data-Out is not where its burst goes on (RFC 7143 11.7.5, 11.7.6)."""
        offset = pdu["BufferOffset"]
        if pdu["DataSN"] != burst.data_sn:
            return True
        if self._session.parameters.data_pdu_in_order:
            return offset != burst.offset + burst.received
        if pdu.data:
            burst.pieces.append((offset, offset + len(pdu.data)))
        return not burst.offset <= offset <= burst.offset + burst.length - len(pdu.data)

    def _wrong_length(self, burst: Burst) -> SenseCode | None:
        if burst.solicited:
            return self._conduct.wrong_sequence(burst.received, burst.length)
        return self._conduct.wrong_unsolicited(burst.offset + burst.received, self._due)

    def _close(self, burst: Burst) -> None:
        """Judge a burst that is over."""
        self.bursts.remove(burst)
        if burst.received < burst.length:
            self.fail(self._wrong_length(burst))
        elif burst.pieces and not burst.whole:
            self.fail(self._conduct.broken_sequence())
        if burst.solicited:
            self._connection.forget_tag(burst.tag)
        else:
            self._asked = min(burst.offset + burst.received, self._edtl)
            self._padded = burst.received < burst.length
        self.proceed()
        self._settle()

    def _store(self, offset: int, data: bytes) -> None:
        """Keep what is inside the initiator's buffer, and nothing of what is beyond it or far behind a hole."""
        if offset >= self._edtl or self._failure is not None:
            return
        if offset > max(self._asked, len(self._data)) + self._session.parameters.max_burst_length:
            self.fail(INCORRECT_AMOUNT)  # whoever forgives a hole need not fill one of any size
            return
        if len(self._data) < offset:
            self._data.extend(bytes(offset - len(self._data)))
        kept = data[: self._edtl - offset]
        self._data[offset : offset + len(kept)] = kept

    def _ask(self, need: int) -> None:
        """Send an R2T for the next part (RFC 7143 11.8)."""
        length = min(need - self._asked, self._session.parameters.max_burst_length)
        burst = Burst(self, self._session.take_tag(), self._asked, length)
        self.bursts.append(burst)
        self._connection.remember_tag(burst)
        r2t = Pdu.build(
            Opcode.R2T,
            F=1,
            LUN=self.lun,
            ITT=self.itt,
            TTT=burst.tag,
            R2TSN=self._r2t_sn,
            BufferOffset=burst.offset,
            DesiredDataTransferLength=length,
        )
        self._r2t_sn += 1
        self._asked += length
        self._connection.put(self._while_alive(r2t))

    def _while_alive(self, pdu: Pdu) -> Iterator[Pdu]:
        if not self.over:
            yield pdu

    # --- the answer -----------------------------------------------------------------------------------------------

    def _answer(self, result: Result, wanted: int) -> Iterator[Pdu]:
        """Make Data-In and status, one PDU after the other as they are asked for (RFC 7143 11.4, 11.7)."""
        data = memoryview(result.data)[: self._edtl if self._reads else 0]
        flags = self._residual(len(result.data), wanted)
        parameters = self._session.parameters
        fold = result.status == Status.GOOD and bool(data)
        offset = number = 0
        while offset < len(data):
            left_of_burst = parameters.max_burst_length - offset % parameters.max_burst_length
            # Whole words, but for the last (RFC 7143 11.7.7)
            length = min(len(data) - offset, parameters.send_segment & ~3, left_of_burst)
            last = offset + length == len(data)
            status = {"S": 1, "Status": int(result.status), **flags} if last and fold else {}
            yield Pdu.build(
                Opcode.DATA_IN,
                data=bytes(data[offset : offset + length]),
                F=int(last or length == left_of_burst),
                ITT=self.itt,
                TTT=NO_TAG,
                DataSN=number,
                BufferOffset=offset,
            ).with_fields(status)
            offset += length
            number += 1
        if not fold:
            sense = len(result.sense).to_bytes(_SENSE_PREFIX, "big") + result.sense if result.sense else b""
            yield Pdu.build(
                Opcode.SCSI_RESPONSE, data=sense, F=1, ITT=self.itt, Status=int(result.status), ExpDataSN=number
            ).with_fields(flags)

    def _residual(self, offered: int, wanted: int) -> dict[str, int]:
        """Compare what the command moves with what the initiator expects (RFC 7143 11.4.5)."""
        moved = wanted if self._writes else offered if self._reads else max(offered, wanted)
        difference = moved - self._edtl
        if not difference:
            return {}
        return {"O" if difference > 0 else "U": 1, "ResidualCount": abs(difference)}

    # --- an end from elsewhere ------------------------------------------------------------------------------------

    def drain(self, then: Callable[[], None]) -> None:
        """Ask for no more data, and call `then` when what was asked for has come; at once if nothing is due.

        What comes unsolicited is not waited for: it has no Target Transfer Tag (RFC 7143 4.2.3.3 a).
        """
        self._held = True
        self._drained.append(then)
        self._settle()

    def _settle(self) -> None:
        if not any(burst.solicited for burst in self.bursts):
            waiting, self._drained = self._drained, []
            for then in waiting:
                then()

    def _cleared(self, cause: Clearing) -> None:
        """Take note that the device server has ended the command: no status is sent for it (SAM-5 5.5)."""
        if not self.over:
            self.over = True
            shut = self._session.shut
            self.forget()
            if shut:
                self._connection.show_window()

    def forget(self) -> None:
        """Let go of a command that is over without a status; Data-Out on its way is absorbed (RFC 7143 4.2.3.3)."""
        self._session.tasks.pop(self.itt, None)
        self._connection.absorb(self.itt, self.bursts)
        self.bursts.clear()
        self._settle()

    def withdraw(self) -> None:
        """Take the command from the device server."""
        self._device.abort(self.command)


def abort_all(tasks: Iterable[Task]) -> None:
    """End commands because their initiator asked for that, or is gone; no status is sent for them."""
    ending = [task for task in tasks if not task.over]
    # All are over before the first one goes: its end must not let another of them begin.
    for task in ending:
        task.over = True
    for task in ending:
        task.withdraw()
    for task in ending:
        task.forget()
