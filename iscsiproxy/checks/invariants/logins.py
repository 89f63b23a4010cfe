"""The headers of a login: who it is, where it stands, whose turn it is (RFC 7143 6.3, 11.12, 11.13)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import SINCE_5048
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.talks import LISTENERS, RESPONSES, Reading, heard
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_LOGIN_REQUEST = frozenset({Opcode.LOGIN_REQUEST})
_LOGIN_RESPONSE = frozenset({Opcode.LOGIN_RESPONSE})
#: Stages that a login can be in (RFC 7143 11.12.3)
_STAGES = (0, 1)
_RESERVED = 2
#: What each request of a login has in common with the first, and where that is said
_CONSTANT = {
    "ITT": "RFC 7143 6.3",
    "ISID": "RFC 7143 6.3, RFC 7143 11.12.5",
    "TSIH": "RFC 7143 11.12.6",
    "CID": "RFC 7143 11.12.7",
    "Version-max": "RFC 7143 11.12.4.1",
    "Version-min": "RFC 7143 11.12.4.2",
}


def _takes_turns(moment: Moment) -> Outcome:
    """T-061: no second response as long as the first is not acknowledged; what answers a request is in its turn."""
    reading = heard(moment)
    if reading is None or reading.refuses or not moment.conn.complete:
        return None
    if reading.waiting:
        return FINE if len(reading.waiting) == 1 else None
    last, acked = reading.response, moment.conn.acked
    if last is None or (acked is not None and lt(last["StatSN"], acked)):
        return None
    text = f"a second {moment.pdu.label} while that of StatSN={last['StatSN']} is not acknowledged"
    return Breach(text=text, proof=(last,))


def _response_belongs(moment: Moment) -> Outcome:
    """T-063: every response has the tags of the login, and one pair of versions; a refusal needs no ISID any more."""
    reading = heard(moment)
    if reading is None or reading.first is None or reading.request is None or not moment.conn.complete:
        return None
    first, last = reading.first, reading.request
    for name in ("ITT",) if reading.refuses else ("ITT", "ISID"):
        if moment[name] not in (first[name], last[name]):
            return Breach(text=f"{name}={moment[name]:#x}, the request has {last[name]:#x}", proof=(last,))
    earlier = reading.first_response
    for name, number in (("Version-max", 1), ("Version-active", 2)):
        if earlier is not None and moment[name] != earlier[name]:
            text = f"{name}={moment[name]:#04x} after {earlier[name]:#04x}"
            return Breach(text=text, clause=f"RFC 7143 11.13.{number}", proof=(earlier,))
    low, high = first["Version-min"], first["Version-max"]
    if not reading.refuses and not low <= moment["Version-active"] <= high:
        text = f"Version-active={moment['Version-active']:#04x}, offered {low:#04x} to {high:#04x}"
        return Breach(text=text, clause="RFC 7143 11.13.2", proof=(first,))
    return FINE


def _tsih_in_time(moment: Moment) -> Outcome:
    """T-064: a new session has its TSIH with the final response and not before; a login to a session has that one's."""
    reading = heard(moment)
    if reading is None or reading.refuses or reading.first is None or reading.request is None:
        return None
    first, tsih = reading.first, moment["TSIH"]
    asked = (first["TSIH"], reading.request["TSIH"])
    if reading.final and asked == (0, 0):
        return FINE if tsih else Breach(text="TSIH=0 in the final Login Response of a new session", proof=(first,))
    if tsih in asked:
        return FINE
    if reading.final and first["TSIH"] != reading.request["TSIH"]:
        return None
    if first["TSIH"]:
        severity = Severity.MUST if reading.final else Severity.SHOULD
        text = f"TSIH={tsih:#x} in the login to the session of TSIH={first['TSIH']:#x}"
        return Breach(text=text, severity=severity, proof=(first,))
    return Breach(text=f"TSIH={tsih:#x} before the final Login Response", proof=(reading.request,))


def _transit_as_asked(moment: Moment) -> Outcome:
    """T-065: a response stays in the stage of its request, and goes on only where that wants to."""
    reading = heard(moment)
    if reading is None or reading.refuses or reading.asked is None:
        return None
    asked = reading.asked
    current, following = moment["CSG"], moment["NSG"]
    text, clause = "", "RFC 7143 6.3"
    if moment["T"] and moment["C"]:
        text, clause = "T and C in one Login Response", "RFC 7143 11.13.7"
    elif current != asked["CSG"] and asked["CSG"] in _STAGES:
        text = f"CSG={current}, the request has {asked['CSG']}"
    elif moment["T"] and not asked["T"]:
        text, clause = "T=1 in answer to T=0", "RFC 7143 11.13.6"
    elif moment["T"] and following > asked["NSG"]:
        text = f"NSG={following}, the request goes no further than {asked['NSG']}"
    elif moment["T"] and (following == _RESERVED or following <= current):
        text, clause = f"from stage {current} to stage {following}", "RFC 7143 11.12.3"
    elif not moment["T"] and following:
        return _reserved_stage(following, "RFC 7143 11.13.6, RFC 7143 11.12.3")
    return Breach(text=text, clause=clause, proof=(asked,)) if text else FINE


def _reserved_stage(following: int, clause: str) -> Breach:
    return Breach(text=f"NSG={following} with T=0, where it is reserved", severity=Severity.HEURISTIC, clause=clause)


def _request_belongs(moment: Moment) -> Outcome:
    """I-045: every request has the tags and versions of the first, and goes on where the last response has led."""
    reading = heard(moment)
    if reading is None:
        return None
    current, following = moment["CSG"], moment["NSG"]
    if moment["T"] and moment["C"]:
        return Breach(text="T and C in one Login Request", clause="RFC 7143 11.12.2")
    if current not in _STAGES or (moment["T"] and (following == _RESERVED or following <= current)):
        text = f"from stage {current} to stage {following}" if moment["T"] else f"CSG={current} in a login"
        return Breach(text=text, clause="RFC 7143 6.3, RFC 7143 11.12.3")
    first = reading.first
    if first is not None and moment.conn.complete:
        for name, clause in _CONSTANT.items():
            if moment[name] != first[name]:
                text = f"{name}={moment[name]:#x} in a login that began with {first[name]:#x}"
                return Breach(text=text, clause=clause, proof=(first,))
        if reading.waiting:
            if moment.profile not in SINCE_5048:
                return None
            text = "a second Login Request before the first was answered"
            return Breach(text=text, clause="RFC 7143 6.3", proof=reading.waiting[-1:])
        stage = _stage_after(reading)
        if stage is not None and current != stage:
            assert reading.response is not None
            return Breach(text=f"CSG={current} in stage {stage}", clause="RFC 7143 6.3", proof=(reading.response,))
    if not moment["T"] and following:
        return _reserved_stage(following, "RFC 7143 11.12.3")
    return FINE


def _stage_after(reading: Reading) -> int | None:
    """Give the stage that the last response has left the login in; None if that was not in order itself."""
    request, response = reading.request, reading.response
    if request is None or response is None or response["CSG"] != request["CSG"]:
        return None
    if not response["T"]:
        return response["CSG"]
    allowed = request["T"] and response["CSG"] < response["NSG"] <= request["NSG"]
    return response["NSG"] if allowed else None


FAMILY = Family(
    name="logins",
    title="Login Requests and Responses",
    rules=(
        Rule(
            id="T-061",
            title="There is one outstanding Login or Text Response at a time",
            severity=Severity.MUST,
            clause="RFC 7143 6.2, RFC 7143 6.3",
            check=_takes_turns,
            sent=RESPONSES,
            profiles=SINCE_5048,
            why="An initiator takes the second response for the answer to its next request, and both ends disagree from"
            " there on.",
        ),
        Rule(
            id="T-063",
            title="All responses of a login have its Initiator Task Tag and ISID, and the same versions",
            severity=Severity.MUST,
            clause="RFC 7143 6.3, RFC 7143 11.13",
            check=_response_belongs,
            sent=_LOGIN_RESPONSE,
            why="Initiators match responses by these fields and drop the connection where they differ.",
        ),
        Rule(
            id="T-064",
            title="The TSIH of a new session comes with the final Login Response, and only there",
            severity=Severity.MUST,
            clause="RFC 7143 11.13.3",
            check=_tsih_in_time,
            sent=_LOGIN_RESPONSE,
            why="An initiator that takes an early TSIH over asks for a session that does not exist yet.",
        ),
        Rule(
            id="T-065",
            title="A Login Response goes to another stage only if the request asks for it, and no further than it asks",
            severity=Severity.MUST,
            clause="RFC 7143 6.3",
            check=_transit_as_asked,
            sent=_LOGIN_RESPONSE,
            why="The ends part ways: one still negotiates, perhaps its security, while the other has done with it.",
        ),
        Rule(
            id="I-045",
            title="All requests of a login have the same tags and versions, one at a time, stage by stage",
            severity=Severity.MUST,
            clause="RFC 7143 6.3, RFC 7143 11.12",
            check=_request_belongs,
            sent=_LOGIN_REQUEST,
            why="A target that holds each request against the first refuses the login.",
        ),
    ),
    observers=LISTENERS,
)
