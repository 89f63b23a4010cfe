"""The steps that only an actor does: to log in, to send a PDU, to do I/O.

Whatever else it does are acts, which rules do too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from iscsiproxy.language.spec import ActSpec, Param, ParamKind

__all__ = ["STEPS"]

_PDU = Param(name="pdu", kind=ParamKind.PDU, help="what to send")
#: What every template takes besides fields.
_TEMPLATE = (
    Param(name="text", kind=ParamKind.TEXTS, help="keys and values of its text"),
    Param(name="split_text", kind=ParamKind.ACT, help="send the text in several rounds"),
    Param(name="conn", kind=ParamKind.NAME, help="the connection to send it on"),
    Param(name="as", kind=ParamKind.NEW_NAME, help="a name for what is sent"),
)

#: What only an actor does.
STEPS: Mapping[str, ActSpec] = MappingProxyType(
    {
        "login": ActSpec(
            name="login",
            help="log in through the proxy",
            params=(
                Param(name="as", kind=ParamKind.NEW_NAME, help="a name for the connection"),
                Param(name="offer", kind=ParamKind.OFFER, help="keys to offer"),
                Param(name="join", kind=ParamKind.NAME, help="another connection of that session"),
                Param(name="reinstate", kind=ParamKind.NAME, help="the session of that connection anew"),
                Param(name="resume", kind=ParamKind.NAME, help="that very connection anew"),
            ),
            fields=True,
            events=True,
        ),
        "send": ActSpec(
            name="send",
            help="send a PDU",
            params=(
                _PDU,
                Param(name="again", kind=ParamKind.NAME, help="a retry of that command"),
                Param(name="data", kind=ParamKind.BYTES, help="its data", choices=("none",)),
                *_TEMPLATE,
            ),
            fields=True,
            of="pdu",
            extra=frozenset({"AHS", "BHS"}),
            events=True,
        ),
        "io": ActSpec(
            name="io",
            help="do I/O and wait for its end",
            main="do",
            params=(
                Param(
                    name="do", kind=ParamKind.CHOICE, help="what", choices=("verify", "read", "write"), required=True
                ),
                Param(name="size", kind=ParamKind.NUMBER, help="bytes in each command"),
            ),
            events=True,
        ),
    }
)
