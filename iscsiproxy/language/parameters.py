"""Parameters and matrix axes of a scenario: `$name` stands for a text.

The text is put in before anything is typed. A parameter of the file must be used, and an override keeps the kind of its
default, so that a wrong `-p` is found here and not as a riddle further on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from iscsiproxy.errors import UsageError
from iscsiproxy.language.document import Scalar
from iscsiproxy.language.problems import nearest, problem
from iscsiproxy.language.spec import Position
from iscsiproxy.language.vocabulary import item_of

__all__ = ["NAME", "PARAMETER", "Parameters", "kind_of", "override"]

#: The name of a parameter or axis
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PARAMETER = re.compile(rf"\$({NAME.pattern})")

_KINDS = (
    ("a number", re.compile(r"-?(?:0x[0-9A-Fa-f]+|[0-9]+(?:KiB|MiB|GiB)?)")),
    ("a duration", re.compile(r"[0-9]+(?:\.[0-9]+)?(?:ms|s|min)")),
    ("a percentage", re.compile(r"[0-9]+(?:\.[0-9]+)?%")),
    ("yes or no", re.compile(r"yes|no")),
)


def kind_of(text: str) -> str:
    """Tell what kind of value a parameter's text is; `a text` is anything else."""
    for kind, pattern in _KINDS:
        if pattern.fullmatch(text):
            return kind
    return "a PDU or event" if item_of(text) is not None else "a text"


def override(defaults: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Put the values of `-p name=value` in the place of the defaults.

    Raises UsageError for a name that the file does not have, and for a value of another kind than the default.
    """
    for name, value in given.items():
        if name not in defaults:
            hint = nearest(name, defaults)
            known = f"it has {', '.join(defaults)}" if defaults else "it has none"
            raise UsageError(f"the scenario has no parameter {name!r} ({hint or known})")
        wanted = kind_of(defaults[name])
        if wanted not in ("a text", kind_of(value)):
            raise UsageError(f"parameter {name!r} is {wanted}, such as {defaults[name]}, not {value!r}")
    return {**defaults, **given}


class Parameters:
    """The texts that `$name` stands for, and which of them were used."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.used: set[str] = set()

    def __repr__(self) -> str:
        return f"<Parameters {self.values}>"

    def get(self, name: str, where: Position) -> str:
        """Give the text of `$name`; raises FileError if there is none."""
        if name not in self.values:
            hint = nearest(name, self.values) or ("`params` or `matrix` would name it" if not self.values else None)
            raise problem(f"there is no parameter `${name}`", where, hint)
        self.used.add(name)
        return self.values[name]

    def fill(self, scalar: Scalar) -> Scalar:
        """Put the values into a text that is no expression."""
        if "$" not in scalar.text:
            return scalar
        text = PARAMETER.sub(lambda match: self.get(match[1], scalar.at(match.start())), scalar.text)
        return Scalar(text, scalar.position, quoted=scalar.quoted, fixed=True)
