"""The report to look at: one HTML file that has all it needs, made of results and journals and nothing else.

`rows` makes the rows of a ladder out of a journal (`row` is one of them, `happenings` has those that are no PDUs),
`folds` chooses which of them are shown and how fully, `details` opens a PDU, `page` puts the runs together, `writer`
writes the file. The templates say how all of it looks.
"""

from __future__ import annotations

__all__: list[str] = []
