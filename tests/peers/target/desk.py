"""A node that says what the test tells it to, and the initiator's PDUs of logins and Text exchanges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.login import Login
from iscsiproxy.peers.target.settings import Identity, TargetSettings
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text, parse_text

__all__ = [
    "CMDSN",
    "INITIATOR",
    "ISID",
    "ITT",
    "TARGET",
    "TSIH",
    "FakeNode",
    "as_text",
    "first_request",
    "keys_of",
    "login_request",
    "one",
    "status_of",
    "text_request",
]

INITIATOR = "iqn.2026-01.example.iscsiproxy:initiator"
TARGET = "iqn.2026-01.example.iscsiproxy:target"
ISID = 0x80AABBCCDDEE
ITT = 0x1234
CMDSN = 77
#: What the session of a login will have.
TSIH = 9


@dataclass
class FakeNode:
    """The `Desk` of a login and the `TextDesk` of a Text exchange."""

    settings: TargetSettings = field(default_factory=TargetSettings)
    conduct: Conduct = field(default_factory=Conduct)
    status: int | None = None
    targets: Sequence[str] = (TARGET,)
    portals: Sequence[str] = ("127.0.0.1:3260",)
    asked: list[Identity] = field(default_factory=list)

    def refusal(self, identity: Identity) -> int | None:
        self.asked.append(identity)
        return self.status

    def future_tsih(self, identity: Identity) -> int:
        return identity.tsih or TSIH

    def portals_of(self, target: str) -> Sequence[str]:
        return self.portals

    def visible_targets(self) -> Sequence[str]:
        return self.targets


def as_text(keys: Mapping[str, str] | Iterable[tuple[str, str]] | bytes) -> bytes:
    """Write keys as text; bytes are text already."""
    if isinstance(keys, bytes):
        return keys
    return encode_text(keys.items() if isinstance(keys, Mapping) else keys)


def login_request(
    keys: Mapping[str, str] | Iterable[tuple[str, str]] | bytes = b"", csg: int = 1, nsg: int | None = 3, **fields: int
) -> Pdu:
    """Make a Login Request; without `nsg` it stays in its stage. `Version_min` is Version-min."""
    values: dict[str, int | bytes] = {
        "I": 1,
        "T": int(nsg is not None),
        "CSG": csg,
        "NSG": nsg or 0,
        "ISID": ISID,
        "ITT": ITT,
        "CmdSN": CMDSN,
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    return Pdu.build(Opcode.LOGIN_REQUEST, data=as_text(keys)).with_fields(values)


def first_request(
    keys: Mapping[str, str] | None = None, csg: int = 1, nsg: int | None = 3, *, target: str = TARGET, **fields: int
) -> Pdu:
    """Make the first Login Request of a normal session; an empty value takes a key away."""
    said = {"InitiatorName": INITIATOR, "TargetName": target, "SessionType": "Normal", **(keys or {})}
    return login_request({key: value for key, value in said.items() if value}, csg, nsg, **fields)


def text_request(
    keys: Mapping[str, str] | Iterable[tuple[str, str]] | bytes = b"",
    *,
    final: bool = True,
    more: bool = False,
    tag: int = NO_TAG,
    itt: int = ITT,
) -> Pdu:
    """Make a Text Request."""
    return Pdu.build(Opcode.TEXT_REQUEST, data=as_text(keys), F=int(final), C=int(more), TTT=tag, ITT=itt, CmdSN=CMDSN)


def one(login: Login, request: Pdu) -> Pdu:
    """Give the one response to a request."""
    (response,) = login.receive(request)
    return response


def status_of(response: Pdu) -> int:
    """Read the status of a Login Response as class << 8 | detail."""
    return response["Status-Class"] << 8 | response["Status-Detail"]


def keys_of(pdu: Pdu) -> dict[str, str]:
    """Read the keys of a PDU's text; none comes twice."""
    pairs = parse_text(pdu.data)
    keys = dict(pairs)
    assert len(keys) == len(pairs)
    return keys
