"""YAML that every reader reads alike."""

from __future__ import annotations

import pytest
import yaml

from kdray.launch.kube.text import as_yaml

#: Numbers, times, truth and structure to one reader of YAML or another.
WORDS = [
    *("12345e67", "1e3", "0x1F", "0o17", "017", "1_000", "1:30", "2026-11-21", ".5"),
    *("y", "n", "No", "off", "null", "~", "", "-", "a: b", "a #b", " a", "a ", "{a}"),
    *("*a", "&a", "@a", "%a"),
]


@pytest.mark.parametrize("word", WORDS)
def test_a_string_that_may_be_taken_for_something_else_is_quoted(word: str) -> None:
    text = as_yaml([{"value": word}])
    assert text.startswith('---\nvalue: "')
    assert yaml.safe_load(text) == {"value": word}


@pytest.mark.parametrize("word", ["kdray", "app.kubernetes.io/name", "ray stop", "/dev/shm"])
def test_a_plain_word_stays_plain(word: str) -> None:
    assert as_yaml([{word: word}]) == f"---\n{word}: {word}\n"


def test_numbers_and_truth_stay_what_they_are() -> None:
    assert as_yaml([{"a": 1, "b": True, "c": None}]) == "---\na: 1\nb: true\nc: null\n"


def test_text_of_several_lines_is_shown_as_it_is() -> None:
    text = as_yaml([{"job.yaml": "kind: Experiment\nname: 'x'\n"}])
    assert text == "---\njob.yaml: |\n  kind: Experiment\n  name: 'x'\n"


def test_what_stands_twice_is_written_twice() -> None:
    size = {"cpu": "1"}
    assert "&" not in as_yaml([{"requests": size, "limits": size}])


def test_several_documents_keep_their_order() -> None:
    text = as_yaml([{"kind": "B"}, {"kind": "A"}])
    assert [one["kind"] for one in yaml.safe_load_all(text)] == ["B", "A"]
