from __future__ import annotations

import pytest

from kdray.run.memory import memory_used

#: The beginning of what Ray 2.60 says; a page follows.
SAID = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: "
    "10.0.0.7, ID: 4318e88a) was 0.97GB used / 1.00GB limit (0.970577)\nOOM kill reason: ..."
)


@pytest.mark.parametrize(
    ("text", "used"),
    [
        (SAID, " (0.97GB of 1.00GB used)"),
        ("Task was killed due to the node being out of memory.", ""),
        ("The actor died because its node has died.", None),
    ],
)
def test_a_page_on_memory_is_a_figure(text: str, used: str | None) -> None:
    assert memory_used(text) == used
