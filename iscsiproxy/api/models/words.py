"""The words of the language, for completion and help."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from iscsiproxy.api.models.base import Asked, Number, Told

__all__ = ["Act", "Candidate", "Completion", "CompletionQuery", "Param", "PduKind", "Vocabulary"]


class PduKind(Told, frozen=True, kw_only=True):
    """One PDU of the language, and its fields; `words` are the names of code values by field."""

    name: str
    sender: str
    fields: tuple[str, ...]
    words: dict[str, tuple[str, ...]]


class Param(Told, frozen=True, kw_only=True):
    """One parameter of an act."""

    name: str
    help: str
    choices: tuple[str, ...]


class Act(Told, frozen=True, kw_only=True):
    """One act of the language."""

    name: str
    help: str
    main: str | None
    params: tuple[Param, ...]
    fields: bool


class CompletionQuery(Asked, frozen=True, kw_only=True):
    """A line that is being typed, up to its end or with the cursor elsewhere.

    `form`: a whole `line`, only the `acts` of an edit (of the held PDU `n`), or a `pattern` alone.
    """

    line: Annotated[str, Meta(max_length=4096)] = ""
    cursor: Number | None = None
    form: Literal["line", "acts", "pattern"] = "line"
    n: Number | None = None


class Candidate(Told, frozen=True, kw_only=True):
    """A word that may stand at the cursor; `kind` says what it is."""

    text: str
    kind: str
    help: str


class Completion(Told, frozen=True, kw_only=True):
    """What may stand at the cursor, in the place of the characters from `start` on.

    `kinds` are all kinds of words that may; some have no list here: a `capture`, a `rule`, a `number`, a `duration`.
    """

    start: int
    kinds: tuple[str, ...]
    candidates: tuple[Candidate, ...]


class Vocabulary(Told, frozen=True, kw_only=True):
    """The words of the language, for completion and help."""

    pdus: tuple[PduKind, ...]
    events: tuple[str, ...]
    acts: tuple[Act, ...]
    CDBs: tuple[str, ...]
    keys: tuple[str, ...]
    scenarios: tuple[str, ...]
