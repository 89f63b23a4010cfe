"""Victims that deviate by a few rules of a proxy at their side."""

from __future__ import annotations

from typing import Any

from tests.faults.proof import Deviant, beside

__all__ = ["initiator", "target"]


def initiator(name: str, *rules: str, **more: Any) -> Deviant:
    """Give the initiator with these rules, each without its braces, between it and the fault."""
    return _victim("initiator", name, rules, **more)


def target(name: str, *rules: str, **more: Any) -> Deviant:
    """Give the target with these rules, each without its braces, between the fault and it."""
    return _victim("target", name, rules, **more)


def _victim(victim: str, name: str, rules: tuple[str, ...], **more: Any) -> Deviant:
    return beside(name, f"victim: {victim}\nrules: [{', '.join(f'{{{rule}}}' for rule in rules)}]\n", **more)
