"""The words of the language, as the API tells them: for completion and help in programs that do not have it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from iscsiproxy.api.models import Act, Param, PduKind, Vocabulary
from iscsiproxy.engine import SPECS
from iscsiproxy.language.spec import ActSpec
from iscsiproxy.language.vocabulary import ITEMS, shared_field
from iscsiproxy.session.params import KEYS
from iscsiproxy.wire.cdb import CDB_NAMES
from iscsiproxy.wire.fields import fields_of
from iscsiproxy.wire.opcodes import Opcode, label_of, sender_of

__all__ = ["vocabulary"]


def vocabulary(scenarios: Iterable[str]) -> Vocabulary:
    """Give all of it, with the names of the scenarios that ship."""
    acts, pdus, events, cdbs, keys = _words()
    return Vocabulary(pdus=pdus, events=events, acts=acts, CDBs=cdbs, keys=keys, scenarios=tuple(sorted(scenarios)))


@cache
def _words() -> tuple[tuple[Act, ...], tuple[PduKind, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    pdus = tuple(_pdu(opcode) for opcode in Opcode)
    names = {one.name for one in pdus}
    events = tuple(name for name in ITEMS if name not in names)
    return tuple(map(_act, SPECS.values())), pdus, events, tuple(sorted(set(CDB_NAMES))), tuple(sorted(KEYS))


def _act(spec: ActSpec) -> Act:
    params = tuple(Param(name=one.name, help=one.help, choices=tuple(map(str, one.choices))) for one in spec.params)
    return Act(name=spec.name, help=spec.help, main=spec.main, params=params, fields=spec.fields)


def _code_words(opcode: int, name: str) -> tuple[str, ...]:
    shared = shared_field(frozenset({opcode}), name)
    return () if shared is None else tuple(shared.type.words)


def _pdu(opcode: int) -> PduKind:
    fields = fields_of(opcode)
    return PduKind(
        name=label_of(opcode),
        sender=str(sender_of(opcode)),
        fields=tuple(fields),
        words={name: words for name in fields if (words := _code_words(opcode, name))},
    )
