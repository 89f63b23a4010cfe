"""What the two ends have said so far: the protocol state of one leg, without I/O and without a clock.

One idea holds the room together: **a leg is a conversation overheard**. The proxy stands between two conversations
that differ by its own faults, so it has a `Tracker` for each. A tracker is told every PDU that passes on its leg,
whoever sent it, and answers with *facts* (`facts`): what changed, and what the protocol does not have. Facts are for
others to act on or to judge; the tracker itself never acts, never raises on what a peer does, and goes on from a
violation as the two ends do. Asked at any moment, it gives a *snapshot* (`snapshot`): the state before the PDU in hand,
frozen.

Underneath, each part knows one thing and nothing of the others:

- `machine`: the phases of a connection and the turns of its login, as literal tables (RFC 7143 6.3, 8.1);
- `params` and `negotiation`: the text keys, and what an offer and its answer come to (6.2, 12, 13);
- `sequence`: CmdSN with its window, StatSN with its acknowledgement (4.2.2);
- `tasks`: every request that waits for its response (4.2.5);
- `sessions`: who belongs together, and who comes back in whose place (4.4.3, 6.3);
- `logins` and `traffic` lead PDUs to these, before and in the full feature phase; `tracker` is the way in.

Where the proxy adds or takes away PDUs the two conversations count differently. `numbers` translates between them, with
the maps of `serialmap` and `subnumbers`, field by field in `translation`.

`events` has the words for all that happens in a run; the relay, the engine, the journal and the checks share them.

Times come in as arguments, in seconds since the run began. What a peer can make a tracker keep is bounded. The room
imports `wire` and `errors`, nothing else.
"""

from __future__ import annotations

from iscsiproxy.session.facts import (
    ConnectionReinstated,
    DigestsOn,
    Fact,
    FullFeatureReached,
    LoginFailed,
    PhaseChanged,
    SessionFormed,
    SessionJoined,
    SessionReinstated,
    Violation,
)
from iscsiproxy.session.negotiation import Negotiation
from iscsiproxy.session.params import KEYS, Key, Kind
from iscsiproxy.session.snapshot import ConnectionView, Phase, SessionView, Snapshot, TaskView
from iscsiproxy.session.tracker import Tracker

__all__ = [
    "KEYS",
    "ConnectionReinstated",
    "ConnectionView",
    "DigestsOn",
    "Fact",
    "FullFeatureReached",
    "Key",
    "Kind",
    "LoginFailed",
    "Negotiation",
    "Phase",
    "PhaseChanged",
    "SessionFormed",
    "SessionJoined",
    "SessionReinstated",
    "SessionView",
    "Snapshot",
    "TaskView",
    "Tracker",
    "Violation",
]
