"""A login as the target holds it: requests in, responses out (RFC 7143 6.3, 11.12, 11.13).

The whole login is one task with one request outstanding. It goes through the stages that the initiator asks for, and
ends with a final response, with a refusal that has a status, or without a word where not even a login has begun. Keys
are looked at when the text is whole, however many requests it came in; an answer longer than a login PDU may be goes
out in as many responses (6.2).

The responses carry no StatSN, ExpCmdSN or MaxCmdSN: whoever sends them knows those.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from iscsiproxy.errors import TextError
from iscsiproxy.peers.keys import (
    IRRELEVANT,
    KEYS,
    METHOD_KEYS,
    NO_VALUES,
    NOT_UNDERSTOOD,
    REJECT,
    REPEATABLE,
    Kind,
    Use,
    declared_number,
    respond,
    settle,
)
from iscsiproxy.peers.parameters import DEFAULT_SEGMENT
from iscsiproxy.peers.target.authentication import CHAP_KEYS, Authentication, AuthenticationFailed
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.settings import Identity, LoggedIn, TargetSettings
from iscsiproxy.peers.target.wishes import wishes
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import MAX_TEXT, TextJoiner, TextPair, encode_text, inspect_text

__all__ = ["Desk", "Login"]

#: Login statuses as class << 8 | detail (RFC 7143 11.13.5)
_INITIATOR_ERROR = 0x0200
_NOT_AUTHENTICATED = 0x0201
_VERSION = 0x0205
_MISSING_PARAMETER = 0x0207
_SESSION_TYPE = 0x0209
_INVALID_DURING_LOGIN = 0x020B

#: Stages: CSG and NSG (RFC 7143 11.12.3)
_SECURITY, _OPERATIONAL, _RESERVED, _FULL_FEATURE = 0, 1, 2, 3
#: How many requests a login may take. Two or three do; long texts and odd methods need more.
_MOST_ROUNDS = 64
#: The longest iSCSI name, in bytes (RFC 7143 4.2.7.1)
_MAX_NAME = 223
_SEGMENT = "MaxRecvDataSegmentLength"
_GROUP_TAG = "TargetPortalGroupTag"
_FIRST_BURST, _MAX_BURST = "FirstBurstLength", "MaxBurstLength"


class Desk(Protocol):
    """What a login asks of the node it comes to."""

    settings: TargetSettings
    conduct: Conduct

    def refusal(self, identity: Identity) -> int | None:
        """Give the login status (class << 8 | detail) that refuses this login, or None."""

    def future_tsih(self, identity: Identity) -> int:
        """Give the TSIH that the session of this login will have."""


class _Refused(Exception):  # noqa: N818 -- an outcome
    """The login ends with this status."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


class Login:
    """One login, from the first PDU of a connection on.

    `logged_in` is set with the final response; `tsih` is that of the session it leads to. `failed` tells to close the
    connection once the responses are sent; `reason` says why, for people.
    """

    def __init__(self, desk: Desk, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._conduct = desk.conduct
        self._wishes = wishes(desk.settings)
        self._authentication = Authentication(desk.settings, random_bytes)
        self._first: Pdu | None = None
        self._stage = _OPERATIONAL
        self._rounds = 0
        self._taken = 0
        self._joiner = TextJoiner()
        self._continued = False
        self._to_send: list[bytes] = []
        self._keys: dict[str, str] = {}
        self._agreed: dict[str, str] = {}
        self._identity: Identity | None = None
        self.tsih = 0
        self._said: set[str] = set()
        self.logged_in: LoggedIn | None = None
        self.failed = False
        self.reason = ""

    def __repr__(self) -> str:
        state = "done" if self.logged_in else f"failed: {self.reason}" if self.failed else f"stage {self._stage}"
        return f"<Login round {self._rounds}, {state}>"

    def receive(self, pdu: Pdu) -> tuple[Pdu, ...]:
        """Take what came on the connection; give the response, or none if there is to be none.

        Raises Disconnect if the conduct is to end the connection.
        """
        if self.failed or self.logged_in is not None:
            return ()
        if pdu.opcode != Opcode.LOGIN_REQUEST:
            return self._intruder(pdu)
        try:
            return (self._answer(pdu),)
        except _Refused as refused:
            return self._refuse(pdu, refused.status, str(refused))
        except AuthenticationFailed as failed:
            return self._refuse(pdu, _NOT_AUTHENTICATED, str(failed))
        except TextError as error:
            return self._refuse(pdu, _INITIATOR_ERROR, str(error))

    def _intruder(self, pdu: Pdu) -> tuple[Pdu, ...]:
        """Turn away what is no Login Request (RFC 7143 6.3, 11.13.5)."""
        self.failed = True
        self.reason = f"{pdu.label} before the login was over"
        return () if self._first is None else self._refuse(self._first, _INVALID_DURING_LOGIN, self.reason)

    def _refuse(self, request: Pdu, status: int, reason: str) -> tuple[Pdu, ...]:
        self.failed = True
        self.reason = reason
        fields = {"Status-Class": status >> 8, "Status-Detail": status & 0xFF}
        return (self._response(request, b"").with_fields({"TSIH": request["TSIH"], **fields}),)

    # --- one request ----------------------------------------------------------------------------------------------

    def _answer(self, request: Pdu) -> Pdu:
        # A text may come in as many parts as the initiator likes; only rounds that bring nothing new are counted.
        self._rounds += not (request["C"] and request.data)
        self._taken += len(request.data)
        self._check_header(request)
        if request["C"]:
            self._continued = True
            self._joiner.add(request.data, more=True)
            if self._to_send:
                raise _Refused(_INITIATOR_ERROR, "text while an answer is not over")
            return self._response(request, b"")
        whole = self._joiner.add(request.data, more=False) or b""
        if self._to_send:
            # We have said C=1: the initiator sends nothing until it has all of it (6.2).
            if whole:
                raise _Refused(_INITIATOR_ERROR, "text while an answer is not over")
        else:
            answers = self._take(_read(whole), request)
            self._continued = False
            text = encode_text(answers)
            self._to_send = [text[at : at + DEFAULT_SEGMENT] for at in range(0, len(text), DEFAULT_SEGMENT)]
        part = self._to_send.pop(0) if self._to_send else b""
        if self._to_send:
            return self._response(request, part).with_fields({"C": 1})
        return self._transit(request, part)

    def _check_header(self, request: Pdu) -> None:
        """Hold a request against the rules for its header, and against the first one."""
        if self._rounds > _MOST_ROUNDS:
            raise _Refused(_INITIATOR_ERROR, f"a login of more than {_MOST_ROUNDS} requests")
        if self._taken > MAX_TEXT:
            raise _Refused(_INITIATOR_ERROR, f"a login of more than {MAX_TEXT} bytes")
        if len(request.data) > DEFAULT_SEGMENT:
            raise _Refused(_INITIATOR_ERROR, f"a Login Request with {len(request.data)} bytes of text")
        if request.ahs:
            raise _Refused(_INITIATOR_ERROR, "a Login Request with an AHS")
        if request["T"] and request["C"]:
            raise _Refused(_INITIATOR_ERROR, "T and C in one request")
        stage, following = request["CSG"], request["NSG"]
        first = self._first
        if first is None:
            if request["Version-min"] > 0:
                raise _Refused(_VERSION, f"Version-min {request['Version-min']}")
            if stage not in (_SECURITY, _OPERATIONAL):
                raise _Refused(_INITIATOR_ERROR, f"a login that begins in stage {stage}")
            self._first = request
            self._stage = stage
        else:
            # CmdSN stays where it is while there is no session to count it (11.12.8).
            same = ("ITT", "ISID", "TSIH", "CID", "Version-max", "Version-min")
            for name in same if first["TSIH"] else (*same, "CmdSN"):
                if request[name] != first[name]:
                    raise _Refused(_INITIATOR_ERROR, f"{name} {request[name]:#x} after {first[name]:#x}")
            if stage != self._stage:
                raise _Refused(_INITIATOR_ERROR, f"CSG {stage} in stage {self._stage}")
        if request["T"] and (following == _RESERVED or following <= stage):
            raise _Refused(_INITIATOR_ERROR, f"from stage {stage} to stage {following}")

    def _transit(self, request: Pdu, text: bytes) -> Pdu:
        """Go to the next stage if the request asks for it and nothing is in the way (6.3)."""
        response = self._response(request, text)
        if not request["T"] or not self._may_leave(request["CSG"]):
            return response
        following = request["NSG"]
        self._stage = following
        response = response.with_fields({"T": 1, "NSG": following})
        if following != _FULL_FEATURE:
            return response
        self._finish()
        return response.with_fields({"TSIH": self.tsih})

    def _may_leave(self, stage: int) -> bool:
        if stage == _OPERATIONAL or self._authentication.done:
            return True
        if "AuthMethod" not in self._keys:
            raise AuthenticationFailed("no AuthMethod")
        return False

    def _finish(self) -> None:
        identity = self._identity
        assert identity is not None
        assert self._first is not None
        for name, accepted in (
            ("HeaderDigest", self._settings.header_digests),
            ("DataDigest", self._settings.data_digests),
        ):
            if self._agreed.get(name, "None") not in accepted:
                raise _Refused(_INITIATOR_ERROR, f"{name} is not one of {', '.join(accepted)}")
        if {_FIRST_BURST, _MAX_BURST} <= self._agreed.keys() and int(self._agreed[_FIRST_BURST]) > self._burst():
            raise _Refused(_INITIATOR_ERROR, f"{_FIRST_BURST} is over {_MAX_BURST}, which came after it")
        theirs = self._keys.get(_SEGMENT)
        parameters = settle(
            self._agreed,
            theirs=None if theirs is None else declared_number(KEYS[_SEGMENT], theirs),
            ours=self._settings.max_recv_data_segment_length if _SEGMENT in self._said else None,
        )
        self.logged_in = LoggedIn(
            identity=identity,
            parameters=parameters,
            # One value for all requests of a login, so the first one's holds (11.12.8).
            exp_cmdsn=self._first["CmdSN"],
            declared={key: value for key, value in self._keys.items() if key not in CHAP_KEYS},
        )

    def _response(self, request: Pdu, text: bytes) -> Pdu:
        """Make a response that stays in its stage."""
        tsih = request["TSIH"]
        if self._identity is not None and not self.failed:
            tsih = self._conduct.partial_tsih(tsih, self.tsih)
        return Pdu.build(
            Opcode.LOGIN_RESPONSE,
            data=text,
            ISID=request["ISID"],
            TSIH=tsih,
            ITT=request["ITT"],
            CSG=0 if self.failed else request["CSG"],
        )

    # --- its keys -------------------------------------------------------------------------------------------------

    def _take(self, pairs: tuple[TextPair, ...], request: Pdu) -> list[tuple[str, str]]:
        """Take the keys of one whole text and give the answers, and what we declare by ourselves."""
        fresh: dict[str, str] = {}
        for key, value in pairs:
            if value in NO_VALUES:
                # We offer nothing, so this is no answer; and what we declare, everybody has to know (6.2).
                if value == NOT_UNDERSTOOD and self._conduct.accepts_not_understood(key):
                    continue
                raise _Refused(_INITIATOR_ERROR, f"{key}={value} without an offer of ours")
            if key in self._keys and key not in REPEATABLE and not self._conduct.accepts_repeated_key(key):
                raise _Refused(_INITIATOR_ERROR, f"{key} a second time")
            self._keys[key] = value
            fresh[key] = value
        if self._identity is None:
            self._identify(request)
        elif ("SessionType", "Normal" if self._identity.discovery else "Discovery") in fresh.items():
            raise _Refused(_INITIATOR_ERROR, "another SessionType than the first request began with")
        answers: list[tuple[str, str]] = []
        if request["CSG"] == _SECURITY:
            answers += self._authentication.take(fresh)
        # FirstBurstLength is answered last: what it may be, and whether it matters, other keys say (13.14).
        for key in sorted(fresh, key=lambda key: key == _FIRST_BURST):
            answer = self._respond(key, fresh[key], request)
            if answer is not None:
                answers.append((key, answer))
        return [*self._declarations(request), *answers]

    def _identify(self, request: Pdu) -> None:
        """Find out who logs in to what. Names are in the first request, all of it (RFC 7143 6.3, 13.4, 13.5)."""
        initiator = self._keys.get("InitiatorName")
        kind = self._keys.get("SessionType", "Normal")
        target = self._keys.get("TargetName")
        if kind not in ("Normal", "Discovery"):
            raise _Refused(_SESSION_TYPE, f"SessionType={kind}")
        if not initiator or (kind == "Normal" and not target):
            raise _Refused(_MISSING_PARAMETER, "InitiatorName and TargetName are needed")
        if any(len(name.encode()) > _MAX_NAME for name in (initiator, target) if name):
            raise _Refused(_INITIATOR_ERROR, f"a name of more than {_MAX_NAME} bytes")
        identity = Identity(
            initiator=initiator,
            target=target if kind == "Normal" else None,
            isid=request["ISID"],
            tsih=request["TSIH"],
            cid=request["CID"],
            portal_group=self._settings.portal_group,
        )
        status = self._desk.refusal(identity)
        if status is not None:
            raise _Refused(status, f"{identity.initiator} may not log in to {identity.target}")
        self._authentication.require(discovery=identity.discovery)
        self._identity = identity
        self.tsih = self._desk.future_tsih(identity)
        if self._stage == _OPERATIONAL and not self._authentication.done:
            raise AuthenticationFailed("a login that leaves the security stage out")

    def _declarations(self, request: Pdu) -> list[tuple[str, str]]:
        """Say what we have to say of ourselves, each once."""
        assert self._identity is not None
        own: list[tuple[str, str]] = []
        if "TargetName" in self._keys:
            # RFC 7143 13.9: with the first response after the first whole text
            own.append((_GROUP_TAG, str(self._settings.portal_group)))
        if self._settings.alias and not self._identity.discovery:
            own.append(("TargetAlias", self._settings.alias))
        if request["CSG"] == _OPERATIONAL:
            own.append((_SEGMENT, str(self._settings.max_recv_data_segment_length)))
        own = [(key, value) for key, value in own if key not in self._said]
        self._said.update(key for key, _ in own)
        return own

    def _respond(self, name: str, value: str, request: Pdu) -> str | None:
        """Answer one key, or say nothing where nothing is to be said."""
        key = KEYS.get(name)
        security = request["CSG"] == _SECURITY
        if key is None:
            return self._respond_unknown(name, security=security)
        if name == "AuthMethod":
            if not security:
                raise _Refused(_INITIATOR_ERROR, "AuthMethod outside the security stage")
            return None
        if security and not key.security:
            raise _Refused(_INITIATOR_ERROR, f"{name} in the security stage")
        if key.use is Use.TEXT or key.sender is End.TARGET:
            raise _Refused(_INITIATOR_ERROR, f"{name} from an initiator during login")
        if key.kind is Kind.DECLARED:
            if key.high:
                declared_number(key, value)
            return None
        assert self._identity is not None
        if self._identity.discovery and not key.discovery:
            return IRRELEVANT
        if key.use is Use.LEADING and self._identity.tsih:
            return REJECT
        if name == _FIRST_BURST and not self._sends_unsolicited():
            return IRRELEVANT
        answer = respond(key, value, self._wish(name))
        if answer.agreed is not None:
            self._agreed[name] = answer.agreed
        return answer.text

    def _respond_unknown(self, name: str, *, security: bool) -> str | None:
        if name in METHOD_KEYS:
            if not security or name not in CHAP_KEYS:
                raise _Refused(_INITIATOR_ERROR, f"{name} where its method has no turn")
            return None
        return NOT_UNDERSTOOD if self._conduct.answers_unknown_key(name, continued=self._continued) else None

    def _wish(self, name: str) -> str:
        """Give what we would have for a key: FirstBurstLength with an eye on MaxBurstLength (RFC 7143 13.14)."""
        wish = self._wishes[name]
        return str(min(int(wish), self._burst())) if name == _FIRST_BURST else wish

    def _burst(self) -> int:
        """Give MaxBurstLength as it stands, or what it will not fall below on our account."""
        agreed = self._agreed.get(_MAX_BURST)
        return int(agreed) if agreed else min(int(self._wishes[_MAX_BURST]), int(KEYS[_MAX_BURST].default or 0))

    def _sends_unsolicited(self) -> bool:
        """Tell whether there is unsolicited data at all, as it stands (RFC 7143 13.11)."""
        return self._agreed.get("InitialR2T") == "No" or self._agreed.get("ImmediateData") != "No"


def _read(text: bytes) -> tuple[TextPair, ...]:
    """Read a whole text. Raises TextError for anything that breaks its format or its limits (6.1)."""
    pairs, problems = inspect_text(text)
    if problems:
        raise TextError(str(problems[0]))
    return pairs
