"""Help: all that is known of commands and acts, made from the registry and the words of the language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from iscsiproxy.api.models import Act, Vocabulary
from iscsiproxy.console.command import GROUPS, Command, Registry
from iscsiproxy.console.lines import Line, cut, line, pad

__all__ = ["act", "command", "overview"]

_LINES = (
    "A line that begins with an act is a rule: ACT [MAIN] [PARAM=VALUE …] [FIELD=VALUE …] [when] MOMENT,",
    "as in `drop Data-Out where DataSN == 2 nth 1`. Without a moment it is done now, on the connection in use.",
)


def overview(commands: Registry, vocabulary: Vocabulary | None, width: int) -> Iterator[Line]:
    """List the commands by their groups, and the acts."""
    names = max(len(one.name) for one in commands)
    for group, about in GROUPS.items():
        members = [one for one in commands if one.group == group]
        if members:
            yield line(("head", about))
        for one in members:
            yield cut(line("  ", ("name", pad(one.name, names)), f"  {one.help}"), width)
    if vocabulary is not None:
        yield line(("head", "acts"))
        yield from _wrapped("  ".join(sorted(one.name for one in vocabulary.acts)), width, "  ")
    for text in _LINES:
        yield from _wrapped(text, width, "")
    yield line("`help COMMAND` and `help ACT` tell more. Tab completes.")


def command(one: Command, width: int) -> Iterator[Line]:
    """Tell all of a command."""
    yield line(("name", one.usage))
    yield from _wrapped(f"{one.help}.", width, "  ")
    yield from _wrapped(" ".join(one.more), width, "  ")
    if one.aliases:
        yield line(f"  also: {', '.join(one.aliases)}")
    yield from _examples(one.examples)


def _examples(examples: Sequence[str]) -> Iterator[Line]:
    for example in examples:
        yield line("  e.g. ", ("hint", example))


def act(one: Act, width: int) -> Iterator[Line]:
    """Tell all of an act."""
    main = f" [{one.main.upper()}]" if one.main else ""
    fields = " [FIELD=VALUE …]" if one.fields else ""
    params = " [PARAM=VALUE …]" if one.params else ""
    yield line(("name", f"{one.name}{main}{params}{fields}"), "  (an act)")
    yield from _wrapped(f"{one.help[:1].upper()}{one.help[1:].rstrip('.')}.", width, "  ")
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


def _wrapped(text: str, width: int, indent: str) -> Iterator[Line]:
    for part in wrap(text, width or 120, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False):
        yield line(part)
