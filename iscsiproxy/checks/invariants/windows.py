"""The command window: what a target says it takes, and what an initiator may send (RFC 7143 4.2.2.1, 11.4.11).

ExpCmdSN and MaxCmdSN belong to the session, but PDUs of several connections pass each other: that they never go back is
asked of one connection at a time.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, FROM_TARGET, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import add, lt

__all__ = ["FAMILY"]

_COMMANDS: Final = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_LOGIN_REQUEST: Final = frozenset({Opcode.LOGIN_REQUEST})
_LOGIN_RESPONSE: Final = frozenset({Opcode.LOGIN_RESPONSE})
_TELLS: Final = FROM_TARGET
_WINDOW: Final = "window"


class _Told:
    """The last ExpCmdSN and MaxCmdSN of a connection, and the PDUs that had them first.

    `rejected` is the last CmdSN that was rejected: a target that had acknowledged it takes that back.
    """

    __slots__ = ("exp_cmd", "exp_note", "max_cmd", "max_note", "rejected")

    def __init__(self) -> None:
        self.exp_cmd: int | None = None
        self.exp_note: Note | None = None
        self.max_cmd: int | None = None
        self.max_note: Note | None = None
        self.rejected: int | None = None


class _Login:
    """The CmdSNs that the Login Requests of a leading login had; None for any other login."""

    __slots__ = ("cmd_sns", "leading", "note")

    def __init__(self) -> None:
        self.leading: bool | None = None
        self.cmd_sns: set[int] = set()
        self.note: Note | None = None


class _Unheard:
    """The highest MaxCmdSN of PDUs that came with a wrong data digest: their headers were right."""

    __slots__ = ("max_cmd",)

    def __init__(self) -> None:
        self.max_cmd: int | None = None


def _valid(moment: Moment) -> bool:
    """Tell whether ExpCmdSN and MaxCmdSN mean something: not in a Login Response that refuses (RFC 7143 11.13.5)."""
    return moment.opcode != Opcode.LOGIN_RESPONSE or not moment.values["Status-Class"]


# --- the target ------------------------------------------------------------------------------------------------------


def _is_a_window(moment: Moment) -> Outcome:
    """T-011: see that MaxCmdSN is at least ExpCmdSN - 1."""
    if not _valid(moment):
        return None
    expected, maximum = moment["ExpCmdSN"], moment["MaxCmdSN"]
    if lt(maximum, add(expected, -1)):
        return Breach(text=f"MaxCmdSN {maximum} is less than ExpCmdSN {expected} - 1")
    return FINE


def _keeps_acknowledging(moment: Moment) -> Outcome:
    """T-012: see that ExpCmdSN does not go back on a connection."""
    told = moment.conn.known(_Told)
    if told is None or told.exp_cmd is None or not _valid(moment):
        return None
    expected = moment["ExpCmdSN"]
    if expected == told.exp_cmd or not lt(expected, told.exp_cmd):
        return FINE
    if _takes_back(moment, told):
        return None  # T-053 judges that
    assert told.exp_note is not None
    return Breach(text=f"ExpCmdSN went back from {told.exp_cmd} to {expected}", proof=(told.exp_note,))


def _keeps_its_credit(moment: Moment) -> Outcome:
    """T-013: see that MaxCmdSN does not go back on a connection."""
    told = moment.conn.known(_Told)
    if told is None or told.max_cmd is None or not _valid(moment):
        return None
    maximum = moment["MaxCmdSN"]
    if maximum == told.max_cmd or not lt(maximum, told.max_cmd):
        return FINE
    if _takes_back(moment, told) or lt(maximum, add(moment["ExpCmdSN"], -1)):
        return None  # T-053, T-011
    assert told.max_note is not None
    return Breach(text=f"MaxCmdSN went back from {told.max_cmd} to {maximum}", proof=(told.max_note,))


def _rejects(moment: Moment) -> int | None:
    """Give the CmdSN of the command that a PDU rejects."""
    task = moment.task
    return task.cmd_sn if moment.opcode == Opcode.REJECT and task is not None and not task.immediate else None


def _takes_back(moment: Moment, told: _Told) -> bool:
    """Tell whether ExpCmdSN goes back to what is rejected: that was not received (RFC 7143 7.3)."""
    return moment["ExpCmdSN"] in (told.rejected, _rejects(moment))


def _follow_what_is_told(moment: Moment) -> None:
    """Keep the last numbers of a connection, and the last that was rejected."""
    values = moment.values
    if not _valid(moment):
        return
    told = moment.conn.recall(_Told)
    expected, maximum = values["ExpCmdSN"], values["MaxCmdSN"]
    rejected = _rejects(moment)
    told.rejected = told.rejected if rejected is None else rejected
    if expected != told.exp_cmd:
        told.exp_cmd, told.exp_note = expected, moment.note
    if maximum != told.max_cmd:
        told.max_cmd, told.max_note = maximum, moment.note


def _begins_where_the_login_did(moment: Moment) -> Outcome:
    """T-015: see that a leading login is answered with the ExpCmdSN that it asked for with its CmdSN."""
    if not moment.sent:
        if moment.conn.seen and not moment.full_feature:
            login = moment.conn.recall(_Login)
            if login.leading is None:
                login.leading = not moment["TSIH"]
            login.cmd_sns.add(moment["CmdSN"])
            login.note = moment.note
        return None
    known = moment.conn.known(_Login)
    if known is None or known.note is None or not known.leading or moment.full_feature or not _valid(moment):
        return None
    expected = moment["ExpCmdSN"]
    if expected in known.cmd_sns:
        return FINE
    return Breach(text=f"ExpCmdSN is {expected}, the Login Request has CmdSN {known.note['CmdSN']}",
                  proof=(known.note,))  # fmt: skip


def _opens_again(moment: Moment) -> Outcome:
    """T-017: see that a window which was closed is opened by a PDU when no task is left that could close it."""
    values, session = moment.values, moment.session
    if not moment.sent:
        if moment.opcode == Opcode.LOGOUT_REQUEST or (values["I"] and values["ITT"] != NO_TAG):
            moment.forgive(_WINDOW, scope="session")
        return None
    expected, maximum = values["ExpCmdSN"], values["MaxCmdSN"]
    if moment.conn.phase is not Phase.FULL_FEATURE or lt(maximum, add(expected, -1)):
        return None
    if session.exp_cmd is not None and lt(expected, session.exp_cmd):
        expected = session.exp_cmd
    if session.max_cmd is not None and lt(maximum, session.max_cmd):
        maximum = session.max_cmd
    if not lt(maximum, expected):
        return FINE if moment.settle(_WINDOW, scope="session") else None
    mine = moment.task if moment.advances else None
    left = any(task is not mine and not task.ignored for task in session.tasks.values())
    if not left and not moment.owes(_WINDOW, scope="session"):
        text = (
            f"the window stayed closed (ExpCmdSN {expected}, MaxCmdSN {maximum}) with no task left; it was not opened"
        )
        moment.owe(_WINDOW, text, scope="session")
    return None


# --- the initiator ---------------------------------------------------------------------------------------------------


def _stays_inside(moment: Moment) -> Outcome:
    """I-006: see that no command is sent beyond the highest MaxCmdSN that was given."""
    session, maximum = moment.session, moment.session.max_cmd
    if moment["I"] or maximum is None or not session.complete or not moment.full_feature:
        return None
    number = moment["CmdSN"]
    if not lt(maximum, number):
        return FINE
    unheard = session.known(_Unheard)
    if unheard is not None and unheard.max_cmd is not None and not lt(unheard.max_cmd, number):
        return None
    return Breach(
        text=f"CmdSN {number} is beyond the window: the highest MaxCmdSN given was {maximum}",
        proof=() if session.max_note is None else (session.max_note,),
    )


def _overhear(moment: Moment) -> None:
    """Keep what the header of a PDU said whose data was spoiled: an end may have read that."""
    if moment.record.header_digest_ok is False:
        return
    unheard, maximum = moment.session.recall(_Unheard), moment["MaxCmdSN"]
    if unheard.max_cmd is None or lt(unheard.max_cmd, maximum):
        unheard.max_cmd = maximum


FAMILY = Family(
    name="windows",
    title="The command window",
    rules=(
        Rule(
            id="T-011",
            title="MaxCmdSN is not less than ExpCmdSN - 1",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_is_a_window,
            sent=_TELLS,
            why="An initiator ignores both numbers: it waits for an acknowledgement that it was given.",
        ),
        Rule(
            id="T-012",
            title="ExpCmdSN never goes back on a connection",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_keeps_acknowledging,
            sent=_TELLS,
            why="What was acknowledged is not kept for a retry: it cannot be sent again.",
        ),
        Rule(
            id="T-013",
            title="MaxCmdSN never goes back on a connection",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 4.2.2.1",
            check=_keeps_its_credit,
            sent=_TELLS,
            why="Initiators do not heed it: they send into a window that the target holds for closed.",
        ),
        Rule(
            id="T-015",
            title="The ExpCmdSN of the answers to a leading login is the CmdSN of its requests",
            severity=Severity.MUST,
            clause="RFC 7143 11.12.8",
            check=_begins_where_the_login_did,
            sent=_LOGIN_RESPONSE,
            given=_LOGIN_REQUEST,
            why="The first command has that CmdSN: to such a target it is outside the window, and is ignored.",
        ),
        Rule(
            id="T-017",
            title="A window that was closed is opened by a PDU, by a NOP-In if there is no other",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 11.4.11",
            check=_opens_again,
            sent=_TELLS,
            given=_COMMANDS,
            why="An initiator with a closed window may send nothing: without that NOP-In both wait for ever.",
        ),
        Rule(
            id="I-006",
            title="No non-immediate command has a CmdSN beyond the MaxCmdSN that was given",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_stays_inside,
            sent=_COMMANDS,
            why="Targets ignore it without a word: the command hangs until something times out.",
        ),
    ),
    observers=(
        Observer(end=End.TARGET, update=_follow_what_is_told, sent=_TELLS),
        Observer(end=End.INITIATOR, update=_overhear, spoiled=_TELLS),
    ),
)
