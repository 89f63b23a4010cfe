"""What the quirks of both peers have in common: a name, a clause and a line that says what they do."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["Deviation"]


class Deviation:
    """To be mixed into a conduct. `clause` is what it should have heeded; `name` is what `--quirk` takes.

    A class that gives itself no name is called what the class is called.
    """

    name: ClassVar[str]
    clause: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name the class."""
        super().__init_subclass__(**kwargs)
        cls.name = cls.__dict__.get("name", cls.__name__)

    @classmethod
    def summary(cls) -> str:
        """Say what the peer does, in one line: the first of the docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0].rstrip(".")
