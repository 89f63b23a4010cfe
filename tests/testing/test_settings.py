from __future__ import annotations

from iscsiproxy.testing.settings import Settings

__all__: list[str] = []


def test_nothing_is_scratch_and_nothing_is_kept_unless_it_is_said() -> None:
    settings = Settings()
    assert (settings.target, settings.scratch, settings.folder, settings.everything) == ("embedded", False, None, False)


def test_a_password_is_not_shown() -> None:
    assert "open-sesame" not in repr(Settings(target="iscsi://me%open-sesame@127.0.0.1/iqn.x/0"))


def test_a_seed_is_drawn_for_each() -> None:
    assert len({Settings().seed for _ in range(8)}) > 1
    assert Settings(seed=7).seed == 7
