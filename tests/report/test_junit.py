from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.report.junit import junit
from tests.report.results import run, suite

__all__: list[str] = []


def _cases(document: bytes) -> dict[str, ET.Element]:
    root = ET.fromstring(document)
    return {case.get("name", ""): case for case in root.iter("testcase")}


def test_each_verdict_has_its_element() -> None:
    document = junit(
        suite(run("pass", "a"), run("warn", "b"), run("fail", "c"), run("inconclusive", "d"), run("skipped", "e"))
    )
    cases = _cases(document)
    told = {
        name: [child.tag for child in case if child.tag not in ("properties", "system-out")]
        for name, case in cases.items()
    }
    assert told == {"a": [], "b": [], "c": ["failure"], "d": ["error"], "e": ["skipped"]}
    assert "it came" in (cases["b"].findtext("system-out") or "")
    root = ET.fromstring(document)
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }


def test_a_failure_has_its_evidence() -> None:
    failure = _cases(junit(suite(run("fail"))))["data_out_lost"].find("failure")
    assert failure is not None
    assert failure.get("message") == "it came"
    assert "#7 1.5000s conn 2 target leg: SCSI-Response" in (failure.text or "")


def test_a_warning_is_a_failure_where_it_counts() -> None:
    assert _cases(junit(suite(run("warn")), fail_on_warn=True))["data_out_lost"].find("failure") is not None


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_whatever_a_peer_said_the_document_is_well_formed(text: str) -> None:
    failure = _cases(junit(suite(run("fail", text=f"<&{text}"))))["data_out_lost"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("<&")
