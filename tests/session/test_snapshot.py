from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from iscsiproxy.session.snapshot import ConnectionView, Phase, SessionView, Snapshot, TaskView

__all__: list[str] = []


def test_phases_as_users_write_them() -> None:
    assert [phase.value for phase in Phase] == [
        *("connected", "security", "operational", "full-feature", "logout", "closed"),
    ]


@pytest.mark.parametrize("kind", [ConnectionView, SessionView, Snapshot, TaskView])
def test_views_are_frozen_and_small(kind: type) -> None:
    names = [field.name for field in fields(kind)]
    view = kind(**dict.fromkeys(names, 0))
    assert not hasattr(view, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(view, names[0], 1)


def test_every_name_that_a_pattern_may_use() -> None:
    def names(kind: type) -> set[str]:
        return {field.name for field in fields(kind)}

    assert names(TaskView) >= {"received", "sent", "R2Ts", "started", "status", "command"}
    assert names(ConnectionView) >= {"CID", "phase", "nth", "opened", "outstanding", "StatSN", "ExpStatSN"}
    assert names(SessionView) >= {
        *("type", "TargetName", "InitiatorName", "ISID", "TSIH", "CmdSN", "ExpCmdSN", "MaxCmdSN"),
        *("window", "outstanding", "conns"),
    }
