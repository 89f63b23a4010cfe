"""A load that verifies: reads and writes of which every answer is held against what the blocks may hold.

`load` runs it over a `drive`, a session or one that comes back; `plan` draws the commands from a seed, `pattern` makes
data that names the write it came from, `contents` knows what each block may hold, and `tally` counts.
"""

from __future__ import annotations

__all__: list[str] = []
