from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iscsiproxy import language
from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.language.document import read_yaml
from iscsiproxy.language.loader import lint, load, load_all, load_tree
from iscsiproxy.language.shapes import as_table
from iscsiproxy.language.spec import Bound, Moment, Pattern, Picks, Scenario
from tests.language.samples import ACTS, outcome, shape, worked

__all__: list[str] = []

#: How many runs each worked scenario stands for, where it is not one.
RUNS = {"cut_inside_pdu": 14, "digests_corrupt": 2, "reserved_bits": 288}
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in worked()}


@pytest.mark.parametrize("path", worked(), ids=lambda path: path.stem)
def test_a_worked_scenario(path: Path) -> None:
    text = TEXTS[path.stem]
    assert lint(text, file=str(path), acts=ACTS, built=False) == ()
    scenarios = load_all(text, file=str(path), acts=ACTS, built=False)
    assert len(scenarios) == RUNS.get(path.stem, 1)
    assert {scenario.name for scenario in scenarios} == {path.stem}
    assert len({tuple(scenario.axes.items()) for scenario in scenarios}) == len(scenarios)


def test_there_are_worked_scenarios() -> None:
    assert len(TEXTS) == 18


def worked_scenario(name: str) -> Scenario:
    return load_all(TEXTS[name], file=f"{name}.yaml", acts=ACTS, built=False)[0]


def test_a_moment_of_several_steps() -> None:
    scenario = worked_scenario("cmdsn_out_of_order")
    (act,) = scenario.rules[0].do
    until = act.params["until"]
    assert isinstance(until, tuple)
    (moment,) = until
    assert isinstance(moment, Moment)
    assert moment.text == "SCSI-Command where CmdSN == n.CmdSN + 1 as m then barrier"
    assert act.params["overtake"] is True
    first = scenario.expect[0]
    assert isinstance(first.pattern, Pattern)
    assert [item.name for item in first.pattern.items] == ["SCSI-Response", "R2T", "Data-In"]
    assert first.after[0].steps == (Bound(name="m"),)


def test_the_first_scenario_of_all() -> None:
    scenario = load(TEXTS["data_out_lost"], file="data_out_lost.yaml", acts=ACTS)
    (rule,) = scenario.rules
    (step,) = rule.when[0].steps
    assert isinstance(step, Pattern)
    assert (step.text, step.picks.nth) == ("Data-Out where DataSN == 2 nth 1", (1, 1))
    assert (step.position.line, step.position.column) == (4, 11)
    assert [act.text for act in rule.do] == ["drop"]


# --- runs ----------------------------------------------------------------------------------------------------------

MATRIX = "scenario: x\nmatrix: {pdu: [R2T, Data-In], n: 1..2}\nrules: [{when: $pdu nth $n, do: drop}]\n"


def test_a_matrix_stands_for_several_runs() -> None:
    runs = load_all(MATRIX, file="x.yaml", acts=ACTS)
    assert [run.axes for run in runs][1] == {"pdu": "R2T", "n": "2"}
    assert runs[3].rules[0].when[0].text == "Data-In nth 2"
    with pytest.raises(UsageError, match=r"4 runs \(matrix of pdu, n\)"):
        load(MATRIX, file="x.yaml", acts=ACTS)


def test_one_run_of_a_matrix() -> None:
    assert load(MATRIX, file="x.yaml", acts=ACTS, axes={"pdu": "Data-In", "n": "1"}).axes["pdu"] == "Data-In"
    assert len(load_all(MATRIX, file="x.yaml", acts=ACTS, axes={"n": "1"})) == 2
    for axes in ({"n": "3"}, {"m": "1"}):
        with pytest.raises(UsageError, match="no run with"):
            load_all(MATRIX, file="x.yaml", acts=ACTS, axes=axes)


def test_an_error_of_a_single_run_is_found() -> None:
    text = MATRIX.replace("Data-In]", "Data-Inn]")
    (error,) = lint(text, file="x.yaml", acts=ACTS)
    assert error.message == "no PDU or event is called `Data-Inn`, in the run with pdu=Data-Inn, n=1"
    assert (error.line, error.column) == (3, 16)


def test_parameters_may_be_overridden() -> None:
    text = "scenario: x\nparams: {nth: 2}\nrules: [{when: R2T nth $nth, do: drop}]\n"
    scenario = load(text, file="x.yaml", acts=ACTS, params={"nth": "7"})
    assert scenario.params == {"nth": "7"}
    assert scenario.rules[0].when[0].text == "R2T nth 7"
    with pytest.raises(UsageError, match="did you mean `nth`"):
        load(text, file="x.yaml", acts=ACTS, params={"nht": "7"})
    with pytest.raises(UsageError, match="is a number"):
        load(text, file="x.yaml", acts=ACTS, params={"nth": "7s"})


# --- errors --------------------------------------------------------------------------------------------------------


def test_all_errors_come_with_the_first() -> None:
    rules = "rules:\n  - {when: R2T, do: dorp}\n  - {when: R2T where X, do: drop}\n"
    text = f"scenario: x\naftermth: x\n{rules}expect: {{never: Y of z}}\n"
    with pytest.raises(FileError) as caught:
        load(text, file="x.yaml", acts=ACTS)
    assert caught.value.line == 2
    assert [error.line for error in caught.value.others] == [4, 5, 6]
    assert [error.line for error in lint(text, file="x.yaml", acts=ACTS)] == [2, 4, 5, 6]


def test_an_error_reads_well() -> None:
    (error,) = lint("scenario: x\nrules: {when: SCSI-Comand nth 1, do: drop}", file="x.yaml", acts=ACTS)
    assert str(error) == "x.yaml:2:15: no PDU or event is called `SCSI-Comand` (did you mean `SCSI-Command`?)"


def test_places_in_folded_and_quoted_texts() -> None:
    text = (
        "scenario: x\nrules:\n"
        "  - when: >\n      SCSI-Command\n      where CmdSn == 1\n    do: drop\n"
        "  - when: 'SCSI-Command where CmdSn == 1'\n    do: drop\n"
        "  - when: SCSI-Command\n      where CmdSn == 1\n    do: drop\n"
    )
    found = lint(text, file="x.yaml", acts=ACTS)
    assert [(error.line, error.column) for error in found] == [(5, 13), (7, 31), (10, 13)]


def test_the_package_gives_the_way_in() -> None:
    assert language.load is load
    assert {*language.__all__} <= {name for name in language.__all__ if getattr(language, name) is not None}
    with pytest.raises(AttributeError, match="nonsense"):
        _ = language.nonsense


# --- properties ----------------------------------------------------------------------------------------------------


def read_any(text: str) -> Scenario | tuple[Scenario, ...] | FileError:
    found = outcome(lambda: load_all(text, file="x.yaml", acts=ACTS, built=False))
    if isinstance(found, FileError):
        for error in (found, *found.others):
            assert error.file == "x.yaml"
            assert error.line >= 1
            assert error.column >= 1
    return found


@given(st.text(max_size=120))
def test_any_text_is_scenarios_or_an_error(text: str) -> None:
    read_any(text)


@given(st.text(alphabet="abFR2T.-_$#:(){}[],<>=!\"' \n0159%&*+", max_size=60))
@example("$")
@example("5s..")
def test_any_moment_is_right_or_an_error(text: str) -> None:
    quoted = text.replace("'", "''")
    read_any(f"scenario: x\nvictim: both\nrules: {{when: '{quoted}', do: {{note: x}}}}\n")
    read_any(
        f"scenario: x\nvictim: both\nrules: {{when: SCSI-Command, do: {{set: {{F: '{quoted}', data: '{quoted}'}}}}}}\n"
    )
    read_any(f"scenario: x\nvictim: both\nparams: {{p: '{quoted}'}}\nrules: {{when: R2T where F == $p, do: $p}}\n")


SOME = ("cmdsn_out_of_order", "order_after_connection_loss", "x_key_across_c_bit", "link_flaps", "status_snack")


@settings(max_examples=60)
@given(st.data(), st.sampled_from(SOME))
def test_a_scenario_that_is_cut_up_is_right_or_an_error(data: st.DataObject, name: str) -> None:
    text = TEXTS[name]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 25)))
    other = data.draw(st.sampled_from(("", " ", "\n", ": ", "x", "(", '"', "- ", "{", "nth 1", "$p", "# ", "absent")))
    read_any(text[:start] + other + text[stop:])


@settings(max_examples=30)
@given(st.permutations(["nth 2..9", "after 1", "every 2", "times 3", "chance 5%", "mask 10", "per task"]))
def test_the_order_of_picks_means_nothing(order: list[str]) -> None:
    text = f"scenario: x\nrules: {{when: R2T where F {' '.join(order)} as r, do: drop}}\n"
    (step,) = load(text, file="x.yaml", acts=ACTS).rules[0].when[0].steps
    assert isinstance(step, Pattern)
    assert step.picks == Picks(after=1, nth=(2, 9), every=2, mask=(True, False), chance=0.05, times=3, per="task")


#: What the moments of worked scenarios name, for the test below.
BOUND = """
  - {when: SCSI-Command as n}
  - {when: SCSI-Command as write}
  - {when: SCSI-Response as lost}
  - {when: SCSI-Response as status}
  - {when: R2T as r2t}
"""


@pytest.mark.parametrize("name", [*TEXTS])
def test_every_text_of_a_moment_reads_as_the_same_moment(name: str) -> None:
    scenario = worked_scenario(name)
    for moment in (moment for rule in scenario.rules for moment in rule.when):
        rule = f"  - when: |\n      {moment.text}\n    do: {{note: x}}\n"
        text = f"scenario: x\nvictim: {scenario.victim}\nrules:\n{rule}{BOUND}"
        (again,) = load(text, file="x.yaml", acts=ACTS, built=False).rules[0].when
        assert shape(again) == shape(moment)


@pytest.mark.parametrize(
    ("rule", "wrong", "hint"),
    [
        (
            "{when: SCSI-Command where EDTL > 64 KiB, do: drop}",
            "`KiB` does not",
            "units stand without a blank: `64KiB`",
        ),
        ("{when: SCSI-Command then 5 s, do: close}", "expected a duration", "units stand without a blank: `5s`"),
        ("{when: SCSI-Command and W, do: drop}", "`and` does not belong here", "a test begins with `where`"),
        ("{when: SCSI-Command W, do: drop}", "`W` does not belong here", "a test begins with `where`"),
        ("{when: SCSI-Command task.R2Ts == 0, do: drop}", "`task.R2Ts` does", "a test begins with `where`"),
        ("{when: SCSI-Command where W R, do: drop}", "`R` does not belong", "tests are joined by `and` and `or`"),
        ("{when: SCSI-Command wher W, do: drop}", "`wher` does not belong here", "did you mean `where`?"),
        ("{when: SCSI-Command if W, do: drop}", "`if` does not belong here", "did you mean `where`?"),
        ("{when: SCSI-Command nht 3, do: drop}", "`nht` does not belong here", "did you mean `nth`?"),
        ("{when: 5s foo, do: close}", "`foo` does not belong here, behind the moment", None),
        ("{when: R2T, do: drop, optional: true}", "`optional` is `yes` or `no`, not `true`", "did you mean `yes`?"),
        ("{name: r, when: R2T, do: drop, armed: off}", "`armed` is `yes` or `no`", "did you mean `no`?"),
        ("{when: R2T, do: {set: {F: yes}}}", "a flag is 0 or 1, not `yes`", "did you mean `1`?"),
        ("{when: SCSI-Command where W == false, do: drop}", "a flag is 0 or 1", "did you mean `0`?"),
        ("{when: SCSI-Command where EDTL > 64k, do: drop}", "`64k` is no number", "did you mean `64KiB`?"),
        ("{when: SCSI-Command, do: {delay: 2sec}}", "", "a duration is a number and ms, s or min"),
        (
            "{when: R2T, do: {delay: 1.5s, overtake: yes}}",
            "an act is one name with its parameters",
            "parameters stand below the act: `delay: {until: 1.5s, overtake: yes}`",
        ),
        (
            "{when: SCSI-Command, do: {set: {W: 1}, numbers: raw}}",
            "an act is one name with its parameters",
            "parameters stand below the act: `set: {W: 1, numbers: raw}`",
        ),
        (
            "{when: R2T, do: {drop: '', close: rst}}",
            "an act is one name with its parameters",
            "several acts are a list: each begins with `- `; the parameters of one stand below it",
        ),
    ],
)
def test_a_slip_comes_with_the_nearest_way_out(rule: str, wrong: str, hint: str | None) -> None:
    text = f"scenario: x\nvictim: both\nrules:\n  - {rule}\n"
    (error,) = lint(text, file="x.yaml", acts=SPECS)
    assert error.message.startswith(wrong)
    assert error.hint == hint or (error.hint or "").startswith(hint or "-")


@pytest.mark.parametrize(
    ("section", "hint"),
    [
        ("traffic: {size: 64k}", "did you mean `64KiB`?"),
        ("traffic: {size: 64 KiB}", "did you mean `64KiB`?"),
        ("traffic: {size: 1M}", "did you mean `1MiB`?"),
        ("traffic: {size: 5s}", None),
        ("timing: {quiet: 2 sec}", "did you mean `2s`?"),
        ("timing: {quiet: 5m}", "did you mean `5min`?"),
    ],
)
def test_a_quantity_in_other_units(section: str, hint: str | None) -> None:
    text = f"scenario: x\n{section}\nrules:\n  - {{when: R2T, do: drop}}\n"
    (error,) = lint(text, file="x.yaml", acts=SPECS)
    assert error.hint == hint


def test_a_rule_that_cannot_be_read_hides_nothing_of_the_others() -> None:
    text = (
        "scenario: x\nvictim: both\nrules:\n"
        "  - {when: SCSI-Command wher W as x, do: drop}\n"
        "  - {when: R2T of x where Foo == 1, do: drop}\n"
        "  - {when: R2T where R2TSN == x.EDTL and Bar == 1, do: drop}\n"
        "  - {when: R2T of x, do: {set: {Baz: 1}}}\n"
        "  - {when: Data-Out where DataSN == z.DataSN, do: drop}\n"
    )
    assert [(error.line, error.message) for error in lint(text, file="x.yaml", acts=SPECS)] == [
        (4, "`wher` does not belong here, behind the moment"),
        (5, "`Foo` has no meaning on R2T"),
        (6, "`Bar` has no meaning on R2T"),
        (7, "`set` has no parameter or field `Baz`"),
        (8, "nothing in the file binds the name `z`"),
    ]


@pytest.mark.parametrize("use", ["R2T of n1", "R2T where R2TSN == n1.R2TSN"])
def test_what_may_be_bound_where_nothing_could_be_read_is_not_missed(use: str) -> None:
    text = f"scenario: x\nparams: {{i: 1}}\nrules:\n  - {{when: R2T az n$i}}\n  - {{when: {use}, do: drop}}\n"
    assert [error.line for error in lint(text, file="x.yaml", acts=SPECS)] == [4]
    text = text.replace("az n$i", "nth $i az n1")
    assert [error.line for error in lint(text, file="x.yaml", acts=SPECS)] == [4]
    assert [error.line for error in lint(text.replace("az n1", "az n2"), file="x.yaml", acts=SPECS)] == [4, 5]


def test_a_tree_is_read_wherever_it_comes_from() -> None:
    text = "scenario: x\nparams: {n: 1}\nrules: [{when: R2T nth $n, do: drop}]\n"
    table = as_table(read_yaml(text, "x.yaml"), "a scenario")
    (scenario,) = load_tree(table, file="x.yaml", acts=SPECS, params={"n": "2"})
    assert shape(scenario) == shape(load(text, file="x.yaml", acts=SPECS, params={"n": "2"}))
