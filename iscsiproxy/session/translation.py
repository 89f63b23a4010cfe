"""A PDU in the numbers of the other leg, field by field (RFC 7143 11).

Two functions lead the way: `to_target` and `to_initiator`. Each translates what a PDU says, with the maps of its
session and of its connection, and notes what it uses up. `filled` gives what a PDU of the proxy's own has to say.
"""

from __future__ import annotations

from iscsiproxy.session.serialmap import Acknowledged, Numbering
from iscsiproxy.session.subnumbers import Tags, TaskNumbers
from iscsiproxy.session.traffic import REQUESTS
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import gt, lt

__all__ = [
    "ANSWERS",
    "WITHOUT_CMDSN",
    "ConnectionNumbers",
    "SessionNumbers",
    "acknowledge",
    "counts",
    "filled",
    "hear",
    "in_initiator_numbers",
    "in_target_numbers",
    "to_initiator",
    "to_target",
    "window",
]

#: How many headers of a connection are remembered as the initiator sent them, for a Reject to embed.
_HEADERS_KEPT = 1024
_TOP = 0xFFFFFFFF

#: What advances StatSN whatever its fields say (RFC 7143 4.2.2.2)
_STATUS = frozenset(
    {
        Opcode.SCSI_RESPONSE,
        Opcode.TMF_RESPONSE,
        Opcode.LOGIN_RESPONSE,
        Opcode.TEXT_RESPONSE,
        Opcode.LOGOUT_RESPONSE,
        Opcode.ASYNC,
        Opcode.REJECT,
    }
)
#: PDUs of a target, all with ExpCmdSN and MaxCmdSN
ANSWERS = _STATUS | {Opcode.NOP_IN, Opcode.DATA_IN, Opcode.R2T}
#: PDUs of an initiator with an ExpStatSN and no CmdSN
WITHOUT_CMDSN = frozenset({Opcode.DATA_OUT, Opcode.SNACK})
#: Functions that name a command by its CmdSN (RFC 7143 11.5.5, RFC 7144 6.1.1)
_REF_CMDSN = frozenset({"ABORT_TASK", "QUERY_TASK"})
#: SNACK types (RFC 7143 11.16.1)
_DATA_OR_R2T, _STATUS_SNACK, _DATA_ACK = 0, 1, 2


class SessionNumbers:
    """What all connections of a session share."""

    __slots__ = ("by_cid", "commands", "conns", "expected", "isid", "maximum", "number", "tags", "tasks", "tsih")

    def __init__(self) -> None:
        self.number = 0
        self.isid = self.tsih = 0
        self.commands = Numbering()
        self.expected = Acknowledged()  # ExpCmdSN
        self.maximum = Acknowledged()  # MaxCmdSN
        self.tasks = TaskNumbers()
        self.tags = Tags()
        self.conns: set[int] = set()
        self.by_cid: dict[int, ConnectionNumbers] = {}  # the last one of each CID, open or not

    def __repr__(self) -> str:
        return f"<SessionNumbers {self.number} {self.commands!r} {len(self.conns)} connections>"

    @property
    def active(self) -> bool:
        """Something is translated on all its connections."""
        return not self.commands.identity or bool(self.tasks) or bool(self.tags)


class ConnectionNumbers:
    """What one connection has for itself."""

    __slots__ = (
        "acks",
        "answered",
        "cid",
        "expected",
        "headers",
        "maximum",
        "number",
        "session",
        "settled",
        "statuses",
    )

    def __init__(self, number: int, session: SessionNumbers) -> None:
        self.number = number
        self.session = session
        self.settled = False  # the session is known for good
        self.answered = False  # the initiator has had a Login Response
        self.cid: int | None = None
        self.statuses = Numbering()
        self.acks = Acknowledged()  # ExpStatSN
        self.expected = Acknowledged()  # ExpCmdSN, on this connection
        self.maximum = Acknowledged()  # MaxCmdSN, on this connection
        self.headers: dict[bytes, bytes] = {}  # as the target got them: as the initiator sent them

    def __repr__(self) -> str:
        return f"<ConnectionNumbers {self.number} {self.statuses!r} of {self.session!r}>"


# --- towards the target ----------------------------------------------------------------------------------------------


def to_target(
    connection: ConnectionNumbers, pdu: Pdu, exact: frozenset[str], *, extra: bool, late: bool = False
) -> Pdu:
    """Give an initiator's PDU as the target is to get it now.

    Raises ValueError if an extra one cannot be numbered, or if it was hidden before.
    """
    session, opcode = connection.session, pdu.opcode
    commands, new = session.commands, {}
    if opcode in REQUESTS:
        cmd_sn, itt = pdu["CmdSN"], pdu["ITT"]
        fresh = commands.fresh(cmd_sn)
        if pdu["I"] or fresh:
            session.tasks.begin(itt)
            if session.tags:
                session.tags.begin(itt)
        new = in_target_numbers(connection, pdu)
        if "CmdSN" in exact:
            pass
        elif pdu["I"]:
            coming = commands.coming
            if coming is not None and (extra or (gt(new["CmdSN"], coming) and opcode != Opcode.TMF_REQUEST)):
                # Commands before it stand back, or it is a while since the request that it is a part of. What is right
                # is the next one now, but where it tells which commands a function is about (RFC 7143 11.5.1).
                new["CmdSN"] = coming
            commands.hint(cmd_sn)
        elif extra:
            commands.hint(cmd_sn)
            new["CmdSN"] = commands.borrow()
        elif not fresh and commands.removed(cmd_sn):
            raise ValueError(f"CmdSN {cmd_sn:#x} was hidden from the target")
        else:
            commands.use(cmd_sn)
    elif opcode == Opcode.LOGIN_REQUEST:
        new = in_target_numbers(connection, pdu)
        commands.hint(pdu["CmdSN"])
    elif opcode in WITHOUT_CMDSN:
        new = in_target_numbers(connection, pdu)
        if extra and opcode == Opcode.DATA_OUT and "DataSN" not in exact:
            burst = session.tasks.part_burst(pdu["ITT"], pdu["TTT"])
            new["DataSN"] = burst.insert((pdu["DataSN"] + 1) & _TOP)
    elif session.tags:
        new = {"ITT": session.tags.forward(pdu["ITT"])}
    login = opcode == Opcode.LOGIN_REQUEST and not connection.answered
    if "ExpStatSN" in new and "ExpStatSN" not in exact and not login:
        acked = pdu["ExpStatSN"]
        if (late or extra) and connection.acks.heard is not None and lt(acked, connection.acks.heard):
            acked = connection.acks.heard
        new["ExpStatSN"] = acknowledge(connection, acked)
    result = _changed(pdu, new, exact)
    if opcode in REQUESTS or opcode in WITHOUT_CMDSN:
        _remember(connection, result.bhs, pdu.bhs)
    return result


def in_target_numbers(connection: ConnectionNumbers, pdu: Pdu) -> dict[str, int]:
    """Translate all fields of an initiator's PDU, and take note of nothing."""
    session, opcode = connection.session, pdu.opcode
    new: dict[str, int] = {}
    if opcode == Opcode.LOGIN_REQUEST:
        return {
            "CmdSN": session.commands.forward(pdu["CmdSN"], coming=True),
            "ExpStatSN": _login_ack(connection, pdu["ExpStatSN"]),
        }
    if opcode in REQUESTS:
        new["CmdSN"] = session.commands.forward(pdu["CmdSN"], coming=bool(pdu["I"]))
        if opcode == Opcode.TMF_REQUEST:
            new |= _references(session, pdu, new["CmdSN"])
    elif opcode == Opcode.DATA_OUT:
        burst = session.tasks.burst(pdu["ITT"], pdu["TTT"])
        if burst is not None:
            new["DataSN"] = burst.forward(pdu["DataSN"])
    elif opcode == Opcode.SNACK:
        new |= _run(connection, pdu)
    else:
        return new
    new["ExpStatSN"] = connection.statuses.back_expected(pdu["ExpStatSN"])
    new["ITT"] = session.tags.forward(pdu["ITT"])
    return new


def _references(session: SessionNumbers, pdu: Pdu, cmd_sn: int) -> dict[str, int]:
    """Translate what a task management request names."""
    new = {"RefTaskTag": session.tags.forward(pdu["RefTaskTag"])}
    function = codes.TMF_FUNCTION.text(pdu["Function"])
    if function in _REF_CMDSN:
        # An immediate task is named by the CmdSN of the request itself (RFC 7143 11.5.5).
        itself = pdu["I"] and pdu["RefCmdSN"] == pdu["CmdSN"]
        new["RefCmdSN"] = cmd_sn if itself else session.commands.forward(pdu["RefCmdSN"])
    if function == "TASK_REASSIGN" and (answers := session.tasks.answers(pdu["RefTaskTag"])) is not None:
        new["ExpDataSN"] = answers.back_expected(pdu["ExpDataSN"])
    return new


def _run(connection: ConnectionNumbers, pdu: Pdu) -> dict[str, int]:
    """Translate the run that a SNACK asks for (RFC 7143 11.16)."""
    kind, first, length = pdu["Type"], pdu["BegRun"], pdu["RunLength"]
    tasks = connection.session.tasks
    if kind == _DATA_ACK:
        answers = tasks.acked_by(pdu["TTT"])
        return {} if answers is None else {"BegRun": answers.back_expected(first)}
    numbers = connection.statuses if kind == _STATUS_SNACK else tasks.answers(pdu["ITT"])
    if numbers is None or kind not in (_DATA_OR_R2T, _STATUS_SNACK) or (not first and not length):
        return {}
    begin = numbers.back(first)
    if not length:
        return {"BegRun": begin}
    last = numbers.back((first + length - 1) & _TOP)
    return {"BegRun": begin, "RunLength": ((last - begin) & _TOP) + 1}


def _login_ack(connection: ConnectionNumbers, exp_stat_sn: int) -> int:
    if connection.answered:
        return connection.statuses.back_expected(exp_stat_sn)
    if connection.statuses.next is not None:
        # There were rounds that the initiator knows nothing of.
        return connection.statuses.next
    # The first request acknowledges what the connection before it was sent (RFC 7143 6.3.4).
    session = connection.session
    old = None if connection.cid is None or not session.tsih else session.by_cid.get(connection.cid)
    return exp_stat_sn if old is None else acknowledge(old, exp_stat_sn)


def acknowledge(connection: ConnectionNumbers, exp_stat_sn: int) -> int:
    """Note an ExpStatSN and give it in the target's numbers."""
    statuses = connection.statuses
    coming = statuses.coming
    if coming is not None and gt(exp_stat_sn, (coming + 1) & _TOP):
        # No acknowledgement, whatever it is: one too many is common after an R2T, more is not.
        return statuses.back_expected(exp_stat_sn)
    return connection.acks.tell(exp_stat_sn, statuses.back_expected)


def _remember(connection: ConnectionNumbers, sent: bytes, original: bytes) -> None:
    headers = connection.headers
    headers.pop(sent, None)
    headers[sent] = original
    if len(headers) > _HEADERS_KEPT:
        del headers[next(iter(headers))]


# --- towards the initiator -------------------------------------------------------------------------------------------


def to_initiator(
    connection: ConnectionNumbers, pdu: Pdu, exact: frozenset[str], *, extra: bool, late: bool = False
) -> Pdu:
    """Give a target's PDU as the initiator is to get it now.

    Raises ValueError if an extra one cannot be numbered.
    """
    session, statuses, opcode = connection.session, connection.statuses, pdu.opcode
    if opcode not in ANSWERS:
        return _changed(pdu, {"ITT": session.tags.back(pdu["ITT"])}, exact)
    if opcode == Opcode.LOGIN_RESPONSE and pdu["Status-Class"]:
        # StatSN, ExpCmdSN and MaxCmdSN mean nothing here (RFC 7143 11.13.5).
        return pdu
    new = in_initiator_numbers(connection, pdu)
    itt = session.tags.back(pdu["ITT"])
    if "ExpCmdSN" not in exact and "MaxCmdSN" not in exact:
        expected, maximum = pdu["ExpCmdSN"], pdu["MaxCmdSN"]
        if extra or late:
            # It may be a while since it came, or the PDU that it is a part of: others have said more by now.
            expected, maximum = _known(connection.expected.heard, expected), _known(connection.maximum.heard, maximum)
        new["ExpCmdSN"], new["MaxCmdSN"] = window(connection, expected, maximum)
    if "StatSN" not in exact:
        stat_sn = pdu["StatSN"]
        if not counts(pdu, opcode, itt):
            if opcode != Opcode.DATA_IN:
                statuses.hint(stat_sn)
                if extra or late:
                    new["StatSN"] = _known(statuses.coming, new["StatSN"])
        elif extra and statuses.next is not None and lt(stat_sn, statuses.next):
            new["StatSN"] = statuses.borrow()
        else:
            statuses.use(stat_sn)
    if opcode == Opcode.R2T:
        session.tasks.solicit(itt, pdu["TTT"])
        if extra and "R2TSN" not in exact:
            new["R2TSN"] = session.tasks.part_answers(itt).insert((pdu["R2TSN"] + 1) & _TOP)
    elif opcode == Opcode.DATA_IN:
        if extra and "DataSN" not in exact:
            new["DataSN"] = session.tasks.part_answers(itt).insert((pdu["DataSN"] + 1) & _TOP)
        if pdu["A"]:
            session.tasks.want_ack(itt, pdu["TTT"])
    elif opcode == Opcode.LOGIN_RESPONSE:
        _logged_in(connection, pdu)
    elif opcode == Opcode.REJECT:
        pdu = _rejected(connection, pdu)
    return _changed(pdu, new, exact)


def in_initiator_numbers(connection: ConnectionNumbers, pdu: Pdu) -> dict[str, int]:
    """Translate all fields of a target's PDU, and take note of nothing."""
    session, opcode = connection.session, pdu.opcode
    itt = session.tags.back(pdu["ITT"])
    new = {
        "ITT": itt,
        "ExpCmdSN": session.commands.back_expected(pdu["ExpCmdSN"]),
        "MaxCmdSN": session.commands.back_max(pdu["MaxCmdSN"]),
    }
    answers = session.tasks.answers(itt)
    if opcode == Opcode.DATA_IN:
        if answers is not None:
            new["DataSN"] = answers.forward(pdu["DataSN"])
        if not pdu["S"]:
            return new
    elif answers is not None and opcode == Opcode.R2T:
        new["R2TSN"] = answers.forward(pdu["R2TSN"])
    elif answers is not None and opcode == Opcode.SCSI_RESPONSE:
        # It counts what was sent: the next number (RFC 7143 11.4.8).
        new["ExpDataSN"] = answers.forward(pdu["ExpDataSN"], coming=True)
    coming = not counts(pdu, opcode, itt)
    new["StatSN"] = connection.statuses.forward(pdu["StatSN"], coming=coming)
    return new


def _logged_in(connection: ConnectionNumbers, pdu: Pdu) -> None:
    """Note a Login Response: the initiator has it, and acknowledges it with whatever comes next."""
    statuses, session = connection.statuses, connection.session
    connection.answered = True
    if statuses.next is not None:
        connection.acks.start(statuses.forward(statuses.next), statuses.next)
    if pdu["TSIH"] and not session.tsih:
        session.tsih = pdu["TSIH"]


def _rejected(connection: ConnectionNumbers, pdu: Pdu) -> Pdu:
    """Give the header inside a Reject as the initiator has sent it (RFC 7143 11.17.4)."""
    if len(pdu.data) < BHS_LENGTH:
        return pdu
    sent = pdu.data[:BHS_LENGTH]
    original = connection.headers.get(sent)
    if original is None:
        # From before anything was translated, or forgotten since.
        forgotten = len(connection.headers) == _HEADERS_KEPT
        original = _as_sent(connection, Pdu(sent)).bhs if forgotten else sent
    return pdu if original == sent else pdu.with_data(original + pdu.data[BHS_LENGTH:])


def _as_sent(connection: ConnectionNumbers, header: Pdu) -> Pdu:
    """Translate the header of a request back, as well as can be."""
    session, opcode = connection.session, header.opcode
    if opcode in REQUESTS or opcode in WITHOUT_CMDSN:
        new = {
            "ITT": session.tags.back(header["ITT"]),
            "ExpStatSN": connection.statuses.forward(header["ExpStatSN"], coming=True),
        }
        if opcode in REQUESTS:
            new["CmdSN"] = session.commands.back(header["CmdSN"])
        if opcode == Opcode.TMF_REQUEST:
            new["RefTaskTag"] = session.tags.back(header["RefTaskTag"])
            if codes.TMF_FUNCTION.text(header["Function"]) in _REF_CMDSN:
                new["RefCmdSN"] = session.commands.back(header["RefCmdSN"])
        elif opcode == Opcode.DATA_OUT:
            burst = session.tasks.burst(new["ITT"], header["TTT"])
            if burst is not None:
                new["DataSN"] = burst.back(header["DataSN"])
        return _changed(header, new, frozenset())
    return header


# --- both ways -------------------------------------------------------------------------------------------------------


def counts(pdu: Pdu, opcode: int, itt: int) -> bool:
    """Tell whether a PDU of a target advances StatSN (RFC 7143 4.2.2.2)."""
    if opcode == Opcode.LOGIN_RESPONSE:
        return not pdu["Status-Class"]
    if opcode in _STATUS:
        return True
    if opcode == Opcode.NOP_IN:
        return itt != NO_TAG
    return opcode == Opcode.DATA_IN and bool(pdu["S"])


def hear(session: SessionNumbers, exp_cmd_sn: int, max_cmd_sn: int) -> bool:
    """Note what a target says of its window, unless that makes no sense (RFC 7143 4.2.2.1)."""
    coming = session.commands.coming
    if lt(max_cmd_sn, (exp_cmd_sn - 1) & _TOP) or (coming is not None and gt(exp_cmd_sn, coming)):
        return False
    session.expected.hear(exp_cmd_sn)
    session.maximum.hear(max_cmd_sn)
    return True


def window(connection: ConnectionNumbers, exp_cmd_sn: int, max_cmd_sn: int) -> tuple[int, int]:
    """Note ExpCmdSN and MaxCmdSN, and give them in the initiator's numbers."""
    session = connection.session
    commands = session.commands
    if not hear(session, exp_cmd_sn, max_cmd_sn):
        return commands.back_expected(exp_cmd_sn), commands.back_max(max_cmd_sn)
    expected = connection.expected.tell(exp_cmd_sn, commands.back_expected)
    maximum = connection.maximum.tell(max_cmd_sn, commands.back_max)
    session.maximum.say(maximum)
    return expected, maximum


def filled(connection: ConnectionNumbers, pdu: Pdu, fill: frozenset[str]) -> dict[str, int]:
    """Give what a PDU of the proxy's own has to have in these fields, and consume what it consumes."""
    session, statuses, opcode = connection.session, connection.statuses, pdu.opcode
    commands, new = session.commands, {}
    if "CmdSN" in fill:
        consumes = opcode in REQUESTS and not pdu["I"]
        new["CmdSN"] = commands.borrow() if consumes else _known(commands.coming, session.expected.heard)
    if "ExpStatSN" in fill:
        acked = connection.acks.again(statuses.back_expected)
        new["ExpStatSN"] = _known(acked, None if connection.answered else statuses.next)
    if "StatSN" in fill and (opcode != Opcode.DATA_IN or pdu["S"]):
        consumes = counts(pdu, opcode, pdu["ITT"])
        new["StatSN"] = statuses.borrow() if consumes else _known(statuses.coming)
    if "ExpCmdSN" in fill:
        # What was said on this very connection: the target's own PDUs that come next say no less.
        heard = _known(connection.expected.heard, session.expected.heard)
        new["ExpCmdSN"] = connection.expected.tell(heard, commands.back_expected)
    if "MaxCmdSN" in fill:
        heard = _known(connection.maximum.heard, session.maximum.heard)
        new["MaxCmdSN"] = connection.maximum.tell(heard, commands.back_max)
        session.maximum.say(new["MaxCmdSN"])
    for name in fill & {"DataSN", "R2TSN"}:
        if opcode == Opcode.DATA_OUT:
            new[name] = session.tasks.part_burst(session.tags.back(pdu["ITT"]), pdu["TTT"]).insert(pdu[name])
        else:
            new[name] = session.tasks.part_answers(pdu["ITT"]).insert(pdu[name])
    return new


def _known(*numbers: int | None) -> int:
    for number in numbers:
        if number is not None:
            return number
    raise ValueError("the number that is right now is not known")


def _changed(pdu: Pdu, new: dict[str, int], exact: frozenset[str]) -> Pdu:
    """Set the fields that differ; the same PDU if none does."""
    values = {name: value for name, value in new.items() if name not in exact and pdu[name] != value}
    return pdu.with_fields(values) if values else pdu
