"""The initiator of a run: our own, which is driven, a command that is run, or one that the user sees to.

An `InitiatorSpec` is what the user asked for. A command is told where the proxy is by the words that are filled in:
`{portal}` `{host}` `{port}` `{iqn}` `{lun}` `{url}`; only `{url}` can have a secret, and only in what is run, never in
what is shown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from iscsiproxy.errors import UsageError
from iscsiproxy.peers.initiator.conduct import Conduct, with_quirks
from iscsiproxy.peers.initiator.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.proxy import Address
from iscsiproxy.runs.targets import child, masked, quirk_names, split_line

__all__ = ["Ended", "InitiatorSpec", "filled", "parse_initiator", "run_command"]

_WORDS: Final = ("{portal}", "{host}", "{port}", "{iqn}", "{lun}", "{url}")
#: What is told of the output of a command that went wrong, in characters
_TAIL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class InitiatorSpec:
    """An initiator as the user named it; `shown` is fit to be printed."""

    kind: Literal["embedded", "external", "command"]
    shown: str
    quirks: tuple[str, ...] = ()
    argv: tuple[str, ...] = field(default=(), repr=False)

    @property
    def conduct(self) -> Conduct:
        """How the embedded one behaves."""
        return with_quirks(QUIRKS[name] for name in self.quirks)

    @property
    def needs_name(self) -> bool:
        """Whether it has to be told the name of the target."""
        return any(word in part for part in self.argv for word in ("{iqn}", "{url}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a command: its status as a shell gives it, and the end of what it said."""

    status: int
    said: str

    @property
    def text(self) -> str:
        """Say it in one line."""
        return f"exit status {self.status}{': ' + self.said if self.said and self.status else ''}"


def parse_initiator(text: str) -> InitiatorSpec:
    """Read `embedded[:QUIRK,…]`, `external`, `command:LINE` or a command line. Raises UsageError."""
    head, colon, rest = text.partition(":")
    if head == "embedded":
        return InitiatorSpec(kind="embedded", shown=text, quirks=quirk_names(rest, QUIRKS, PERSONALITIES))
    if text == "external":
        return InitiatorSpec(kind="external", shown=text)
    line = rest if head == "command" and colon else text
    argv = split_line(line, "--initiator")
    if not any(word in part for part in argv for word in ("{portal}", "{port}", "{url}")):
        raise UsageError(
            "--initiator: expected embedded, external or a command that is told where the proxy is: put {url}, "
            "{portal} or {port} where it belongs"
        )
    return InitiatorSpec(kind="command", shown=masked(line), argv=argv)


def filled(
    argv: Sequence[str], *, portal: Address, name: str | None, lun: int | None, credentials: str = ""
) -> tuple[str, ...]:
    """Put the words in; `credentials` are `user%password` as in the URL that the user gave."""
    at = f"{credentials}@" if credentials else ""
    place = f"/{name}/{lun or 0}" if name else ""
    values: Mapping[str, str] = dict(
        zip(
            _WORDS,
            (str(portal), portal.host, str(portal.port), name or "", str(lun or 0), f"iscsi://{at}{portal}{place}"),
            strict=True,
        )
    )
    words = []
    for word in argv:
        for placeholder, value in values.items():
            word = word.replace(placeholder, value)
        words.append(word)
    return tuple(words)


async def run_command(argv: Sequence[str], *, environment: Mapping[str, str], secret: str = "") -> Ended:
    """Run it to its end; cancelling ends it. `secret` is hidden in what is told of its output."""
    with tempfile.TemporaryFile() as log:
        async with child(list(argv), log, environment=environment) as process:
            status = await process.wait()
        log.seek(0)
        said = log.read().decode(errors="replace").strip()
    if secret:
        said = said.replace(secret, "***")
    lines = masked(said[-_TAIL:]).splitlines()
    return Ended(status=128 - status if status < 0 else status, said=" / ".join(line.strip() for line in lines[-3:]))
