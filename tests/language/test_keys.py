from __future__ import annotations

from iscsiproxy.language.keys import KEYS, is_private, key_words

__all__: list[str] = []


def test_keys_are_numbers_words_or_texts() -> None:
    assert key_words("MaxBurstLength") == ()
    assert key_words("ImmediateData") == ("Yes", "No")
    assert key_words("HeaderDigest") == ("None", "CRC32C")
    assert key_words("TargetName") is None
    assert key_words("X-com.example.key") is None


def test_private_keys() -> None:
    assert is_private("X-com.example.key")
    assert is_private("X#NodeArchitecture")
    assert not is_private("Xylophone")
    assert not is_private("MaxBurstLength")
    assert not is_private("")


def test_every_key_fits_the_format_of_the_rfc() -> None:
    for key in KEYS:
        assert key.isascii()
        assert len(key) <= 63
        assert key[0].isupper() or key.startswith("i")
