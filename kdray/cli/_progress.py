"""A running job on the screen: a live picture on a terminal, lines of a log elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kdray.cli._view import Step, View
from kdray.cli._words import Teller, clock, count, detail, left

STYLES = {
    "done": "green",
    "skipped": "green dim",
    "running": "cyan",
    "waiting": "dim",
    "failed": "bold red",
    "stopped": "yellow",
}
_MARKS = {  # check mark, arrow, middle dot, cross, square
    "done": "\u2713",
    "skipped": "\u2713",
    "waiting": "\u00b7",
    "failed": "\u2717",
    "stopped": "\u25a0",
}
_ASCII_MARKS = {"done": "+", "skipped": "+", "waiting": ".", "failed": "x", "stopped": "!"}
_SPIN = "\u280b\u2819\u2839\u2838\u283c\u2834\u2826\u2827\u2807\u280f"
_ASCII_SPIN = "|/-\\"
_BAR = 20
_NARROW = 90


@dataclass(frozen=True)
class Screen:
    """The room there is: columns, lines, and whether it shows more than ASCII."""

    columns: int
    lines: int
    utf: bool = True


class Progress:
    """A listener of a ``Journal`` that shows the job; a context manager.

    On a terminal it draws one line for each step and redraws it in place; elsewhere, or if
    ``plain``, it prints a line for each event that is worth one. It takes events from any thread
    and never makes a job fail: what cannot be shown is left out.

    Args:
        console: Where to show it.
        plain: Print lines on a terminal as well.
        wall: Returns seconds since 1970.
    """

    def __init__(
        self,
        console: Console,
        plain: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._console = console
        self._wall = wall
        self._teller = Teller()
        self._alone = threading.RLock()
        self._over = False
        self._live: Live | None = None
        if console.is_terminal and not plain:
            self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=5)

    @property
    def view(self) -> View:
        """What the events have told so far."""
        return self._teller.view

    def __enter__(self) -> Progress:
        """Begin to show."""
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show the end state and give the terminal back."""
        with self._alone:
            self.view.close("failed" if isinstance(error, Exception) else "stopped")
            self._over = True
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        with suppress(Exception):  # a picture is no reason to lose hours of training
            with self._alone:
                lines = list(self._teller.lines(event))
            if self._live is None:
                for line in lines:
                    self._console.print(Text(line), soft_wrap=True)
            elif event.get("kind") == "note":
                for line in lines:
                    self._live.console.print(Text(line, style="dim"), soft_wrap=True)

    def _picture(self) -> Text:
        with suppress(Exception), self._alone:  # runs in a thread of its own: see __call__
            lines = picture(self.view, self._wall(), self._screen())
            text = Text("\n").join(lines)
            text.no_wrap, text.overflow = True, "ellipsis"
            return text
        return Text("")

    def _screen(self) -> Screen:
        room = 10_000 if self._over else max(6, self._console.height - 2)
        utf = self._console.encoding.lower().startswith("utf")
        return Screen(self._console.width, room, utf)


def picture(view: View, now: float, screen: Screen) -> list[Text]:
    """Return a job as lines for a terminal.

    Args:
        view: The job.
        now: Seconds since 1970.
        screen: Room for it; where there are too many steps, those far from the running ones are
            only counted.
    """
    head = Text(f"{view.job or 'job'}", style="bold")
    head.append(f"  {view.state}  {clock(view.elapsed(now))}", style="not bold dim")
    steps = list(view.steps.values())
    longest = max((len(step.label) for step in steps), default=0)
    width = min(longest, max(16, screen.columns // 2 - 4))
    lines = [head]
    if view.state == "running" and view.note and not view.running():
        lines.append(Text(f"  {view.note}", style="dim"))  # what a job without a step is doing
    for item in _window(steps, screen.lines - 1 - max(1, 2 * len(view.running()))):
        if isinstance(item, str):
            lines.append(Text(f"    {item}", style="dim"))
        else:
            lines += _step_lines(item, view, width, now, screen)
    if view.error:
        lines.append(Text(view.error.splitlines()[0], style="red"))
    return lines


def _step_lines(step: Step, view: View, width: int, now: float, screen: Screen) -> Iterator[Text]:
    style = STYLES.get(step.state, "")
    label = step.label if len(step.label) <= width else f"{step.label[: width - 2]}.."
    line = Text("  ").append(_mark(step, now, screen), style=style)
    line.append(f" {label:<{width}}  ", style="dim" if step.state == "waiting" else "")
    line.append_text(_middle(step, view, now, screen))
    yield line
    if step.state == "running" and step.now:
        shown = {key: step.now[key] for key in step.now if key != "params"}
        yield Text(f"      {detail(shown, view.score, step.label)}", style="dim")


def _middle(step: Step, view: View, now: float, screen: Screen) -> Text:
    if step.state == "skipped":
        return Text("already done", style="dim")
    if step.state == "failed":
        return Text((step.error.splitlines() or ["failed"])[0], style="red")
    text = Text()
    if step.state == "running":
        if step.total and screen.columns >= _NARROW:
            text.append_text(_bar(step.done / step.total, screen))
        parts = [count(step), clock(step.elapsed(now)), left(step, now)]
        text.append("  ".join(part for part in parts if part))
    elif step.state in ("done", "stopped"):
        text.append(f"{clock(step.elapsed(now)):>7}")
    if step.best is not None and step.state in ("running", "done", "stopped"):
        text.append(f"  best {view.score} {step.best:.3f}", style="bold")
    return text


def _bar(share: float, screen: Screen) -> Text:
    full = int(_BAR * min(1.0, max(0.0, share)))
    on, off = ("\u2501", "\u2501") if screen.utf else ("#", "-")
    text = Text(on * full, style="cyan")
    return text.append(off * (_BAR - full), style="bright_black").append("  ")


def _mark(step: Step, now: float, screen: Screen) -> str:
    if step.state == "running":
        frames = _SPIN if screen.utf else _ASCII_SPIN
        return frames[int(now * 5) % len(frames)]
    return (_MARKS if screen.utf else _ASCII_MARKS).get(step.state, " ")


def _window(steps: list[Step], room: int) -> Iterator[Step | str]:
    """Yield the steps that fit, those around the running ones, and counts of the others."""
    if len(steps) <= room:
        yield from steps
        return
    room = max(1, room - 2)
    active = [i for i, step in enumerate(steps) if step.state in ("running", "failed", "stopped")]
    waiting = [i for i, step in enumerate(steps) if step.state == "waiting"]
    middle = (active or waiting or [len(steps) - 1])[0]
    first = max(0, min(middle - room // 2, len(steps) - room))
    if first:
        yield f"{first} steps before"
    yield from steps[first : first + room]
    if first + room < len(steps):
        yield f"{len(steps) - first - room} steps after"
