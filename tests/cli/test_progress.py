from __future__ import annotations

import io
import re
import threading
from contextlib import suppress
from typing import Any

import pytest
from rich.console import Console

from kdray.cli._progress import Progress, Screen, picture
from kdray.cli._view import View

WIDE = Screen(120, 40)


def event(kind: str, step: str = "", time: float = 0.0, **facts: Any) -> dict[str, Any]:
    return {"time": time, "kind": kind, "step": step, **facts}


def started(number: int = 3) -> dict[str, Any]:
    steps = [{"id": f"s{i}", "label": f"step {i}", "state": "waiting"} for i in range(number)]
    return event("job_started", job="tiny", steps=steps, select="macro_f1")


def shown(view: View, screen: Screen = WIDE, now: float = 0.0) -> list[str]:
    return [line.plain.rstrip() for line in picture(view, now, screen)]


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=30)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def test_each_step_has_its_line() -> None:
    view = View([started(), event("step_skipped", "s0"), event("step_started", "s1")])
    view.take(event("epoch", "s1", run="cnn5", epoch=1, epochs=4, loss=0.5, score=0.8))
    lines = shown(view)
    assert lines[0].startswith("tiny  running")
    assert lines[1].endswith("step 0  already done")
    assert "1/4 epochs" in lines[2]
    assert "best macro_f1 0.800" in lines[2]
    assert lines[3].strip() == "cnn5 epoch 1/4 loss 0.500 macro_f1 0.800"
    assert lines[4].endswith("step 2")


def test_the_bar_is_as_long_as_the_progress() -> None:
    view = View([started(1), event("progress", "s0", done=5, total=20)])
    line = shown(view, Screen(120, 40, utf=False))[1]
    assert "#" * 5 + "-" * 15 in line
    assert "#" * 6 not in line


def test_a_narrow_terminal_has_numbers_instead_of_a_bar() -> None:
    view = View([started(1), event("progress", "s0", done=5, total=20)])
    line = shown(view, Screen(70, 40, utf=False))[1]
    assert "5/20" in line
    assert "#" not in line


def test_without_unicode_all_is_ascii() -> None:
    view = View([started(), event("step_skipped", "s0"), event("step_failed", "s1", error="no")])
    view.take(event("progress", "s2", done=1, total=2))
    assert "\n".join(shown(view, Screen(120, 40, utf=False))).isascii()


@pytest.mark.parametrize("running", [0, 30, 59])
def test_a_low_terminal_shows_the_steps_around_the_running_one(running: int) -> None:
    view = View([started(60), event("step_started", f"s{running}")])
    lines = shown(view, Screen(120, 12))
    assert len(lines) <= 12
    assert any(re.search(rf"step {running}\b", line) for line in lines)
    counted = [int(line.split()[0]) for line in lines if re.search(r"steps (before|after)", line)]
    steps = sum(bool(re.search(r" step \d", line)) for line in lines)
    assert sum(counted) + steps == 60


def test_what_a_job_does_before_its_first_step_is_shown() -> None:
    view = View([started(), event("note", text="starting Ray")])
    assert shown(view)[1] == "  starting Ray"
    view.take(event("step_started", "s0"))
    assert "  starting Ray" not in shown(view)


def test_a_failed_step_says_why_in_one_line() -> None:
    view = View([started(1), event("step_failed", "s0", error="no such class\nand more")])
    assert shown(view)[1].endswith("no such class")


def test_where_nobody_watches_each_event_is_a_line() -> None:
    console = Console(file=io.StringIO(), width=40)
    with Progress(console) as progress:
        progress(started())
        progress(event("step_started", "s0"))
        progress(event("note", text="a long note " * 9))
    lines = written(console).splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(" step 0 started")


def test_plain_gives_lines_on_a_terminal_too() -> None:
    console = terminal()
    with Progress(console, plain=True) as progress:
        progress(started())
    assert written(console).count("\n") == 1


def test_the_last_picture_stays_on_the_terminal() -> None:
    console = terminal()
    with Progress(console) as progress:
        progress(started())
        progress(event("step_started", "s0"))
        progress(event("step_finished", "s0", seconds=61.0))
        progress(event("job_finished", seconds=61.0))
    last = written(console).rpartition("tiny")[2]
    assert "finished" in last
    assert "1:01" in last


def interrupted(console: Console) -> Progress:
    with suppress(KeyboardInterrupt), Progress(console) as progress:
        progress(started())
        progress(event("step_started", "s0"))
        raise KeyboardInterrupt
    return progress


def test_an_interrupt_leaves_no_step_running() -> None:
    console = terminal()
    progress = interrupted(console)
    assert "stopped" in written(console).rpartition("tiny")[2]
    assert progress.view.steps["s0"].state == "stopped"


def test_the_cursor_comes_back_after_an_interrupt() -> None:
    console = terminal()
    interrupted(console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0


def test_events_may_come_from_many_threads() -> None:
    console = terminal()
    with Progress(console) as progress:
        progress(started(8))
        threads = [
            threading.Thread(
                target=lambda step=f"s{i}": [
                    progress(event("progress", step, done=n, total=50)) for n in range(51)
                ]
            )
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [step.done for step in progress.view.steps.values()] == [50.0] * 8


@pytest.mark.parametrize("plain", [True, False])
def test_an_event_that_cannot_be_shown_does_no_harm(plain: bool) -> None:
    console = terminal()
    with Progress(console, plain=plain) as progress:
        progress({})
        progress(event("epoch", "s0", epoch="three", loss=[1]))
        progress(event("job_started", steps=7))
        progress(started())
    assert progress.view.state == "stopped"


def test_markup_in_a_label_is_shown_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=80)
    with Progress(console) as progress:
        progress(event("note", text="[red]cnn5[/red]"))
    assert "[red]cnn5[/red]" in written(console)
