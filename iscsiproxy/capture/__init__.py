"""Packet captures: of both legs, for Wireshark and its kin, and anybody's, for the judge.

`Capture` is a sink of the events of a run, like the journal, and writes a pcapng file with two interfaces: what came in
and what went out on the initiator leg, and on the target leg, each dressed as the TCP connection it came through. What
a fault did to a PDU stands in the comment of its packet.

`read_capture` is the way back, from our own captures and from those of tcpdump, dumpcap and Wireshark: it gives the
records of a journal. tshark takes the file apart (`tshark`). A first look (`survey`) tells which bytes were never
captured, so that `flow` can put segments in order without waiting for them. `conversation` decides whether a connection
is iSCSI, with `likeness` and `sync` where its beginning is not there, and has its two `side`s cut into PDUs; `order`
brings what all connections tell into the order of the packets, and `telling` makes events of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iscsiproxy.capture.writer import Capture

if TYPE_CHECKING:
    from iscsiproxy.capture.reader import CaptureReader, read_capture

__all__ = ["Capture", "CaptureReader", "read_capture"]


def __getattr__(name: str) -> Any:
    # Who writes captures need not load what reads them.
    if name in ("CaptureReader", "read_capture"):
        from iscsiproxy.capture import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
