"""The login as the initiator holds it: requests out, responses in, and at the end what a session begins with.

`LoginExchange` does no I/O. It goes through the security stage if there is an account, and through the operational
stage always (RFC 7143 6.3); text that does not fit a PDU goes out in several, and comes in that way (RFC 7143 6.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.errors import TextError
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import ConnectionLost, LoginFailed, ProtocolError, Redirected
from iscsiproxy.peers.initiator.negotiation import Negotiation, operational_offers
from iscsiproxy.peers.initiator.security import ChapInitiator
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.keys import KEYS, Use
from iscsiproxy.peers.parameters import DEFAULT_SEGMENT, Parameters
from iscsiproxy.wire import serial
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import TextJoiner, TextPair, encode_text, inspect_text, parse_text
from iscsiproxy.wire.values import parse_number

__all__ = ["Established", "LoginExchange"]

#: Login stages (RFC 7143 11.12.3)
_SECURITY, _OPERATIONAL, _FULL_FEATURE = 0, 1, 3
#: Status-Class of a redirection (RFC 7143 11.13.5)
_REDIRECTION = 1
#: A login that takes more requests than this goes nowhere.
_MAX_ROUNDS = 64
#: Keys of the first request, which say who logs in to what; and what else belongs to the security stage
#: (RFC 7143 6.3, 12.1)
_IDENTITY = ("InitiatorName", "InitiatorAlias", "SessionType", "TargetName")
_AUTH_METHOD = "AuthMethod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Established:
    """What a login gave: the begin of a session. `keys` is all that the target said, in order."""

    parameters: Parameters
    tsih: int
    exp_statsn: int
    exp_cmdsn: int
    max_cmdsn: int
    keys: tuple[TextPair, ...]


class LoginExchange:
    """One login on one connection. Ask for a request, send it, give the response, until there is no more request."""

    def __init__(self, settings: InitiatorSettings, conduct: Conduct) -> None:
        self._settings = settings
        self._conduct = conduct
        self._identity, self._security, self._offers = _arrange(settings)
        self._chap = (
            ChapInitiator(settings.account, settings.mutual, algorithms=settings.chap_algorithms)
            if settings.account
            else None
        )
        self._negotiation = Negotiation(self._offers, conduct)
        self._stage = _SECURITY if self._security else _OPERATIONAL
        self._fresh = True
        self._say: list[TextPair] = []
        self._parts: list[bytes] = []
        self._transit = False
        self._request: Pdu | None = None
        self._joiner = TextJoiner()
        self._rounds = 0
        self._exp_statsn: int | None = None
        self._keys: list[TextPair] = []
        self._established: Established | None = None

    def __repr__(self) -> str:
        state = "done" if self._established else f"stage {self._stage}, round {self._rounds}"
        return f"<LoginExchange {self._settings.target or 'discovery'} {state}>"

    def established(self) -> Established:
        """Give what the login gave; only when there is no more request."""
        assert self._established is not None
        return self._established

    # --- requests -------------------------------------------------------------------------------------------------

    def next_request(self) -> Pdu | None:
        """Give the next Login Request, or None when the login is done (RFC 7143 11.12)."""
        if self._established is not None:
            return None
        self._rounds += 1
        if self._rounds > (self._conduct.login_rounds() or _MAX_ROUNDS):
            raise ConnectionLost(f"no login after {self._rounds - 1} requests")
        if not self._parts and not self._joiner.count:
            self._compose()
        part = self._parts.pop(0) if self._parts else b""
        more = bool(self._parts)
        transit = self._transit and not more and not self._joiner.count
        self._request = Pdu.build(
            Opcode.LOGIN_REQUEST,
            data=part,
            I=1,
            T=int(transit),
            C=int(more),
            CSG=self._stage,
            NSG=self._next_stage if transit else 0,
            ISID=self._settings.isid,
            TSIH=self._conduct.login_tsih(self._settings.tsih),
            ITT=self._settings.first_itt,
            CID=self._settings.cid,
            CmdSN=self._settings.first_cmdsn,
            ExpStatSN=self._exp_statsn or 0,
        )
        return self._request

    @property
    def _next_stage(self) -> int:
        return _OPERATIONAL if self._stage == _SECURITY else _FULL_FEATURE

    def _compose(self) -> None:
        """Put together what is to be said next, and whether the stage may end with it."""
        pairs: list[tuple[str, str]] = []
        if self._fresh:
            pairs += self._identity.items()
            self._fresh = False
            if self._stage == _SECURITY:
                pairs += self._security.items()
            # With nothing but CHAP to choose there is more to say; otherwise this may be all.
            self._transit = "None" in self._security.get(_AUTH_METHOD, "None").split(",")
            if self._stage == _OPERATIONAL:
                pairs += self._take_offers()
        elif self._stage == _OPERATIONAL and self._offers:
            pairs += self._take_offers()
            self._transit = True
        pairs += self._say
        self._say = []
        data = encode_text(pairs)
        self._parts = [data[at : at + DEFAULT_SEGMENT] for at in range(0, len(data), DEFAULT_SEGMENT)]

    def _take_offers(self) -> list[tuple[str, str]]:
        offers = list(self._offers.items())
        if not self._conduct.repeats_offers():
            self._offers = {}
        return offers

    # --- responses ------------------------------------------------------------------------------------------------

    def receive(self, pdu: Pdu) -> None:
        """Take a Login Response (RFC 7143 11.13).

        Raises Redirected and LoginFailed as it says, ProtocolError for one that cannot be.
        """
        try:
            self._receive(pdu)
        except TextError as error:
            raise ProtocolError(str(error), section="RFC 7143 6.1") from error

    def _receive(self, pdu: Pdu) -> None:
        request = self._request
        assert request is not None
        self._check(request, pdu)
        if pdu["C"] and self._conduct.continues_response():
            if pdu["T"]:
                self._conduct.wrong_transit("Login Response with T and C")
            self._joiner.add(pdu.data, more=True)
            return
        whole = self._joiner.add(pdu.data, more=False) or b""
        if request["C"]:
            if whole or pdu["T"]:
                self._conduct.inadmissible_value("an answer to half a text")
            return
        self._take(parse_text(whole))
        if pdu["T"]:
            if not request["T"] or pdu["NSG"] != request["NSG"]:
                self._conduct.wrong_transit(f"Login Response with T and NSG={pdu['NSG']}, not asked for")
            self._pass_to(pdu)

    def _check(self, request: Pdu, pdu: Pdu) -> None:
        """Check that it is a response to the request, and a good one."""
        if pdu.opcode != Opcode.LOGIN_RESPONSE:
            raise ProtocolError(f"{pdu.label} during login", section="RFC 7143 4.2.4")
        if len(pdu.data) > DEFAULT_SEGMENT:
            raise ProtocolError(f"Login Response with {len(pdu.data)} bytes of text", section="RFC 7143 13.12")
        status = pdu["Status-Class"] << 8 | pdu["Status-Detail"]
        if pdu["Status-Class"] == _REDIRECTION:
            pairs, _ = inspect_text(pdu.data)
            raise Redirected(status, tuple(value for key, value in pairs if key == "TargetAddress"))
        if status:
            raise LoginFailed(status)
        if pdu["ITT"] != request["ITT"] or pdu["ISID"] != request["ISID"]:
            raise ProtocolError("Login Response with another ITT or ISID", section="RFC 7143 11.13")
        if pdu["Version-active"]:
            raise ProtocolError(f"version {pdu['Version-active']}, offered 0", section="RFC 7143 11.13.2")
        if pdu["CSG"] != request["CSG"]:
            self._conduct.wrong_transit(f"Login Response with CSG={pdu['CSG']} in stage {request['CSG']}")
        if self._exp_statsn is not None and pdu["StatSN"] != self._exp_statsn:
            self._conduct.wrong_statsn(pdu, self._exp_statsn)
        self._exp_statsn = serial.add(pdu["StatSN"], 1)

    def _take(self, pairs: tuple[TextPair, ...]) -> None:
        seen = {key for key, _ in self._keys if not key.startswith("CHAP_")}
        for pair in pairs:
            if pair.key in seen and pair.key != "TargetAddress":
                self._conduct.repeated_key(pair.key)
            seen.add(pair.key)
            self._keys.append(pair)
            if pair.key == "TargetPortalGroupTag":
                self._check_portal_group(pair.value)
        if self._stage == _SECURITY:
            self._take_security(pairs)
        else:
            self._negotiation.take(pairs)
            self._transit = True
        self._say += self._negotiation.answers()

    def _check_portal_group(self, value: str) -> None:
        wanted = self._settings.portal_group
        found = parse_number(value)
        if wanted is not None and found != wanted:
            self._conduct.wrong_portal_group(wanted, found)

    def _take_security(self, pairs: tuple[TextPair, ...]) -> None:
        said = dict(pairs)
        if (method := said.get(_AUTH_METHOD)) is not None:
            if method not in self._security.get(_AUTH_METHOD, "None").split(","):
                self._conduct.inadmissible_value(f"AuthMethod={method}")
            if method == "CHAP" and self._chap is not None:
                self._say += self._chap.begin()
                self._transit = False
            else:
                if self._settings.mutual is not None:
                    raise ConnectionLost("the target does not prove itself")
                self._chap = None
                self._transit = True
        elif self._chap is not None and any(key.startswith("CHAP_") for key in said):
            self._say += self._chap.receive(pairs)
            self._transit = True
        # What is no matter of security is said beside it, and answered like anything else.
        self._negotiation.take(
            tuple(pair for pair in pairs if pair.key != _AUTH_METHOD and not pair.key.startswith("CHAP_"))
        )

    def _pass_to(self, pdu: Pdu) -> None:
        """Go to the next stage as the response says (RFC 7143 6.3)."""
        if self._stage == _SECURITY and self._chap is not None and not self._chap.done:
            raise ProtocolError("the security stage ends before CHAP does", section="RFC 7143 12.1.3")
        self._stage = pdu["NSG"]
        if self._stage != _FULL_FEATURE:
            return
        if open_keys := self._negotiation.unanswered():
            self._conduct.inadmissible_value(f"no answer to {', '.join(open_keys)}")
        if self._say:
            self._conduct.wrong_transit("the login ends with offers of the target unanswered")
        if not pdu["TSIH"]:
            raise ProtocolError("the final Login Response has no TSIH", section="RFC 7143 11.13.3")
        self._established = Established(
            parameters=self._negotiation.parameters(),
            tsih=pdu["TSIH"],
            exp_statsn=self._exp_statsn or 0,
            exp_cmdsn=pdu["ExpCmdSN"],
            max_cmdsn=pdu["MaxCmdSN"],
            keys=tuple(self._keys),
        )


def _arrange(settings: InitiatorSettings) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Sort all that the initiator says into identity, security and operational keys."""
    identity = {
        "InitiatorName": settings.initiator,
        "InitiatorAlias": settings.alias,
        "SessionType": "Discovery" if settings.discovery else "Normal",
        "TargetName": settings.target or "",
    }
    methods = "CHAP" if settings.mutual else "CHAP,None"
    security = {_AUTH_METHOD: methods if settings.account else ""}
    operational = operational_offers(settings)
    if settings.tsih:
        # A further connection is told nothing that is the whole session's (RFC 7143 13: LO).
        for keys in (identity, operational):
            for key in [key for key in keys if KEYS[key].use is Use.LEADING]:
                del keys[key]
    for key, value in settings.offers.items():
        place = identity if key in identity else security if key in security else operational
        place[key] = value
    return _said(identity), _said(security), _said(operational)


def _said(keys: dict[str, str]) -> dict[str, str]:
    """Leave out what has no value: it is not said."""
    return {key: value for key, value in keys.items() if value}
