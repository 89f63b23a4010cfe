from __future__ import annotations

from iscsiproxy.peers.initiator.settings import InitiatorSettings, random_isid


def test_an_ISID_is_of_the_random_format_and_repeats_with_its_seed() -> None:
    isid = random_isid("seed", 0x1234)
    assert isid >> 40 == 0x80
    assert isid & 0xFFFF == 0x1234
    assert isid == random_isid("seed", 0x1234)
    assert isid != random_isid("other", 0x1234)
    assert isid < 1 << 48


def test_without_a_target_it_is_discovery() -> None:
    assert InitiatorSettings().discovery
    changed = InitiatorSettings().changed(target="iqn.a", first_cmdsn=7)
    assert (changed.discovery, changed.first_cmdsn) == (False, 7)
