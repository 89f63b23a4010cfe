"""What a proxy of a test is to be."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a proxy for tests is set up.

    `target` is what `iscsiproxy test --target` takes; all of it may be overwritten if it is `scratch`. `listen` is
    where initiators are to come; port 0: a free one, which stays the same. `known` are lists of accepted deviations, by
    file or name. `folder` is where journals and reports go, with `everything` captures, and the reports of what passed,
    too; None: nowhere.
    """

    target: str = field(default="embedded", repr=False)  # a URL may have a password in it
    scratch: bool = False
    listen: str = "127.0.0.1:0"
    seed: int = field(default_factory=lambda: random.SystemRandom().randrange(1 << 32))
    known: tuple[str, ...] = ()
    check: bool = True
    profile: str | None = None
    folder: Path | None = None
    everything: bool = False
