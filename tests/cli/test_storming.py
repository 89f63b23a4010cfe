from __future__ import annotations

from iscsiproxy.cli.chaos import command as chaos
from iscsiproxy.cli.replay import command as replay

__all__: list[str] = []


def test_both_commands_have_the_same_options_of_a_run() -> None:
    own = {"plan", "seed", "scale", "run", "without", "listing"}
    options = [{param.name for param in command.params} - own for command in (chaos, replay)]
    assert options[0] == options[1]
    assert {"target", "initiator", "run_dir", "known", "as_json"} <= options[0]
