"""YAML with positions, variables, and YAML 1.2's idea of a word."""

from __future__ import annotations

import pytest

from headwater.project.document import read_document


def value_of(text: str, **environment: str):
    document = read_document(text, "f.yaml", environment)
    assert document.mistakes == []
    return document.value


def mistakes_of(text: str, first_line: int = 1, **environment: str) -> list[tuple]:
    document = read_document(text, "f.yaml", environment, first_line)
    return [(m.line, m.column, m.message, m.source_line) for m in document.mistakes]


@pytest.mark.parametrize("word", ["no", "No", "NO", "yes", "on", "off", "y", "n", "Off"])
def test_words_of_norway_are_words(word):
    assert value_of(f"a: {word}\nb: [{word}]") == {"a": word, "b": [word]}


def test_booleans_numbers_dates_and_nothing_are_what_they_look_like():
    assert value_of("a: [true, False, 1, 1.5, ~, null]") == {"a": [True, False, 1, 1.5, None, None]}
    assert str(value_of("a: 2020-01-02")["a"]) == "2020-01-02"


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 10), ("0o10", 8), ("0x1F", 31), ("-7", -7), ("1e6", 1e6), ("1.5e-3", 0.0015),
     (".5", 0.5), ("10:30", "10:30"),
     ("1_000", "1_000"), ("0b11", "0b11"), ("-.inf", float("-inf"))],
)  # fmt: skip
def test_numbers_are_those_of_yaml_1_2(text, value):
    assert value_of(f"a: {text}") == {"a": value}
    assert type(value_of(f"a: {text}")["a"]) is type(value)


def test_an_empty_document_holds_nothing():
    assert value_of("") == {}
    assert value_of("# only a comment\n") == {}


# ---- variables


def test_a_variable_is_taken_from_the_environment():
    assert value_of("a: x/${NAME}/y", NAME="v") == {"a": "x/v/y"}
    assert value_of("a: ${A}-${B:-2}", A="1") == {"a": "1-2"}


def test_a_default_stands_in_for_a_variable_that_is_unset_or_empty():
    assert value_of("a: ${NAME:-x y}") == {"a": "x y"}
    assert value_of("a: '${NAME:-x}'", NAME="") == {"a": "x"}


def test_a_variable_may_hold_a_number_unless_it_is_in_quotes():
    assert value_of("a: ${N}\nb: '${N}'", N="5") == {"a": 5, "b": "5"}


def test_a_variable_is_never_read_as_yaml():
    assert value_of("a: ${N}", N="{b: 1}\nc: 2") == {"a": "{b: 1}\nc: 2"}
    assert value_of("a: ${N}", N="${OTHER}", OTHER="secret") == {"a": "${OTHER}"}


def test_variables_stand_in_values_alone():
    assert value_of("${N}: 1", N="x") == {"${N}": 1}


def test_an_unset_variable_is_a_mistake_where_it_stands():
    assert mistakes_of("a: 1\nb:\n  c: x/${NOT_SET}") == [
        (3, 3, "the environment variable NOT_SET is not set", "  c: x/${NOT_SET}")
    ]


# ---- types within braces


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{type: decimal(10,2), min: 0}", {"type": "decimal(10,2)", "min": 0}),
        ("{min: 0, type: decimal(10, 2)}", {"min": 0, "type": "decimal(10, 2)"}),
        ("{type: decimal(10,2)}", {"type": "decimal(10,2)"}),
        (
            "{type: struct(a integer, b decimal(10,2), c text), x: 1}",
            {"type": "struct(a integer, b decimal(10,2), c text)", "x": 1},
        ),
        ("{type: map(text, integer), x: [1, 2]}", {"type": "map(text, integer)", "x": [1, 2]}),
        ("{name: r, check: a in (1, 2, 3)}", {"name": "r", "check": "a in (1, 2, 3)"}),
        ("{type: 'decimal(10,2)'}", {"type": "decimal(10,2)"}),
        ("{a: (x, b: 1}", {"a": "(x", "b": 1}),
    ],
)
def test_a_comma_within_parentheses_belongs_to_the_value(text, expected):
    assert value_of(f"v: {text}") == {"v": expected}


# ---- mistakes


def test_a_key_that_stands_twice_is_a_mistake_at_the_second():
    assert mistakes_of("a: 1\nb:\n  c: 1\n  c: 2") == [
        (4, 3, "the key 'c' stands here twice", "  c: 2")
    ]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: b: c", 1, "mapping values are not allowed"),
        ("a:\n\tb: 1", 2, "cannot start any token"),
        ("a: [1, 2\nb: 3", 2, "expected"),
        ("a: 'x", 1, "unexpected end of stream"),
    ],
)
def test_what_is_no_yaml_says_where(text, line, word):
    ((found_line, _, message, _),) = mistakes_of(text)
    assert found_line == line
    assert message.startswith("not YAML: ")
    assert word in message


def test_brackets_within_braces_say_to_use_quotes():
    document = read_document("v: {type: text[], min: 0}", "f.yaml", {})
    assert "quotes" in document.mistakes[0].hint


def test_a_document_within_a_file_counts_the_files_lines():
    assert mistakes_of("a: 1\na: 2", first_line=7)[0][0] == 8
