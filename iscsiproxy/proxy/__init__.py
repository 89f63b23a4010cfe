"""The relay: trio, sockets, time.

`server` listens and makes a `pair` of two legs for each connection; a `leg` is one socket, a `link` one direction with
its framer, a `line` what waits to be written to a leg. `relay` is what all pairs share: it asks the engine and carries
out its commands. `portals` keeps initiators inside the proxy.
"""

from __future__ import annotations

from iscsiproxy.proxy.address import Address, parse_address
from iscsiproxy.proxy.relay import Settings, Sink
from iscsiproxy.proxy.server import Proxy, Route

__all__ = ["Address", "Proxy", "Route", "Settings", "Sink", "parse_address"]
