from __future__ import annotations

from iscsiproxy.language.findings import finding, place_of
from iscsiproxy.language.spec import Position

__all__: list[str] = []


def test_a_finding_says_how_bad_it_is_where_and_the_way_out() -> None:
    where = Position("x.yaml", 3, 7)
    bad, odd = finding("kind", where, "this is never", "do that"), finding("kind", where, "this is odd", warn=True)
    assert str(bad) == "x.yaml:3:7: this is never (do that)"
    assert str(odd) == "x.yaml:3:7: warning: this is odd"
    assert (bad.severity, odd.severity) == ("error", "warning")
    assert place_of(odd) == where
