"""Help made from the registry and the words of the language."""

from __future__ import annotations

from iscsiproxy.api.models import Act, Param
from iscsiproxy.console.registry import COMMANDS
from iscsiproxy.console.views.help import act, command, everything, overview
from tests.console.fake import VOCABULARY
from tests.console.playing import viewed


def test_the_overview_fits_on_a_small_screen() -> None:
    shown = viewed(overview(COMMANDS, VOCABULARY, 80))
    assert len(shown) <= 22
    assert max(map(len, shown)) <= 80


def test_everything_is_listed_by_groups() -> None:
    shown = viewed(everything(COMMANDS, VOCABULARY, 80))
    heads = [row for row in shown if not row.startswith(" ")]
    assert heads[0] == "what there is"
    assert heads[-1] == "acts"
    assert max(map(len, shown)) <= 80
    assert not any("…" in row for row in shown)


def test_a_command_is_told_with_its_usage_and_examples() -> None:
    watch = COMMANDS.find("watch")
    assert watch is not None
    shown = viewed(command(watch, 80))
    assert shown[0] == "watch [off|both] [PATTERN]… [count N] [for TIME]"
    assert shown[1] == "  Show PDUs as they pass, one line each."
    assert "  e.g. watch off" in shown
    assert max(map(len, shown)) <= 80


def test_aliases_are_told() -> None:
    leave = COMMANDS.find("quit")
    assert leave is not None
    assert "  also: exit" in viewed(command(leave, 80))


def test_an_act_is_told_with_its_parameters() -> None:
    close = Act(
        name="close",
        help="ends a connection",
        main="how",
        params=(
            Param(name="how", help="In what way", choices=("rst", "fin")),
            Param(name="at", help="how much of the PDU goes first, " + "and more " * 12, choices=()),
        ),
        fields=True,
    )
    shown = viewed(act(close, 80))
    assert shown[0] == "close [HOW] [PARAM=VALUE …] [FIELD=VALUE …]  (an act)"
    assert shown[1] == "  Ends a connection."
    assert shown[2] == "  *how  In what way: rst fin"
    assert shown[3].startswith("   at   how much of the PDU goes first")
    assert shown[4].startswith("        more and more")
    assert shown[-1] == "  * comes first, without its name"
    assert max(map(len, shown)) <= 80
