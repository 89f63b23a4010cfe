"""The engine: it decides what happens to PDUs and does nothing itself.

`engine` is told what happens and answers with `commands`. A scenario's `rules` follow their `moments`, whose patterns
are compiled in `match` and `values` and counted in `picks`; `captures` keeps the names they bind. What fires becomes a
chain of acts (`firing`) on the PDU in `hand`; the acts themselves are in `actions`, one a file.
"""

from __future__ import annotations

from iscsiproxy.engine.actions import SPECS
from iscsiproxy.engine.engine import Engine
from iscsiproxy.engine.rules import Counts

__all__ = ["SPECS", "Counts", "Engine"]
