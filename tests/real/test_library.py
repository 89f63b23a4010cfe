"""Every shipped scenario between tgtd and an ordinary initiator gives the verdict that was written down for it."""

from __future__ import annotations

import pytest

from iscsiproxy.runs.library import shipped
from tests.real.library import ENTRIES, INITIATORS, Entry, played, shown

__all__: list[str] = []


def test_every_scenario_has_an_entry_in_the_file_of_its_group() -> None:
    assert {(entry.group, entry.name) for entry in ENTRIES} == {
        (path.parent.name, name) for name, path in shipped().items()
    }
    assert {entry.initiator for entry in ENTRIES} <= set(INITIATORS)
    assert all(entry.why or entry.verdict == entry.expected for entry in ENTRIES)


@pytest.mark.slow
@pytest.mark.peers("tgtd", "libiscsi", "qemu")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
async def test_the_verdict_is_what_a_reader_of_the_trace_would_say(entry: Entry) -> None:
    run = await played(entry)
    assert run.verdict == entry.verdict, shown(run)
    assert entry.evidence in shown(run), shown(run)
