from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import ALL, SINCE_5048, SINCE_7143, SINCE_7144, Profile, cited

__all__: list[str] = []


@pytest.mark.parametrize(
    ("clause", "old"),
    [
        ("RFC 7143 11.18.1", "RFC 3720 10.18.1"),
        ("RFC 7143 4.2.2.1", "RFC 3720 3.2.2.1"),
        ("RFC 7143 13.12", "RFC 3720 12.12"),
        ("RFC 7143 4.2.3.3", "RFC 3720 10.6.2"),
        ("RFC 7143 7.8, RFC 7143 7.3", "RFC 3720 6.7, RFC 3720 6.3"),
        ("RFC 7143 appendix C", "RFC 3720 appendix D"),
        ("RFC 7144 6.3", "RFC 7144 6.3"),
        ("SAM-5 8.6", "SAM-5 8.6"),
        ("RFC 7143 2", "RFC 7143 2"),
    ],
)
def test_a_clause_is_cited_as_the_profile_has_it(clause: str, old: str) -> None:
    assert cited(clause, Profile.RFC3720) == old
    assert cited(clause, Profile.RFC5048) == old
    assert cited(clause, Profile.RFC7143) == clause
    assert cited(clause, Profile.RFC7144) == clause


def test_each_profile_has_all_that_came_before() -> None:
    assert SINCE_7144 < SINCE_7143 < SINCE_5048 < ALL
    assert [str(one) for one in Profile] == ["rfc3720", "rfc5048", "rfc7143", "rfc7144"]
