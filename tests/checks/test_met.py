from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from iscsiproxy.checks.catalogue import RULES
from iscsiproxy.checks.reference import reference
from tests.checks.met import CLEAN, PAGE, clean, read_page

__all__: list[str] = []


def test_the_page_is_the_reference_and_has_a_row_for_each_rule() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(reference()), "`python -m tests.checks.met` writes it anew"
    assert list(read_page(text)) == list(RULES)


@pytest.mark.slow
async def test_clean_embedded_traffic_breaks_no_rule_and_meets_what_the_page_says(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for target, initiator in CLEAN:
        facts = await clean(target, initiator, tmp_path)
        assert facts["findings"] == [], f"iscsiproxy initiator {' '.join(initiator)}"
        assert facts["verdict"] == "pass"
        met.update(facts["evidence"])
    said = {name for name, sources in read_page(PAGE.read_text(encoding="utf-8")).items() if "embedded" in sources}
    assert said <= {name for name, count in met.items() if count}
    assert len(said) > 80
