from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.language.document import Scalar
from iscsiproxy.language.parameters import Parameters, kind_of, override
from iscsiproxy.language.spec import Position
from tests.language.samples import read, scalar

__all__: list[str] = []

HERE = Position("f", 2, 5)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2", "a number"),
        ("-1", "a number"),
        ("0x1f", "a number"),
        ("64KiB", "a number"),
        ("200ms", "a duration"),
        ("1.5s", "a duration"),
        ("0.5%", "a percentage"),
        ("yes", "yes or no"),
        ("Data-Out", "a PDU or event"),
        ("close", "a PDU or event"),
        ("Yes", "a text"),
        ("header+20", "a text"),
        ("020a", "a text"),
        ("", "a text"),
    ],
)
def test_the_kind_of_a_value(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_an_override_takes_the_place_of_a_default() -> None:
    assert override({"n": "2", "m": "x"}, {"n": "64KiB"}) == {"n": "64KiB", "m": "x"}


def test_a_text_may_become_any_text() -> None:
    assert override({"m": "x"}, {"m": "5"}) == {"m": "5"}


@pytest.mark.parametrize(
    ("defaults", "given", "message"),
    [
        ({"count": "2"}, {"cuont": "3"}, "did you mean `count`"),
        ({}, {"n": "3"}, "it has none"),
        ({"a": "1", "b": "2"}, {"zzz": "3"}, "it has a, b"),
        ({"n": "2"}, {"n": "5s"}, "'n' is a number, such as 2, not '5s'"),
        ({"n": "5s"}, {"n": "5"}, "'n' is a duration"),
        ({"p": "Data-Out"}, {"p": "Data-Uot"}, "'p' is a PDU or event"),
        ({"p": "1%"}, {"p": "1"}, "'p' is a percentage"),
        ({"p": "yes"}, {"p": "true"}, "'p' is yes or no"),
    ],
)
def test_a_wrong_override(defaults: dict[str, str], given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        override(defaults, given)


def test_texts_are_filled_in() -> None:
    parameters = Parameters({"a": "x", "ab": "y"})
    assert parameters.fill(scalar("$a and $ab, $a.b")).text == "x and y, x.b"
    assert parameters.used == {"a", "ab"}
    untouched = scalar("no such thing, 5$")
    assert parameters.fill(untouched) is untouched or parameters.fill(untouched).text == untouched.text


def test_a_filled_text_stands_at_one_place() -> None:
    filled = Parameters({"a": "long text"}).fill(Scalar("$a", HERE))
    assert filled.at(0) == filled.at(7) == HERE


def test_an_unknown_parameter_says_where() -> None:
    with pytest.raises(FileError) as caught:
        Parameters({"size": "1"}).fill(Scalar("at $siez", HERE))
    assert (caught.value.line, caught.value.column) == (2, 8)
    assert caught.value.hint == "did you mean `size`?"


def test_a_parameter_stands_for_any_part_of_a_file() -> None:
    scenario = read(
        "params: {pdu: Data-Out, n: 2, wait: 5s, how: fin, size: 4KiB, end: initiator, odds: 0.5%, key: Yes, flag: F}\n"
        "traffic: {size: $size}\n"
        "timing: {hang: $wait}\n"
        "rules:\n"
        "  - when: $wait then $pdu from initiator at $end where DataSN == $n and $flag nth $n chance $odds\n"
        "    do: [{delay: $wait}, {set: {$flag: 0}}, {note: 'size $size'}, {close: $how}]\n"
        "  - when: Login-Request where text.ImmediateData == $key\n"
        "    do: {set: {text.ImmediateData: $key}}\n"
    )
    assert scenario.rules[0].when[0].text == (
        "5s then Data-Out from initiator at initiator where DataSN == 2 and F nth 2 chance 0.5%"
    )
    assert [act.text for act in scenario.rules[0].do] == ["delay 5s", "set F=0", 'note "size 4KiB"', "close fin"]
    assert scenario.traffic["size"] == "4096"
    assert scenario.timing.hang == 5.0


def test_a_parameter_is_one_operand() -> None:
    body = "rules: [{when: Data-Out where DataSN * $n == 6, do: drop}]"
    assert read(f"params: {{n: (1 + 2)}}\n{body}").rules
    with pytest.raises(FileError) as caught:
        read(f"params: {{n: 1 + 2}}\n{body}")
    assert "`$n` is `1 + 2`" in caught.value.message
    assert (caught.value.line, caught.value.column) == (4, 40)
