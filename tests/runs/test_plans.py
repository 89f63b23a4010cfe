from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.runs.plans import keep_plan, read_earlier, read_plan, scaled
from tests.runs.test_chaos import PLAN, play

__all__: list[str] = []

LOST = "scenario: lost\nvictim: target\nrules: [{when: Data-Out nth 1, do: drop}]\n"


def test_scenarios_ship_or_lie_beside_the_plan(tmp_path: Path) -> None:
    (tmp_path / "lost.yaml").write_text(LOST)
    file = tmp_path / "p.yaml"
    file.write_text("plan: p\nphases: [{for: 1s}]\nfaults: [{scenario: lost.yaml}, {scenario: data_out_lost}]\n")
    assert [fault.name for fault in read_plan(file).faults] == ["lost", "data_out_lost"]
    file.write_text("plan: p\nphases: [{for: 1s}]\nfaults: [{scenario: data_out_lots}]\n")
    with pytest.raises(UsageError, match=r"did you mean data_out_lost\?"):
        read_plan(file)


def test_longer_and_shorter(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(PLAN)
    plan = scaled(read_plan(file), 0.5)
    assert plan.seconds == pytest.approx(1.05)
    assert plan.scale == 0.5
    assert scaled(plan, 4).scale == 2


async def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    await play(tmp_path)
    keep_plan(read_plan(tmp_path / "p.yaml"), tmp_path)
    earlier = read_earlier(tmp_path)
    assert (earlier.plan.name, earlier.seed, earlier.target, earlier.initiator) == ("p", 7, "embedded", "embedded")
    assert len(earlier.decisions) > 3
    assert all(one.commands is not None for one in earlier.decisions)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("name: twice", "name: other"))
    with pytest.raises(UsageError, match="the journal speaks of a fault 'twice' that the plan does not have"):
        read_earlier(tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no folder of a run of chaos: it has no plan\.yaml and journal\.jsonl"):
        read_earlier(tmp_path)
