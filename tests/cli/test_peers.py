from __future__ import annotations

import pytest

from iscsiproxy.cli.peers import choose_quirks, list_quirks, near, parse_account
from iscsiproxy.errors import UsageError
from iscsiproxy.peers.target.quirks import PERSONALITIES, QUIRKS

__all__: list[str] = []


def test_the_nearest_name() -> None:
    assert near("w12", QUIRKS) == " (did you mean W12?)"
    assert near("nothing-like-it", QUIRKS) == ""


def test_quirks_by_name_and_by_the_dozen() -> None:
    assert choose_quirks(["W12", "W01", "W12"], QUIRKS, PERSONALITIES) == ("W12", "W01")
    whole = choose_quirks(["W12", "windows-server-2012"], QUIRKS, PERSONALITIES)
    assert whole[0] == "W12"
    assert sorted(whole) == sorted(PERSONALITIES["windows-server-2012"])
    with pytest.raises(UsageError, match=r"'windows-server-2021' \(did you mean windows-server-2012\?\)"):
        choose_quirks(["windows-server-2021"], QUIRKS, PERSONALITIES)


def test_each_is_listed_with_its_clause(capsys: pytest.CaptureFixture[str]) -> None:
    list_quirks(QUIRKS, PERSONALITIES)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(QUIRKS) + len(PERSONALITIES)
    assert lines[0] == f"W01        {QUIRKS['W01'].summary()} (RFC 7143 4.2.5.2)"


@pytest.mark.parametrize("text", ["", "user", "user:", ":secret"])
def test_an_account_that_is_none_is_not_shown(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_account("--chap", text)
    assert str(raised.value) == "--chap: expected USER:SECRET"


def test_a_secret_may_have_colons() -> None:
    account = parse_account("--chap", "user:a:b")
    assert (account.name, account.secret) == ("user", b"a:b")
