"""What is done by hand, on its way to a file."""

from __future__ import annotations

from typing import Literal

from iscsiproxy.api.models.base import Asked, Told

__all__ = ["Recording", "RecordingSwitch", "Saving", "ScenarioText"]


class RecordingSwitch(Asked, frozen=True, kw_only=True):
    """Begin to record what is armed and done by hand, from nothing; or end it."""

    on: bool


class Recording(Told, frozen=True, kw_only=True):
    """Whether what is done by hand is recorded, and what was, a line each."""

    on: bool
    lines: tuple[str, ...]


class Saving(Asked, frozen=True, kw_only=True):
    """What goes into the file: what was `recorded`, or the rules `armed`; by default the first if there is any."""

    what: Literal["recorded", "armed"] | None = None


class ScenarioText(Told, frozen=True, kw_only=True):
    """A scenario file."""

    name: str
    text: str
