"""From the keyboard to a file: what was typed becomes a scenario that runs without a console."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from iscsiproxy.api.models import Vocabulary
from iscsiproxy.console.answer import Answer, said
from iscsiproxy.console.arguments import Filename, NewName, Text
from iscsiproxy.console.command import Command
from iscsiproxy.console.commands.rules import rule_line
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.lines import line
from iscsiproxy.console.views import rules as views
from iscsiproxy.errors import UsageError

__all__ = ["note", "note_is_rule", "record", "save"]


_ENDINGS = (".yaml", ".yml")


async def record(desk: Desk, how: Literal["on", "off"] | None = None) -> Answer:
    """Record what is armed and done by hand, or show what was.

    Recording begins from nothing. `save` makes a scenario of it.
    """
    found = await desk.api.recording() if how is None else await desk.api.record(on=how == "on")
    return said(*views.recording(found), data=found)


async def save(desk: Desk, name: NewName, file: Filename | None = None, armed: bool = False) -> Answer:
    """Write what was recorded as a scenario file.

    With `--armed` it has the rules that are armed now. The file is NAME.yaml in the working directory if no other is
    named. It runs without a console.
    """
    if "/" in name or name.endswith(_ENDINGS):
        if file is not None:
            raise UsageError(f"which file? {name} and {file} are both named")
        file, name = name, Path(name).stem
    made = await desk.api.save(name, what="armed" if armed else None)
    path = _path(file or f"{name}.yaml")
    if await asyncio.to_thread(path.exists) and not await desk.agreed(
        f"{path} is there already, and would be written over"
    ):
        raise UsageError(f"{path} is there already, and was left as it is")
    await asyncio.to_thread(_write, path, made.text)
    return said(
        line("written ", ("name", str(path))),
        line(f"  run it with: iscsiproxy test {path}"),
        data={"file": str(path), "scenario": made},
    )


def _path(file: str) -> Path:
    try:
        return Path(file).expanduser()
    except RuntimeError as error:  # ~ of somebody who is not there
        raise UsageError(f"cannot write {file}: {error}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


async def note(desk: Desk, text: Text) -> Answer:
    """Leave a note in the journal, and in what is recorded."""
    quoted = text.replace('"', '""')
    return await rule_line(desk, f'note "{quoted}"', now=True)


def note_is_rule(_command: Command, rest: str, _vocabulary: Vocabulary) -> bool:
    """Take `note "…" when …` for a rule, and prose for a note."""
    return rest.lstrip().startswith(('"', "(", "'"))
