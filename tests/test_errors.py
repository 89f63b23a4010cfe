from __future__ import annotations

import pytest

from iscsiproxy import errors
from iscsiproxy.errors import FileError, InternalError, IscsiProxyError, PeerError, UserError, meant


def test_the_tree_has_three_branches() -> None:
    branches = (PeerError, UserError, InternalError)
    for name in errors.__all__:
        kind = getattr(errors, name)
        if not isinstance(kind, type):
            continue
        assert kind is IscsiProxyError or sum(issubclass(kind, branch) for branch in branches) == 1, name


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileError("there is no act `dop`", file="x.yaml", line=4, column=9, hint="did you mean `drop`?"),
         "x.yaml:4:9: there is no act `dop` (did you mean `drop`?)"),
        (FileError("empty", file="x.yaml"), "x.yaml: empty"),
        (FileError("empty"), "empty"),
    ],
)  # fmt: skip
def test_a_file_error_says_where(error: FileError, text: str) -> None:
    assert str(error) == text
    assert error.others == ()


@pytest.mark.parametrize(
    ("name", "names", "otherwise", "hint"),
    [
        ("datadigst", ["HeaderDigest", "DataDigest"], None, "did you mean DataDigest?"),
        ("x", ["one", "two"], None, "there are: one, two"),
        ("x", ["T", "t"], None, "there are: T, t"),
        ("x", [], None, "there are: none"),
        ("x", ["one", "two"], "", ""),
        ("x", ["one", "two"], "`--list` tells", "`--list` tells"),
    ],
)
def test_a_wrong_name_is_asked_about(name: str, names: list[str], otherwise: str | None, hint: str) -> None:
    assert meant(name, iter(names), otherwise) == hint
