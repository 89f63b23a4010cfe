"""How logins end: portal group, parameters, refusals and redirects, what must not go on (RFC 7143 6.3, 11.13.5)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.pairs import repeated, wrong_answer
from iscsiproxy.checks.rules import FINE, FROM_INITIATOR, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.answers import INTERVALS, MARKERS, NOT_OFFERED
from iscsiproxy.checks.scene.ledger import Ledger, Role, Said
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.talks import LISTENERS, Reading, heard
from iscsiproxy.session.params import KEYS
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_LOGIN_RESPONSE = frozenset({Opcode.LOGIN_RESPONSE})
#: Status-Class (RFC 7143 11.13.5)
_REDIRECTION, _INITIATOR_ERROR = 1, 2
#: A request that is refused so often by class 2 and still comes again is sent by no person, in seconds from one to the
#: next at the most
_PATIENCE, _RETRY = 4, 60.0
#: How many refused logins are remembered
_REMEMBERED = 256
_RESERVED_STAGE = 2


# --- what a login comes to -------------------------------------------------------------------------------------------


def _names_its_group(moment: Moment) -> Outcome:
    """T-067: the first response to a whole text that names a target has the portal group tag."""
    reading = heard(moment)
    if reading is None or reading.refuses or not (reading.known and reading.whole) or reading.turn:
        return None
    named = reading.ledger.said(End.INITIATOR, "TargetName")
    if reading.asked is None or reading.asked["C"] or named is None:
        return None
    if reading.ledger.said(End.TARGET, "TargetPortalGroupTag") is not None:
        return FINE
    return Breach(text="no TargetPortalGroupTag in the first response", proof=(named.note,))


def _fits_together(moment: Moment) -> Outcome:
    """T-074: what the target had the last word on makes sense together."""
    reading = heard(moment)
    if reading is None or not (reading.known and reading.whole and reading.final):
        return None
    if not reading.place.leading or reading.place.discovery:
        return None
    ledger = reading.ledger
    values = {key.name: ledger.settled(key.name) or key.default or "" for key in KEYS.values()}
    unsolicited = values["InitialR2T"] == "No" or values["ImmediateData"] == "Yes"
    bursts = _decided_by_target(ledger, "FirstBurstLength", "MaxBurstLength")
    if bursts and ledger.settled("FirstBurstLength") is not None and unsolicited:
        first, most = int(values["FirstBurstLength"]), int(values["MaxBurstLength"])
        if first > most:
            text = f"FirstBurstLength={first} over MaxBurstLength={most}"
            return Breach(text=text, clause="RFC 7143 13.14", proof=bursts)
    r2ts = _decided_by_target(ledger, "ErrorRecoveryLevel", "MaxOutstandingR2T", "DataSequenceInOrder")
    if r2ts and values["ErrorRecoveryLevel"] != "0" and values["DataSequenceInOrder"] == "Yes":
        outstanding = int(values["MaxOutstandingR2T"])
        if outstanding > 1:
            level = values["ErrorRecoveryLevel"]
            text = f"MaxOutstandingR2T={outstanding} with ErrorRecoveryLevel={level} and DataSequenceInOrder=Yes"
            return Breach(text=text, clause="RFC 7143 13.19", proof=r2ts)
    return FINE if bursts or r2ts else None


def _decided_by_target(ledger: Ledger, *names: str) -> tuple[Note, ...]:
    """Give the last words on these keys; nothing if the very last is the initiator's."""
    words = sorted(filter(None, map(ledger.last, names)), key=lambda said: said.note.n)
    return tuple(said.note for said in words) if words and words[-1].by is End.TARGET else ()


# --- a login that was refused ----------------------------------------------------------------------------------------


def _refuses_and_closes(moment: Moment) -> Outcome:
    """T-068: a refusal is the end of the connection, and a redirection says where to go."""
    if moment.closed is not None:
        return _closed(moment)
    reading = heard(moment)
    if reading is None or not reading.refuses:
        return None
    moment.owe("close", _refusal(moment), within=moment.scene.limits.close)
    if moment["Status-Class"] != _REDIRECTION or not (reading.known and reading.whole):
        return None
    addresses = [said.value for said in reading.said if said.key == "TargetAddress"]
    if not addresses:
        return Breach(text="a redirection without TargetAddress", clause="RFC 7143 11.13.5")
    tagged = next((value for value in addresses if "," in value), None)
    if tagged is not None:
        return Breach(text=f"a redirection to {tagged}, with a portal group tag", clause="RFC 7143 13.8")
    return FINE


def _refusal(moment: Moment) -> str:
    status = f"{moment['Status-Class']:02x}{moment['Status-Detail']:02x}"
    return f"the connection was not closed after the Login Response with status {status}"


def _closed(moment: Moment) -> Outcome:
    return FINE if moment.sent and moment.settle("close") else None


class _Refusals:
    """What logins were refused by class 2, and how often in a row."""

    def __init__(self) -> None:
        self.told: dict[object, list[Note]] = {}
        self.asked: dict[int, object] = {}  #: by connection


def _heeds_refusal(moment: Moment) -> Outcome:
    """I-051: a refusal is the end of the connection; what class 2 refuses is not tried again and again."""
    if moment.closed is not None:
        return _closed(moment)
    reading = heard(moment)
    if reading is None:
        return None
    refusals = moment.scene.recall(_Refusals)
    if moment.sent:
        return _tried_again(moment, reading, refusals)
    asked = refusals.asked.get(moment.conn.number)
    if not reading.refuses:
        refusals.told.pop(asked, None)
        return None
    moment.owe("close", _refusal(moment), within=moment.scene.limits.close)
    if moment["Status-Class"] == _INITIATOR_ERROR and asked is not None:
        refusals.told.setdefault(asked, []).append(moment.note)
        if len(refusals.told) > _REMEMBERED:
            del refusals.told[next(iter(refusals.told))]
    return None


def _tried_again(moment: Moment, reading: Reading, refusals: _Refusals) -> Outcome:
    """Hold the first text of a login against those that were refused."""
    if not (reading.known and reading.whole) or reading.turn:
        return None
    stages = tuple(moment[name] for name in ("ISID", "TSIH", "CSG", "T", "NSG"))
    asked = (stages, tuple((said.key, said.value) for said in reading.said))
    refusals.asked[moment.conn.number] = asked
    if len(refusals.asked) > _REMEMBERED:
        del refusals.asked[next(iter(refusals.asked))]
    told = refusals.told.get(asked)
    if told is None:
        return None
    if moment.at - told[-1].at > _RETRY:
        del refusals.told[asked]
        return None
    if len(told) < _PATIENCE:
        return None
    text = f"the same login again after {len(told)} refusals of class 2"
    return Breach(text=text, severity=Severity.SHOULD, proof=tuple(told[-_PATIENCE:]))


# --- a login that must not go on -------------------------------------------------------------------------------------


class _Fault:
    """What is wrong with a Login Response that the initiator was given."""

    def __init__(self) -> None:
        self.breach: Breach | None = None
        self.note: Note | None = None


def _drops_wrong_login(moment: Moment) -> Outcome:
    """I-050: behind a Login Response that breaks the negotiation the initiator drops the connection."""
    if moment.closed is not None:
        return FINE if moment.sent and moment.settle("drop") else None
    fault = moment.conn.known(_Fault)
    if moment.sent:
        return None if fault is None else _went_on(moment, fault)
    reading = heard(moment)
    if reading is None or reading.refuses or not reading.known or (fault is not None and fault.breach is not None):
        return None
    breach = _wrong_transit(reading) or _wrong_pair(moment, reading)
    if breach is not None:
        fault = moment.conn.recall(_Fault)
        fault.breach, fault.note = breach, moment.note
        within = moment.scene.limits.close
        moment.owe("drop", f"the connection was not dropped after {breach.text}", within=within, proof=breach.proof)
    return None


def _went_on(moment: Moment, fault: _Fault) -> Breach | None:
    """Find a PDU that an initiator sends though it has read the response."""
    breach, note = fault.breach, fault.note
    if breach is None or note is None or moment.opcode == Opcode.LOGOUT_REQUEST or not moment.has_read(note):
        return None
    moment.forgive("drop")
    fault.breach = None
    return Breach(
        text=f"the login went on after {breach.text}", clause=breach.clause, proof=(note, *breach.proof), key=breach.key
    )


def _wrong_transit(reading: Reading) -> Breach | None:
    response, asked = reading.note, reading.asked
    if asked is None:
        return None
    text, following = "", response["NSG"]
    if response["CSG"] != asked["CSG"]:
        text = f"CSG={response['CSG']} in answer to {asked['CSG']}"
    elif response["T"] and not asked["T"]:
        text = "T=1 in answer to T=0"
    elif response["T"] and not response["CSG"] < following <= asked["NSG"]:
        text = f"NSG={following} in answer to {asked['NSG']}"
    elif response["T"] and following == _RESERVED_STAGE:
        text = f"NSG={following}, which is reserved"
    return Breach(text=text, clause="RFC 7143 6.3", proof=(asked,)) if text else None


def _wrong_pair(moment: Moment, reading: Reading) -> Breach | None:
    """Find a key that was said again, or an answer that was not offered."""
    for said in reading.said:
        breach = repeated(said, reading)
        if breach is None and _is_selection(said) and not reading.place.discovery:
            breach = wrong_answer(said, reading, moment.profile)
        if breach is not None:
            return breach
    return None


def _is_selection(said: Said) -> bool:
    return said.role is Role.ANSWER and said.value not in NOT_OFFERED and said.key not in MARKERS | INTERVALS


FAMILY = Family(
    name="login_end",
    title="How logins end",
    rules=(
        Rule(
            id="T-067",
            title="The first Login Response to a whole text with a TargetName has the TargetPortalGroupTag",
            severity=Severity.MUST,
            clause="RFC 7143 6.3.1, RFC 7143 13.9",
            check=_names_its_group,
            sent=_LOGIN_RESPONSE,
            why="An initiator cannot tell which portal group it has come to, nor keep sessions to two of them apart.",
        ),
        Rule(
            id="T-068",
            title="The connection of a login that was refused is closed, and a redirection says where to go",
            severity=Severity.MUST,
            clause="RFC 7143 11.13.5",
            check=_refuses_and_closes,
            sent=_LOGIN_RESPONSE,
            closed=True,
            why="Connections of logins that failed pile up at the target.",
        ),
        Rule(
            id="T-074",
            title="FirstBurstLength is at most MaxBurstLength; recovery and ordered sequences leave one open R2T",
            severity=Severity.MUST,
            clause="RFC 7143 13.14, RFC 7143 13.19",
            check=_fits_together,
            sent=_LOGIN_RESPONSE,
            why="A burst that is within one limit is over the other.",
        ),
        Rule(
            id="I-050",
            title="An initiator drops the connection when a Login Response breaks the negotiation",
            severity=Severity.MUST,
            clause="RFC 7143 6.2.1, RFC 7143 6.3",
            check=_drops_wrong_login,
            sent=FROM_INITIATOR,
            given=_LOGIN_RESPONSE,
            closed=True,
            why="The session goes on with parameters that the two ends understand differently.",
        ),
        Rule(
            id="I-051",
            title="After a refusal the initiator closes the connection, and does not repeat what class 2 has refused",
            severity=Severity.MUST,
            clause="RFC 7143 11.13.5",
            check=_heeds_refusal,
            sent=frozenset({Opcode.LOGIN_REQUEST}),
            given=_LOGIN_RESPONSE,
            closed=True,
            why="Hosts that log in again and again with the same mistake keep a target busy, and fill its log.",
        ),
    ),
    observers=LISTENERS,
)
