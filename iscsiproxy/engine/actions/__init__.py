"""The acts of the language that are built: one a file, with its parameters, its help and its effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from iscsiproxy.engine.actions import (
    answer,
    arm,
    close,
    corrupt,
    delay,
    disarm,
    drop,
    duplicate,
    goto,
    inject,
    merge,
    note,
    pass_,
    probe,
    refuse,
    replay,
    resize,
    set_,
    split,
    split_text,
    stall,
    swap,
    text,
    throttle,
)
from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec

__all__ = ["RUNNERS", "SPECS"]

_ACTS = (
    pass_,
    drop,
    delay,
    set_,
    text,
    corrupt,
    resize,
    duplicate,
    replay,
    swap,
    split,
    merge,
    split_text,
    answer,
    inject,
    probe,
    close,
    stall,
    throttle,
    refuse,
    note,
    goto,
    arm,
    disarm,
)

#: What each act takes, in the order of the reference.
SPECS: Mapping[str, ActSpec] = MappingProxyType({act.SPEC.name: act.SPEC for act in _ACTS})

#: What does each act.
RUNNERS: Mapping[str, Callable[[Built, Work], Pause | None]] = MappingProxyType(
    {act.SPEC.name: act.run for act in _ACTS}
)
