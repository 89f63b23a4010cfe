"""Packet captures of both legs, for Wireshark and its kin.

`Capture` is a sink of the events of a run, like the journal, and writes a pcapng file with two interfaces: what came in
and what went out on the initiator leg, and on the target leg, each dressed as the TCP connection it came through. What
a fault did to a PDU stands in the comment of its packet.
"""

from __future__ import annotations

from iscsiproxy.capture.writer import Capture

__all__ = ["Capture"]
