"""Keep the initiator inside the proxy: rewrite the target addresses that a target announces.

A TargetAddress comes in SendTargets answers, `host[:port][,tpgt]`, and in a login redirect, without the tag (RFC 7143
13.8, 11.13.5, appendix C). Each becomes an address of the proxy that leads to that very portal: the listener that
already does, or a new one. What a portal tag says stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iscsiproxy.errors import UsageError
from iscsiproxy.proxy.address import Address, parse_address
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import split_pairs

__all__ = ["Portals", "TextAddresses"]

_KEY = b"TargetAddress="


class Portals:
    """Which listener of the proxy leads to which portal.

    `routes` maps listening addresses to targets and may grow; `open_listener(host, target)` makes a listener on a free
    port of `host` and gives its address, or None when there are enough.
    """

    def __init__(
        self, routes: Mapping[Address, Address], open_listener: Callable[[str, Address], Address | None]
    ) -> None:
        self._routes = routes
        self._open_listener = open_listener

    def __repr__(self) -> str:
        return f"<Portals {', '.join(f'{listen}={target}' for listen, target in self._routes.items())}>"

    def leading_to(self, portal: Address, *, here: Address, target: Address) -> Address:
        """Give the proxy's address for `portal`, as seen by an initiator that reached us at `here`.

        `target` is where `here` leads: a wildcard announced by a target means the target itself.
        """
        if portal == target or portal.is_wildcard:
            return here
        for listen, leads_to in self._routes.items():
            if leads_to == portal:
                return Address(here.host, listen.port) if listen.is_wildcard else listen
        return self._open_listener(here.host, portal) or here


class TextAddresses:
    """The rewriting for one connection. `here` is where its initiator reached the proxy.

    Keys may straddle PDUs (C bit, RFC 7143 6.2): the beginning of a pair waits for its end, so a PDU may grow by what
    the one before it lost.
    """

    def __init__(self, portals: Portals, here: Address, target: Address) -> None:
        self._portals = portals
        self._here = here
        self._target = target
        self._carried = b""

    def __repr__(self) -> str:
        return f"<TextAddresses here={self._here} target={self._target} carried={len(self._carried)}>"

    def rewrite(self, pdu: Pdu, *, limit: int) -> tuple[Pdu, tuple[Change, ...]]:
        """Give the PDU with the proxy's addresses, and what was changed.

        A PDU without addresses, or with a wrong data digest, stays as it is. If the new text were longer than `limit`
        bytes, the addresses are left out: a record without any means the portal it was asked at (RFC 7143 appendix C).
        """
        if not self._carried and _KEY not in pdu.data and not pdu["C"]:
            return pdu, ()
        if pdu.data_digest_ok() is False or pdu.header_digest_ok() is False:
            return pdu, ()
        pairs, tail = split_pairs(self._carried + pdu.data)
        self._carried = b""
        if pdu["C"] and tail:
            self._carried, tail = tail, b""
        changes: list[Change] = []
        written = self._rewritten(pairs, tagged=pdu.opcode == Opcode.TEXT_RESPONSE, changes=changes)
        data = b"".join(pair + b"\0" for pair in written) + tail
        if len(data) > limit:
            data = b"".join(pair + b"\0" for pair in written if not pair.startswith(_KEY)) + tail
        if data == pdu.data:
            return pdu, ()
        changed = pdu.with_data(data)
        return changed.sealed(header=bool(pdu.header_digest), data=bool(pdu.data_digest)), tuple(changes)

    def _rewritten(self, pairs: tuple[bytes, ...], *, tagged: bool, changes: list[Change]) -> list[bytes]:
        written: list[bytes] = []
        seen: set[bytes] = set()
        for pair in pairs:
            if pair.startswith(b"TargetName="):
                seen.clear()
            if pair.startswith(_KEY):
                old = pair.removeprefix(_KEY).decode("utf-8", "replace")
                new = self._translated(old, tagged=tagged)
                if new != old:
                    changes.append(Change(what="text.TargetAddress", old=old, new=new))
                    pair = _KEY + new.encode()
                if pair in seen:
                    continue
                seen.add(pair)
            written.append(pair)
        return written

    def _translated(self, value: str, *, tagged: bool) -> str:
        address, comma, tag = value.rpartition(",") if tagged and "," in value else (value, "", "")
        try:
            portal = parse_address(address)
        except UsageError:
            # Not an address anybody could follow out of the proxy: evidence, left as it came.
            return value
        return f"{self._portals.leading_to(portal, here=self._here, target=self._target)}{comma}{tag}"
