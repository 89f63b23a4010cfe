from __future__ import annotations

import json

from iscsiproxy.report.form import VERSION
from iscsiproxy.report.result import run_facts, run_json, suite_facts, suite_json
from tests.report.results import run, suite

__all__: list[str] = []


def test_a_run_as_json() -> None:
    facts = run_facts(run("fail"))
    assert facts["verdict"] == "fail"
    assert facts["why"] == "it came"
    assert facts["params"] == {"sn": "2"}
    assert facts["rules"] == [{"rule": "data_out_lost/hole", "matched": 3, "fired": 1, "optional": False}]
    assert facts["findings"][1]["evidence"] == [
        {"text": "SCSI-Response ITT=0x1 Status=GOOD", "n": 7, "at": 1.5, "conn": 2, "leg": "target"}
    ]


def test_a_document_says_its_version_and_can_be_read_back() -> None:
    result = suite(run("pass"), run("inconclusive"))
    document = json.loads(suite_json(result))
    assert (document["result"], document["exit"]) == (VERSION, 3)
    assert document["runs"] == [run_facts(one) for one in result.runs]
    assert {key: value for key, value in document.items() if key != "runs"} == suite_facts(result)
    assert json.loads(run_json(run("pass"))) == {"result": VERSION, **run_facts(run("pass"))}


def test_the_exit_code_heeds_what_counts() -> None:
    assert suite_facts(suite(run("warn")), fail_on_warn=True)["exit"] == 1
