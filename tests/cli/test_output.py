"""What the commands print."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kdray.cli import _output


def test_a_table_on_a_narrow_screen_cuts_no_name_short(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(_output, "console", Console(file=screen, width=24))
    _output.print_table("", ("names", "what"), [("occlusion-sensitivity", "hides a window")])
    letters = "".join(filter(str.isalpha, screen.getvalue()))
    assert "\u2026" not in screen.getvalue()
    assert sorted(letters) == sorted("nameswhatocclusionsensitivityhidesawindow")
