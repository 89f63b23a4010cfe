"""Every shipped scenario between tgtd and an ordinary initiator gives the verdict that was written down for it.

Real peers race with each other, and with the reset of a connection: what was written down has to come in one of two
runs.
"""

from __future__ import annotations

import pytest

from iscsiproxy.runs.library import shipped
from tests.real.library import ENTRIES, INITIATORS, Entry, played, shown

__all__: list[str] = []

_TRIES = 2


def test_every_scenario_has_an_entry_in_the_file_of_its_group() -> None:
    assert {(entry.group, entry.name) for entry in ENTRIES} == {
        (path.parent.name, name) for name, path in shipped().items()
    }
    assert {entry.initiator for entry in ENTRIES} <= set(INITIATORS)
    assert all(entry.why or entry.expected in entry.verdicts for entry in ENTRIES)


@pytest.mark.slow
@pytest.mark.peers("tgtd", "libiscsi", "qemu")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
async def test_the_verdict_is_what_a_reader_of_the_trace_would_say(entry: Entry) -> None:
    told = ""
    for _ in range(_TRIES):
        run = await played(entry)
        told = f"{run.verdict}\n{shown(run)}"
        if run.verdict in entry.verdicts and any(one in told for one in entry.evidence):
            return
    pytest.fail(f"expected {entry.verdicts} with one of {entry.evidence}:\n{told}", pytrace=False)
