from __future__ import annotations

from iscsiproxy.peers.deviation import Deviation

__all__: list[str] = []


class W99(Deviation):
    """Do it wrong.

    And this is why.
    """

    clause = "RFC 7143 1"


class Named(W99):
    """Do it otherwise."""

    name = "some-name"


class Heir(Named):
    """Do it as well."""


def test_names_and_summaries() -> None:
    assert [(one.name, one.summary()) for one in (W99, Named, Heir)] == [
        ("W99", "Do it wrong"),
        ("some-name", "Do it otherwise"),
        ("Heir", "Do it as well"),
    ]
