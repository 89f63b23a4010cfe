"""A node that says what the test tells it to, and the initiator's side of logins and Text exchanges with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.settings import Identity, TargetSettings
from iscsiproxy.peers.target.text import TextExchange
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text, parse_text

__all__ = [
    "INITIATOR",
    "ISID",
    "ITT",
    "NAMES",
    "TARGET",
    "TSIH",
    "Desk",
    "Text",
    "answer",
    "as_text",
    "discovery",
    "login_request",
    "normal",
    "said",
    "status",
    "text_request",
]

Text = Mapping[str, str] | Iterable[tuple[str, str]] | bytes

INITIATOR = "iqn.2026-01.example.iscsiproxy:initiator"
TARGET = "iqn.2026-01.example.iscsiproxy:target"
NAMES = {"InitiatorName": INITIATOR, "TargetName": TARGET}
ISID = 0x80AABBCCDDEE
ITT = 0x11
#: What a new session gets.
TSIH = 9


@dataclass
class Desk:
    """The `Desk` of a login and the `TextDesk` of a Text exchange; `turned_away` is what it refuses everybody with."""

    settings: TargetSettings = field(default_factory=TargetSettings)
    conduct: Conduct = field(default_factory=Conduct)
    turned_away: int | None = None
    targets: Sequence[str] = (TARGET,)
    portals: Sequence[str] = ("127.0.0.1:3260",)

    def refusal(self, identity: Identity) -> int | None:
        return self.turned_away

    def future_tsih(self, identity: Identity) -> int:
        return identity.tsih or TSIH

    def portals_of(self, target: str) -> Sequence[str]:
        return self.portals

    def visible_targets(self) -> Sequence[str]:
        return self.targets


def as_text(text: Text) -> bytes:
    """Write keys as text; bytes are text already."""
    if isinstance(text, bytes):
        return text
    return encode_text(text.items() if isinstance(text, Mapping) else text)


def said(pdu: Pdu) -> dict[str, str]:
    """Read the keys of a PDU's text; none comes twice."""
    pairs = parse_text(pdu.data)
    keys = dict(pairs)
    assert len(keys) == len(pairs)
    return keys


# --- login ---


def login_request(text: Text = b"", **values: int) -> Pdu:
    """Make a Login Request: from the operational stage to full feature phase, unless `values` differ."""
    fields = {"I": 1, "T": 1, "CSG": 1, "ISID": ISID, "ITT": ITT, "CID": 7, "CmdSN": 100} | values
    fields.setdefault("NSG", 3 if fields["T"] else 0)
    return Pdu.build(Opcode.LOGIN_REQUEST, data=as_text(text)).with_fields(fields)


def status(response: Pdu) -> int:
    """Read the status of a Login Response as class << 8 | detail."""
    return response["Status-Class"] << 8 | response["Status-Detail"]


# --- Text ---


def normal(node: Desk | None = None, parameters: Parameters | None = None) -> TextExchange:
    """Begin in a normal session with `TARGET`."""
    return TextExchange(node or Desk(), parameters or Parameters(), discovery=False, target=TARGET)


def discovery(node: Desk | None = None, parameters: Parameters | None = None) -> TextExchange:
    """Begin in a discovery session."""
    return TextExchange(node or Desk(), parameters or Parameters(), discovery=True, target=None)


def text_request(text: Text = b"", *, final: bool = True, more: bool = False, tag: int = NO_TAG, itt: int = ITT) -> Pdu:
    """Make a Text Request."""
    return Pdu.build(Opcode.TEXT_REQUEST, data=as_text(text), F=int(final), C=int(more), TTT=tag, ITT=itt)


def answer(exchange: TextExchange, request: Pdu) -> Pdu:
    """Give the response to a request, which has to be no Reject."""
    response = exchange.receive(request)
    assert isinstance(response, Pdu), f"Reject with reason {response}"
    return response
