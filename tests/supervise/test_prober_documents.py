"""What `file-contains` finds in JSON and YAML texts, row D10."""

from __future__ import annotations

import pytest

from vaggapy.config.tree import plain_values
from vaggapy.supervise.probes.document import LONGEST_VARIABLE, look_up

TEXT = """
a:
  b: [1, 2.5, null, {c: x}]
  yes: true
  no: no
  text: "true"
  tagged: !!str 5
  hex: 0x1f
  octal: 0o17
  nothing: ~
  many: &many {one: 1}
  again: *many
  merged: {<<: *many, two: 2}
"""
FOUND = [
    ("$.a.b[0]", "1"),
    ("$.a.b[1]", "2.5"),
    ("$['a']['b'][-1].c", "x"),
    ("$.a.b[?@.c == 'x'].c", "x"),
    ("$.a.yes", "true"),
    ("$.a.no", "no"),
    ("$.a.text", "true"),
    ("$.a.tagged", "5"),
    ("$.a.hex", "31"),
    ("$.a.octal", "15"),
    ("$.a.many", '{"one":1}'),
    ("$.a.again.one", "1"),
    ("$.a.merged", '{"one":1,"two":2}'),
    ("$.a.b", '[1,2.5,null,{"c":"x"}]'),
    ("$..c", "x"),
]


@pytest.mark.parametrize(("path", "value"), FOUND)
def test_d10_a_value_of_any_kind_becomes_text(path: str, value: str) -> None:
    outcome = look_up(TEXT, True, path)
    assert (outcome.passed, outcome.value) == (True, value)


@pytest.mark.parametrize("path", ["$.a.nothing", "$.a.b[2]"])
def test_d10_null_is_missing(path: str) -> None:
    outcome = look_up(TEXT, True, path)
    assert (outcome.passed, outcome.detail) == (False, "the key is null")


def test_d10_a_key_that_is_not_there_is_missing() -> None:
    assert look_up("{}", False, "$.a.b").detail == "it has no such key"


def test_d10_of_several_places_the_first_counts() -> None:
    assert look_up('{"a": [{"v": 1}, {"v": 2}], "b": {"v": 3}}', False, "$..v").value == "1"
    assert look_up('{"a": [{"v": null}, {"v": 2}]}', False, "$..v").detail == "the key is null"


WHOLE = '{"port": 80, "é": [true, "\\u00e9"]}'


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_d10_half_written_json_does_not_pass(length: int) -> None:
    outcome = look_up(WHOLE[:length], False, "$.port")
    assert not outcome.passed
    assert outcome.detail.startswith("not valid JSON: ")


def test_d10_json_that_is_whole_later_passes() -> None:
    assert look_up(WHOLE, False, "$.port").value == "80"
    assert look_up(WHOLE, False, "$['é']").value == '[true,"é"]'


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("a: [1, 2", "not valid YAML: line 1"),
        ("a: 1\n---\nb: 2\n", "not valid YAML: line 2: a second document"),
        ("a: !*Include b.yaml\n", "not valid YAML: line 1: '!*Include' has no place"),
        ("\0", "not valid YAML: line 1: control character"),
        ("[" * 200, "not valid YAML: line 1"),
        (f"- &a [{'x,' * 300}]\n" + "- *a\n" * 200, "not valid YAML: line "),
    ],
)
def test_d10_yaml_that_cannot_be_read_does_not_pass(text: str, detail: str) -> None:
    outcome = look_up(text, True, "$.a")
    assert not outcome.passed
    assert outcome.detail.startswith(detail)


@pytest.mark.parametrize("path", ["a.b", "", "$.a[", "$.a[01]", "$.a | $.b", "^.a", "$" + "['a']" * 3000])
def test_a_key_that_is_no_jsonpath_does_not_pass(path: str) -> None:
    outcome = look_up('{"a": 1}', False, path)
    assert not outcome.passed
    assert outcome.detail.startswith(("the key is no JSONPath: ", "the key is nested too deep"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_json_does_not_pass(text: str) -> None:
    assert not look_up(text, False, "$.a").passed


def test_json_as_deep_as_can_be_read_is_no_error_for_a_path_that_goes_down() -> None:
    deep = '{"a":' * 900 + "1" + "}" * 900
    assert not look_up(deep, False, "$..b").passed


def test_a_number_of_thousands_of_digits_does_not_pass() -> None:
    assert look_up(f'{{"a": {"9" * 5000}}}', False, "$.a").detail.startswith("not valid JSON: ")
    assert look_up(f"a: {'9' * 5000}", True, "$.a").value == "9" * 5000


@pytest.mark.parametrize("value", ["\\u0000", "\\ud800"])
def test_text_that_no_variable_can_hold_passes_only_without_one(value: str) -> None:
    text = f'{{"a": "{value}"}}'
    assert look_up(text, False, "$.a").passed
    assert look_up(text, False, "$.a", "PORT").detail == "$PORT cannot hold a NUL or half a character"


def test_a_value_as_long_as_a_variable_may_be_passes_and_a_longer_one_does_not() -> None:
    longest = LONGEST_VARIABLE - len("PORT==")
    assert look_up(f'{{"a": "{"x" * longest}"}}', False, "$.a", "PORT").passed
    assert "the value is longer" in look_up(f'{{"a": "{"x" * (longest + 1)}"}}', False, "$.a", "PORT").detail


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("12", 12),
        ("-0o7", "-0o7"),
        ("+12", 12),
        ("1_000", "1_000"),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("-.Inf", float("-inf")),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("'12'", "12"),
        ("on", "on"),
        ("{1: a, 'b': c}", {"1": "a", "b": "c"}),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert plain_values(text) == (value, ())
