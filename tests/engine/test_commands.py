from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from iscsiproxy.engine import commands


@pytest.mark.parametrize("kind", get_args(commands.Command))
def test_a_command_is_a_frozen_value(kind: type) -> None:
    assert kind.__name__ in commands.__all__
    assert dataclasses.is_dataclass(kind)
    with pytest.raises(TypeError):
        kind(1)  # type: ignore[call-arg] # by name only


def test_commands_compare_by_value() -> None:
    assert commands.Finish(slot=1) == commands.Finish(slot=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        commands.Finish(slot=1).slot = 2  # type: ignore[misc]
