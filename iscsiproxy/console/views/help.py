"""Help: all that is known of commands and acts, made from the registry and the words of the language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from iscsiproxy.api.models import Act, Vocabulary
from iscsiproxy.console.command import GROUPS, Command, Registry
from iscsiproxy.console.lines import Line, cut, folded, line, pad

__all__ = ["act", "command", "everything", "overview"]

_LINES = (
    "`help COMMAND` and `help ACT` tell more, `help all` has a line for each. Tab completes.",
    "A line that begins with an act is a rule: ACT [MAIN] [PARAM=VALUE …] [FIELD=VALUE …] [when] MOMENT,",
    "as in `drop Data-Out where DataSN == 2 nth 1`. Without a moment it is done now, on the connection in use.",
)


def overview(commands: Registry, vocabulary: Vocabulary, width: int) -> Iterator[Line]:
    """Name the commands by their groups, and the acts, on a small screen."""
    names = {about: [one.name for one in commands if one.group == group] for group, about in GROUPS.items()}
    names["acts"] = sorted(one.name for one in vocabulary.acts)
    column = max(map(len, names)) + 2
    for about, members in names.items():
        for at, text in enumerate(wrap(" ".join(members), (width or 120) - column)):
            yield line(("head", pad("" if at else about, column)), text)
    yield line()
    for text in _LINES:
        yield from folded(text, width, indent="")


def everything(commands: Registry, vocabulary: Vocabulary, width: int) -> Iterator[Line]:
    """List the commands by their groups, and the acts, each with its help."""
    groups = {
        about: [(one.name, one.help) for one in commands if one.group == group] for group, about in GROUPS.items()
    }
    groups["acts"] = sorted((one.name, one.help) for one in vocabulary.acts)
    column = max(len(name) for members in groups.values() for name, _ in members)
    for about, members in groups.items():
        yield line(("head", about))
        for name, text in members:
            yield cut(line("  ", ("name", pad(name, column)), f"  {text}"), width)


def command(one: Command, width: int) -> Iterator[Line]:
    """Tell all of a command."""
    yield line(("name", one.usage))
    yield from folded(f"{one.help}.", width, indent="  ")
    yield from folded(" ".join(one.more), width, indent="  ")
    if one.aliases:
        yield line(f"  also: {', '.join(one.aliases)}")
    yield from _examples(one.examples)


def _examples(examples: Sequence[str]) -> Iterator[Line]:
    for example in examples:
        yield line("  e.g. ", ("name", example))


def act(one: Act, width: int) -> Iterator[Line]:
    """Tell all of an act."""
    main = f" [{one.main.upper()}]" if one.main else ""
    fields = " [FIELD=VALUE …]" if one.fields else ""
    params = " [PARAM=VALUE …]" if one.params else ""
    yield line(("name", f"{one.name}{main}{params}{fields}"), "  (an act)")
    yield from folded(f"{one.help[:1].upper()}{one.help[1:].rstrip('.')}.", width, indent="  ")
    names = max((len(param.name) for param in one.params), default=0)
    for param in one.params:
        mark = "*" if param.name == one.main else " "
        choices = f": {' '.join(param.choices)}" if param.choices else ""
        head = f"  {mark}{pad(param.name, names)}  "
        texts = wrap(f"{param.help}{choices}", (width or 120) - len(head)) or [""]
        yield line(f"  {mark}", ("name", pad(param.name, names)), f"  {texts[0]}")
        for text in texts[1:]:
            yield line(" " * len(head) + text)
    if one.main:
        yield line("  * comes first, without its name")
