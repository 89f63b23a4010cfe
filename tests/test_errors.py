from __future__ import annotations

import pytest

from iscsiproxy import errors
from iscsiproxy.errors import FileError, InternalError, IscsiProxyError, PeerError, UserError


def test_the_tree_has_three_branches() -> None:
    branches = (PeerError, UserError, InternalError)
    for name in errors.__all__:
        kind = getattr(errors, name)
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
