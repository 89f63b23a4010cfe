"""Runs of sectors that are alike."""

from __future__ import annotations

from iscsiproxy.checks.disk.matching import Match, match, words


def hashes(text: str) -> bytes:
    return b"".join(bytes(8) if letter == "?" else letter.encode() * 8 for letter in text)


def test_what_was_found_is_held_against_each_content() -> None:
    assert match(hashes("aabx?"), [hashes("aaaa?"), hashes("bbb?b")]) == [
        Match(0, 2, (0,), ()),
        Match(2, 3, (1,), ()),
        Match(3, 4, (), (1,)),
        Match(4, 5, (), (), seen=False),
    ]
    assert match(hashes("ab"), [hashes("ab"), hashes("a?"), hashes("xy")]) == [
        Match(0, 1, (0, 1), ()),
        Match(1, 2, (0,), (1,)),
    ]
    assert match(hashes("xy"), [hashes("ab")]) == [Match(0, 2, (), ())]
    assert match(hashes("x"), []) == [Match(0, 1, (), ())]
    assert match(b"", []) == []


def test_words() -> None:
    assert [bool(word) for word in words(hashes("a?b"))] == [True, False, True]
