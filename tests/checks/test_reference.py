from __future__ import annotations

from iscsiproxy.checks.catalogue import RULES
from iscsiproxy.checks.reference import reference

__all__: list[str] = []


def test_every_rule_is_on_the_page_with_its_clause_in_both_standards() -> None:
    page = reference()
    for rule in RULES.values():
        assert f"- **{rule.id}** {rule.title}." in page
    assert "RFC 7143 11.19 (RFC 3720 10.19)" in page
