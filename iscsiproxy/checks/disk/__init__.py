"""The shadow disk: from the wire alone, what every block may hold; each read is held against that.

- `commands`, `answers`: what a CDB does to a disk, and what an answer says of that;
- `ops`, `order`: a command in its place, and which of two takes effect first;
- `pages`, `spans`, `ranges`, `contents`: what is sure of each sector, and what is not; `thrift`: what is given up;
- `matching`, `history`, `wrongs`: what a read has found, where that comes from, and what to call it;
- `shadow`, `disks`: one logical unit, and all of them; `counts`: what was judged, and what was left out and why.

Here a sector is 512 bytes, the unit of the hashes of a journal, whatever the logical block size is.
"""

from __future__ import annotations

from iscsiproxy.checks.disk.answers import Outcome, block_size_of, outcome_of, restricted_of
from iscsiproxy.checks.disk.commands import Action, Effect, effect_of
from iscsiproxy.checks.disk.counts import Counts, Reason
from iscsiproxy.checks.disk.disks import Disks
from iscsiproxy.checks.disk.ops import Op
from iscsiproxy.checks.disk.pages import Pages
from iscsiproxy.checks.disk.shadow import Disk
from iscsiproxy.checks.disk.wrongs import Kind, Wrong

__all__ = [
    "Action",
    "Counts",
    "Disk",
    "Disks",
    "Effect",
    "Kind",
    "Op",
    "Outcome",
    "Pages",
    "Reason",
    "Wrong",
    "block_size_of",
    "effect_of",
    "outcome_of",
    "restricted_of",
]
